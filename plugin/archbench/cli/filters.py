"""Options by which commands choose cells."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from archbench.core.errors import UsageError
from archbench.core.history import Cell
from archbench.core.points import Point
from archbench.core.run_config import axes

__all__ = ["FILTERS", "add_filters", "filtered", "value_of"]

_AXES = tuple(one for one in axes() if not one.is_flag)
FILTERS = ("device", *(one.name for one in _AXES))
"""By what commands choose cells."""


def value_of(cell: Point | Cell, name: str) -> Any:
    """What a cell is of one of :data:`FILTERS`; None where it is not stated."""
    return cell.device if name == "device" else cell[name]


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Add ``--device`` and an option for each axis of the run configuration."""
    parser.add_argument("--device", metavar="GLOB", help="short names of devices: v100, 'cpu*'")
    for one in _AXES:
        values = ", ".join(one.values) or "a number"
        parser.add_argument(f"--{one.option}", metavar="GLOB", help=f"of the cells: {values}")


def filtered(points: Sequence[Point], wanted: Mapping[str, Any]) -> list[Point]:
    """The cells of one device and run configuration.

    Args:
        points: of any.
        wanted: ``device`` and axes by name, each a glob or None for all.

    Raises:
        UsageError: nothing is left; says what there is.
    """
    found = list(points)
    for name in FILTERS:
        glob, option = wanted.get(name), f"--{name}".replace("_", "-")
        if glob is None:
            continue
        there = sorted({str(value_of(point, name)) for point in found if value_of(point, name)})
        found = [point for point in found if fnmatchcase(str(value_of(point, name) or ""), glob)]
        if not found:
            listed = ", ".join(there) or "none: nothing was timed, or nobody stated it"
            raise UsageError(
                f"{option}={glob}",
                f"no cell is left; there are {listed}",
                f"Write one of them, or leave out {option}",
            )
    return found
