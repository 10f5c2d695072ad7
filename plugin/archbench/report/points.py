"""From the record of a cell to the point that reports draw and list."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from archbench.core.points import KINDS, Figure, Point, with_derived
from archbench.core.records import Record
from archbench.core.run_config import further_axes
from archbench.core.spec import Target
from archbench.core.statistics import QUANTILES, median_interval, quantile, required_samples
from archbench.core.verdicts import NEWS
from archbench.metrics import METRICS


def point_of(
    header: Mapping[str, Any],
    cell: Record,
    *,
    family: str,
    published: Mapping[str, Figure],
    run: str,
) -> Point:
    """A cell of a run.

    Of a series the median counts, with its 95 % interval. A published accuracy stands in only
    where none was measured, and not for quantised weights, which are others.

    Args:
        header: the first line of the run's journal.
        cell: merged record.
        family: of networks.
        published: accuracies from documents by metric.
        run: id of the run.

    Raises:
        ValueError: the record holds what no run writes; says what.
    """
    figures = _figures(cell, run)
    target = cell.target
    library, _, name = cell.id.partition("/")
    if not (library and name):
        raise ValueError(f"an id is expected, as timm/resnet50, found {cell.id!r}")
    environment = header.get("environment") or {}
    git = environment.get("git") or {}
    statuses = {verdict.status for verdict in cell.verdicts}
    return Point(
        id=cell.id,
        name=name,
        library=library,
        family=family,
        **_setting(target),
        run=run,
        when=environment.get("time"),
        commit=git.get("commit") if isinstance(git, Mapping) else None,
        figures=with_derived(
            figures if cell.is_quantised else {**published, **figures},
            None if target is None else target.batch_size,
        ),
        status=next((status for status in NEWS if status in statuses), ""),
    )


def _figures(cell: Record, run: str) -> dict[str, Figure]:
    """What a run has measured or counted of a cell, by metric."""
    figures = {
        name: _figure(name, metric, run)
        for name, metric in cell.metrics.items()
        if name in METRICS and _has_number(name, metric)
    }
    samples = cell.metrics.get("latency", {}).get("samples") or ()
    if len(samples) >= required_samples(QUANTILES["p95"]):
        p95 = quantile(sorted(samples), QUANTILES["p95"])
        figures["latency_p95"] = Figure(p95, figures["latency"].kind, run)
    return figures


def _setting(target: Target | None) -> dict[str, Any]:
    """On what, and how it was run; how is left out for an accuracy, which does not depend on it."""
    if target is None:
        return {}
    not_timed = further_axes() if target.batch_size is None else ()
    stated = target.fields_without(*(one.name for one in not_timed))
    where = {"device": target.slug, "device_name": target.device_name, "asked": target.asked}
    return {**where, **stated}


def _has_number(name: str, metric: Any) -> bool:
    if not isinstance(metric, Mapping):
        raise ValueError(f"{name} is {metric!r}, which no run writes")
    return bool(metric.get("samples")) or metric.get("value") is not None


def _number(name: str, value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} is {value!r}, which it cannot be")
    return float(value) if type(value) is float else value


def _figure(name: str, metric: Mapping[str, Any], run: str) -> Figure:
    kind = metric.get("source", "measured")
    if kind not in KINDS:
        raise ValueError(f"{name} has the source {kind!r}; sources are {', '.join(KINDS)}")
    if not metric.get("samples"):
        low, high = metric.get("low"), metric.get("high")
        return Figure(
            _number(name, metric["value"]),
            kind,
            run,
            None if low is None else _number(name, low),
            None if high is None else _number(name, high),
        )
    if not isinstance(metric["samples"], list):
        raise ValueError(f"the samples of {name} are no list")
    samples = metric["samples"]
    if not {type(sample) for sample in samples} <= {int, float}:
        raise ValueError(f"not all samples of {name} are numbers")
    ordered = sorted(samples)
    _number(name, ordered[0])
    _number(name, math.fsum(ordered))  # which is finite only if all are
    interval = median_interval(ordered)
    return Figure(quantile(ordered, 0.5), kind, run, *(interval or (None, None)))
