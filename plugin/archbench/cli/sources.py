"""What a report is about: stored runs, results files and published tables, as rows."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from archbench.catalog.catalog import load_catalog
from archbench.catalog.families import family_of
from archbench.catalog.published import published_accuracies
from archbench.catalog.tables import PUBLISHED, published_table
from archbench.cli.stores import shared_runs
from archbench.core.errors import ArchbenchError, NothingFoundError, UsageError
from archbench.core.records import Record, merge_records
from archbench.core.rows import Row, Value, with_speedups
from archbench.report.rows import row_of
from archbench.store.atomic import regular
from archbench.store.directory import runs_directory
from archbench.store.journal import Run, named_so, read_run, run_paths
from archbench.store.objects import Objects
from archbench.store.results import read_results
from archbench.store.sharing import summaries_of
from archbench.store.summaries import run_of

SOURCES = (
    "a run's id or the beginning of one, latest, the path of a journal.jsonl or of a --results "
    "file, or published:NAME for a published table; default: latest"
)
"""What a source can be, for the commands' help."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the sources hold.

    Attributes:
        rows: in the order of the sources.
        remarks: sentences on what was left out, and why.
    """

    rows: list[Row]
    remarks: list[str]


def rows_from(sources: Sequence[str], root: Path, store: Objects | None = None) -> Loaded:
    """Read stored runs, results files and published tables.

    Args:
        sources: see :data:`SOURCES`; none for the latest run.
        root: directory of the project.
        store: that a team shares: what is not here is looked for there, and the latest run is
            that of each of its devices.

    Raises:
        UsageError: there is no such run, file or table; says what to type.
        NothingFoundError: there is no run at all, or nothing in them can be read.
    """
    with without_collector():
        loaded = _loaded(sources, root, store)
    if not loaded.rows:
        remarks = loaded.remarks
        raise NothingFoundError(
            " ".join(sources) or "latest",
            f"no cell of it can be read: {'; '.join(remarks)}" if remarks else "it holds no cell",
            "Measure something: pytest benchmarks",
        )
    return loaded


@contextmanager
def without_collector() -> Iterator[None]:
    """Reading makes millions of objects and no cycles; looking for some takes half of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _loaded(sources: Sequence[str], root: Path, store: Objects | None) -> Loaded:
    rows: list[Row] = []
    remarks: list[str] = []
    for source in dict.fromkeys(sources or ("latest",)):
        kind, colon, name = source.partition(":")
        if colon and kind == "published":
            rows += published_table(name)
            continue
        shared = [] if store is None else _shared(store, source, root, remarks)
        for run in shared or [_read(_path_of(source, root, remarks))]:
            found, said = _rows_of(run)
            rows += found
            remarks += said
    return Loaded(with_speedups(rows), remarks)


def _path_of(source: str, root: Path, remarks: list[str]) -> Path:
    """The file of a run; says which later ones the latest is not."""
    path = path_of(source, root)
    if source == "latest":
        later = [one.parent.name for one in run_paths(root) if one.parent.name > path.parent.name]
        remarks += [f"{name} is later than {path.parent.name}, and holds no cell" for name in later]
    return path


def _shared(store: Objects, source: str, root: Path, remarks: list[str]) -> list[Run]:
    """The runs of a store that a source means; none where it is here.

    Raises:
        UsageError: it is neither here nor there.
    """
    is_latest = source == "latest"
    if not is_latest and ((root / source).exists() or named_so(run_paths(root), source)):
        return []
    wanted, said = shared_runs(store, () if is_latest else (source,))
    remarks += said
    found = sorted(summaries_of(store, wanted, root, remarks), key=lambda pair: pair[0])
    if is_latest:
        with_devices = {
            tuple(sorted({target.slug for target in summary.targets})): (one, summary)
            for one, summary in found
            if summary.cells
        }
        found = sorted(with_devices.values(), key=lambda pair: pair[0])
    remarks += [
        f"{one.key}: left out: {cause}" for one, summary in found for cause in summary.left_out
    ]
    return [run_of(summary) for _, summary in found]


def title_of(sources: Sequence[str]) -> str:
    """What a report on these sources is called."""
    return f"archbench: {', '.join(sources) or 'latest run'}"


def path_of(source: str, root: Path) -> Path:
    """The file of a run, as a person names it.

    Raises:
        UsageError: there is no such run.
        NothingFoundError: there is none at all.
    """
    runs = run_paths(root)
    if source == "latest":
        if not runs:
            raise NothingFoundError(
                "the latest run",
                f"no run is stored in {runs_directory(root)}",
                "Measure something: pytest benchmarks. Or name a published table: "
                "published:bianco2018",
            )
        # A run that was stopped before its first cell has nothing to show.
        return next((run for run in reversed(runs) if _has_cells(run)), runs[-1])
    path = root / source
    if path.is_file():
        return path
    if (path / "journal.jsonl").is_file():
        return path / "journal.jsonl"
    matching = named_so(runs, source)
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise UsageError(
            source,
            f"{len(matching)} runs begin so: {_names(matching)}",
            "Write more of the id",
        )
    raise _no_such_run(source, runs, root)


def _no_such_run(source: str, runs: Sequence[Path], root: Path) -> UsageError:
    if runs:
        found = f"stored runs are {_names(runs)}"
        todo = "Write the id of a run, latest, a path, or published:NAME"
    else:
        found = f"no run is stored in {runs_directory(root)}"
        tables = ", ".join(f"published:{name}" for name in PUBLISHED)
        todo = f"Measure something: pytest benchmarks. Or name a published table: {tables}"
    return UsageError(source, f"there is no such run or file; {found}", todo)


def _has_cells(run: Path) -> bool:
    try:
        return b'"kind":"cell"' in regular(run).read_bytes()
    except OSError:
        return False


def _names(runs: Sequence[Path]) -> str:
    names = [run.parent.name for run in runs]
    return ", ".join([*(["..."] if len(names) > 5 else []), *names[-5:]])


def _read(path: Path) -> Run:
    """A journal, or a results file: one JSON document in several lines."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            first = file.readline()
        is_journal = path.suffix == ".jsonl" or _is_document(first)
        return read_run(path) if is_journal else read_results(path)
    except OSError as error:
        raise UsageError(
            str(path), f"it cannot be read ({error.strerror})", "Name a readable file"
        ) from error


def _is_document(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _name_of(path: Path) -> str:
    return path.parent.name if path.name == "journal.jsonl" else path.name


def _rows_of(run: Run) -> tuple[list[Row], list[str]]:
    remarks = [f"{run.path}:{number}: left out: {cause}" for number, cause in run.damaged]
    name = _name_of(run.path)
    if run.path.name == "journal.jsonl" and not run.is_complete:
        remarks.append(f"{name} has not reached its end: what it has not measured is missing")
    if (run.header.get("settings") or {}).get("quick"):
        remarks.append(f"{name} was run with --quick: its times are not for comparing")
    found = [_row_or_remark(run, cell) for cell in merge_records(run.cells)]
    remarks += [item for item in found if isinstance(item, str)]
    return [item for item in found if isinstance(item, Row)], remarks


def _row_or_remark(run: Run, cell: Record) -> Row | str:
    name = str(run.header.get("run") or _name_of(run.path))
    try:
        published = _accuracies(cell.id)
        return row_of(run.header, cell, family=family_of(cell.id), published=published, run=name)
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError) as error:
        return f"{run.path}: {cell.id}: left out: {error}"


@cache
def _accuracies(id: str) -> Mapping[str, Value]:
    try:
        return published_accuracies(load_catalog().get(id))
    except ArchbenchError:
        return {}
