"""The two sides of a paired comparison compared: verdicts, exact counts, outputs, and where the
time went."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from archbench.core.forms import Stored
from archbench.core.gate import difference_text
from archbench.core.paired import PairedRule
from archbench.core.rounds import ClockRule, Judgement, PairedRun, decide_in_cycles, typical
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

_CLOCK_NAMES = {
    "device": "device time",
    "cpu": "processor time",
    "wall": "wall time",
}


@dataclass(frozen=True, slots=True)
class Agreement(Stored):
    """How far the class scores of both sides agree on the same images.

    Attributes:
        absolute: largest difference of two scores.
        relative: the same over the largest score of the reference.
        same_top1: images that both sides give the same class.
        images: how many there are.
    """

    absolute: float
    relative: float
    same_top1: int
    images: int

    @property
    def text(self) -> str:
        """``outputs differ by at most 1.2e-06 (3e-07 of the largest), the same top-1 ...``."""
        if self.absolute == 0:
            return f"outputs are equal on {_images(self.images)}"
        return (
            f"outputs differ by at most {self.absolute:.2g} ({self.relative:.2g} of the largest), "
            f"the same top-1 in {self.same_top1} of {_images(self.images)}"
        )


def _images(number: int) -> str:
    return f"{number} image{'' if number == 1 else 's'}"


def agreement(
    reference: Sequence[Sequence[float]], candidate: Sequence[Sequence[float]]
) -> Agreement | None:
    """Compare class scores ``(images, classes)`` of the images that both sides were given.

    None where the numbers of classes differ: then there is nothing to compare.
    """
    pairs = list(zip(reference, candidate, strict=False))
    if not pairs or any(len(one) != len(other) or not one for one, other in pairs):
        return None
    absolute = max(abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=True))
    largest = max(abs(a) for one, _ in pairs for a in one)
    same = sum(_top1(one) == _top1(other) for one, other in pairs)
    relative = absolute / largest if largest else (math.inf if absolute else 0.0)
    return Agreement(absolute, relative, same, len(pairs))


def _top1(scores: Sequence[float]) -> int:
    return max(range(len(scores)), key=scores.__getitem__)


def run_alike(reference: Mapping[str, Any], candidate: Mapping[str, Any]) -> bool:
    """Whether both sides are run in the same way by the same framework, so that a difference in
    peak memory, or in operator calls, is the network's.

    Args:
        reference, candidate: what each says of itself: ``target`` and ``environment``.
    """
    return all(
        (reference.get(part) or {}).get(name) == (candidate.get(part) or {}).get(name)
        for part, names in (("target", _RUN), ("environment", _FRAMEWORK))
        for name in names
    )


def count_changes(reference: Mapping[str, Any], candidate: Mapping[str, Any]) -> list[Verdict]:
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
    counts: Mapping[str, Any],
    accepted: Mapping[str, Any] | None,
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
    is_accepted = accepted is not None and all(counts[name] == accepted[name] for name in exact)
    other_layers = any(change.metric != "peak_memory" for change in changes)

    def holds(change: Verdict) -> bool:
        if change.metric != "peak_memory":
            return is_accepted
        return (is_accepted and other_layers) or change.value == accepted_peak

    return [replace(change, reason="accepted") if holds(change) else change for change in changes]


def versions_changed(reference: Mapping[str, Any], candidate: Mapping[str, Any]) -> list[str]:
    """``timm 1.0.20 -> 1.0.31`` for each package or setting that differs."""
    names = dict.fromkeys([*reference, *candidate])
    pairs = {name: (reference.get(name, "absent"), candidate.get(name, "absent")) for name in names}
    return [
        f"{name.replace('_', ' ')} {then} -> {now}"
        for name, (then, now) in pairs.items()
        if then != now
    ]


def compiling_text(metrics: Mapping[str, Mapping[str, Any]]) -> str | None:
    """``compiled in 38.0 s with 1 graph break``; None for a side that is not compiled.

    Args:
        metrics: of a side, as :class:`archbench.measure.running.Runner` has them.
    """
    if "compile_time" not in metrics:
        return None
    breaks = metrics["graph_breaks"]["value"]
    return (
        f"compiled in {metrics['compile_time']['value']:.1f} s with {breaks} graph "
        f"break{'' if breaks == 1 else 's'}"
    )


def breaks_changed(
    reference: Mapping[str, Mapping[str, Any]], candidate: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """``graph breaks 0 -> 1 (+1)`` where both sides are compiled, and not in as many pieces.

    Args:
        reference, candidate: metrics of each, see :func:`compiling_text`.
    """
    breaks = [side.get("graph_breaks", {}).get("value") for side in (reference, candidate)]
    if None in breaks or breaks[0] == breaks[1]:
        return []
    return [difference_text("graph_breaks", *breaks)]


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
    number = len(process_runs)
    effort = (
        f"{decision.rounds} rounds of {number} process run{'' if number == 1 else 's'}, "
        f"{measured:.1f} s"
    )
    reference, candidate = typical(process_runs, judgement.clock)
    said = METRICS["latency"].said
    before, after = process_runs[-1].images
    # The ratio is of images; so batches of different sizes are told by the image.
    basis, then, now = "", reference, candidate
    if before != after:
        basis, then, now = " per image", reference / before, candidate / after
    change = (
        f"{said(then)} -> {said(now)} of {clock}{basis} "
        f"({_percent(decision.ratio)}, {interval_text(decision.low, decision.high)})"
    )
    tolerated, excluded = (f"{share * 100:.3g} %" for share in (rule.tolerated, rule.excluded))
    bounds = {
        "regressed": f"at most {tolerated} is tolerated",
        "improved": f"by more than {tolerated}",
        "unchanged": f"a change of {excluded} is ruled out",
        "inconclusive": f"a change of {tolerated} is not sure, and one of {excluded} not ruled out",
    }
    bound = bounds[judgement.status]
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
    reasons = sorted({run.disturbance for run in process_runs} - {None}, key=str)
    return f"no process run can be judged: {'; '.join(map(str, reasons)) or 'nothing was measured'}"


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


@dataclass(frozen=True, slots=True)
class Growth(Stored):
    """One module whose own code takes longer.

    Attributes:
        name: in the model; the model itself is empty.
        type: of the module on the candidate's side, or on the reference's where it is gone.
        reference, candidate: seconds; None where it does not exist.
    """

    name: str
    type: str
    reference: float | None
    candidate: float | None

    @property
    def seconds(self) -> float:
        """More than before."""
        return (self.candidate or 0.0) - (self.reference or 0.0)

    def text(self, total: float) -> str:
        """``layer3.0.conv2 (Conv2d): 1.200 ms -> 1.310 ms, +0.110 ms, 83 % of the growth``."""
        said = METRICS["latency"].said
        then = "new" if self.reference is None else said(self.reference)
        now = "gone" if self.candidate is None else said(self.candidate)
        share = f", {self.seconds / total:.0%} of the growth" if total > 0 else ""
        name = self.name or "the model's own forward"
        return f"{name} ({self.type}): {then} -> {now}, {self.seconds * 1e3:+.3f} ms{share}"


def attribution(
    modules: Mapping[str, Sequence[Mapping[str, Any]]], most: int = 5
) -> tuple[list[Growth], float]:
    """The modules that grew most, the most first, and what all of them grew together in seconds.

    Args:
        modules: of each side, by its name, the turns of
            :meth:`archbench.measure.partner.Partner.modules`.
        most: how many to name.
    """
    sides = {side: _typical_modules(turns) for side, turns in modules.items()}
    reference, candidate = sides.get("reference", {}), sides.get("candidate", {})
    # Of a sequence that got longer the names move on: what has another type is another module.
    grown = [
        Growth(*key, reference.get(key), candidate.get(key))
        for key in dict.fromkeys([*candidate, *reference])
    ]
    grown.sort(key=lambda one: -one.seconds)
    total = sum(one.seconds for one in grown)
    return [one for one in grown if one.seconds > 0][:most], total


def _typical_modules(turns: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], float]:
    series: dict[tuple[str, str], list[float]] = {}
    for turn in turns:
        for name, module in turn.items():
            series.setdefault((name, module["type"]), []).append(module["seconds"])
    return {key: statistics.median(values) for key, values in series.items()}
