"""A metric from outside, one file, is seen wherever metrics are: the example of docs/design.md."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from archbench import cli
from archbench.cli.sources import rows_from
from archbench.core.errors import UsageError
from archbench.core.selectors import Selector
from archbench.core.tolerances import parse_override
from archbench.report.page import page_data
from archbench.store.seals import sealed
from tests.pytest_plugin.test_time_gate import QUICK, TEST, Processes

pytestmark = pytest.mark.usefixtures("preloaded_python")

SIZE = 4 * (3 * 4 * 9 + 4 + 4 * 10 + 10)
"""Bytes of a convolution and a classifier in fp32."""

PAGE = (Path(__file__).parents[2] / "docs" / "design.md").read_text(encoding="utf-8")
EXAMPLE = next(
    text for text in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "register(" in text
)


@pytest.fixture
def project(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, metrics_put_back: None
) -> pytest.Pytester:
    """A project where the metric has been registered."""
    suite.makepyfile(test_time=TEST)
    exec(compile(EXAMPLE, "weights.py", "exec"), {})
    monkeypatch.chdir(suite.path)
    return suite


def run(
    project: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    *arguments: str,
    process_runs: int = 3,
) -> pytest.RunResult:
    Processes(monkeypatch, *[0.1] * process_runs)
    return project.runpytest_inprocess(
        "test_time.py", *QUICK, "--archbench-measure=weights", "--archbench-results=r.json",
        "--junitxml=junit.xml", *arguments,
    )  # fmt: skip


def said(project: pytest.Pytester) -> dict[str, str]:
    """What JUnit says about the test."""
    root = ElementTree.parse(project.path / "junit.xml").getroot()
    return {str(one.get("name")): str(one.get("value")) for one in root.iter("property")}


def test_it_is_measured_accepted_compared_and_limited(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run(project, monkeypatch, "--archbench-baseline-update", process_runs=10)
    result.assert_outcomes(passed=1)
    (path,) = (project.path / "baselines").glob("*/fp32.jsonl")
    header, line = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    assert line["memory_and_energy"]["weight_size"] == SIZE

    run(project, monkeypatch).assert_outcomes(passed=1)
    (cell,) = json.loads((project.path / "r.json").read_text(encoding="utf-8"))["cells"]
    assert cell["metrics"]["weight_size"] == {"value": SIZE, "unit": "B", "source": "measured"}
    assert said(project)["weight_size_bytes"] == str(SIZE)
    assert said(project)["verdict_weight_size"] == "unchanged"

    # More than the default's one percent.
    line["memory_and_energy"]["weight_size"] = SIZE - 8
    path.write_text(f"{json.dumps(header)}\n{json.dumps(line)}\n", encoding="utf-8")
    result = run(project, monkeypatch)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "regressed: local/small fp32-b1 on cpu*: weight size 0.64 kB -> 0.648 kB (+1.2%); the "
            "tolerance is 0.0064 kB",
            "architecture *weights kB *verdict",
            "small *0.648 *regressed",
            "Weight size: 1 regressed.",
        ]
    )
    assert said(project)["verdict_weight_size"] == "regressed"

    rules = "[[tolerance]]\nmetric = 'weight_size'\nrelative = '2 %'\n"
    (project.path / "archbench.toml").write_text(rules, encoding="utf-8")
    run(project, monkeypatch).assert_outcomes(passed=1)
    rules += "[[budget]]\nlimit = 'weight_size <= 600 B'\n"
    (project.path / "archbench.toml").write_text(rules, encoding="utf-8")
    result = run(project, monkeypatch)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["regressed: *: weight_size is 648 B, 8 % over its budget *"])


def test_stored_runs_are_listed_chosen_and_drawn_by_it(
    project: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(project, monkeypatch, process_runs=0).assert_outcomes(passed=1)
    (journal,) = (project.path / ".archbench" / "runs").glob("*/journal.jsonl")
    lines = [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        line.pop("crc", None)
        if line["kind"] == "cell":
            line["metrics"]["top1"] = {"value": 70.0, "unit": "%", "source": "measured"}
    journal.write_bytes(b"".join(map(sealed, lines)))
    capsys.readouterr()
    assert cli.main(["select", "latest", "--max-weights=1kB"]) == 0
    assert "0.648" in capsys.readouterr().out
    assert cli.main(["select", "latest", "--max-weights=600B"]) == 1
    assert "Beyond --max-weights=600B: 1." in capsys.readouterr().err
    assert cli.main(["report", "latest", "--format=csv"]) == 0
    assert ",weight_size," in capsys.readouterr().out
    assert cli.main(["compare", "latest", "latest", "--metric=weight_size"]) == 0
    assert "weights kB" in capsys.readouterr().out
    points = rows_from(["latest"], project.path).rows
    data: Any = page_data(points, title="x")
    assert "weight_size" in data["at"]


def test_a_distribution_offers_it_by_an_entry_point(tmp_path: Path) -> None:
    (tmp_path / "weights.py").write_text(EXAMPLE, encoding="utf-8")
    about = tmp_path / "weights-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: weights\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[archbench.metrics]\nweights = weights\nbroken = no_such_module\n"
    )
    places = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-m", "archbench", "select", "--help"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "--max-weights LIMIT" in done.stdout
    assert "as they lie in memory: 10MB" in done.stdout
    assert (
        "the metrics of broken (no_such_module) cannot be used: No module named 'no_such_module'"
    ) in done.stderr


def test_unknown_families_are_refused(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess("test_time.py", *QUICK, "--archbench-measure=wieghts")
    result.stderr.fnmatch_lines(
        [
            "*'wieghts' is not a family of metrics that archbench knows. "
            "Use memory, energy, deployed, output, weights"
        ]
    )


def test_what_is_not_registered_is_known_nowhere() -> None:
    with pytest.raises(UsageError, match="there is no metric 'weight_size'"):
        parse_override("weight_size", Selector(), relative="1 %")
