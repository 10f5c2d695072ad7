"""The figures of a cell, as reports and histories show them: derived from samples where read."""

from __future__ import annotations

import math
from typing import Any

from archbench.core.entries import MetricEntry
from archbench.core.records import Record
from archbench.core.rows import KINDS, Value
from archbench.core.statistics import SHOWN_QUANTILES, median_interval, quantile, required_samples
from archbench.core.verdicts import NEWS
from archbench.metrics import METRICS

_TIMES = ("latency", "cpu_time", "device_time", "energy_per_image", "average_power")
"""What is no figure of a network where its runtime computes something else."""


def figures_of(cell: Record, run: str) -> dict[str, Value]:
    """What a run has measured or counted of a cell, by metric.

    Of a series the median counts, with its 95 % interval.

    Raises:
        TypeError, ValueError, KeyError, AttributeError: a record that no run writes.
    """
    figures = {
        name: _figure(name, metric, run)
        for name, metric in cell.metrics.items()
        if name in METRICS
        and (metric.get("samples") or metric.get("value") is not None)
        and not (cell.is_other_network and name in _TIMES)
    }
    if cell.is_other_network:
        return figures
    samples = cell.metrics.get("latency", {}).get("samples") or ()
    if len(samples) >= required_samples(SHOWN_QUANTILES["p95"]):
        p95 = quantile(sorted(samples), SHOWN_QUANTILES["p95"])
        figures["latency_p95"] = Value(p95, figures["latency"].kind, run)
    return figures


def _number(name: str, value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} is {value!r}, which it cannot be")
    return float(value) if type(value) is float else value


def _figure(name: str, metric: MetricEntry, run: str) -> Value:
    kind = metric.get("source", "measured")
    if kind not in KINDS:
        raise ValueError(f"{name} has the source {kind!r}; sources are {', '.join(KINDS)}")
    if not metric.get("samples"):
        low, high = metric.get("low"), metric.get("high")
        return Value(
            _number(name, metric["value"]),
            kind,
            run,
            None if low is None else _number(name, low),
            None if high is None else _number(name, high),
        )
    ordered = sorted(metric["samples"])
    _number(name, ordered[0])
    _number(name, math.fsum(ordered))  # which is finite only if all are
    interval = median_interval(ordered)
    return Value(quantile(ordered, 0.5), kind, run, *(interval or (None, None)))


def status_of(cell: Record) -> str:
    """Of its verdicts the status that says most; empty where there is none."""
    statuses = {verdict.status for verdict in cell.verdicts}
    return next((status for status in NEWS if status in statuses), "")
