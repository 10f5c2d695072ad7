"""Options by which commands choose cells."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from importlib.metadata import entry_points
from typing import Any

from archbench.core.errors import NothingFoundError
from archbench.core.history import Cell
from archbench.core.rows import Row
from archbench.core.run_config import axes, axis

GROUP = "archbench.axes"
"""Entry points of distributions that bring an axis; each names the module that registers it."""


for _found in entry_points(group=GROUP):
    _found.load()


def filters() -> tuple[str, ...]:
    """By what commands choose cells."""
    return ("device", *(one.name for one in axes() if not one.is_flag))


def value_of(cell: Row | Cell, name: str) -> Any:
    """What a cell is of one of :func:`filters`; None where it is not stated."""
    return cell.device if name == "device" else cell[name]


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Add ``--device`` and an option for each axis of the run configuration."""
    parser.add_argument("--device", metavar="GLOB", help="short names of devices: v100, 'cpu*'")
    for name in filters()[1:]:
        values = ", ".join(axis(name).values) or "a number"
        option = f"--{axis(name).option}"
        parser.add_argument(option, metavar="GLOB", help=f"of the cells: {values}")


def filtered(rows: Sequence[Row], wanted: Mapping[str, str | None]) -> list[Row]:
    """The cells of one device and run configuration.

    Args:
        rows: of any.
        wanted: ``device`` and axes by name, each a glob or None for all.

    Raises:
        NothingFoundError: nothing is left; says what there is.
    """
    found = list(rows)
    for name in filters():
        glob, option = wanted.get(name), f"--{name}".replace("_", "-")
        if glob is None:
            continue
        there = sorted({str(value_of(row, name)) for row in found if value_of(row, name)})
        found = [row for row in found if fnmatchcase(str(value_of(row, name) or ""), glob)]
        if not found:
            listed = ", ".join(there) or "none: nothing was timed, or nobody stated it"
            raise NothingFoundError(
                f"{option}={glob}",
                f"no cell is left; there are {listed}",
                f"Write one of them, or leave out {option}",
            )
    return found
