"""From an accepted measurement and one of now to verdicts."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from archbench.core.entries import Count
from archbench.core.lines import CountLine, Environment, Layer
from archbench.core.process_runs import (
    DEVICE,
    LEAST_BASELINE,
    LEAST_PROCESS_RUNS,
    ProcessRun,
    Scale,
    Spread,
    spread,
)
from archbench.core.verdicts import Verdict
from archbench.metrics import METRICS, compared_by, format_significant

COUNTS = ("input_shape", "output_shape", *compared_by("equality"))
"""Metrics without noise, compared by equality."""

COMPLEXITY = "complexity"
"""What a verdict about all counts together is about."""


def count_verdicts(
    baseline: CountLine | None, counts: CountLine, *, accept: bool = False
) -> list[Verdict]:
    """Compare counts by equality: there is no noise, and no excuse.

    Args:
        baseline: the accepted line; None where nothing has been accepted.
        counts: the line of now.
        accept: whether the values now are to be the baseline, so that a change is no failure.

    Returns:
        One verdict for each metric that changed, or a single one about all of them.
    """
    if baseline is None:
        sentence = "no counts have been accepted for it"
        return [Verdict(COMPLEXITY, "no-baseline", "not-in-file", sentence)]
    # How torch takes an operator apart is its own affair and differs between its versions; what
    # the operators multiply, read and write does not.
    same_torch = baseline.torch == counts.torch
    compared = [name for name in COUNTS if same_torch or name != "operator_calls"]
    reason = "accepted" if accept else "differs"
    changed = [
        Verdict(name, "changed", reason, difference_text(name, then, now), then, now)
        for name in compared
        for then, now in [(getattr(baseline, name), getattr(counts, name))]
        if then != now
    ]
    if changed:
        return changed
    if _costs(baseline.layers) != _costs(counts.layers):
        sentence = "the same sums over other layers"
        return [Verdict("layers", "changed", reason, sentence, baseline.layers, counts.layers)]
    left_out = (
        f"; operator_calls are not compared, since the baseline is of torch {baseline.torch} "
        f"and this is {counts.torch}"
    )
    sentence = f"{', '.join(compared)} and the layers are equal to the baseline's"
    return [Verdict(COMPLEXITY, "unchanged", "equal", sentence + ("" if same_torch else left_out))]


def _costs(census: Iterable[Layer]) -> Counter[tuple[int, int]]:
    """How many layers have each cost; what a library calls their type is its own affair."""
    costs: Counter[tuple[int, int]] = Counter()
    for _, params, macs, number in census:
        costs[params, macs] += number
    return costs


def difference_text(name: str, old: Count, new: Count) -> str:
    """``params 200 -> 204 (+4, +2 %)``; for shapes ``output shape 1x10 -> 1x9``."""
    name = "MACs" if name == "macs" else name.replace("_", " ")
    if not isinstance(old, int) or not isinstance(new, int):
        return f"{name} {_shape(old)} -> {_shape(new)}"
    relative = f", {(new - old) / old * 100:+.3g} %" if old else ""
    return f"{name} {old:,} -> {new:,} ({new - old:+,}{relative})"


def _shape(value: Count) -> str:
    return str(value) if isinstance(value, int) else "x".join(map(str, value))


TOO_NOISY = 0.5
"""A baseline that cannot find a change by half does not show whether there is a smaller one."""


@dataclass(frozen=True, slots=True)
class TimeRule:
    """When process runs of now differ from accepted ones.

    Attributes:
        scale: what is compared.
        relative: the smallest change that may fail.
        confidence: of the prediction limit, see
            :meth:`archbench.core.process_runs.Spread.threshold`.
    """

    scale: Scale
    relative: float = 0.10
    confidence: float = 0.999


def scale_of(then: Environment, now: Environment | None = None) -> Scale:
    """In what process runs of two environments are compared.

    In reference workloads where both have the same one; where a newer numpy does it otherwise, in
    seconds.

    Args:
        then: environment of the baseline: ``clock``, ``reference_workload``.
        now: of the run that is compared with it; the baseline's own if None.
    """
    reference_workload = then.get("reference_workload")
    same = now is None or reference_workload == now.get("reference_workload")
    return Scale(
        str(then.get("clock", "wall")),
        in_reference_workloads=reference_workload is not None and same,
    )


def scales_of(
    baseline: Sequence[ProcessRun], then: Environment, now: Environment | None = None
) -> dict[str, Scale]:
    """The times that process runs are compared by, each with its scale, by metric.

    Args:
        baseline: process runs that were accepted; where they were on an accelerator whose own clock
            was read, its time is compared by itself beside the host's. Lines from before it was
            stored have none.
        then, now: see :func:`scale_of`.
    """
    scales = {"latency": scale_of(then, now)}
    if any(run.device is not None for run in baseline):
        scales["device_time"] = DEVICE
    return scales


def share_text(share: float) -> str:
    """A share to two digits: ``27%``, ``10%``, ``2.4%``, ``150%``."""
    return f"{share:.0%}" if share >= 0.0995 else f"{format_significant(share * 100, 2)}%"


def time_sentence(metric: str, sentence: str) -> str:
    """What a verdict says, in a cell that may have several: ``device time: 10 ms -> 12 ms``."""
    return sentence if metric == "latency" else f"{metric.replace('_', ' ')}: {sentence}"


def is_suspicious(
    baseline: Sequence[ProcessRun], process_runs: Sequence[ProcessRun], rule: TimeRule
) -> bool:
    """Whether process runs look faster or slower than a baseline, so that fresh ones must confirm
    it.

    They do if the middle one of those that can be judged lies beyond the threshold.

    Args:
        baseline: process runs that were accepted.
        process_runs: of now.
        rule: that they are compared by.
    """
    valid = _valid(process_runs, rule.scale)
    if len(baseline) < LEAST_BASELINE or len(valid) < LEAST_PROCESS_RUNS:
        return False
    return bool(_side_of(spread(baseline, rule.scale), valid, rule))


def _side_of(accepted: Spread, process_runs: Sequence[ProcessRun], rule: TimeRule) -> int:
    """1 where the middle process run is slower than the threshold, -1 where faster, else 0."""
    ratio = statistics.median(run.level(rule.scale) - accepted.center for run in process_runs)
    return _beyond(ratio, accepted.threshold(rule.relative, rule.confidence))


def _beyond(ratio: float, threshold: float) -> int:
    return (ratio > threshold) - (ratio < -threshold)


def needs_confirmation(
    baseline: Sequence[ProcessRun],
    process_runs: Sequence[ProcessRun],
    confirmations: Sequence[ProcessRun],
    rule: TimeRule,
) -> bool:
    """Whether a further fresh process run is needed to tell a change from chance.

    It is not where nothing is suspicious, where enough fresh ones agree, and where one of them
    does not.

    Args:
        baseline: process runs that were accepted.
        process_runs: of now.
        confirmations: fresh ones so far.
        rule: that they are compared by.
    """
    if not is_suspicious(baseline, process_runs, rule):
        return False
    accepted = spread(baseline, rule.scale)
    fresh = _fresh(accepted, confirmations, rule.scale)
    if len(fresh) == accepted.confirmations:
        return False
    side = _side_of(accepted, _valid(process_runs, rule.scale), rule)
    threshold = accepted.threshold(rule.relative, rule.confidence)
    return all(_beyond(run.level(rule.scale) - accepted.center, threshold) == side for run in fresh)


def time_verdict(
    baseline: Sequence[ProcessRun] | None,
    process_runs: Sequence[ProcessRun],
    confirmations: Sequence[ProcessRun],
    rule: TimeRule,
    *,
    metric: str = "latency",
    accept: bool = False,
) -> Verdict:
    """Compare process runs of now with stored ones.

    A change is one only if every one of the first three fresh process runs, or of more where the
    baseline has a slow mode, lies beyond the threshold, all on one side. They are started after the
    suspicion; what comes after them was asked for by another clock and undoes nothing. The
    threshold is the larger of the tolerance and the prediction limit of the baseline's own spread:
    a baseline that was noisy finds large changes only, and says so.

    Args:
        baseline: process runs that were accepted; None where there are none.
        process_runs: of now, at least three.
        confirmations: fresh ones, taken since :func:`is_suspicious` said so.
        rule: that they are compared by.
        metric: that the verdict is about.
        accept: whether the process runs of now are to be the baseline.
    """
    if baseline is None or len(baseline) < LEAST_BASELINE:
        return _no_baseline(metric, baseline)
    accepted = spread(baseline, rule.scale)
    valid = _valid(process_runs, rule.scale)
    if len(valid) < LEAST_PROCESS_RUNS:
        return _cannot_tell(metric, "process runs", LEAST_PROCESS_RUNS, process_runs, rule.scale)
    threshold = accepted.threshold(rule.relative, rule.confidence)
    share = math.expm1(threshold)
    finds = f"the smallest change that this baseline finds is {share_text(share)}"
    old = _seconds(baseline, accepted, rule.scale)

    def verdict(status: str, reason: str, ratios: Sequence[float], remark: str) -> Verdict:
        new = old * math.exp(statistics.median(ratios))
        sentence = f"{METRICS['latency'].changed(old, new)}{remark}"
        return Verdict(metric, status, reason, sentence, old, new, share, rule.relative)

    side = _side_of(accepted, valid, rule)
    ratios = [run.level(rule.scale) - accepted.center for run in valid]
    if not side and threshold > max(math.log1p(rule.relative), math.log1p(TOO_NOISY)):
        remark = f"; {finds}, which is no comparison. Accept it anew on a quieter machine"
        return verdict("inconclusive", "baseline-too-noisy", ratios, remark)
    if not side:
        return verdict("unchanged", "within-threshold", ratios, f"; {finds}")
    fresh = _fresh(accepted, confirmations, rule.scale)
    ratios = [run.level(rule.scale) - accepted.center for run in fresh]
    if not all(_beyond(ratio, threshold) == side for ratio in ratios):
        remark = f", and not in each of {len(fresh)} fresh process runs; {finds}"
        return verdict("inconclusive", "not-confirmed", ratios, remark)
    if len(fresh) < accepted.confirmations:
        needed = accepted.confirmations
        return _cannot_tell(metric, "confirming process runs", needed, confirmations, rule.scale)
    remark = f" in each of {len(fresh)} fresh process runs; the threshold is {share_text(share)}"
    if side > 0:
        return verdict("regressed", "accepted" if accept else "slower", ratios, remark)
    return verdict("improved", "faster", ratios, remark)


def _no_baseline(metric: str, baseline: Sequence[ProcessRun] | None) -> Verdict:
    if baseline is None:
        return Verdict(metric, "no-baseline", "not-in-file", "no time has been accepted for it")
    sentence = (
        f"the baseline has {len(baseline)} process runs and needs {LEAST_BASELINE}. Accept it "
        f"anew with --baseline-update --processes={LEAST_BASELINE}"
    )
    return Verdict(metric, "inconclusive", "baseline-too-small", sentence)


def _seconds(baseline: Sequence[ProcessRun], accepted: Spread, scale: Scale) -> float:
    """The centre of a baseline in seconds, at the middle state of its machine."""
    if not scale.in_reference_workloads:
        return math.exp(accepted.center)
    reference_workloads = [
        run.reference_workload for run in baseline if run.reference_workload is not None
    ]
    return math.exp(accepted.center) * statistics.median(reference_workloads)


def _valid(process_runs: Sequence[ProcessRun], scale: Scale) -> list[ProcessRun]:
    return [run for run in process_runs if run.is_judged_in(scale)]


def _fresh(accepted: Spread, confirmations: Sequence[ProcessRun], scale: Scale) -> list[ProcessRun]:
    """Those that decide: as many as it takes, in the order in which they were started."""
    return _valid(confirmations, scale)[: accepted.confirmations]


def _cannot_tell(
    metric: str, what: str, needed: int, process_runs: Sequence[ProcessRun], scale: Scale
) -> Verdict:
    valid = _valid(process_runs, scale)
    causes = sorted(
        {run.disturbance for run in process_runs if run.disturbance and not run.is_judged_in(scale)}
    )
    if not causes:
        sentence = f"{len(valid)} {what}, and a verdict needs {needed}"
        return Verdict(metric, "inconclusive", "too-few-process-runs", sentence)
    sentence = (
        f"{len(valid)} of {len(process_runs)} {what} can be judged, and a verdict needs "
        f"{needed}: {'; '.join(causes)}"
    )
    return Verdict(metric, "inconclusive", "disturbed", sentence)
