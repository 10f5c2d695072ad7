"""What one test contributes to one cell, and how contributions meet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from archbench.core.forms import Stored, value_of
from archbench.core.spec import Target
from archbench.core.statistics import Absent, Summary, summarize
from archbench.core.verdicts import UNASKED, Note, Verdict

ABOUT_NETWORKS = ("filled", "doubtful-values", "gradients", "keeps-results", "which-scores")
"""Codes of notes that say how a person's own network was run, beside its figures."""

NOISE = ("noisy", "disturbed")
"""Codes of notes that say that a time is not to be trusted."""


@dataclass(slots=True)
class Record(Stored):
    """What is known about one cell.

    Attributes:
        id: of the architecture.
        target: None for what does not depend on a device, such as counts. Its batch size is None
            for what depends on the precision alone, such as accuracies.
        metrics: name to ``{"value" or "samples", "unit", "source", ...}``.
        verdicts: what became of its metrics.
        notes: doubts about the samples.
        seconds: where the time went: ``count``, ``load``, ``forward``.
    """

    id: str
    target: Target | None = None
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """Names the cell: id, and device, precision, batch size and threads."""
        return self.id, target_key(self.target)

    @property
    def suffix(self) -> str:
        """The part of the key that does not depend on the device; empty without a target."""
        return self.target.suffix if self.target is not None else ""

    @property
    def test_suffix(self) -> str:
        """What the ids of its tests show: the suffix, and the device where a run has several."""
        return self.target.id if self.target is not None else ""

    @property
    def is_quantised(self) -> bool:
        """Whether its weights are others than were published."""
        return self.target is not None and self.target.dtype == "int8"

    @property
    def is_noisy(self) -> bool:
        """Whether its time is not to be trusted."""
        return any(note.code in NOISE for note in self.notes)

    @property
    def is_measured(self) -> bool:
        """Whether any figure was obtained."""
        return bool(self.metrics)


@dataclass(frozen=True, slots=True)
class SinceLastRun:
    """How far a cell's time is from that of an earlier run.

    Attributes:
        run: the earlier run's name, which begins with its time.
        change: of the median time of a batch, as a share of the earlier one.
    """

    run: str
    change: float


def target_of(data: object) -> Target:
    """A stored target; what older versions did not write was usual then.

    Raises:
        ValueError: a field is missing or of another type; says which.
    """
    return value_of(Target, data)


def target_key(target: Target | None) -> str:
    """:attr:`archbench.core.spec.Target.key`; empty for none."""
    return target.key if target is not None else ""


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
        if cell.target is not None and cell.target.batch_size is not None
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
        asked = [verdict for verdict in whole.verdicts if verdict.reason not in UNASKED]
        if asked:
            whole.verdicts = asked
        merged.append(whole)
    return merged


def _precision(target: Target | None) -> str:
    """The key of what depends on the device and the precision alone."""
    return target_key(target.batchless if target is not None else None)


def _join(into: Record, record: Record) -> None:
    into.metrics.update(record.metrics)

    # A test that ran several times says the same several times.
    again = {verdict.about for verdict in record.verdicts}
    into.verdicts = [one for one in into.verdicts if one.about not in again] + record.verdicts
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
    summary = _summary(tuple(latency["samples"]))
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
    result["throughput"] = record.target.images / summary.median
    if absent:
        result["absent"] = absent
    return result


@lru_cache(maxsize=64)
def _summary(samples: tuple[float, ...]) -> Summary:
    """Computed once for a cell, which several that report on it ask for."""
    return summarize(samples)
