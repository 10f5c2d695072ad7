"""Choosing an architecture: the best by top-1 within limits, and the table of Bianco et al."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from archbench.core.errors import UsageError
from archbench.core.rows import Row, Value
from archbench.core.run_config import StatedConfig
from archbench.core.units import parse_quantity
from archbench.metrics import METRICS, Metric


def limit_options() -> dict[str, Metric]:
    """What can have a limit, by the name of its option: ``max-latency``, ``min-top1``."""
    return {
        f"{'min' if metric.better == 'higher' else 'max'}-{metric.option}": metric
        for metric in METRICS.values()
        if metric.option
    }


MEMORY_LIMITS = (0.7e9, 1.0e9, 1.4e9)
"""Of table 3 of Bianco et al. 2018, in bytes: low, medium, high."""

FRAME_RATES = (15.0, 30.0, 60.0)
"""Of the same table, in images per second at batch 1."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that somebody sets.

    Attributes:
        name: of :func:`limit_options`.
        value: in SI; the value itself is within.
        text: as it was written.
    """

    name: str
    value: float
    text: str

    @property
    def kind(self) -> Metric:
        """What is limited."""
        return limit_options()[self.name]

    def holds(self, value: float) -> bool:
        """Whether a value is within the limit."""
        return value >= self.value if self.kind.better == "higher" else value <= self.value

    def is_within_error(self, figure: Value) -> bool:
        """Whether the limit lies inside the interval that the figure is known to."""
        return (
            figure.low is not None
            and figure.high is not None
            and figure.low < self.value < figure.high
        )


def parse_limit(name: str, text: str) -> Limit:
    """Read a limit: ``parse_limit("max-latency", "10ms")``.

    Raises:
        UsageError: a unit that is missing, or is none of the limit's kind.
    """
    kind = limit_options()[name]
    written = text.strip()
    is_plain = written.replace(".", "", 1).isdecimal()
    quantity = f"{written} {kind.option_unit}" if kind.option_unit and is_plain else written
    try:
        value = parse_quantity(quantity, kind.kind).value
    except UsageError as error:
        raise UsageError(f"--{name}={text}", error.found, error.todo) from error
    return Limit(name, value, written)


@dataclass(frozen=True, slots=True)
class Choice:
    """What is left within limits.

    Attributes:
        best: the best by top-1, one cell for each architecture, the best first.
        within: number of architectures within all limits that have a top-1 accuracy.
        considered: number of cells that were looked at.
        outside: for each limit, by its name, the number of cells beyond it; a cell may be beyond
            several.
        without: for each metric that a limit or the ranking needs, the names of the cells that
            have no such figure and are therefore left out.
        doubtful: positions in ``best`` of cells for which a limit lies within the measuring error,
            with the names of those limits.
    """

    best: tuple[Row, ...]
    within: int
    considered: int
    outside: Mapping[str, int]
    without: Mapping[str, tuple[str, ...]]
    doubtful: Mapping[int, tuple[str, ...]]


def best_within_limits(rows: Iterable[Row], limits: Sequence[Limit], *, count: int = 5) -> Choice:
    """The best architectures by top-1 among those within all limits.

    A cell without a figure that a limit is about is left out, and so is one without top-1: what is
    not known is not within a limit. Of the cells of one architecture the fastest stands for it.
    Equal accuracies are ordered by throughput, then by name.

    Args:
        rows: cells.
        limits: that all have to hold.
        count: how many to return at most.
    """
    outside: dict[str, int] = {limit.name: 0 for limit in limits}
    without: dict[str, list[str]] = {}
    within: list[Row] = []
    considered = 0
    for row in rows:
        considered += 1
        needed = {"top1", *(limit.kind.name for limit in limits)}
        missing = needed - row.values.keys()
        for metric in missing:
            without.setdefault(metric, []).append(_cell_name(row))
        beyond = _beyond(row, limits)
        for name in beyond:
            outside[name] += 1
        if not missing and not beyond:
            within.append(row)
    best: dict[tuple[str, str], Row] = {}
    for row in sorted(within, key=_rank):
        best.setdefault((row.library, row.name), row)
    chosen = tuple(best.values())[:count]
    within_error = {place: _within_error(row, limits) for place, row in enumerate(chosen)}
    return Choice(
        chosen,
        len(best),
        considered,
        {name: number for name, number in outside.items() if number},
        {metric: tuple(without[metric]) for metric in METRICS if metric in without},
        {place: names for place, names in within_error.items() if names},
    )


def _beyond(row: Row, limits: Sequence[Limit]) -> list[str]:
    """Limits that a row does not keep, by figures that it has."""
    known = {name: figure.value for name, figure in row.values.items()}
    return [
        limit.name
        for limit in limits
        if limit.kind.name in known and not limit.holds(known[limit.kind.name])
    ]


def _within_error(row: Row, limits: Sequence[Limit]) -> tuple[str, ...]:
    """Limits that a row keeps by less than the error of its figure."""
    return tuple(
        limit.name for limit in limits if limit.is_within_error(row.values[limit.kind.name])
    )


def _rank(row: Row) -> tuple[float, float, str]:
    return -row.values["top1"].value, -(row.value("throughput") or 0.0), row.name


def _cell_name(row: Row) -> str:
    return " ".join(part for part in (row.name, row.target) if part)


@dataclass(frozen=True, slots=True)
class LimitTable(StatedConfig):
    """The best architectures of one device and run configuration for each pair of limits.

    Attributes:
        device: short name.
        device_name: the vendor's name.
        memory_limits: in bytes.
        frame_rates: in images per second.
        cells: for each pair ``(memory limit, frame rate)`` the choice.
    """

    device: str
    device_name: str
    memory_limits: tuple[float, ...]
    frame_rates: tuple[float, ...]
    cells: Mapping[tuple[float, float], Choice]


def best_by_limits(
    rows: Iterable[Row],
    *,
    memory_limits: Sequence[float] = MEMORY_LIMITS,
    frame_rates: Sequence[float] = FRAME_RATES,
    count: int = 5,
) -> list[LimitTable]:
    """The best by top-1 for each pair of memory limit and frame rate, a table for each device,
    precision and way of running.

    Bianco et al. 2018, table 3: an architecture is within a pair if at batch size 1 it takes at
    most so much memory and does at least so many images per second.

    Args:
        rows: cells; those of another batch size than 1 are passed over.
        memory_limits: in bytes.
        frame_rates: in images per second.
        count: architectures in a cell of the table at most.
    """
    tables: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        if row.device and row.batch_size == 1:
            key = (row.device, *row.values_without("batch_size", "threads"))
            tables.setdefault(key, []).append(row)
    return [
        LimitTable(
            cells[0].device,
            cells[0].device_name,
            tuple(memory_limits),
            tuple(frame_rates),
            {
                (memory, rate): best_within_limits(
                    cells,
                    (
                        Limit("max-memory", memory, METRICS["peak_memory"].text(memory)),
                        Limit("min-throughput", rate, METRICS["throughput"].text(rate)),
                    ),
                    count=count,
                )
                for memory in memory_limits
                for rate in frame_rates
            },
            **cells[0].fields_without("batch_size", "threads", "largest_batch"),
        )
        for cells in tables.values()
    ]


def borrow_memory(
    rows: Sequence[Row], lender: str | None = None
) -> tuple[list[Row], dict[str, str]]:
    """Give cells without a peak memory that of the same cell on another device.

    Bianco et al. measured memory on one of their two devices and apply it to both.

    Args:
        rows: cells of one source.
        lender: short name of the device whose memory stands in; None for any, of published figures
            only: what was measured here stands in where that is asked for.

    Returns:
        The cells in their order, and for each device that borrowed the one that it borrowed from.
        A device that has a peak memory of its own for any cell borrows nothing.
    """
    known: dict[tuple[object, ...], Row] = {}
    owners: set[str] = set()
    for row in rows:
        memory = row.values.get("peak_memory")
        if memory is not None:
            owners.add(row.device)
            if row.device == lender or (lender is None and memory.kind == "published"):
                known[_elsewhere(row)] = row
    lent: dict[str, str] = {}
    found = []
    for row in rows:
        other = known.get(_elsewhere(row))
        if other is None or row.device in owners:
            found.append(row)
            continue
        memory = other.values["peak_memory"]
        borrowed = replace(memory, source=f"{memory.source}, on {other.device}")
        found.append(replace(row, values={**row.values, "peak_memory": borrowed}))
        lent[row.device] = other.device
    return found, lent


def _elsewhere(row: Row) -> tuple[object, ...]:
    """Names the cell whatever its device."""
    return row.run, row.id, row.name, *row.values_without("threads")
