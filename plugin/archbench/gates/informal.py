"""The last run of the same environment: its times are shown beside new ones, and judge nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from archbench.core.errors import ArchbenchError
from archbench.core.records import Record, derived
from archbench.store.journal import read_run

__all__ = ["Reference", "last_times"]

LOOKED_AT = 20
"""Newest runs that are read: a project keeps hundreds, and a reference of long ago says little."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What a cell took in an earlier run.

    Attributes:
        run: its name, which begins with its time.
        seconds: median of a batch.
    """

    run: str
    seconds: float


def last_times(cells: Iterable[Record], journal: Path) -> dict[tuple[str, str], Reference]:
    """The last time of each cell, by its key, that was measured in the very environment of now:
    device, library, versions, kernel.

    Args:
        cells: merged records of the run.
        journal: of the run, beside which earlier ones are looked for.
    """
    wanted = {
        cell.key: cell.metrics["latency"].get("environment")
        for cell in cells
        if "latency" in cell.metrics and "p50" in derived(cell)
    }
    found: dict[tuple[str, str], Reference] = {}
    runs = sorted(journal.parent.parent.glob("*/journal.jsonl"), reverse=True)
    for path in islice((path for path in runs if path != journal), LOOKED_AT):
        if len(found) == len(wanted):
            break
        try:
            run = read_run(path)
        except (ArchbenchError, OSError):
            continue  # a damaged or newer journal is no reference, and no fault of this run
        settings = run.header.get("settings") or {}
        if settings.get("quick") or settings.get("against"):
            continue
        for cell in run.cells:
            seconds = derived(cell).get("p50")
            if (
                cell.key in wanted
                and cell.key not in found
                and seconds
                and cell.metrics["latency"].get("environment") == wanted[cell.key]
            ):
                found[cell.key] = Reference(path.parent.name, seconds)
    return found
