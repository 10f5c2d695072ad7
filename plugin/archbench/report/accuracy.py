"""What is said below a run's table about accuracies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from archbench.core.fingerprints import METRIC
from archbench.core.records import Record
from archbench.core.verdicts import NEWS
from archbench.metrics import METRICS, compared_by
from archbench.report.findings import shortened, states_text

__all__ = ["accuracy_findings"]

NOTE = "accuracy-not-measured"


def accuracy_findings(cells: Sequence[Record], *, accepting: bool) -> list[str]:
    """How many accuracies are known, how well, in which state, and why others are not.

    Args:
        cells: merged records.
        accepting: whether this run writes the baseline.
    """
    measured = [cell for cell in cells if "top1" in cell.metrics]
    absent = [cell for cell in cells if any(note.code == NOTE for note in cell.notes)]
    lines = []
    if absent:
        reason = next(note.text for note in absent[0].notes if note.code == NOTE)
        lines.append(f"Accuracy: {len(absent):,} not measured: {reason}.")
    if measured:
        lines.append(_measured_text(measured))
        for cell in measured:
            lines += [
                f"  {cell.id}: {note.text}."
                for note in cell.notes
                if note.code in ("images-unreadable", "classes-lacking", "taken-up")
            ]
        new = [
            cell
            for cell in measured
            if any(
                verdict.metric == "top1"
                and (verdict.status == "no-baseline" or "published" in verdict.reason)
                for verdict in cell.verdicts
            )
        ]
        if new and not accepting:
            told = [
                f"  {cell.id}: {verdict.sentence}."
                for cell in new
                for verdict in cell.verdicts
                if verdict.metric == "top1" and "published" in verdict.reason
            ]
            lines += told
            lines.append(
                "  Accept what has no baseline: the same command with --baseline-update=new"
            )
    states = Counter(
        verdict.status
        for cell in cells
        for verdict in cell.verdicts
        if verdict.metric == METRIC and verdict.status != "no-baseline"
    )
    if states:
        lines.append(f"Fingerprints: {states_text(states)}.")
    lines += _untold(cells)
    return lines


def _untold(cells: Sequence[Record]) -> list[str]:
    """Why an accuracy or a fingerprint could not be compared."""
    lines = [
        f"  {cell.id}: {verdict.metric} {verdict.status}: {verdict.sentence}."
        for cell in cells
        for verdict in cell.verdicts
        if verdict.metric in ("top1", METRIC)
        and verdict.status in ("not-comparable", "inconclusive")
        and "published" not in verdict.reason
    ]
    return shortened(lines)


def _measured_text(measured: Sequence[Record]) -> str:
    states: Counter[str] = Counter()
    for cell in measured:
        statuses = {v.status for v in cell.verdicts if v.metric in compared_by("pairs")}
        states.update(sorted(statuses, key=NEWS.index)[:1])
    told = states_text(states)
    first = measured[0].metrics["top1"]
    text = METRICS["top1"].text
    half = max(
        (cell.metrics["top1"]["high"] - cell.metrics["top1"]["low"]) / 2 for cell in measured
    )
    sample = first["dataset"]["sample"]
    of = f", a sample of {first['dataset']['of']:,}" if sample is not None else ""
    rate = sum(
        (cell.metrics["top1"]["images"] + cell.metrics["top1"]["unreadable"]) for cell in measured
    ) / sum(cell.seconds.get("evaluate", 0.0) or 1e-9 for cell in measured)
    return (
        f"Accuracy: {told}; on {first['images']:,} images{of}, known to {text(half)} points or "
        f"better (95 %), {rate:,.0f} images/s."
    )
