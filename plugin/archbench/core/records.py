"""What one test contributes to one cell, and how contributions meet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from archbench.core.agreement import REASON, UNSTEADY
from archbench.core.entries import MetricEntry
from archbench.core.forms import Stored, value_of
from archbench.core.lines import Environment
from archbench.core.process_runs import LOST, ProcessRun
from archbench.core.spec import Target
from archbench.core.statistics import Absent, Summary, summarize
from archbench.core.verdicts import UNASKED, Note, Verdict

OTHER_COUNTS = "other-counts"
"""Code of the note that a network's accepted counts are of another one."""

NOISE = ("noisy", "disturbed")
"""Codes of notes that say that a time is not to be trusted, which a table marks."""

NOT_MEASURED = "accuracy-not-measured"
"""Code of the note that says why."""

OF_ACCURACY = ("images-unreadable", "classes-lacking", "taken-up")
"""Codes of notes about the images of an accuracy."""

SAID_ELSEWHERE = (*NOISE, *OF_ACCURACY, NOT_MEASURED, LOST, "second-opinion")
"""Codes of notes that a summary has in a place of their own."""


@dataclass(slots=True)
class Record(Stored):
    """What is known about one cell.

    Attributes:
        id: of the architecture.
        target: None for what does not depend on a device, such as counts. Its batch size is None
            for what depends on the precision alone, such as accuracies.
        metrics: by name.
        verdicts: what became of its metrics.
        notes: doubts about the samples.
        seconds: where the time went: ``count``, ``load``, ``forward``.
    """

    id: str
    target: Target | None = None
    metrics: dict[str, MetricEntry] = field(default_factory=dict)
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

    def number(self, metric: str) -> float | None:
        """The value of a metric; None where it has none, or samples, or a shape."""
        value = self.metrics.get(metric, {}).get("value")
        return value if isinstance(value, (int, float)) else None

    @property
    def process_runs(self) -> list[ProcessRun]:
        """Those that its latency was measured in."""
        runs = self.metrics.get("latency", {}).get("process_runs", [])
        return runs if isinstance(runs, list) else []

    @property
    def environment(self) -> Environment:
        """What its latency was measured with; empty where that is not known."""
        return self.metrics.get("latency", {}).get("environment") or {}

    @property
    def is_other_network(self) -> bool:
        """Whether its runtime computes something else than the network, or nobody can tell: then it
        has no times."""
        return any(verdict.reason in (REASON, UNSTEADY) for verdict in self.verdicts)

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
    cell of its own. That something was not asked for is reported by a cell of its own only:
    elsewhere it would hide what the others say, and its note stays.
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
    """The key of what depends on the device, the precision and the runtime alone."""
    return target_key(target.batchless if target is not None else None)


def _join(into: Record, record: Record) -> None:
    into.metrics.update(record.metrics)

    # A test that ran several times says the same several times.
    again = {verdict.about for verdict in record.verdicts}
    into.verdicts = [one for one in into.verdicts if one.about not in again] + record.verdicts
    into.notes += [note for note in record.notes if note not in into.notes]
    into.seconds.update(record.seconds)


def derived(record: Record) -> dict[str, float]:
    """Statistics of a cell's series, computed when read.

    Returns:
        Quantiles in seconds per batch, throughput in images per second, precision, dispersion and
        number of samples, as far as there are samples enough. Empty for a cell without a latency,
        or whose runtime computes something else.
    """
    summary = _summary_of(record)
    if summary is None or record.target is None:
        return {}
    return {
        "samples": summary.samples,
        "dispersion": summary.dispersion,
        **{name: one for name, one in summary.quantiles.items() if not isinstance(one, Absent)},
        **({} if summary.precision is None else {"precision": summary.precision}),
        "throughput": record.target.images / summary.median,
    }


def not_derived(record: Record) -> dict[str, str]:
    """Why statistics of a cell's series are missing, by name."""
    summary = _summary_of(record)
    if summary is None:
        return {}
    absent = {
        name: one.reason for name, one in summary.quantiles.items() if isinstance(one, Absent)
    }
    if summary.precision is None:
        absent["precision"] = "the median's interval needs 6 samples"
    return absent


def statistics_of(record: Record) -> dict[str, float | dict[str, str]]:
    """Both, as results have them: what is missing is under ``absent``, if anything is."""
    absent = not_derived(record)
    return {**derived(record), **({"absent": absent} if absent else {})}


def _summary_of(record: Record) -> Summary | None:
    samples = record.metrics.get("latency", {}).get("samples")
    if not samples or record.target is None or record.is_other_network:
        return None
    return _summary(tuple(samples))


@lru_cache(maxsize=64)
def _summary(samples: tuple[float, ...]) -> Summary:
    """Computed once for a cell, which several that report on it ask for."""
    return summarize(samples)
