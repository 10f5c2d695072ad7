"""Whole runs of the plugin, each an inner pytest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("preloaded_python")

QUICK = ("--archbench-time-budget=0.05", "--archbench-gpu=cpu")
SMALL = "--archbench-models=small_net.py:small"
PARAMS = 3 * 4 * 9 + 4 + 4 * 10 + 10  # 162
MACS = 222 * 222 * 4 * 27 + 40


def results(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_results_file(suite: pytest.Pytester, workers: tuple[str, ...]) -> None:
    result = suite.runpytest_subprocess(
        "test_bench.py", SMALL, *QUICK, "--archbench-results=r.json", *workers
    )
    result.assert_outcomes(passed=2)
    assert result.ret == 0
    document = results(suite.path / "r.json")
    assert document["schema"] == 1
    environment = document["environment"]
    assert environment["packages"]["torch"]
    assert environment["cores"] is None or environment["cores"] >= 1
    (cell,) = document["cells"]
    assert cell["id"] == "local/small"
    assert cell["target"]["batch_size"] == 1
    metrics = cell["metrics"]
    assert metrics["params"] == {"value": PARAMS, "unit": "1", "source": "counted"}
    assert metrics["macs"]["value"] == MACS
    assert metrics["macs"]["basis"] == "image"
    assert metrics["latency"]["unit"] == "s"
    assert len(metrics["latency"]["samples"]) == len(metrics["cpu_time"]["samples"]) >= 3
    assert {(v["metric"], v["status"]) for v in cell["verdicts"]} == {
        ("complexity", "no-baseline"), ("latency", "no-baseline")
    }  # fmt: skip


def test_table_progress_and_journal(suite: pytest.Pytester) -> None:
    result = suite.runpytest_inprocess("test_bench.py", SMALL, *QUICK, "--archbench-batch-size=1,2")
    result.assert_outcomes(passed=3)
    result.stdout.re_match_lines(
        [
            r"\[1/2\] local/small fp32-b1 +[\d.]+ ms  [\d.]+ images/s",
            r"\[2/2\] local/small fp32-b2 +[\d.]+ ms  [\d.]+ images/s .*done",
            r"-* archbench: cpu \(.*\), 1 thread, fp32 -*",
            r"architecture +library +target +top-1 %\* +params M +GMACs +p50 ms +p95 ms .*verdict",
            r"small +local +fp32-b1 +- +0.000162 +0.005323 +~?[\d.]+ .*",
            r"small +local +fp32-b2 .*",
            r"Stored in \.archbench/runs/.*/journal.jsonl",
        ]
    )
    (journal,) = (suite.path / ".archbench" / "runs").glob("*/journal.jsonl")
    kinds = [json.loads(line)["kind"] for line in journal.read_text(encoding="utf-8").splitlines()]
    assert kinds == ["run", "test", "test", "cell", "test", "cell", "end"]


def test_hook_adds_ones_own_architecture(suite: pytest.Pytester) -> None:
    suite.makeconftest(
        """
        from archbench import ModelSpec

        def pytest_archbench_models():
            import small_net
            return [ModelSpec.of(small_net.small, input_size=32)]
        """
    )
    result = suite.runpytest_subprocess(
        "test_bench.py", "--collect-only", "-q", "--archbench-suite=paddleclas"
    )
    result.stdout.fnmatch_lines(
        ["test_bench.py::test_complexity?local/small?", "*squeezenet1_0*", "18 tests collected*"]
    )
    result = suite.runpytest_inprocess("test_bench.py", *QUICK, "--archbench-models=local/*")
    result.assert_outcomes(passed=2)


def test_a_model_is_loaded_once_for_all_its_tests(suite: pytest.Pytester) -> None:
    suite.makeconftest(
        """
        from archbench import ModelSpec
        import small_net

        def counted(name):
            def build():
                print(f"\\nBUILD {name} CPU" if not is_meta() else "")
                return small_net.small()
            build.__name__ = name
            return build

        def is_meta():
            import torch
            return torch.empty(0).is_meta

        def pytest_archbench_models():
            return [ModelSpec.of(counted(n), input_size=16) for n in ("one", "two")]
        """
    )
    suite.makepyfile(test_more="def test_more(bench, loaded_model): bench.latency(loaded_model)")
    result = suite.runpytest_inprocess(
        "-s", "test_bench.py", "test_more.py", *QUICK,
        "--archbench-models=local/*", "--archbench-batch-size=1,2",
    )  # fmt: skip
    result.assert_outcomes(passed=2 * (1 + 2 + 2))
    built = [line for line in result.outlines if line.startswith("BUILD")]
    assert built == ["BUILD one CPU", "BUILD two CPU"]


def test_ones_own_parametrization(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_own="""
        import pytest
        from archbench import ModelSpec
        import small_net

        @pytest.mark.parametrize("model_spec", [ModelSpec.of(small_net.small, input_size=16)])
        def test_own(bench, model_spec, loaded_model):
            figures = bench.latency(loaded_model)
            assert figures["p50"] < 10
            assert loaded_model.spec is model_spec

        @pytest.fixture
        def model_spec():
            return ModelSpec.of(small_net.small, name="mine", input_size=16)

        def test_fixture(bench, loaded_model):
            assert bench.complexity(loaded_model.spec)["params"]["value"] > 0
        """
    )
    result = suite.runpytest_inprocess("test_own.py", *QUICK)
    result.assert_outcomes(passed=2)
    result.stdout.re_match_lines([r"small +local .*", r"mine +local .*"])


def test_other_projects_fixtures_are_left_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def model_spec():
            return "mine"

        @pytest.fixture(params=["a", "b"])
        def target(request):
            return request.param

        @pytest.fixture
        def bench():
            return 1

        def test_one(model_spec, target, bench):
            assert model_spec == "mine"
            assert bench == 1
        """
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=2)
    assert "archbench:" not in result.stdout.str()
    assert not (pytester.path / ".archbench").exists()


def test_a_project_may_claim_the_short_options(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("def pytest_addoption(parser): parser.addoption('--gpu')")
    pytester.makepyfile("def test_one(pytestconfig): assert pytestconfig.getoption('gpu') == 'x'")
    pytester.runpytest_subprocess("--gpu=x").assert_outcomes(passed=1)


def test_interrupted_run_keeps_what_was_measured(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_z="""
        def test_z(model_spec):
            raise KeyboardInterrupt
        """
    )
    result = suite.runpytest_subprocess(
        "test_bench.py", "test_z.py", SMALL, *QUICK, "--archbench-results=r.json"
    )
    assert result.ret == pytest.ExitCode.INTERRUPTED
    (cell,) = results(suite.path / "r.json")["cells"]
    assert cell["metrics"]["params"]["value"] == PARAMS
    (journal,) = (suite.path / ".archbench" / "runs").glob("*/journal.jsonl")
    assert '"kind":"cell"' in journal.read_text(encoding="utf-8")


def test_without_terminal_reporter(suite: pytest.Pytester) -> None:
    result = suite.runpytest_subprocess(
        "test_bench.py", SMALL, *QUICK, "-p", "no:terminal", "--archbench-results=r.json"
    )
    assert result.ret == 0
    assert len(results(suite.path / "r.json")["cells"]) == 1


def test_without_capturing(suite: pytest.Pytester) -> None:
    suite.runpytest_subprocess(
        "test_bench.py", SMALL, *QUICK, "-p", "no:capture"
    ).assert_outcomes(passed=2)  # fmt: skip


def test_what_stops_a_run_is_no_ctrl_c(suite: pytest.Pytester) -> None:
    suite.makepyfile(test_a="def test_a(model_spec): assert False")
    result = suite.runpytest_subprocess("test_bench.py", "test_a.py", SMALL, *QUICK, "--stepwise")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*Interrupted: Test failed, continuing from this test next run*"])
    result.stdout.no_fnmatch_line("*SIGINT*")


def test_what_only_shows_misses_nothing(suite: pytest.Pytester) -> None:
    result = suite.runpytest_subprocess("test_bench.py", SMALL, *QUICK, "--fixtures-per-test")
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*never reported*")


def test_several_measurements_in_one_test(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        test_both="""
        def test_both(bench, model_spec, loaded_model):
            bench.complexity(model_spec)
            bench.latency(loaded_model)
        """
    )
    result = suite.runpytest_inprocess("test_both.py", SMALL, *QUICK, "--archbench-results=r.json")
    result.assert_outcomes(passed=1)
    (cell,) = results(suite.path / "r.json")["cells"]
    assert cell["metrics"]["params"]["value"] == PARAMS
    assert cell["metrics"]["latency"]["samples"]
    assert cell["target"]["dtype"] == "fp32"


def test_published_figures_and_order_with_workers(suite: pytest.Pytester) -> None:
    result = suite.runpytest_subprocess(
        "test_bench.py", "-k", "complexity", "-n", "2",
        "--archbench-models=torchvision/vgg11,torchvision/alexnet",
    )  # fmt: skip
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        ["vgg11 *torchvision *69.02[*] *132.9 *7.609 *", "alexnet *torchvision *56.52[*] *61.1 *"]
    )


def test_a_persons_own_assertion_fails_as_ever_and_the_figures_are_kept(
    suite: pytest.Pytester,
) -> None:
    suite.makepyfile(
        test_asserted="""
        def test_asserted(bench, loaded_model):
            assert bench.latency(loaded_model)["p50"] < 0
        """
    )
    result = suite.runpytest_inprocess("test_asserted.py", SMALL, *QUICK)
    result.assert_outcomes(failed=1)
    assert "assert bench.latency" in result.stdout.str()
    (journal,) = (suite.path / ".archbench" / "runs").glob("*/journal.jsonl")
    assert '"samples":[' in journal.read_text(encoding="utf-8")


def test_a_link_keeps_pointing_to_the_results(suite: pytest.Pytester) -> None:
    (suite.path / "link.json").symlink_to("real.json")
    suite.runpytest_inprocess(
        "test_bench.py", SMALL, "-k", "complexity", "--archbench-results=link.json"
    ).assert_outcomes(passed=1)
    assert (suite.path / "link.json").is_symlink()
    assert len(results(suite.path / "real.json")["cells"]) == 1


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_a_test_that_has_an_architectures_name_and_measures_nothing_is_none_of_ours(
    pytester: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("name", ["timm/resnet50", "torchvision/alexnet-fp32-b1"])
        def test_name(name):
            pass
        """
    )
    result = pytester.runpytest_subprocess(*workers)
    assert result.ret == 0
    result.assert_outcomes(passed=2)
    assert "archbench: " not in result.stdout.str()
    assert not (pytester.path / ".archbench").exists()


def test_workers_time_one_at_a_time_on_a_cpu(suite: pytest.Pytester) -> None:
    """Nothing else of the run works meanwhile, by a clock that all processes share."""
    suite.makepyfile(
        small_net="""
        from torch import nn

        class Small(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(3, 10)

            def forward(self, x):
                return self.fc(x.mean((2, 3)))

        class One(Small): pass
        class Two(Small): pass
        class Three(Small): pass
        class Four(Small): pass
        """
    )
    suite.makeconftest(
        """
        import time
        from archbench.pytest_plugin import measuring

        def noted(name, function):
            def note(*given, **more):
                begin = time.monotonic()
                try:
                    return function(*given, **more)
                finally:
                    with open("noted", "a") as file:
                        print(name, begin, time.monotonic(), file=file)
            return note

        measuring.latency_record = noted("time", measuring.latency_record)
        measuring.complexity_record = noted("count", measuring.complexity_record)
        """
    )
    result = suite.runpytest_subprocess(
        "test_bench.py", "-n", "2", "--archbench-gpu=cpu", "--archbench-time-budget=0.3",
        *(f"--archbench-models=small_net.py:{name}" for name in ("One", "Two", "Three", "Four")),
    )  # fmt: skip
    result.assert_outcomes(passed=8)
    noted = [line.split() for line in (suite.path / "noted").read_text().splitlines()]
    spans = [(name, float(begin), float(end)) for name, begin, end in noted]
    times = [span for span in spans if span[0] == "time"]
    assert len(times) == 4
    assert len(spans) == 8
    for one in times:
        for other in spans:
            assert other is one or other[2] <= one[1] or one[2] <= other[1]
