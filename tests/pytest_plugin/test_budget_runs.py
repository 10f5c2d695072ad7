"""Whole runs of a project that has budgets."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.usefixtures("preloaded_python")

MODELS = "--archbench-models=small_net.py:small"
WORKERS = pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "two workers"])

PARAMS = 3 * 4 * 9 + 4 + 4 * 10 + 10


def run(suite: pytest.Pytester, rules: str, *arguments: str) -> pytest.RunResult:
    (suite.path / "archbench.toml").write_text(rules, encoding="utf-8")
    start = suite.runpytest_subprocess if "-n" in arguments else suite.runpytest_inprocess
    return start("test_bench.py", MODELS, "--archbench-time-budget=0.05", *arguments)


@WORKERS
def test_an_exceeded_budget_fails_the_test_that_measured_it(
    suite: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    rules = """
        [[budget]]
        limit = "latency_p50 <= 1 us"
        [[budget]]
        limit = "params <= 1 M"
        [[budget]]
        limit = "latency_p99 <= 1 s"
    """
    result = run(suite, rules, "--archbench-results=r.json", *workers)
    result.assert_outcomes(passed=1, failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.re_match_lines(
        [
            r"regressed: local/small fp32-b1: latency_p50 is [\d.]+ us, [\d.]+ % over its budget "
            r"latency_p50 <= 1 us \(archbench\.toml, budget 1\)",
            r"not-measured: local/small fp32-b1: latency_p99 <= 1 s \(archbench\.toml, budget 3\) "
            r"cannot be judged: p99 needs 662 samples, the time budget allowed \d+",
            r"Give the cell more time, as --archbench-time-budget=30, or limit latency_p50,.*",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("Budget not judged*")
    # A budget that is kept is no count that is unchanged.
    result.stdout.fnmatch_lines(["Counts: 1 no-baseline."])
    (cell,) = json.loads((suite.path / "r.json").read_text(encoding="utf-8"))["cells"]
    assert cell["metrics"]["latency"]["samples"]
    reasons = {verdict["metric"]: verdict["reason"] for verdict in cell["verdicts"]}
    assert reasons["latency_p50"] == "over-budget"
    assert reasons["latency_p99"] == "too-few-samples"
    assert reasons["params"] == "within-budget"


@WORKERS
def test_an_exceeded_count_fails_its_test(suite: pytest.Pytester, workers: tuple[str, ...]) -> None:
    result = run(suite, "[[budget]]\nlimit = 'params <= 100'", *workers)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            f"regressed: local/small: params is {PARAMS}, 62 % over its budget params <= 100 "
            "(archbench.toml, budget 1)"
        ]
    )


def test_budgets_that_are_kept(suite: pytest.Pytester) -> None:
    rules = "[[budget]]\nlimit = 'latency_p50 <= 100 s'\n[[budget]]\nlimit = 'params <= 162'"
    result = run(suite, rules)
    result.assert_outcomes(passed=2)
    assert result.ret == 0


def test_a_budget_that_no_test_touches_is_reported(suite: pytest.Pytester) -> None:
    result = run(suite, "[[budget]]\nlimit = 'latency_p50 <= 1 us'", "-k", "test_complexity")
    result.assert_outcomes(passed=1, deselected=1)
    result.stdout.fnmatch_lines(
        ["Budget not judged in 1 of 1 cells: latency_p50 <= 1 us (archbench.toml, budget 1); *"]
    )


def test_rules_that_no_architecture_matches_are_reported(suite: pytest.Pytester) -> None:
    rules = """
        [[budget]]
        limit = "params <= 1"
        architecture = "local/smal"
        [[budget]]
        limit = "params <= 1 M"
        architecture = "local/sm*"
        [[tolerance]]
        metric = "latency"
        architecture = "resnet5O"
        relative = "50 %"
    """
    result = run(suite, rules)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        ["No architecture of this run is meant by the rules for local/smal, resnet5O."]
    )


@WORKERS
def test_rules_that_make_no_sense_are_refused_before_anything_runs(
    suite: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    result = run(suite, "[[budget]]\nlimit = 'speed <= 1 s'", *workers)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "budget 1: limit = 'speed <= 1 s': there is no figure 'speed'." in (
        result.stderr.str() + result.stdout.str()
    )
    assert not list(suite.path.glob(".archbench/runs/*/journal.jsonl"))
