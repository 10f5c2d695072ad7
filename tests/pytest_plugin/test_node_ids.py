"""Tests that ``--pyargs`` finds outside of the project have ids that can be typed."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

import archbench
from archbench.pytest_plugin.node_ids import is_elsewhere
from archbench.pytest_plugin.sides import _kept
from archbench.workers.imports import Trees
from tests.conftest import SUITE

pytestmark = pytest.mark.usefixtures("preloaded_python")

NET = "--archbench-models=small_net.py:small"
ONE = "outside.benchmarks.test_bench::test_complexity[local/small]"


@pytest.fixture
def outside(
    suite: pytest.Pytester,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A package with the suite in it, as an installation has one."""
    site = tmp_path_factory.mktemp("site")
    _package(site, SUITE)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
    (suite.path / "test_bench.py").unlink()
    return site


def _package(site: Path, tests: str) -> None:
    directory = site / "outside" / "benchmarks"
    directory.mkdir(parents=True)
    (site / "outside" / "__init__.py").touch()
    (directory / "__init__.py").touch()
    lines = [line.removeprefix("    ") for line in tests.splitlines()]
    (directory / "test_bench.py").write_text("\n".join(lines), encoding="utf-8")


def collected(suite: pytest.Pytester, *arguments: str) -> list[str]:
    result = suite.runpytest_inprocess("--collect-only", "-q", "--pyargs", *arguments, NET)
    assert result.ret == 0, result.stdout.str()
    return [line for line in result.outlines if "::" in line]


@pytest.mark.parametrize(
    "argument",
    [
        "outside.benchmarks",
        "outside.benchmarks.test_bench",
        "outside",
        "outside.benchmarks.test_bench::test_complexity",
        ONE,
        "../" + ONE,
    ],
)
def test_an_id_is_the_same_however_its_file_is_named(
    argument: str, outside: Path, suite: pytest.Pytester
) -> None:
    found = collected(suite, argument)
    assert found[0] == ONE
    assert len(found) == (1 if "::" in argument else 2)


def test_an_environment_may_lie_within_the_project(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = suite.path / ".venv" / "lib" / "site-packages"
    _package(site, SUITE)
    monkeypatch.syspath_prepend(str(site))
    assert collected(suite, "outside.benchmarks")[0] == ONE


def test_pip_may_put_the_suite_into_any_directory(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``pip install --target=site`` in the project, which is none of its code."""
    config, site = suite.parseconfig(), suite.path / "site"
    monkeypatch.setattr(archbench, "__file__", str(site / "archbench" / "__init__.py"))
    installed = site / "archbench" / "benchmarks" / "test_latency.py"
    assert not is_elsewhere(config, installed)  # a checkout's own
    (site / "pytest_archbench-9.9.dist-info").mkdir(parents=True)
    assert is_elsewhere(config, installed)
    assert not is_elsewhere(config, suite.path / "test_bench.py")
    trees = Trees(str(suite.path), str(suite.path / "other"), _kept(config))
    assert trees.place(str(site)) == str(site)
    assert trees.place(str(suite.path / "net.py")) == str(suite.path / "other" / "net.py")


def test_an_id_that_was_printed_below_the_root_can_be_typed(
    outside: Path, suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    (suite.path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (suite.path / "below").mkdir()
    monkeypatch.chdir(suite.path / "below")
    net = "--archbench-models=../small_net.py:small"
    given = ("--pyargs", net, "-v")
    result = suite.runpytest_inprocess("outside.benchmarks.test_bench", "-k", "complexity", *given)
    (printed,) = (line.split()[0] for line in result.outlines if line.startswith("../outside"))
    assert printed == f"../{ONE}"
    suite.runpytest_inprocess(printed, *given).assert_outcomes(passed=1)


def test_files_of_the_project_keep_pytests_own_ids(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    _package(suite.path, SUITE)
    monkeypatch.syspath_prepend(str(suite.path))
    expected = "outside/benchmarks/test_bench.py::test_complexity[local/small]"
    assert collected(suite, "outside.benchmarks")[0] == expected


def test_what_is_none_of_ours_keeps_its_ids(
    pytester: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _package(tmp_path, "    def test_plain(): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    result = pytester.runpytest_inprocess("--collect-only", "-q", "--pyargs", "outside.benchmarks")
    assert "test_bench.py::test_plain" in result.outlines


def test_workers_collect_the_same(outside: Path, suite: pytest.Pytester) -> None:
    result = suite.runpytest_subprocess("--pyargs", ONE, NET, "-n", "1")
    result.assert_outcomes(passed=1)


def test_what_ci_systems_are_reported(
    outside: Path, suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    suite.makepyfile(small_net="def small():\n    raise ValueError('no')\n")
    result = suite.runpytest_inprocess(
        "--pyargs", "outside.benchmarks.test_bench", "-k", "complexity", NET, "--junitxml=junit.xml"
    )
    result.assert_outcomes(failed=1)
    # No file of the repository is named that is not there.
    result.stdout.fnmatch_lines(["::error file=baselines/complexity.jsonl,line=1,title=local/*"])
    (case,) = ElementTree.parse(suite.path / "junit.xml").iter("testcase")
    assert case.get("classname") == "outside.benchmarks.test_bench"
    assert case.get("name") == "test_complexity[local/small]"
