"""Launches, their spread, and what is made of them."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from archbench.core.gate import (
    TimeRule,
    is_suspicious,
    needs_confirmation,
    scale_of,
    time_verdict,
)
from archbench.core.launches import QUANTILES, Launch, Scale, spread, student_quantile

CPU = Scale("cpu")
RULE = TimeRule(CPU)


def at(
    seconds: float,
    *,
    others: float | None = 0.0,
    lost: float = 0.0,
    yardstick: float | None = None,
) -> Launch:
    """A launch whose every quantile is the same."""
    series = (seconds,) * len(QUANTILES)
    return Launch(series, series, 30, lost, others, yardstick)


def test_a_launch_keeps_quantiles_of_both_clocks() -> None:
    # 101 samples of 0 to 100 ms: quantile q is 100 q milliseconds.
    wall = [i / 1000 for i in range(101)]
    launch = Launch.of(wall, [value / 2 for value in wall], 0.03, [0.4, 0.1, 0.2])
    assert launch.wall == (0.0, 0.005, 0.01, 0.025, 0.05, 0.075, 0.09, 0.095, 0.099)
    assert launch.at(0.5, "cpu") == 0.025
    # A fifth of the way from the least to the next.
    assert launch.yardstick == pytest.approx(0.12)
    assert launch.level(CPU) == pytest.approx(math.log(0.005))
    assert launch.level(Scale("wall", in_yardsticks=True)) == pytest.approx(math.log(0.01 / 0.12))
    assert (launch.samples, launch.lost, launch.others) == (101, 0.5, 0.03)
    assert Launch.from_dict(launch.as_dict()) == launch


@pytest.mark.parametrize(("wall", "cpu"), [([], []), ([0.1], [])])
def test_no_launch_without_samples(wall: list[float], cpu: list[float]) -> None:
    with pytest.raises(ValueError, match="times of one launch"):
        Launch.of(wall, cpu)


def test_what_disturbs() -> None:
    assert at(1.0).disturbance is None
    assert at(1.0, others=None).disturbance is None
    assert at(1.0, others=0.10).disturbance is None
    assert at(1.0, others=0.52).disturbance == "others kept 52% of the machine busy"
    # With a yardstick the machine's state is known, whoever is busy.
    assert at(1.0, others=0.52, yardstick=0.001).disturbance is None
    assert at(1.0, lost=0.51).disturbance == "the process did not run for 51% of the time"


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 9, 10, 29, 30])
@pytest.mark.parametrize("probability", [0.9, 0.99, 0.9999])
def test_student_quantile(probability: float, degrees: int) -> None:
    expected = stats.t.ppf(probability, degrees)
    assert student_quantile(probability, degrees) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("probability", "degrees"), [(0.5, 3), (1.0, 3), (0.9, 0)])
def test_student_quantile_that_does_not_exist(probability: float, degrees: int) -> None:
    with pytest.raises(ValueError, match="no quantile"):
        student_quantile(probability, degrees)


def test_spread_and_threshold_by_hand() -> None:
    # Logarithms 0 and ln 4: mean ln 2, deviation ln 4 / sqrt 2.
    both = spread([at(1.0), at(4.0)], CPU)
    assert both.center == pytest.approx(math.log(2))
    assert both.deviation == pytest.approx(math.log(4) / math.sqrt(2))
    # Hahn and Meeker: t(0.9; 1) = 3.0777, times sqrt(1 + 1/2).
    expected = 3.0776835 * both.deviation * math.sqrt(1.5)
    assert both.threshold(0.1, 0.9) == pytest.approx(expected, rel=1e-6)
    assert spread([at(1.0)] * 10, CPU).threshold(0.1, 0.9999) == pytest.approx(math.log(1.1))


BASELINE = [at(0.1)] * 10
SAME, SLOWER, FASTER = [at(0.1)] * 3, [at(0.12)] * 3, [at(0.08)] * 3


@pytest.mark.parametrize(
    ("launches", "suspicious"),
    [
        (SAME, False),
        ([at(0.1099)] * 3, False),
        ([at(0.1101)] * 3, True),
        ([at(0.12), at(0.12), at(0.1)], True),  # the middle one
        ([at(0.12), at(0.1), at(0.1)], False),
        (FASTER, True),
        ([at(0.12, others=0.5)] * 3, False),  # nothing that can be judged
    ],
)
def test_suspicion(launches: list[Launch], suspicious: bool) -> None:
    assert is_suspicious(BASELINE, launches, RULE) is suspicious


BUSY = [at(0.12, others=0.5)] * 3


@pytest.mark.parametrize(
    ("baseline", "launches", "confirmations", "status", "reason"),
    [
        (None, SAME, [], "no-baseline", "not-in-file"),
        (BASELINE[:9], SAME, [], "inconclusive", "baseline-too-small"),
        (BASELINE, SAME[:1], [], "inconclusive", "too-few-launches"),
        (BASELINE, BUSY, [], "inconclusive", "disturbed"),
        (BASELINE, SAME, [], "unchanged", "within-threshold"),
        (BASELINE, SLOWER, [], "inconclusive", "too-few-launches"),
        (BASELINE, SLOWER, SLOWER, "regressed", "slower"),
        (BASELINE, SLOWER, [*SLOWER, at(0.1)], "inconclusive", "not-confirmed"),
        (BASELINE, SLOWER, SAME, "inconclusive", "not-confirmed"),
        (BASELINE, SLOWER, [at(0.12), at(0.12), at(0.08)], "inconclusive", "not-confirmed"),
        (BASELINE, SLOWER, BUSY, "inconclusive", "disturbed"),
        (BASELINE, FASTER, FASTER, "improved", "faster"),
    ],
)  # fmt: skip
def test_time_verdict(
    baseline: list[Launch] | None,
    launches: list[Launch],
    confirmations: list[Launch],
    status: str,
    reason: str,
) -> None:
    verdict = time_verdict(baseline, launches, confirmations, RULE)
    assert (verdict.metric, verdict.status, verdict.reason) == ("latency", status, reason)


def test_sentences() -> None:
    regressed = time_verdict(BASELINE, SLOWER, SLOWER, RULE)
    assert regressed.sentence == (
        "100 ms -> 120 ms (+20.0%) in each of 3 fresh launches; the threshold is 10%"
    )
    assert (regressed.baseline, regressed.value) == (pytest.approx(0.1), pytest.approx(0.12))
    assert time_verdict(BASELINE, SAME, [], RULE).sentence == (
        "100 ms -> 100 ms (+0.0%); the smallest change that this baseline finds is 10%"
    )
    assert "others kept 50% of the machine busy" in (
        time_verdict(BASELINE, BUSY, [], RULE).sentence
    )


def test_a_noisy_baseline_raises_its_threshold_and_says_so() -> None:
    noisy = [at(0.1 * (1 + 0.05 * (-1) ** i)) for i in range(10)]
    verdict = time_verdict(noisy, SLOWER, [], RULE)
    assert (verdict.status, verdict.reason) == ("unchanged", "within-threshold")
    # sd of +-5 % in 10 launches is 5.3 %; times t(0.999; 9) = 4.297 and sqrt(1.1): a quarter.
    assert "finds is 27%" in verdict.sentence
    assert verdict.threshold == pytest.approx(0.268, abs=0.001)
    assert verdict.tolerance == 0.10


def test_a_baseline_that_finds_nothing_cannot_tell() -> None:
    wide = [*[at(0.1)] * 5, *[at(0.2)] * 5]
    verdict = time_verdict(wide, [at(0.2)] * 3, [], RULE)
    assert (verdict.status, verdict.reason) == ("inconclusive", "baseline-too-noisy")


def test_the_tolerance_moves_the_threshold() -> None:
    assert (
        time_verdict(BASELINE, SLOWER, SLOWER, TimeRule(CPU, relative=0.25)).status == "unchanged"
    )
    small = [at(0.106)] * 3
    assert time_verdict(BASELINE, small, small, TimeRule(CPU, relative=0.05)).status == "regressed"


def test_what_is_being_accepted_says_so() -> None:
    verdict = time_verdict(BASELINE, SLOWER, SLOWER, RULE, accept=True)
    assert (verdict.status, verdict.reason) == ("regressed", "accepted")


def test_the_clock_is_the_one_asked_for() -> None:
    slow_wall = [Launch((0.2,) * 9, (0.1,) * 9, 30, 0.0, 0.0)] * 3
    assert time_verdict(BASELINE, slow_wall, slow_wall, RULE).status == "unchanged"
    assert (
        time_verdict(BASELINE, slow_wall, slow_wall, TimeRule(Scale("wall"))).status == "regressed"
    )


def test_a_yardstick_takes_the_machines_state_out() -> None:
    # Everything takes a fifth longer, the yardstick too: nothing has changed.
    scale = scale_of({"clock": "cpu", "yardstick": "y"}, {"clock": "cpu", "yardstick": "y"})
    assert scale == Scale("cpu", in_yardsticks=True)
    baseline = [at(0.1, yardstick=0.001)] * 10
    busy = [at(0.12, yardstick=0.0012)] * 3
    verdict = time_verdict(baseline, busy, [], TimeRule(scale))
    assert (verdict.status, verdict.value) == ("unchanged", pytest.approx(0.1))
    # The network takes a fifth longer on a machine as fast as before, and on one twice as fast.
    for speed in (1.0, 0.5):
        slow = [at(0.12 * speed, yardstick=0.001 * speed)] * 3
        verdict = time_verdict(baseline, slow, slow, TimeRule(scale))
        assert (verdict.status, verdict.value) == ("regressed", pytest.approx(0.12))


def test_a_launch_without_its_yardstick_is_not_judged() -> None:
    rule = TimeRule(Scale("cpu", in_yardsticks=True))
    baseline = [at(0.1, yardstick=0.001)] * 10
    verdict = time_verdict(baseline, [at(0.1, yardstick=0.001)] * 2 + [at(0.1)], [], rule)
    assert (verdict.status, verdict.reason) == ("inconclusive", "too-few-launches")


def test_other_yardsticks_are_no_yardstick() -> None:
    then = {"clock": "cpu", "yardstick": "sgemm 320 numpy 2.3.0"}
    assert scale_of(then, {**then, "yardstick": "sgemm 320 numpy 2.4.0"}) == CPU
    assert scale_of(then) == Scale("cpu", in_yardsticks=True)
    assert scale_of({"clock": "wall", "yardstick": None}) == Scale("wall")
    with pytest.raises(ValueError, match="no yardstick"):
        at(1.0).level(Scale("cpu", in_yardsticks=True))


def test_a_slow_mode_is_not_spread() -> None:
    # Two of ten processes were slow by 40 %: the spread is that of the eight others.
    fast = [at(0.1 * (1 + 0.001 * place)) for place in range(8)]
    known = spread([*fast, at(0.14), at(0.141)], CPU)
    assert (known.launches, known.slow) == (8, 2)
    assert known.center == spread(fast, CPU).center
    # (2 + 1) / (10 + 2) is a quarter: five quarters multiplied are less than a thousandth.
    assert known.confirmations == 5
    assert spread([*fast, at(0.1), at(0.1)], CPU).confirmations == 3
    # A third of them is no exception.
    many = spread([*fast[:6], at(0.14), at(0.14), at(0.14)], CPU)
    assert (many.launches, many.slow) == (9, 0)
    # What is fast alone is no mode of its own.
    assert spread([*fast, at(0.07), at(0.07)], CPU).slow == 0


def test_a_slow_mode_needs_more_confirmations() -> None:
    baseline = [*[at(0.1)] * 8, at(0.14), at(0.14)]
    for number, status in ((3, "inconclusive"), (4, "inconclusive"), (5, "regressed")):
        assert time_verdict(baseline, SLOWER, [at(0.12)] * number, RULE).status == status


@pytest.mark.parametrize(
    ("launches", "confirmations", "needed"),
    [
        (SAME, [], False),
        (SLOWER, [], True),
        (SLOWER, SLOWER[:2], True),
        (SLOWER, SLOWER, False),
        (SLOWER, [at(0.12), at(0.1)], False),  # it is decided
        (FASTER, FASTER[:1], True),
        (FASTER, SLOWER[:1], False),
        (SLOWER, [at(0.12, lost=0.9)] * 3, True),  # none that can be judged
    ],
)
def test_confirmations_end_as_soon_as_it_is_decided(
    launches: list[Launch], confirmations: list[Launch], needed: bool
) -> None:
    assert needs_confirmation(BASELINE, launches, confirmations, RULE) is needed
