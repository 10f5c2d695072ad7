"""What is said below a run's table about memory and energy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from archbench.core.records import Record
from archbench.metrics import compared_by
from archbench.report.findings import states_text

__all__ = ["amount_findings"]


def amount_findings(cells: Sequence[Record], *, accepting: bool) -> list[str]:
    """In which state the memory and energy of how many cells are, and why others have none.

    Args:
        cells: merged records.
        accepting: whether this run writes the baseline.
    """
    lines = []
    for name, metric in compared_by("tolerance").items():
        title = metric.label or metric.spoken.capitalize()
        judged = [
            (cell, verdict.status)
            for cell in cells
            for verdict in cell.verdicts
            if verdict.metric == name and verdict.budget is None
        ]
        states = Counter(status for _, status in judged)
        if states:
            lines.append(f"{title}: {states_text(states)}.")
        if states["improved"] and not accepting:
            lines.append("  Accept what improved: the same command with --baseline-update")
        reasons = Counter(
            cell.metrics[name]["absent"] for cell in cells if "absent" in cell.metrics.get(name, {})
        )
        lines += [
            f"{title}: {number:,} not measured: {reason}."
            for reason, number in reasons.most_common()
        ]
    return lines
