"""Which side has its turn when, with pairs that answer as each test says."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from archbench.core.differences import ModuleTime
from archbench.core.errors import UsageError
from archbench.core.forms import form_of, value_of
from archbench.core.paired import PairedRule
from archbench.core.rounds import Burst, ClockRule, default_rules
from archbench.core.side_facts import SideFacts
from archbench.core.spec import Target
from archbench.core.telemetry import TelemetrySample
from archbench.workers.messages import VERSION, Failure, Hello
from archbench.workers.pairs import CellFailedError
from archbench.workers.schedule import PairedCell, Plan, run_schedule


class Pairs:
    """Stands for pairs of processes.

    Args:
        ratios: of each cell, what its candidate's time is multiplied by.
        breaks: cells in which the reference's process dies at a burst.
        lacks: cells that the reference has no test for.
        seconds: of a pass.
        states: of the device in one burst after another; nothing is known of it after the last.
    """

    def __init__(
        self,
        ratios: Mapping[str, float],
        breaks: Sequence[str] = (),
        lacks: Sequence[str] = (),
        seconds: float = 0.03,
        states: Sequence[TelemetrySample] = (),
    ) -> None:
        self.ratios, self.breaks, self.lacks, self.seconds = ratios, breaks, lacks, seconds
        self.states = list(states)
        self.started: list[list[str]] = []
        self.exact: list[tuple[str, bool]] = []
        self.moves: list[bool] = []
        self.order: list[str] = []
        self.turns: list[float] = []
        self.closed = 0

    def __call__(self, seed: int, cells: Sequence[str]) -> Any:
        self.started.append(list(cells))
        return FakePair(self)


class FakePair:
    core = 0

    def __init__(self, pairs: Pairs) -> None:
        self._pairs = pairs
        self.is_broken = False
        self.hellos = {side: Hello(version=VERSION) for side in ("reference", "candidate")}

    def ready(self, cell: str, *, facts: bool, order: Sequence[str]) -> dict[str, SideFacts]:
        assert not self.is_broken
        self._cell = cell
        self._pairs.exact.append((cell, facts))
        if cell in self._pairs.lacks:
            raise CellFailedError(
                [Failure("reference", "not-measured", "only-on-one-side", "it has no such test")]
            )
        return {side: SideFacts(cell, Target("cpu", "X", "x")) for side in order}

    def burst(self, side: str, seconds: float, *, move: bool) -> Burst:
        self._pairs.order.append(side)
        self._pairs.turns.append(seconds)
        if side == "reference":
            self._pairs.moves.append(move)
        if self._cell in self._pairs.breaks and side == "reference":
            self.is_broken = True
            raise CellFailedError([Failure("reference", "crashed", "process-died", "it died")])
        ratio = self._pairs.ratios[self._cell] if side == "candidate" else 1.0
        spent = self._pairs.seconds * ratio
        telemetry = (self._pairs.states.pop(0),) if self._pairs.states else ()
        return Burst((spent,), (spent,), (spent,), 0.0, telemetry=telemetry)

    def modules(self, side: str, passes: int) -> dict[str, ModuleTime]:
        return {"": ModuleTime("Net", 0.001)}

    def leave(self) -> None:
        self._cell = ""

    def kill(self) -> None:
        self.close()

    def close(self) -> None:
        self._pairs.closed += 1


def rules_of(facts: SideFacts) -> tuple[ClockRule, ...]:
    return default_rules("cpu", 1)


def run(pairs: Pairs, cells: Sequence[str], **options: Any) -> dict[str, PairedCell]:
    return run_schedule(list(cells), pairs, rules_of, chance=random.Random(1), **options)


def statuses(paired: Mapping[str, PairedCell]) -> dict[str, str | None]:
    return {cell: one.judgement.status if one.judgement else None for cell, one in paired.items()}


def test_undecided_cells_alone_go_on_with_a_fresh_pair() -> None:
    pairs = Pairs({"a": 1.0, "b": 1.1, "c": 1.0})
    said: list[str] = []
    paired = run(pairs, "abc", say=said.append)
    assert statuses(paired) == {"a": "unchanged", "b": "regressed", "c": "unchanged"}
    assert [sorted(cells) for cells in pairs.started] == [["a", "b", "c"], ["b"], ["b"], ["b"]]
    assert pairs.closed == 4
    assert [text.partition(", in ")[0] for text in said] == [
        "paired comparison, process run 1: 3 cells, 2 decided",
        "paired comparison, process run 2: 1 cell, 0 decided",
        "paired comparison, process run 3: 1 cell, 0 decided",
        "paired comparison, process run 4: 1 cell, 1 decided",
    ]


def test_a_comparison_goes_on_with_what_its_pairs_have_brought() -> None:
    class StoppedError(Exception):
        """What ends the first run."""

    kept: dict[str, Any] = {}

    def keep(cell: str, one: PairedCell) -> None:
        kept[cell] = json.loads(json.dumps(form_of(one)))
        if len(pairs.started) == 2:
            raise StoppedError

    pairs = Pairs({"a": 1.0, "b": 1.1})
    with pytest.raises(StoppedError):
        run(pairs, "ab", keep=keep)
    again = Pairs({"a": 1.0, "b": 1.1})
    paired = run(again, "ab", known=lambda cell: value_of(PairedCell, kept[cell]))
    assert statuses(paired) == {"a": "unchanged", "b": "regressed"}
    # The first was decided, and the second is after four process runs as in an unbroken one.
    assert again.started == [["b"], ["b"]]
    assert len(paired["b"].process_runs) == 4


def test_what_goes_on_is_shown_by_cell_and_round() -> None:
    shown: list[str] = []
    run(Pairs({"test_net[timm/a-fp32-b1]": 1.0}), ["test_net[timm/a-fp32-b1]"], show=shown.append)
    # 13 rounds decide it.
    assert shown == [
        "paired comparison, process run 1: starting both sides ...",
        "paired comparison, process run 1: [1/1] timm/a-fp32-b1: loading ...",
        "paired comparison, process run 1: [1/1] timm/a-fp32-b1: round 1 ...",
        "paired comparison, process run 1: [1/1] timm/a-fp32-b1: round 11, so far +0.0 % ...",
    ]


def test_a_change_that_is_not_decided_is_shown_as_it_is_so_far() -> None:
    """A network that takes twice the time is reported after four process runs, and seen in the
    first: 20 ms of bursts a side, every pass of 30 ms or 60 ms the same."""
    said: list[str] = []
    shown: list[str] = []
    cells = {"test_net[timm/a-fp32-b1]": 2.0, "test_net[timm/b-fp32-b1]": 1.0}
    run(Pairs(cells), list(cells), say=said.append, show=shown.append)
    so_far = [text.partition(". So far: ")[2].partition("; the next takes ")[0] for text in said]
    least = ", a change is reported after 4"
    assert so_far == [f"timm/a-fp32-b1 +100.0 %{least}"] * 3 + [""]
    in_later = [text for text in shown if "process run 2: [1/1]" in text]
    assert in_later[1] == (
        "paired comparison, process run 2: [1/1] timm/a-fp32-b1: round 1, so far +100.0 % ..."
    )


def test_a_process_run_in_which_nothing_can_be_judged_shows_no_figure() -> None:
    class Disturbed(Pairs):
        def __call__(self, seed: int, cells: Sequence[str]) -> Any:
            pair = super().__call__(seed, cells)
            burst = pair.burst
            pair.burst = lambda *given, **how: replace(burst(*given, **how), waited=0.024)
            return pair

    said: list[str] = []
    run(Disturbed({"a": 1.0}), "a", say=said.append)
    assert "So far: a no figure (others took 80% of the time)" in said[0]


def test_an_unchanged_cell_takes_as_many_rounds_as_the_e_value_needs() -> None:
    paired = run(Pairs({"a": 1.0}), "a")
    # The mean of 1.2 ** n to 1.95 ** n passes 1 / beta = 1,000 with the 13th round.
    capital = [sum((1 + stake) ** n for stake in (0.2, 0.4, 0.6, 0.8, 0.95)) / 5 for n in (12, 13)]
    assert capital[0] < 1000 <= capital[1]
    (process_run,) = paired["a"].process_runs
    assert len(process_run.rounds) == 13
    assert process_run.seconds == pytest.approx(13 * 0.06)


def test_a_regressed_cell_leaves_a_process_run_when_it_has_said_enough() -> None:
    paired = run(Pairs({"b": 1.1}), "b")
    # The first is sure by itself with the 13th round, and 1 / alpha = 100,000 is passed with the
    # 20th of all; the others only have to agree.
    assert [len(process_run.rounds) for process_run in paired["b"].process_runs] == [13, 7, 6, 1]
    assert paired["b"].modules.keys() == {"reference", "candidate"}
    assert len(paired["b"].modules["candidate"]) == Plan().module_turns


def test_exact_figures_are_asked_for_once() -> None:
    pairs = Pairs({"b": 1.1})
    run(pairs, "b")
    assert pairs.exact == [("b", True), ("b", False), ("b", False), ("b", False)]


def test_the_order_of_sides_is_random_and_both_play_in_each_round() -> None:
    pairs = Pairs({"a": 1.02})
    paired = run(pairs, "a")
    rounds = list(zip(pairs.order[::2], pairs.order[1::2], strict=True))
    assert {frozenset(one) for one in rounds} == {frozenset(("reference", "candidate"))}
    first = [
        one.candidate_first
        for process_run in paired["a"].process_runs
        for one in process_run.rounds
    ]
    assert first == [one[0] == "candidate" for one in rounds]
    assert 0.3 < sum(first) / len(first) < 0.7


def test_both_sides_get_turns_of_the_plan() -> None:
    pairs = Pairs({"a": 1.0})
    run(pairs, "a")
    assert set(pairs.turns) == {0.020}


def test_models_move_in_memory_every_few_rounds() -> None:
    pairs = Pairs({"a": 1.0})
    run(pairs, "a")
    assert pairs.moves[:9] == [False] * 4 + [True] + [False] * 3 + [True]


def test_a_broken_pair_ends_its_cell_and_the_others_go_on() -> None:
    pairs = Pairs(dict.fromkeys("abc", 1.0), breaks="b")
    paired = run(pairs, "abc")
    assert statuses(paired) == {"a": "unchanged", "b": None, "c": "unchanged"}
    assert [one.sentence for one in paired["b"].failures] == ["it died"]
    assert paired["b"].is_decided
    assert pairs.closed == len(pairs.started)
    # A fresh pair is for what is left alone.
    assert all("b" not in cells for cells in pairs.started[1:])


def test_each_cell_may_break_its_pair() -> None:
    pairs = Pairs(dict.fromkeys("abc", 1.0), breaks="abc")
    paired = run(pairs, "abc")
    assert all(one.failures for one in paired.values())
    assert len(pairs.started) == 3


def test_a_cell_that_one_side_lacks_needs_no_fresh_pair() -> None:
    pairs = Pairs(dict.fromkeys("ab", 1.0), lacks="a")
    paired = run(pairs, "ab")
    assert paired["a"].failures[0].reason == "only-on-one-side"
    assert statuses(paired)["b"] == "unchanged"
    assert len(pairs.started) == 1


def test_the_limit_of_process_runs_ends_in_cannot_tell() -> None:
    pairs = Pairs({"a": 1.02}, seconds=0.5)
    # 5 % is more than the equivalence margin, and no process run can show it.
    rules = (ClockRule("cpu", PairedRule(0.02, 0.03, most_process_runs=5, alpha=1e-300)),)
    paired = run_schedule(["a"], pairs, lambda _: rules, plan=Plan(run=2.0, rounds=3))
    assert statuses(paired) == {"a": "unchanged"}
    pairs = Pairs({"a": 1.05}, seconds=0.5)
    paired = run_schedule(["a"], pairs, lambda _: rules, plan=Plan(run=2.0, rounds=3))
    assert statuses(paired) == {"a": "inconclusive"}
    assert [len(process_run.rounds) for process_run in paired["a"].process_runs] == [3] * 5


GOOD = TelemetrySample(1.9e9, default_clock=2e9)
HOT = TelemetrySample(1.9e9, throttle=("thermal-slowdown",), default_clock=2e9)
IDLE = TelemetrySample(0.3e9, default_clock=2e9)


def device_rules_of(facts: SideFacts) -> tuple[ClockRule, ...]:
    return default_rules("cuda", 1)


def test_a_round_in_which_the_device_was_slowed_is_played_again() -> None:
    # Both bursts of a round are paired, whichever was slowed.
    states = [HOT, GOOD, GOOD, HOT, IDLE, IDLE, GOOD, GOOD, IDLE, HOT]
    pairs = Pairs({"a": 1.0}, states=states)
    slept: list[float] = []
    paired = run_schedule(["a"], pairs, device_rules_of, sleep=slept.append)
    (process_run,) = paired["a"].process_runs
    # Which side of the last of them was the idle one is chance.
    assert [set(reasons) for reasons in process_run.discarded] == [
        {"thermal-slowdown"}, {"thermal-slowdown"}, {"low-clock"},
        {"thermal-slowdown", "low-clock"},
    ]  # fmt: skip
    # Longer with each try of a round; at work a device that was idle comes up by itself.
    assert slept == [0.5, 1.0, 0.5]
    assert len(process_run.rounds) == 13
    assert process_run.rounds[0].reference.telemetry == (GOOD,)
    assert statuses(paired) == {"a": "unchanged"}


def test_a_device_that_stays_slow_ends_its_cell() -> None:
    pairs = Pairs({"a": 1.0, "b": 1.0}, states=[HOT] * 12)
    slept: list[float] = []
    paired = run_schedule(
        ["a", "b"], pairs, device_rules_of, sleep=slept.append, chance=random.Random(1)
    )
    # Six rounds are thrown away, and nothing waits for a seventh.
    assert slept == [0.5, 1.0, 1.5, 2.0, 2.5]
    ended = {one.judgement.reason for one in paired.values() if one.judgement}
    assert ended == {"throttled", "within-bounds"}
    assert len(pairs.started) == 1
    (given_up,) = (
        one for one in paired.values() if one.judgement and one.judgement.reason == "throttled"
    )
    assert given_up.is_decided
    assert [len(process_run.rounds) for process_run in given_up.process_runs] == [0]


def test_rules_that_make_none_end_the_run_and_its_processes() -> None:
    def refuse(facts: SideFacts) -> tuple[ClockRule, ...]:
        raise UsageError("tolerated_change", "it is too large", "Write less")

    pairs = Pairs({"a": 1.0})
    with pytest.raises(UsageError):
        run_schedule(["a"], pairs, refuse)
    assert pairs.closed == 1
