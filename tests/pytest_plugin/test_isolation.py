"""Networks that misbehave, beside two good ones: some of those of ``tools/isolation.py``."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

NETS = Path(__file__).parents[1] / "isolation" / "nets.py"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it forks, and looks into /proc")

CRASHED = {
    "Raises": "crashed", "KillsItsGroup": "out-of-memory", "Garbles": "crashed", "Stops": "crashed"
}  # fmt: skip
MEASURED = (
    "RemovesFilesOfTheRun",
    "ForksAndGoesOn",
    "StartsAProgram",
    "ClosesItsOutput",
    "GoesElsewhere",
)


def processes_of(project: Path) -> list[int]:
    """Those whose environment names the project, or that run in it: a fork of the template shows
    that one's environment."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            variables = (place / "environ").read_bytes().split(b"\0")
            is_its = (place / "cwd").readlink() == project
        except OSError:
            continue
        is_its |= f"PROJECT={project}".encode() in variables
        if is_its and int(place.name) != os.getpid():
            found.append(int(place.name))
    return found


def measured(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], *more: str
) -> dict[str, dict[str, Any]]:
    """The cells of networks, after a run that leaves nothing behind."""
    shutil.copy(NETS, pytester.path / "nets.py")
    pytester.makepyfile(test_time="def test_time(bench, loaded_model): bench.latency(loaded_model)")
    (pytester.path / "tmp").mkdir()
    with monkeypatch.context() as patch:
        patch.setenv("PROJECT", str(pytester.path))
        patch.setenv("TMPDIR", str(pytester.path / "tmp"))
        result = pytester.runpytest_subprocess(
            "test_time.py", "--archbench-gpu=cpu", "--archbench-time-budget=0.05",
            "--archbench-cell-timeout=20", "--archbench-results=r.json", *more,
            *(f"--archbench-models=nets.py:{name}" for name in names),
        )  # fmt: skip
    is_red = bool({*names} & {*CRASHED})
    assert result.ret == (pytest.ExitCode.TESTS_FAILED if is_red else pytest.ExitCode.OK)
    cells: list[dict[str, Any]] = json.loads((pytester.path / "r.json").read_text())["cells"]
    assert sorted(cell["id"] for cell in cells) == sorted(f"local/{name}" for name in names)
    for cell in cells:
        if cell["id"].removeprefix("local/") not in CRASHED:
            assert len(cell["metrics"]["latency"]["samples"]) >= 3
    assert processes_of(pytester.path) == []
    assert list((pytester.path / ".archbench" / "processes").iterdir()) == []
    return {cell["id"].removeprefix("local/"): cell for cell in cells}


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["plain", "workers"])
@pytest.mark.usefixtures("preloaded_python")
def test_each_ends_in_a_verdict_and_leaves_nothing(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    # What hangs comes after what has removed the file for its stack.
    names = ("Good", *MEASURED, *CRASHED, "AlsoGood")
    cells = measured(pytester, monkeypatch, names, *workers)
    for name, status in CRASHED.items():
        assert [verdict["status"] for verdict in cells[name]["verdicts"]] == [status]


def test_what_has_left_the_group_of_its_process_ends_with_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the template: of its forks nobody sees whose they are."""
    measured(pytester, monkeypatch, ("Good", "ForksADaemon", "AlsoGood"))
