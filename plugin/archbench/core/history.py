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

from archbench.core.figures import figures_of
from archbench.core.headers import RunEnvironment
from archbench.core.records import Record
from archbench.core.rows import NOISY, Row, with_derived
from archbench.core.run_config import StatedConfig
from archbench.core.spec import Target
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
    def of_row(cls, row: Row) -> Cell:
        """The line that a row's times stand on."""
        return cls(row.id, row.device, **_line_of(row))

    @property
    def target(self) -> str:
        """``cpu-amd-epyc fp32 batch 1``, as :attr:`archbench.core.rows.Row.target`."""
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
        noisy: whether other work on the machine keeps it, or one of the runs, from being trusted.

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
    noisy: bool = False

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
class ChangePoint:
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


def versions_of(environment: RunEnvironment, id: str, *, counted: bool = False) -> dict[str, str]:
    """What figures of an architecture depend on, of a run's environment; what is unknown is absent.

    Args:
        environment: of a run's header.
        id: of the architecture, whose library is one of the versions.
        counted: whether they are counts, which are the same on each processor.
    """
    packages = environment.get("packages") or {}
    library = id.partition("/")[0]
    found = {
        "torch": packages.get("torch"),
        library: environment.get("archbench") if library == "archbench" else packages.get(library),
        "Python": environment.get("python"),
        "CPU": None if counted else environment.get("cpu"),
    }
    return {name: str(version) for name, version in found.items() if version}


def observations_of(
    record: Record,
    source: str,
    when: str,
    *,
    environment: RunEnvironment,
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
    about = (source,), git.get("commit"), git.get("dirty")
    target = record.target
    batch_size = None if target is None else target.batch_size
    found = []
    for name, figure in with_derived(figures_of(record, source), batch_size).items():
        cell = cell_of(record.id, target, name)
        if cell is not None and (metrics is None or name in metrics):
            versions = versions_at(record.id, target, name, environment)
            figures = float(figure.value), *about, figure.low, figure.high
            noisy = record.is_noisy and name in NOISY
            found.append(Observation(cell, name, Entry(when, *figures, versions, noisy=noisy)))
    return found


def cell_of(id: str, target: Target | None, metric: str) -> Cell | None:
    """The line that a figure of a run stands on; None for what was neither counted nor timed."""
    if is_exact(metric):
        return Cell(id)
    return None if target is None else Cell.of(id, target.slug, target)


def versions_at(
    id: str, target: Target | None, metric: str, environment: RunEnvironment
) -> dict[str, str]:
    """What a figure of a run was measured with."""
    if is_exact(metric):
        return versions_of(environment, id, counted=True)
    versions = versions_of(environment, id)
    if target is not None and target.largest_batch:
        versions["batch size"] = str(target.batch_size)
    return versions


Lines = dict[tuple[Cell, str], list[Entry]]
"""Entries by cell and metric, in any order."""

_NONE: Mapping[tuple[Cell, str], Sequence[Entry]] = MappingProxyType({})


def series_of(
    observations: Iterable[Observation], lines: Mapping[tuple[Cell, str], Sequence[Entry]] = _NONE,
    *, merge: bool = True,
) -> list[Series]:  # fmt: skip
    """Lines of figures, each of one cell and metric; never of two devices.

    A figure that a run's journal and pytest-benchmark's file both hold, to the last digit and for
    one commit, was stored twice and counts once.

    Args:
        observations: in any order.
        lines: further entries, which are put together already.
        merge: make one entry of the runs of a commit that follow each other, unless tracked files
            differed from it, something else changed in between, or a count differs. Its value is
            their median, its interval spans theirs.
    """
    all_lines: Lines = {key: list(entries) for key, entries in lines.items()}
    for observation in observations:
        key = observation.cell, observation.metric
        all_lines.setdefault(key, []).append(observation.entry)
    found = []
    for (cell, metric), entries in all_lines.items():
        ordered = sorted(entries, key=lambda entry: entry.when)
        ordered = _with_events(_stored_once(ordered))
        if merge:
            ordered = _merged(ordered, is_exact(metric))
        found.append(Series(cell, metric, tuple(ordered)))
    return found


def _stored_once(entries: Sequence[Entry]) -> list[Entry]:
    """Without those of which a file of another kind says more, which names more versions."""
    if len({len(entry.versions) for entry in entries}) < 2:
        return list(entries)
    alike: dict[tuple[str | None, float], list[Entry]] = {}
    for entry in entries:
        alike.setdefault((entry.commit, entry.value), []).append(entry)

    def is_named_better(entry: Entry) -> bool:
        return any(
            len(other.versions) > len(entry.versions) for other in alike[entry.commit, entry.value]
        )

    return [entry for entry in entries if not is_named_better(entry)]


def _with_events(entries: Sequence[Entry]) -> list[Entry]:
    known: dict[str, str] = {}
    found = []
    last: Mapping[str, str] | None = None
    for entry in entries:
        if entry.versions is last:
            found.append(entry)
            continue
        last = entry.versions
        events = tuple(
            f"{name} {known[name]} -> {version}"
            for name, version in entry.versions.items()
            if known.get(name, version) != version
        )
        known.update(entry.versions)
        found.append(replace(entry, events=events) if events else entry)
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
        noisy=any(entry.noisy for entry in group),
    )


def exact_change_points(values: Sequence[float]) -> list[int]:
    """Where counted values differ from the one before."""
    return [index for index in range(1, len(values)) if values[index] != values[index - 1]]


def changes_at(values: Sequence[float], indices: Sequence[int]) -> list[ChangePoint]:
    """Change points with the levels on both sides.

    Args:
        values: of a line, in the order of time.
        indices: ascending, of the first value of each new level; above 0.
    """
    ends = [0, *indices, len(values)]
    levels = [median(values[a:b]) for a, b in pairwise(ends)]
    return [ChangePoint(index, levels[i], levels[i + 1]) for i, index in enumerate(indices)]
