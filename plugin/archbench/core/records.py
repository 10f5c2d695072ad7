"""What one test contributes to one cell, in builtin types, and how contributions meet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from archbench.core.spec import target_suffix
from archbench.core.statistics import Absent, summarize
from archbench.core.verdicts import UNASKED

__all__ = ["ABOUT_NETWORKS", "Record", "derived", "merge_records", "target_key", "to_builtin"]


ABOUT_NETWORKS = ("filled", "doubtful-values", "gradients", "keeps-results", "which-scores")
"""Codes of notes that say how a person's own network was run, beside its figures."""


@dataclass(slots=True)
class Record:
    """What is known about one cell.

    Attributes:
        id: of the architecture.
        target: :meth:`archbench.core.spec.Target.as_dict`; None for what does not depend on a
            device, such as counts. Its batch size is None for what depends on the precision alone,
            such as accuracies.
        metrics: name to ``{"value" or "samples", "unit", "source", ...}``.
        verdicts: :meth:`archbench.core.verdicts.Verdict.as_dict`.
        notes: ``{"code", "text"}``: doubts about the samples.
        seconds: where the time went: ``count``, ``load``, ``forward``.
    """

    id: str
    target: dict[str, Any] | None = None
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, str]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Builtin types only, exactly: a worker's report carries nothing else."""
        fields = {
            "id": self.id,
            "target": self.target,
            "metrics": self.metrics,
            "verdicts": self.verdicts,
            "notes": self.notes,
            "seconds": self.seconds,
        }
        return {name: to_builtin(value) for name, value in fields.items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Record:
        """The inverse of :meth:`as_dict`."""
        return cls(
            id=data["id"],
            target=data.get("target"),
            metrics=dict(data.get("metrics", {})),
            verdicts=list(data.get("verdicts", [])),
            notes=list(data.get("notes", [])),
            seconds=dict(data.get("seconds", {})),
        )

    @property
    def key(self) -> tuple[str, str]:
        """Names the cell: id, and device, precision, batch size and threads."""
        return self.id, target_key(self.target)

    @property
    def suffix(self) -> str:
        """The part of the key that does not depend on the device; empty without a target."""
        return self.key[1].rpartition("/")[2]

    @property
    def test_suffix(self) -> str:
        """What the ids of its tests show: the suffix, and the device where a run has several."""
        asked = (self.target or {}).get("asked")
        return f"{self.suffix}@{asked}" if asked else self.suffix

    @property
    def is_quantised(self) -> bool:
        """Whether its weights are others than were published."""
        return self.target is not None and self.target["dtype"] == "int8"

    @property
    def is_measured(self) -> bool:
        """Whether any figure was obtained."""
        return bool(self.metrics)


def target_key(target: dict[str, Any] | None) -> str:
    """:attr:`archbench.core.spec.Target.key` of a stored target; empty for none."""
    if target is None:
        return ""
    # Older journals have neither memory format nor runtime.
    suffix = target_suffix(
        target["dtype"],
        "max" if target.get("largest_batch") else target["batch_size"],
        target["threads"],
        target.get("memory_format", "nchw"),
        target.get("runtime", "eager"),
        bool(target.get("cold_cache")),
    )
    return f"{target['slug']}/{suffix}"


def to_builtin(value: Any) -> Any:
    """A copy in exact builtin types.

    A subclass of float (every numpy scalar) in a report makes a worker drop it.

    Raises:
        TypeError: for what JSON has no form for.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, dict):
        return {str(name): to_builtin(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_builtin(item) for item in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    if hasattr(value, "item"):
        return to_builtin(value.item())
    raise TypeError(f"a record holds numbers, text, lists and tables, got {type(value).__name__}")


def merge_records(records: Iterable[Record]) -> list[Record]:
    """One record per cell, in the order in which cells first appear.

    What does not depend on a device joins every cell of its architecture, and what does not depend
    on a batch size every cell of its device and precision; where there is no other record it is a
    cell of its own. That something was not asked for is told by a cell of its own only: elsewhere
    it would hide what the others say, and its note stays.
    """
    cells: dict[tuple[str, str], Record] = {}
    shared: dict[str, Record] = {}
    for record in records:
        key = record.key
        cell = cells.setdefault(key, Record(record.id, record.target))
        _join(cell, record)
        if record.target is None:
            shared[record.id] = cell
    with_target = {model_id for model_id, target in cells if target}
    batched = {
        (cell.id, _precision(cell.target))
        for cell in cells.values()
        if cell.target is not None and cell.target["batch_size"] is not None
    }
    merged = []
    for (model_id, target), cell in cells.items():
        if not target and model_id in with_target:
            continue
        of_precision = cells.get((model_id, _precision(cell.target))) if cell.target else None
        if of_precision is cell and (model_id, _precision(cell.target)) in batched:
            continue
        others = [shared.get(model_id) if target else None]
        others.append(None if of_precision is cell else of_precision)
        whole = Record(model_id, cell.target)
        for part in (*others, cell):
            if part is not None:
                _join(whole, part)
        asked = [verdict for verdict in whole.verdicts if verdict.get("reason") not in UNASKED]
        if asked:
            whole.verdicts = asked
        merged.append(whole)
    return merged


def _precision(target: dict[str, Any] | None) -> str:
    """The key of what depends on the device and the precision alone."""
    return target_key({**target, "batch_size": None, "largest_batch": False}) if target else ""


def _join(into: Record, record: Record) -> None:
    into.metrics.update(record.metrics)

    # A test that ran several times says the same several times.
    def said(verdict: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(verdict.get(key) for key in ("metric", "status", "reason"))

    again = [said(one) for one in record.verdicts]
    into.verdicts = [one for one in into.verdicts if said(one) not in again] + record.verdicts
    into.notes.extend(record.notes)
    into.seconds.update(record.seconds)


def derived(record: Record) -> dict[str, Any]:
    """Statistics of a cell's series, computed when read.

    Returns:
        Quantiles in seconds per batch, throughput in images per second, precision, dispersion and
        number of samples; under ``absent`` the reason for each quantile that is missing. Empty
        for a cell without a latency.
    """
    latency = record.metrics.get("latency")
    if not latency or not latency.get("samples") or record.target is None:
        return {}
    summary = summarize(latency["samples"])
    result: dict[str, Any] = {"samples": summary.samples, "dispersion": summary.dispersion}
    absent: dict[str, str] = {}
    for name, value in summary.quantiles.items():
        if isinstance(value, Absent):
            absent[name] = value.reason
        else:
            result[name] = value
    if summary.precision is None:
        absent["precision"] = "the median's interval needs 6 samples"
    else:
        result["precision"] = summary.precision
    result["throughput"] = record.target["batch_size"] / summary.median
    if absent:
        result["absent"] = absent
    return result
