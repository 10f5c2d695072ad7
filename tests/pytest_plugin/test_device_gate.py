"""The time by an accelerator's own clock in whole runs, with process runs that bring one."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from archbench.core.entries import MetricEntry
from archbench.core.joined import merged
from archbench.core.process_runs import ProcessRun
from archbench.core.records import Record
from archbench.core.verdicts import Note, Verdict
from archbench.pytest_plugin.repeated import Repeated
from tests.pytest_plugin.test_memory_gate import as_schema_2, verdicts
from tests.pytest_plugin.test_time_gate import QUICK, TEST, Processes

pytestmark = pytest.mark.usefixtures("preloaded_python")

__all__ = ["project"]

RUN = (*QUICK, "--archbench-results=r.json")


@pytest.fixture
def project(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with an accepted latency of 100 ms, 10 ms of it the device's."""
    suite.makepyfile(test_time=TEST)
    Processes(monkeypatch, *[0.1] * 10, device=[0.01] * 10)
    result = suite.runpytest_inprocess("test_time.py", *QUICK, "--archbench-baseline-update")
    result.assert_outcomes(passed=1)
    return suite


def test_equal_times_are_unchanged_by_both_clocks(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = (project.path / "baselines").glob("*/fp32.jsonl")
    (line,) = map(json.loads, path.read_text(encoding="utf-8").splitlines()[1:])
    assert [run["device"] for run in line["process_runs"]] == [[0.01] * 9] * 10
    processes = Processes(monkeypatch, *[0.1] * 3, device=[0.01, 0.0101, 0.0102])
    result = project.runpytest_inprocess("test_time.py", *RUN)
    result.assert_outcomes(passed=1)
    assert len(processes.started) == 3
    found = verdicts(project.path)
    assert [found[name]["status"] for name in ("latency", "device_time")] == ["unchanged"] * 2
    # 10 % is what the latency tolerates, 2 % what the device does.
    assert [found[name]["tolerance"] for name in ("latency", "device_time")] == [0.1, 0.02]
    result.stdout.fnmatch_lines(["Times: 2 unchanged."])


def test_a_slower_device_is_confirmed_and_red_though_the_latency_is_the_same(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = Processes(monkeypatch, *[0.1] * 6, device=[0.0103] * 6)
    result = project.runpytest_inprocess("test_time.py", *RUN, "--junitxml=junit.xml")
    result.assert_outcomes(failed=1)
    assert len(processes.started) == 6
    result.stdout.re_match_lines(
        [
            r"confirming a change, process 3: 1 cell in .*",
            r"regressed: local/small fp32-b1 on cpu.*: device time: 10 ms -> 10.3 ms \(\+3.0%\) "
            r"in each of 3 fresh process runs; the threshold is 2%",
            r"Baseline: baselines/cpu.*/fp32.jsonl:2, accepted 20",
            r"small +local .* regressed",
            r"Times: 1 unchanged, 1 regressed\.",
        ]
    )
    found = verdicts(project.path)
    assert (found["latency"]["status"], found["device_time"]["status"]) == (
        "unchanged", "regressed"
    )  # fmt: skip
    junit = (project.path / "junit.xml").read_text(encoding="utf-8")
    assert '<property name="verdict_latency" value="unchanged" />' in junit
    assert '<property name="verdict_device_time" value="regressed" />' in junit


def test_a_slower_host_is_red_though_the_device_is_the_same(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = Processes(monkeypatch, *[0.12] * 6, device=[0.01] * 6)
    result = project.runpytest_inprocess("test_time.py", *RUN)
    result.assert_outcomes(failed=1)
    assert len(processes.started) == 6
    result.stdout.fnmatch_lines(["regressed: local/small fp32-b1 on cpu*: 100 ms -> 120 ms (+*"])
    result.stdout.no_fnmatch_line("*device time:*")


def test_what_one_clock_has_decided_the_process_runs_of_the_other_do_not_undo(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two slow process runs of ten make a slow mode: the device needs five that agree, the host
    # three.
    Processes(monkeypatch, *[0.1] * 10, device=[*[0.01] * 8, 0.014, 0.014])
    update = project.runpytest_inprocess("test_time.py", *QUICK, "--archbench-baseline-update")
    update.assert_outcomes(passed=1)
    walls = [*[0.12] * 6, 0.1, 0.1]
    processes = Processes(monkeypatch, *walls, device=[0.0103] * 8)
    result = project.runpytest_inprocess("test_time.py", *RUN)
    result.assert_outcomes(failed=1)
    assert len(processes.started) == 3 + 5
    result.stdout.fnmatch_lines(
        [
            "regressed: *: 100 ms -> 120 ms (+20.0%) in each of 3 fresh process runs; *",
            "regressed: *: device time: 10 ms -> 10.3 ms (+3.0%) in each of 5 fresh process runs;*",
        ]
    )


def test_a_baseline_from_before_says_nothing_of_the_device(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_schema_2(project, without=("device", "queue_full"))
    processes = Processes(monkeypatch, *[0.1] * 3, device=[0.02] * 3)
    result = project.runpytest_inprocess("test_time.py", *RUN)
    result.assert_outcomes(passed=1)
    assert len(processes.started) == 3
    assert set(verdicts(project.path)) == {"latency"}


def test_the_project_sets_the_tolerance_of_the_device(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.path / "archbench.toml").write_text(
        "[[tolerance]]\nmetric = 'device_time'\nrelative = '5 %'\n", encoding="utf-8"
    )
    processes = Processes(monkeypatch, *[0.1] * 3, device=[0.0103] * 3)
    result = project.runpytest_inprocess("test_time.py", *RUN)
    result.assert_outcomes(passed=1)
    assert len(processes.started) == 3
    assert verdicts(project.path)["device_time"]["tolerance"] == 0.05


def test_other_hardware_is_not_comparable_by_any_clock(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = (project.path / "baselines").glob("*/fp32.jsonl")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    lines[1]["environment"]["processor"] = "another"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    Processes(monkeypatch, *[0.1] * 3, device=[0.01] * 3)
    result = project.runpytest_inprocess("test_time.py", *RUN)
    result.assert_outcomes(passed=1)
    assert {verdict["reason"] for name, verdict in verdicts(project.path).items()} == {
        "other-processor"
    }


def of_process(number: int, queue_full: bool | None, **discarded: Any) -> Record:
    run = ProcessRun.of([0.1] * number, [0.1] * number)
    latency: MetricEntry = {"samples": [0.1], "warmup": [0.1], "process_runs": [run]}
    device: Any = {
        "samples": [0.01 * number], "bursts": number, "queue_full": queue_full,
        "discarded": [], "clock": "device", "parts": number, **discarded,
    }  # fmt: skip
    return Record(
        "timm/a", None, {"latency": latency, "cpu_time": {"samples": [0.1]}, "device_time": device}
    )


def test_device_times_of_several_processes_are_one_series() -> None:
    first, second = of_process(1, True), of_process(2, False, discarded=[["thermal-slowdown"]])
    assert merged([first, second]).metrics["device_time"] == {
        "samples": [0.01, 0.02], "bursts": 3, "queue_full": False,
        "discarded": [["thermal-slowdown"]], "clock": "device", "parts": 2,
    }  # fmt: skip
    full = merged([of_process(1, True), of_process(2, True)])
    assert full.metrics["device_time"]["queue_full"] is True
    unheld = merged([of_process(1, None), of_process(2, None)])
    assert unheld.metrics["device_time"]["queue_full"] is None


# Process runs whose device throttled throughout


def test_a_throttled_process_run_is_lost_and_another_takes_its_place(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = Processes(monkeypatch, 0.1, None, 0.1, None, 0.1, device=[0.01] * 3)
    result = project.runpytest_inprocess("test_time.py", *RUN)
    result.assert_outcomes(passed=1)
    assert len(processes.started) == 3 + 2
    result.stdout.fnmatch_lines(
        [
            "Too few process runs of 1 cell can be judged (the device lowered its clock in process "
            "run 2): at most 4 processes more.",
            "process 1 of at most 4 more: 1 cell in *",
            "process 2 of at most 4 more: 1 cell in *",
        ]
    )
    assert result.stdout.str().count("Too few process runs") == 1
    (cell,) = json.loads((project.path / "r.json").read_text(encoding="utf-8"))["cells"]
    assert [verdict["status"] for verdict in cell["verdicts"]] == ["unchanged"] * 3
    assert cell["notes"] == [
        {
            "code": "process-runs-lost",
            "text": "2 process runs were lost, the last since the device lowered its clock in "
            "process run 4. Let it cool",
        }
    ]


def test_a_cell_that_lost_all_of_its_process_runs_is_inconclusive(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    Processes(monkeypatch, None, None, None)
    result = project.runpytest_inprocess("test_time.py", *RUN, "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        ["*inconclusive: the device lowered its clock in process run 3. Let it cool"]
    )
    (cell,) = json.loads((project.path / "r.json").read_text(encoding="utf-8"))["cells"]
    (verdict,) = cell["verdicts"]
    assert (verdict["metric"], verdict["status"], verdict["reason"]) == (
        "latency", "inconclusive", "throttled"
    )  # fmt: skip
    Processes(monkeypatch, None, None, None)
    result = project.runpytest_inprocess("test_time.py", *RUN, "--archbench-strict")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["inconclusive: the device lowered its clock in process run 3. Let*"]
    )
    result.stdout.no_fnmatch_line("*process-runs-without-times*")


def test_confirmations_that_were_lost_are_named(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = Processes(monkeypatch, *[0.12] * 3, *[None] * 8, device=[0.01] * 3)
    result = project.runpytest_inprocess("test_time.py", *RUN, "--archbench-strict")
    result.assert_outcomes(failed=1)
    assert len(processes.started) == 3 + 8
    result.stdout.fnmatch_lines(
        [
            "inconclusive: *: 0 confirming process runs, and a verdict needs 3",
            "8 process runs were lost, the last since the device lowered its clock in process run*",
        ]
    )


def test_a_process_run_that_fails_is_still_against_the_cell() -> None:
    item = Repeated()
    item.fail(Verdict("latency", "inconclusive", "throttled", "it was hot"))
    assert (item.died, item.lost) == (None, [("throttled", "it was hot")])
    assert item.note == Note(
        "process-runs-lost", "1 process run was lost, the last since it was hot"
    )
    item.fail(Verdict("latency", "out-of-memory", "out-of-memory", "no"))
    sentence = "it failed in a process of its own: no"
    assert item.died == Verdict("latency", "out-of-memory", "out-of-memory", sentence)
    assert msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(item))), Repeated) == item
    assert Repeated().note is None


def test_real_process_runs_that_are_disturbed_throughout(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_time=TEST,
        hot="""
        import os
        from archbench.core.errors import InconclusiveError
        from small_net import Small

        class Hot(Small):
            passes = 3  # that loading may make

            def forward(self, x):
                self.passes -= 1
                if "ARCHBENCH_PADDING" in os.environ and self.passes < 0:  # in a process run
                    raise InconclusiveError("throttled", "it was hot. Let it cool down")
                return super().forward(x)
        """,
    )
    result = suite.runpytest_subprocess(
        "test_time.py",
        *QUICK[:2],
        "--archbench-models=hot.py:Hot",
        "--archbench-processes=2",
        "-rs",
    )
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*inconclusive: it was hot. Let it cool down"])
