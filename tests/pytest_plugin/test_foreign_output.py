"""A network that prints what terminals and CI systems obey, in whole runs as on GitHub."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("preloaded_python")

FOREIGN = (
    "first\n::set-output name=x::y\n  ::error::z\r::stop-commands::w\n##[error]mid\n"
    "\x1b[2J\x1b]0;title\x07\u202ebackwards |<img src=x>| [a](javascript:b)\n"
)
NETS = f"""
import os, sys, warnings
from torch import nn
FOREIGN = {FOREIGN!r}
print(FOREIGN)

class Loud(nn.Module):
    def __init__(self):
        super().__init__()
        print(FOREIGN); os.write(1, FOREIGN.encode()); warnings.warn(FOREIGN)
        self.head = nn.Linear(3, 4)

    def forward(self, x):
        os.write(2, FOREIGN.encode())
        return self.head(x.mean((2, 3)))

class Raising(Loud):
    def forward(self, x):
        raise RuntimeError(FOREIGN)
"""
CONFTEST = """
from archbench import ModelSpec

def pytest_archbench_models():
    from nets import Loud, Raising
    return [ModelSpec.of(Loud, input_size=8), ModelSpec.of(Raising, input_size=8)]
"""
TEST = """
def test_complexity(bench, model_spec):
    bench.complexity(model_spec)
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytester.makepyfile(nets=NETS, test_it=TEST)
    pytester.makeconftest(CONFTEST)
    pytester.makeini("[pytest]\npythonpath = .\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "summary.md"))
    return pytester.path


def run(pytester: pytest.Pytester, *arguments: str) -> str:
    done = pytester.runpytest_subprocess(
        "-p", "archbench.pytest_plugin", "test_it.py", "--archbench-models=local/*",
        "--archbench-code-quality=quality.json", "--archbench-openmetrics=metrics.txt",
        "--junitxml=junit.xml", "-rA", *arguments,
    )  # fmt: skip
    assert done.ret == 1
    assert not commands(done.stderr.str()) or "-s" in arguments
    return done.stdout.str()


def commands(log: str) -> list[str]:
    lines = re.split(r"\r\n|\r|\n", log)
    return [line for line in lines if line.lstrip().startswith("::") or "##[" in line]


@pytest.mark.parametrize("arguments", [("-v", "-n", "1"), ("-q", "--color=yes")])
def test_the_log_holds_our_commands_alone(
    pytester: pytest.Pytester, project: Path, arguments: tuple[str, ...]
) -> None:
    log = run(pytester, *arguments)
    assert log.count("set-output") > 3, "the network's text is shown all the same"
    assert [line.partition(" ")[0] for line in commands(log)] == ["::error"]
    assert not re.search("\x1b(?!\\[[0-9;]*m)|\u202e|\x07", log)
    summary = (project / "summary.md").read_text(encoding="utf-8")
    assert "<img" not in summary
    assert "](javascript" not in summary
    (entry,) = json.loads((project / "quality.json").read_text(encoding="utf-8"))
    junit = (project / "junit.xml").read_text(encoding="utf-8")
    metrics = (project / "metrics.txt").read_text(encoding="utf-8")
    for text in (summary, junit, entry["description"], metrics):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]|#x1B", text)
        assert not commands(text)


def test_what_is_not_captured_is_obeyed_by_nobody(pytester: pytest.Pytester, project: Path) -> None:
    lines = [line.strip() for line in commands(run(pytester, "-s"))]
    stop = re.fullmatch(r"::stop-commands::([0-9a-f]{32})", lines[0])
    assert stop is not None
    end = lines.index(f"::{stop[1]}::")
    assert [line.partition(" ")[0] for line in lines[end + 1 :]] == ["::error"]
    assert any("set-output" in line for line in lines[1:end])


def test_commands_are_obeyed_again_after_a_refused_run(
    pytester: pytest.Pytester, project: Path
) -> None:
    done = pytester.runpytest_subprocess(
        "-p", "archbench.pytest_plugin", "-s", "--archbench-models=local/none"
    )
    lines = [line.strip() for line in commands(done.stdout.str())]
    assert lines[-1] == f"::{lines[0].rpartition('::')[2]}::"
