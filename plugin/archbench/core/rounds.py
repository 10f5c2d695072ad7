"""What two versions measured side by side, round by round, and what is decided from it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from archbench.core.forms import Stored
from archbench.core.paired import Decision, PairedRule, decide, is_sure, log_e_value_beyond
from archbench.core.telemetry import TelemetrySample, mean_clock, slowed_by

CLOCKS = ("device", "cpu", "wall")
"""What a pass is timed by: events on an accelerator, processor time of the process, a monotonic
clock."""

MOST_WAITED = 0.05
"""Share of the wall time that others may take for wall times to be judged."""

LEAST_RUNNING = 0.50
"""Share of its wall time that a process run has to have run to be judged at all."""

MOST_STOLEN = 0.10
"""Share of the core's time that other guests of the host may take in a process run that is
judged."""

MOST_DISCARDED = 5
"""Rounds of a process run that may be thrown away because the device was slowed, though fewer were
kept."""


@dataclass(frozen=True, slots=True)
class Burst(Stored):
    """What one side answered to one turn: seconds of each pass, per batch.

    Attributes:
        wall: by the monotonic clock.
        cpu: processor time of the process.
        device: by events on the accelerator, of passes of their own; empty on a CPU.
        waited: seconds that the process was ready to run and did not; None where unknown.
        took: seconds from its beginning to its end, with what lies between two passes; None for
            the passes alone.
        telemetry: the state of the accelerator before and after its passes; empty on a CPU.
        is_full: whether the accelerator's queue was kept full, see
            :class:`archbench.measure.device_time.PassQueue`; None where that is not known.

    Raises:
        ValueError: there is no pass, or not as many by wall as by processor time.
    """

    wall: tuple[float, ...]
    cpu: tuple[float, ...]
    device: tuple[float, ...] = ()
    waited: float | None = None
    took: float | None = None
    telemetry: tuple[TelemetrySample, ...] = ()
    is_full: bool | None = None

    def score(self, clock: str) -> float:
        """Seconds of the fastest pass: whatever comes between can only add to one."""
        series: tuple[float, ...] = getattr(self, clock)
        return min(series)

    @property
    def seconds(self) -> float:
        """That it took."""
        return math.fsum(self.wall) if self.took is None else self.took

    @property
    def lost(self) -> float:
        """Seconds that others took of it. A pass that waits by itself, for a file or in a sleep,
        loses nothing; where the kernel does not separate the two, all of it counts. A pass on an
        accelerator waits for it."""
        if self.waited is not None:
            return self.waited
        return 0.0 if self.device else max(math.fsum(self.wall) - math.fsum(self.cpu), 0.0)

    @property
    def slowed(self) -> tuple[str, ...]:
        """Why the accelerator was slower than it works, so that the burst says nothing."""
        return slowed_by(*self.telemetry)

    @property
    def cycles(self) -> float | None:
        """Of the fastest pass on the accelerator; None where its clock is not known."""
        clock = mean_clock(self.telemetry)
        return None if clock is None or not self.device else self.score("device") * clock

    def __post_init__(self) -> None:
        if not self.wall or len(self.cpu) != len(self.wall):
            raise ValueError(f"{len(self.wall)} wall and {len(self.cpu)} processor times")


@dataclass(frozen=True, slots=True)
class Round(Stored):
    """Both sides once, one right after the other.

    Attributes:
        reference, candidate: what each answered.
        candidate_first: which of them began.
    """

    reference: Burst
    candidate: Burst
    candidate_first: bool

    def difference(self, clock: str) -> float:
        """Logarithm of the candidate's time over the reference's.

        Below the clock's own step, both times are as good as equal.
        """
        reference, candidate = self.reference.score(clock), self.candidate.score(clock)
        if reference <= 0 or candidate <= 0:
            return 0.0
        return math.log(candidate / reference)

    @property
    def slowed(self) -> tuple[str, ...]:
        """Why the accelerator was slower than it works in either burst: they say nothing of each
        other then."""
        return tuple(dict.fromkeys((*self.reference.slowed, *self.candidate.slowed)))

    @property
    def cycles(self) -> float | None:
        """Logarithm of the candidate's cycles over the reference's; None where a clock is not
        known."""
        reference, candidate = self.reference.cycles, self.candidate.cycles
        return math.log(candidate / reference) if reference and candidate else None


@dataclass(slots=True)
class PairedRun(Stored):
    """The rounds of one cell in one pair of processes.

    Attributes:
        rounds: in their order.
        stolen: share of the core's time that other guests of the host took meanwhile; None where
            unknown.
        others: share of the machine that other processes kept busy; None where it does not matter.
        images: in a batch of the reference and of the candidate: times are compared per image.
        discarded: of each round that was thrown away why the accelerator was slowed.
    """

    rounds: list[Round] = field(default_factory=list)
    stolen: float | None = None
    others: float | None = None
    images: tuple[int, int] = (1, 1)
    discarded: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def is_throttled(self) -> bool:
        """Whether so many rounds had to be thrown away that it is given up: more than there are
        good ones, and than :data:`MOST_DISCARDED`."""
        return len(self.discarded) > max(MOST_DISCARDED, len(self.rounds))

    @property
    def seconds(self) -> float:
        """That were measured."""
        return math.fsum(one.reference.seconds + one.candidate.seconds for one in self.rounds)

    @property
    def lost(self) -> float:
        """Share of the wall time that others took."""
        lost = math.fsum(one.reference.lost + one.candidate.lost for one in self.rounds)
        return lost / self.seconds if self.seconds else 0.0

    @property
    def disturbance(self) -> str | None:
        """Why it cannot be judged; None where it can."""
        if self.stolen is not None and self.stolen > MOST_STOLEN:
            return f"other guests of the host took {self.stolen:.0%} of the core"
        if self.lost > 1 - LEAST_RUNNING:
            return f"others took {self.lost:.0%} of the time"
        return None

    @property
    def is_full(self) -> bool:
        """Whether the accelerator's queue was full in every burst."""
        bursts = [burst for one in self.rounds for burst in (one.reference, one.candidate)]
        return bool(bursts) and all(burst.is_full is True for burst in bursts)

    def isjudged_by(self, clock: str) -> bool:
        """Whether its times of a clock count. Passes that wait in a full queue take the accelerator
        as long however late a busy host has started them."""
        return self.disturbance is None or (clock == "device" and self.is_full)

    def differences(self, clock: str) -> list[float]:
        """Logarithm of the candidate's time for an image over the reference's, of each round."""
        return [one.difference(clock) + self._more for one in self.rounds]

    def cycles(self) -> list[float]:
        """The same of the accelerator's cycles, of the rounds that know its clock."""
        known = [one.cycles for one in self.rounds]
        return [cycles + self._more for cycles in known if cycles is not None]

    @property
    def _more(self) -> float:
        """What makes of a difference between batches one between images."""
        return math.log(self.images[0] / self.images[1])


@dataclass(frozen=True, slots=True)
class ClockRule:
    """A rule for the times of one clock.

    Attributes:
        clock: one of :data:`CLOCKS`.
        rule: that decides.
    """

    clock: str
    rule: PairedRule


def default_rules(kind: str, threads: int) -> tuple[ClockRule, ...]:
    """By what a device is judged when nothing else is said, the sharper clock first.

    Processor time does not see waiting, so wall time is judged beside it, more coarsely. With
    several threads processor time counts the spinning of those that wait for each other.

    Args:
        kind: ``cpu`` or ``cuda``.
        threads: of the CPU per forward pass.
    """
    wall = ClockRule("wall", PairedRule(tolerated_change=0.03, equivalence_margin=0.08))
    if kind != "cpu":
        return ClockRule(
            "device", PairedRule(tolerated_change=0.005, equivalence_margin=0.02, process_runs=3)
        ), wall
    return (ClockRule("cpu", PairedRule()), wall) if threads == 1 else (wall,)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What all clocks together say.

    Attributes:
        status: ``regressed``, ``improved``, ``unchanged``, ``inconclusive``; None to go on.
        reason: a code for programs; empty to go on.
        clock: whose ratio is reported: the one that decided.
        decision: of that clock.
        unjudged: clocks that others disturbed too much.
    """

    status: str | None
    reason: str
    clock: str
    decision: Decision
    unjudged: tuple[str, ...] = ()


def _lost(process_runs: Sequence[PairedRun]) -> float:
    seconds = math.fsum(run.seconds for run in process_runs)
    if not seconds:
        return 0.0
    lost = math.fsum(run.lost * run.seconds for run in process_runs) / seconds
    return max([lost, *(run.others for run in process_runs if run.others is not None)])


def judged_by(clock: str, process_runs: Sequence[PairedRun]) -> list[PairedRun]:
    """The process runs that a clock's verdict comes from."""
    return [run for run in process_runs if run.isjudged_by(clock)]


def _decisions(
    process_runs: Sequence[PairedRun], rules: Sequence[ClockRule]
) -> tuple[dict[str, Decision], list[str]]:
    """The decision by each clock, and the clocks that others disturbed."""
    decisions = {
        one.clock: decide(
            [run.differences(one.clock) for run in judged_by(one.clock, process_runs)], one.rule
        )
        for one in rules
    }
    calm = judged_by("wall", process_runs)
    is_disturbed = _lost(calm) > MOST_WAITED or (bool(process_runs) and not calm)
    unjudged = ["wall"] if "wall" in decisions and is_disturbed else []
    for clock in unjudged:
        decisions[clock] = replace(decisions[clock], status=None, reason="")
    return decisions, unjudged


def judge_rounds(process_runs: Sequence[PairedRun], rules: Sequence[ClockRule]) -> Judgement:
    """What the rounds of all process runs so far say about the candidate.

    Slower by any clock is slower. Faster, or unchanged, is what the first clock says, unless the
    second can still object; a clock that others disturbed cannot. A change of an accelerator's time
    has to be one of its cycles too: where it is not, the accelerator ran at another clock, and wall
    time has that in it as well. A process run in which it was slowed again and again ends the cell.

    Args:
        process_runs: of one cell, in their order; those that cannot be judged are left out.
        rules: see :func:`default_rules`.
    """
    decisions, unjudged = _decisions(process_runs, rules)
    is_last = len(process_runs) >= max(one.rule.most_process_runs for one in rules)
    first, sharp = rules[0].clock, decisions[rules[0].clock]

    def judgement(status: str | None, reason: str, clock: str = first) -> Judgement:
        return Judgement(status, reason, clock, decisions[clock], tuple(unjudged))

    if process_runs and process_runs[-1].is_throttled:
        return judgement("inconclusive", "throttled")
    doubt = _not_in_cycles(decisions, process_runs, rules)
    if doubt is not None:
        if doubt.status is None and not is_last:
            return judgement(None, "")
        return judgement("inconclusive", "clock", "device")
    for clock, decision in decisions.items():
        if decision.status == "regressed":
            return judgement("regressed", "slower" if clock == first else f"slower-{clock}", clock)
    undecided = {clock for clock, decision in decisions.items() if decision.status is None}
    can_object = undecided - {first, *unjudged}
    if sharp.status in ("improved", "unchanged") and (is_last or not can_object):
        for clock, decision in decisions.items():
            if sharp.status == "unchanged" and decision.status == "improved":
                return judgement("improved", f"faster-{clock}", clock)
        return judgement(sharp.status, sharp.reason)
    if is_last or sharp.status == "inconclusive":
        disturbed = first in unjudged or len(judged_by(first, process_runs)) < len(process_runs)
        return judgement("inconclusive", "disturbed" if disturbed else "not-decided")
    return judgement(None, "")


def _not_in_cycles(
    decisions: Mapping[str, Decision], process_runs: Sequence[PairedRun], rules: Sequence[ClockRule]
) -> Decision | None:
    """What cycles say where they do not say the same as a change of an accelerator's time; None
    where they do, or there is none."""
    rule = next((one.rule for one in rules if one.clock == "device"), None)
    if rule is None or decisions["device"].status not in ("regressed", "improved"):
        return None
    status = decisions["device"].status
    if status == "improved" and any(one.status == "regressed" for one in decisions.values()):
        return None  # the host is slower, whatever the device's clock did
    in_cycles = decide_in_cycles(process_runs, rule)
    return None if in_cycles is None or in_cycles.status == status else in_cycles


def decide_in_cycles(process_runs: Sequence[PairedRun], rule: PairedRule) -> Decision | None:
    """What an accelerator's cycles say: its time multiplied by its clock.

    Args:
        process_runs: of one cell; those that cannot be judged are left out.
        rule: that its time is judged by.

    Returns:
        None where the clock is not known in any round: then time stands alone.
    """
    cycles = [run.cycles() for run in judged_by("device", process_runs)]
    return decide(cycles, rule) if any(cycles) else None


def has_said_enough(process_runs: Sequence[PairedRun], rules: Sequence[ClockRule]) -> bool:
    """Whether the last process run has said what it can, though a verdict needs another one.

    The e-value of a change is large enough, and what lacks is that more process runs agree: this
    one does, and a longer one would agree no better. Or it is sure by itself of what the process
    runs together have not decided: a process may be slow from its start to its end.
    """
    for one in rules:
        good = judged_by(one.clock, process_runs)
        is_good = bool(good) and good[-1] is process_runs[-1]
        series = [run.differences(one.clock) for run in good]
        last = process_runs[-1].differences(one.clock)
        if len(last) < one.rule.rounds:
            continue
        if (
            one is rules[0]
            and is_good
            and is_sure(last, one.rule)
            and decide(series, one.rule).status is None
        ):
            return True
        rounds = [difference for differences in series for difference in differences]
        bound = math.log1p(one.rule.tolerated_change)
        for sign in (1, -1):
            agreeing = sum(sign * difference > bound for difference in last)
            if agreeing * 4 > 3 * len(last) and log_e_value_beyond(
                rounds, sign, bound
            ) >= -math.log(one.rule.alpha):
                return True
    return False


def typical(process_runs: Sequence[PairedRun], clock: str) -> tuple[float, float]:
    """Seconds per batch of the reference and of the candidate: the middle one of their bursts.

    Raises:
        ValueError: there is no round.
    """
    rounds = [one for run in process_runs for one in run.rounds]
    return (
        statistics.median(one.reference.score(clock) for one in rounds),
        statistics.median(one.candidate.score(clock) for one in rounds),
    )
