"""--against: what the paired comparison tells becomes the outcome of the tests."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sysconfig
import venv
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from archbench.core.differences import ModuleTime
from archbench.core.entries import Count, Imported, MetricEntry
from archbench.core.errors import UsageError
from archbench.core.lines import CountLine, TimeLine
from archbench.core.process_runs import ProcessRun
from archbench.core.rounds import Burst, PairedRun, Round, default_rules, judge_rounds
from archbench.core.side_facts import Scores, SideFacts
from archbench.core.spec import Target
from archbench.core.telemetry import TelemetrySample
from archbench.devices import lease as leases
from archbench.measure import hardware
from archbench.models import process_state
from archbench.pytest_plugin import against
from archbench.store.baselines import update_baselines
from archbench.store.configuration import read_configuration
from archbench.workers.messages import VERSION, Failure, Hello
from archbench.workers.orders import Order
from archbench.workers.pairs import NoPairError
from archbench.workers.process import Patience, Worker
from archbench.workers.schedule import PairedCell
from tests.core.lines import count_line, time_line

pytestmark = pytest.mark.usefixtures("preloaded_python")

TEST = """
def test_latency(bench, loaded_model):
    assert bench.latency(loaded_model)["p50"] > 0
"""
ONE = ("test_time.py", "--archbench-models=small_net.py:small", "--archbench-gpu=cpu")

# Verdicts that no machine is too noisy for: one process run, factors instead of percents.
RULES = """
[[paired]]
clock = "cpu"
tolerated_change = "50 %"
equivalence_margin = "90 %"
alpha = 0.1
beta = 0.1
process_runs = 1

[[paired]]
clock = "wall"
tolerated_change = "300 %"
equivalence_margin = "900 %"
alpha = 0.1
beta = 0.1
process_runs = 1
"""


def git(directory: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=x", "-c", "user.email=x", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *identity, *arguments], cwd=directory, check=True, capture_output=True)


@pytest.fixture
def project(suite: pytest.Pytester) -> pytest.Pytester:
    """A project under version control with one small architecture."""
    suite.makepyfile(test_time=TEST)
    suite.makefile(".ini", pytest="[pytest]\npythonpath = .\n")
    (suite.path / ".gitignore").write_text(".archbench/\n__pycache__/\n", encoding="utf-8")
    git(suite.path, "init", "-q")
    git(suite.path, "add", ".")
    git(suite.path, "commit", "-qm", "reference")
    return suite


# With a paired comparison that is told what it finds.


class Scheduler:
    """Stands for the processes: each cell has its ratio, or its failure."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        ratio: float = 1.0,
        process_runs: int = 4,
        failures: Sequence[Failure] = (),
        **changed: Any,
    ) -> None:
        self.ratio, self.process_runs = ratio, process_runs
        self.failures, self.changed = tuple(failures), changed
        self.cells: list[str] = []
        monkeypatch.setattr(against, "run_schedule", self)

    def facts(self, side: str) -> SideFacts:
        counts: dict[str, Count] = {
            "params": 162, "macs": 5_322_852, "output_shape": [1, 2], "peak_memory": 80_000
        }  # fmt: skip
        scores = [0.5, 1.0]
        if side == "candidate":
            counts.update({name: value for name, value in self.changed.items() if name in counts})
            scores = self.changed.get("scores", scores)
        imported = self.changed.get("imported", {}).get(side, ())
        dtype = self.changed.get("dtype", "fp32") if side == "reference" else "fp32"
        return SideFacts(
            "local/small",
            Target("cpu", "Some CPU", "cpu-some", dtype=dtype),
            counts=counts,
            scores=Scores.of((1, len(scores)), struct.pack(f"<{len(scores)}f", *scores)),
            environment={"clock": "cpu", "python": "3.11.7", "torch": "2.9"},
            metrics=self.metrics(side),
            imported=tuple(Imported(**one) for one in imported),
        )

    def metrics(self, side: str) -> dict[str, MetricEntry]:
        if "compiled" not in self.changed:
            return {}
        seconds, breaks = self.changed["compiled"][side]
        return {"compile_time": {"value": seconds}, "graph_breaks": {"value": breaks}}

    def __call__(self, cells: Sequence[str], *_: Any, **__: Any) -> dict[str, PairedCell]:
        self.cells += cells
        if self.failures:
            return {cell: PairedCell(failures=self.failures) for cell in cells}
        rules = default_rules("cpu", 1)
        slow = 0.01 * self.ratio
        # Wall time in multiples of processor time.
        wall = self.changed.get("wall", 1.0)
        before, after = (Burst((wall * cpu,), (cpu,), (), (wall - 1) * cpu) for cpu in (0.01, slow))
        one = Round(before, after, False)
        process_runs = [PairedRun([one] * 20) for _ in range(self.process_runs)]
        timm = self.changed.get("timm", "1.0.31")
        turn = {"": ModuleTime("Small", 0.001)}
        return {
            cell: PairedCell(
                process_runs,
                rules,
                {side: self.facts(side) for side in ("reference", "candidate")},
                {
                    "reference": Hello(version=VERSION, versions={"timm": "1.0.31"}),
                    "candidate": Hello(version=VERSION, versions={"timm": timm}),
                },
                judgement=judge_rounds(process_runs, rules),
                modules={
                    "reference": [turn],
                    "candidate": [{"": ModuleTime("Small", 0.0015)}],
                }
                if self.ratio > 1.01
                else {},
            )
            for cell in cells
        }


def test_unchanged_is_green_and_in_the_table(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = Scheduler(monkeypatch)
    result = project.runpytest_inprocess(*ONE, "--archbench-against=HEAD")
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    assert scheduler.cells == ["test_time.py::test_latency[local/small-fp32-b1]"]
    result.stdout.re_match_lines(
        [
            r"paired comparison: work tree on \w{9}, against revision \w{9} \(HEAD\)",
            r"small +local .* 10 .* unchanged",
            r"Paired comparison: work tree on \w{9}, against revision .*; 2 s of bursts in 4 "
            r"process runs\.",
            r"  unchanged: local/small fp32-b1: 10 ms -> 10 ms of processor time \(\+0\.0 %, .*",
            r"Times: 1 unchanged\.",
        ]
    )


def test_a_time_on_the_wall_that_is_not_judged_is_marked(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scheduler(monkeypatch, 2.0, wall=1.4)
    result = project.runpytest_inprocess(*ONE, "--archbench-against=HEAD")
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines(
        [
            r".* 10 ms -> 20 ms of processor time .*; others took too much of the machine to judge "
            r"wall time",
            r"small +local .* ~28 .* regressed",
            r"~ too noisy to trust, 1 of 1: .*",
        ]
    )


def imported(name: str, version: str | None, path: str) -> dict[str, Any]:
    installed = "site-packages" in path
    return {"name": name, "version": version, "path": path, "is_installed": installed}


def test_whose_code_ran_is_said(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    timm = imported("timm", "1.0.31", "/env/site-packages/timm")
    own = imported("timm", "1.1", str(project.path / "timm"))
    net = imported("net", None, str(project.path / "nets" / "net.py"))
    many = [imported("more", None, f"/elsewhere/{index}.py") for index in range(7)]
    Scheduler(monkeypatch, 1.05, imported={"candidate": [own, net], "reference": many})
    result = project.runpytest_inprocess(*ONE, "--archbench-against=HEAD")
    elsewhere = ", ".join(f"/elsewhere/{index}.py" for index in range(6))
    result.stdout.re_match_lines(
        [
            rf"Code: timm 1\.1 \(\./timm\), \./nets/net\.py, against {elsewhere} and 1 more\.",
            r"  work tree on \w{9} ran timm 1\.1 \(\./timm\), \./nets/net\.py\.",
            rf"  revision \w{{9}} \(HEAD\) ran {elsewhere} and 1 more\.",
        ]
    )
    assert "no code of the project" not in result.stdout.str()
    Scheduler(monkeypatch, imported={"candidate": [timm], "reference": [timm]})
    said = (
        "  1 of 1 cells ran no code of the project, so that the revisions do not differ in it: "
        "local/small fp32-b1."
    )
    result = project.runpytest_inprocess(*ONE, "--archbench-against=HEAD")
    result.stdout.fnmatch_lines(["  work tree on * ran timm 1.0.31.", said])
    # Of one revision with other flags that is how it is meant.
    result = project.runpytest_inprocess(*ONE, "--archbench-against=batch-size=4")
    result.stdout.no_fnmatch_line("*no code of the project*")


def test_a_regression_is_red_and_explained(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scheduler(monkeypatch, 1.05, timm="1.1", scores=[0.5, 0.75])
    result = project.runpytest_inprocess(
        *ONE, "--archbench-against=HEAD", "--junitxml=junit.xml", "--archbench-results=results.json"
    )
    result.assert_outcomes(failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.re_match_lines(
        [
            r"regressed: local/small fp32-b1: 10 ms -> 10.5 ms of processor time \(\+5\.0 %, 95 % "
            r"interval .*\) in 80 rounds of 4 process runs, 1\.6 s; at most 1 % is tolerated",
            r"Compared: work tree on \w{9}, against revision \w{9} \(HEAD\)\.",
            r"What differs: timm 1\.0\.31 -> 1\.1\.",
            r"Of the same images the outputs differ by at most 0\.25 \(0\.25 of the largest\), "
            r"the same top-1 in 1 of 1 image\.",
            r"Where the time went, by each module's own code:",
            r"  the model.s own forward \(Small\): 1 ms -> 1\.5 ms, \+0\.500 ms, 100% of the .*",
            r"If this is meant: what is merged is what later changes are compared with\. To let "
            r"this one pass, write \[\[paired\]\] of archbench\.toml with (.*), and the same again "
            r"with clock = 'wall'; delete this once it is merged\.",
        ],
        consecutive=True,
    )
    junit = (project.path / "junit.xml").read_text(encoding="utf-8")
    assert 'failures="1"' in junit
    assert '<property name="verdict_latency" value="regressed"' in junit
    assert '<property name="paired_ratio" value="1.05' in junit
    (cell,) = json.loads((project.path / "results.json").read_text(encoding="utf-8"))["cells"]
    paired = cell["metrics"]["paired_ratio"]
    assert paired["value"] == pytest.approx(1.05)
    assert (paired["rounds"], paired["process_runs"], paired["clock"]) == (80, 4, "cpu")
    advice, *_ = re.findall(r"archbench\.toml with (.*), and the same", result.stdout.str())
    rules = advice.replace(", ", "\n").replace(" and ", "\n")
    both = "".join(
        f"[[paired]]\n{rules}\n".replace("'cpu'", clock) for clock in ("'cpu'", "'wall'")
    )
    (project.path / "archbench.toml").write_text(both, encoding="utf-8")
    allowed = read_configuration(project.path).rules
    rules_of_clocks = allowed.paired_rules("local/small", "cpu-some", "fp32", "cpu", 1)
    assert [one.clock for one in rules_of_clocks] == ["cpu", "wall"]
    for one in rules_of_clocks:
        assert (one.rule.tolerated_change, one.rule.equivalence_margin) == (0.1, 0.15)
    assert paired["low"] <= paired["value"] <= paired["high"]
    assert paired["sides"]["reference"]["label"].startswith("revision ")
    assert paired["agreement"]["absolute"] == 0.25
    assert PairedRun.from_dict(paired["series"][0]).seconds == pytest.approx(20 * 0.0205)
    assert cell["verdicts"][0]["status"] == "regressed"


def test_other_counts_are_red_though_the_time_is_not(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scheduler(monkeypatch, params=166, output_shape=[1, 1], scores=[1.0])
    result = project.runpytest_inprocess(*ONE, "--archbench-against=HEAD")
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines(
        [
            r"changed: local/small fp32-b1: params 162 -> 166 \(\+4, \+2\.47 %\)",
            r"changed: local/small fp32-b1: output shape 1x2 -> 1x1",
            r"What differs: params .*, output shape 1x2 -> 1x1\.",
            r"The outputs have different shapes, and are not compared\.",
            r"small .* changed",
        ]
    )


def test_more_memory_is_red_though_the_counts_are_equal(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scheduler(monkeypatch, peak_memory=80_001)
    result = project.runpytest_inprocess(*ONE, "--archbench-against=HEAD")
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines(
        [
            r"changed: local/small fp32-b1: peak memory in bytes 80,000 -> 80,001 \(\+1, .*\)",
            r"What differs: peak memory in bytes 80,000 -> 80,001 .*\.",
        ]
    )


def test_what_a_comparison_says_is_reported_whatever_was_left_behind(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fresh process would measure the cell alone, and its run would be green."""
    Scheduler(monkeypatch, params=166)
    monkeypatch.setattr(process_state, "_LEFT", {"local/other": ["priority"]})
    result = project.runpytest_inprocess(*ONE, "--archbench-against=HEAD")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["changed: local/small fp32-b1: params *"])


def test_memory_of_another_precision_is_no_news(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scheduler(monkeypatch, peak_memory=160_000, dtype="bf16")
    result = project.runpytest_inprocess(
        *ONE, "--archbench-against=dtype=bf16", "--archbench-results=results.json"
    )
    result.assert_outcomes(passed=1)
    (cell,) = json.loads((project.path / "results.json").read_text("utf-8"))["cells"]
    assert cell["metrics"]["paired_ratio"]["different"] == [
        "dtype bf16 -> fp32", "peak memory in bytes 80,000 -> 160,000 (+80,000, +100 %)"
    ]  # fmt: skip


def accept(project: pytest.Pytester, **counts: Any) -> None:
    """Put counts into the project's accepted ones."""
    usual = {"input_shape": [1, 3, 224, 224], "output_shape": [1, 2], "macs": 5_322_852}
    line = count_line("local/small", operator_calls=4, **{**usual, **counts})
    path = project.path / "baselines" / "complexity.jsonl"
    lock = project.path / ".archbench" / "lock"
    update_baselines(path, CountLine, [line], lock, only_new=False)


def test_counts_that_were_accepted_with_the_change_are_green(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Scheduler(monkeypatch, params=166, peak_memory=80_016)
    accept(project, params=166)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    result = project.runpytest_inprocess(
        *ONE, "--archbench-against=HEAD", "--archbench-strict", "--archbench-results=results.json"
    )
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    (cell,) = json.loads((project.path / "results.json").read_text("utf-8"))["cells"]
    assert [(v["metric"], v["status"], v["reason"]) for v in cell["verdicts"]] == [
        ("latency", "unchanged", "within-bounds"),
        ("params", "changed", "accepted"),
        ("peak_memory", "changed", "accepted"),
    ]
    result.stdout.re_match_lines(
        [
            r"  Accepted: local/small fp32-b1: params 162 -> 166 \(\+4, \+2\.47 %\)",
            r"  Accepted: local/small fp32-b1: peak memory in bytes 80,000 -> 80,016 .*",
            r"::notice .*title=local/small fp32-b1%3A peak memory changed%2C accepted::",
        ]
    )
    result.stdout.no_fnmatch_line("::error*")


def test_counts_that_were_accepted_before_the_change_are_red_and_say_how_to_accept(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scheduler(monkeypatch, params=166)
    said = [
        "If this is meant: accept it by pytest --pyargs archbench.benchmarks.test_complexity "
        "--archbench-models=small_net.py:small --archbench-baseline-update, and commit "
        "baselines/complexity.jsonl, which has none of local/small.",
        "Or let counts = 'report' in [[][[]paired]] of archbench.toml report such changes: they "
        "fail nothing.",
    ]
    result = project.runpytest_inprocess(*ONE, "--archbench-against=HEAD")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(said, consecutive=True)
    accept(project)
    result = project.runpytest_inprocess(*ONE, "--archbench-against=HEAD")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([said[0].replace("none of local/small", "others in line 2")])


def test_memory_alone_is_accepted_where_the_times_of_the_device_are(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scheduler(monkeypatch, peak_memory=80_016)
    accept(project)
    result = project.runpytest_inprocess(*ONE, "--archbench-against=HEAD")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "If this is meant: run the same on this device with --archbench-baseline-update in "
            "place of --archbench-against, and commit baselines/cpu-some/fp32.jsonl, which holds "
            "what was accepted there.",
            "Or let counts = 'report' *",
        ]
    )
    run = ProcessRun.of([0.01] * 9, [0.01] * 9).as_dict()
    amounts = {"peak_memory": 80_016}
    line = time_line("local/small", process_runs=[run], memory_and_energy=amounts)
    path = project.path / "baselines" / "cpu-some" / "fp32.jsonl"
    lock = project.path / ".archbench" / "lock"
    update_baselines(path, TimeLine, [line], lock, only_new=False)
    project.runpytest_inprocess(*ONE, "--archbench-against=HEAD").assert_outcomes(passed=1)


def test_a_project_may_want_a_report_alone_of_other_counts(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scheduler(monkeypatch, params=166, peak_memory=80_016)
    (project.path / "archbench.toml").write_text(
        '[[paired]]\ncounts = "report"\n', encoding="utf-8"
    )
    result = project.runpytest_inprocess(*ONE, "--archbench-against=HEAD")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "  Reported (counts = 'report'): local/small fp32-b1: params 162 -> 166 *",
            "  Reported (counts = 'report'): local/small fp32-b1: peak memory in bytes 80,000 -> *",
        ]
    )
    # What is slower is no count.
    Scheduler(monkeypatch, 1.05, params=166)
    result = project.runpytest_inprocess(*ONE, "--archbench-against=HEAD")
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("changed: *")


def test_what_is_new_is_red_unless_a_project_wants_a_report_alone(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = Failure("reference", "not-measured", "only-on-one-side", "it has no such test")
    scheduler = Scheduler(monkeypatch)
    project.makepyfile(test_other=TEST)

    def run_schedule(cells: Sequence[str], *given: Any, **more: Any) -> dict[str, PairedCell]:
        paired = scheduler(cells, *given, **more)
        return {
            cell: PairedCell(failures=(new,)) if "test_other" in cell else one
            for cell, one in paired.items()
        }

    monkeypatch.setattr(against, "run_schedule", run_schedule)
    given = ("test_time.py", "test_other.py", *ONE[1:], "--archbench-against=HEAD")
    result = project.runpytest_inprocess(*given)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "not-measured: local/small fp32-b1: revision * (HEAD): it has no such test",
            "If it is new: let new = 'report' in [[][[]paired]] of archbench.toml report it: it "
            "fails nothing then.",
        ]
    )
    rules = '[[paired]]\nnew = "report"\ndevice = "{}"\n'
    toml = project.path / "archbench.toml"
    toml.write_text(rules.format("h200"), encoding="utf-8")
    project.runpytest_inprocess(*given).assert_outcomes(passed=1, failed=1)
    toml.write_text(rules.format("cpu*"), encoding="utf-8")
    result = project.runpytest_inprocess(*given, "--archbench-strict", "-n", "1")
    # It has no figures to go on with, so that it is left in the middle.
    result.assert_outcomes(passed=1, skipped=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["  New (new = 'report'): local/small fp32-b1: revision * (HEAD): it has no such test"]
    )
    # What the candidate itself fails at is not new.
    new = Failure("candidate", "not-measured", "only-on-one-side", "it has no such test")
    project.runpytest_inprocess(*given).assert_outcomes(passed=1, failed=1)


def test_of_another_model_other_counts_are_no_news(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scheduler(monkeypatch, params=166)
    result = project.runpytest_inprocess(
        *ONE, "--archbench-against=model=small_net.py:small", "--archbench-strict"
    )
    result.assert_outcomes(passed=1)


def test_cannot_tell_is_green_unless_strict(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = Scheduler(monkeypatch)
    monkeypatch.setattr(
        against,
        "run_schedule",
        lambda *a, **k: {cell: _undecided(one) for cell, one in scheduler(*a, **k).items()},
    )
    result = project.runpytest_inprocess(*ONE, "--archbench-against=HEAD")
    result.assert_outcomes(passed=1)
    result.stdout.re_match_lines([r"small .* inconclusive"])
    result = project.runpytest_inprocess(*ONE, "--archbench-against=HEAD", "--archbench-strict")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["inconclusive: local/small fp32-b1: *; a change of 1 % is not *"])


def _undecided(one: PairedCell) -> PairedCell:
    fast = Burst((0.0098,), (0.0098,), (), 0.0)
    slow = Burst((0.0108,), (0.0108,), (), 0.0)
    same = Burst((0.01,), (0.01,), (), 0.0)
    rounds = [Round(same, fast, False), Round(same, slow, True)] * 10
    one.process_runs = [PairedRun(rounds) for _ in range(8)]
    one.judgement = judge_rounds(one.process_runs, one.rules)
    return one


def test_a_side_that_failed_is_named_with_its_traceback(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = Failure(
        "reference", "out-of-memory", "out-of-memory", "it does not fit", "Traceback of it"
    )
    Scheduler(monkeypatch, failures=[failure])
    result = project.runpytest_inprocess(*ONE, "--archbench-against=HEAD")
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines(
        [
            r"out-of-memory: local/small fp32-b1: revision \w{9} \(HEAD\): it does not fit",
            r"Traceback of it",
            r"small .* out-of-memory",
        ]
    )


def test_a_device_that_stayed_slow_is_skipped_unless_strict(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = Scheduler(monkeypatch)

    def run_schedule(*given: Any, **more: Any) -> dict[str, PairedCell]:
        paired = scheduler(*given, **more)
        for one in paired.values():
            one.process_runs = [PairedRun(discarded=[("thermal-slowdown",)] * 6)]
            one.rules = default_rules("cuda", 1)
            one.judgement = judge_rounds(one.process_runs, one.rules)
        return paired

    monkeypatch.setattr(against, "run_schedule", run_schedule)
    # With another cell, since a run without any figure is red.
    project.makepyfile(test_counted="def test_it(bench, model_spec): bench.complexity(model_spec)")
    given = ("test_time.py", "test_counted.py", *ONE[1:], "--archbench-against=HEAD")
    result = project.runpytest_inprocess(*given, "-rs")
    result.assert_outcomes(passed=1, skipped=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "  local/small *: the device was slowed in 6 rounds (thermal-slowdown), and in 0 it *",
            "SKIPPED * inconclusive: the device was slowed in 6 rounds *",
        ]
    )
    result = project.runpytest_inprocess(*given, "--archbench-strict")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["inconclusive: local/small fp32-b1: the device was slowed in *"])


def test_nothing_to_compare_is_refused(project: pytest.Pytester) -> None:
    """It would be green, and have compared nothing."""
    project.makepyfile(test_counted="def test_it(bench, model_spec): bench.complexity(model_spec)")
    result = project.runpytest_inprocess("test_counted.py", *ONE[1:], "--archbench-against=HEAD")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "ERROR: --archbench-against=HEAD: the one selected test measures no time, so nothing "
            "would be compared. Select tests that do, as by pytest --pyargs "
            "archbench.benchmarks.test_latency, or leave --archbench-against out"
        ]
    )


def test_what_a_device_was_like_is_in_the_results(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = Scheduler(monkeypatch)
    capped = TelemetrySample(1.4e9, 70.0, 300.0, ("power-cap",), 1.5e9)

    def run_schedule(*given: Any, **more: Any) -> dict[str, PairedCell]:
        paired = scheduler(*given, **more)
        timed = Burst((0.02,), (0.02,), (0.01, 0.011), 0.0, 0.05, (capped, capped), False)
        for one in paired.values():
            one.process_runs = [PairedRun([Round(timed, timed, False)] * 20)]
            one.rules = default_rules("cuda", 1)
            one.judgement = judge_rounds(one.process_runs, one.rules)
        return paired

    monkeypatch.setattr(against, "run_schedule", run_schedule)
    project.runpytest_inprocess(
        *ONE, "--archbench-against=HEAD", "--archbench-results=results.json"
    ).assert_outcomes(passed=1)
    (cell,) = json.loads((project.path / "results.json").read_text("utf-8"))["cells"]
    assert cell["metrics"]["device_time"]["samples"] == [0.01, 0.011] * 20
    assert cell["metrics"]["latency"]["samples"] == [0.02] * 20
    assert [note["code"] for note in cell["notes"]] == ["queue-not-full", "power-capped"]
    (run,) = cell["metrics"]["paired_ratio"]["series"]
    assert run["rounds"][0]["candidate"]["telemetry"] == [capped.as_dict()] * 2


def test_workers_are_reported_what_the_paired_comparison_found(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scheduler(monkeypatch, 1.05)
    result = project.runpytest_inprocess(*ONE, "--archbench-against=HEAD", "-n", "1")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["regressed: local/small fp32-b1: 10 ms -> 10.5 ms *"])
    assert list((project.path / ".archbench" / "processes").iterdir()) == []


def test_what_compiling_took_is_reported(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scheduler(monkeypatch, 1.05, compiled={"reference": (38.04, 0), "candidate": (4.0, 1)})
    result = project.runpytest_inprocess(*ONE, "--archbench-against=HEAD")
    result.stdout.re_match_lines(
        [
            r"What differs: graph breaks 0 -> 1 \(\+1\)\.",
            r"revision \w{9} \(HEAD\) was compiled in 38\.0 s with 0 graph breaks\.",
            r"work tree on \w{9} was compiled in 4\.0 s with 1 graph break\.",
            r"  local/small fp32-b1: revision .* was compiled in 38\.0 s with 0 graph breaks\.",
            r"  local/small fp32-b1: work tree .* was compiled in 4\.0 s with 1 graph break\.",
        ]
    )


def test_a_device_is_held_for_both_sides_by_who_schedules_them(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    @contextmanager
    def lease(identity: str, say: object) -> Iterator[None]:
        events.append(f"{identity} held")
        yield
        events.append(f"{identity} let go")

    def run_schedule(*_: Any, **__: Any) -> dict[str, PairedCell]:
        events.append("paired")
        return {}

    gpu = Target("cuda:0", "Tesla V100", "v100", uuid="GPU-1")
    monkeypatch.setattr(leases, "lease", lease)
    monkeypatch.setattr(hardware, "make_target", lambda *_, **__: gpu)
    monkeypatch.setattr(against, "run_schedule", run_schedule)
    given = (*ONE[:2], "--archbench-gpu=cuda:0")
    project.runpytest_inprocess(*given, "--archbench-against=HEAD")
    # The second time by the test itself, which then fails to put its model there.
    assert events == ["GPU-1 held", "paired", "GPU-1 let go", "GPU-1 held", "GPU-1 let go"]
    # A test of a side leaves that to the scheduler: the other side is on the device too.
    events.clear()
    inside = SimpleNamespace(order=SimpleNamespace(sides=("reference",)), about=lambda _: None)
    monkeypatch.setattr("archbench.pytest_plugin.targets.inside_of", lambda config: inside)
    project.runpytest_inprocess(*given)
    assert events == []


def test_github_is_reported(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Scheduler(monkeypatch, 1.05)
    summary = tmp_path / "summary.md"
    summary.touch()
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    result = project.runpytest_inprocess(
        *ONE, "--archbench-against=HEAD", "--archbench-openmetrics=metrics.txt"
    )
    text = summary.read_text(encoding="utf-8")
    assert "**1 of 1 cell fails**: 1 regressed." in text
    assert "| **regressed** | local/small |" in text
    assert "| 10 ms | 10.5 ms | +5 % |" in text
    result.stdout.fnmatch_lines(["::error file=test_time.py,line=1,title=local/small fp32-b1*"])
    metrics = (project.path / "metrics.txt").read_text(encoding="utf-8")
    assert 'archbench_paired_ratio{architecture="local/small",device="cpu-some"' in metrics


class Started:
    """Stands for a process; all that were started are in :attr:`orders`."""

    orders: ClassVar[list[dict[str, Any]]] = []

    @classmethod
    def start(cls, config: Any, order: Order, *, patience: Patience, **given: Any) -> Started:
        cls.orders.append({"sides": order.sides, "flags": order.flags, "ready": patience.ready})
        return cls()

    def greet(self) -> None:
        pass


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            ("against=dtype=bf16",),
            [(("reference", "candidate"), {"dtype": "bf16"}, 300.0)],
        ),
        (
            ("against=runtime=compiled",),
            [(("reference", "candidate"), {"runtime": "compiled"}, 2100.0)],
        ),
        (
            ("against=dtype=bf16", "runtime=compiled"),
            [(("reference",), {"dtype": "bf16"}, 2100.0), (("candidate",), {}, 2100.0)],
        ),
        (("against=HEAD",), [(("reference",), {}, 300.0), (("candidate",), {}, 300.0)]),
    ],
)
def test_who_shares_a_process_and_how_long_it_may_take(
    options: Sequence[str],
    expected: Sequence[tuple[Any, ...]],
    project: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run_schedule(cells: Sequence[str], start: Any, *_: Any, **__: Any) -> dict[str, PairedCell]:
        start(1, cells)
        raise NoPairError("reference", "nothing is measured", "")

    monkeypatch.setattr(against, "run_schedule", run_schedule)
    monkeypatch.setattr(against, "start", Started.start)
    Started.orders.clear()
    given = [f"--archbench-{option}" for option in options]
    project.runpytest_inprocess(*ONE, *given)
    found = [(one["sides"], one["flags"], one["ready"]) for one in Started.orders]
    assert found == list(expected)


def test_a_test_outside_the_parametrization_is_said_not_to_be_compared(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = Scheduler(monkeypatch)
    monkeypatch.setattr(against, "run_schedule", lambda *a, **k: {})
    result = project.runpytest_inprocess(
        *ONE, "--archbench-against=HEAD", "--archbench-time-budget=0.05"
    )
    assert scheduler.cells == []
    result.assert_outcomes(passed=1)
    result.stdout.re_match_lines([r"small .* not-comparable"])


# Requests that make no sense.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("against=nosuch",), "has no revision of that name. Fetch it"),
        (("against",), "--archbench-against: HEAD is on main and nothing is uncommitted"),
        (("against=",), "--archbench-against=: the value is empty"),
        (("against=HEAD", "against=main"), "--archbench-against is given 2 times: HEAD, main"),
        (("against=dtype=fp8",), "'fp8' is no dtype. Write one of fp32, tf32, fp16, bf16,"),
        (
            ("against=dtype=tf32",),
            "does not run it: TF32 is a mode of NVIDIA devices from Ampere on. "
            "Use --archbench-against=dtype=fp32",
        ),
        (
            ("against=runtime=cudagraph",),
            "has no CUDA graphs. Use --archbench-against=runtime=eager or "
            "--archbench-against=runtime=compiled",
        ),
        (
            ("against=HEAD", "batch-size=4,max"),
            "--archbench-against=HEAD and --archbench-batch-size=max contradict each other: the "
            "largest batch is looked for, and the two sides could end up with different ones. "
            "Give its size, as --archbench-batch-size=64",
        ),
        (("against=dtype=fp32",), "the candidate has these flags already"),
        (("against=HEAD", "energy"), "--archbench-energy is measured of one version alone"),
        (("against=model=timm/nosuch",), "timm/nosuch"),
        (("against=model=timm/resnet*",), "it names "),
        (("against=HEAD", "quick"), "--archbench-against=HEAD and --archbench-quick contradict"),
        (("against=HEAD", "processes=3"), "--archbench-processes is about stored baselines"),
        (("against=HEAD", "baseline-update"), "--archbench-baseline-update accepts stored times"),
        (("against=python:/nosuch/python",), "there is no Python interpreter at /nosuch/python"),
        (("against=pip:./nosuch.whl",), "pip could not install it: ERROR"),
    ],
)
def test_requests_that_make_no_sense(
    options: Sequence[str], message: str, project: pytest.Pytester
) -> None:
    given = [f"--archbench-{option}" for option in options]
    result = project.runpytest_inprocess(*ONE, *given)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    output = result.stdout.str() + result.stderr.str()
    assert message in output
    assert "Traceback" not in output


def test_tests_that_the_revision_does_not_have(project: pytest.Pytester) -> None:
    project.makepyfile(test_new=TEST)
    result = project.runpytest_inprocess("test_new.py", *ONE[1:], "--archbench-against=HEAD")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "not-measured: local/small fp32-b1: revision * (HEAD): it has no test_new.py",
            "If it is new: let new = 'report' in *",
        ]
    )


def test_rules_that_make_none(project: pytest.Pytester) -> None:
    (project.path / "archbench.toml").write_text(
        '[[paired]]\ntolerated_change = "90 %"\n', encoding="utf-8"
    )
    result = project.runpytest_inprocess(*ONE, "--archbench-against=HEAD")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*archbench.toml, paired 1: tolerated_change = '90 %': that makes no rule: *"]
    )


# With processes.

NETS = """
import os
import sys
from torch import nn
import torch
from archbench import ModelSpec

class Net(nn.Module):
    def __init__(self, classes=10, repeat=1, act=None):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1)
        self.fc = nn.Linear(16, classes)
        self.repeat, self.act = repeat, act

    def forward(self, x):
        if self.act is not None and not x.is_meta:
            self.act()
        for _ in range(self.repeat):
            y = torch.relu(self.conv(x))
        return self.fc(y.mean((2, 3)))

def prints():
    print("to stdout", flush=True)
    os.write(1, b"\\x00\\xff" * 1000)

def dies():
    os.abort()

def breaks():
    raise RuntimeError("the gears are stuck")

def fills():
    torch.empty(2**60)
"""

REFERENCE = (
    NETS
    + """
MODELS = {
    "same": lambda: Net(), "slow": lambda: Net(), "prints": lambda: Net(act=prints),
    "shape": lambda: Net(), "dies": lambda: Net(act=dies), "breaks": lambda: Net(),
    "fills": lambda: Net(), "gone": lambda: Net(),
}
"""
)

CANDIDATE = (
    NETS
    + """
MODELS = {
    "same": lambda: Net(), "slow": lambda: Net(repeat=4), "prints": lambda: Net(act=prints),
    "shape": lambda: Net(9), "dies": lambda: Net(), "breaks": lambda: Net(act=breaks),
    "fills": lambda: Net(act=fills), "new": lambda: Net(),
}
"""
)

CONFTEST = """
from archbench import ModelSpec

def pytest_archbench_models():
    import nets
    return [ModelSpec.of(make, name=name, input_size=64) for name, make in nets.MODELS.items()]
"""


@pytest.fixture
def revisions(pytester: pytest.Pytester, judged_on_a_busy_machine: None) -> pytest.Pytester:
    """A project whose last commit has other architectures than its work tree."""
    pytester.makepyfile(nets=REFERENCE, conftest=CONFTEST, test_time=TEST)
    pytester.makefile(".ini", pytest="[pytest]\npythonpath = .\n")
    (pytester.path / "archbench.toml").write_text(RULES, encoding="utf-8")
    (pytester.path / ".gitignore").write_text(".archbench/\n__pycache__/\n", encoding="utf-8")
    git(pytester.path, "init", "-q")
    git(pytester.path, "add", ".")
    git(pytester.path, "commit", "-qm", "reference")
    (pytester.path / "nets.py").write_text(CANDIDATE, encoding="utf-8")
    return pytester


def verdicts(project: pytest.Pytester) -> Mapping[str, list[str]]:
    document = json.loads((project.path / "results.json").read_text(encoding="utf-8"))
    return {
        cell["id"].removeprefix("local/"): [verdict["status"] for verdict in cell["verdicts"]]
        for cell in document["cells"]
    }


LOCAL = (
    "test_time.py", "--archbench-models=local/*", "--archbench-gpu=cpu",
    "--archbench-results=results.json",
)  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system cannot say it")
def test_sides_load_where_there_is_room_and_are_timed_on_one_core(
    revisions: pytest.Pytester,
) -> None:
    said = revisions.path / "cores.txt"
    nets = f"""
def tells():
    with open({str(said)!r}, "a") as file:
        print(len(os.sched_getaffinity(0)), file=file)

MODELS = {{"same": lambda: Net(act=tells)}}
"""
    revisions.makepyfile(nets=NETS + nets)
    git(revisions.path, "commit", "-qam", "tells its cores")
    revisions.runpytest_inprocess(*LOCAL, "--archbench-against=HEAD~1").assert_outcomes(passed=1)
    cores = said.read_text(encoding="utf-8").split()
    assert cores[0] == str(len(os.sched_getaffinity(0)))
    assert cores[-1] == "1"


def test_a_dirty_work_tree_against_its_last_commit(revisions: pytest.Pytester) -> None:
    result = revisions.runpytest_inprocess(*LOCAL, "--archbench-against", "--archbench-strict")
    assert verdicts(revisions) == {
        "same": ["unchanged"],
        "slow": ["regressed", "changed", "changed", "changed"],  # MACs, operator calls, memory
        "prints": ["unchanged"],
        "shape": ["unchanged", "changed", "changed", "changed", "changed"],
        "dies": ["crashed"],
        "breaks": ["crashed"],
        "fills": ["out-of-memory"],
        "new": ["not-measured"],
    }
    result.assert_outcomes(passed=2, failed=6)
    result.stdout.re_match_lines_random(
        [
            r"paired comparison: work tree on \w{9} with 1 uncommitted change, against revision "
            r"\w{9}, the "
            r"merge base with main",
            r"regressed: local/slow .*; at most 50 % is tolerated.*",
            r"changed: local/slow fp32-b1: MACs .*",
            r"changed: local/slow fp32-b1: peak memory in bytes .*",
            r"  conv \(Conv2d\): .* of the growth",
            r"changed: local/shape fp32-b1: output shape 1x10 -> 1x9",
            r"unchanged: local/shape fp32-b1: .* of processor time .*",
            r"The outputs have different shapes, and are not compared\.",
            r"crashed: local/dies fp32-b1: revision .*: its process died of signal 6 \(Aborted\)",
            r"crashed: local/breaks fp32-b1: work tree .*: local/breaks failed in its forward "
            r"pass: RuntimeError: the gears are stuck",
            r'    raise RuntimeError\("the gears are stuck"\)',
            r"out-of-memory: local/fills fp32-b1: work tree .*",
            r"not-measured: local/new fp32-b1: revision .*: it has no architecture local/new",
            r"  work tree on \w{9} with 1 uncommitted change ran \./nets\.py\.",
            r"  revision \w{9}, .* ran \./\.archbench/against/revisions/\w{40}/nets\.py\.",
            r"  Only in revision \w{9}, .*, and not measured: local/gone fp32-b1\.",
        ]
    )
    # What the pair and its models left is gone; the revision stays for the next run.
    assert list((revisions.path / ".archbench" / "processes").iterdir()) == []
    (tree,) = (revisions.path / ".archbench" / "against" / "revisions").iterdir()
    assert (tree / "nets.py").read_text(encoding="utf-8").strip() == REFERENCE.strip()


def test_a_library_that_cannot_be_imported_ends_the_run_before_the_comparison(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(torchvision="raise RuntimeError('operator torchvision::nms does not exist')")
    result = project.runpytest_inprocess(
        "test_time.py", "--archbench-gpu=cpu", "--archbench-models=torchvision/squeezenet1_1",
        "--archbench-against=HEAD",
    )  # fmt: skip
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    said = result.stdout.str() + result.stderr.str()
    assert re.search(
        r"the process of work tree on \w{9} .* did not come up: .* with status 4", said
    )
    assert "torchvision cannot be imported (operator torchvision::nms does not exist)" in said
    assert "process run 1" not in said


def test_a_change_that_brings_its_accepted_counts(revisions: pytest.Pytester) -> None:
    revisions.makepyfile(
        test_accepting="def test_complexity(bench, model_spec): bench.complexity(model_spec)"
    )
    own = ("--archbench-models=local/shape", "--archbench-gpu=cpu")
    revisions.runpytest_inprocess("test_accepting.py", *own, "--archbench-baseline-update")
    assert (revisions.path / "baselines" / "complexity.jsonl").exists()
    result = revisions.runpytest_inprocess(
        "test_time.py", *own, "--archbench-results=results.json", "--archbench-against"
    )
    (cell,) = json.loads((revisions.path / "results.json").read_text("utf-8"))["cells"]
    assert [(v["metric"], v["reason"]) for v in cell["verdicts"]] == [
        ("latency", "within-bounds"),
        ("params", "accepted"),
        ("macs", "accepted"),
        ("output_shape", "accepted"),
        ("peak_memory", "accepted"),
    ]
    result.assert_outcomes(passed=1)


def test_code_that_is_not_the_revisions_is_not_timed(revisions: pytest.Pytester) -> None:
    # Nothing that Python looks for: a file, by a path of its own.
    (revisions.path / "lib").mkdir()
    (revisions.path / "lib" / "nets.py").write_text(REFERENCE, encoding="utf-8")
    (revisions.path / "nets.py").unlink()
    load = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("nets", {str(revisions.path / "lib" / "nets.py")!r})
sys.modules["nets"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["nets"])
"""
    (revisions.path / "conftest.py").write_text(load + CONFTEST, encoding="utf-8")
    git(revisions.path, "add", "-A")
    git(revisions.path, "commit", "-qm", "moved")
    result = revisions.runpytest_inprocess(
        "test_time.py", "--archbench-models=local/same", "--archbench-gpu=cpu",
        "--archbench-against=HEAD",
    )  # fmt: skip
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "not-measured: local/same fp32-b1: revision *: nets was imported from *lib/nets.py, "
            "which is the other side's: *"
        ]
    )


def test_flags_share_one_process(revisions: pytest.Pytester) -> None:
    result = revisions.runpytest_inprocess(
        "test_time.py", "--archbench-models=local/same,local/slow", "--archbench-gpu=cpu",
        "--archbench-results=results.json", "--archbench-against=model=local/same",
    )  # fmt: skip
    result.assert_outcomes(passed=1, failed=1)
    assert verdicts(revisions) == {"same": ["unchanged"], "slow": ["regressed"]}
    result.stdout.fnmatch_lines(["paired comparison: work tree *, against model=local/same"])


def test_batches_of_other_sizes_are_compared_per_image(revisions: pytest.Pytester) -> None:
    result = revisions.runpytest_inprocess(
        "test_time.py", "--archbench-models=local/same", "--archbench-gpu=cpu",
        "--archbench-results=results.json", "--archbench-against=batch-size=4,memory-format=nhwc",
    )  # fmt: skip
    (cell,) = json.loads((revisions.path / "results.json").read_text("utf-8"))["cells"]
    paired = cell["metrics"]["paired_ratio"]
    assert paired["series"][0]["images"] == [4, 1]
    assert paired["agreement"]["images"] == 1
    assert paired["agreement"]["relative"] < 1e-3
    assert paired["different"][:2] == ["batch size 4 -> 1", "memory format nhwc -> nchw"]
    # Of four images there is more, which is no news.
    (memory,) = paired["different"][2:]
    assert memory.startswith("peak memory in bytes ")
    assert "changed" not in [verdict["status"] for verdict in cell["verdicts"]]
    assert result.ret in (0, 1)


def test_another_precision_in_the_same_process(revisions: pytest.Pytester) -> None:
    revisions.runpytest_inprocess(
        "test_time.py", "--archbench-models=local/same", "--archbench-gpu=cpu",
        "--archbench-results=results.json", "--archbench-against=dtype=bf16",
    )  # fmt: skip
    (cell,) = json.loads((revisions.path / "results.json").read_text("utf-8"))["cells"]
    paired = cell["metrics"]["paired_ratio"]
    assert paired["rounds"] >= 6
    assert paired["different"][0] == "dtype bf16 -> fp32"
    peaks = [paired["sides"][side]["counts"]["peak_memory"] for side in ("reference", "candidate")]
    # Weights, images and activations have half the bytes, whatever scratch the kernels take.
    floats = (16 * 27 + 16 + 160 + 10) + 3 * 64 * 64 + 2 * 16 * 64 * 64
    assert peaks[1] >= 4 * floats
    assert 2 * floats <= peaks[0] < peaks[1]
    assert [verdict["metric"] for verdict in cell["verdicts"]] == ["latency"]
    # Eight bits of a fraction instead of 24.
    assert 1e-5 < paired["agreement"]["relative"] < 0.05
    assert cell["target"]["dtype"] == "fp32"


@pytest.mark.usefixtures("judged_on_a_busy_machine")
def test_against_the_compiled_network(suite: pytest.Pytester) -> None:
    suite.makepyfile(test_time=TEST)
    (suite.path / "archbench.toml").write_text(RULES, encoding="utf-8")
    result = suite.runpytest_inprocess(
        *ONE, "--archbench-results=results.json", "--archbench-against=runtime=compiled"
    )
    (cell,) = json.loads((suite.path / "results.json").read_text("utf-8"))["cells"]
    paired = cell["metrics"]["paired_ratio"]
    assert paired["rounds"] >= 6
    assert paired["different"][0] == "runtime compiled -> eager"
    assert paired["agreement"]["relative"] < 1e-4
    compiled = paired["sides"]["reference"]["metrics"]
    assert compiled["compile_time"]["value"] > 0
    assert compiled["graph_breaks"]["value"] == 0
    assert "compile_time" not in paired["sides"]["candidate"]["metrics"]
    result.stdout.re_match_lines(
        [
            r"paired comparison: work tree, against runtime=compiled",
            r"  local/small fp32-b1: runtime=compiled was compiled in .* s with 0 graph breaks\.",
        ]
    )


def test_cold_passes_of_both_sides(revisions: pytest.Pytester) -> None:
    result = revisions.runpytest_inprocess(
        "test_time.py", "--archbench-models=local/same", "--archbench-gpu=cpu",
        "--archbench-results=results.json", "--archbench-against", "--archbench-cold-cache",
    )  # fmt: skip
    (cell,) = json.loads((revisions.path / "results.json").read_text("utf-8"))["cells"]
    paired = cell["metrics"]["paired_ratio"]
    assert [verdict["status"] for verdict in cell["verdicts"]] == ["unchanged"]
    assert cell["target"]["cold_cache"] is True
    bursts = [
        Burst.from_dict(one[side])
        for run in paired["series"]
        for one in run["rounds"]
        for side in ("reference", "candidate")
    ]
    # What empties the caches takes longer than the pass, and is none of its time.
    assert all(burst.seconds > sum(burst.wall) for burst in bursts)
    result.assert_outcomes(passed=1)


@pytest.mark.usefixtures("judged_on_a_busy_machine")
def test_packages_laid_over_the_environment(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = pytester.path / "site"
    library.mkdir()
    (library / "somelib.py").write_text(NETS + "\nREPEAT = 4\n", encoding="utf-8")
    path = pytester.path / "somelib-1.5-py3-none-any.whl"
    info = "somelib-1.5.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("somelib.py", NETS + "\nREPEAT = 1\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: somelib\nVersion: 1.5\n")
        wheel = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{info}/WHEEL", wheel)
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PYTHONPATH", str(library), prepend=":")
    monkeypatch.syspath_prepend(str(library))
    pytester.makepyfile(
        conftest="""
            from archbench import ModelSpec
            import somelib

            def pytest_archbench_models():
                return [ModelSpec.of(lambda: somelib.Net(repeat=somelib.REPEAT), name="net",
                                     input_size=64)]
        """,
        test_time=TEST,
    )
    (pytester.path / "archbench.toml").write_text(RULES, encoding="utf-8")
    result = pytester.runpytest_inprocess(
        *LOCAL, "--archbench-against=pip:./somelib-1.5-py3-none-any.whl"
    )
    result.assert_outcomes(failed=1)
    assert verdicts(pytester) == {"net": ["regressed", "changed", "changed", "changed"]}
    result.stdout.fnmatch_lines(
        ["paired comparison: work tree, against the same project with somelib 1.5"]
    )


def test_a_side_has_no_time_limit_of_a_test(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pytest-timeout would count what it waits for the other side; the scheduler has limits."""
    given: dict[str, str] = {}

    def start(command: Any, environment: Mapping[str, str], *more: Any, **named: Any) -> None:
        given.update(environment)
        raise UsageError("a side", "none is started here", "Nothing is to be done")

    monkeypatch.setattr(Worker, "start", start)
    monkeypatch.setenv("PYTEST_TIMEOUT", "5")
    result = project.runpytest_inprocess(*ONE, "--archbench-against=HEAD")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert given["PYTEST_TIMEOUT"] == "0"


@pytest.mark.usefixtures("judged_on_a_busy_machine")
def test_another_interpreter(suite: pytest.Pytester, tmp_path: Path) -> None:
    suite.makepyfile(test_time=TEST)
    (suite.path / "archbench.toml").write_text(RULES, encoding="utf-8")
    environment = tmp_path / "other"
    venv.create(environment, symlinks=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    # What a side needs and no more: torch, pytest, numpy, psutil, and what these need.
    here = Path(sysconfig.get_path("purelib"))
    absent: tuple[str, ...] = (
        "timm",
        "torchvision",
        "pytorchcv",
        "ptflops",
        "tabulate",
        "scipy",
        "hypothesis",
    )
    absent += (
        "pytest_benchmark",
        "pytest_xdist",
        "xdist",
        "execnet",
        "cpuinfo",
        "pytest_archbench",
        "archbench",
    )
    for entry in here.iterdir():
        if not entry.name.startswith(absent) and not entry.name.endswith(".pth"):
            (packages / entry.name).symlink_to(entry)
    # What that environment has of archbench is not what is used.
    (packages / "archbench").mkdir()
    (packages / "archbench" / "__init__.py").write_text("raise ImportError", encoding="utf-8")
    result = suite.runpytest_inprocess(
        *ONE, "--archbench-models=timm/mobilenetv3_small_050", "--archbench-results=results.json",
        f"--archbench-against=python:{environment}",
    )  # fmt: skip
    result.assert_outcomes(passed=1, failed=1)
    found = verdicts(suite)
    assert found["timm/mobilenetv3_small_050"] == ["not-measured"]
    # Its clock is a real one, which other work may keep from a verdict.
    assert found["small"] in (["unchanged"], ["inconclusive"])
    result.stdout.fnmatch_lines(
        ["not-measured: timm/*: the same project *: timm is not installed*"]
    )
    result.stdout.fnmatch_lines(
        [f"paired comparison: work tree, against the same project with {environment}/bin/python"]
    )


def test_an_environment_without_torch(suite: pytest.Pytester, tmp_path: Path) -> None:
    suite.makepyfile(test_time=TEST)
    venv.create(tmp_path / "bare", symlinks=True)
    result = suite.runpytest_inprocess(*ONE, f"--archbench-against=python:{tmp_path / 'bare'}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*has no pytest, no torch, no numpy, no psutil*. Install what *"])


def test_a_side_that_does_not_come_up_ends_the_run_with_what_it_printed(
    revisions: pytest.Pytester,
) -> None:
    (revisions.path / "conftest.py").write_text("import nosuchlib\n", encoding="utf-8")
    git(revisions.path, "commit", "-qam", "broken")
    (revisions.path / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    result = revisions.runpytest_inprocess(*LOCAL, "--archbench-against=HEAD")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.re_match_lines(
        [
            r".*--archbench-against=HEAD: the process of revision \w{9} \(HEAD\) did not come up: "
            r"its process ended with status 4\. This is what it printed:",
            r".*No module named 'nosuchlib'",
            r"If that is about a file of the revision itself, compare with another one, as "
            r"--archbench-against=\w{9}~1\.",
        ]
    )
    assert "against/revisions" not in result.stderr.str()
    result.stderr.re_match_lines([r".*\b[0-9a-f]{9}:conftest\.py.*"])
