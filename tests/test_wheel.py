"""The wheel, installed into an environment of its own: every command of README.md and docs/ that is
about another project than this one is run in one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

from archbench.store.artefacts import Artefacts
from tests.test_docs import OWN_NET, ROOT, commands, store_engines, store_runs

# Pages about this repository itself have the catalogue made anew, and pictures of the gallery.
ARCHBENCH = [
    words
    for place, words in commands("archbench")
    if "refresh" not in words and not place.startswith("docs/gallery.md")
]
PYTEST = [words for _, words in commands("pytest") if "--pyargs" in words]

RUN_ALL = """
import json, sys, traceback
import archbench
from archbench import cli
print("FROM", archbench.__file__, file=sys.stderr)
for words in json.loads(sys.argv[1]):
    try:
        status = cli.main(words)
    except BaseException:
        traceback.print_exc()
        status = "raised"
    print("STATUS", json.dumps([words, status]), file=sys.stderr, flush=True)
"""


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel, and a project that is used with it."""

    scripts: Path
    project: Path

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        program = str(self.scripts / words[0])
        left_out = {"PYTHONPATH", "PYTEST_ADDOPTS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD"}
        environment = {name: value for name, value in os.environ.items() if name not in left_out}
        return subprocess.run(
            [program, *words[1:]], cwd=self.project, env=environment,
            capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """What else the wheel requires is that of this environment: nothing is downloaded."""
    top = tmp_path_factory.mktemp("installed")
    wheels = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(top / "wheels")]
    subprocess.run(wheels, cwd=ROOT, check=True, capture_output=True, timeout=900)
    (wheel,) = (top / "wheels").glob("*.whl")
    place = top / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    names = {"base": str(place), "platbase": str(place)}
    scripts = Path(sysconfig.get_path("scripts", "venv", vars=names))
    packages = Path(sysconfig.get_path("purelib", "venv", vars=names))
    # Directories that are named so bring their packages, and none of their editable installations.
    libraries = "\n".join(
        dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    )
    (packages / "libraries.pth").write_text(f"{libraries}\n", encoding="utf-8")
    project = top / "project"
    (project / "nets").mkdir(parents=True)
    (project / "nets" / "my_net.py").write_text(OWN_NET, encoding="utf-8")
    shutil.copy(project / "nets" / "my_net.py", project / "net.py")
    shutil.copytree(ROOT / "baselines", project / "baselines")
    found = Installed(scripts, project)
    pip = (
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        "--ignore-installed",
        str(wheel),
    )
    done = found.run("python", *pip)
    assert done.returncode == 0, done.stderr
    for words in (
        ("init", "-q", "-b", "main"), ("add", "."), ("commit", "-qm", "first"),
        ("commit", "-qm", "second", "--allow-empty"),
    ):  # fmt: skip
        subprocess.run(
            ["git", "-c", "user.name=x", "-c", "user.email=x", *words], cwd=project, check=True
        )
    store_runs(project)
    store_engines(project)
    Artefacts(project / ".archbench" / "artefacts").made("one", lambda _: {})
    return found


def test_every_archbench_command(installed: Installed) -> None:
    """In one process, as importing torch for each would take minutes."""
    done = installed.run("python", "-c", RUN_ALL, json.dumps([words[1:] for words in ARCHBENCH]))
    lines = done.stderr.splitlines()
    (place,) = (line.removeprefix("FROM ") for line in lines if line.startswith("FROM "))
    assert Path(place).is_relative_to(installed.scripts.parent)
    ended = [
        json.loads(line.removeprefix("STATUS ")) for line in lines if line.startswith("STATUS ")
    ]
    assert len(ended) == len(ARCHBENCH), done.stderr[-3000:]
    assert [words for words, status in ended if status != 0] == [], done.stderr[-3000:]


def test_the_command_is_on_the_path(installed: Installed) -> None:
    done = installed.run("archbench", "list", "--models=*densenet121")
    assert done.returncode == 0, done.stderr
    assert "timm/densenet121" in done.stdout


@pytest.mark.parametrize("words", PYTEST, ids=lambda words: " ".join(words[3:]))
def test_every_pytest_command_finds_its_tests(installed: Installed, words: list[str]) -> None:
    """No option of pytest makes the plugin known: its entry point does."""
    done = installed.run("python", "-m", *words, "--collect-only", "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "archbench.benchmarks.test_latency::test_latency[" in done.stdout
    assert "benchmarks/" not in done.stdout  # of a checkout
