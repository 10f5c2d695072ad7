"""Verdicts about memory and energy: a change has to exceed a share and an amount, both."""

from __future__ import annotations

import math

from archbench.core.verdicts import Verdict
from archbench.metrics import METRICS, Tolerance, compared_by


def tolerance_verdict(
    metric: str,
    baseline: float | None,
    value: float,
    tolerance: Tolerance,
    *,
    accept: bool = False,
) -> Verdict:
    """Compare a memory or an energy with the accepted one.

    The framework's peak of allocated bytes repeats to the last bit, and a counter of energy does
    not: the two tolerances leave room for an allocator's rounding and for a counter's step.

    Args:
        metric: one that is compared by a tolerance alone.
        baseline: bytes or joules that were accepted; None where none were.
        value: now.
        tolerance: of the metric in this cell; both ``relative`` and ``absolute`` have to be
            exceeded.
        accept: whether the value of now is to be the baseline.

    Raises:
        ValueError: not such a metric, or a value that is no amount.
    """
    if metric not in compared_by("tolerance"):
        raise ValueError(f"{metric} is not compared by a tolerance")
    for amount in (value, baseline):
        if amount is not None and not 0 <= amount < math.inf:
            raise ValueError(f"{metric} of {amount}")
    if baseline is None:
        sentence = f"no {METRICS[metric].spoken} has been accepted for it"
        return Verdict(metric, "no-baseline", "not-in-file", sentence)
    known, change = METRICS[metric], value - baseline
    allowed = max(baseline * tolerance.relative, tolerance.absolute or 0.0)
    status, reason = _judged(change, allowed, accept=accept)
    sentence = f"{known.changed(baseline, value)}; the tolerance is {known.said(allowed)}"
    return Verdict(metric, status, reason, sentence, baseline, value)


def _judged(change: float, allowed: float, *, accept: bool) -> tuple[str, str]:
    """Status and reason of a change."""
    if abs(change) <= allowed:
        return "unchanged", "equal" if change == 0 else "within-tolerance"
    if change > 0:
        return "regressed", "accepted" if accept else "more"
    return "improved", "less"
