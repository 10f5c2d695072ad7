"""Counts are a gate without noise: accepted, compared, changed on purpose."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from archbench.store.journal import read_run

pytestmark = pytest.mark.usefixtures("preloaded_python")

PARAMS = 3 * 4 * 9 + 4 + 4 * 10 + 10

NET = """
    import torch
    from torch import nn

    class Small(nn.Module):
        def __init__(self, bias=True):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, bias={bias})
            self.fc = nn.Linear(4, 10)

        def forward(self, x):
            return self.fc(torch.relu(self.conv(x)).mean((2, 3)))

    class Other(Small):
        pass

    class Broken(Small):
        def forward(self, x):
            return torch.fft.rfft2(x).abs().mean((2, 3))
"""
TEST = """
    def test_complexity(bench, model_spec):
        bench.complexity(model_spec)
"""
MODELS = "--archbench-models=net.py:Small,net.py:Other"
WORKERS = pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "two workers"])
BASELINE = Path("baselines", "complexity.jsonl")


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(net=NET.format(bias=True), test_bench=TEST)
    return pytester


def add_a_bias(pytester: pytest.Pytester) -> None:
    """The baseline of the network without it is accepted first."""
    pytester.makepyfile(net=NET.format(bias=False))
    run(pytester, MODELS, "--archbench-baseline-update").assert_outcomes(passed=2)
    pytester.makepyfile(net=NET.format(bias=True))


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    start = pytester.runpytest_subprocess if "-n" in arguments else pytester.runpytest_inprocess
    return start("test_bench.py", *arguments)


def lines(pytester: pytest.Pytester) -> dict[str, dict[str, Any]]:
    text = (pytester.path / BASELINE).read_text(encoding="utf-8")
    return {line["id"]: line for line in map(json.loads, text.splitlines()[1:])}


def test_without_a_baseline_nothing_fails_and_the_next_step_is_reported(
    project: pytest.Pytester,
) -> None:
    result = run(project, MODELS)
    result.assert_outcomes(passed=2)
    assert result.ret == 0
    result.stdout.re_match_lines(
        [
            r"Small +local +- .* no-baseline",
            r"Counts: 2 no-baseline\.",
            r"  Accept what has no baseline: .* --archbench-baseline-update=new",
        ]
    )
    assert not (project.path / BASELINE).exists()


@WORKERS
def test_accepted_counts_are_compared(project: pytest.Pytester, workers: tuple[str, ...]) -> None:
    result = run(project, MODELS, "--archbench-baseline-update", *workers)
    result.assert_outcomes(passed=2)
    result.stdout.re_match_lines(
        [
            r"Small +local +- .* accepted",
            r"baselines/complexity.jsonl: 2 added, 0 changed, 0 as they were\.",
        ]
    )
    accepted = lines(project)
    assert list(accepted) == ["local/Other", "local/Small"]
    assert accepted["local/Small"]["params"] == PARAMS
    assert accepted["local/Small"]["layers"] == [
        ["Conv2d", 112, 222 * 222 * 4 * 27, 1], ["Linear", 50, 40, 1]
    ]  # fmt: skip
    result = run(project, MODELS, *workers)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["Counts: 2 unchanged."])


@WORKERS
def test_one_bias_more_is_red(project: pytest.Pytester, workers: tuple[str, ...]) -> None:
    add_a_bias(project)
    result = run(project, MODELS, "--archbench-results=r.json", "--junitxml=junit.xml", *workers)
    result.assert_outcomes(failed=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "changed: local/Small differs from baselines/complexity.jsonl:3",
            f"  params {PARAMS - 4} -> {PARAMS} (+4, +2.53 %)",
            f"  trainable params {PARAMS - 4} -> {PARAMS} (+4, +2.53 %)",
            "layers that changed (- baseline, + now):",
            "  - 1 x Conv2d: params 108, MACs 5,322,672",
            "  + 1 x Conv2d: params 112, MACs 5,322,672  conv",
            "Both with ./net.py, torch *.",
            "If this is meant, run the same command with --archbench-baseline-update.",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    assert 'failures="2"' in (project.path / "junit.xml").read_text(encoding="utf-8")
    cells = json.loads((project.path / "r.json").read_text(encoding="utf-8"))["cells"]
    verdict = cells[0]["verdicts"][0]
    assert (verdict["metric"], verdict["status"], verdict["reason"]) == (
        "params", "changed", "differs",
    )  # fmt: skip
    assert (verdict["baseline"], verdict["value"]) == (PARAMS - 4, PARAMS)


def test_a_change_is_accepted_for_the_selection_only(project: pytest.Pytester) -> None:
    add_a_bias(project)
    result = run(project, "--archbench-models=net.py:Small", "--archbench-baseline-update")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["baselines/complexity.jsonl: 0 added, 1 changed, 0 as they were."])
    assert lines(project)["local/Small"]["params"] == PARAMS
    assert lines(project)["local/Other"]["params"] == PARAMS - 4


def test_new_changes_nothing_and_still_judges(project: pytest.Pytester) -> None:
    project.makepyfile(net=NET.format(bias=False))
    run(project, "--archbench-models=net.py:Small", "--archbench-baseline-update")
    project.makepyfile(net=NET.format(bias=True))
    result = run(project, MODELS, "--archbench-baseline-update=new")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["baselines/complexity.jsonl: 1 added, 0 changed, 0 as they were."])
    assert lines(project)["local/Small"]["params"] == PARAMS - 4
    assert lines(project)["local/Other"]["params"] == PARAMS


def test_what_cannot_be_counted_is_named_and_the_run_goes_on(project: pytest.Pytester) -> None:
    result = run(
        project, "--archbench-models=net.py:Broken,net.py:Small", "--archbench-baseline-update"
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["not-measured: local/Broken cannot be counted: it calls _fft_r2c*"]
    )
    assert list(lines(project)) == ["local/Small"], "nothing is accepted from a failed test"


def test_a_test_that_fails_for_another_reason_accepts_nothing(project: pytest.Pytester) -> None:
    project.makepyfile(test_bench=TEST + "        assert model_spec.name != 'Small', 'of my own'\n")
    result = run(project, MODELS, "--archbench-baseline-update")
    result.assert_outcomes(passed=1, failed=1)
    assert list(lines(project)) == ["local/Other"]


def test_a_run_that_stops_half_way_writes_nothing(project: pytest.Pytester) -> None:
    result = run(
        project,
        "--archbench-models=net.py:Small,net.py:Broken,net.py:Other",
        "--archbench-baseline-update",
        "-x",
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*the baseline was not written: the run did not reach its*"])
    assert not (project.path / BASELINE).exists()


@pytest.mark.parametrize(
    ("damage", "cause", "workers"),
    [
        ('{"format":"archbench-baseline","kind":"complexity","schema":9}\n', "schema 9", ()),
        ("<<<<<<< ours\n", "a mark of a merge conflict", ("-n", "2")),
    ],
)
def test_a_damaged_file_is_refused_before_anything_is_measured(
    project: pytest.Pytester, damage: str, cause: str, workers: tuple[str, ...]
) -> None:
    path = project.path / BASELINE
    path.parent.mkdir()
    path.write_text(damage, encoding="utf-8")
    result = run(project, MODELS, "--archbench-baseline-update", *workers)
    assert result.ret != 0
    output = result.stdout.str() + result.stderr.str()
    assert f"{path}:1: " in output
    assert cause in output
    assert "passed" not in output
    assert path.read_text(encoding="utf-8") == damage


def test_a_directory_that_cannot_be_written_is_red(project: pytest.Pytester) -> None:
    (project.path / "baselines").write_text("a file", encoding="utf-8")
    result = run(project, MODELS, "--archbench-baseline-update")
    assert result.ret != 0


def test_a_path_that_the_option_swallowed(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess("--archbench-baseline-update", "test_bench.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*--archbench-baseline-update=test_bench.py: it takes all or new, and *"]
    )


def test_lines_that_no_test_asks_for_any_more_are_reported(project: pytest.Pytester) -> None:
    project.makeconftest(
        """
        from archbench import ModelSpec
        from net import Small, Other

        def pytest_archbench_models():
            return [ModelSpec.of(Small), ModelSpec.of(Other)]
        """
    )
    run(project, "--archbench-models=local/*", "--archbench-baseline-update")
    project.makeconftest(
        """
        from archbench import ModelSpec
        from net import Small

        def pytest_archbench_models():
            return [ModelSpec.of(Small)]
        """
    )
    result = run(project, "--archbench-models=local/*")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "No test asks any more for local/Other of baselines/complexity.jsonl. Delete their "
            "lines: archbench baselines prune local/Other"
        ]
    )
    # A selection says nothing about what it leaves out.
    (project.path / BASELINE).write_text(
        (project.path / BASELINE).read_text(encoding="utf-8").replace("local/Other", "timm/vgg11"),
        encoding="utf-8",
    )
    assert "No test asks" not in run(project, "--archbench-models=local/*").stdout.str()


TIMED = """
    def test_latency(bench, loaded_model):
        bench.latency(loaded_model)
"""


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (("relu", "sigmoid"), ["0.000162^", "0.005323^"]),
        (("(3, 4, 3,", "(3, 5, 3,"), ["-", "-"]),
        # As many parameters, and a quarter of the multiply-adds.
        (("3, bias", "3, 2, bias"), ["-", "-"]),
    ],
    ids=["the same counts", "other parameters", "another stride"],
)
def test_accepted_counts_of_another_network_are_not_shown(
    pytester: pytest.Pytester, change: tuple[str, str], shown: list[str]
) -> None:
    """A run that only times sees whether they are of what it times."""
    options = ("--archbench-models=net.py:Small", "--archbench-gpu=cpu")
    pytester.makepyfile(net=NET.format(bias=True), test_bench=TEST)
    run(pytester, *options, "--archbench-baseline-update").assert_outcomes(passed=1)
    net = NET.format(bias=True).replace("self.fc = nn.Linear(4,", "self.fc = nn.LazyLinear(")
    pytester.makepyfile(net=net.replace(*change), test_time=TIMED)
    result = pytester.runpytest_inprocess("test_time.py", *options, "--archbench-quick")
    result.assert_outcomes(passed=1)
    (row,) = [line for line in result.outlines if line.startswith("Small ")]
    assert row.split()[3:5] == shown
    note = "Small: its accepted counts (baselines/complexity.jsonl:2) are of another network than"
    assert (note in result.stdout.str()) == (shown == ["-", "-"])


def test_which_part_of_what_it_returned_was_taken_is_said_once(pytester: pytest.Pytester) -> None:
    """In a run that only counts, and in one that times as well."""
    net = NET.format(bias=True).replace("mean((2, 3)))", "mean((2, 3))), x.mean((2, 3))", 1)
    pytester.makepyfile(net=net, test_bench=TEST, test_time=TIMED)
    options = ("--archbench-models=net.py:Small", "--archbench-gpu=cpu", "--archbench-quick")
    said = "  local/Small: 0, 1 of its tuple could be its class scores, and 0 was taken; scores= *"
    for files in (["test_bench.py"], ["test_bench.py", "test_time.py"]):
        result = pytester.runpytest_inprocess(*files, *options)
        result.stdout.fnmatch_lines(["Notes:", said])
        (path,) = (pytester.path / ".archbench" / "runs").glob("*/journal.jsonl")
        (cell,) = read_run(path).cells
        assert [note.code for note in cell.notes].count("which-scores") == 1
        shutil.rmtree(pytester.path / ".archbench")


def test_cells_that_end_with_one_test_are_counted_one_by_one(pytester: pytest.Pytester) -> None:
    """A count is of every cell of its architecture."""
    pytester.makepyfile(net=NET.format(bias=True), test_a=TIMED, test_b=TEST)
    options = ("--archbench-models=net.py:Small", "--archbench-gpu=cpu", "--archbench-quick")
    result = pytester.runpytest_inprocess(*options, "--archbench-batch-size=1,2")
    result.stdout.re_match_lines([r"\[1/2\] local/Small .*", r"\[2/2\] local/Small .* done"])
