"""One architecture on one device as reports and charts see it: figures with their source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from archbench.core.forms import Json, Stored
from archbench.core.run_config import StatedConfig
from archbench.metrics import METRICS

KINDS = ("measured", "counted", "published", "derived")
"""How a figure was obtained. What is derived from a published figure is published as well: it is
never shown as if it had been measured here."""


_BEFORE = ("id", "name", "library", "family", "device", "device_name")
_BEHIND = ("asked", "run", "when", "commit", "status", "noisy")
"""Columns before and behind how a row was run."""


NOISY = ("latency", "latency_p95", "latency_per_image", "throughput")
"""Figures that other work on the machine makes worse."""


@dataclass(frozen=True, slots=True)
class Value(Stored):
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
class Row(StatedConfig):
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
        values: by the name of their metric in :data:`archbench.metrics.METRICS`.
        status: the verdict that says most; empty where there is none.
        asked: what named the device in the tests' ids, where a run had several.
        noisy: metrics whose figures are not to be trusted, since the machine was too busy.
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
    values: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))
    status: str = ""
    asked: str = ""
    noisy: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """``cpu-amd-epyc fp32 batch 1``; empty where nothing was timed."""
        return f"{self.device} {self.setting}".rstrip() if self.device else ""

    def value(self, metric: str) -> float | None:
        """The figure's value; None where there is none."""
        figure = self.values.get(metric)
        return None if figure is None else figure.value

    def text(self, metric: str) -> str | None:
        """The figure as it is printed, without its unit; None where there is none."""
        figure = self.values.get(metric)
        return None if figure is None else METRICS[metric].text(figure.value)

    def as_dict(self) -> dict[str, Json]:
        """Builtin types only."""
        return {
            **{name: getattr(self, name) for name in _BEFORE},
            **self.as_columns(),
            **{name: getattr(self, name) for name in _BEHIND},
            "values": {name: figure.as_dict() for name, figure in self.values.items()},
        }


def with_derived(values: Mapping[str, Value], batch_size: int | None) -> dict[str, Value]:
    """Values and what follows from them.

    ``density`` is top-1 percent per million params (Canziani et al. 2016, figure 10),
    ``top1_per_gmac`` top-1 percent per 10^9 multiply-adds, ``latency_per_image`` the latency over
    the batch size, ``throughput`` its inverse. A value that is given is not derived again.

    Args:
        values: as measured, counted and published.
        batch_size: of ``latency``.
    """
    found = dict(values)

    def put(name: str, above: str, below: str, scale: float) -> None:
        if name in found or above not in found or below not in found:
            return
        top, bottom = found[above], found[below]
        if bottom.value > 0:
            found[name] = Value(
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
        per_image = Value(latency.value / batch_size, *source, low, high)
        found.setdefault("latency_per_image", per_image)
        # The longest time is the smallest throughput.
        most, least = (None if end is None else batch_size / end for end in ends)
        found.setdefault("throughput", Value(batch_size / latency.value, *source, least, most))
    return found


def with_speedups(rows: Iterable[Row]) -> list[Row]:
    """Rows with ``speedup``: the latency of eager torch over their own, of the same architecture on
    the same device in the same run, run in the same way but for the runtime. Those of eager torch
    have none."""
    rows = list(rows)
    eager = {_but_for_runtime(row): row for row in rows if row.runtime == "eager"}
    return [_with_speedup(row, eager.get(_but_for_runtime(row))) for row in rows]


def best_runtimes(rows: Iterable[Row]) -> list[Row]:
    """Of rows that differ by their runtime alone the fastest; others as they are."""
    best: dict[tuple[object, ...], Row] = {}
    for row in rows:
        key, latency = _but_for_runtime(row), row.value("latency")
        kept = best.get(key)
        before = None if kept is None else kept.value("latency")
        if kept is None or (latency is not None and (before is None or latency < before)):
            best[key] = row
    return list(best.values())


def _but_for_runtime(row: Row) -> tuple[object, ...]:
    return row.id, row.name, row.device, row.run, *row.values_without("runtime")


def _with_speedup(row: Row, eager: Row | None) -> Row:
    if eager is None or row.runtime == "eager":
        return row
    before, now = eager.values.get("latency"), row.values.get("latency")
    if before is None or now is None or not now.value:
        return row
    speedup = Value(before.value / now.value, "derived", now.source)
    noisy = row.noisy
    if "latency" in (*eager.noisy, *noisy):
        noisy += ("speedup",)
    return replace(row, values={**row.values, "speedup": speedup}, noisy=noisy)
