"""One architecture on one device as reports and charts see it: figures with their source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from archbench.core.forms import Stored
from archbench.core.run_config import StatedConfig
from archbench.metrics import METRICS

KINDS = ("measured", "counted", "published", "derived")
"""How a figure was obtained. What is derived from a published figure is published as well: it is
never shown as if it had been measured here."""


_BEFORE = ("id", "name", "library", "family", "device", "device_name")
_BEHIND = ("asked", "run", "when", "commit", "status")
"""Columns before and behind how a point was run."""


@dataclass(frozen=True, slots=True)
class Figure(Stored):
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
class Point(StatedConfig):
    """A cell of a run, or a row of a published table, ready to be drawn or listed.

    How it was run is None where nothing was timed, or where a publication does not say.

    Attributes:
        id: ``timm/resnet50``; of a published row the id of the seed or catalogue row that it is
            about, or ``published/NAME`` where none is.
        name: what is printed: the name without library, or the publication's own.
        library: of the architecture; the publication's name for a published row.
        family: of networks, which gives the colour: ``ResNet``.
        device: short name: ``cpu-amd-epyc``, ``v100``; empty where nothing was timed.
        device_name: the vendor's name.
        run: id of the run, or the name of the publication.
        when: ISO date of the run; None for a publication.
        commit: of the project; None where unknown.
        figures: by the name of their metric in :data:`archbench.metrics.METRICS`.
        status: the verdict that says most; empty where there is none.
        asked: what named the device in the tests' ids, where a run had several.
    """

    id: str
    name: str
    library: str
    family: str
    device: str = ""
    device_name: str = ""
    run: str = ""
    when: str | None = None
    commit: str | None = None
    figures: Mapping[str, Figure] = field(default_factory=lambda: MappingProxyType({}))
    status: str = ""
    asked: str = ""

    @property
    def target(self) -> str:
        """``cpu-amd-epyc fp32 batch 1``; empty where nothing was timed."""
        return f"{self.device} {self.setting}".rstrip() if self.device else ""

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
            **{name: getattr(self, name) for name in _BEFORE},
            **self.as_columns(),
            **{name: getattr(self, name) for name in _BEHIND},
            "figures": {name: figure.as_dict() for name, figure in self.figures.items()},
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
        source, ends = (latency.kind, latency.source), (latency.low, latency.high)
        low, high = (None if end is None else end / batch_size for end in ends)
        per_image = Figure(latency.value / batch_size, *source, low, high)
        found.setdefault("latency_per_image", per_image)
        # The longest time is the smallest throughput.
        most, least = (None if end is None else batch_size / end for end in ends)
        found.setdefault("throughput", Figure(batch_size / latency.value, *source, least, most))
    return found
