"""Peak memory in whole runs: measured, accepted, compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.pytest_plugin.test_time_gate import QUICK, TEST, Processes, accept

pytestmark = pytest.mark.usefixtures("preloaded_python")

__all__ = ["project"]


@pytest.fixture
def project(suite: pytest.Pytester) -> pytest.Pytester:
    suite.makepyfile(test_time=TEST)
    return suite


def set_accepted(project: pytest.Pytester, value: float) -> None:
    (path,) = (project.path / "baselines").glob("*/fp32.jsonl")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    lines[1]["memory_and_energy"] = {"peak_memory": value}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def as_schema_2(project: pytest.Pytester, *, without: Sequence[str] = ()) -> None:
    """Write the accepted line as it was before memory was accepted; process runs had other names.

    Args:
        without: fields that process runs did not have then.
    """
    (path,) = (project.path / "baselines").glob("*/fp32.jsonl")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    lines[0]["schema"] = 2
    del lines[1]["memory_and_energy"]
    lines[1]["launches"] = lines[1].pop("process_runs")
    for one in (lines[1]["environment"], *lines[1]["launches"]):
        one["yardstick"] = one.pop("reference_workload")
    for run in lines[1]["launches"]:
        for field in without:
            del run[field]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def verdicts(path: Path) -> dict[str, Any]:
    (cell,) = json.loads((path / "r.json").read_text(encoding="utf-8"))["cells"]
    return {verdict["metric"]: verdict for verdict in cell["verdicts"]}


def test_what_was_accepted_repeats_to_the_last_bit(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = accept(project, monkeypatch)
    assert line["memory_and_energy"]["peak_memory"] > 4 * (162 + 3 * 224 * 224 + 4 * 222 * 222)
    Processes(monkeypatch, *[0.1] * 3)
    result = project.runpytest_inprocess("test_time.py", *QUICK, "--archbench-results=r.json")
    result.assert_outcomes(passed=1)
    verdict = verdicts(project.path)["peak_memory"]
    assert (verdict["status"], verdict["reason"]) == ("unchanged", "equal")
    assert verdict["value"] == line["memory_and_energy"]["peak_memory"]
    result.stdout.fnmatch_lines(["architecture *peak memory MB *verdict"])


def test_more_memory_than_the_tolerance_is_red(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = accept(project, monkeypatch)["memory_and_energy"]["peak_memory"]
    set_accepted(project, value - 2 * 2**20)  # 1 % and 1 MiB are tolerated
    Processes(monkeypatch, *[0.1] * 3)
    result = project.runpytest_inprocess("test_time.py", *QUICK, "--archbench-results=r.json")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "regressed: local/small fp32-b1 on cpu*: peak memory *MB -> *MB (+*%); the tolerance *",
            "Baseline: baselines/cpu*/fp32.jsonl:2, accepted 20*: why.",
            "If this is meant, run the same command with --archbench-baseline-update.",
        ]
    )
    assert verdicts(project.path)["peak_memory"]["reason"] == "more"


def test_a_baseline_from_before_memory_was_measured_says_nothing_of_it(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(project, monkeypatch)
    as_schema_2(project)
    Processes(monkeypatch, *[0.1] * 3)
    result = project.runpytest_inprocess("test_time.py", *QUICK, "--archbench-results=r.json")
    result.assert_outcomes(passed=1)
    assert set(verdicts(project.path)) == {"latency"}


def test_a_budget_of_memory(project: pytest.Pytester) -> None:
    (project.path / "archbench.toml").write_text(
        "[[budget]]\nlimit = 'peak_memory <= 1 kB'\n", encoding="utf-8"
    )
    result = project.runpytest_inprocess("test_time.py", *QUICK)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["regressed: local/small fp32-b1: peak_memory is * over its budg*"])
