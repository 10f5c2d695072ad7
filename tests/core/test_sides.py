"""Two sides compared: the sentence, counts, outputs, and where the time went."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from archbench.core.differences import ModuleTime, agreement, attribution
from archbench.core.entries import Count, MetricEntry
from archbench.core.rounds import Burst, PairedRun, Round, default_rules, judge_rounds
from archbench.core.side_facts import SideFacts
from archbench.core.sides import (
    accept_changes,
    breaks_changed,
    compiling_text,
    count_changes,
    paired_verdict,
    run_alike,
    versions_changed,
)
from archbench.core.spec import Target
from archbench.core.telemetry import TelemetrySample
from archbench.core.verdicts import Verdict
from tests.core.lines import count_line

RULES = default_rules("cpu", 1)


def run(ratio: float, waited: float = 0.0) -> PairedRun:
    """Twenty rounds in which the candidate takes so many times the reference's 10 ms."""
    reference, candidate = (
        Burst(series, series, (), waited)
        for series in ((0.015, 0.010, 0.012), tuple(ratio * s for s in (0.015, 0.010, 0.012)))
    )
    return PairedRun([Round(reference, candidate, False)] * 20)


def test_a_regression_says_by_how_much_and_from_what() -> None:
    process_runs = [run(1.05)] * 4
    verdict = paired_verdict(judge_rounds(process_runs, RULES), process_runs, RULES)
    assert (verdict.metric, verdict.status, verdict.reason) == ("latency", "regressed", "slower")
    assert verdict.baseline == pytest.approx(0.010)
    assert verdict.value == pytest.approx(0.0105)
    # 80 rounds of passes of 3.7 times 10 ms and 3.7 times 10.5 ms.
    assert verdict.sentence == (
        "10 ms -> 10.5 ms of processor time (+5.0 %, 95 % interval +5.0 % to +5.0 %) in 80 rounds "
        "of 4 process runs, 6.1 s; at most 1 % is tolerated"
    )


def test_a_ratio_that_is_not_that_of_the_times_beside_it_says_what_it_is() -> None:
    pairs = [((0.010,), (0.021,)), ((0.020,), (0.0205,)), ((0.030,), (0.031,))] * 10
    rounds = [Round(Burst(a, a, (), 0.0), Burst(b, b, (), 0.0), False) for a, b in pairs]
    process_runs = [PairedRun(rounds)] * 4
    verdict = paired_verdict(judge_rounds(process_runs, RULES), process_runs, RULES)
    # 31 / 30 lies between 20.5 / 20 and 21 / 10; 21 is the middle time of the candidate.
    assert verdict.sentence.startswith(
        "20 ms -> 21 ms of processor time (median of the rounds +3.3 %, 95 % interval "
    )


def test_what_is_unchanged_says_what_is_ruled_out_and_what_was_not_judged() -> None:
    process_runs = [run(1.0, waited=0.002)]
    verdict = paired_verdict(judge_rounds(process_runs, RULES), process_runs, RULES)
    assert verdict.status == "unchanged"
    assert verdict.sentence.endswith(
        "in 20 rounds of 1 process run, 1.5 s; a change of 3.5 % is ruled out; others took too "
        "much of the machine to judge wall time"
    )


def test_a_slow_down_that_a_rule_of_the_project_tolerates_says_so() -> None:
    rules = [
        replace(one, rule=replace(one.rule, tolerated_change=1.65, equivalence_margin=1.70))
        for one in RULES
    ]
    process_runs = [run(2.5)] * 4
    verdict = paired_verdict(judge_rounds(process_runs, rules), process_runs, rules)
    assert verdict.status == "unchanged"
    assert verdict.sentence.endswith("a change of 170 % is ruled out, and 165 % is tolerated")


def test_what_cannot_be_judged_is_in_none_of_the_figures() -> None:
    """Each of its passes took 30 ms more on both sides."""
    lost = Burst((0.045,) * 3, (0.015,) * 3, (), 0.09)
    process_runs = [PairedRun([Round(lost, lost, False)] * 100), *[run(1.05)] * 4]
    verdict = paired_verdict(judge_rounds(process_runs, RULES), process_runs, RULES)
    assert verdict.status == "regressed"
    assert verdict.sentence.startswith("10 ms -> 10.5 ms of processor time (+5.0 %, ")
    # 6.068 s of bursts that are judged, and 100 rounds of twice three passes of 45 ms.
    assert " in 80 rounds of 4 process runs (1 more cannot be judged), 33.1 s; " in verdict.sentence


def test_without_a_process_run_that_can_be_judged_the_reason_is_reported() -> None:
    process_runs = [run(1.0, waited=0.03)] * 8
    verdict = paired_verdict(judge_rounds(process_runs, RULES), process_runs, RULES)
    assert (verdict.status, verdict.reason) == ("inconclusive", "disturbed")
    assert verdict.sentence == "no process run can be judged: others took 81% of the time"
    process_runs = [run(1.0, waited=waited) for waited in (0.03, 0.028) * 4]
    verdict = paired_verdict(judge_rounds(process_runs, RULES), process_runs, RULES)
    assert verdict.sentence == "no process run can be judged: others took 76% to 81% of the time"


def test_batches_of_other_sizes_are_reported_by_the_image() -> None:
    one = Round(Burst((0.02,), (0.020,), (), 0.0), Burst((0.012,), (0.012,), (), 0.0), False)
    process_runs = [PairedRun([one] * 20, images=(2, 1))] * 4
    verdict = paired_verdict(judge_rounds(process_runs, RULES), process_runs, RULES)
    # 20 ms for two images are 10 ms for one; the other side takes 12.
    assert verdict.sentence.startswith(
        "10 ms -> 12 ms of processor time per image (+20.0 %, 95 % interval +20.0 % to +20.0 %)"
    )
    assert (verdict.baseline, verdict.value) == (0.020, 0.012)


def test_a_change_that_is_the_clocks_is_reported_in_cycles() -> None:
    def at(seconds: float, clock: float) -> Burst:
        return Burst(
            (0.02,),
            (0.02,),
            (seconds,),
            0.0,
            telemetry=(TelemetrySample(clock), TelemetrySample(clock)),
        )

    rules = default_rules("cuda", 1)
    one = Round(at(0.010, 1.5e9), at(0.0105, 1.4e9), False)
    process_runs = [PairedRun([one] * 20)] * 3
    verdict = paired_verdict(judge_rounds(process_runs, rules), process_runs, rules)
    assert (verdict.status, verdict.reason) == ("inconclusive", "clock")
    # 10.5 ms at 1.4 GHz are 14.7 million cycles, 10 ms at 1.5 GHz are 15 million.
    assert verdict.sentence == (
        "10 ms -> 10.5 ms of device time (+5.0 %, 95 % interval +5.0 % to +5.0 %) in 60 rounds of "
        "3 process runs, 2.4 s; multiplied by the device's clock, -2.0 % of cycles (95 % interval "
        "-2.0 % to -2.0 %): it did not run at the same clock for both"
    )


@pytest.mark.parametrize("kept", [0, 2])
def test_a_device_that_was_slowed_again_and_again(kept: int) -> None:
    rules = default_rules("cuda", 1)
    same = Burst((0.02,), (0.02,), (0.01,), 0.0)
    both = ("low-clock", "thermal-slowdown")
    hot: list[tuple[str, ...]] = [("thermal-slowdown",)] * 4 + [both] * 2
    process_runs = [PairedRun([Round(same, same, False)] * kept, discarded=hot)]
    verdict = paired_verdict(judge_rounds(process_runs, rules), process_runs, rules)
    assert (verdict.status, verdict.reason) == ("inconclusive", "throttled")
    assert verdict.sentence == (
        f"the device was slowed in 6 rounds (thermal-slowdown, low-clock), and in {kept} it was "
        "not. Let it cool down, give it more power, or see what keeps its clock low"
    )


def test_counts_that_differ_are_changes() -> None:
    reference: dict[str, Count] = {"params": 200, "macs": 1000, "output_shape": [1, 10]}
    candidate: dict[str, Count] = {"params": 204, "macs": 1000, "output_shape": [1, 9]}
    changes = count_changes(reference, candidate)
    assert [(c.metric, c.status, c.baseline, c.value) for c in changes] == [
        ("params", "changed", 200, 204),
        ("output_shape", "changed", [1, 10], [1, 9]),
    ]
    assert [c.sentence for c in changes] == [
        "params 200 -> 204 (+4, +2 %)",
        "output shape 1x10 -> 1x9",
    ]
    assert count_changes(reference, reference) == []
    assert count_changes({"params": 200}, candidate) == [changes[0]]


ACCEPTED: dict[str, Count] = {"params": 204, "macs": 1000, "output_shape": [1, 9]}
COUNTS: dict[str, Count] = {
    "params": 204,
    "macs": 1000,
    "output_shape": [1, 9],
    "peak_memory": 5000,
}
MORE_PARAMS = Verdict("params", "changed", "differs", "", 200, 204)
MORE_MEMORY = Verdict("peak_memory", "changed", "differs", "", 4000, 5000)


@pytest.mark.parametrize(
    ("changes", "accepted", "peak", "reasons"),
    [
        # The accepted counts are what the candidate has; its memory follows from its layers.
        ([MORE_PARAMS], ACCEPTED, None, ["accepted"]),
        ([MORE_PARAMS, MORE_MEMORY], ACCEPTED, None, ["accepted", "accepted"]),
        # They are not, in the figure that changed or in another one.
        ([MORE_PARAMS], {**ACCEPTED, "params": 200}, None, ["differs"]),
        ([MORE_PARAMS], {**ACCEPTED, "macs": 999}, None, ["differs"]),
        ([MORE_PARAMS, MORE_MEMORY], {**ACCEPTED, "params": 200}, None, ["differs", "differs"]),
        ([MORE_PARAMS, MORE_MEMORY], None, None, ["differs", "differs"]),
        # With the same layers memory is accepted by itself.
        ([MORE_MEMORY], ACCEPTED, None, ["differs"]),
        ([MORE_MEMORY], ACCEPTED, 4000, ["differs"]),
        ([MORE_MEMORY], None, 5000, ["accepted"]),
        ([MORE_PARAMS, MORE_MEMORY], None, 5000, ["differs", "accepted"]),
        ([], ACCEPTED, 5000, []),
    ],
)
def test_what_has_been_accepted_is_said_to_be(
    changes: list[Verdict], accepted: dict[str, Any] | None, peak: float | None, reasons: list[str]
) -> None:
    line = None if accepted is None else count_line(**accepted)
    found = accept_changes(changes, COUNTS, line, peak)
    assert [change.reason for change in found] == reasons
    assert [replace(change, reason="differs") for change in found] == changes


def test_peak_memory_is_compared_to_the_byte() -> None:
    (change,) = count_changes({"peak_memory": 1_000_000}, {"peak_memory": 1_000_004})
    assert change.metric == "peak_memory"
    assert change.sentence == "peak memory in bytes 1,000,000 -> 1,000,004 (+4, +0.0004 %)"


@pytest.mark.parametrize(
    ("part", "field", "value", "alike"),
    [
        ("target", "dtype", "bf16", False),
        ("target", "batch_size", 2, False),
        ("target", "threads", 2, False),
        ("target", "memory_format", "nhwc", False),
        ("target", "runtime", "compiled", False),
        ("environment", "torch", "2.8", False),
        ("environment", "cudnn", "9", False),
        ("environment", "library", "timm 1.1", True),
        ("target", "slug", "other", True),
    ],
)
def test_memory_is_the_networks_where_both_are_run_alike(
    part: str, field: str, value: Any, alike: bool
) -> None:
    environment: dict[str, str | int | None] = {"torch": "2.9", "cudnn": None, "library": "timm 1"}
    usual = SideFacts("timm/a", Target("cpu", "X", "cpu-x"), environment=environment)
    other = {field: value}
    changed = (
        replace(usual, target=replace(usual.target, **other))
        if part == "target"
        else replace(usual, environment={**environment, **other})
    )
    assert run_alike(usual, usual)
    assert run_alike(usual, changed) is alike
    unknown = replace(usual, environment=None)
    assert run_alike(unknown, unknown)


def test_outputs_are_compared_number_by_number() -> None:
    agreed = agreement([[1.0, -4.0], [0.0, 2.0]], [[1.0, -4.0], [0.5, 0.0]])
    assert agreed is not None
    assert (agreed.absolute, agreed.relative) == (2.0, 0.5)
    # The second image is the first class now.
    assert (agreed.same_top1, agreed.images) == (1, 2)
    assert agreed.text == (
        "outputs differ by at most 2 (0.5 of the largest), the same top-1 in 1 of 2 images"
    )


def test_equal_outputs_and_outputs_of_other_shapes() -> None:
    equal = agreement([[0.0, 0.0]], [[0.0, 0.0]])
    assert equal is not None
    assert equal.text == "outputs are equal on 1 image"
    assert agreement([[0.0, 1.0]], [[0.0]]) is None
    assert agreement([], []) is None
    # Of two batch sizes the images that both have.
    both = agreement([[1.0]], [[1.0], [7.0]])
    assert both is not None
    assert both.images == 1
    beyond = agreement([[0.0]], [[1.0]])
    assert beyond is not None
    assert beyond.relative == math.inf


def test_versions_that_differ_are_named() -> None:
    assert versions_changed(
        {"timm": "1.0.20", "torch": "2.9"}, {"timm": "1.1", "torch": "2.9"}
    ) == ["timm 1.0.20 -> 1.1"]
    assert versions_changed({}, {"memory_format": "nhwc"}) == ["memory format absent -> nhwc"]


def test_what_compiling_took() -> None:
    def compiled(seconds: float, breaks: int) -> dict[str, MetricEntry]:
        return {"compile_time": {"value": seconds}, "graph_breaks": {"value": breaks}}

    assert compiling_text(compiled(38.04, 1)) == "compiled in 38.0 s with 1 graph break"
    assert compiling_text(compiled(4.0, 0)) == "compiled in 4.0 s with 0 graph breaks"
    assert compiling_text({}) is None
    assert breaks_changed(compiled(1, 0), compiled(2, 3)) == ["graph breaks 0 -> 3 (+3)"]
    assert breaks_changed(compiled(1, 3), compiled(2, 3)) == []
    assert breaks_changed({}, compiled(2, 3)) == []


def test_modules_that_grew_are_named_with_their_share() -> None:
    def turn(**seconds: float) -> dict[str, ModuleTime]:
        return {name: ModuleTime("Conv2d", value) for name, value in seconds.items()}

    growth, total = attribution(
        {
            "reference": [turn(a=0.001, b=0.002, d=0.001), turn(a=0.001, b=0.004, d=0.001)],
            "candidate": [turn(a=0.001, b=0.009, c=0.001, d=0.0)] * 3,
        }
    )
    # b from 3 ms to 9, c is new with 1 ms, d is 1 ms faster.
    assert total == pytest.approx(0.006)
    assert [one.text(total) for one in growth] == [
        "b (Conv2d): 3 ms -> 9 ms, +6.000 ms, 100% of the growth",
        "c (Conv2d): new -> 1 ms, +1.000 ms, 17% of the growth",
    ]


def test_a_module_of_another_type_is_another_module() -> None:
    growth, _ = attribution(
        {
            "reference": [{"2": ModuleTime("Flatten", 0.001)}],
            "candidate": [{"2": ModuleTime("Conv2d", 0.004)}],
        }
    )
    assert [(one.name, one.type, one.reference) for one in growth] == [("2", "Conv2d", None)]
    assert attribution({}) == ([], 0)
