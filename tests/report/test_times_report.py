"""What is said about verdicts on time below the table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from archbench.core.records import Record, SinceLastRun
from archbench.core.spec import Target
from archbench.core.verdicts import Note, Verdict
from archbench.report.summary_lines import last_run_lines, time_lines
from archbench.report.table import doubts, times

TARGET = Target("cpu", "X", "cpu")
AGAIN = (
    "  Run it again while less else runs on this machine. A baseline of which that stays so is "
    "accepted anew: the same command with --baseline-update"
)


def cell(model: str, status: str, **fields: Any) -> Record:
    verdict = Verdict("latency", status, "r", "s", **fields)
    return Record(model, TARGET, {"latency": {"process_runs": []}}, verdicts=[verdict])


def test_nothing_about_what_was_not_timed() -> None:
    counted = Verdict("complexity", "unchanged", "equal", "s")
    over = Verdict("latency", "regressed", "over-budget", "s", budget="latency_p50 <= 1 ms")
    assert time_lines([Record("a", verdicts=[counted, over])], accepting=False) == []


def test_states_and_what_to_type() -> None:
    cells = [
        cell("timm/a", "unchanged", threshold=0.1, tolerance=0.1),
        cell("timm/b", "improved", threshold=0.1, tolerance=0.1),
        cell("timm/c", "improved", threshold=0.1, tolerance=0.1),
        cell("timm/d", "no-baseline"),
    ]
    assert time_lines(cells, accepting=False) == [
        "Times: 1 unchanged, 1 no-baseline, 2 improved.",
        "  Accept what improved: the same command with --models=timm/b,timm/c --baseline-update",
        "  Accept what has no baseline: the same command with --baseline-update=new",
    ]
    assert time_lines(cells, accepting=True) == ["Times: 1 unchanged, 1 no-baseline, 2 improved."]


def test_what_could_not_be_decided_is_said() -> None:
    lines = time_lines([cell("timm/a", "inconclusive")], accepting=False)
    assert lines == [
        "Times: 1 inconclusive.",
        "  timm/a fp32-b1: s",
        AGAIN,
    ]
    assert time_lines([cell("timm/a", "not-comparable")], accepting=False)[2:] == [
        "  Accept a baseline of this machine: the same command with --baseline-update"
    ]


def test_what_a_runtime_that_computes_something_else_takes_is_no_time() -> None:
    other = cell("local/a", "no-baseline")
    other.metrics["latency"]["samples"] = [0.1] * 9
    other.notes.append(Note("noisy", "s"))
    assert times(other)[0] == "~100"
    for reason in ("output-differs", "output-not-repeatable"):
        other.verdicts[1:] = [Verdict("output_difference", "not-measured", reason, "s")]
        assert time_lines([other], accepting=False) == ["Times: 1 not-measured."]
        # What is not shown is not marked.
        assert times(other)[0] == "-"
        assert doubts([other]) == []


def test_what_has_no_time_is_counted_where_nothing_is_compared() -> None:
    unsteady = Record("local/a", TARGET, {"latency": {"samples": [0.1] * 9}})
    unsteady.verdicts = [
        Verdict("output_difference", "not-measured", "output-not-repeatable", "s", budget="b")
    ]
    broken = cell("local/b", "not-measured")
    assert time_lines([unsteady], accepting=False) == ["Times: 1 not-measured."]
    assert time_lines([unsteady, broken], accepting=False) == ["Times: 2 not-measured."]


def test_ones_own_are_not_named() -> None:
    lines = time_lines([cell("local/a", "improved")], accepting=False)
    assert lines[1] == "  Accept what improved: the same command with --baseline-update"


def test_a_tolerance_below_what_can_be_found() -> None:
    cells = [
        cell("timm/a", "unchanged", threshold=0.1, tolerance=0.1),
        cell("timm/b", "unchanged", threshold=0.12, tolerance=0.1),
        cell("timm/c", "unchanged", threshold=0.28, tolerance=0.1),
    ]
    assert time_lines(cells, accepting=False)[1] == (
        "  In 2 of 3 the tolerance, 10%, is below what the baseline's spread allows to find: "
        "12% to 28% (timm/c fp32-b1). A baseline made on a quieter machine finds less."
    )


def test_a_devices_time_is_reported_from_the_latency() -> None:
    unclear, coarse = (cell("timm/a", "inconclusive"), cell("timm/b", "unchanged"))
    unclear.verdicts = [replace(unclear.verdicts[0], metric="device_time")]
    first = replace(coarse.verdicts[0], threshold=0.1, tolerance=0.1)
    coarse.verdicts = [
        first, replace(first, metric="device_time", threshold=0.031, tolerance=0.02)
    ]  # fmt: skip
    assert time_lines([unclear, coarse], accepting=False) == [
        "Times: 2 unchanged, 1 inconclusive.",
        "  timm/a fp32-b1: device time: s",
        AGAIN,
        "  In 1 of 2 the tolerance of device time, 2%, is below what the baseline's spread allows "
        "to find: 3.1% (timm/b fp32-b1). A baseline made on a quieter machine finds less.",
    ]


def test_the_changes_since_the_last_run() -> None:
    assert last_run_lines({}) == []
    last = {("timm/a", "k"): SinceLastRun("20261101T000000Z-1", 0.0123)}
    line = "Since the last run in this environment (20261101T000000Z-1): +1.2 %"
    assert last_run_lines(last) == [f"{line}. Only baselines are judged."]
    last[("timm/b", "k")] = SinceLastRun("20261101T000000Z-1", -0.05)
    last[("timm/c", "k")] = SinceLastRun("20261102T000000Z-1", 0.02)
    assert last_run_lines(last) == [
        "Since the last run in this environment (20261102T000000Z-1, 20261101T000000Z-1): "
        "-5.0 % (timm/b) to +2.0 % (timm/c), median +1.2 %. Only baselines are judged."
    ]
