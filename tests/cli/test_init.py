"""What `archbench init` writes into a project, leaves alone, and says."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import archbench
from archbench import cli
from archbench.catalog.finding import networks_in
from archbench.store.configuration import added_models, read_configuration
from tests.pytest_plugin.test_against import RULES
from tests.test_ci_examples import SCHEMAS, lint

pytestmark = pytest.mark.usefixtures("preloaded_python")

ROOT = Path(__file__).parents[2]

NET = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return torch.relu(self.conv(x))


class MyNet(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3), Block(8))
        self.fc = nn.Linear(8 * 30 * 30, classes)

    def forward(self, x):
        return self.fc(self.body(x).flatten(1))
"""
"""Runs with 3 x 32 x 32 only: 3 * 8 * 9 * 30 * 30 + 8 * 8 * 9 * 30 * 30 + 7,200 * 10 MACs."""

PROJECT = '[project]\nname = "x"   # a comment\nversion = "0"\n'
TABLE = '\n[tool.archbench]\nmodels = ["net.py:MyNet@32"]\n'


def git(root: Path, *words: str) -> None:
    identity = ("-c", "user.name=x", "-c", "user.email=x@localhost")
    subprocess.run(["git", *identity, *words], cwd=root, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a network and a pyproject.toml, committed, that came from GitHub."""
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    git(tmp_path, "init", "-q")
    git(tmp_path, "remote", "add", "origin", "git@github.com:x/y.git")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    """What the command prints; on standard error where it refuses."""
    assert cli.main(["init", *arguments]) == status
    captured = capsys.readouterr()
    return captured.err if status else captured.out


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if ".git/" not in f"{path}/"}


def test_it_shows_what_it_would_write_and_writes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(project)
    text = init(capsys)
    assert "net.py:MyNet@32: 72,818 params, 784,800 MACs for an image of 3x32x32." in text
    assert '+\n+[tool.archbench]\n+models = ["net.py:MyNet@32"]\n' in text
    assert "--- /dev/null\n+++ .github/workflows/benchmarks.yml\n" in text
    assert text.endswith("Nothing was written. With --yes it is.\n")
    assert files(project) == before
    assert (project / "pyproject.toml").read_text(encoding="utf-8") == PROJECT


@pytest.mark.parametrize("answer", ["y", "n", None])
def test_on_a_terminal_it_asks(
    answer: str | None,
    project: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def answered(_: str) -> str:
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", answered)
    init(capsys, "net.py:MyNet@32")
    assert (project / ".github").exists() == (answer == "y")


@pytest.mark.parametrize("system", ["github", "gitlab"])
def test_it_writes_the_table_and_the_file_for_ci_and_then_nothing_more(
    system: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "requirements.txt").write_text("torch\n", encoding="utf-8")
    place = {"github": ".github/workflows/benchmarks.yml", "gitlab": ".gitlab-ci.yml"}[system]
    text = init(capsys, "net.py:MyNet@32", f"--ci={system}", "--yes")
    assert f"Written: pyproject.toml, {place}." in text
    assert (project / "pyproject.toml").read_text(encoding="utf-8") == PROJECT + TABLE
    assert read_configuration(project).models == ("net.py:MyNet@32",)
    written = (project / place).read_text(encoding="utf-8")
    assert "python -m pip install pytest-archbench -r requirements.txt\n" in written
    assert lint(SCHEMAS[system], project / place) == ""

    before = files(project)
    again = init(capsys, f"--ci={system}", "--yes")
    assert again.startswith("Nothing is left to do: the networks are listed by models in ")
    assert files(project) == before
    assert (project / "pyproject.toml").read_text(encoding="utf-8") == PROJECT + TABLE
    assert (project / place).read_text(encoding="utf-8") == written


@pytest.mark.parametrize(
    ("added", "installs"),
    [
        ("", False),
        ('dependencies = ["torch"]\n', True),
        ('dynamic = ["readme"]\n', True),
        ('[build-system]\nrequires = ["hatchling"]\n', True),
    ],
)
def test_the_file_for_ci_installs_a_project_that_has_dependencies(
    added: str, installs: bool, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "pyproject.toml").write_text(PROJECT + added, encoding="utf-8")
    init(capsys, "net.py:MyNet@32", "--ci=github", "--yes")
    written = (project / ".github/workflows/benchmarks.yml").read_text(encoding="utf-8")
    assert f"pip install pytest-archbench{' .' if installs else ''}\n" in written


def test_a_file_for_ci_that_exists_stays_as_it_is(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / ".gitlab-ci.yml").write_text("test:\n  script: make\n", encoding="utf-8")
    text = init(capsys, "net.py:MyNet@32", "--yes")
    assert ".gitlab-ci.yml is there and stays as it is. This is what it lacks:" in text
    assert "Written: pyproject.toml." in text
    assert (project / ".gitlab-ci.yml").read_text(encoding="utf-8") == "test:\n  script: make\n"


def test_without_a_guess_there_is_no_file_for_ci(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(project, "remote", "remove", "origin")
    text = init(capsys, "net.py:MyNet@32", "--yes")
    assert "No file for CI: --ci=github or --ci=gitlab writes one." in text
    assert "Written: pyproject.toml." in text


def test_a_list_in_conftest_is_enough(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "conftest.py").write_text("def pytest_archbench_models(): ...\n", encoding="utf-8")
    text = init(capsys, "--ci=none", "--yes")
    assert "the networks are listed by pytest_archbench_models in conftest.py" in text


def test_without_pyproject_the_table_goes_into_a_file_of_its_own(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "pyproject.toml").unlink()
    text = init(capsys, "net.py:MyNet@32", "--ci=none", "--yes")
    assert "There is no pyproject.toml, so the table goes into archbench.toml." in text
    assert read_configuration(project).models == ("net.py:MyNet@32",)
    assert not (project / "pyproject.toml").exists()


def test_without_a_repository_it_says_what_needs_one(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(project / ".git")
    text = init(capsys, "net.py:MyNet@32", "--yes")
    assert (
        "There is no git repository here. Paired comparisons (--archbench-against) need one."
        in text
    )
    assert "\n  git init && git add . && git commit" in text


def test_a_broken_pyproject_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "pyproject.toml").write_text("[project\n", encoding="utf-8")
    message = init(capsys, "net.py:MyNet@32", "--yes", status=2)
    assert message.startswith(f"archbench: {project / 'pyproject.toml'}: it is not TOML: ")
    assert "Correct it there" in message


def test_rules_that_are_there_stay_as_they_are(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = f"{PROJECT}[tool.archbench]\npreset = 'strict'\n"
    (project / "pyproject.toml").write_text(rules, encoding="utf-8")
    assert init(capsys, "net.py:MyNet@32", "--yes", status=2) == (
        f"archbench: {project / 'pyproject.toml'}: it has rules of archbench already, and what is "
        "there stays as it is. Add this line to [tool.archbench], and run the command again: "
        'models = ["net.py:MyNet@32"]\n'
    )
    assert (project / "pyproject.toml").read_text(encoding="utf-8") == rules


def test_a_directory_that_cannot_be_written_to(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    message = init(capsys, "net.py:MyNet@32", "--yes", status=2)
    assert message == (
        f"archbench: {project / 'pyproject.toml'}: it cannot be written (Permission denied). Make "
        "its directory one that this user can write to, and run the command again\n"
    )


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("net.py:nothing", "net.py defines no 'nothing'; it has Block, MyNet"),
        ("net.py:torch", "it cannot be counted: local/torch cannot be built: it is of type module"),
        ("net.py:Block", "missing a required argument: 'channels' of Block(channels)"),
        ("absent.py:net", "there is no file"),
        ("net.py:MyNet@64", "local/MyNet@64 failed in its forward pass"),
    ],
)
def test_a_name_that_is_no_network(
    network: str, message: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = init(capsys, network, "--yes", status=2)
    assert refused.startswith(f"archbench: archbench init {network}: ")
    assert message in refused
    assert (project / "pyproject.toml").read_text(encoding="utf-8") == PROJECT


def test_a_project_without_networks(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "net.py").write_text("import torch\n", encoding="utf-8")
    message = init(capsys, "--yes", status=2)
    assert f"no network was found in the files of {project}" in message
    assert "Name one, with its arguments: archbench init 'net.py:MyNet(classes=10)@32'" in message


def test_below_the_root_it_says_where_to_run(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    below = project / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    message = init(capsys, "--yes", status=2)
    assert f"{below} has no pyproject.toml" in message
    assert message.endswith(f"Run it there: cd {project}\n")


def test_a_second_network_is_for_its_author_to_add(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "pyproject.toml").write_text(PROJECT + TABLE, encoding="utf-8")
    message = init(capsys, "net.py:Other", "--yes", status=2)
    assert f"Add it there yourself: models in {project / 'pyproject.toml'}" in message


@pytest.mark.parametrize(
    ("old", "added"),
    [
        ("", '[tool.archbench]\nmodels = ["a.py:b"]\n'),
        ("[x]", '\n\n[tool.archbench]\nmodels = ["a.py:b"]\n'),
        ("[x]\r\n", '\r\n[tool.archbench]\r\nmodels = ["a.py:b"]\r\n'),
        (
            "[[tool.archbench.budget]]\nlimit = 'params <= 1'\n",
            '\n[tool.archbench]\nmodels = ["a.py:b"]\n',
        ),
        ("[tool.archbench]\npreset = 'strict'\n", None),
        ("tool = {x = 1}\n", None),
    ],
)  # fmt: skip
def test_what_is_added_to_a_text(old: str, added: str | None) -> None:
    assert added_models(old, ["a.py:b"]) == added


# What is found in files.


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (NET, ["MyNet"]),
        (f"{NET}\ndef small():\n    return MyNet(5)\n", ["small", "MyNet"]),
        (f"{NET}\ndef small(width):\n    return MyNet(width)\n", ["MyNet"]),
        (f"{NET}\nclass Wide(MyNet):\n    def __init__(self): ...\n", ["Wide", "MyNet"]),
        (f"{NET}\nclass _Own(nn.Module):\n    def __init__(self): ...\n", ["MyNet"]),
        (f"{NET}\nclass MyLoss(nn.Module):\n    def __init__(self): ...\n", ["MyNet"]),
        (f"{NET}\nmodel = MyNet()\nfor _ in range(9):\n    model.train()\n", []),
        (f"{NET}\nargs = parser.parse_args()\n", []),
        (f"{NET}\ntrain()\n", []),
        (f"{NET}\nif __name__ == '__main__':\n    train()\n", ["MyNet"]),
        (f"{NET}\ntorch.manual_seed(0)\n", ["MyNet"]),
        (
            "from torch import nn\ndef net(k=3):\n    body = nn.Sequential(nn.Conv2d(3, 8, k))\n"
            "    return body\ndef other():\n    return 3\n",
            ["net"],
        ),
        ("import timm\ndef net():\n    return timm.create_model('resnet18')\n", ["net"]),
        ("import torch\nclass Two(torch.nn.Module):\n    def __init__(self): ...\n"
         "    def forward(self, a, b): ...\n", []),
        ("import torch\nclass Not(", []),
    ],
)  # fmt: skip
def test_networks_in_a_file(text: str, found: list[str], tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(text, encoding="utf-8")
    assert networks_in(tmp_path) == [f"net.py:{name}" for name in found]


def test_networks_in_a_project(tmp_path: Path) -> None:
    for place in ("a/b/deep.py", "top.py", "tests/net.py", ".venv/lib/net.py", "test_net.py"):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(NET, encoding="utf-8")
    assert networks_in(tmp_path) == ["top.py:MyNet", "a/b/deep.py:MyNet"]


NEEDING = """
from torch import nn


class Wide(nn.Module):
    def __init__(self, width, depth, *, classes=10, seed):
        super().__init__()
        self.body = nn.Linear(width, classes)

    def forward(self, x):
        return self.body(x)


class Part(nn.Module):
    def __init__(self, width):
        super().__init__()

    def forward(self, x):
        return x


def build(kind):
    return nn.Sequential(Part(kind))


def whole():
    return build(3)
"""


def test_networks_that_have_to_be_given_something(tmp_path: Path) -> None:
    """What others of the file are made of is no network of anybody's."""
    (tmp_path / "net.py").write_text(NEEDING, encoding="utf-8")
    assert networks_in(tmp_path) == ["net.py:whole"]
    wide = "net.py:Wide(width=..., depth=..., seed=...)"
    assert networks_in(tmp_path, needing=True) == [wide]
    text = "from net import Wide\n\n\ndef make(width):\n    net = Wide(width)\n    return net\n"
    text += "\n\nclass Wide2(Wide): ...\n\n\nimport torch\n\n\n"
    text += "def build(width):\n    return torch.nn.Sequential(Wide(width))\n"
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "make.py").write_text(text, encoding="utf-8")
    assert networks_in(tmp_path, needing=True) == ["src/make.py:build(width=...)", wide]


def test_a_size_that_was_tried_is_said_to_be_so(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A network of one channel may run with any sides; which it is made for nobody can see."""
    (project / "own").mkdir()
    (project / "own" / "mel.py").write_text(
        "from torch import nn\n\n\ndef mel(size):\n"
        "    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n",
        encoding="utf-8",
    )
    printed = init(capsys, "--yes", "--ci=none", "own/mel.py:mel(size='small')")
    assert "does with @1x28x28, which was tried. If it is made for other ones, say so: " in printed
    assert "archbench init 'own/mel.py:mel(size='\"'\"'small'\"'\"')@96', or @1x96x64" in printed
    assert "git add pyproject.toml own/mel.py baselines" in printed


def test_it_names_networks_that_need_arguments(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "wide.py").write_text(NEEDING.partition("class Part")[0], encoding="utf-8")
    printed = init(capsys, "--ci=none")
    assert "These take arguments, which are for you to give: wide.py:Wide(width=..., " in printed
    assert "Only net.py:MyNet is written. Add others to models yourself." in printed
    (project / "net.py").unlink()
    refused = init(capsys, "--ci=none", status=2)
    assert "takes no arguments; these take arguments: wide.py:Wide(width=..., depth=" in refused
    assert "archbench init 'wide.py:Wide(width=..., depth=..., seed=...)'" in refused


# The commands that it says.


def with_wheel(wheel: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(wheel), os.environ["PYTHONPATH"]])}


def run(project: Path, wheel: Path, command: str, *more: str) -> str:
    words = [*shlex.split(command), *more]
    if words[0] == "pytest":
        words = [sys.executable, "-m", *words, "--archbench-gpu=cpu"]
    names = [f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")]
    environment = {**with_wheel(wheel), **dict.fromkeys(names, "x")}
    done = subprocess.run(
        words, cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def compared(project: Path, wheel: Path, command: str) -> tuple[int, list[int]]:
    """The status of a paired run, and the params of the reference and of the candidate."""
    results = wheel / "results.json"
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(command), "--archbench-gpu=cpu",
         f"--archbench-results={results}"],
        cwd=project, env=with_wheel(wheel), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert results.exists(), done.stdout + done.stderr
    cells = json.loads(results.read_text(encoding="utf-8"))["cells"]
    (cell,) = (cell for cell in cells if cell["target"])
    assert "paired_ratio" in cell["metrics"], done.stdout
    sides = cell["metrics"]["paired_ratio"]["sides"]
    return done.returncode, [sides[one]["counts"]["params"] for one in ("reference", "candidate")]


@pytest.mark.usefixtures("judged_on_a_busy_machine")
def test_the_commands_that_follow(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    wheel = tmp_path_factory.mktemp("wheel")
    shutil.copytree(Path(archbench.__file__).parent, wheel / "archbench")
    shutil.copytree(ROOT / "benchmarks", wheel / "archbench" / "benchmarks")
    (project / ".git" / "info" / "exclude").write_text("__pycache__\n", encoding="utf-8")
    printed = run(project, wheel, f"{sys.executable} -m archbench init --yes")
    assert "editable" not in printed
    measure, accept, commit, compare = (
        line.strip() for line in printed.splitlines() if line.startswith("  ")
    )
    # Rules that soon decide, after the table as anybody would write them.
    rules = RULES.replace("[[paired]]", "[[tool.archbench.paired]]")
    with (project / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(rules.replace("process_runs = 1", "process_runs = 1\nmost_process_runs = 1"))
    # No commit lists the network yet: the revision is asked for that of the work tree.
    assert compared(project, wheel, compare) == (0, [72_818, 72_818])
    assert "MyNet@32" in run(project, wheel, measure, "--archbench-quick")
    assert "baselines/complexity.jsonl: 1 added" in run(project, wheel, accept)
    added, _, committed = commit.partition(" && ")
    run(project, wheel, added)
    run(project, wheel, committed)
    text = (project / "net.py").read_text(encoding="utf-8")
    wider = text.replace("classes=10", "classes=11")
    (project / "net.py").write_text(wider, encoding="utf-8")
    # One more row of the last layer, which nobody has accepted.
    assert compared(project, wheel, compare) == (1, [72_818, 72_818 + 7_200 + 1])
