"""The last run of the same environment: its times are shown beside new ones, and judge nothing."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from statistics import median

from archbench.core.errors import ArchbenchError
from archbench.core.records import Record, SinceLastRun, derived
from archbench.store.journal import read_run

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
    runs = sorted(journal.parent.parent.glob("*/journal.jsonl"), reverse=True)
    for path in islice((path for path in runs if path != journal), LOOKED_AT):
        if len(found) == len(new):
            break
        for cell in _cells_of(path):
            now, before = new.get(cell.key), derived(cell).get("p50")
            if (
                now is None
                or not before
                or cell.key in found
                or cell.is_noisy
                or _differ(now, cell)
            ):
                continue
            found[cell.key] = SinceLastRun(path.parent.name, derived(now)["p50"] / before - 1)
    return found


ENOUGH = 100
"""Lines of a journal from which a rate is read: those of a long run take a second."""


def last_rate(runs: Path, is_cpu: bool) -> float | None:
    """Multiply-adds in a second of the last run that has timed anything: the median of its cells.

    Args:
        runs: where journals are stored.
        is_cpu: whether only what was measured on a CPU counts.
    """
    for path in islice(sorted(runs.glob("*/journal.jsonl"), reverse=True), LOOKED_AT):
        try:
            cells = read_run(path, ENOUGH).cells
        except (ArchbenchError, OSError):
            continue
        rates = [
            cell.metrics["macs"]["value"] * (cell.target.batch_size or 1) / derived(cell)["p50"]
            for cell in cells
            if cell.target is not None
            and not (is_cpu and cell.target.kind != "cpu")
            and "macs" in cell.metrics
            and derived(cell).get("p50")
        ]
        if rates:
            rate: float = median(rates)
            return rate
    return None


def _is_new(cell: Record) -> bool:
    return "p50" in derived(cell) and any(
        verdict.metric == "latency" and verdict.status == "no-baseline" for verdict in cell.verdicts
    )


def _cells_of(path: Path) -> list[Record]:
    """The cells of a run; none of one that only took a glance, or that cannot be read."""
    try:
        run = read_run(path)
    except (ArchbenchError, OSError):
        return []
    settings = run.header.get("settings") or {}
    return [] if settings.get("quick") or settings.get("against") else run.cells


def _differ(now: Record, before: Record) -> bool:
    return now.metrics["latency"].get("environment") != before.metrics["latency"].get("environment")
