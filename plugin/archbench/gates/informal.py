"""The last runs: their times stand beside new ones and say what takes long, and judge nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from statistics import median

from archbench.core.errors import ArchbenchError
from archbench.core.records import Record, SinceLastRun, derived
from archbench.store.journal import Run, journals, read_run

LOOKED_AT = 20
"""Newest runs that are read: a project keeps hundreds, and a reference of long ago says little."""


def since_last_run(cells: Iterable[Record], journal: Path) -> dict[tuple[str, str], SinceLastRun]:
    """The changes of cells without a baseline since the last run that measured them quietly enough,
    in the very environment of now: device, library, versions, kernel.

    Args:
        cells: merged records of the run.
        journal: of the run, beside which earlier ones are looked for.
    """
    new = {cell.key: cell for cell in cells if _is_new(cell)}
    found: dict[tuple[str, str], SinceLastRun] = {}
    if not new:
        return found
    for run in _newest(journal.parent.parent, without=journal):
        settings = run.header.get("settings") or {}
        if settings.get("quick") or settings.get("against"):
            continue  # it took a glance, or was about two versions
        for cell in run.cells:
            now = new.get(cell.key)
            if now is None or cell.key in found or cell.is_noisy or _differ(now, cell):
                continue
            if before := derived(cell).get("p50"):
                change = derived(now)["p50"] / before - 1
                found[cell.key] = SinceLastRun(run.path.parent.name, change)
        if len(found) == len(new):
            break
    return found


ENOUGH = 100
"""Lines of a journal from which a rate is read: those of a long run take a second."""

FEW = 3
"""Newest runs whose seconds are looked up: a journal of the whole catalogue takes 0.2 s to read."""


def last_rate(runs: Path, is_cpu: bool) -> float | None:
    """Multiply-adds in a second of the last run that has timed anything: the median of its cells.

    Args:
        runs: where journals are stored.
        is_cpu: whether only what was measured on a CPU counts.
    """
    for run in _newest(runs, most=ENOUGH):
        rates = [
            macs * (cell.target.batch_size or 1) / p50
            for cell in run.cells
            if cell.target is not None
            and not (is_cpu and cell.target.kind != "cpu")
            and (macs := cell.number("macs")) is not None
            and (p50 := derived(cell).get("p50"))
        ]
        if rates:
            return median(rates)
    return None


def last_seconds(runs: Path, is_cpu: bool) -> dict[tuple[str, str], float]:
    """Seconds that cells took, by their ids and suffixes: the latest of the last few runs.

    Args:
        runs: where journals are stored.
        is_cpu: whether only what was measured on a CPU counts, or on no device.
    """
    found: dict[tuple[str, str], float] = {}
    for run in islice(_newest(runs), FEW):
        for cell in run.cells:
            is_its = not is_cpu or cell.target is None or cell.target.kind == "cpu"
            if cell.seconds and is_its:
                found.setdefault((cell.id, cell.suffix), sum(cell.seconds.values()))
    return found


def _newest(runs: Path, *, without: Path | None = None, most: int | None = None) -> Iterator[Run]:
    """The newest runs that can be read, the last one first.

    Args:
        without: the journal of a run that is left out.
        most: lines to read of each.
    """
    paths = (path for path in reversed(journals(runs)) if path != without)
    for path in islice(paths, LOOKED_AT):
        try:
            run = read_run(path, most)
        except (ArchbenchError, OSError):
            continue
        yield run


def _is_new(cell: Record) -> bool:
    return "p50" in derived(cell) and any(
        verdict.metric == "latency" and verdict.status == "no-baseline" for verdict in cell.verdicts
    )


def _differ(now: Record, before: Record) -> bool:
    return before.environment != now.environment
