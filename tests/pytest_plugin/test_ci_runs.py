"""What a run tells CI systems, from the options and the environment to the files."""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path
from xml.etree import ElementTree

import pytest

from archbench.pytest_plugin.options import OPTIONS

pytestmark = pytest.mark.usefixtures("preloaded_python")

ROOT = Path(__file__).parents[2]
NET = """
    import torch
    from torch import nn

    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, bias={bias})
            self.fc = nn.Linear(4, 10)

        def forward(self, x):
            return self.fc(torch.relu(self.conv(x)).mean((2, 3)))
"""
TEST = """
    def test_complexity(bench, model_spec):
        bench.complexity(model_spec)

    def test_latency(bench, loaded_model):
        bench.latency(loaded_model)
"""
WORKERS = pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "two workers"])
PARAMS = 3 * 4 * 9 + 4 * 10 + 10
"""Without the bias."""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """One architecture, whose accepted counts lack a bias that it has."""
    pytester.makepyfile(net=NET.format(bias=False), test_bench=TEST)
    accepted = run(pytester, "--archbench-baseline-update", "-k", "complexity")
    accepted.assert_outcomes(passed=1, deselected=1)
    pytester.makepyfile(net=NET.format(bias=True))
    return pytester


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    start = pytester.runpytest_subprocess if "-n" in arguments else pytester.runpytest_inprocess
    return start(
        "test_bench.py", "--archbench-models=net.py:Small", "--archbench-quick", *arguments
    )


@WORKERS
def test_junit_has_a_failure_for_the_cell_and_metric_and_the_figures(
    project: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    result = run(project, "--junitxml=junit.xml", "--archbench-results=r.json", *workers)
    result.assert_outcomes(passed=1, failed=1)
    (suite,) = ElementTree.parse(project.path / "junit.xml").getroot()
    assert (suite.get("failures"), suite.get("errors"), suite.get("tests")) == ("1", "0", "2")
    tests = {str(test.get("name")): test for test in suite}
    counted = tests["test_complexity[local/Small]"]
    failure = counted.find("failure")
    assert failure is not None
    message = str(failure.get("message"))
    assert "changed: local/Small differs from baselines/complexity.jsonl:2\n" in message
    assert f"  params {PARAMS} -> {PARAMS + 4} (+4, +2.53 %)\n" in message
    assert properties(counted) == {
        **properties(counted),
        "architecture": "local/Small",
        "params": str(PARAMS + 4),
        "verdict_params": "changed",
    }
    timed = properties(tests["test_latency[local/Small-fp32-b1]"])
    assert (timed["device"], timed["dtype"], timed["batch_size"]) == ("cpu", "fp32", "1")
    (cell,) = json.loads((project.path / "r.json").read_text(encoding="utf-8"))["cells"]
    samples = cell["metrics"]["latency"]["samples"]
    assert float(timed["latency_p50_seconds"]) == pytest.approx(
        statistics.median(samples), rel=1e-3
    )
    assert "params" not in timed, "a test says what it measured itself"


def test_a_metric_with_an_accepted_value_and_a_budget(project: pytest.Pytester) -> None:
    budgets = [f'[[budget]]\nlimit = "params <= {limit}"\n' for limit in ("1 M", 100, 150)]
    (project.path / "archbench.toml").write_text("".join(budgets), encoding="utf-8")
    files = ("--junitxml=junit.xml", "--archbench-code-quality=quality.json")
    run(project, *files, "-k", "complexity").assert_outcomes(failed=1, deselected=1)
    (suite,) = ElementTree.parse(project.path / "junit.xml").getroot()
    assert properties(suite[0])["verdict_params"] == "regressed"
    report = json.loads((project.path / "quality.json").read_text(encoding="utf-8"))
    about = [entry for entry in report if entry["check_name"] == "archbench-params"]
    assert sorted(entry["description"] for entry in about) == [
        f"local/Small: params changed: params {PARAMS} -> {PARAMS + 4} (+4, +2.53 %)",
        "local/Small: params regressed: params is 162, 62 % over its budget params <= 100 "
        "(archbench.toml, budget 2)",
        "local/Small: params regressed: params is 162, 8 % over its budget params <= 150 "
        "(archbench.toml, budget 3)",
    ]
    # The budget that is kept says nothing against the accepted value.
    (project.path / "archbench.toml").write_text(budgets[0], encoding="utf-8")
    run(project, *files, "-k", "complexity").assert_outcomes(failed=1, deselected=1)
    (suite,) = ElementTree.parse(project.path / "junit.xml").getroot()
    assert properties(suite[0])["verdict_params"] == "changed"


def properties(test: ElementTree.Element) -> dict[str, str]:
    found = [(str(p.get("name")), str(p.get("value"))) for p in test.iter("property")]
    assert len(dict(found)) == len(found), "each once"
    return dict(found)


@WORKERS
def test_on_github(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    summary = project.path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    result = run(project, *workers)
    result.stdout.fnmatch_lines(
        [
            "::error file=baselines/complexity.jsonl,line=2,title=local/Small%3A params changed::"
            f"params {PARAMS} -> {PARAMS + 4} (+4, +2.53 %25)"
        ]
    )
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("## archbench: cpu (")
    assert "\n**1 of 1 cell fails**: 1 changed.\n" in text
    assert f"| **changed** | local/Small | - | params | {PARAMS} | {PARAMS + 4} | +2.53 % |" in text
    assert text.count("## archbench") == 1


def test_elsewhere_nothing_is_said(project: pytest.Pytester) -> None:
    assert "::error" not in run(project, "-k", "complexity").stdout.str()
    left = {path.name for path in project.path.iterdir()}
    assert left <= {
        "net.py", "test_bench.py", "baselines", ".archbench", ".pytest_cache", "__pycache__",
        ".benchmarks",
    }  # fmt: skip


def test_files_for_gitlab(project: pytest.Pytester) -> None:
    run(project, "--archbench-code-quality=cq.json", "--archbench-openmetrics=m.txt")
    report = json.loads((project.path / "cq.json").read_text(encoding="utf-8"))
    assert [entry["check_name"] for entry in report] == [
        "archbench-params",
        "archbench-trainable-params",
    ]
    assert report[0]["location"] == {"path": "baselines/complexity.jsonl", "lines": {"begin": 2}}
    text = (project.path / "m.txt").read_text(encoding="utf-8")
    assert f'archbench_params{{architecture="local/Small"}} {PARAMS + 4}\n' in text
    assert re.search(r'\narchbench_latency_p50_seconds\{.*batch_size="1".*\} 0\.\d+\n', text)


@pytest.mark.parametrize("option", ["--archbench-code-quality", "--archbench-openmetrics"])
def test_a_place_that_cannot_be_written_is_refused_at_once(
    suite: pytest.Pytester, option: str
) -> None:
    result = suite.runpytest_inprocess("test_bench.py", f"{option}=nowhere/file")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{option}=nowhere/file: * does not exist. Name a file in a *"])


def test_a_run_without_data_is_reported(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    suite.makepyfile(conftest="import pytest\ndef pytest_runtest_setup(item): pytest.skip('no')")
    result = suite.runpytest_inprocess("test_bench.py", "--archbench-models=small_net.py:small")
    result.stdout.fnmatch_lines(["::error title=archbench::no cell was measured of 1 selected.*"])


def test_the_pages_name_options_that_exist() -> None:
    pages = [ROOT / "docs" / "ci.md", ROOT / "action.yml"]
    named = {
        name
        for page in pages
        for name in re.findall(r"--archbench-([a-z-]*[a-z])", page.read_text(encoding="utf-8"))
    }
    assert named >= {"results", "suite", "models", "code-quality", "openmetrics"}
    assert named <= OPTIONS.keys()
