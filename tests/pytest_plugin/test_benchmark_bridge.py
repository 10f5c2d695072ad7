"""pytest-benchmark's own options work on our samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("preloaded_python")

QUICK = ("test_bench.py", "--archbench-time-budget=0.05", "--archbench-gpu=cpu",
         "--archbench-models=small_net.py:small")  # fmt: skip
PARAMS = 162


SHORT_NAMES = """
    from archbench.pytest_plugin.options import add_options

    def pytest_addoption(parser):
        add_options(parser, prefix="--")
"""


@pytest.fixture(params=[False, True], ids=["one process", "two workers"])
def run(request: pytest.FixtureRequest, suite: pytest.Pytester) -> Any:
    # Each kind of project in one of the two.
    if request.param:
        suite.makeconftest(SHORT_NAMES)

    def run_once(*arguments: str) -> pytest.RunResult:
        if request.param:
            return suite.runpytest_subprocess(*QUICK, "-n", "2", *arguments)
        return suite.runpytest_inprocess(*QUICK, *arguments)

    return run_once


def stored(suite: pytest.Pytester) -> list[Path]:
    return sorted((suite.path / ".benchmarks").rglob("*.json"))


# A run in this process warns here, one in another on its standard error.
@pytest.mark.filterwarnings("error::pytest_benchmark.logger.PytestBenchmarkWarning")
def test_save_compare_and_fail(run: Any, suite: pytest.Pytester) -> None:
    run("--benchmark-autosave").assert_outcomes(passed=2)
    (first,) = stored(suite)
    # .benchmarks / device / system-Python-word size / file: devices do not overwrite each other.
    assert first.parts[-3].startswith("cpu")
    (entry,) = json.loads(first.read_text(encoding="utf-8"))["benchmarks"]
    assert entry["fullname"] == "test_bench.py::test_latency[local/small-fp32-b1]"
    assert entry["params"]["model_spec"] == "local/small"
    assert entry["extra_info"]["params"] == PARAMS
    assert entry["extra_info"]["macs"] == 222 * 222 * 4 * 27 + 40
    assert entry["stats"]["rounds"] >= 3

    # Make the stored run impossibly fast: the comparison has to fail now.
    document = json.loads(first.read_text(encoding="utf-8"))
    for name in ("min", "max", "mean", "median"):
        document["benchmarks"][0]["stats"][name] = 1e-9
    first.write_text(json.dumps(document), encoding="utf-8")
    result = run("--benchmark-compare", "--benchmark-compare-fail=median:50%")
    assert result.ret != 0
    output = result.stdout.str() + result.stderr.str()
    assert "Performance has regressed" in output
    result.stdout.fnmatch_lines(["Stored in .archbench/runs/*"])
    assert "Can't compare" not in output
    result.stdout.fnmatch_lines(["*test_latency?local/small-fp32-b1? (*NOW)*"])

    document["benchmarks"][0]["stats"].update(min=1e3, max=1e3, mean=1e3, median=1e3)
    first.write_text(json.dumps(document), encoding="utf-8")
    assert run("--benchmark-compare", "--benchmark-compare-fail=median:50%").ret == 0


def test_json(run: Any, suite: pytest.Pytester) -> None:
    assert run("--benchmark-json=b.json", "--benchmark-only").ret == 0
    document = json.loads((suite.path / "b.json").read_text(encoding="utf-8"))
    (entry,) = document["benchmarks"]
    assert len(entry["stats"]["data"]) == entry["stats"]["rounds"]


def test_histogram_and_group_by(suite: pytest.Pytester) -> None:
    # In a process of its own: pygal's dependencies replace how Python finds entry points.
    result = suite.runpytest_subprocess(
        *QUICK, "--archbench-batch-size=1,2", "--benchmark-histogram=h",
        "--benchmark-group-by=param:batch_size", "--benchmark-columns=median,rounds",
    )  # fmt: skip
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*benchmark 'batch_size=1'*", "*benchmark 'batch_size=2'*"])
    assert list(suite.path.glob("h-*.svg"))


def test_one_table_unless_asked_for_another(suite: pytest.Pytester) -> None:
    result = suite.runpytest_inprocess(*QUICK)
    assert "Rounds" not in result.stdout.str()
    result = suite.runpytest_inprocess(*QUICK, "--benchmark-sort=name")
    assert "Rounds" in result.stdout.str()


def test_skip_and_only(suite: pytest.Pytester) -> None:
    suite.makepyfile(test_plain="def test_plain(): pass")
    result = suite.runpytest_inprocess(*QUICK, "test_plain.py", "--benchmark-skip")
    result.assert_outcomes(passed=1, skipped=2)
    assert result.ret == 0
    result = suite.runpytest_inprocess(*QUICK, "test_plain.py", "--benchmark-only")
    result.assert_outcomes(passed=2, skipped=1)


def test_a_failed_test_is_not_saved_as_a_good_measurement(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_bench="""
        def test_latency(bench, loaded_model):
            bench.latency(loaded_model)
            assert False
        """
    )
    result = suite.runpytest_inprocess(*QUICK, "--benchmark-json=b.json")
    result.assert_outcomes(failed=1)
    document = json.loads((suite.path / "b.json").read_text(encoding="utf-8"))
    assert document["benchmarks"] == []


MINE = ("test_mine.py", "--benchmark-max-time=0.1")


def test_beside_a_benchmark_of_ones_own(suite: pytest.Pytester) -> None:
    suite.makepyfile(test_mine="def test_mine(benchmark): benchmark(sum, [1, 2])")
    result = suite.runpytest_inprocess(*QUICK, *MINE, "--benchmark-json=b.json")
    result.assert_outcomes(passed=3)
    document = json.loads((suite.path / "b.json").read_text(encoding="utf-8"))
    assert {entry["name"] for entry in document["benchmarks"]} == {
        "test_latency[local/small-fp32-b1]",
        "test_mine",
    }
    assert "Rounds" in result.stdout.str()


def test_without_pytest_benchmark(suite: pytest.Pytester) -> None:
    result = suite.runpytest_subprocess(*QUICK, "-p", "no:benchmark")
    result.assert_outcomes(passed=2)


def test_only_under_workers_without_any_benchmark(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_plain(): pass")
    result = pytester.runpytest_subprocess("-n", "2", "--benchmark-only")
    assert result.ret != 0


@pytest.mark.parametrize("conftest", [SHORT_NAMES, ""], ids=["short names", "none"])
def test_a_projects_own_benchmarks_are_compared(conftest: str, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(conftest)
    pytester.makepyfile(test_mine="def test_mine(benchmark): benchmark(sum, [1, 2])")
    assert pytester.runpytest_inprocess(*MINE, "--benchmark-autosave").ret == 0
    result = pytester.runpytest_inprocess(
        *MINE, "--benchmark-compare", "--benchmark-compare-fail=mean:100000%"
    )
    assert result.ret == 0
    result.stdout.fnmatch_lines(["test_mine (NOW)*"])
    output = result.stdout.str() + result.stderr.str()
    assert output.count("Comparing against benchmarks from") == 1
