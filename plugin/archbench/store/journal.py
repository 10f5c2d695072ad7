"""The journal of a run: one line for each finished cell, on disk before the next begins."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Any

from archbench.core.errors import ArchbenchError
from archbench.core.records import Record
from archbench.metrics import compared_by
from archbench.store.directory import make_directory, runs_directory

SCHEMA = 1
"""Version of the journal's and the results file's format.

1: first version; lines of kind ``run`` (header), ``cell`` and ``end``.
"""


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

    def __init__(self, directory: Path, header: dict[str, Any], run_id: str | None = None) -> None:
        self.run_id = run_id or new_run_id()
        self.path = directory / self.run_id / "journal.jsonl"
        self._header = header

    def _append(self, line: dict[str, Any]) -> None:
        text = json.dumps(line, allow_nan=False, separators=(",", ":"))
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())

    def append(self, cell: Record) -> None:
        """Write one cell and wait until it is on the disk."""
        if not self.path.exists():
            make_directory(self.path.parent)
            self._append({"schema": SCHEMA, "kind": "run", "run": self.run_id, **self._header})
        self._append({"kind": "cell", **cell.as_dict()})

    def close(self, exit_status: int, seconds: float) -> None:
        """Mark the run as having reached its end, if it has written anything."""
        if self.path.exists():
            self._append({"kind": "end", "exit_status": exit_status, "seconds": seconds})


def run_paths(root: Path) -> list[Path]:
    """The journals of the runs that a project has stored, the oldest first."""
    return journals(runs_directory(root))


def journals(runs: Path) -> list[Path]:
    """The journals below a directory of runs, the oldest first."""
    return sorted(runs.glob("*/journal.jsonl"), key=lambda path: path.parent.name)


@dataclass(slots=True)
class Run:
    """A journal as read.

    Attributes:
        path: of the file.
        header: its first line.
        cells: records in the order they were finished.
        damaged: number and cause of each line that could not be read.
        finished: whether the run reached its end.
    """

    path: Path
    header: dict[str, Any] = field(default_factory=dict)
    cells: list[Record] = field(default_factory=list)
    damaged: list[tuple[int, str]] = field(default_factory=list)
    finished: bool = False


def checked(record: Record) -> Record:
    """The record, if everything in it can be what it says.

    Raises:
        ValueError: names what cannot.
    """
    if not record.id or not record.id.isprintable():
        raise ValueError(f"its id is {record.id!r}")
    for name, metric in record.metrics.items():
        value = metric.get("value")
        if isinstance(value, (int, float)) and not 0 <= value < LARGEST:
            raise ValueError(f"its {name} is no such figure")
        if name in compared_by("pairs") and isinstance(value, (int, float)) and value > 100:
            raise ValueError(f"its {name} is {value} %")
    return record


def read_run(path: Path, most: int | None = None) -> Run:
    """Read a journal; lines that are damaged are named and left out.

    A cell that another test added to stands in the file again; its last line counts.

    Args:
        most: lines to read; all by default.

    Raises:
        ArchbenchError: the file is of a newer schema.
        OSError: it cannot be read.
    """
    run = Run(path)
    cells: dict[tuple[str, str], Record] = {}
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(islice(file, most), 1):
            try:
                data = json.loads(line)
                kind = data["kind"]
                if kind == "cell":
                    record = checked(Record.from_dict(data))
                    cells[record.key] = record
                elif kind == "end":
                    run.finished = True
                elif kind == "run":
                    run.header = data
                    if type(data.get("schema", 0)) is not int:
                        raise ValueError(f"its schema is {data['schema']!r}")
            except KeyError as error:
                run.damaged.append((number, f"it has no field {error}"))
                continue
            except json.JSONDecodeError as error:
                run.damaged.append((number, f"JSONDecodeError: {error}"))
                continue
            except (ValueError, TypeError, AttributeError) as error:
                run.damaged.append((number, str(error)))
                continue
            if kind == "run" and data.get("schema", 0) > SCHEMA:
                raise ArchbenchError(
                    f"{path} has schema {data['schema']}, this archbench reads up to {SCHEMA}. "
                    "Install a newer pytest-archbench"
                )
    run.cells = list(cells.values())
    return run
