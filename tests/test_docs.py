"""The examples of the documentation run as they are printed.

In ``python`` blocks an expression followed by a comment line must have that comment as its repr.
In ``console`` blocks each ``archbench`` command is run and each ``pytest`` command is collected.
docs/your-own.md is one project from top to bottom: tests/test_your_own_page.py. So is each
recipe of docs/recipes.md: tests/test_recipes.py.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from archbench import cli
from archbench.core.entries import MetricEntry
from archbench.core.headers import RunEnvironment
from archbench.core.records import Record
from archbench.core.spec import Target
from archbench.pytest_plugin.declared import OPTIONS
from archbench.store.artefacts import Artefacts
from archbench.store.journal import Journal

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *(
        page
        for page in sorted((ROOT / "docs").glob("*.md"))
        if page.name not in ("recipes.md", "your-own.md")
    ),
]
_BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)

OWN_NET = """
from torch import nn

def my_net():
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 10))
"""

# Of resnet18, in ms, by day of September 2026: the listing of docs/history.md.
STORED = {
    9: 56.1, 10: 57.9, 11: 57.4, 12: 56.1, 13: 56.6, 14: 63.2, 15: 62.4, 16: 63.7, 17: 62.8,
    18: 63.3,
}  # fmt: skip


def store_runs(root: Path) -> None:
    for day, milliseconds in STORED.items():
        environment: RunEnvironment = {
            "time": f"2026-09-{day:02d}T03:00:00+00:00",
            # The first two are of one commit.
            "git": {"commit": f"{max(day, 10) * 0x1F3A5C7:040x}"[::-1], "dirty": day == 17},
            "packages": {"torch": "2.5.1" if day < 18 else "2.6.0"},
        }
        journal = Journal(
            root / ".archbench" / "runs", {"environment": environment}, f"202609{day:02d}T030000Z-1"
        )
        target = Target("cpu", "AMD EPYC", "cpu-amd-epyc")
        for id, factor in (("torchvision/resnet18", 1.0), ("timm/resnet50", 2.26)):
            latency: MetricEntry = {
                "samples": [milliseconds * factor / 1000],
                "unit": "s",
                "source": "measured",
            }
            number = round(1_814_073_344 * factor)
            macs: MetricEntry = {"value": number, "unit": "1", "source": "counted"}
            journal.append(Record(id, target, {"macs": macs, "latency": latency}))


def store_engines(root: Path) -> None:
    """A run of one architecture as it was built, and by an engine."""
    runs = root / ".archbench" / "runs"
    journal = Journal(runs, {"environment": {}}, "20261001T030000Z-1")
    for runtime, seconds in (("eager", 0.063), ("openvino", 0.009)):
        target = Target("cpu", "AMD EPYC", "cpu-amd-epyc", runtime=runtime)
        samples = [seconds] * 9
        latency: MetricEntry = {"samples": samples, "unit": "s", "source": "measured"}
        journal.append(Record("torchvision/resnet18", target, {"latency": latency}))


def blocks(language: str) -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for match in _BLOCK.finditer(page.read_text(encoding="utf-8")):
            if match["language"] == language:
                line = page.read_text(encoding="utf-8")[: match.start()].count("\n") + 1
                found.append((f"{page.relative_to(ROOT)}:{line}", match["text"]))
    return found


def commands(program: str) -> list[tuple[str, list[str]]]:
    found = []
    for place, text in blocks("console"):
        for line in text.splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0] == program:
                found.append((f"{place} {shlex.join(words)}", words))
    return found


@pytest.mark.usefixtures("metrics_put_back")
@pytest.mark.parametrize(("place", "text"), blocks("python"))
def test_python(place: str, text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    lines = text.splitlines()
    names: dict[str, object] = {}
    for node in ast.parse(text).body:
        assert node.end_lineno is not None
        source = "\n".join(lines[node.lineno - 1 : node.end_lineno])
        following = lines[node.end_lineno : node.end_lineno + 1]
        if isinstance(node, ast.Expr) and following and following[0].startswith("# "):
            assert repr(eval(source, names)) == following[0].removeprefix("# "), place
        else:
            exec(compile(ast.Module([node], []), place, "exec"), names)


@pytest.mark.parametrize(
    ("place", "words"), [c for c in commands("archbench") if "refresh" not in c[1]]
)
def test_archbench(
    place: str,
    words: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "my_net.py").write_text(OWN_NET, encoding="utf-8")
    if words[1] == "baselines":
        # They are about a project that has some, under version control.
        shutil.copytree(ROOT / "baselines", tmp_path / "baselines")
        identity = ("-c", "user.name=x", "-c", "user.email=x")
        for command in (("init", "-q"), ("add", "baselines"), (*identity, "commit", "-qm", "x")):
            subprocess.run(["git", *command], check=True)
    if words[1] == "history":
        store_runs(tmp_path)
    if place.startswith("docs/runtimes.md"):
        store_engines(tmp_path)
    if words[1] == "artefacts":
        Artefacts(tmp_path / ".archbench" / "artefacts").made("one", lambda _: {})
    assert cli.main(words[1:]) == 0
    assert capsys.readouterr().out


def test_listings_of_the_summary_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["summary", "pytorchcv/efficientnet_b0", "--part=layers"]) == 0
    assert cli.main(["summary", "pytorchcv/fbnet_cb", "--part=tree"]) == 0
    printed = capsys.readouterr().out
    listings = [text for place, text in blocks("text") if place.startswith("docs/summary.md")]
    assert len(listings) == 2
    assert all(text in printed for text in listings)


def test_listings_of_the_choosing_page(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "choosing.md").read_text(encoding="utf-8")
    for command in (
        "archbench select published:bianco2018 --device=titan-xp --batch-size=1 "
        "--max-latency=10ms --max-memory=1GB",
        "archbench select published:bianco2018 --table --device='jetson*' --top=1",
    ):
        assert f"{command}\n" in page
        assert cli.main(shlex.split(command)[1:]) == 0
        assert f"```text\n{capsys.readouterr().out}```" in page


def test_listing_of_the_history_page(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    store_runs(tmp_path)
    assert cli.main(["history", "resnet18", "--metric=latency"]) == 0
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    (listing,) = [text for place, text in blocks("text") if place.startswith("docs/history.md")]
    assert listing.splitlines() == printed


@pytest.mark.usefixtures("preloaded_python")
@pytest.mark.parametrize(("place", "words"), commands("pytest"))
def test_pytest(place: str, words: list[str]) -> None:
    if "--pyargs" in words or any(".py:" in word for word in words):
        pytest.skip("needs an installed wheel or a file of one's own")
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    plugins = ["-p", "pytest_benchmark.plugin", "-p", "xdist.plugin"]
    done = subprocess.run(
        [sys.executable, "-m", *words, "--collect-only", "-q", *plugins],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def in_tables() -> list[list[str]]:
    """What the cells of docs/which-command.md tell to type."""
    page = (ROOT / "docs" / "which-command.md").read_text(encoding="utf-8")
    return [shlex.split(text) for text in re.findall(r"\| `([^`]+)` \|", page)]


@pytest.mark.parametrize("words", [words for words in in_tables() if words[0] == "archbench"])
def test_a_command_for_a_task_can_be_typed(words: list[str]) -> None:
    assert cli._parser(words[1:]).parse_args(words[1:]).run is not None


def test_options_for_a_task_can_be_typed() -> None:
    words = [word for words in in_tables() if words[0] != "archbench" for word in words]
    assert len(words) > 15
    options = [word.partition("=")[0].removeprefix("--archbench-") for word in words]
    assert set(options) <= OPTIONS.keys()
    valued = [option for option, word in zip(options, words, strict=True) if "=" in word]
    assert [option for option in valued if OPTIONS[option].kind == "flag"] == []
