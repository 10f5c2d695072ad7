"""--against in projects of every layout, with the installed suite and with tests of their own.

Each run compares the work tree with the last commit. All that a network is made of has a number in
it that differs between the two, so that the parameters of a side tell whose code it was.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import archbench
from tests.pytest_plugin.test_against import RULES, TEST, git

pytestmark = pytest.mark.usefixtures("preloaded_python")

ROOT = Path(__file__).parents[2]

PYTEST = ("-c", "import sys; sys.path.remove(''); import pytest; sys.exit(pytest.main())")
"""What the command ``pytest`` does, which leaves its directory off the path."""

PYTHON_M_PYTEST = ("-m", "pytest")

JUDGED_ANYWAY = Path(__file__).parents[1] / "judged_anyway"
"""Directory of a plugin, for verdicts on a machine that does other work as well."""

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width, depth, classes=10):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(depth))
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        x = self.stem(x)
        for layer in self.body:
            x = torch.relu(layer(x))
        return self.head(x.mean((2, 3)))
"""


def params(width: int, depth: int, classes: int = 10) -> int:
    """Of that network, by hand."""
    stem, body = width * 28, depth * (width * width + width)
    return stem + body + classes * width + classes


def write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def commit(root: Path) -> None:
    if not (root / ".git").exists():
        git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "x")


def install_suite(site: Path) -> None:
    """archbench as its wheel lays it out."""
    source = Path(archbench.__file__).parent
    shutil.copytree(source, site / "archbench")
    shutil.copytree(ROOT / "benchmarks", site / "archbench" / "benchmarks")


def run(
    start: Sequence[str], directory: Path, path: str, *arguments: str
) -> tuple[str, dict[str, dict[str, Any]]]:
    """What a run prints, and its cells by their id."""
    results = directory.parent / "results.json"
    results.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, *start, "-p", "archbench.pytest_plugin", "-p", "judged_anyway", *arguments,
         "--archbench-gpu=cpu", f"--archbench-results={results}"],
        cwd=directory, env={**os.environ, "PYTHONPATH": f"{path}{os.pathsep}{JUDGED_ANYWAY}"},
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert results.exists(), done.stdout + done.stderr
    cells = json.loads(results.read_text(encoding="utf-8"))["cells"]
    return done.stdout, {cell["id"]: cell for cell in cells}


def sides(cell: Mapping[str, Any], what: str) -> tuple[Any, Any]:
    """Of the reference and of the candidate."""
    both = cell["metrics"]["paired_ratio"]["sides"]
    if what == "imported":
        return tuple({one["name"]: one["path"] for one in both[s][what]} for s in both)  # type: ignore[return-value]
    return both["reference"]["counts"][what], both["candidate"]["counts"][what]


# A library's own checkout, flat, with an environment in it that holds another version.


def library(version: str, depth: int) -> dict[str, str]:
    return {
        "pytorchcv/__init__.py": f"__version__ = '{version}'\n",
        "pytorchcv/model_provider.py": (
            f"{NET}\ndef get_model(name, pretrained=False, in_size=(224, 224)):\n"
            f"    return Net(4, {depth}, classes=1000)\n"
            "def resnet10(): ...\n"  # the names of its functions are those of its architectures
        ),
    }


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    site = root / SITE
    install_suite(site)
    metadata = "Metadata-Version: 2.1\nName: pytorchcv\nVersion: 9.0\n"
    write(site, library("9.0", 9) | {"pytorchcv-9.0.dist-info/METADATA": metadata})
    ignored = {".gitignore": ".venv\n__pycache__/\n", "archbench.toml": RULES}
    write(root, library("1.0", 1) | ignored | {"nets/own.py": OWN % 1})
    commit(root)
    write(root, library("1.1", 2) | {"nets/own.py": OWN % 2 + "def new(): return Net(4, 1)\n"})
    return root


SITE = ".venv/lib/site-packages"
OWN = f"{NET}\ndef own(): return Net(4, %d)\n"


@pytest.mark.parametrize(
    ("start", "depth", "said"),
    [
        (PYTHON_M_PYTEST, 2, "pytorchcv 1.1 was imported from ./pytorchcv, which is no instal"),
        (PYTEST, 9, "pytorchcv 9.0 is the installed one (1 cell): ./pytorchcv of this project did"),
    ],
    ids=["python -m pytest", "pytest"],
)
def test_a_run_says_whose_code_it_counts(
    start: Sequence[str], depth: int, said: str, checkout: Path
) -> None:
    output, cells = run(
        start, checkout, str(checkout / SITE), "--pyargs", "archbench.benchmarks",
        "-k", "complexity", "--archbench-models=pytorchcv/resnet10@64",
    )  # fmt: skip
    metrics = cells["pytorchcv/resnet10@64"]["metrics"]
    assert metrics["params"]["value"] == params(4, depth, 1000)
    assert said in output


def test_the_installed_suite_in_a_librarys_own_checkout(checkout: Path) -> None:
    output, cells = run(
        PYTEST, checkout, str(checkout / SITE), "--pyargs", "archbench.benchmarks",
        "--archbench-models=pytorchcv/resnet10@64,nets/own.py:own@64,nets/own.py:new@64",
        "--archbench-against=HEAD", "--junitxml=junit.xml",
    )  # fmt: skip
    (tree,) = (checkout / ".archbench" / "against" / "revisions").iterdir()

    # Neither side ran what is installed, though `pytest` finds that first.
    lib = cells["pytorchcv/resnet10@64"]
    assert sides(lib, "params") == (params(4, 1, 1000), params(4, 2, 1000))
    places = (str(tree / "pytorchcv"), str(checkout / "pytorchcv"))
    assert sides(lib, "imported") == tuple({"pytorchcv": place} for place in places)
    assert "pytorchcv 1.0 -> 1.1" in lib["metrics"]["paired_ratio"]["different"]
    there = tree.relative_to(checkout)
    assert f"pytorchcv 1.1 (./pytorchcv), against pytorchcv 1.0 (./{there}/pytorchcv)." in output

    mine = cells["local/own@64"]
    assert sides(mine, "params") == (params(4, 1), params(4, 2))
    assert list(sides(mine, "imported")[0].values()) == [str(tree / "nets" / "own.py")]

    (verdict,) = (v for v in cells["local/new@64"]["verdicts"] if v["metric"] == "latency")
    assert (verdict["status"], verdict["reason"]) == ("not-measured", "only-on-one-side")
    assert "it has no architecture local/new@64 (own.py defines no 'new'" in verdict["sentence"]
    assert "If it is new: let new = 'report'" in output
    assert "NOTSET" not in output

    cases = ElementTree.parse(checkout / "junit.xml").iter("testcase")
    assert "archbench.benchmarks.test_latency" in {case.get("classname") for case in cases}


# A project below the top of its repository, in src, with packages from all over the repository.

VISION = """
from acme.ops import WIDTH
from layers import DEPTH
from vision.net import Net

EXTRA = {extra}

class Vision(Net):
    def __init__(self):
        super().__init__(WIDTH, DEPTH + EXTRA)
"""

CONFTEST = """
from archbench import ModelSpec

def pytest_archbench_models():
    from vision.nets import Vision
    return [ModelSpec.of(Vision, input_size=64)]
"""

FINDER = """
import sys
from importlib.util import spec_from_file_location

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "vision":
            package = {package!r}
            return spec_from_file_location(
                name, package + "/__init__.py", submodule_search_locations=[package]
            )

sys.meta_path.append(Finder)
"""


def test_a_projects_own_test_in_a_monorepo_with_editable_packages_and_a_submodule(
    tmp_path: Path,
) -> None:
    source, mono, site = (tmp_path / name for name in ("layers", "mono", "site"))
    write(source, {"layers.py": "DEPTH = 1\n"})
    commit(source)
    root = mono / "projects" / "vision"
    write(root, {
        "pyproject.toml": "[tool.pytest.ini_options]\npythonpath = ['third_party']\n",
        "archbench.toml": RULES, "conftest.py": CONFTEST, "tests/test_time.py": TEST,
        "code/vision/__init__.py": "", "code/vision/net.py": NET,
        "code/vision/nets.py": VISION.format(extra=0), "tests/test_broken.py": "import nosuch\n",
    })  # fmt: skip
    write(mono, {"libs/acme/ops.py": "WIDTH = 4\n"})
    git(mono, "init", "-q")
    given = ("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(source))
    git(mono, *given, "projects/vision/third_party")
    commit(mono)
    source.rename(tmp_path / "gone")  # there is no network

    write(root, {"code/vision/nets.py": VISION.format(extra=4)})
    write(mono, {"libs/acme/ops.py": "WIDTH = 8\n"})
    write(root / "third_party", {"layers.py": "DEPTH = 2\n"})
    commit(root / "third_party")
    more = TEST.replace("test_latency", "test_more")
    write(root, {"tests/test_time.py": TEST + more, "tests/test_broken.py": TEST})
    write(root, {"tests/test_new.py": TEST})

    # Of a namespace package another part is installed.
    write(site, {
        "sitecustomize.py": f"import site; site.addsitedir({str(site)!r})\n",
        "libs.pth": f"{mono / 'libs'}\n", "acme/other.py": "",
        "vision_finder.py": FINDER.format(package=str(root / "code" / "vision")),
        "vision.pth": "import vision_finder\n",
    })  # fmt: skip
    path = f"{site}{os.pathsep}{Path(archbench.__file__).parents[1]}"
    output, cells = run(
        PYTHON_M_PYTEST, root, path, "tests",
        "--archbench-models=local/*", "--archbench-against=HEAD",
    )  # fmt: skip
    (tree,) = (root / ".archbench" / "against" / "revisions").iterdir()
    cell = cells["local/Vision"]
    assert sides(cell, "params") == (params(4, 1), params(8, 6))
    package = "projects/vision/code/vision"
    assert sides(cell, "imported") == tuple(
        {
            "vision": str(top / package),
            "acme.ops": str(top / "libs" / "acme" / "ops.py"),
            "layers": str(top / "projects" / "vision" / "third_party" / "layers.py"),
        }
        for top in (tree, mono)
    )

    said = ("crashed: local/Vision fp32-b1: revision ", "not-measured: local/Vision fp32-b1: rev")
    lines = [line for line in output.splitlines() if line.startswith(said)]
    assert sorted(line.partition("(HEAD): ")[2] for line in lines) == [
        "it has no test test_more in tests/test_time.py",
        "it has no tests/test_new.py",
        "the tests of tests/test_broken.py cannot be collected: E   ModuleNotFoundError: No module "
        "named 'nosuch'",
    ]
