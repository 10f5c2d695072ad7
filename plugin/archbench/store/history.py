"""What a project has stored over time: journals, pytest-benchmark's files, baselines in git."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict, cast

from archbench.core.errors import ArchbenchError, UsageError
from archbench.core.history import (
    Cell,
    Entry,
    Lines,
    Observation,
    moment,
    observations_of,
    versions_of,
)
from archbench.core.lines import CountLine, TimeLine
from archbench.core.process_runs import ProcessRun
from archbench.core.records import merge_records, target_of
from archbench.core.rows import Value, with_derived
from archbench.core.run_config import RunConfig
from archbench.core.statistics import quantile
from archbench.metrics import compared_by
from archbench.store.atomic import regular
from archbench.store.baselines import NAMES, Baselines, parse_baselines
from archbench.store.git import git
from archbench.store.journal import Run, read_run, run_paths
from archbench.store.objects import Objects
from archbench.store.sharing import SharedRun, environment_of, summaries_of
from archbench.store.summaries import Histories

BENCHMARKS = Path(".benchmarks")
"""Where pytest-benchmark stores its files by default."""

_DAMAGED = (ValueError, TypeError, KeyError, AttributeError, RecursionError)


@dataclass(slots=True)
class Found:
    """What was read.

    Attributes:
        observations: in no particular order.
        lines: further entries, by cell and metric.
        remarks: sentences on what was left out, and why.
        files: how many were read.
    """

    observations: list[Observation] = field(default_factory=list)
    lines: Lines = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    files: int = 0

    def extend(self, other: Found) -> None:
        """Add what stands elsewhere."""
        self.observations += other.observations
        for key, entries in other.lines.items():
            self.lines.setdefault(key, []).extend(entries)
        self.remarks += other.remarks
        self.files += other.files


def in_runs(
    root: Path,
    metrics: Sequence[str] | None = None,
    but: Collection[SharedRun] = (),
) -> Found:
    """The figures of every stored run; a damaged line is named and left out.

    Args:
        metrics: names of those that are wanted; None for all.
        but: runs that were read from a shared store.
    """
    found, names = Found(), {(one.run, one.environment) for one in but}
    for path in run_paths(root):
        try:
            # The first lines say enough of a run that was read elsewhere.
            if but and (path.parent.name, environment_of(read_run(path, 1).header)) in names:
                continue
            run = read_run(path)
        except (ArchbenchError, OSError, *_DAMAGED) as error:
            found.remarks.append(f"{path}: left out: {error}")
            continue
        found.files += 1
        found.remarks += [f"{path}:{line}: left out: {cause}" for line, cause in run.damaged]
        _add_run(found, run, metrics)
    return found


def in_store(
    store: Objects, runs: Sequence[SharedRun], root: Path, metrics: Collection[str] | None
) -> tuple[Found, list[SharedRun]]:
    """The figures of runs of a shared store, and which of them were read.

    Args:
        root: of the project, which remembers what it has read.
        metrics: names of those that are wanted; None for all.
    """
    found, histories, read = Found(), Histories(metrics), list[SharedRun]()
    for one, summary in summaries_of(store, runs, root, found.remarks):
        with _left_out(found, f"{store.name}: {one.key}"):
            histories.add(summary)
            read.append(one)
        found.remarks += [f"{one.key}: left out: {cause}" for cause in summary.left_out]
    found.lines, found.files = histories.lines, len(read)
    return found, read


def _add_run(found: Found, run: Run, metrics: Sequence[str] | None) -> None:
    source = str(run.header.get("run") or run.path.parent.name)
    environment = run.header.get("environment")
    environment = environment if isinstance(environment, dict) else {}
    try:
        when = moment(str(environment.get("time") or source))
    except ValueError:
        found.remarks.append(f"{run.path}: left out: neither its header nor its name has a date")
        return
    for record in merge_records(run.cells):
        with _left_out(found, f"{run.path}: {record.id}"):
            found.observations += observations_of(
                record, source, when, environment=environment, metrics=metrics
            )


@contextmanager
def _left_out(found: Found, what: str) -> Iterator[None]:
    """Name what is damaged and go on without it."""
    try:
        yield
    except _DAMAGED as error:
        cause = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        found.remarks.append(f"{what}: left out: {cause}")


def in_benchmarks(
    directory: Path, slug: Callable[[str], str], metrics: Sequence[str] | None = None
) -> Found:
    """The medians in pytest-benchmark's storage, those of archbench and of any other test.

    A benchmark of archbench's says what the device was. The cell of any other test is its full
    name, and its device the processor that the file names.

    Args:
        directory: the storage; there need not be one.
        slug: makes a device's short name of a processor's.
        metrics: names of those that are wanted; None for all.
    """
    found = Found()
    for path in sorted(directory.rglob("*.json")):
        try:
            data = json.loads(regular(path).read_text(encoding="utf-8"))
        except (OSError, *_DAMAGED) as error:
            found.remarks.append(f"{path}: left out: {error}")
            continue
        if not (isinstance(data, dict) and isinstance(data.get("benchmarks"), list)):
            found.remarks.append(f"{path}: left out: it is no file of pytest-benchmark")
            continue
        writer = f"pytest-benchmark {data.get('version', 'of an unknown version')}"
        with _left_out(found, f"{path}, by {writer}"):
            origin = _origin(cast("_BenchmarkFile", data), path, slug)
            found.files += 1
            for number, benchmark in enumerate(data["benchmarks"], 1):
                name = benchmark.get("fullname") if isinstance(benchmark, dict) else None
                with _left_out(found, f"{path}, by {writer}: {name or f'benchmark {number}'}"):
                    found.observations += _of_benchmark(benchmark, origin, metrics)
    return found


class _Cpu(TypedDict, total=False):
    brand_raw: str


class _Machine(TypedDict, total=False):
    python_version: str
    processor: str
    cpu: _Cpu | None


class _Commit(TypedDict, total=False):
    id: str
    dirty: bool


class _Stats(TypedDict):
    median: float


class _Benchmark(TypedDict, total=False):
    """One of pytest-benchmark's; ``extra_info`` is whatever its test has put there."""

    fullname: str
    stats: _Stats
    extra_info: dict[str, Any] | None


class _BenchmarkFile(TypedDict, total=False):
    """What is read of a file of pytest-benchmark."""

    datetime: str
    version: str
    machine_info: _Machine | None
    commit_info: _Commit | None
    benchmarks: list[_Benchmark]


@dataclass(frozen=True, slots=True)
class _Origin:
    when: str
    source: str
    commit: str | None
    dirty: bool | None
    machine: _Machine
    slug: Callable[[str], str]

    def entry(self, figure: Value, versions: Mapping[str, str]) -> Entry:
        return Entry(
            self.when, figure.value, (self.source,), self.commit, self.dirty,
            figure.low, figure.high, versions,
        )  # fmt: skip


def _origin(data: _BenchmarkFile, path: Path, slug: Callable[[str], str]) -> _Origin:
    commit = data.get("commit_info") or {}
    id = commit.get("id")
    return _Origin(
        when=moment(data["datetime"]),
        source=path.name,
        commit=None if id in (None, "unversioned", "unknown") else str(id),
        dirty=commit.get("dirty"),
        machine=data.get("machine_info") or {},
        slug=slug,
    )


def _of_benchmark(
    benchmark: _Benchmark, origin: _Origin, metrics: Sequence[str] | None
) -> list[Observation]:
    median = float(benchmark["stats"]["median"])
    machine, info = origin.machine, benchmark.get("extra_info") or {}
    cpu = (machine.get("cpu") or {}).get("brand_raw") or machine.get("processor")
    versions = {
        name: str(version)
        for name, version in (("Python", machine.get("python_version")), ("CPU", cpu))
        if version
    }
    if "archbench" not in info:
        cell = Cell(str(benchmark["fullname"]), origin.slug(str(cpu or "")))
        figures = {"latency": Value(median, "measured", origin.source)}
    else:
        target = target_of(info)
        cell = Cell.of(info["archbench"], target.slug, target)
        counts: dict[str, Value] = {
            name: Value(float(info[name]), "counted", origin.source)
            for name in ("params", "macs")
            if name in info
        }
        figures = {**counts, "latency": Value(median, "measured", origin.source)}
        if "p95" in info:
            figures["latency_p95"] = Value(float(info["p95"]), "measured", origin.source)
        figures = with_derived(figures, target.batch_size)
        if cell.largest_batch:
            versions["batch size"] = str(target.batch_size)
    return [
        Observation(
            Cell(cell.id) if name in ("params", "macs") else cell,
            name,
            origin.entry(figure, versions),
        )
        for name, figure in figures.items()
        if metrics is None or name in metrics
    ]


def in_baselines(root: Path, metrics: Collection[str] | None = None) -> Found:
    """Accepted measurements as they stood at each commit that changed them.

    A time's entry is of the commit that it was measured at, a count's of the one that accepted it.

    Args:
        root: directory of the project, under git.
        metrics: names of those that are wanted; None for all.

    Raises:
        UsageError: git does not know the directory.
    """
    found = Found()
    for commit, when, path in _revisions(root):
        text = git(root, "show", f"{commit}:./{path.as_posix()}").output
        if text is None:
            continue  # deleted by that commit
        found.files += 1
        try:
            parsed: Baselines[CountLine] | Baselines[TimeLine] = (
                parse_baselines(text, path, CountLine)
                if path.name == NAMES[CountLine]
                else parse_baselines(text, path, TimeLine)
            )
        except UsageError as error:
            found.remarks.append(f"{path} at {commit[:9]}: left out: {error.found}")
            continue
        for line in parsed.lines.values():
            source = f"{path} at {commit[:9]}"
            with _left_out(found, f"{source}: {line.id}"):
                found.observations += (
                    _accepted_counts(line, source, commit, when, metrics)
                    if isinstance(line, CountLine)
                    else _accepted_time(line, path.parent.name, source, metrics)
                )
    return found


def _revisions(root: Path) -> Iterator[tuple[str, str, Path]]:
    """Commit, its date and each file of baselines that it changed, the oldest first."""
    log = git(
        root, "log", "--reverse", "--relative", "--name-only", "--format=%x00%H %cI",
        "--", "baselines/complexity.jsonl", "baselines/*/*.jsonl",
    )  # fmt: skip
    if log.text is None:
        raise UsageError(
            "archbench history --baselines",
            f"git has no history of {root.resolve()} ({log.complaint})",
            log.todo("Go to the root of a project under git"),
        )
    for block in log.text.split("\0")[1:]:
        head, *paths = block.strip().splitlines()
        commit, _, date = head.partition(" ")
        for path in filter(None, paths):
            yield commit, moment(date), Path(path)


def _accepted_counts(
    line: CountLine, source: str, commit: str, when: str, metrics: Collection[str] | None
) -> list[Observation]:
    library, _, version = line.library.partition(" ")
    versions = {"torch": line.torch, **({library: version} if version else {})}
    return [
        Observation(
            Cell(line.id),
            name,
            Entry(when, float(getattr(line, name)), (source,), commit, False, versions=versions),
        )
        for name in compared_by("equality")
        if metrics is None or name in metrics
    ]


def _accepted_time(
    line: TimeLine, device: str, source: str, metrics: Collection[str] | None
) -> list[Observation]:
    """The median of the process runs' medians."""
    environment = line.environment
    config = RunConfig.parse(line.cell)
    # Of the largest batch that fits the environment says how large it was.
    found = environment.get("batch_size")
    batch_size = config.batch_size if not config.largest_batch or isinstance(found, str) else found
    cell = Cell.of(line.id, device, config)
    library, _, version = str(environment.get("library") or "").partition(" ")
    torch, python, cpu = (
        str(environment.get(name) or "") for name in ("torch", "python", "device_name")
    )
    packages = {"torch": torch, library: version}
    versions = versions_of(
        {"packages": packages, "archbench": version, "python": python, "cpu": cpu}, line.id
    )
    if cell.largest_batch:
        versions["batch size"] = str(batch_size)
    commit = line.commit
    entry = Entry(
        moment(line.when),
        0.0,
        (source,),
        commit and commit.removesuffix("-dirty"),
        None if commit is None else commit.endswith("-dirty"),
        versions=versions,
    )
    figures = with_derived(_medians(line.runs, source), batch_size)
    return [
        Observation(cell, name, replace(entry, value=figure.value))
        for name, figure in figures.items()
        if metrics is None or name in metrics
    ]


def _medians(process_runs: Sequence[ProcessRun], source: str) -> dict[str, Value]:
    """By metric of time the median of the process runs' medians."""
    clocks = {"latency": "wall", "cpu_time": "cpu", "device_time": "device"}
    return {
        name: Value(quantile(sorted(one.at(0.5, clock) for one in process_runs), 0.5), "", source)
        for name, clock in clocks.items()
        if all(getattr(one, clock) for one in process_runs)
    }
