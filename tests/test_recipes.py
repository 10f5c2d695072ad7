"""docs/recipes.md: each recipe is a project, its commands are run as they stand in it.

What a reader has and a test has not is replaced: the other machine, another torch, the cores and
the 10 ms of a Pi.
"""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_your_own_page import ROOT, Block, blocks, commit, installed, run, said_in

pytestmark = pytest.mark.usefixtures("preloaded_python", "judged_on_a_busy_machine")

START, *SECTIONS = re.split(
    r"^## ", (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8"), flags=re.MULTILINE
)
RECIPES = {section.partition("\n")[0]: section for section in SECTIONS}
(NET,) = [block for block in blocks(START) if block.language == "python"]


# On a busy machine a comparison asks for process runs until it has eight.
RULES = """
[[tool.archbench.paired]]
process_runs = 2
most_process_runs = 2
"""


def replaced(word: str) -> str:
    """What a test has in place of what a reader has."""
    word = word.replace("/opt/torch-2.13/bin/python", sys.executable)
    word = word.replace("--archbench-threads=4", "--archbench-threads=1")
    return re.sub(r"^(--max-latency)=.*", r"\1=1000s", word)


def other_machine(here: Path) -> None:
    """``there.json``, as a machine with another processor would have written it."""
    text = here.read_text(encoding="utf-8")
    text = re.sub(r'"slug": "[^"]*"', '"slug": "cpu-cortex-a76"', text)
    text = re.sub(r'"device_name": "[^"]*"', '"device_name": "Cortex-A76"', text)
    (here.parent / "there.json").write_text(text, encoding="utf-8")


def evaluated(block: Block) -> None:
    """Run a block of Python whose last line is what the expression before it gives."""
    *body, last = ast.parse(block.text).body
    names: dict[str, object] = {}
    exec(compile(ast.Module(body, []), "docs/recipes.md", "exec"), names)
    given = eval(compile(ast.Expression(last.value), "docs/recipes.md", "eval"), names)  # type: ignore[attr-defined]
    assert f"# {given!r}" == block.text.splitlines()[-1]


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe(
    title: str,
    pytester: pytest.Pytester,
    capsys: pytest.CaptureFixture[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    project = pytester.path
    (project / "nets").mkdir()
    (project / "nets" / "net.py").write_text(NET.text, encoding="utf-8")
    (project / "pyproject.toml").write_text(RULES, encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    wheel = installed(tmp_path_factory.mktemp("site-packages") / "wheel")
    commit(project)
    subprocess.run(["git", "update-ref", "refs/remotes/origin/main", "HEAD"], check=True)
    printed, commands = "", 0
    for block in blocks(RECIPES[title]):
        if block.language == "python":
            evaluated(block)
        elif block.language == "text":
            assert said_in(printed, block.text), printed
        elif block.language == "console":
            for line in block.text.splitlines():
                commands += 1
                words = [replaced(word) for word in shlex.split(line)]
                printed += run(pytester, words, wheel) + capsys.readouterr().out
                if (project / "here.json").exists():
                    other_machine(project / "here.json")
    assert commands > 0
    if "merge" in title:
        rows = (project / "both.csv").read_text(encoding="utf-8").splitlines()
        assert len(rows) == 5
        assert sum("cpu-cortex-a76" in row for row in rows) == 2
