"""Absolute limits: gates that need no baseline."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from archbench.core.errors import UsageError
from archbench.core.records import Record, derived, not_derived
from archbench.core.selectors import Selector, refuse_unknown
from archbench.core.units import Quantity, parse_quantity
from archbench.core.verdicts import Verdict
from archbench.metrics import METRICS, format_significant

REASONS = (
    "within-budget",
    "over-budget",
    "too-few-samples",
    "figure-missing",
    "nothing-measures-it",
)
"""Reason codes of a budget's verdict."""


@dataclass(frozen=True, slots=True)
class Budgetable:
    """What a budget can limit.

    Attributes:
        kind: of quantity, see :data:`archbench.core.units.UNITS`.
        metric: the entry of a record that it comes from.
        counted: whether it is the same on every device; the rest is measured.
        least: whether the limit is the least value that will do; else the greatest.
    """

    kind: str
    metric: str
    counted: bool = False
    least: bool = False


def budgetable() -> dict[str, Budgetable]:
    """Everything that can have a budget, by its name. Latency is per batch, throughput in images
    per second, the counts of one image."""
    found = {}
    for metric in METRICS.values():
        figure = Budgetable(
            metric.kind,
            metric.entry or metric.name,
            metric.of == "network",
            metric.better == "higher",
        )
        names = [f"{metric.name}_{one}" for one in metric.quantiles] or [metric.name]
        found.update(dict.fromkeys(names if metric.kind else [], figure))
        if metric.name == "operator_calls":  # the last of the counts
            found["param_bytes"] = Budgetable("a size", "param_bytes", counted=True)
    return found


_LIMIT = re.compile(r"(?P<name>[\w-]+)\s*(?P<sign>[<>=!≤≥]+)\s*(?P<quantity>.*)")


@dataclass(frozen=True, slots=True)
class BudgetLimit:
    """``latency_p95 <= 10 ms``.

    Attributes:
        name: of what is limited, one of :func:`budgetable`.
        bound: what the figure may reach, itself included.
    """

    name: str
    bound: Quantity

    @property
    def is_least(self) -> bool:
        """Whether the figure has to be at least the bound, not at most."""
        return budgetable()[self.name].least

    def __str__(self) -> str:
        number = format_significant(self.bound.value / self.bound.scale, 15)
        sign = ">=" if self.is_least else "<="
        return f"{self.name} {sign} {number} {self.bound.unit}".rstrip()

    def excess(self, value: float) -> float:
        """How far a value lies beyond the bound; 0 or less where it keeps it."""
        return self.bound.value - value if self.is_least else value - self.bound.value

    def text(self, value: float) -> str:
        """A value in the bound's unit, with digits enough to tell it from the bound."""
        if budgetable()[self.name].kind == "a number":
            return f"{value:,.0f}"
        scale, bound = self.bound.scale, self.bound.value
        shown = format_significant(value / scale, 4)
        for digits in range(5, 18):
            if value == bound or shown != format_significant(bound / scale, digits - 1):
                break
            shown = format_significant(value / scale, digits)
        return f"{shown} {self.bound.unit}"


def parse_budget_limit(text: str) -> BudgetLimit:
    """Read ``FIGURE <= QUANTITY``, or ``>=`` where more is better.

    Raises:
        UsageError: an unknown figure, the wrong sign, a quantity that is none, or of another kind.
    """
    asked = repr(text)
    match = _LIMIT.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            asked, "a figure, a sign and a quantity are expected", "Write 'latency_p95 <= 10 ms'"
        )
    name, sign = match["name"], match["sign"]
    if name == "latency":
        raise UsageError(
            asked, "a latency has several quantiles", "Write latency_p50, _p90, _p95 or _p99"
        )
    known = budgetable()
    refuse_unknown(asked, name, known, "figure")
    figure = known[name]
    expected = ">=" if figure.least else "<="
    if sign != expected:
        meaning = "more is better" if figure.least else "less is better"
        corrected = f"{name} {expected} {match['quantity']}".strip()
        raise UsageError(
            asked,
            f"{sign!r} is not how {name} is limited: {meaning}",
            f"Write {corrected!r}",
        )
    try:
        bound = parse_quantity(match["quantity"], figure.kind)
    except UsageError as error:
        raise UsageError(asked, error.found, error.todo) from None
    return BudgetLimit(name, bound)


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit, and the cells that have to keep it.

    Attributes:
        limit: what is limited, and to what.
        selector: the cells by architecture, device and precision.
        batch_size, threads: of the cells; None for any.
        place: where it is written, for people: ``pyproject.toml, budget 2``.

    Raises:
        UsageError: a count is limited on some devices only.
    """

    limit: BudgetLimit
    selector: Selector = field(default_factory=Selector)
    batch_size: int | None = None
    threads: int | None = None
    place: str = ""

    def __post_init__(self) -> None:
        if not self.limited.counted:
            return
        given = {
            "device": self.selector.device != "*",
            "dtype": self.selector.dtype != "*" and self.limit.name != "param_bytes",
            "batch_size": self.batch_size is not None,
            "threads": self.threads is not None,
        }
        for key, is_given in given.items():
            if is_given:
                raise UsageError(
                    f"{key} with {str(self.limit)!r}",
                    f"{self.limit.name} is counted, and the same whatever the {key}",
                    f"Leave {key} out",
                )

    @property
    def limited(self) -> Budgetable:
        """What is known about the figure that is limited."""
        return budgetable()[self.limit.name]

    def selects(self, record: Record, dtype: str | None = None) -> bool:
        """Whether a cell has to keep the limit.

        Args:
            record: of the cell. Without a target its architecture decides alone.
            dtype: precision that is meant where the record has no target; None for any.
        """
        target = record.target
        if target is None:
            return self.selector.matches(record.id, None, dtype)
        return self.selector.matches(record.id, target.slug, target.dtype) and (
            # An accuracy depends on neither, and has no batch size.
            target.batch_size is None
            or (
                self.batch_size in (None, target.batch_size)
                and self.threads in (None, target.threads)
            )
        )

    def __str__(self) -> str:
        return f"{self.limit} ({self.place})" if self.place else str(self.limit)


@dataclass(frozen=True, slots=True)
class _Missing:
    reason: str
    cause: str


def judge_budget(budget: Budget, record: Record, dtype: str | None = None) -> Verdict:
    """Compare a cell's figure with its budget.

    The figure is taken as it is: one process, no allowance for noise.

    Args:
        budget: one that selects the record.
        record: of a cell, merged or as one test made it.
        dtype: precision whose ``param_bytes`` are meant where the record has no target.

    Returns:
        ``unchanged`` with the reason ``within-budget``, ``regressed`` with ``over-budget``, or
        ``not-measured`` with ``too-few-samples``, ``figure-missing`` or ``nothing-measures-it``.
    """
    name, limit = budget.limit.name, budget.limit
    precision = record.target.dtype if record.target is not None else dtype
    about = f"{limit} in {precision}" if name == "param_bytes" else str(limit)
    value = _value(budget, record, precision)
    if isinstance(value, _Missing):
        sentence = f"{budget} cannot be judged: {value.cause}"
        return Verdict(name, "not-measured", value.reason, sentence, budget=about)
    shown = f"{name} in {precision}" if name == "param_bytes" else name
    shown += f" is {limit.text(value)}"
    excess = limit.excess(value)
    if excess <= 0:
        sentence = f"{shown}, within its budget {budget}"
        return Verdict(name, "unchanged", "within-budget", sentence, value=value, budget=about)
    bound = limit.bound.value
    share = f"{format_significant(excess / bound * 100, 3)} % " if bound else ""
    sentence = f"{shown}, {share}{'short of' if limit.is_least else 'over'} its budget {budget}"
    if not budget.limited.counted and record.notes:
        sentence += f"; in doubt, since {', '.join(note.text for note in record.notes)}"
    return Verdict(name, "regressed", "over-budget", sentence, value=value, budget=about)


def _value(budget: Budget, record: Record, dtype: str | None) -> float | _Missing:
    name, figure = budget.limit.name, budget.limited
    entry = record.metrics.get(figure.metric)
    if entry is None:
        verb = "counted" if figure.counted else "measured"
        return _Missing("figure-missing", f"{figure.metric} was not {verb}")
    if figure.metric == "latency":
        statistics, quantile = derived(record), name.removeprefix("latency_")
        if quantile in statistics:
            return float(statistics[quantile])
        absent = not_derived(record).get(quantile)
        if absent is None:
            return _Missing("figure-missing", "latency has no samples")
        return _Missing("too-few-samples", absent)
    if entry.get("value") is None and "absent" in entry:
        return _Missing("figure-missing", entry["absent"])
    if name == "param_bytes":
        if dtype not in entry["by_dtype"]:
            return _Missing("figure-missing", f"{name} are not known in {dtype}")
        return float(entry["by_dtype"][dtype])
    value = record.number(figure.metric)
    return float(value) if value is not None else _Missing("figure-missing", f"no {name}")


def unjudged(budgets: Sequence[Budget], cells: Sequence[Record]) -> list[tuple[Budget, int]]:
    """Budgets that cells of a run have to keep and nothing in the run measured.

    Args:
        budgets: all of them.
        cells: merged records.

    Returns:
        Each such budget, with the number of cells.
    """
    found = []
    for budget in budgets:
        metric = budget.limited.metric
        number = sum(
            metric not in cell.metrics and budget.selects(cell) and not _is_judged(budget, cell)
            for cell in cells
        )
        if number:
            found.append((budget, number))
    return found


def _is_judged(budget: Budget, cell: Record) -> bool:
    return any(
        verdict.metric == budget.limit.name and verdict.budget is not None
        for verdict in cell.verdicts
    )
