"""Rounds of two versions: how a burst is scored, and what all clocks together say."""

from __future__ import annotations

import math

import pytest

from archbench.core.paired import PairedRule
from archbench.core.rounds import (
    Burst,
    ClockRule,
    PairedRun,
    Round,
    default_rules,
    has_said_enough,
    judge_rounds,
    typical,
)
from archbench.core.telemetry import TelemetrySample

RULES = default_rules("cpu", 1)


def burst(cpu: float, wall: float | None = None, waited: float | None = 0.0) -> Burst:
    """Three passes, the fastest of which takes so long."""
    wall = cpu if wall is None else wall
    return Burst((wall * 1.5, wall, wall * 1.2), (cpu * 1.5, cpu, cpu * 1.2), (), waited)


def run(
    ratio: float, rounds: int = 20, wall: float | None = None, waited: float = 0.0
) -> PairedRun:
    """Rounds in which the candidate takes so many times the reference's 10 ms."""
    wall = ratio if wall is None else wall
    one = Round(burst(0.01, waited=waited), burst(0.01 * ratio, 0.01 * wall, waited), False)
    return PairedRun([one] * rounds)


def test_a_burst_is_scored_by_its_fastest_pass() -> None:
    one = Round(burst(0.010), burst(0.012, 0.030), False)
    assert one.difference("cpu") == pytest.approx(math.log(1.2))
    assert one.difference("wall") == pytest.approx(math.log(3))


def test_times_are_compared_per_image() -> None:
    # A batch of four in twice the time is half the time for each image.
    rounds = [Round(burst(0.010), burst(0.020), False)]
    assert PairedRun(rounds, images=(1, 4)).differences("cpu") == [pytest.approx(math.log(0.5))]


def test_below_the_step_of_a_clock_times_are_equal() -> None:
    assert Round(burst(0.0), burst(0.01), False).difference("cpu") == 0


def test_what_others_take_is_not_what_a_pass_waits_for() -> None:
    sleeping = Burst((0.010,), (0.001,), (), 0.0)
    assert sleeping.lost == 0
    assert Burst((0.010,), (0.004,), (), None).lost == pytest.approx(0.006)
    assert PairedRun([Round(sleeping, sleeping, False)]).disturbance is None
    kept = Burst((0.010,), (0.004,), (), 0.006)
    assert PairedRun([Round(kept, kept, False)]).disturbance == "others took 60% of the time"
    assert (
        PairedRun([Round(sleeping, sleeping, False)], stolen=0.2).disturbance
        == "other guests of the host took 20% of the core"
    )


def test_what_lies_between_two_passes_is_time_that_a_burst_took() -> None:
    assert Burst((0.010, 0.020), (0.010, 0.020)).seconds == pytest.approx(0.030)
    flushed = Burst((0.010, 0.020), (0.010, 0.020), (), 0.05, took=0.1)
    assert flushed.seconds == 0.1
    # Of both bursts' 0.2 s others took 0.1 s.
    assert PairedRun([Round(flushed, flushed, False)]).lost == pytest.approx(0.5)


def test_a_pass_waits_for_its_accelerator() -> None:
    assert Burst((0.010,), (0.001,), (0.009,), None).lost == 0


def test_process_runs_survive_being_stored() -> None:
    telemetry = (TelemetrySample(1e9, 50.0, 200.0, ("power-cap",), 2e9), TelemetrySample())
    timed = Burst((0.01,), (0.01,), (0.008, 0.009), 0.0, 0.04, telemetry, False)
    one = PairedRun([Round(burst(0.01), timed, True)], 0.01, 0.02, (1, 4))
    assert PairedRun.from_dict(one.as_dict()) == one


def test_bursts_that_were_stored_before_they_held_what_they_took() -> None:
    data = {"wall": [0.01], "cpu": [0.01], "device": [], "waited": 0.0}
    assert Burst.from_dict(data) == Burst((0.01,), (0.01,), (), 0.0, None, (), None)


@pytest.mark.parametrize(
    "data", [{"wall": [], "cpu": []}, {"wall": [1.0], "cpu": []}, {"wall": [1, 2], "cpu": [1]}]
)
def test_a_burst_that_cannot_be_one_is_refused(data: dict[str, list[float]]) -> None:
    with pytest.raises(ValueError, match="processor times"):
        Burst.from_dict(data)


def test_the_sharper_clock_comes_first() -> None:
    assert [one.clock for one in default_rules("cpu", 1)] == ["cpu", "wall"]
    assert [one.clock for one in default_rules("cpu", 2)] == ["wall"]
    assert [one.clock for one in default_rules("cuda", 1)] == ["device", "wall"]
    assert default_rules("cuda", 1)[0].rule == PairedRule(0.005, 0.02, process_runs=3)
    assert default_rules("cpu", 1)[1].rule == PairedRule(0.03, 0.08)


@pytest.mark.parametrize(
    ("ratio", "process_runs", "status", "reason"),
    [
        (1.0, 1, "unchanged", "within-bounds"),
        (1.05, 1, None, ""),
        (1.05, 4, "regressed", "slower"),
        (0.95, 4, "improved", "faster"),
        (0.95, 3, None, ""),
    ],
)
def test_both_clocks_agree(
    ratio: float, process_runs: int, status: str | None, reason: str
) -> None:
    judgement = judge_rounds([run(ratio)] * process_runs, RULES)
    assert (judgement.status, judgement.reason, judgement.clock) == (status, reason, "cpu")


def test_waiting_is_seen_by_the_wall_clock_alone() -> None:
    judgement = judge_rounds([run(1.0, wall=1.5)] * 4, RULES)
    assert (judgement.status, judgement.reason) == ("regressed", "slower-wall")
    assert judgement.clock == "wall"
    assert judgement.decision.ratio == pytest.approx(1.5)
    # Less of it is an improvement, though the processor has as much to do.
    judgement = judge_rounds([run(1.0, wall=0.5)] * 4, RULES)
    assert (judgement.status, judgement.reason) == ("improved", "faster-wall")


def test_as_long_as_the_wall_clock_may_object_nothing_is_unchanged() -> None:
    assert judge_rounds([run(1.0, wall=1.5)], RULES).status is None


def test_a_disturbed_wall_clock_cannot_object() -> None:
    # Of 37 ms of each burst others took 2 ms: 5.4 %.
    disturbed = run(1.0, wall=1.0, waited=0.002)
    assert disturbed.lost == pytest.approx(0.002 / 0.037)
    judgement = judge_rounds([disturbed], RULES)
    assert (judgement.status, judgement.unjudged) == ("unchanged", ("wall",))
    assert judge_rounds([run(1.0, wall=1.5, waited=0.004)], RULES).status == "unchanged"


def test_disturbed_process_runs_are_not_judged_and_end_in_cannot_tell() -> None:
    bad = run(1.05, waited=0.03)
    assert bad.disturbance is not None
    assert judge_rounds([bad] * 7, RULES).status is None
    judgement = judge_rounds([bad] * 8, RULES)
    assert (judgement.status, judgement.reason) == ("inconclusive", "disturbed")
    assert judgement.decision.ratio is None
    # Four good ones among them are enough.
    assert judge_rounds([*[bad] * 4, *[run(1.05)] * 4], RULES).status == "regressed"


def test_at_the_limit_of_process_runs_nothing_is_decided() -> None:
    between = PairedRun([*run(1.0, 5).rounds, *run(1.08, 5).rounds])
    assert judge_rounds([between] * 7, RULES).status is None
    judgement = judge_rounds([between] * 8, RULES)
    assert (judgement.status, judgement.reason) == ("inconclusive", "not-decided")


def test_a_second_clock_that_never_decides_does_not_hold_up_the_first() -> None:
    unsure = PairedRun([*run(1.0, 10, wall=0.9).rounds, *run(1.0, 10, wall=1.15).rounds])
    assert judge_rounds([unsure] * 7, RULES).status is None
    assert judge_rounds([unsure] * 8, RULES).status == "unchanged"


def test_several_threads_on_a_busy_machine_cannot_be_judged() -> None:
    rules = default_rules("cpu", 2)
    busy = run(1.5)
    busy.others = 0.3
    judgement = judge_rounds([busy] * 8, rules)
    assert (judgement.status, judgement.reason) == ("inconclusive", "disturbed")
    busy.others = 0.01
    assert judge_rounds([busy] * 4, rules).status == "regressed"


def test_a_process_run_that_has_said_enough_ends() -> None:
    # Twenty rounds beyond the bound make the e-value large enough, and three more process runs
    # have to agree.
    assert judge_rounds([run(1.05)], RULES).status is None
    assert has_said_enough([run(1.05)], RULES)
    assert has_said_enough([run(0.95)], RULES)
    assert not has_said_enough([run(1.05, 10)], RULES)
    assert not has_said_enough([run(1.0)], RULES)
    assert not has_said_enough([run(1.05), run(1.05, 5)], RULES)
    assert has_said_enough([run(1.05), run(1.05, 6)], RULES)
    assert not has_said_enough([run(1.05, 60), run(1.0, 6)], RULES)


def test_what_is_typical_is_the_middle_burst() -> None:
    rounds = [Round(burst(r), burst(c), False) for r, c in ((1.0, 4.0), (2.0, 8.0), (9.0, 5.0))]
    assert typical([PairedRun(rounds[:2]), PairedRun(rounds[2:])], "cpu") == (2.0, 5.0)


# An accelerator


DEVICE_RULES = default_rules("cuda", 1)


def on_device(seconds: float, clock: float | None, wall: float | None = None) -> Burst:
    """Passes on a device whose clock is read before and after: 1 % lower, and 1 % higher."""
    around = () if clock is None else (0.99 * clock, 1.01 * clock)
    telemetry = tuple(TelemetrySample(one) for one in around)
    wall = 2 * seconds if wall is None else wall
    return Burst((wall,), (wall,), (seconds * 1.5, seconds), 0.0, telemetry=telemetry)


def device_process_run(
    *candidates: tuple[float, float | None], rounds: int = 20, images: tuple[int, int] = (1, 1)
) -> PairedRun:
    """Rounds against 10 ms at 1 GHz, with these factors of time and of clock in turns."""
    pairs = [
        Round(
            on_device(0.010, None if clock is None else 1e9),
            on_device(0.010 * time, None if clock is None else 1e9 * clock),
            False,
        )
        for time, clock in candidates
    ]
    return PairedRun(pairs * (rounds // len(pairs)), images=images)


def test_cycles_are_time_multiplied_by_the_clock() -> None:
    assert on_device(0.010, 1.5e9).cycles == pytest.approx(15e6)
    assert on_device(0.010, None).cycles is None
    assert burst(0.01).cycles is None
    one = device_process_run((1.2, 0.75), rounds=1).rounds[0]
    assert one.cycles == pytest.approx(math.log(0.9))
    # Twice the images in the same cycles are half for each.
    assert device_process_run((1.0, 1.0), rounds=1, images=(1, 2)).cycles() == [
        pytest.approx(math.log(0.5))
    ]
    assert device_process_run((1.0, None), rounds=2).cycles() == []


@pytest.mark.parametrize(
    ("time", "clock", "process_runs", "status", "reason"),
    [
        (1.05, 1.0, 3, "regressed", "slower"),
        (1.05, 1.0, 2, None, ""),
        # Slower, and all of it by a lower clock; wall time, by 5 % more as well, has no say, though
        # in four process runs it could.
        (1.05, 1 / 1.05, 3, "inconclusive", "clock"),
        (1.05, 1 / 1.05, 4, "inconclusive", "clock"),
        # Slower by more than the clock is lower.
        (1.10, 1 / 1.05, 3, "regressed", "slower"),
        # Slower though the clock is higher.
        (1.05, 1.05, 3, "regressed", "slower"),
        # Nobody knows the clock.
        (1.05, None, 3, "regressed", "slower"),
        (0.95, 1.0, 3, "improved", "faster"),
        (0.95, 1 / 0.95, 3, "inconclusive", "clock"),
        (1.00, 1.0, 1, "unchanged", "within-bounds"),
    ],
)
def test_a_change_of_device_time_has_to_be_one_of_cycles(
    time: float, clock: float | None, process_runs: int, status: str | None, reason: str
) -> None:
    judgement = judge_rounds([device_process_run((time, clock))] * process_runs, DEVICE_RULES)
    assert (judgement.status, judgement.reason, judgement.clock) == (status, reason, "device")


def test_where_cycles_cannot_tell_more_process_runs_may() -> None:
    # Half of the rounds 10 % more cycles, half 3 % less: of both kinds there is too much.
    unsure = device_process_run((1.05, 1.1 / 1.05), (1.05, 0.97 / 1.05))
    assert judge_rounds([unsure] * 3, DEVICE_RULES).status is None
    assert judge_rounds([unsure] * 7, DEVICE_RULES).status is None
    judgement = judge_rounds([unsure] * 8, DEVICE_RULES)
    assert (judgement.status, judgement.reason) == ("inconclusive", "clock")


def test_a_faster_clock_does_not_hide_a_slower_host() -> None:
    slow_host = Round(on_device(0.010, 1e9), on_device(0.009, 1e9 / 0.9, wall=0.03), False)
    judgement = judge_rounds([PairedRun([slow_host] * 20)] * 4, DEVICE_RULES)
    assert (judgement.status, judgement.reason) == ("regressed", "slower-wall")


@pytest.mark.parametrize(
    ("ratio", "process_runs", "is_full", "status", "reason"),
    [
        (1.0, 1, True, "unchanged", "within-bounds"),
        (1.05, 3, True, "regressed", "slower"),
        (1.05, 8, False, "inconclusive", "disturbed"),
        (1.05, 8, None, "inconclusive", "disturbed"),
    ],
)
def test_a_busy_host_does_not_disturb_a_full_queue(
    ratio: float, process_runs: int, is_full: bool | None, status: str, reason: str
) -> None:
    # Others took 60 % of the host's time.
    then, now = (
        Burst((0.03,), (0.01,), (seconds,), 0.018, is_full=is_full)
        for seconds in (0.01, 0.01 * ratio)
    )
    run = PairedRun([Round(then, now, False)] * 20)
    assert run.disturbance == "others took 60% of the time"
    judgement = judge_rounds([run] * process_runs, DEVICE_RULES)
    assert (judgement.status, judgement.reason) == (status, reason)
    assert judgement.unjudged == ("wall",)
    assert has_said_enough([run], DEVICE_RULES) == (is_full is True and ratio > 1)


def test_a_round_is_slowed_where_either_burst_is() -> None:
    hot = TelemetrySample(1e9, throttle=("thermal-slowdown",))
    idle = TelemetrySample(1e9, default_clock=2e9)
    good, bad, worse = (
        Burst((0.01,), (0.01,), (0.01,), 0.0, telemetry=telemetry)
        for telemetry in ((TelemetrySample(1e9),) * 2, (idle, TelemetrySample(1e9)), (hot, idle))
    )
    assert Round(good, good, False).slowed == ()
    assert Round(bad, good, False).slowed == ("low-clock",)
    assert Round(bad, worse, False).slowed == ("low-clock", "thermal-slowdown")


@pytest.mark.parametrize(
    ("rounds", "discarded", "throttled"), [(0, 5, False), (0, 6, True), (6, 6, False), (6, 7, True)]
)
def test_a_process_run_with_more_rounds_thrown_away_than_kept_is_given_up(
    rounds: int, discarded: int, throttled: bool
) -> None:
    one = device_process_run((1.0, 1.0), rounds=rounds)
    one.discarded = [("thermal-slowdown",)] * discarded
    assert one.is_throttled is throttled
    # However good the process runs before it were.
    judgement = judge_rounds([device_process_run((1.05, 1.0))] * 2 + [one], DEVICE_RULES)
    found = (judgement.status, judgement.reason)
    assert found == (("inconclusive", "throttled") if throttled else (None, ""))
    assert PairedRun.from_dict(one.as_dict()) == one


def test_own_rules_are_obeyed() -> None:
    rules = (ClockRule("cpu", PairedRule(0.1, 0.2, alpha=0.1, beta=0.1, process_runs=1)),)
    assert judge_rounds([run(1.09, 10)], rules).status == "unchanged"
    assert judge_rounds([run(1.3, 10)], rules).status == "regressed"
