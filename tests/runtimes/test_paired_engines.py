"""Engines as sides of a paired comparison: where they lie in memory, and where their time goes."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from archbench.core.differences import ModuleTime
from archbench.measure.side_network import SideNetwork
from archbench.runtimes.onnxruntime import node_seconds
from tests.pytest_plugin.test_against import RULES, git
from tests.runtimes.networks import Net, loaded
from tests.workers.test_environments import wheel


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    """Imported outside of pytester's runs, after which they would be imported again."""
    for module in ("onnxruntime", "onnx", "onnxscript"):
        pytest.importorskip(module)


@pytest.fixture(params=["onnxruntime", "openvino"])
def side(request: pytest.FixtureRequest, artefacts: Path) -> SideNetwork:
    pytest.importorskip(request.param)
    return SideNetwork(loaded(artefacts, runtime=request.param), seed=1)


def test_what_a_side_says(side: SideNetwork) -> None:
    facts = side.facts(exact=True)
    metrics = facts.metrics
    assert 0 <= metrics["output_difference"]["value"] < 1e-5
    assert "process_memory has it" in metrics["peak_memory"]["absent"]
    assert metrics["artefact_size"]["value"] > 1000
    assert facts.scores is not None
    assert list(facts.scores.shape) == [1, 10]


def test_it_is_opened_anew_where_it_is_to_lie_elsewhere(side: SideNetwork) -> None:
    opened: list[Any] = []
    for move in (False, False, True):
        assert side.burst(0.01, move=move).wall
        opened.append(side._loaded.artefact)
    before, same, after = opened
    assert same is before
    assert after.session is not before.session
    assert after.artefact.path == before.artefact.path


def test_its_time_by_node(side: SideNetwork) -> None:
    nodes = side.modules(passes=3)
    types = {node.type for node in nodes.values()}
    assert any("Conv" in one for one in types)
    # Of a pass that takes 50 us or more, most is some node's.
    assert 1e-6 < sum(node.seconds for node in nodes.values()) < 0.1
    names = {name for name, _ in Net().named_modules()}
    assert not names & nodes.keys()


def test_of_a_node_that_ran_several_times_the_fastest_counts() -> None:
    def event(name: str, duration: int, **more: Any) -> dict[str, Any]:
        args = {"op_name": "Conv", "provider": "CPUExecutionProvider"}
        return {"cat": "Node", "name": name, "dur": duration, "args": args, **more}

    assert node_seconds(
        [
            event("a_kernel_time", 30),
            event("a_kernel_time", 20),
            event("a_fence_before", 1),
            event("session", 90, cat="Session"),
        ]
    ) == {"a": ModuleTime("Conv", 20e-6)}


PROJECT = {
    "net": """
        from torch import nn

        def net():
            return nn.Sequential(nn.Flatten(), nn.Linear(48, 10))
    """,
    "test_time": """
        def test_time(bench, loaded_model):
            bench.latency(loaded_model)
    """,
}


@pytest.mark.usefixtures("preloaded_python", "judged_on_a_busy_machine")
def test_both_sides_open_one_graph(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(**PROJECT)
    (pytester.path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    (pytester.path / ".gitignore").write_text(".archbench/\n__pycache__/\n")
    rules = RULES.replace("process_runs = 1", "process_runs = 1\nmost_process_runs = 1")
    (pytester.path / "archbench.toml").write_text(rules)
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "reference"]):
        git(pytester.path, *command)
    result = pytester.runpytest_inprocess(
        "test_time.py", "--archbench-models=net.py:net@4", "--archbench-gpu=cpu",
        "--archbench-runtime=onnxruntime", "--archbench-against=HEAD", "--archbench-results=r.json",
    )  # fmt: skip
    result.assert_outcomes(passed=1)
    graphs = {path.relative_to(pytester.path).parts[:2] for path in pytester.path.rglob("*.onnx")}
    assert graphs == {(".archbench", "artefacts")}
    result.stdout.re_match_lines([rf" *work tree on .* ran .*onnxruntime {version('onnxruntime')}"])
    (cell,) = json.loads((pytester.path / "r.json").read_text())["cells"]
    assert cell["metrics"]["paired_ratio"]["series"]


def test_an_update_from_a_version_that_cannot_be_used(pytester: pytest.Pytester) -> None:
    path = wheel(pytester.path, "onnxruntime", "1.5.0")
    pytester.makepyfile(**PROJECT)
    result = pytester.runpytest_inprocess(
        "test_time.py", "--archbench-models=net.py:net@4", "--archbench-gpu=cpu",
        "--archbench-runtime=onnxruntime", f"--archbench-against=pip:{path}",
    )  # fmt: skip
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "*the process of the same project with onnxruntime 1.5.0 did not come up: *",
            "ERROR: --archbench-runtime=onnxruntime: it needs onnxruntime 1.18 or newer; 1.5.0 is "
            "installed. Run: python -m pip install *",
        ]
    )
