"""The journal of a run: one line for each finished cell, on disk before the next begins."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from types import NoneType
from typing import Any, cast

from archbench.core.errors import ArchbenchError
from archbench.core.forms import Json
from archbench.core.headers import RunHeader
from archbench.core.records import Record
from archbench.metrics import compared_by
from archbench.store.directory import make_directory, runs_directory
from archbench.store.seals import SealedFile, is_whole, lines_of, sealed

SCHEMA = 2
"""Version of the journal's format.

1: first version; lines of kind ``run`` (header), ``cell`` and ``end``.
2: each line ends in its checksum. Lines of kind ``test``, ``process`` and ``pair`` hold what a run
needs to be gone on with; ``end`` says whether the run is ``complete``.
"""

_OTHERS = re.compile(rb'\{"kind":"(test|process|pair)"')
"""The beginning of a line that is of use to a run that goes on only."""

Report = dict[str, Json]
"""What pytest's report of a test says, in its JSON form."""

LARGEST = 1e18
"""Of a figure: beyond it is no number of things, bytes or joules."""


def new_run_id(now: datetime | None = None) -> str:
    """``20261120T134501Z-4711``: sortable, and distinct for two runs in one second."""
    moment = (now or datetime.now(timezone.utc)).strftime("%Y%m%dT%H%M%SZ")
    return f"{moment}-{os.getpid()}"


class Journal:
    """Appends to ``DIRECTORY/RUN/journal.jsonl``; the file begins with the first line written.

    Args:
        directory: ``.archbench/runs`` of the project.
        header: environment and settings of the run.
        run_id: names the run.
    """

    def __init__(self, directory: Path, header: RunHeader, run_id: str | None = None) -> None:
        self.run_id = run_id or new_run_id()
        self.path = directory / self.run_id / "journal.jsonl"
        self._header = header
        self._is_new = run_id is None
        self._file: SealedFile | None = None

    def reopen(self) -> int:
        """Go on with the file; how many bytes of a torn last line were cut off.

        Raises:
            UsageError: another process writes to it.
            OSError: it cannot be written to.
        """
        self._file = SealedFile(self.path)
        return self._file.cut()

    def _append(self, line: Mapping[str, object], *, allow_nan: bool = False) -> None:
        text = sealed(line, allow_nan=allow_nan)
        if self._file is None:
            for number in range(2, 1000) if self._is_new else ():
                # Another run of this process in the same second.
                if not self.path.exists():
                    break
                self.run_id = f"{self.run_id.partition('.')[0]}.{number}"
                self.path = self.path.parents[1] / self.run_id / "journal.jsonl"
            make_directory(self.path.parent)
            self._file = SealedFile(self.path)
            self._file.add(
                sealed({"schema": SCHEMA, "kind": "run", "run": self.run_id, **self._header})
            )
        self._file.add(text)

    def append(self, cell: Record) -> None:
        """Write one cell and wait until it is on the disk.

        Raises:
            OSError: the disk is full.
        """
        self._append({"kind": "cell", **cell.as_dict()})

    def append_test(self, test: str, reports: Sequence[Report]) -> None:
        """Write what pytest's reports of a test say, in their JSON form."""
        # A test may say of itself what is no number.
        self._append({"kind": "test", "test": test, "reports": reports}, allow_nan=True)

    def append_process_run(self, test: str, into: str, brought: Mapping[str, Json]) -> None:
        """Write what one process has brought of a test."""
        self._append({"kind": "process", "test": test, "into": into, "brought": brought})

    def append_pair(self, test: str, paired: Mapping[str, Json], before: int = 0) -> None:
        """Write what a pair of processes has brought of a test.

        Args:
            paired: what is known of the test after it, but of its process runs the new ones alone.
            before: process runs that stand in lines above.
        """
        self._append({"kind": "pair", "test": test, "before": before, "paired": paired})

    def close(self, exit_status: int, seconds: float, *, complete: bool = True) -> None:
        """Mark the run as having reached its end, if it has written anything.

        Args:
            complete: whether every test has ended.
        """
        if self._file is not None:
            self._append(
                {
                    "kind": "end",
                    "exit_status": exit_status,
                    "seconds": seconds,
                    "complete": complete,
                }
            )
            self.let_go()

    def let_go(self) -> None:
        """Write no more."""
        if self._file is not None:
            self._file.close()
            self._file = None


def run_paths(root: Path) -> list[Path]:
    """The journals of the runs that a project has stored, the oldest first."""
    return journals(runs_directory(root))


def journals(runs: Path) -> list[Path]:
    """The journals below a directory of runs, the oldest first."""
    return sorted(runs.glob("*/journal.jsonl"), key=lambda path: path.parent.name)


def named_so(paths: Sequence[Path], name: str) -> list[Path]:
    """Of some journals those of the run that has a name, else of all whose names begin so.

    The name of a second run that a process stores within a second begins with that of the first.
    """
    same = [path for path in paths if path.parent.name == name]
    return same or [path for path in paths if path.parent.name.startswith(name)]


@dataclass(slots=True)
class Run:
    """A journal as read.

    Attributes:
        path: of the file.
        header: its first line.
        cells: records in the order they were finished.
        damaged: number and cause of each line that could not be read.
        finished: whether the run reached its end.
        end: its last line, where it did.
    """

    path: Path
    header: RunHeader = field(default_factory=RunHeader)
    cells: list[Record] = field(default_factory=list)
    damaged: list[tuple[int, str]] = field(default_factory=list)
    finished: bool = False
    end: dict[str, Json] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether every test of the run has ended."""
        return self.finished and self.end.get("complete", True) is True


def checked(record: Record) -> Record:
    """The record, if everything in it can be what it says.

    Raises:
        ValueError: names what cannot.
    """
    if not record.id or not record.id.isprintable():
        raise ValueError(f"its id is {record.id!r}")
    for name, metric in record.metrics.items():
        value = metric.get("value")
        if isinstance(value, bool) or not isinstance(value, (int, float, list, NoneType)):
            raise ValueError(f"its {name} is {value!r}, which no run writes")
        if isinstance(value, (int, float)) and not 0 <= value < LARGEST:
            raise ValueError(f"its {name} is no such figure")
        if name in compared_by("pairs") and isinstance(value, (int, float)) and value > 100:
            raise ValueError(f"its {name} is {value} %")
    return record


def read_run(path: Path, most: int | None = None) -> Run:
    """Read a journal; lines that are damaged are named and left out.

    A cell that another test added to stands in the file again; its last line counts.

    Args:
        most: lines of cells to read, about; all by default.

    Raises:
        ArchbenchError: the file is of a newer schema.
        OSError: it cannot be read.
    """
    return _read_all(path, most).run


def _read_all(path: Path, most: int | None = None, *, is_kept: bool = False) -> Kept:
    """All of a journal, in one pass.

    Args:
        is_kept: whether what a run that goes on needs is wanted besides its cells.
    """
    kept = Kept(Run(path))
    run = kept.run
    cells: dict[tuple[str, str], Record] = {}
    for number, line in lines_of(path):
        match = _OTHERS.match(line)
        if match is not None:
            run.finished = False  # it was gone on with
            if is_kept and is_whole(line):
                kept.take(match[1], line)
            elif is_kept:
                run.damaged.append((number, _OTHER_CHECKSUM))
            continue
        if most is not None and len(cells) >= most:
            break
        try:
            data = _read(line, run)
            kind = data["kind"]
            if kind == "cell":
                run.finished = False
                record = checked(Record.from_dict(data))
                cells[record.key] = record
            elif kind == "end":
                run.finished, run.end = True, data
        except _DAMAGE as error:
            run.damaged.append((number, _cause(error)))
    run.cells = list(cells.values())
    return kept


_OTHER_CHECKSUM = "its checksum is another one"
_DAMAGE = (KeyError, ValueError, TypeError, AttributeError, RecursionError)


def _read(line: bytes, run: Run) -> dict[str, Any]:
    """The object of a line, which is as it was written.

    Raises:
        ArchbenchError: it is the header of a newer schema.
        ValueError: it is damaged.
    """
    data = json.loads(line.decode("utf-8", "replace"))
    seal = is_whole(line)
    if data["kind"] == "run":
        run.header = cast("RunHeader", data)
        data.pop("crc", None)
        if type(data.get("schema", 0)) is not int:
            raise ValueError(f"its schema is {data['schema']!r}")
        if data.get("schema", 0) > SCHEMA:
            raise ArchbenchError(
                f"{run.path} has schema {data['schema']}, this archbench reads up to {SCHEMA}. "
                "Install a newer pytest-archbench"
            )
    if seal is False:
        raise ValueError(_OTHER_CHECKSUM)
    if seal is None and run.header.get("schema", 1) >= 2:
        raise ValueError("it has no checksum")
    return dict(data)


def _cause(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no field {error}"
    if isinstance(error, json.JSONDecodeError):
        return f"JSONDecodeError: {error}"
    return str(error)


@dataclass(slots=True)
class Kept:
    """What a journal holds for a run that goes on.

    Attributes:
        run: its header and cells.
        tests: the reports of each test that has ended, in the order in which they did.
        process_runs: by test and by what they are for, what each process has brought, in order.
        pairs: what all pairs of processes have brought of each test.
    """

    run: Run
    tests: dict[str, list[Report]] = field(default_factory=dict)
    process_runs: dict[tuple[str, str], list[Json]] = field(default_factory=dict)
    pairs: dict[str, dict[str, Json]] = field(default_factory=dict)

    def take(self, kind: bytes, line: bytes) -> None:
        """Take a line of use to a run that goes on, unless it is damaged."""
        with suppress(*_DAMAGE):
            data = json.loads(line)
            test = data["test"]
            if kind == b"test":
                self.tests[test] = data["reports"]
            elif kind == b"process":
                self.process_runs.setdefault((test, data["into"]), []).append(data["brought"])
            else:
                self._take_pair(test, data["paired"], data.get("before", 0))

    def pair_runs(self, test: str) -> list[Json]:
        """The process runs among what all pairs of processes have brought of a test."""
        return cast("list[Json]", self.pairs.get(test, {}).get("process_runs", []))

    def _take_pair(self, test: str, paired: dict[str, Json], before: int) -> None:
        known, new = self.pair_runs(test), cast("list[Json]", paired.get("process_runs", []))
        # Where a line between is damaged, what follows it is measured again.
        if before <= len(known):
            self.pairs[test] = {**paired, "process_runs": [*known[:before], *new]}


def read_kept(path: Path) -> Kept:
    """Read all of a journal. A line that is damaged is as good as none: what it held is measured
    again.

    Raises:
        ArchbenchError: the file is of a newer schema.
        OSError: it cannot be read.
    """
    return _read_all(path, is_kept=True)
