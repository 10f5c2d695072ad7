"""Launches, their spread, and what is made of them."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from archbench.core.gate import is_suspicious, time_verdict
from archbench.core.launches import QUANTILES, Launch, spread, student_quantile


def at(median: float, *, others: float | None = 0.0, lost: float = 0.0) -> Launch:
    """A launch whose every quantile is its median."""
    series = (median,) * len(QUANTILES)
    return Launch(series, series, 30, lost, others)


def test_a_launch_keeps_quantiles_of_both_clocks() -> None:
    # 101 samples of 0 to 100 ms: quantile q is 100 q milliseconds.
    wall = [i / 1000 for i in range(101)]
    launch = Launch.of(wall, [value / 2 for value in wall], 0.03)
    assert launch.wall == (0.0, 0.005, 0.01, 0.025, 0.05, 0.075, 0.09, 0.095, 0.099)
    assert launch.median("cpu") == 0.025
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
    both = spread([at(1.0), at(4.0)], "cpu")
    assert both.median == pytest.approx(2.0)
    assert both.deviation == pytest.approx(math.log(4) / math.sqrt(2))
    # Hahn and Meeker: t(0.9; 1) = 3.0777, times sqrt(1 + 1/2).
    expected = 3.0776835 * both.deviation * math.sqrt(1.5)
    assert both.threshold(0.1, 0.9) == pytest.approx(expected, rel=1e-6)
    assert spread([at(1.0)] * 10, "cpu").threshold(0.1, 0.9999) == pytest.approx(math.log(1.1))


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
    assert is_suspicious(BASELINE, launches, "cpu") is suspicious


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
    verdict = time_verdict(baseline, launches, confirmations, "cpu")
    assert (verdict.metric, verdict.status, verdict.reason) == ("latency", status, reason)


def test_sentences() -> None:
    regressed = time_verdict(BASELINE, SLOWER, SLOWER, "cpu")
    assert regressed.sentence == (
        "100 ms -> 120 ms (+20.0%) in each of 3 fresh launches; the threshold is 10%"
    )
    assert (regressed.baseline, regressed.value) == (pytest.approx(0.1), pytest.approx(0.12))
    assert time_verdict(BASELINE, SAME, [], "cpu").sentence == (
        "100 ms -> 100 ms (+0.0%); the smallest change that this baseline finds is 10%"
    )
    assert "others kept 50% of the machine busy" in (
        time_verdict(BASELINE, BUSY, [], "cpu").sentence
    )


def test_a_noisy_baseline_raises_its_threshold_and_says_so() -> None:
    noisy = [at(0.1 * (1 + 0.05 * (-1) ** i)) for i in range(10)]
    verdict = time_verdict(noisy, SLOWER, [], "cpu")
    assert (verdict.status, verdict.reason) == ("unchanged", "within-threshold")
    # sd of +-5 % in 10 launches is 5.3 %; times t = 6.01 and sqrt(1.1): a third.
    assert "finds is 39%" in verdict.sentence


def test_the_tolerance_moves_the_threshold() -> None:
    assert time_verdict(BASELINE, SLOWER, SLOWER, "cpu", relative=0.25).status == "unchanged"
    small = [at(0.106)] * 3
    assert time_verdict(BASELINE, small, small, "cpu", relative=0.05).status == "regressed"


def test_what_is_being_accepted_says_so() -> None:
    verdict = time_verdict(BASELINE, SLOWER, SLOWER, "cpu", accept=True)
    assert (verdict.status, verdict.reason) == ("regressed", "accepted")


def test_the_clock_is_the_one_asked_for() -> None:
    slow_wall = [Launch((0.2,) * 9, (0.1,) * 9, 30, 0.0, 0.0)] * 3
    assert time_verdict(BASELINE, slow_wall, slow_wall, "cpu").status == "unchanged"
    assert time_verdict(BASELINE, slow_wall, slow_wall, "wall").status == "regressed"
