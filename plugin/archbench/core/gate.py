"""From an accepted measurement and one of now to verdicts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from archbench.core.launches import LEAST_BASELINE, LEAST_LAUNCHES, Launch, spread
from archbench.core.metrics import METRICS
from archbench.core.verdicts import Verdict

__all__ = [
    "COUNTS",
    "METRIC",
    "count_verdicts",
    "difference_text",
    "is_suspicious",
    "time_verdict",
]

COUNTS = (
    "input_shape",
    "output_shape",
    "params",
    "trainable_params",
    "buffers",
    "macs",
    "activations",
    "max_channels",
    "operator_calls",
)
"""Metrics without noise, compared by equality."""

METRIC = "complexity"
"""What a verdict about all counts together is about."""


def count_verdicts(
    baseline: Mapping[str, Any] | None, counts: Mapping[str, Any], *, accept: bool = False
) -> list[Verdict]:
    """Compare counts by equality: there is no noise, and no excuse.

    Args:
        baseline: the accepted values of :data:`COUNTS`, and under ``torch`` the version of torch
            that they were counted with, under ``layers`` the census of
            :func:`archbench.core.complexity.layer_census`; None where nothing has been accepted.
        counts: the values now, in the same form.
        accept: whether the values now are to be the baseline, so that a change is no failure.

    Returns:
        One verdict for each metric that changed, or a single one about all of them.
    """
    if baseline is None:
        return [
            Verdict(METRIC, "no-baseline", "not-in-file", "no counts have been accepted for it")
        ]
    # How torch takes an operator apart is its own affair and differs between its versions; what
    # the operators multiply, read and write does not.
    same_torch = baseline["torch"] == counts["torch"]
    compared = [name for name in COUNTS if same_torch or name != "operator_calls"]
    reason = "accepted" if accept else "differs"
    changed = [
        Verdict(
            name,
            "changed",
            reason,
            difference_text(name, baseline[name], counts[name]),
            baseline[name],
            counts[name],
        )
        for name in compared
        if baseline[name] != counts[name]
    ]
    if changed:
        return changed
    if _costs(baseline["layers"]) != _costs(counts["layers"]):
        return [
            Verdict(
                "layers",
                "changed",
                reason,
                "the same sums over other layers",
                baseline["layers"],
                counts["layers"],
            )
        ]
    sentence = f"{', '.join(compared)} and the layers are equal to the baseline's"
    if not same_torch:
        sentence += (
            f"; operator_calls are not compared, since the baseline is of torch "
            f"{baseline['torch']} and this is {counts['torch']}"
        )
    return [Verdict(METRIC, "unchanged", "equal", sentence)]


def _costs(census: Iterable[Sequence[Any]]) -> Counter[tuple[int, int]]:
    """How many layers have each cost; what a library calls their type is its own affair."""
    costs: Counter[tuple[int, int]] = Counter()
    for _, params, macs, number in census:
        costs[params, macs] += number
    return costs


def difference_text(name: str, old: Any, new: Any) -> str:
    """``params 200 -> 204 (+4, +2 %)``; for shapes ``output shape 1x10 -> 1x9``."""
    name = "MACs" if name == "macs" else name.replace("_", " ")
    if not isinstance(old, int):
        return f"{name} {'x'.join(map(str, old))} -> {'x'.join(map(str, new))}"
    relative = f", {(new - old) / old * 100:+.3g} %" if old else ""
    return f"{name} {old:,} -> {new:,} ({new - old:+,}{relative})"


def is_suspicious(
    baseline: Sequence[Launch],
    launches: Sequence[Launch],
    clock: str,
    *,
    relative: float = 0.10,
    confidence: float = 0.9999,
) -> bool:
    """Whether launches look faster or slower than a baseline, so that fresh ones must confirm it.

    They do if the middle one of those that can be judged lies beyond the threshold.

    Args:
        baseline: launches that were accepted.
        launches: of now.
        clock: ``wall`` or ``cpu``.
        relative, confidence: see :meth:`archbench.core.launches.Spread.threshold`.
    """
    valid = _valid(launches)
    if len(baseline) < 2 or not valid:
        return False
    accepted = spread(baseline, clock)
    ratios = sorted(math.log(launch.median(clock)) - accepted.center for launch in valid)
    return abs(ratios[len(ratios) // 2]) > accepted.threshold(relative, confidence)


def time_verdict(
    baseline: Sequence[Launch] | None,
    launches: Sequence[Launch],
    confirmations: Sequence[Launch],
    clock: str,
    *,
    metric: str = "latency",
    relative: float = 0.10,
    confidence: float = 0.9999,
    accept: bool = False,
) -> Verdict:
    """Compare launches of now with stored ones.

    A change is one only if every one of at least three fresh launches, started after the suspicion,
    lies beyond the threshold, all on one side. The threshold is the larger of ``relative`` and the
    prediction limit of the baseline's own spread: a baseline that was noisy finds large changes
    only, and says so.

    Args:
        baseline: launches that were accepted; None where there are none.
        launches: of now, at least three.
        confirmations: fresh ones, taken since :func:`is_suspicious` said so.
        clock: ``wall`` or ``cpu``.
        metric: that the verdict is about.
        relative: the smallest change that may fail.
        confidence: of the prediction limit.
        accept: whether the launches of now are to be the baseline.
    """
    if baseline is None:
        return Verdict(metric, "no-baseline", "not-in-file", "no time has been accepted for it")
    if len(baseline) < LEAST_BASELINE:
        return Verdict(
            metric,
            "inconclusive",
            "baseline-too-small",
            f"the baseline has {len(baseline)} launches and needs {LEAST_BASELINE}. Accept it "
            f"anew with --baseline-update --launches={LEAST_BASELINE}",
        )
    accepted = spread(baseline, clock)
    valid = _valid(launches)
    if len(valid) < LEAST_LAUNCHES:
        return _cannot_tell(metric, "launches", launches, valid)
    threshold = accepted.threshold(relative, confidence)
    now = spread(valid, clock)
    value, old = now.median, accepted.median
    change = _change(old, value)
    finds = f"the smallest change that this baseline finds is {math.expm1(threshold):.0%}"

    def verdict(status: str, reason: str, sentence: str) -> Verdict:
        return Verdict(metric, status, reason, sentence, old, value)

    if not is_suspicious(baseline, launches, clock, relative=relative, confidence=confidence):
        return verdict("unchanged", "within-threshold", f"{change}; {finds}")
    fresh = _valid(confirmations)
    if len(fresh) < LEAST_LAUNCHES:
        return _cannot_tell(metric, "confirming launches", confirmations, fresh)
    ratios = [math.log(launch.median(clock)) - accepted.center for launch in fresh]
    value = math.exp(accepted.center + sorted(ratios)[len(ratios) // 2])
    change = _change(old, value)
    agree = (
        f"{change} in each of {len(fresh)} fresh launches; the threshold is "
        f"{math.expm1(threshold):.0%}"
    )
    if all(ratio > threshold for ratio in ratios):
        return verdict("regressed", "accepted" if accept else "slower", agree)
    if all(ratio < -threshold for ratio in ratios):
        return verdict("improved", "faster", agree)
    return verdict(
        "inconclusive",
        "not-confirmed",
        f"{change}, and not in each of {len(fresh)} fresh launches; {finds}",
    )


def _change(old: float, new: float) -> str:
    text = METRICS["latency"].text
    return f"{text(old)} ms -> {text(new)} ms ({new / old - 1:+.1%})"


def _valid(launches: Sequence[Launch]) -> list[Launch]:
    return [launch for launch in launches if launch.disturbance is None]


def _cannot_tell(
    metric: str, what: str, launches: Sequence[Launch], valid: Sequence[Launch]
) -> Verdict:
    causes = sorted({launch.disturbance for launch in launches if launch.disturbance})
    if not causes:
        return Verdict(
            metric,
            "inconclusive",
            "too-few-launches",
            f"{len(valid)} {what}, and a verdict needs {LEAST_LAUNCHES}",
        )
    return Verdict(
        metric,
        "inconclusive",
        "disturbed",
        f"{len(valid)} of {len(launches)} {what} can be judged, and a verdict needs "
        f"{LEAST_LAUNCHES}: {'; '.join(causes)}",
    )
