"""Figures for programs: OpenMetrics text, and properties of tests in JUnit's report."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from archbench.core.records import Record, derived
from archbench.core.run_config import further_axes
from archbench.core.spec import Target
from archbench.core.verdicts import NEWS, Verdict
from archbench.report.ci.diagnostics import clean


def metrics_text(cells: Iterable[Record]) -> str:
    """OpenMetrics text: figures in SI base units, unrounded, a gauge for each.

    ``archbench_cells`` is the number of cells that have a verdict of a status.

    GitLab's metrics report takes it. Its reader cuts a line at ``#`` even within a label, so that
    sign becomes ``_`` in labels. What is absent or not finite has no line.
    """
    families: dict[str, dict[str, str]] = {}
    states: Counter[str] = Counter()
    for cell in cells:
        states.update({verdict.status for verdict in cell.verdicts})
        for name, value, shared in _figures(cell):
            labels = _labels(cell, shared)
            families.setdefault(f"archbench_{name}", {})[labels] = repr(value)
    for status, number in sorted(states.items(), key=lambda item: NEWS.index(item[0])):
        families.setdefault("archbench_cells", {})[f'status="{status}"'] = str(number)
    lines = []
    for name, samples in families.items():
        lines.append(f"# TYPE {name} gauge")
        lines += [f"{name}{{{labels}}} {value}" for labels, value in samples.items()]
    return "\n".join([*lines, "# EOF", ""])


_UNITS = {
    "1": "",
    "s": "_seconds",
    "B": "_bytes",
    "J": "_joules",
    "W": "_watts",
    "1/s": "_per_second",
    "%": "_percent",
}
"""What a name ends in, by the unit of its values."""


def _figures(cell: Record) -> Iterator[tuple[str, float, bool]]:
    """Name with unit, finite value, and whether it is the same on every target."""
    for name, metric in cell.metrics.items():
        value: Any = metric.get("value")
        unit = _UNITS.get(metric.get("unit", "1"))
        if type(value) in (int, float) and math.isfinite(value) and unit is not None:
            yield f"{name}{unit}", value, metric.get("source") == "counted"
    statistics = derived(cell)
    for name in ("p50", "p90", "p95", "p99"):
        if name in statistics:
            yield f"latency_{name}_seconds", statistics[name], False
    if "throughput" in statistics:
        yield "throughput_images_per_second", statistics["throughput"], False


def _labels(cell: Record, shared: bool) -> str:
    labels = {"architecture": cell.id}
    if cell.target is not None and not shared:
        labels["device"] = cell.target.slug
        labels.update(_target_fields(cell.target))
    return ",".join(f'{name}="{_label(value)}"' for name, value in labels.items())


def _target_fields(target: Target) -> dict[str, str]:
    """What distinguishes the cells of an architecture and a device; of the rest what is unusual."""
    fields = {name: str(target[name]) for name in ("dtype", "batch_size", "threads")}
    if target.largest_batch:
        fields["largest_batch"] = "true"
    values = {one: target[one.name] for one in further_axes()}
    return fields | {
        one.name: str(value).lower() for one, value in values.items() if value != one.usual
    }


def _label(value: str) -> str:
    text = clean(value).replace("#", "_")
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def junit_properties(record: Record) -> list[tuple[str, str]]:
    """What one test says about its cell beside passed or failed, in JUnit's ``<properties>``.

    Names and units are those of :func:`metrics_text` without their prefix, figures are unrounded;
    ``verdict_latency`` and so on hold the status of each metric; of one that has several verdicts,
    as from a baseline and a budget, that of the worst.
    """
    properties = [("architecture", record.id)]
    if record.target is not None:
        properties += [(name, getattr(record.target, name)) for name in ("device", "device_name")]
        properties += _target_fields(record.target).items()
    properties += [(name, repr(value)) for name, value, _ in _figures(record)]
    statuses: dict[str, str] = {}
    for verdict in sorted(record.verdicts, key=_weight):
        statuses.setdefault(f"verdict_{verdict.metric}", verdict.status)
    return [(name, clean(value)) for name, value in (*properties, *statuses.items())]


def _weight(verdict: Verdict) -> tuple[bool, int]:
    """Orders verdicts, what fails a test first."""
    return not verdict.is_bad, NEWS.index(verdict.status)
