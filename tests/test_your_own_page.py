"""docs/your-own.md from top to bottom, in one project: its files, its commands, what they print."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import archbench
from archbench import cli

pytestmark = pytest.mark.usefixtures("preloaded_python", "judged_on_a_busy_machine")

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"(?P<before>[^\n]*)\n+```(?P<language>\w+)\n(?P<text>.*?)^```", re.M | re.S)
_FILE = re.compile(r"`([\w/]+\.py)`")


class Block(NamedTuple):
    language: str
    file: str | None
    text: str


def blocks(page: str) -> Iterator[Block]:
    for match in _BLOCK.finditer(page):
        file = _FILE.search(match["before"])
        yield Block(match["language"], file and file[1], match["text"])


def run(project: pytest.Pytester, words: list[str], wheel: Path) -> str:
    if words[0] == "archbench":
        assert cli.main(words[1:]) == 0
        return ""
    if words[0] == "pytest":
        # Each process imports anew, as it would where the page is read.
        gates = ("--archbench-against=", "--archbench-baseline-required")
        quick = [] if any(word.startswith(gates) for word in words) else ["--archbench-quick"]
        words = [sys.executable, "-m", *words, *quick]
    environment = {**os.environ, "PYTHONPATH": f"{wheel}{os.pathsep}{os.environ['PYTHONPATH']}"}
    done = subprocess.run(
        words, cwd=project.path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def shape(line: str) -> str:
    """A line without what differs from run to run: times, and the widths of columns."""
    words = line.split()
    is_row = len(words) > 9
    return " ".join(
        "#" if is_row and index > 4 and re.fullmatch(r"~?[\d.]+|-", word) else word
        for index, word in enumerate(words)
    )


def commit(project: Path) -> None:
    (project / ".gitignore").write_text(".wheel\n__pycache__\n", encoding="utf-8")
    identity = ("-c", "user.name=x", "-c", "user.email=x")
    for words in (("add", "."), (*identity, "commit", "-qm", "x")):
        subprocess.run(["git", *words], cwd=project, check=True)


def installed(wheel: Path) -> Path:
    """What the wheel would install, in a directory that is made."""
    shutil.copytree(Path(archbench.__file__).parent, wheel / "archbench", symlinks=True)
    shutil.copytree(ROOT / "benchmarks", wheel / "archbench" / "benchmarks")
    return wheel


def said_in(printed: str, listing: str) -> bool:
    """Whether all lines of a listing were printed, whatever the times."""
    found = {shape(line) for line in printed.splitlines()}
    return {shape(line) for line in listing.splitlines()} <= found


def test_the_page(pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run(["git", "init", "-q"], cwd=pytester.path, check=True)
    wheel = installed(pytester.path / ".wheel")
    printed = ""
    for block in blocks((ROOT / "docs" / "your-own.md").read_text(encoding="utf-8")):
        if block.language == "python":
            assert block.file is not None
            path = pytester.path / block.file
            path.parent.mkdir(exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            printed = ""
            for line in block.text.splitlines():
                if "--archbench-against=HEAD" in line:
                    commit(pytester.path)
                printed += run(pytester, shlex.split(line), wheel) + capsys.readouterr().out
        else:
            assert said_in(printed, block.text), printed
