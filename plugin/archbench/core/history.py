"""What was measured of one cell over time: entries in order, what differs between them, changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from itertools import pairwise
from math import isfinite
from statistics import median
from types import MappingProxyType
from typing import Any

from archbench.core.points import Figure, Point, with_derived
from archbench.core.records import Record, derived
from archbench.core.run_config import StatedConfig
from archbench.core.statistics import median_interval, quantile
from archbench.metrics import METRICS


@dataclass(frozen=True, slots=True)
class Cell(StatedConfig):
    """What has to be equal for two figures to stand on one line.

    How it was run is None for what was counted. The batch size is None as well where it is the
    largest that fits, which may differ from run to run.

    Attributes:
        id: ``timm/resnet50``; of a test that is not archbench's, its full name.
        device: short name: ``cpu-amd-epyc``; empty for what was counted.
    """

    id: str
    device: str = ""

    @classmethod
    def of(cls, id: str, device: str, config: StatedConfig) -> Cell:
        """What was timed on a device, by its short name."""
        return cls(id, device, **_line_of(config))

    @classmethod
    def of_point(cls, point: Point) -> Cell:
        """The line that a point's times stand on."""
        return cls(point.id, point.device, **_line_of(point))

    @property
    def target(self) -> str:
        """``cpu-amd-epyc fp32 batch 1``, as :attr:`archbench.core.points.Point.target`."""
        return f"{self.device} {self.setting}".rstrip() if self.device else ""

    @property
    def title(self) -> str:
        """``timm/resnet50 cpu-amd-epyc fp32 batch 1``."""
        return f"{self.id} {self.target}".strip()


def _line_of(config: StatedConfig) -> dict[str, Any]:
    fields = config.fields_without()
    return {**fields, "batch_size": None} if config.largest_batch else fields


@dataclass(frozen=True, slots=True)
class Entry:
    """One figure of a line.

    Attributes:
        when: ISO date and time in UTC, to the second; sorts by time.
        value: in the SI unit of the metric.
        sources: ids of runs and names of files that it stands in, one for each run.
        commit: of the project; None where unknown.
        dirty: whether tracked files differed from the commit; None where unknown.
        low, high: the interval that the value is known to; None where unknown.
        versions: what it was measured with, by name: ``torch``, ``timm``, ``Python``, ``CPU``.
        events: what differs from the entry before: ``torch 2.5.1 -> 2.6.0``.

    Raises:
        ValueError: the value is infinite or not a number.
    """

    when: str
    value: float
    sources: tuple[str, ...]
    commit: str | None = None
    dirty: bool | None = None
    low: float | None = None
    high: float | None = None
    versions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    events: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isfinite(self.value):
            raise ValueError(f"{self.value} is not a figure")


@dataclass(frozen=True, slots=True)
class Observation:
    """A figure as it was found, before it has a place on a line."""

    cell: Cell
    metric: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class Series:
    """The figures of one cell and metric in the order of time.

    Attributes:
        metric: its name in :data:`archbench.metrics.METRICS`.
    """

    cell: Cell
    metric: str
    entries: tuple[Entry, ...]

    @property
    def values(self) -> list[float]:
        """In SI, in the order of time."""
        return [entry.value for entry in self.entries]


@dataclass(frozen=True, slots=True)
class Change:
    """A change point: values from ``index`` on are of another level than those before it.

    Attributes:
        before, after: medians of the stretches between it and the change points beside it.
    """

    index: int
    before: float
    after: float

    @property
    def relative(self) -> float | None:
        """``0.1`` for ten percent more; None where the level before is 0."""
        return relative_change(self.before, self.after)


def is_exact(metric: str) -> bool:
    """Whether values are counted, so that any difference is a change."""
    return METRICS[metric].check == "equality"


def relative_change(before: float, after: float) -> float | None:
    """``after / before - 1``; None where there is nothing to relate to."""
    return None if before == 0 else after / before - 1


def moment(text: str) -> str:
    """A date and time as :attr:`Entry.when` holds it. Without a zone it is taken for UTC.

    Args:
        text: ISO, such as ``2026-01-02`` or ``2026-01-02T03:04:05.6+01:00``; or a run's id.

    Raises:
        ValueError: it is none of these.
    """
    try:
        # Python 3.10 does not read the Z.
        date = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    except ValueError:
        date = datetime.strptime(text.partition("Z-")[0], "%Y%m%dT%H%M%S")
    date = date.replace(tzinfo=date.tzinfo or timezone.utc).astimezone(timezone.utc)
    return date.isoformat(timespec="seconds")


def versions_of(environment: Mapping[str, Any], id: str) -> dict[str, str]:
    """What figures of an architecture depend on, of a run's environment; what is unknown is absent.

    Args:
        environment: of a run's header.
        id: of the architecture, whose library is one of the versions.
    """
    packages = environment.get("packages") or {}
    library = id.partition("/")[0]
    found = {
        "torch": packages.get("torch"),
        library: environment.get("archbench") if library == "archbench" else packages.get(library),
        "Python": environment.get("python"),
        "CPU": environment.get("cpu"),
    }
    return {name: str(version) for name, version in found.items() if version}


def figures_of(record: Record, source: str) -> dict[str, Figure]:
    """The figures of a cell of a run by metric, and what follows from them.

    A series of samples is its median with the 95 % interval of it.

    Raises:
        TypeError, ValueError, KeyError, AttributeError: a record that is damaged.
    """
    figures: dict[str, Figure] = {}
    for name, metric in record.metrics.items():
        if name not in METRICS:
            continue
        if metric.get("samples"):
            ordered = sorted(map(float, metric["samples"]))
            low, high = median_interval(ordered) or (None, None)
            figures[name] = Figure(quantile(ordered, 0.5), "measured", source, low, high)
        elif "value" in metric:
            figures[name] = Figure(float(metric["value"]), str(metric.get("source", "")), source)
    if "p95" in (statistics := derived(record)):
        figures["latency_p95"] = Figure(statistics["p95"], "measured", source)
    return with_derived(figures, record.target.batch_size if record.target is not None else None)


def observations_of(
    record: Record,
    source: str,
    when: str,
    *,
    environment: Mapping[str, Any],
    metrics: Sequence[str] | None = None,
) -> list[Observation]:
    """The figures of a cell of a run, each with the line that it belongs to.

    Args:
        record: merged.
        source: id of the run.
        when: as :func:`moment` writes it.
        environment: of the run's header.
        metrics: names of those that are wanted; None for all.

    Raises:
        TypeError, ValueError, KeyError, AttributeError: a record that is damaged.
    """
    git = environment.get("git") or {}
    versions = versions_of(environment, record.id)
    target = record.target
    timed = None
    if target is not None:
        timed = Cell.of(record.id, target.slug, target)
        if timed.largest_batch:
            versions["batch size"] = str(target.batch_size)
    found = []
    for name, figure in figures_of(record, source).items():
        cell = Cell(record.id) if is_exact(name) else timed
        if cell is None or (metrics is not None and name not in metrics):
            continue
        entry = Entry(
            when, figure.value, (source,), git.get("commit"), git.get("dirty"),
            figure.low, figure.high, versions,
        )  # fmt: skip
        found.append(Observation(cell, name, entry))
    return found


def series_of(observations: Iterable[Observation], *, merge: bool = True) -> list[Series]:
    """Lines of figures, each of one cell and metric; never of two devices.

    A figure that a run's journal and pytest-benchmark's file both hold, to the last digit and for
    one commit, was stored twice and counts once.

    Args:
        observations: in any order.
        merge: make one entry of the runs of a commit that follow each other, unless tracked files
            differed from it, something else changed in between, or a count differs. Its value is
            their median, its interval spans theirs.
    """
    lines: dict[tuple[Cell, str], list[Entry]] = {}
    for observation in observations:
        lines.setdefault((observation.cell, observation.metric), []).append(observation.entry)
    found = []
    for (cell, metric), entries in lines.items():
        ordered = sorted(entries, key=lambda entry: entry.when)
        ordered = _with_events(_stored_once(ordered))
        if merge:
            ordered = _merged(ordered, is_exact(metric))
        found.append(Series(cell, metric, tuple(ordered)))
    return found


def _stored_once(entries: Sequence[Entry]) -> list[Entry]:
    """Without those that a file of another kind tells more of; a kind shows in what it tells."""
    told: dict[tuple[str | None, float], list[Entry]] = {}
    for entry in entries:
        told.setdefault((entry.commit, entry.value), []).append(entry)

    def is_told_better(entry: Entry) -> bool:
        return any(
            len(other.versions) > len(entry.versions) for other in told[entry.commit, entry.value]
        )

    return [entry for entry in entries if not is_told_better(entry)]


def _with_events(entries: Sequence[Entry]) -> list[Entry]:
    known: dict[str, str] = {}
    found = []
    for entry in entries:
        events = tuple(
            f"{name} {known[name]} -> {version}"
            for name, version in entry.versions.items()
            if known.get(name, version) != version
        )
        known.update(entry.versions)
        found.append(replace(entry, events=events))
    return found


def _merged(entries: Sequence[Entry], exact: bool) -> list[Entry]:
    groups: list[list[Entry]] = []
    for entry in entries:
        last = groups[-1][-1] if groups else None
        if (
            last is not None
            and entry.commit is not None
            and entry.commit == last.commit
            and not (entry.dirty or last.dirty or entry.events)
            and not (exact and entry.value != last.value)
        ):
            groups[-1].append(entry)
        else:
            groups.append([entry])
    return [group[0] if len(group) == 1 else _one_of(group) for group in groups]


def _one_of(group: Sequence[Entry]) -> Entry:
    def end(choose: Callable[[list[float]], float], ends: list[float | None]) -> float:
        return choose([*(entry.value for entry in group), *(e for e in ends if e is not None)])

    return replace(
        group[0],
        value=median(entry.value for entry in group),
        low=end(min, [entry.low for entry in group]),
        high=end(max, [entry.high for entry in group]),
        sources=tuple(source for entry in group for source in entry.sources),
    )


def exact_change_points(values: Sequence[float]) -> list[int]:
    """Where counted values differ from the one before."""
    return [index for index in range(1, len(values)) if values[index] != values[index - 1]]


def changes_at(values: Sequence[float], indices: Sequence[int]) -> list[Change]:
    """Change points with the levels on both sides.

    Args:
        values: of a line, in the order of time.
        indices: ascending, of the first value of each new level; above 0.
    """
    ends = [0, *indices, len(values)]
    levels = [median(values[a:b]) for a, b in pairwise(ends)]
    return [Change(index, levels[i], levels[i + 1]) for i, index in enumerate(indices)]
