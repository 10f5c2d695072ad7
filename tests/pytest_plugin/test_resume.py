"""A run that something has ended goes on, and comes to what an unbroken one comes to."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from archbench.pytest_plugin import repeated, starting
from archbench.pytest_plugin.resuming import differences
from archbench.store.journal import Journal, read_kept, read_run
from tests.pytest_plugin.small_networks import networks

pytestmark = [
    pytest.mark.usefixtures("preloaded_python"),
    pytest.mark.skipif(sys.platform == "win32", reason="it has no such signals"),
]

NAMES = ("One", "Two", "Bad", "Four")
NETS = networks(*NAMES)
MODELS = tuple(f"--archbench-models=nets.py:{name}" for name in NAMES)
COUNTS = ("test_count.py", "--archbench-gpu=cpu", *MODELS)

# Ends the process that reports, once so many tests have ended.
KILLER = """
    import os
    import signal
    import sys

    ended = []

    def pytest_runtest_logstart(nodeid):
        if os.environ.get("LIMIT") == str(len(ended) + 1) and not is_child():
            import pathlib
            import resource

            (journal,) = pathlib.Path(".archbench/runs").glob("*/journal.jsonl")
            limit = journal.stat().st_size + 100
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    def is_child():
        return any("archbench-order" in one for one in sys.argv)

    def pytest_runtest_logfinish(nodeid):
        ended.append(nodeid)
        point, _, how = os.environ.get("KILL", "").partition(":")
        if point == str(len(ended)) and not is_child():
            if not os.environ.get("PYTEST_XDIST_WORKER"):
                os.kill(os.getpid(), getattr(signal, how))
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(
        nets=NETS, test_count="def test_count(bench, model_spec): bench.complexity(model_spec)"
    )
    pytester.makeconftest(KILLER)
    return pytester


def run(project: pytest.Pytester, *arguments: str, kill: str = "") -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KILL", kill)
        done = project.runpytest_subprocess(*arguments)
    return done


def journal_of(project: pytest.Pytester) -> Path:
    (path,) = (project.path / ".archbench" / "runs").glob("*/journal.jsonl")
    return path


def came_to(project: pytest.Pytester) -> dict[str, Any]:
    """All that a run leaves, without the times in it."""
    document = json.loads((project.path / "r.json").read_text(encoding="utf-8"))
    cases = ElementTree.parse(project.path / "j.xml").iter("testcase")
    run = read_run(journal_of(project))
    (baseline,) = (project.path / "baselines").glob("*.jsonl")
    return {
        # Workers end in any order.
        "cells": {cell["id"]: {**cell, "seconds": 0} for cell in document["cells"]},
        "settings": document["settings"],
        "junit": {case.get("name"): [child.tag for child in case] for case in cases},
        "journal": sorted(cell.id for cell in run.cells),
        "end": (run.is_complete, run.end["exit_status"]),
        "baseline": baseline.read_text(encoding="utf-8"),
    }


_UNBROKEN: dict[str, Any] = {}


def unbroken(project: pytest.Pytester) -> dict[str, Any]:
    """What a run comes to that nothing ends, measured once for all tests."""
    if not _UNBROKEN:
        assert run(project, *ALL).ret == pytest.ExitCode.TESTS_FAILED
        _UNBROKEN.update(came_to(project))
        for name in (".archbench", "baselines"):
            shutil.rmtree(project.path / name)
    return _UNBROKEN


ALL = (
    *COUNTS, "--archbench-results=r.json", "--junitxml=j.xml", "--archbench-baseline-update=new"
)  # fmt: skip


@pytest.mark.parametrize(
    ("kill", "workers"),
    [("1:SIGKILL", ()), ("3:SIGTERM", ()), ("2:SIGINT", ()), ("2:SIGKILL", ("-n", "2"))],
)
def test_it_comes_to_what_an_unbroken_run_comes_to(
    project: pytest.Pytester, kill: str, workers: tuple[str, ...]
) -> None:
    expected = unbroken(project)
    assert expected["journal"] == sorted(f"local/{name}" for name in NAMES)
    assert expected["end"] == (True, 1)
    killed = run(project, *ALL, *workers, kill=kill)
    number = int(kill.partition(":")[0])
    how = signal.Signals[kill.partition(":")[2]]
    assert killed.ret == (-9 if how == signal.SIGKILL else pytest.ExitCode.INTERRUPTED)
    if how == signal.SIGTERM:
        killed.stdout.fnmatch_lines(
            ["Bad *", "*SIGTERM: what was measured is stored, and --archbench-resume goes on*"]
        )
    if how == signal.SIGINT:
        killed.stdout.fnmatch_lines(
            ["archbench: SIGINT: what was measured is stored, and --archbench-resume goes on *"]
        )
    before = read_kept(journal_of(project))
    # A worker may have been told of the next test already.
    assert number <= len(before.tests) <= number + 1
    assert not (project.path / "baselines").exists()

    resumed = run(project, *ALL, *workers, "--archbench-resume")
    assert resumed.ret == pytest.ExitCode.TESTS_FAILED
    resumed.assert_outcomes(passed=3, failed=1)
    resumed.stdout.fnmatch_lines([f"Going on with *: {len(before.tests)} of 4 tests were done."])
    assert came_to(project) == expected
    # What was done is in the journal once, and was not done again.
    lines = journal_of(project).read_text(encoding="utf-8").splitlines()
    tests = [line.partition('"test":"')[2].partition('"')[0] for line in lines[1:-1]]
    assert len([test for test in tests if test]) == 4
    assert list((project.path / ".archbench" / "processes").iterdir()) == []


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_while_results_are_stored(project: pytest.Pytester, times: int) -> None:
    project.makeconftest(
        f"""
        import os, signal, sys, time

        def pytest_sessionfinish():
            if not any("archbench-order" in one for one in sys.argv):
                for _ in range({times}):
                    os.kill(os.getpid(), signal.SIGINT)
                    time.sleep(0.1)
        """
    )
    result = project.runpytest_subprocess(*COUNTS, "--archbench-results=r.json")
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    # What was measured is stored before, and shown after.
    assert len(json.loads((project.path / "r.json").read_text(encoding="utf-8"))["cells"]) == 4
    assert read_run(journal_of(project)).is_complete
    if times == 1:
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.stdout.fnmatch_lines(["Stored in *"])
    else:
        assert result.ret == pytest.ExitCode.INTERRUPTED
        result.stderr.fnmatch_lines(
            ["archbench: SIGINT: what was measured is stored, and --archbench-resume goes on *"]
        )


def test_what_is_done_is_not_measured_again(project: pytest.Pytester) -> None:
    project.makepyfile(test_time="def test_time(bench, loaded_model): bench.latency(loaded_model)")
    arguments = (
        "test_time.py", "--archbench-gpu=cpu", "--archbench-time-budget=0.05", *MODELS[:2],
        "--archbench-results=r.json",
    )  # fmt: skip
    assert run(project, *arguments, kill="1:SIGKILL").ret == -9
    (first,) = read_run(journal_of(project)).cells
    # A torn line, as a disk that was cut off leaves it.
    with journal_of(project).open("ab") as file:
        file.write(b'{"kind":"test","test":"half of')
    resumed = run(project, *arguments, "--archbench-resume")
    resumed.assert_outcomes(passed=2)
    resumed.stdout.fnmatch_lines(
        ["Going on with *: 1 of 2 tests were done. Its last line was torn, and its 30 bytes were "
         "cut off."]
    )  # fmt: skip
    cells = json.loads((project.path / "r.json").read_text(encoding="utf-8"))["cells"]
    assert [cell["id"] for cell in cells] == ["local/One", "local/Two"]
    samples = cells[0]["metrics"]["latency"]["samples"]
    assert samples == first.metrics["latency"]["samples"]
    assert read_run(journal_of(project)).damaged == []

    again = run(project, *arguments, "--archbench-resume")
    assert again.ret == pytest.ExitCode.USAGE_ERROR
    again.stderr.fnmatch_lines(["*has measured all that it was asked for, so that there is*"])
    named = run(project, *arguments, f"--archbench-resume={journal_of(project).parent.name}")
    named.assert_outcomes(passed=2)
    named.stdout.no_fnmatch_line("*Nothing is measured again*")
    assert json.loads((project.path / "r.json").read_text(encoding="utf-8"))["cells"] == cells


def test_another_run_is_refused(project: pytest.Pytester) -> None:
    nothing = run(project, *COUNTS, "--archbench-resume")
    assert nothing.ret == pytest.ExitCode.USAGE_ERROR
    nothing.stderr.fnmatch_lines(["*--archbench-resume=latest: no run is stored in *"])
    assert run(project, *COUNTS, kill="1:SIGKILL").ret == -9
    name = journal_of(project).parent.name
    for more, message in (
        (["--archbench-resume=1999"], "--archbench-resume=1999: there is no such run*"),
        (
            ["--archbench-resume", "--archbench-time-budget=3"],
            f"--archbench-resume={name}: settings.time_budget was 2.0 and is 3.0 now, *",
        ),
        (
            ["--archbench-resume", "-k", "One"],
            f"--archbench-resume={name}: tests.number was 4 and is 1 now, *",
        ),
    ):
        result = run(project, *COUNTS, *more)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"*{message}"])
    for place, text in (
        ("archbench.toml", 'budget = [{limit = "params <= 1"}]'), ("tox.ini", "[pytest]\n")
    ):  # fmt: skip
        (project.path / place).write_text(text, encoding="utf-8")
        result = run(project, *COUNTS, "--archbench-resume")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"*{name}: sources.{place} was absent and is '*' now, *"])
        (project.path / place).unlink()
    with (project.path / "nets.py").open("a") as file:
        file.write("\n# another network\n")
    result = run(project, *COUNTS, "--archbench-resume")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{name}: sources.nets.py was '*' and is '*' now, *"])
    # Nothing was written meanwhile.
    assert [cell.id for cell in read_run(journal_of(project)).cells] == ["local/One"]


def test_a_finished_run_says_what_has_changed_since(project: pytest.Pytester) -> None:
    run(project, *COUNTS, "--archbench-baseline-update=new")
    assert (project.path / "baselines").is_dir()
    with (project.path / "nets.py").open("a") as file:
        file.write("\n# another network\n")
    name = journal_of(project).parent.name
    result = run(project, *COUNTS, f"--archbench-resume={name}", "--archbench-baseline-update=new")
    result.stdout.fnmatch_lines([
        f"Going on with {name}: 4 of 4 tests were done. Nothing is measured again, though since "
        "then changed: nets.py."
    ])  # fmt: skip


def test_what_differs_is_named() -> None:
    then = {"time": "a", "packages": {"torch": "2.4", "numpy": "1"}, "cpu": "x", "gone": 1}
    now = {"time": "b", "packages": {"torch": "2.5", "numpy": "1"}, "cpu": "x", "new": 2}
    assert list(differences(then, now)) == [
        ("packages.torch", "2.4", "2.5"), ("new", None, 2), ("gone", 1, None)
    ]  # fmt: skip
    assert list(differences(then, then | {"time": "c", "load_average": [1.0]})) == []


def test_a_run_that_goes_on_elsewhere_is_left_alone(project: pytest.Pytester) -> None:
    assert run(project, *COUNTS, kill="1:SIGKILL").ret == -9
    path = journal_of(project)
    journal = Journal(path.parent.parent, {}, path.parent.name)
    journal.reopen()
    result = run(project, *COUNTS, "--archbench-resume")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*journal.jsonl: another process is writing to it*"])


def test_a_full_disk_ends_the_run_with_one_sentence(project: pytest.Pytester) -> None:
    """A limit on the size of files does to a process what a disk does that is full."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIMIT", "2")
        done = run(project, *COUNTS)
    assert done.ret == pytest.ExitCode.INTERRUPTED
    text = done.stdout.str() + done.stderr.str()
    assert "journal.jsonl could not be written: File too large." in text
    assert "INTERNALERROR" not in text
    assert "Traceback" not in text
    run_of = read_run(journal_of(project))
    assert [cell.id for cell in run_of.cells] == ["local/One"]
    assert run_of.damaged == []
    resumed = run(project, *COUNTS, "--archbench-resume")
    resumed.assert_outcomes(passed=3, failed=1)
    assert len(read_run(journal_of(project)).cells) == len(NAMES)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_before_the_first_test_ends_the_run(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(starting, "write_text", full)
    monkeypatch.setattr(repeated, "measure_once", lambda *given, **more: None)
    project.makepyfile(test_time="def test_time(bench, loaded_model): bench.latency(loaded_model)")
    result = project.runpytest_inprocess(
        "test_time.py", "--archbench-gpu=cpu", "--archbench-processes=2", MODELS[0]
    )
    assert result.ret == pytest.ExitCode.INTERRUPTED
    text = result.stdout.str() + result.stderr.str()
    assert f"could not be written: {os.strerror(code)}. What was measured before is stored" in text
    assert "INTERNALERROR" not in text
