"""Process runs, their spread, and what is made of them."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from archbench.core.gate import (
    TimeRule,
    is_suspicious,
    needs_confirmation,
    scale_of,
    scales_of,
    share_text,
    time_sentence,
    time_verdict,
)
from archbench.core.process_runs import (
    DEVICE,
    STORED_QUANTILES,
    ProcessRun,
    Scale,
    spread,
    student_quantile,
)

CPU = Scale("cpu")
RULE = TimeRule(CPU)


def at(
    seconds: float,
    *,
    others: float | None = 0.0,
    lost: float = 0.0,
    reference_workload: float | None = None,
) -> ProcessRun:
    """A process run whose every quantile is the same."""
    series = (seconds,) * len(STORED_QUANTILES)
    return ProcessRun(series, series, 30, lost, others, reference_workload)


def test_waiting_for_an_accelerator_is_no_loss() -> None:
    assert ProcessRun.of([0.1, 0.1], [0.025, 0.025]).lost == 0.75
    assert ProcessRun.of([0.1, 0.1], [0.025, 0.025], is_waiting=True).lost == 0.0


def test_a_process_run_keeps_quantiles_of_both_clocks() -> None:
    # 101 samples of 0 to 100 ms: quantile q is 100 q milliseconds.
    wall = [i / 1000 for i in range(101)]
    run = ProcessRun.of(wall, [value / 2 for value in wall], 0.03, [0.4, 0.1, 0.2])
    assert run.wall == (0.0, 0.005, 0.01, 0.025, 0.05, 0.075, 0.09, 0.095, 0.099)
    assert run.at(0.5, "cpu") == 0.025
    # A fifth of the way from the least to the next.
    assert run.reference_workload == pytest.approx(0.12)
    assert run.level(CPU) == pytest.approx(math.log(0.005))
    assert run.level(Scale("wall", in_reference_workloads=True)) == pytest.approx(
        math.log(0.01 / 0.12)
    )
    assert (run.samples, run.lost, run.others) == (101, 0.5, 0.03)
    assert ProcessRun.from_dict(run.as_dict()) == run


@pytest.mark.parametrize(("wall", "cpu"), [([], []), ([0.1], [])])
def test_no_process_run_without_samples(wall: list[float], cpu: list[float]) -> None:
    with pytest.raises(ValueError, match="times of one process run"):
        ProcessRun.of(wall, cpu)


def test_what_disturbs() -> None:
    assert at(1.0).disturbance is None
    assert at(1.0, others=None).disturbance is None
    assert at(1.0, others=0.10).disturbance is None
    assert at(1.0, others=0.52).disturbance == "others kept 52% of the machine busy"
    # With a reference workload the machine's state is known, whoever is busy.
    assert at(1.0, others=0.52, reference_workload=0.001).disturbance is None
    assert at(1.0, lost=0.51).disturbance == "the process did not run for 51% of the time"


def test_a_process_run_on_an_accelerator_keeps_quantiles_of_its_clock() -> None:
    # 11 samples of 0 to 10 ms: quantile q is 10 q milliseconds, and its logarithm is compared.
    run = at(0.1).with_device([i / 1000 for i in range(11)], queue_full=True)
    assert run.device == (0.0, 0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.009, 0.0095, 0.0099)
    assert run.at(0.5, "device") == 0.005
    assert run.level(DEVICE) == pytest.approx(math.log(0.001))
    assert run.level(CPU) == pytest.approx(math.log(0.1))
    assert ProcessRun.from_dict(run.as_dict()) == run
    with pytest.raises(ValueError, match="no time by the clock 'device'"):
        at(0.1).level(DEVICE)
    with pytest.raises(ValueError, match="no device times of one process run"):
        at(0.1).with_device([], queue_full=None)


@pytest.mark.parametrize(
    ("run", "by_host", "by_device"),
    [
        (at(0.1), True, False),  # of a CPU
        (at(0.1).with_device([0.01], queue_full=True), True, True),
        # Others on the host do not reach what waits in the device's queue ...
        (at(0.1, others=0.5).with_device([0.01], queue_full=True), False, True),
        # ... and do where the host could not keep it full, or where nobody knows.
        (at(0.1, others=0.5).with_device([0.01], queue_full=False), False, False),
        (at(0.1, others=0.5).with_device([0.01], queue_full=None), False, False),
        (at(0.1).with_device([0.01], queue_full=None), True, True),
    ],
)
def test_by_which_clock_a_process_run_is_judged(
    run: ProcessRun, by_host: bool, by_device: bool
) -> None:
    assert run.is_judged_in(Scale("wall")) is by_host
    assert run.is_judged_in(DEVICE) is by_device


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 9, 10, 29, 30])
@pytest.mark.parametrize("probability", [0.9, 0.99, 0.9999])
def test_student_quantile(probability: float, degrees: int) -> None:
    expected = stats.t.ppf(probability, degrees)
    # scipy 1.8 is right to 4e-9 only.
    assert student_quantile(probability, degrees) == pytest.approx(expected, rel=1e-8)


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
    ("process_runs", "suspicious"),
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
def test_suspicion(process_runs: list[ProcessRun], suspicious: bool) -> None:
    assert is_suspicious(BASELINE, process_runs, RULE) is suspicious


BUSY = [at(0.12, others=0.5)] * 3


@pytest.mark.parametrize(
    ("baseline", "process_runs", "confirmations", "status", "reason"),
    [
        (None, SAME, [], "no-baseline", "not-in-file"),
        (BASELINE[:9], SAME, [], "inconclusive", "baseline-too-small"),
        (BASELINE, SAME[:1], [], "inconclusive", "too-few-process-runs"),
        (BASELINE, BUSY, [], "inconclusive", "disturbed"),
        (BASELINE, SAME, [], "unchanged", "within-threshold"),
        (BASELINE, SLOWER, [], "inconclusive", "too-few-process-runs"),
        (BASELINE, SLOWER, SLOWER, "regressed", "slower"),
        (BASELINE, SLOWER, [*SLOWER, at(0.1)], "regressed", "slower"),  # decided by the third
        (BASELINE, SLOWER, [*SLOWER[:2], at(0.1), at(0.12)], "inconclusive", "not-confirmed"),
        (BASELINE, SLOWER, SAME, "inconclusive", "not-confirmed"),
        (BASELINE, SLOWER, [at(0.12), at(0.12), at(0.08)], "inconclusive", "not-confirmed"),
        (BASELINE, SLOWER, BUSY, "inconclusive", "disturbed"),
        (BASELINE, FASTER, FASTER, "improved", "faster"),
    ],
)  # fmt: skip
def test_time_verdict(
    baseline: list[ProcessRun] | None,
    process_runs: list[ProcessRun],
    confirmations: list[ProcessRun],
    status: str,
    reason: str,
) -> None:
    verdict = time_verdict(baseline, process_runs, confirmations, RULE)
    assert (verdict.metric, verdict.status, verdict.reason) == ("latency", status, reason)


def test_sentences() -> None:
    regressed = time_verdict(BASELINE, SLOWER, SLOWER, RULE)
    assert regressed.sentence == (
        "100 ms -> 120 ms (+20.0%) in each of 3 fresh process runs; the threshold is 10%"
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
    # sd of +-5 % in 10 process runs is 5.3 %; times t(0.999; 9) = 4.297 and sqrt(1.1): a quarter.
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
    slow_wall = [ProcessRun((0.2,) * 9, (0.1,) * 9, 30, 0.0, 0.0)] * 3
    assert time_verdict(BASELINE, slow_wall, slow_wall, RULE).status == "unchanged"
    assert (
        time_verdict(BASELINE, slow_wall, slow_wall, TimeRule(Scale("wall"))).status == "regressed"
    )


def test_a_reference_workload_takes_the_machines_state_out() -> None:
    # Everything takes a fifth longer, the reference workload too: nothing has changed.
    scale = scale_of(
        {"clock": "cpu", "reference_workload": "y"}, {"clock": "cpu", "reference_workload": "y"}
    )
    assert scale == Scale("cpu", in_reference_workloads=True)
    baseline = [at(0.1, reference_workload=0.001)] * 10
    busy = [at(0.12, reference_workload=0.0012)] * 3
    verdict = time_verdict(baseline, busy, [], TimeRule(scale))
    assert (verdict.status, verdict.value) == ("unchanged", pytest.approx(0.1))
    # The network takes a fifth longer on a machine as fast as before, and on one twice as fast.
    for speed in (1.0, 0.5):
        slow = [at(0.12 * speed, reference_workload=0.001 * speed)] * 3
        verdict = time_verdict(baseline, slow, slow, TimeRule(scale))
        assert (verdict.status, verdict.value) == ("regressed", pytest.approx(0.12))


def test_a_process_run_without_its_reference_workload_is_not_judged() -> None:
    rule = TimeRule(Scale("cpu", in_reference_workloads=True))
    baseline = [at(0.1, reference_workload=0.001)] * 10
    verdict = time_verdict(baseline, [at(0.1, reference_workload=0.001)] * 2 + [at(0.1)], [], rule)
    assert (verdict.status, verdict.reason) == ("inconclusive", "too-few-process-runs")


def test_other_reference_workloads_are_no_reference_workload() -> None:
    then = {"clock": "cpu", "reference_workload": "sgemm 320 numpy 2.3.0"}
    assert scale_of(then, {**then, "reference_workload": "sgemm 320 numpy 2.4.0"}) == CPU
    assert scale_of(then) == Scale("cpu", in_reference_workloads=True)
    assert scale_of({"clock": "wall", "reference_workload": None}) == Scale("wall")
    with pytest.raises(ValueError, match="no reference workload"):
        at(1.0).level(Scale("cpu", in_reference_workloads=True))


def test_a_slow_mode_is_not_spread() -> None:
    # Two of ten processes were slow by 40 %: the spread is that of the eight others.
    fast = [at(0.1 * (1 + 0.001 * place)) for place in range(8)]
    known = spread([*fast, at(0.14), at(0.141)], CPU)
    assert (known.process_runs, known.slow) == (8, 2)
    assert known.center == spread(fast, CPU).center
    # (2 + 1) / (10 + 2) is a quarter: five quarters multiplied are less than a thousandth.
    assert known.confirmations == 5
    assert spread([*fast, at(0.1), at(0.1)], CPU).confirmations == 3
    # A third of them is no exception.
    many = spread([*fast[:6], at(0.14), at(0.14), at(0.14)], CPU)
    assert (many.process_runs, many.slow) == (9, 0)
    # What is fast alone is no mode of its own.
    assert spread([*fast, at(0.07), at(0.07)], CPU).slow == 0


def test_a_slow_mode_needs_more_confirmations() -> None:
    baseline = [*[at(0.1)] * 8, at(0.14), at(0.14)]
    for number, status in ((3, "inconclusive"), (4, "inconclusive"), (5, "regressed")):
        assert time_verdict(baseline, SLOWER, [at(0.12)] * number, RULE).status == status


@pytest.mark.parametrize(
    ("process_runs", "confirmations", "needed"),
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
    process_runs: list[ProcessRun], confirmations: list[ProcessRun], needed: bool
) -> None:
    assert needs_confirmation(BASELINE, process_runs, confirmations, RULE) is needed


# The clock of an accelerator


def on_device(device: float, wall: float = 0.1, *, others: float = 0.0) -> ProcessRun:
    return at(wall, others=others).with_device([device] * 5, queue_full=True)


ACCEPTED = [on_device(0.01)] * 10
DEVICE_RULE = TimeRule(DEVICE, relative=0.02)


def test_a_device_is_compared_by_its_own_clock_where_the_baseline_has_it() -> None:
    environment = {"clock": "wall", "reference_workload": None}
    assert scales_of(ACCEPTED, environment) == {"latency": Scale("wall"), "device_time": DEVICE}
    assert scales_of(BASELINE, environment) == {"latency": Scale("wall")}
    assert scales_of((), environment) == {"latency": Scale("wall")}


def test_a_small_change_of_a_device_is_found() -> None:
    slow = [on_device(0.0103)] * 3
    verdict = time_verdict(ACCEPTED, slow, slow, DEVICE_RULE, metric="device_time")
    assert (verdict.metric, verdict.status, verdict.reason) == (
        "device_time", "regressed", "slower"
    )  # fmt: skip
    assert verdict.sentence == (
        "10 ms -> 10.3 ms (+3.0%) in each of 3 fresh process runs; the threshold is 2%"
    )
    assert (verdict.baseline, verdict.value) == (pytest.approx(0.01), pytest.approx(0.0103))
    # The latency, of the same process runs, has not changed.
    assert time_verdict(ACCEPTED, slow, slow, TimeRule(Scale("wall"))).status == "unchanged"


def test_a_devices_own_spread_raises_its_threshold() -> None:
    # +-1 % in 10 process runs is a deviation of 1.054 %; times 4.297 and sqrt(1.1):
    # exp(0.0475) - 1.
    noisy = [on_device(0.01 * (1 + 0.01 * (-1) ** i)) for i in range(10)]
    slow = [on_device(0.0103)] * 3
    verdict = time_verdict(noisy, slow, slow, DEVICE_RULE, metric="device_time")
    assert verdict.status == "unchanged"
    assert verdict.threshold == pytest.approx(0.0487, abs=1e-4)
    assert verdict.sentence.endswith("the smallest change that this baseline finds is 4.9%")


def test_background_load_does_not_keep_a_device_from_being_judged() -> None:
    busy = [on_device(0.01, 0.2, others=0.5)] * 3
    assert time_verdict(ACCEPTED, busy, [], DEVICE_RULE).status == "unchanged"
    wall = time_verdict(ACCEPTED, busy, [], TimeRule(Scale("wall")))
    assert (wall.status, wall.reason) == ("inconclusive", "disturbed")


def test_process_runs_without_the_device_that_the_baseline_has_cannot_tell() -> None:
    verdict = time_verdict(ACCEPTED, [at(0.1)] * 3, [], DEVICE_RULE, metric="device_time")
    assert (verdict.status, verdict.reason) == ("inconclusive", "too-few-process-runs")
    # A machine that was busy besides is not what they lack.
    mixed = [at(0.1), at(0.1), on_device(0.01, others=0.5)]
    verdict = time_verdict(ACCEPTED, mixed, [], DEVICE_RULE, metric="device_time")
    assert verdict.sentence == "1 process runs, and a verdict needs 3"


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.02, "2%"), (0.0237, "2.4%"), (0.0996, "10%"), (0.1, "10%"), (0.268, "27%"), (1.56, "156%")],
)
def test_a_share_as_people_read_it(share: float, text: str) -> None:
    assert share_text(share) == text


def test_a_sentence_says_which_time_it_is_about() -> None:
    assert time_sentence("latency", "1 ms -> 2 ms") == "1 ms -> 2 ms"
    assert time_sentence("device_time", "1 ms -> 2 ms") == "device time: 1 ms -> 2 ms"
