"""The two sides of a paired comparison compared: verdicts, exact counts, outputs, and where the
time went."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from archbench.core.entries import Count, MetricEntry
from archbench.core.gate import difference_text
from archbench.core.lines import CountLine
from archbench.core.paired import PairedRule
from archbench.core.rounds import (
    ClockRule,
    Judgement,
    PairedRun,
    decide_in_cycles,
    judged_by,
    typical,
)
from archbench.core.side_facts import SideFacts
from archbench.core.verdicts import Verdict
from archbench.metrics import METRICS

COUNTS_OF_SIDES = ("params", "macs", "operator_calls", "output_shape", "peak_memory")
"""Exact figures that both sides are asked for. A framework's peak of allocated bytes repeats to the
last bit between processes, where both run the same network in the same way, and
operators are called as often by the same framework."""

OF_FRAMEWORK = ("operator_calls", "peak_memory")
"""Those that another framework, or another way of running, changes by itself."""

_RUN = ("dtype", "batch_size", "threads", "memory_format", "runtime")
_FRAMEWORK = ("torch", "cuda", "cudnn")
"""What peak memory depends on beside the network: fields of a target, and of an environment."""

CLEAR = 1.04
"""A change that only a rule of the project's own can tolerate, with its interval above this."""

_SHARE = re.compile(r"(\d+)%")

_CLOCK_NAMES = {
    "device": "device time",
    "cpu": "processor time",
    "wall": "wall time",
}


MEDIANS_DIFFER = 0.002
"""Share by which two times may be another ratio than the one that stands beside them."""


def run_alike(reference: SideFacts, candidate: SideFacts) -> bool:
    """Whether both sides are run in the same way by the same framework, so that a difference in
    peak memory, or in operator calls, is the network's.

    Args:
        reference, candidate: what each says of itself.
    """
    then, now = (one.environment or {} for one in (reference, candidate))
    return all(
        getattr(reference.target, name) == getattr(candidate.target, name) for name in _RUN
    ) and all(then.get(name) == now.get(name) for name in _FRAMEWORK)


def count_changes(reference: Mapping[str, Count], candidate: Mapping[str, Count]) -> list[Verdict]:
    """One verdict ``changed`` for each exact figure that differs.

    A figure that one side could not count is compared with nothing.
    """
    changes = []
    for name in COUNTS_OF_SIDES:
        then, now = reference.get(name), candidate.get(name)
        if then is None or now is None or then == now:
            continue
        label = "peak_memory_in_bytes" if name == "peak_memory" else name
        sentence = difference_text(label, then, now)
        changes.append(Verdict(name, "changed", "differs", sentence, then, now))
    return changes


def accept_changes(
    changes: Sequence[Verdict],
    counts: Mapping[str, Count],
    accepted: CountLine | None,
    accepted_peak: float | None,
) -> list[Verdict]:
    """The same changes, with those that have been accepted said to be so.

    A count is accepted where the project's accepted counts are what the candidate has. What memory
    a network takes follows from its layers: it is accepted with a change of theirs, and by itself
    where it is the accepted one.

    Args:
        changes: from :func:`count_changes`.
        counts: of the candidate, by name.
        accepted: counts of the architecture that the candidate's work tree holds as accepted; None
            for none.
        accepted_peak: peak memory of the cell that it holds as accepted, in bytes; None for none.
    """
    exact = [name for name in COUNTS_OF_SIDES if name != "peak_memory" and name in counts]
    is_accepted = accepted is not None and all(
        counts[name] == getattr(accepted, name) for name in exact
    )
    other_layers = any(change.metric != "peak_memory" for change in changes)

    def holds(change: Verdict) -> bool:
        if change.metric != "peak_memory":
            return is_accepted
        return (is_accepted and other_layers) or change.value == accepted_peak

    return [replace(change, reason="accepted") if holds(change) else change for change in changes]


def versions_changed(reference: Mapping[str, object], candidate: Mapping[str, object]) -> list[str]:
    """``timm 1.0.20 -> 1.0.31`` for each package or setting that differs."""
    names = dict.fromkeys([*reference, *candidate])
    pairs = {name: (reference.get(name, "absent"), candidate.get(name, "absent")) for name in names}
    return [
        f"{name.replace('_', ' ')} {then} -> {now}"
        for name, (then, now) in pairs.items()
        if then != now
    ]


def compiling_text(metrics: Mapping[str, MetricEntry]) -> str | None:
    """``compiled in 38.0 s with 1 graph break``; None for a side that is not compiled.

    Args:
        metrics: of a side, as :class:`archbench.measure.running.Runner` has them.
    """
    if "compile_time" not in metrics:
        return None
    breaks, seconds = (metrics[name]["value"] for name in ("graph_breaks", "compile_time"))
    assert isinstance(seconds, (int, float))
    return f"compiled in {seconds:.1f} s with {breaks} graph break{'' if breaks == 1 else 's'}"


def breaks_changed(
    reference: Mapping[str, MetricEntry], candidate: Mapping[str, MetricEntry]
) -> list[str]:
    """``graph breaks 0 -> 1 (+1)`` where both sides are compiled, and not in as many pieces.

    Args:
        reference, candidate: metrics of each, see :func:`compiling_text`.
    """
    then, now = (side.get("graph_breaks", {}).get("value") for side in (reference, candidate))
    if not isinstance(then, int) or not isinstance(now, int) or then == now:
        return []
    return [difference_text("graph_breaks", then, now)]


def paired_verdict(
    judgement: Judgement, process_runs: Sequence[PairedRun], rules: Sequence[ClockRule]
) -> Verdict:
    """The verdict about time of a cell that was measured.

    Args:
        judgement: of all its process runs, that ended in a status.
        process_runs: of the cell.
        rules: that it was judged by.
    """
    assert judgement.status is not None
    verdict = partial(Verdict, "latency", judgement.status, judgement.reason)
    decision = judgement.decision
    if judgement.reason == "throttled" or decision.ratio is None:
        return verdict(_no_ratio(judgement, process_runs))
    rule = next(one.rule for one in rules if one.clock == judgement.clock)
    clock = _CLOCK_NAMES[judgement.clock]
    measured = math.fsum(run.seconds for run in process_runs)
    judged = judged_by(judgement.clock, process_runs)
    number, others = len(judged), len(process_runs) - len(judged)
    effort = (
        f"{decision.rounds} rounds of {number} process run{'' if number == 1 else 's'}"
        f"{f' ({others} more cannot be judged)' if others else ''}, {measured:.1f} s"
    )
    reference, candidate = typical(judged, judgement.clock)
    said = METRICS["latency"].said
    before, after = process_runs[-1].images
    # The ratio is of images; so batches of different sizes are reported by the image.
    basis, then, now = "", reference, candidate
    if before != after:
        basis, then, now = " per image", reference / before, candidate / after
    # The median of the rounds' ratios is not that of the sides' medians.
    is_other = abs(now / then / decision.ratio - 1) > MEDIANS_DIFFER
    what = "median of the rounds " if is_other else ""
    change = (
        f"{said(then)} -> {said(now)} of {clock}{basis} "
        f"({what}{_percent(decision.ratio)}, {interval_text(decision.low, decision.high)})"
    )
    tolerated, margin = (
        f"{share * 100:.3g} %" for share in (rule.tolerated_change, rule.equivalence_margin)
    )
    bounds = {
        "regressed": f"at most {tolerated} is tolerated",
        "improved": f"by more than {tolerated}",
        "unchanged": f"a change of {margin} is ruled out",
        "inconclusive": f"a change of {tolerated} is not sure, and one of {margin} not ruled out",
    }
    bound = bounds[judgement.status]
    if judgement.status == "unchanged" and decision.low is not None and decision.low > CLEAR:
        bound += f", and {tolerated} is tolerated"
    if judgement.reason == "clock":
        bound = _clock_text(process_runs, rule)
    sentence = f"{change} in {effort}; {bound}"
    if judgement.unjudged:
        names = ", ".join(_CLOCK_NAMES[name] for name in judgement.unjudged)
        sentence += f"; others took too much of the machine to judge {names}"
    return verdict(sentence, reference, candidate)


def _no_ratio(judgement: Judgement, process_runs: Sequence[PairedRun]) -> str:
    """Why nothing can be said of the times."""
    if judgement.reason == "throttled":
        discarded = process_runs[-1].discarded
        causes = dict.fromkeys(reason for one in discarded for reason in one)
        return (
            f"the device was slowed in {len(discarded)} rounds ({', '.join(causes)}), and in "
            f"{len(process_runs[-1].rounds)} it was not. Let it cool down, give it more power, or "
            "see what keeps its clock low"
        )
    shares: dict[str, list[int]] = {}
    for reason in (run.disturbance for run in process_runs if run.disturbance is not None):
        share = _SHARE.search(reason)
        shares.setdefault(_SHARE.sub("%", reason), []).append(int(share[1]) if share else 0)
    reasons = [text.replace("%", _spread(found)) for text, found in shares.items()]
    return f"no process run can be judged: {'; '.join(reasons) or 'nothing was measured'}"


def _spread(shares: Sequence[int]) -> str:
    """``76% to 88%``, or ``76%`` where all are the same."""
    return " to ".join(f"{share}%" for share in sorted({min(shares), max(shares)}))


def _clock_text(process_runs: Sequence[PairedRun], rule: PairedRule) -> str:
    """What to say of a change of time that is none, or not surely one, of cycles."""
    cycles = decide_in_cycles(process_runs, rule)
    assert cycles is not None
    assert cycles.ratio is not None
    return (
        f"multiplied by the device's clock, {_percent(cycles.ratio)} of cycles "
        f"({interval_text(cycles.low, cycles.high)}): it did not run at the same clock for both"
    )


def _percent(ratio: float) -> str:
    return f"{(ratio - 1) * 100:+.1f} %"


def interval_text(low: float | None, high: float | None) -> str:
    """``95 % interval +4.8 % to +5.6 %``, an end that is not known left open."""
    if low is None and high is None:
        return "too few rounds for an interval"
    ends = ["..." if end is None else _percent(end) for end in (low, high)]
    return f"95 % interval {ends[0]} to {ends[1]}"
