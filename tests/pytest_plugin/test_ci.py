"""Files and lines for the CI system that a run belongs to; nothing elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from archbench.core.records import Record
from archbench.core.spec import Target
from archbench.core.verdicts import Verdict
from archbench.pytest_plugin.ci import CiReport, report_to_ci, set_junit_properties
from archbench.pytest_plugin.options import spelled
from archbench.report.ci import SUMMARY_LIMIT

TARGET = Target("cpu", "EPYC", "cpu")


def record(metric: str = "latency") -> Record:
    verdict = Verdict(metric, "crashed", "died", "give it more with --time-budget=9")
    return Record("local/net", TARGET, verdicts=[verdict])


@pytest.fixture
def config(pytester: pytest.Pytester) -> pytest.Config:
    (pytester.path / "tests").mkdir()
    (pytester.path / "tests" / "test_bench.py").touch()
    return pytester.parseconfig()


def said(config: pytest.Config, environ: dict[str, str], **files: Path) -> CiReport:
    one = record()
    return report_to_ci(
        config, [one], {"tests/test_bench.py::test_latency[x]": one}, title="cpu",
        problems=["a worker died"], environ=environ,
        code_quality_path=files.get("code_quality"), openmetrics_path=files.get("openmetrics"),
    )  # fmt: skip


def test_nothing_happens_outside_ci(config: pytest.Config) -> None:
    before = set(config.rootpath.rglob("*"))
    assert said(config, {"HOME": "/"}) == CiReport()
    assert set(config.rootpath.rglob("*")) == before


def test_the_summary_is_appended(config: pytest.Config, tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    path.write_text("of an earlier step", encoding="utf-8")
    assert said(config, {"GITHUB_STEP_SUMMARY": str(path)}) == CiReport()
    first, _, rest = path.read_text(encoding="utf-8").partition("\n")
    assert first == "of an earlier step"
    assert rest.startswith("## archbench: cpu\n")
    assert "- a worker died" in rest
    assert "--archbench-time-budget=9" in rest


def test_what_earlier_steps_wrote_counts(config: pytest.Config, tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    path.write_text("x" * (SUMMARY_LIMIT - 100), encoding="utf-8")
    report = said(config, {"GITHUB_STEP_SUMMARY": str(path), "GITHUB_ACTIONS": "true"})
    assert path.stat().st_size == SUMMARY_LIMIT - 100
    assert report.problems == ()
    assert report.lines[-1].startswith("::warning title=archbench::the step summary was not writ")


def test_annotations_name_the_tests_file(config: pytest.Config) -> None:
    assert said(config, {"GITHUB_ACTIONS": "true"}).lines == (
        "::error title=archbench::a worker died",
        "::error file=tests/test_bench.py,line=1,title=local/net fp32-b1%3A latency crashed"
        "::give it more with --archbench-time-budget=9",
    )
    assert said(config, {"GITHUB_ACTIONS": "false"}).lines == ()


@pytest.mark.parametrize("nodeid", ["../site/test_x.py::test", "/site/test_x.py::test", "other"])
def test_a_test_outside_the_repository_is_no_place(config: pytest.Config, nodeid: str) -> None:
    one = record()
    records = {} if nodeid == "other" else {nodeid: one}
    path = config.rootpath / "cq.json"
    report_to_ci(config, [one], records, title="", code_quality_path=path, environ={})
    (entry,) = json.loads(path.read_text(encoding="utf-8"))
    assert entry["location"] == {"path": "baselines/complexity.jsonl", "lines": {"begin": 1}}


def test_files_for_gitlab(config: pytest.Config, tmp_path: Path) -> None:
    files = {"code_quality": tmp_path / "cq.json", "openmetrics": tmp_path / "m.txt"}
    assert said(config, {}, **files) == CiReport()
    (entry,) = json.loads(files["code_quality"].read_text(encoding="utf-8"))
    assert entry["location"] == {"path": "tests/test_bench.py", "lines": {"begin": 1}}
    assert (
        files["openmetrics"]
        .read_text(encoding="utf-8")
        .endswith('archbench_cells{status="crashed"} 1\n# EOF\n')
    )


def test_a_file_that_cannot_be_written_is_a_problem(config: pytest.Config, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    report = said(
        config,
        {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(gone / "summary.md")},
        code_quality=gone / "cq.json",
        openmetrics=tmp_path / "m.txt",
    )
    (problem,) = report.problems
    assert problem.startswith(f"--code-quality={gone / 'cq.json'} could not be written: ")
    assert (tmp_path / "m.txt").exists(), "one failure does not lose the other file"
    assert f"::error title=archbench::{spelled(config, problem)}" in report.lines
    assert report.lines[-1].startswith("::warning title=archbench::the step summary was not writ")


def test_properties_replace_those_of_an_earlier_record(pytester: pytest.Pytester) -> None:
    item = pytester.getitem("def test_func(): pass")
    item.user_properties.append(("mine", "1"))
    set_junit_properties(item, Record("local/net", TARGET))
    set_junit_properties(item, record())
    assert item.user_properties[0] == ("mine", "1")
    assert [name for name, _ in item.user_properties].count("architecture") == 1
    assert item.user_properties[-1] == ("verdict_latency", "crashed")
