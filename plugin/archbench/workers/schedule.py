"""The schedule of a paired comparison: cells over pairs of processes, turns over rounds, until each
cell is decided."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import psutil

from archbench.core.differences import ModuleTimes
from archbench.core.rounds import (
    ClockRule,
    Judgement,
    PairedRun,
    Round,
    has_said_enough,
    judge_rounds,
)
from archbench.core.side_facts import SideFacts
from archbench.core.telemetry import LOW_CLOCK
from archbench.metrics import format_seconds
from archbench.workers.messages import Failure, Hello
from archbench.workers.pairs import CANDIDATE, REFERENCE, SIDES, CellFailedError, Pair


@dataclass(frozen=True, slots=True)
class Plan:
    """How time is spent.

    Attributes:
        burst: seconds of one turn, unless a single pass takes longer. With 20 ms 40 unchanged
            cells took 0.8 s of bursts in the median, and 9 of 10 less than 2.1 s.
        run: seconds of bursts for a cell in one process run.
        rounds: that a slow cell gets in a process run whatever it takes.
        rounds_in_place: after so many both models go to another place in memory: where they lie is
            chance, and would be the same chance for all rounds of a process run.
        module_passes: of each side for attribution, at a time.
        module_turns: how often each side gets them.
        pause: seconds to let an accelerator recover from one more round in which it was throttled,
            for each one after another.
    """

    burst: float = 0.020
    run: float = 5.0
    rounds: int = 8
    rounds_in_place: int = 4
    module_passes: int = 3
    module_turns: int = 4
    pause: float = 0.5


@dataclass(slots=True)
class PairedCell:
    """What became of one cell.

    Attributes:
        process_runs: its rounds.
        rules: that it is judged by; empty until it was ready once.
        facts: what each side said about its model.
        hellos: what each side said at its start.
        failures: why there is no verdict about time; empty where there is one.
        judgement: of all rounds; None where there are none.
        modules: of a regressed cell: processor seconds of each module on each side, a list for each
            turn.
        seconds: from loading to the last burst, of all process runs together.
        starts: seconds that the pair of each process run took to come up.
    """

    process_runs: list[PairedRun] = field(default_factory=list)
    rules: tuple[ClockRule, ...] = ()
    facts: dict[str, SideFacts] = field(default_factory=dict)
    hellos: dict[str, Hello] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    judgement: Judgement | None = None
    modules: dict[str, list[ModuleTimes]] = field(default_factory=dict)
    seconds: float = 0.0
    starts: list[float] = field(default_factory=list)

    @property
    def is_decided(self) -> bool:
        """Whether nothing more is to be measured."""
        is_judged = self.judgement is not None and self.judgement.status is not None
        return is_judged or bool(self.failures)

    @property
    def mean_seconds(self) -> float:
        """Of a process run."""
        return self.seconds / max(len(self.starts), 1)


SHOWN = 3
"""Cells that are named which go on."""

SHOWN_ROUNDS = 10
"""Rounds between two of which it is shown that they begin: whoever draws that takes time too."""


class _Watch:
    """What else ran on the machine while a cell was measured."""

    def __init__(self, core: int | None) -> None:
        self._core = core
        self._times = psutil.cpu_times(percpu=True)
        self._start = time.monotonic()

    def stolen(self) -> float | None:
        """Share of the core, or of all cores, that other guests of the host took."""
        now = psutil.cpu_times(percpu=True)
        cores = range(len(now)) if self._core is None else [self._core]
        if any(index >= len(self._times) for index in cores) or not hasattr(now[0], "steal"):
            return None
        stolen = sum(now[i].steal - self._times[i].steal for i in cores)
        elapsed = time.monotonic() - self._start
        # The kernel counts in steps of 10 ms.
        return round(stolen / elapsed / len(cores), 4) if elapsed > 0.1 else None

    def others(self, own: float) -> float:
        """Share of the machine that was busy beside ``own`` seconds."""
        idle = ("idle", "iowait", "guest", "guest_nice")
        busy = sum(
            after - before
            for then, now in zip(self._times, psutil.cpu_times(percpu=True), strict=False)
            for name, before, after in zip(now._fields, then, now, strict=True)
            if name not in idle
        )
        elapsed = (time.monotonic() - self._start) * len(self._times)
        return round(min(max((busy - own) / elapsed, 0.0), 1.0), 4)


def run_schedule(
    cells: Sequence[str],
    start: Callable[[int, Sequence[str]], Pair],
    rules_of: Callable[[SideFacts], tuple[ClockRule, ...]],
    *,
    plan: Plan | None = None,
    say: Callable[[str], None] = lambda _: None,
    show: Callable[[str], object] = lambda _: None,
    known: Callable[[str], PairedCell] = lambda _: PairedCell(),
    keep: Callable[[str, PairedCell], object] = lambda *_: None,
    chance: random.Random | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> dict[str, PairedCell]:
    """Measure every cell until it is decided, failed, or has had its process runs.

    A process run is a fresh pair of processes over the cells that are undecided, in random order. A
    pair that breaks ends the cell that it broke in; the others go on with a fresh one.

    Args:
        start: starts a pair that is up, with a seed for what is random about it and the cells.
        rules_of: from what the candidate says about its model to the rules of its cell.
        say: given a sentence for each process run.
        show: given a line as each cell begins, and before each tenth of its rounds.
        known: what an earlier run has brought of a cell.
        keep: given what is known of a cell after each of its process runs.
        chance: what is random here; the system's by default.
        sleep: waits so many seconds.

    Raises:
        NoPairError: a process does not come up at all.
    """
    plan = plan or Plan()
    chance = chance or random.SystemRandom()
    paired = {cell: known(cell) for cell in cells}
    turns = _Turns(rules_of, plan, chance, sleep)
    number = 0
    while undecided := [cell for cell, one in paired.items() if not one.is_decided]:
        number += 1
        began = time.monotonic()
        chance.shuffle(undecided)
        what = f"paired comparison, process run {number}"
        _process_run(undecided, paired, start, turns, _within(show, what), keep)
        going_on = [cell for cell in undecided if not paired[cell].is_decided]
        say(
            f"{what}: {len(undecided)} cell{'' if len(undecided) == 1 else 's'}, "
            f"{len(undecided) - len(going_on)} decided, in "
            f"{format_seconds(time.monotonic() - began)}{_so_far(going_on, paired)}"
        )
    return paired


def _so_far(cells: Sequence[str], paired: Mapping[str, PairedCell]) -> str:
    """What is said of cells that go on: the largest changes, and what the next process run takes.

    A change is reported when several process runs agree, however large it is.
    """
    if not cells:
        return ""
    largest = sorted(cells, key=lambda cell: -abs((_ratio(paired[cell]) or 1.0) - 1.0))
    shown = ", ".join(f"{_name(cell)} {_change(paired[cell])}" for cell in largest[:SHOWN])
    more = f" and {len(cells) - SHOWN} others" if len(cells) > SHOWN else ""
    seconds = sum(paired[cell].mean_seconds for cell in cells)
    seconds += max((paired[cell].starts[-1] for cell in cells if paired[cell].starts), default=0.0)
    least = max((one.rule.process_runs for cell in cells for one in paired[cell].rules), default=1)
    done = max((len(paired[cell].process_runs) for cell in cells), default=0)
    needed = f", a change is reported after {least}" if done < least else ""
    return f". So far: {shown}{more}{needed}; the next takes {format_seconds(seconds)}"


def _ratio(one: PairedCell) -> float | None:
    """The candidate's time over the reference's so far."""
    return None if one.judgement is None else one.judgement.decision.ratio


def _change(one: PairedCell) -> str:
    ratio = _ratio(one)
    if ratio is not None:
        return f"{(ratio - 1) * 100:+.1f} %"
    why = one.process_runs[-1].disturbance if one.process_runs else None
    return f"no figure ({why})" if why else "no figure"


def _name(cell: str) -> str:
    """Of a test what its parameters name, for people."""
    return cell.partition("[")[2].rstrip("]") or cell


def _within(show: Callable[[str], object], what: str) -> Callable[[str], object]:
    return lambda text: show(f"{what}: {text}")


def _process_run(
    cells: Sequence[str],
    paired: Mapping[str, PairedCell],
    start: Callable[[int, Sequence[str]], Pair],
    turns: _Turns,
    show: Callable[[str], object],
    keep: Callable[[str, PairedCell], object],
) -> None:
    pair: Pair | None = None
    starting = 0.0
    try:
        for index, cell in enumerate(cells):
            if pair is None:
                began = time.monotonic()
                show("starting both sides ...")
                pair = start(turns.chance.randrange(2**31), cells[index:])
                starting = time.monotonic() - began
            one = paired[cell]
            began = time.monotonic()
            one.hellos = pair.hellos
            one.starts.append(starting)
            left = _left([paired[done] for done in cells[:index]], len(cells) - index)
            name = f"[{index + 1}/{len(cells)}] {_name(cell)}{left}"
            show(f"{name}: loading ...")
            try:
                turns.take(pair, cell, one, _within(show, name))
            except CellFailedError as error:
                one.failures = error.failures
                pair.leave()
            one.seconds += time.monotonic() - began
            keep(cell, one)
            if pair.is_broken:
                pair.close()
                pair = None
    except BaseException:
        # Ctrl-C, say: nobody waits for the end of a turn.
        if pair is not None:
            pair.kill()
            pair = None
        raise
    finally:
        if pair is not None:
            pair.close()


def _left(done: Sequence[PairedCell], remaining: int) -> str:
    """How long the process run goes on, from what its first cells took."""
    if not done:
        return ""
    seconds = sum(one.mean_seconds for one in done) / len(done) * remaining
    return f", {format_seconds(seconds)} left" if seconds >= 1 else ""


@dataclass(frozen=True, slots=True)
class _Turns:
    """How the sides of a pair take turns, see :func:`run_schedule`."""

    rules_of: Callable[[SideFacts], tuple[ClockRule, ...]]
    plan: Plan
    chance: random.Random
    sleep: Callable[[float], object]

    def take(self, pair: Pair, cell: str, one: PairedCell, show: Callable[[str], object]) -> None:
        """Measure one cell in one process run.

        Raises:
            CellFailedError: a side failed.
        """
        order = self.chance.sample(SIDES, 2)
        facts = pair.ready(cell, facts=not one.facts, order=order)
        if not one.facts:
            one.facts = facts
            one.rules = self.rules_of(facts[CANDIDATE])
        images = (facts[REFERENCE].target.images, facts[CANDIDATE].target.images)
        run = PairedRun(images=images)
        one.process_runs.append(run)
        watch = _Watch(pair.core)
        is_free = pair.core is None and facts[CANDIDATE].target.kind == "cpu"
        self._rounds(pair, one, run, show)
        run.stolen = watch.stolen()
        if is_free:
            own = sum(sum(r.reference.cpu) + sum(r.candidate.cpu) for r in run.rounds)
            run.others = watch.others(own)
        one.judgement = judge_rounds(one.process_runs, one.rules)
        if one.judgement.status == "regressed":
            one.modules = {side: [] for side in SIDES}
            for _ in range(self.plan.module_turns):
                for side in self.chance.sample(SIDES, 2):
                    one.modules[side].append(pair.modules(side, self.plan.module_passes))
        pair.leave()

    def _rounds(
        self, pair: Pair, one: PairedCell, run: PairedRun, show: Callable[[str], object]
    ) -> None:
        """Rounds of a process run, until the cell is decided or its time is spent."""
        tries = 0
        while True:
            candidate_first = self.chance.random() < 0.5
            number = len(run.rounds)
            if number % SHOWN_ROUNDS == 0:
                so_far = f", so far {_change(one)}" if _ratio(one) is not None else ""
                show(f"round {number + 1}{so_far} ...")
            move = number > 0 and number % self.plan.rounds_in_place == 0
            answers = {
                side: pair.burst(side, self.plan.burst, move=move)
                for side in ((CANDIDATE, REFERENCE) if candidate_first else SIDES)
            }
            last = Round(answers[REFERENCE], answers[CANDIDATE], candidate_first)
            if last.slowed:
                run.discarded.append(last.slowed)
                if run.is_throttled:
                    break
                tries += 1
                # A device that is hot recovers in a pause; one that was idle does so at work.
                if last.slowed != (LOW_CLOCK,):
                    self.sleep(self.plan.pause * tries)
                continue
            tries = 0
            run.rounds.append(last)
            one.judgement = judge_rounds(one.process_runs, one.rules)
            if one.judgement.status not in (None, "inconclusive") or has_said_enough(
                one.process_runs, one.rules
            ):
                break
            if run.seconds >= self.plan.run and len(run.rounds) >= self.plan.rounds:
                break
