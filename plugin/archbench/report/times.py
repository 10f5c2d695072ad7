"""What is said below a run's table about its verdicts on time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from archbench.core.gate import share_text, time_sentence
from archbench.core.records import Record
from archbench.metrics import METRICS, compared_by
from archbench.report.findings import shortened, states_text

__all__ = ["time_findings"]

BARELY = 1.005
"""A threshold that exceeds the tolerance by less is no news."""


def time_findings(cells: Sequence[Record], *, accepting: bool) -> list[str]:
    """How many times are in which state, what could not be asked of them, and what to type next.

    Args:
        cells: merged records.
        accepting: whether this run writes the baseline.
    """
    judged = [
        (cell, verdict)
        for cell in cells
        for verdict in cell.verdicts
        if verdict.metric in compared_by("statistics") and verdict.budget is None
    ]
    if not judged:
        return []
    states = Counter(verdict.status for _, verdict in judged)
    lines = [f"Times: {states_text(states)}."]
    improved = [cell.id for cell, verdict in judged if verdict.status == "improved"]
    if improved and not accepting:
        lines.append(f"  Accept what improved: {_accepting(improved)}")
    new = [cell for cell, verdict in judged if verdict.status == "no-baseline"]
    if new and not accepting:
        lines.append(
            f"  Without a baseline {_launches(new)} compared with nothing. Accept what has none: "
            "the same command with --baseline-update=new"
        )
    unclear = [
        f"  {cell.id} {cell.suffix}: {time_sentence(verdict.metric, verdict.sentence)}"
        for cell, verdict in judged
        if verdict.status in ("inconclusive", "not-comparable")
    ]
    lines += shortened(unclear)
    for metric in compared_by("statistics"):  # each has a tolerance of its own
        of_metric = [(cell, verdict) for cell, verdict in judged if verdict.metric == metric]
        coarse = [
            (cell, one.tolerance, one.threshold)
            for cell, one in of_metric
            if one.threshold is not None
            and one.tolerance is not None
            and one.threshold > one.tolerance * BARELY
        ]
        if coarse:
            lines.append(_coarse_text(metric, coarse, len(of_metric)))
    return lines


def _launches(cells: Sequence[Record]) -> str:
    numbers = {len(cell.metrics["latency"]["launches"]) for cell in cells}
    what = "one launch was" if numbers == {1} else f"{max(numbers)} launches were"
    return f"{what} measured, and"


def _accepting(models: Sequence[str]) -> str:
    names = list(dict.fromkeys(models))
    # What a file on the command line names cannot be named by its id.
    if len(names) > 5 or any(name.startswith("local/") for name in names):
        return "the same command with --baseline-update"
    return f"the same command with --models={','.join(names)} --baseline-update"


def _coarse_text(metric: str, coarse: Sequence[tuple[Record, float, float]], number: int) -> str:
    """Of cells with their tolerance and the threshold that their baseline allows."""
    least = min(tolerance for _, tolerance, _ in coarse)
    (_, _, low), *_, (worst, _, high) = sorted([*coarse, coarse[0]], key=lambda one: one[2])
    ends = dict.fromkeys(map(share_text, (low, high)))
    what = "" if metric == "latency" else f" of {METRICS[metric].spoken}"
    return (
        f"  In {len(coarse):,} of {number:,} the tolerance{what}, {share_text(least)}, is below "
        f"what the baseline's spread allows to find: {' to '.join(ends)} "
        f"({worst.id} {worst.suffix}). A baseline made on a quieter machine finds less."
    )
