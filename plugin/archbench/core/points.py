"""One architecture on one device as reports and charts see it: figures with their source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from archbench.core.metrics import METRICS

__all__ = [
    "KINDS",
    "MANNER",
    "Figure",
    "Point",
    "manner_text",
    "setting_text",
    "target_text",
    "with_derived",
]

KINDS = ("measured", "counted", "published", "derived")
"""How a figure was obtained. What is derived from a published figure is published as well: it is
never shown as if it had been measured here."""


MANNER: Mapping[str, str | bool] = MappingProxyType(
    {"memory_format": "nchw", "runtime": "eager", "cold_cache": False}
)
"""How a network is run beside its precision and batch size, with what is usual."""


def manner_text(memory_format: str | None, runtime: str | None, cold_cache: bool | None) -> str:
    """What is unusual about how a network is run: ``nhwc compiled cold cache``; else empty."""
    parts = [
        *([memory_format] if memory_format not in (None, MANNER["memory_format"]) else []),
        *([runtime] if runtime not in (None, MANNER["runtime"]) else []),
        *(["cold cache"] if cold_cache else []),
    ]
    return " ".join(map(str, parts))


def setting_text(
    dtype: str | None,
    batch_size: int | None,
    threads: int | None,
    manner: str = "",
    *,
    largest_batch: bool = False,
) -> str:
    """How something was timed: ``fp32 batch 1``, ``fp16 batch 8 nhwc compiled``.

    The largest batch that was found to fit is ``batch 37 (max)``, or ``batch max`` where its size
    is left open.
    """
    parts = [dtype] if dtype else []
    if batch_size is not None:
        parts.append(f"batch {batch_size}{' (max)' if largest_batch else ''}")
    elif largest_batch:
        parts.append("batch max")
    if threads not in (None, 1):
        parts.append(f"{threads} threads")
    return " ".join([*parts, *([manner] if manner else [])])


def target_text(device: str, setting: str) -> str:
    """On what and how something was timed: ``cpu-amd-epyc fp32 batch 1``; empty without a device.

    Args:
        device: short name.
        setting: see :func:`setting_text`.
    """
    return f"{device} {setting}".rstrip() if device else ""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number with where it comes from.

    Attributes:
        value: in the SI unit of its metric, unrounded; percent for accuracies.
        kind: one of :data:`KINDS`.
        source: who obtained it: the run's id, or the publication and its table.
        low, high: the interval that the value is known to, in the same unit; None where unknown.
    """

    value: float
    kind: str
    source: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """A cell of a run, or a row of a published table, ready to be drawn or listed.

    Attributes:
        id: ``timm/resnet50``; of a published row the id of the seed or catalogue row that it is
            about, or ``published/NAME`` where none is.
        name: what is printed: the name without library, or the publication's own.
        library: of the architecture; the publication's name for a published row.
        family: of networks, which gives the colour: ``ResNet``.
        device: short name: ``cpu-amd-epyc``, ``v100``; empty where nothing was timed.
        device_name: the vendor's name.
        dtype, batch_size, threads: of the target; None where nothing was timed.
        run: id of the run, or the name of the publication.
        when: ISO date of the run; None for a publication.
        commit: of the project; None where unknown.
        figures: by the name of their metric in :data:`archbench.core.metrics.METRICS`.
        status: the verdict that says most; empty where there is none.
        memory_format, runtime, cold_cache: how it was run, see :data:`MANNER`; None where nothing
            was timed, or where a publication does not say.
        largest_batch: whether the batch size is what was found to fit.
        asked: what named the device in the tests' ids, where a run had several.
    """

    id: str
    name: str
    library: str
    family: str
    device: str = ""
    device_name: str = ""
    dtype: str | None = None
    batch_size: int | None = None
    threads: int | None = None
    run: str = ""
    when: str | None = None
    commit: str | None = None
    figures: Mapping[str, Figure] = field(default_factory=lambda: MappingProxyType({}))
    status: str = ""
    memory_format: str | None = None
    runtime: str | None = None
    cold_cache: bool | None = None
    largest_batch: bool = False
    asked: str = ""

    @property
    def manner(self) -> str:
        """What is unusual about how it was run: ``nhwc compiled``, see :func:`manner_text`."""
        return manner_text(self.memory_format, self.runtime, self.cold_cache)

    @property
    def target(self) -> str:
        """``cpu-amd-epyc fp32 batch 1``, see :func:`target_text`; empty where nothing was timed."""
        setting = setting_text(
            self.dtype, self.batch_size, self.threads, self.manner, largest_batch=self.largest_batch
        )
        return target_text(self.device, setting)

    def value(self, metric: str) -> float | None:
        """The figure's value; None where there is none."""
        figure = self.figures.get(metric)
        return None if figure is None else figure.value

    def text(self, metric: str) -> str | None:
        """The figure as it is printed, without its unit; None where there is none."""
        figure = self.figures.get(metric)
        return None if figure is None else METRICS[metric].text(figure.value)

    def as_dict(self) -> dict[str, Any]:
        """Builtin types only."""
        return {
            "id": self.id,
            "name": self.name,
            "library": self.library,
            "family": self.family,
            "device": self.device,
            "device_name": self.device_name,
            "dtype": self.dtype,
            "batch_size": self.batch_size,
            "threads": self.threads,
            "memory_format": self.memory_format,
            "runtime": self.runtime,
            "cold_cache": self.cold_cache,
            "largest_batch": self.largest_batch,
            "asked": self.asked,
            "run": self.run,
            "when": self.when,
            "commit": self.commit,
            "status": self.status,
            "figures": {
                name: {
                    "value": figure.value,
                    "kind": figure.kind,
                    "source": figure.source,
                    "low": figure.low,
                    "high": figure.high,
                }
                for name, figure in self.figures.items()
            },
        }


def with_derived(figures: Mapping[str, Figure], batch_size: int | None) -> dict[str, Figure]:
    """Figures and what follows from them.

    ``density`` is top-1 percent per million params (Canziani et al. 2016, figure 10),
    ``top1_per_gmac`` top-1 percent per 10^9 multiply-adds, ``latency_per_image`` the latency over
    the batch size, ``throughput`` its inverse. A figure that is given is not derived again.

    Args:
        figures: as measured, counted and published.
        batch_size: of ``latency``.
    """
    found = dict(figures)

    def put(name: str, above: str, below: str, scale: float) -> None:
        if name in found or above not in found or below not in found:
            return
        top, bottom = found[above], found[below]
        if bottom.value > 0:
            found[name] = Figure(
                top.value / bottom.value * scale,
                "published" if "published" in (top.kind, bottom.kind) else "derived",
                "; ".join(dict.fromkeys((top.source, bottom.source))),
            )

    put("density", "top1", "params", 1e6)
    put("top1_per_gmac", "top1", "macs", 1e9)
    latency = found.get("latency")
    if latency is not None and batch_size and latency.value > 0:
        value, low, high = latency.value, latency.low, latency.high
        source = (latency.kind, latency.source)
        found.setdefault(
            "latency_per_image",
            Figure(
                value / batch_size,
                *source,
                None if low is None else low / batch_size,
                None if high is None else high / batch_size,
            ),
        )
        found.setdefault(
            "throughput",
            Figure(
                batch_size / value,
                *source,
                None if high is None else batch_size / high,
                None if low is None else batch_size / low,
            ),
        )
    return found
