"""Times are judged by process runs: fresh processes, a stored baseline, a confirmed suspicion."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import psutil
import pytest

from archbench.core.process_runs import STORED_QUANTILES, ProcessRun
from archbench.measure import background_load
from archbench.pytest_plugin import repeated, starting
from archbench.pytest_plugin.brought import Brought
from archbench.pytest_plugin.settings import Settings

pytestmark = pytest.mark.usefixtures("preloaded_python")

MODEL = "--archbench-models=small_net.py:small"
QUICK = ("--archbench-time-budget=0.1", "--archbench-gpu=cpu", MODEL)
TEST = """
    def test_latency(bench, loaded_model):
        bench.latency(loaded_model)
"""


@pytest.fixture
def project(suite: pytest.Pytester) -> pytest.Pytester:
    suite.makepyfile(test_time=TEST)
    return suite


class Processes:
    """Stands for fresh processes: each brings the median that it is told.

    Args:
        medians: of the wall and processor time; None for a process whose device throttled.
        lost: share of the time that each loses.
        device: medians by the clock of an accelerator; none for a CPU.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        *medians: float | None,
        lost: float = 0.0,
        device: Sequence[float] = (),
    ) -> None:
        self.medians = list(medians)
        self.lost = lost
        self.device = list(device)
        self.started: list[tuple[list[str], float]] = []
        monkeypatch.setattr(repeated, "measure_once", self)

    def __call__(
        self,
        config: Any,
        nodeids: list[str],
        time_budget: float,
        take: Callable[[str, Brought], object],
        began: Any = None,
    ) -> None:
        for nodeid, record in self.records(nodeids, time_budget).items():
            take(nodeid, Brought(record))

    def records(self, nodeids: list[str], time_budget: float) -> dict[str, Any]:
        from archbench.core.records import Record
        from archbench.core.spec import Target
        from archbench.core.verdicts import Verdict
        from archbench.devices.choosing import cpu_name, device_slug
        from archbench.measure.conditions import timing_environment

        self.started.append((list(nodeids), time_budget))
        median = self.medians.pop(0)
        name = cpu_name()
        target = Target("cpu", name, device_slug("cpu", name))
        if median is None:
            sentence = (
                f"the device lowered its clock in process run {len(self.started)}. Let it cool"
            )
            verdict = Verdict("latency", "inconclusive", "throttled", sentence)
            record = Record("local/small", target, verdicts=[verdict])
            return dict.fromkeys(nodeids, record)
        series = [median] * 5
        process_run = ProcessRun(
            (median,) * len(STORED_QUANTILES),
            (median,) * len(STORED_QUANTILES),
            5,
            self.lost,
            0.0,
            0.001,
        )
        if self.device:
            process_run = process_run.with_device([self.device.pop(0)] * 5, queue_full=True)
        record = Record(
            "local/small",
            target,
            {
                "latency": {
                    "unit": "s", "basis": "batch", "source": "measured", "samples": series,
                    "warmup": [median], "clock": "wall", "stopped_by": "time-budget",
                    "process_runs": [process_run],
                    "environment": timing_environment(target, "local"),
                },
                "cpu_time": {
                    "unit": "s", "basis": "batch", "source": "measured", "samples": series,
                    "clock": "process",
                },
            },
            seconds={"load": 0.1, "forward": 0.5},
        )  # fmt: skip
        return dict.fromkeys(nodeids, record)


def accept(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, *medians: float
) -> dict[str, Any]:
    Processes(monkeypatch, *(medians or [0.1] * 10))
    result = project.runpytest_inprocess(
        "test_time.py", *QUICK, "--archbench-baseline-update", "--archbench-baseline-reason=why"
    )
    result.assert_outcomes(passed=1)
    (path,) = (project.path / "baselines").glob("*/fp32.jsonl")
    (line,) = map(json.loads, path.read_text(encoding="utf-8").splitlines()[1:])
    return line


def test_process_runs_that_were_finished_are_kept_by_a_run_that_goes_on(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Processes(monkeypatch, *[0.1] * 3)

    def ends(*given: Any, **more: Any) -> None:
        if not first.medians:
            pytest.exit("told to end", pytest.ExitCode.INTERRUPTED)
        first(*given, **more)

    monkeypatch.setattr(repeated, "measure_once", ends)
    arguments = ("test_time.py", *QUICK, "--archbench-baseline-update")
    ended = project.runpytest_inprocess(*arguments)
    assert ended.ret == pytest.ExitCode.INTERRUPTED
    assert not (project.path / "baselines").exists()
    second = Processes(monkeypatch, *[0.2] * 7)
    result = project.runpytest_inprocess(*arguments, "--archbench-resume")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["Going on with *: 0 of 1 tests were done, and 3 measurements in processes of their own *"]
    )
    assert len(second.started) == 7
    (path,) = (project.path / "baselines").glob("*/fp32.jsonl")
    (line,) = map(json.loads, path.read_text(encoding="utf-8").splitlines()[1:])
    assert [one["wall"][0] for one in line["process_runs"]] == [0.1] * 3 + [0.2] * 7


def test_a_baseline_is_ten_process_runs_with_where_when_and_why(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = accept(project, monkeypatch)
    assert (line["id"], line["cell"], line["reason"]) == ("local/small", "fp32-b1", "why")
    assert len(line["process_runs"]) == 10
    assert len(line["process_runs"][0]["cpu"]) == len(STORED_QUANTILES)
    environment = line["environment"]
    assert environment["clock"] == "cpu"
    assert environment["torch"]
    assert environment["device_name"]
    assert line["when"].startswith("20")


def test_equal_times_are_unchanged_after_three_process_runs(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(project, monkeypatch)
    processes = Processes(monkeypatch, 0.1, 0.105, 0.102)
    result = project.runpytest_inprocess("test_time.py", *QUICK)
    result.assert_outcomes(passed=1)
    assert len(processes.started) == 3
    result.stdout.re_match_lines(
        [r"process 1 of 3: 1 cell in .*", r"small +local .* 102 .* unchanged"]
    )


def test_a_regression_is_confirmed_and_red(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(project, monkeypatch)
    processes = Processes(monkeypatch, *[0.12] * 6)
    result = project.runpytest_inprocess("test_time.py", *QUICK, "--junitxml=junit.xml")
    result.assert_outcomes(failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert len(processes.started) == 6
    result.stdout.fnmatch_lines(
        [
            "confirming a change, process 3: 1 cell in *",
            "regressed: local/small fp32-b1 on cpu*: 100 ms -> 120 ms (+20.0%) in each of 3 *",
            "Baseline: baselines/cpu*/fp32.jsonl:2, accepted 20*: why.",
            "If this is meant, run the same command with --archbench-baseline-update.",
        ]
    )
    assert 'failures="1"' in (project.path / "junit.xml").read_text(encoding="utf-8")


def test_a_regression_is_an_ordinary_failure(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(project, monkeypatch)
    project.makepyfile(test_other="def test_other():\n    pass\n")
    Processes(monkeypatch, *[0.12] * 6)
    result = project.runpytest_inprocess("test_time.py", "test_other.py", *QUICK, "-x")
    result.assert_outcomes(failed=1)  # and the other one is not run
    Processes(monkeypatch, *[0.12] * 6)
    result = project.runpytest_inprocess("test_time.py", "test_other.py", *QUICK, "--lf")
    result.assert_outcomes(failed=1)
    Processes(monkeypatch, *[0.12] * 6)
    result = project.runpytest_inprocess("test_time.py", *QUICK, "-p", "no:terminal")
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_what_changed_beside_the_time_is_reported(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A convolution without padding over 224 x 224, and the classifier.
    macs = 222 * 222 * 4 * 27 + 40
    assert accept(project, monkeypatch)["counts"] == {"params": 112 + 50, "macs": macs}
    text = (project.path / "small_net.py").read_text(encoding="utf-8")
    assert "nn.Conv2d(3, 4, 3)" in text
    project.makepyfile(
        small_net=text.replace("nn.Conv2d(3, 4, 3)", "nn.Conv2d(3, 4, 3, bias=False)")
    )
    Processes(monkeypatch, *[0.12] * 6)
    result = project.runpytest_inprocess("test_time.py", *QUICK)
    result.stdout.fnmatch_lines(["Since then: params 162 -> 158 (-4, -2.47 %)."])


def test_a_suspicion_that_is_not_confirmed_cannot_tell(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(project, monkeypatch)
    Processes(monkeypatch, 0.12, 0.12, 0.12, 0.12, 0.1, 0.12)
    result = project.runpytest_inprocess("test_time.py", *QUICK)
    result.assert_outcomes(passed=1)
    result.stdout.re_match_lines([r"small +local .* inconclusive"])
    Processes(monkeypatch, 0.12, 0.12, 0.12, 0.12, 0.1, 0.12)
    result = project.runpytest_inprocess("test_time.py", *QUICK, "--archbench-strict")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["inconclusive: local/small fp32-b1 *not in each of 2 fresh*"])


def test_an_improvement_is_reported_and_green(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(project, monkeypatch)
    Processes(monkeypatch, *[0.08] * 6)
    result = project.runpytest_inprocess("test_time.py", *QUICK)
    result.assert_outcomes(passed=1)
    result.stdout.re_match_lines([r"small +local .* improved"])


def test_process_runs_that_others_disturb_are_repeated_and_not_judged(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(project, monkeypatch)
    processes = Processes(monkeypatch, *[0.12] * 7, lost=0.6)
    result = project.runpytest_inprocess("test_time.py", *QUICK)
    result.assert_outcomes(passed=1)
    assert len(processes.started) == 3 + 4
    result.stdout.re_match_lines([r"small +local .* inconclusive"])


def test_other_hardware_is_not_comparable(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(project, monkeypatch)
    (path,) = (project.path / "baselines").glob("*/fp32.jsonl")
    text = path.read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    lines[1]["environment"]["logical_cores"] = 999
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    Processes(monkeypatch, *[0.12] * 6)
    result = project.runpytest_inprocess("test_time.py", *QUICK, "--archbench-strict")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["not-comparable: *: the baseline is of logical_cores 999, this is *"]
    )


def test_a_required_baseline_that_is_not_there(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess("test_time.py", *QUICK, "--archbench-baseline-required")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["no-baseline: local/small fp32-b1 on cpu*: no time has been acc*"])


def test_a_plain_run_takes_one_process_run(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = Processes(monkeypatch)
    result = project.runpytest_inprocess("test_time.py", *QUICK)
    result.assert_outcomes(passed=1)
    assert processes.started == []


def test_too_few_process_runs_are_no_baseline(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    Processes(monkeypatch, *[0.1] * 15, lost=0.6)
    result = project.runpytest_inprocess("test_time.py", *QUICK, "--archbench-baseline-update")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["archbench: 1 time was not accepted, local/small fp32-b1: a b*"])
    assert not list((project.path / "baselines").glob("*"))


@pytest.mark.parametrize("update", ["all", "new"])
def test_times_that_could_not_be_judged_or_are_a_glance_are_said_not_to_be_accepted(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, update: str
) -> None:
    options = ("test_time.py", *QUICK[1:], f"--archbench-baseline-update={update}")
    Processes(monkeypatch, *[None] * 15)
    result = project.runpytest_inprocess(*options, QUICK[0])
    result.assert_outcomes(skipped=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["archbench: 1 time was not accepted, *and the device lowered *"])
    glance = project.runpytest_inprocess(*options, "--archbench-quick")
    assert glance.ret == pytest.ExitCode.TESTS_FAILED
    glance.stdout.fnmatch_lines(["archbench: 1 time was not accepted, *-quick takes one. Leave *"])


def test_times_that_are_accepted_already_need_not_be_judged(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(project, monkeypatch)
    Processes(monkeypatch, *[None] * 15)
    result = project.runpytest_inprocess("test_time.py", *QUICK, "--archbench-baseline-update=new")
    result.assert_outcomes(skipped=1)
    assert "not accepted" not in result.stdout.str()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--archbench-processes=0",),
            "--archbench-processes=0: '0' is not a whole number of at l*",
        ),
        (("--archbench-processes=1,3",), "--archbench-processes=1,3: one number is expected*"),
        (
            ("--archbench-processes=4", "--archbench-baseline-update"),
            "--archbench-processes=4 with --archbench-baseline-update: a baseline needs 10 proc*",
        ),
        (("--archbench-baseline-reason=x",), "--archbench-baseline-reason=x: there is nothing*"),
    ],
)
def test_requests_that_make_no_sense(
    project: pytest.Pytester, arguments: tuple[str, ...], message: str
) -> None:
    result = project.runpytest_inprocess("test_time.py", *QUICK, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{message}"])


@pytest.mark.parametrize("option", ["strict", "baseline-required"])
def test_a_glance_is_no_gate(project: pytest.Pytester, option: str) -> None:
    result = project.runpytest_inprocess(
        "test_time.py", MODEL, "--archbench-quick", f"--archbench-{option}"
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*--archbench-quick with --archbench-{option}: a glance compa*"])


def test_new_still_compares_what_is_there(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(project, monkeypatch)
    processes = Processes(monkeypatch, *[0.12] * 6)
    result = project.runpytest_inprocess("test_time.py", *QUICK, "--archbench-baseline-update=new")
    result.assert_outcomes(failed=1)
    assert len(processes.started) == 6


def test_a_network_that_fails_in_its_process_runs_has_crashed(project: pytest.Pytester) -> None:
    project.makepyfile(
        failing="""
        import os
        from small_net import Small

        class Failing(Small):
            def forward(self, x):
                if "ARCHBENCH_PADDING" in os.environ:
                    raise RuntimeError("only there")
                return super().forward(x)
        """
    )
    result = project.runpytest_subprocess(
        "test_time.py",
        *QUICK[:2],
        "--archbench-models=failing.py:Failing",
        "--archbench-processes=3",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["crashed: local/Failing: it failed in a process of its own: *RuntimeError: only there *"]
    )


def test_a_network_that_is_another_one_in_each_process_is_not_measured(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(
        varying="""
        from pathlib import Path
        from torch import nn

        def varying():
            file = Path(__file__).with_name("built.txt")
            built = len(file.read_text()) if file.exists() else 0
            file.write_text("x" * (built + 1))
            layers = [nn.Linear(10, 10, bias=False) for _ in range(built)]
            return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 10, bias=False), *layers)
        """
    )
    result = project.runpytest_subprocess(
        "test_time.py", *QUICK[:2], "--archbench-models=varying.py:varying@8",
        "--archbench-processes=2",
    )  # fmt: skip
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["not-measured: local/varying@8 was built with 1,920 and 2,020 and 2,120 parameters in *"]
    )


def test_a_test_that_its_process_runs_skip_is_not_measured(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_time="""
        import os
        import pytest

        def test_latency(bench, loaded_model):
            if "ARCHBENCH_PADDING" in os.environ:
                pytest.skip("not there")
            bench.latency(loaded_model)

        def test_other(bench, loaded_model):
            bench.latency(loaded_model)
        """
    )
    result = project.runpytest_subprocess("test_time.py", *QUICK, "--archbench-processes=2")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["not-measured: local/small: none of its process runs measured any*"]
    )


def test_cells_of_other_names_and_parameters_are_compared(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makepyfile(
        test_time="""
        import pytest

        @pytest.mark.parametrize("way", ["a", "b-c"])
        def test_latency(bench, loaded_model, way):
            bench.latency(loaded_model)
        """
    )
    processes = Processes(monkeypatch, *[0.1] * 3)
    result = project.runpytest_inprocess("test_time.py", *QUICK, "--archbench-processes=3")
    result.assert_outcomes(passed=2)
    assert [len(nodeids) for nodeids, _ in processes.started] == [2, 2, 2]


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["one process", "a worker"])
def test_real_process_runs(project: pytest.Pytester, workers: tuple[str, ...]) -> None:
    result = project.runpytest_subprocess(
        "test_time.py", *QUICK, "--archbench-processes=2", "--archbench-results=r.json", *workers
    )
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["process 2 of 2: 1 cell in *"])
    (cell,) = json.loads((project.path / "r.json").read_text(encoding="utf-8"))["cells"]
    latency = cell["metrics"]["latency"]
    assert len(latency["process_runs"]) == 2
    # A process run is the fastest of its placements; samples of all of them are kept.
    assert len(latency["samples"]) > sum(one["samples"] for one in latency["process_runs"])
    assert all(one["reference_workload"] > 0 for one in latency["process_runs"])
    assert latency["environment"]["reference_workload"].startswith("sgemm 320 numpy ")
    assert not list((project.path / ".archbench" / "processes").glob("*"))


def test_a_process_that_is_killed_ends_its_cell_alone_as_in_a_plain_run(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(
        deadly="""
        import os
        from small_net import Small

        def deadly():
            if "ARCHBENCH_PADDING" in os.environ:  # in a process run
                os.kill(os.getpid(), 9)
            return Small()
        """
    )
    result = project.runpytest_subprocess(
        "test_time.py", *QUICK, "--archbench-models=deadly.py:deadly", "--archbench-processes=4",
        "--archbench-results=r.json",
    )  # fmt: skip
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "out-of-memory: local/deadly: a process of its own was lost over it: its process was "
            "killed*"
        ]
    )
    cells = json.loads((project.path / "r.json").read_text(encoding="utf-8"))["cells"]
    (verdict,) = next(cell for cell in cells if cell["id"] == "local/deadly")["verdicts"]
    assert (verdict["status"], verdict["reason"]) == ("out-of-memory", "killed")


@pytest.mark.parametrize(
    ("busy", "chosen"),
    [([90.0, 4.0], {1}), ([0.0, 100.0], {0}), ([8.0, 0.0], {0, 1}), ([50.0], {0, 1})],
)
def test_a_process_run_stays_on_a_free_core(
    monkeypatch: pytest.MonkeyPatch, busy: list[float], chosen: set[int]
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval, percpu: busy)
    monkeypatch.setattr(starting, "settings_of", lambda _: Settings())
    config: Any = None
    found = {starting.free_core(config, random.Random(seed)) for seed in range(20)}
    assert found == chosen


def test_what_others_do_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    class Times:
        def __init__(self, **fields: float) -> None:
            self.fields = fields

        def _asdict(self) -> dict[str, float]:
            return self.fields

    readings = [Times(user=10.0, system=1.0, idle=50.0), Times(user=13.0, system=1.5, idle=50.5)]
    monkeypatch.setattr(psutil, "cpu_times", lambda: readings.pop(0))
    monkeypatch.setattr(time, "process_time", iter([0.0, 1.5]).__next__)
    monkeypatch.setattr(time, "perf_counter", iter([0.0, 2.0]).__next__)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    # 3.5 s were worked, 1.5 of them by us, on 2 cores in 2 s.
    assert background_load.BackgroundLoad().share() == 0.5
