"""What is said below a run's table about its verdicts on time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from archbench.core.budgets import REASONS as BUDGET_REASONS
from archbench.core.gate import share_text, time_sentence
from archbench.core.records import Record
from archbench.core.tolerances import TIMES
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
        if verdict["metric"] in TIMES and verdict["reason"] not in BUDGET_REASONS
    ]
    if not judged:
        return []
    states = Counter(verdict["status"] for _, verdict in judged)
    lines = [f"Times: {states_text(states)}."]
    improved = [cell.id for cell, verdict in judged if verdict["status"] == "improved"]
    if improved and not accepting:
        lines.append(f"  Accept what improved: {_accepting(improved)}")
    new = [cell for cell, verdict in judged if verdict["status"] == "no-baseline"]
    if new and not accepting:
        lines.append(
            f"  Without a baseline {_launches(new)} compared with nothing. Accept what has none: "
            "the same command with --baseline-update=new"
        )
    unclear = [
        f"  {cell.id} {cell.suffix}: {time_sentence(verdict['metric'], verdict['sentence'])}"
        for cell, verdict in judged
        if verdict["status"] in ("inconclusive", "not-comparable")
    ]
    lines += shortened(unclear)
    for metric in TIMES:  # each has a tolerance of its own
        of_metric = [(cell, verdict) for cell, verdict in judged if verdict["metric"] == metric]
        coarse = [(cell, verdict) for cell, verdict in of_metric if _is_coarse(verdict)]
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


def _is_coarse(verdict: dict[str, Any]) -> bool:
    threshold, tolerance = verdict.get("threshold"), verdict.get("tolerance")
    return threshold is not None and tolerance is not None and threshold > tolerance * BARELY


def _coarse_text(metric: str, coarse: Sequence[tuple[Record, dict[str, Any]]], number: int) -> str:
    least = min(verdict["tolerance"] for _, verdict in coarse)
    ordered = sorted(coarse, key=lambda pair: pair[1]["threshold"])
    low, high = ordered[0][1]["threshold"], ordered[-1][1]["threshold"]
    worst = ordered[-1][0]
    ends = dict.fromkeys(map(share_text, (low, high)))
    what = "" if metric == "latency" else f" of {metric.replace('_', ' ')}"
    return (
        f"  In {len(coarse):,} of {number:,} the tolerance{what}, {share_text(least)}, is below "
        f"what the baseline's spread allows to find: {' to '.join(ends)} "
        f"({worst.id} {worst.suffix}). A baseline made on a quieter machine finds less."
    )
