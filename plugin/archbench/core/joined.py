"""What several processes measured of one cell, joined into one record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from archbench.core.entries import MetricEntry
from archbench.core.process_runs import ProcessRun
from archbench.core.records import Record


def process_runs_of(records: Sequence[Record]) -> list[ProcessRun]:
    """The process runs in records, in their order."""
    return [one for record in records for one in record.process_runs]


def merged(records: Sequence[Record]) -> Record:
    """One record of a cell that several processes measured; samples in the order of processes.

    A doubt stays where most of the processes had it. Where the largest batch that fits was asked
    for, and not all found the same, those that differ from the first are left out.
    """
    first = records[0]
    records = [one for one in records if one.target == first.target]
    latency: MetricEntry = {
        **first.metrics["latency"],
        "samples": _joined(records, "latency", "samples"),
        "warmup": _joined(records, "latency", "warmup"),
        "process_runs": process_runs_of(records),
    }
    cpu_time: MetricEntry = {
        **first.metrics["cpu_time"], "samples": _joined(records, "cpu_time", "samples")
    }  # fmt: skip
    notes = {note.code: note for record in records for note in record.notes}
    often = [
        note
        for code, note in notes.items()
        if 2 * sum(any(n.code == code for n in record.notes) for record in records) > len(records)
    ]
    seconds = {
        name: sum(record.seconds.get(name, 0.0) for record in records) for name in first.seconds
    }
    metrics = {**first.metrics, "latency": latency, "cpu_time": cpu_time}
    if "device_time" in first.metrics:
        metrics["device_time"] = _merged_device_time(
            [record.metrics["device_time"] for record in records]
        )
    return Record(first.id, first.target, metrics, [], often, seconds)


def _joined(
    records: Sequence[Record], metric: str, series: Literal["samples", "warmup"]
) -> list[float]:
    return [value for record in records for value in record.metrics[metric][series]]


def _merged_device_time(series: Sequence[MetricEntry]) -> MetricEntry:
    return {
        **series[0],
        "samples": [value for one in series for value in one["samples"]],
        "bursts": sum(one["bursts"] for one in series),
        "discarded": [reasons for one in series for reasons in one["discarded"]],
        # The worst: None where the device cannot be held back, in all of them.
        "queue_full": series[0]["queue_full"] and all(one["queue_full"] for one in series),
        "parts": max(one["parts"] for one in series),
    }
