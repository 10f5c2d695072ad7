"""From an accepted measurement and one of now to verdicts."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archbench.core.launches import (
    DEVICE,
    LEAST_BASELINE,
    LEAST_LAUNCHES,
    Launch,
    Scale,
    Spread,
    spread,
)
from archbench.core.verdicts import Verdict
from archbench.metrics import METRICS, compared_by, format_significant

COUNTS = ("input_shape", "output_shape", *compared_by("equality"))
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


TOO_NOISY = 0.5
"""A baseline that cannot find a change by half does not tell whether there is a smaller one."""


@dataclass(frozen=True, slots=True)
class TimeRule:
    """When launches of now differ from accepted ones.

    Attributes:
        scale: what is compared.
        relative: the smallest change that may fail.
        confidence: of the prediction limit, see :meth:`archbench.core.launches.Spread.threshold`.
    """

    scale: Scale
    relative: float = 0.10
    confidence: float = 0.999


def scale_of(then: Mapping[str, Any], now: Mapping[str, Any] | None = None) -> Scale:
    """In what launches of two environments are compared.

    In yardsticks where both have the same one; where a newer numpy does it otherwise, in seconds.

    Args:
        then: environment of the baseline: ``clock``, ``yardstick``.
        now: of the run that is compared with it; the baseline's own if None.
    """
    yardstick = then.get("yardstick")
    same = now is None or yardstick == now.get("yardstick")
    return Scale(then.get("clock", "wall"), in_yardsticks=yardstick is not None and same)


def scales_of(
    baseline: Sequence[Launch], then: Mapping[str, Any], now: Mapping[str, Any] | None = None
) -> dict[str, Scale]:
    """The times that launches are compared by, each with its scale, by metric.

    Args:
        baseline: launches that were accepted; where they were on an accelerator whose own clock
            was read, its time is compared by itself beside the host's. Lines from before it was
            stored have none.
        then, now: see :func:`scale_of`.
    """
    scales = {"latency": scale_of(then, now)}
    if any(launch.device is not None for launch in baseline):
        scales["device_time"] = DEVICE
    return scales


def share_text(share: float) -> str:
    """A share to two digits: ``27%``, ``10%``, ``2.4%``, ``150%``."""
    return f"{share:.0%}" if share >= 0.0995 else f"{format_significant(share * 100, 2)}%"


def time_sentence(metric: str, sentence: str) -> str:
    """What a verdict says, in a cell that may have several: ``device time: 10 ms -> 12 ms``."""
    return sentence if metric == "latency" else f"{metric.replace('_', ' ')}: {sentence}"


def is_suspicious(baseline: Sequence[Launch], launches: Sequence[Launch], rule: TimeRule) -> bool:
    """Whether launches look faster or slower than a baseline, so that fresh ones must confirm it.

    They do if the middle one of those that can be judged lies beyond the threshold.

    Args:
        baseline: launches that were accepted.
        launches: of now.
        rule: that they are compared by.
    """
    valid = _valid(launches, rule.scale)
    if len(baseline) < LEAST_BASELINE or len(valid) < LEAST_LAUNCHES:
        return False
    return bool(_side_of(spread(baseline, rule.scale), valid, rule))


def _side_of(accepted: Spread, launches: Sequence[Launch], rule: TimeRule) -> int:
    """1 where the middle launch is slower than the threshold, -1 where faster, else 0."""
    ratio = statistics.median(launch.level(rule.scale) - accepted.center for launch in launches)
    return _beyond(ratio, accepted.threshold(rule.relative, rule.confidence))


def _beyond(ratio: float, threshold: float) -> int:
    return (ratio > threshold) - (ratio < -threshold)


def needs_confirmation(
    baseline: Sequence[Launch],
    launches: Sequence[Launch],
    confirmations: Sequence[Launch],
    rule: TimeRule,
) -> bool:
    """Whether a further fresh launch is needed to tell a change from chance.

    It is not where nothing is suspicious, where enough fresh ones agree, and where one of them
    does not.

    Args:
        baseline: launches that were accepted.
        launches: of now.
        confirmations: fresh ones so far.
        rule: that they are compared by.
    """
    if not is_suspicious(baseline, launches, rule):
        return False
    accepted = spread(baseline, rule.scale)
    fresh = _fresh(accepted, confirmations, rule.scale)
    if len(fresh) == accepted.confirmations:
        return False
    side = _side_of(accepted, _valid(launches, rule.scale), rule)
    threshold = accepted.threshold(rule.relative, rule.confidence)
    return all(
        _beyond(launch.level(rule.scale) - accepted.center, threshold) == side for launch in fresh
    )


def time_verdict(
    baseline: Sequence[Launch] | None,
    launches: Sequence[Launch],
    confirmations: Sequence[Launch],
    rule: TimeRule,
    *,
    metric: str = "latency",
    accept: bool = False,
) -> Verdict:
    """Compare launches of now with stored ones.

    A change is one only if every one of the first three fresh launches, or of more where the
    baseline has a slow mode, lies beyond the threshold, all on one side. They are started after the
    suspicion; what comes after them was asked for by another clock and undoes nothing. The
    threshold is the larger of the tolerance and the prediction limit of the baseline's own spread:
    a baseline that was noisy finds large changes only, and says so.

    Args:
        baseline: launches that were accepted; None where there are none.
        launches: of now, at least three.
        confirmations: fresh ones, taken since :func:`is_suspicious` said so.
        rule: that they are compared by.
        metric: that the verdict is about.
        accept: whether the launches of now are to be the baseline.
    """
    if baseline is None or len(baseline) < LEAST_BASELINE:
        return _no_baseline(metric, baseline)
    accepted = spread(baseline, rule.scale)
    valid = _valid(launches, rule.scale)
    if len(valid) < LEAST_LAUNCHES:
        return _cannot_tell(metric, "launches", LEAST_LAUNCHES, launches, rule.scale)
    threshold = accepted.threshold(rule.relative, rule.confidence)
    share = math.expm1(threshold)
    finds = f"the smallest change that this baseline finds is {share_text(share)}"
    old = _seconds(baseline, accepted, rule.scale)

    def verdict(status: str, reason: str, ratios: Sequence[float], remark: str) -> Verdict:
        new = old * math.exp(statistics.median(ratios))
        sentence = f"{METRICS['latency'].changed(old, new)}{remark}"
        return Verdict(metric, status, reason, sentence, old, new, share, rule.relative)

    side = _side_of(accepted, valid, rule)
    ratios = [launch.level(rule.scale) - accepted.center for launch in valid]
    if not side and threshold > max(math.log1p(rule.relative), math.log1p(TOO_NOISY)):
        remark = f"; {finds}, which is no comparison. Accept it anew on a quieter machine"
        return verdict("inconclusive", "baseline-too-noisy", ratios, remark)
    if not side:
        return verdict("unchanged", "within-threshold", ratios, f"; {finds}")
    fresh = _fresh(accepted, confirmations, rule.scale)
    ratios = [launch.level(rule.scale) - accepted.center for launch in fresh]
    if not all(_beyond(ratio, threshold) == side for ratio in ratios):
        remark = f", and not in each of {len(fresh)} fresh launches; {finds}"
        return verdict("inconclusive", "not-confirmed", ratios, remark)
    if len(fresh) < accepted.confirmations:
        needed = accepted.confirmations
        return _cannot_tell(metric, "confirming launches", needed, confirmations, rule.scale)
    remark = f" in each of {len(fresh)} fresh launches; the threshold is {share_text(share)}"
    if side > 0:
        return verdict("regressed", "accepted" if accept else "slower", ratios, remark)
    return verdict("improved", "faster", ratios, remark)


def _no_baseline(metric: str, baseline: Sequence[Launch] | None) -> Verdict:
    if baseline is None:
        return Verdict(metric, "no-baseline", "not-in-file", "no time has been accepted for it")
    sentence = (
        f"the baseline has {len(baseline)} launches and needs {LEAST_BASELINE}. Accept it "
        f"anew with --baseline-update --processes={LEAST_BASELINE}"
    )
    return Verdict(metric, "inconclusive", "baseline-too-small", sentence)


def _seconds(baseline: Sequence[Launch], accepted: Spread, scale: Scale) -> float:
    """The centre of a baseline in seconds, at the middle state of its machine."""
    if not scale.in_yardsticks:
        return math.exp(accepted.center)
    yardsticks = [launch.yardstick for launch in baseline if launch.yardstick is not None]
    return math.exp(accepted.center) * statistics.median(yardsticks)


def _valid(launches: Sequence[Launch], scale: Scale) -> list[Launch]:
    return [launch for launch in launches if launch.is_judged_in(scale)]


def _fresh(accepted: Spread, confirmations: Sequence[Launch], scale: Scale) -> list[Launch]:
    """Those that decide: as many as it takes, in the order in which they were started."""
    return _valid(confirmations, scale)[: accepted.confirmations]


def _cannot_tell(
    metric: str, what: str, needed: int, launches: Sequence[Launch], scale: Scale
) -> Verdict:
    valid = _valid(launches, scale)
    causes = sorted(
        {
            launch.disturbance
            for launch in launches
            if launch.disturbance and not launch.is_judged_in(scale)
        }
    )
    if not causes:
        sentence = f"{len(valid)} {what}, and a verdict needs {needed}"
        return Verdict(metric, "inconclusive", "too-few-launches", sentence)
    sentence = (
        f"{len(valid)} of {len(launches)} {what} can be judged, and a verdict needs "
        f"{needed}: {'; '.join(causes)}"
    )
    return Verdict(metric, "inconclusive", "disturbed", sentence)
