"""The wheel holds what a user without a checkout needs, and works from there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from archbench.catalog.lists import LISTED_LIBRARIES

ROOT = Path(__file__).parents[1]


LIBRARIES = ("timm", "torchvision", "pytorchcv")
EXTRAS = (
    "devkit", "onnxruntime", "onnxruntime-gpu", "onnxruntime-tensorrt", "openvino", "quantization",
    "tensorrt",
)  # fmt: skip


def built(project: Path, directory: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)],
        cwd=project, check=True, capture_output=True, timeout=900,
    )  # fmt: skip
    (path,) = directory.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(ROOT, tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(ROOT / "core", tmp_path_factory.mktemp("core"))


def contents(wheel: Path) -> dict[str, bytes]:
    """Of the files of a wheel that are installed as they are, and of its entry points."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            name.partition(".dist-info/")[2] or name: archive.read(name)
            for name in archive.namelist()
            if ".dist-info" not in name or name.endswith("/entry_points.txt")
        }


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def requirements(wheel: Path, extra: str = "") -> dict[str, str]:
    """Specifiers by name, of the requirements that an extra asks for; without one all others."""
    found = map(Requirement, metadata(wheel).get_all("Requires-Dist", []))
    return {
        one.name: str(one.specifier)
        for one in found
        if extra == (re.findall(r'extra == "([\w-]+)"', str(one.marker)) or [""])[0]
    }


def test_contents(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (entry_points,) = (n for n in names if n.endswith("entry_points.txt"))
        text = archive.read(entry_points).decode()
    assert {
        "archbench/py.typed",
        "archbench/benchmarks/__init__.py",
        "archbench/benchmarks/test_latency.py",
        "archbench/benchmarks/test_complexity.py",
        "archbench/catalog/data/timm.json",
        "archbench/catalog/data/published/timm_imagenet.csv",
        "archbench/report/assets/page.html",
        "archbench/report/assets/page.css",
        *(
            f"archbench/report/assets/{name}.js"
            for name in ("figures", "judging", "drawing", "page")
        ),
    } <= names
    assert all(name.startswith(("archbench/", "pytest_archbench-")) for name in names)
    assert "archbench.pytest_plugin = archbench.pytest_plugin" in text
    assert "archbench = archbench.cli:main" in text


def test_the_core_holds_the_same_files(wheel: Path, core: Path) -> None:
    assert contents(core) == contents(wheel)
    assert not any("__pycache__" in name for name in contents(core))
    for field in ("Version", "Summary", "Requires-Python", "License-Expression", "Classifier"):
        assert metadata(core).get_all(field) == metadata(wheel).get_all(field)
    with zipfile.ZipFile(core) as archive:
        (licence,) = (name for name in archive.namelist() if name.endswith("/LICENSE"))
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()


def test_the_core_requires_all_but_the_libraries_and_has_an_extra_for_each(
    wheel: Path, core: Path
) -> None:
    everything = requirements(wheel)
    assert everything.keys() > set(LIBRARIES) | {"torch", "pytest"}
    assert requirements(core) == {
        name: specifier for name, specifier in everything.items() if name not in LIBRARIES
    }
    for extra in LIBRARIES:
        assert requirements(core, extra) == {extra: everything[extra]}
    assert requirements(core, "all") == {extra: everything[extra] for extra in LIBRARIES}
    for extra in EXTRAS:
        assert requirements(core, extra) == requirements(wheel, extra) != {}
    assert set(metadata(core).get_all("Provides-Extra", [])) == {*LIBRARIES, "all", *EXTRAS}
    assert LIBRARIES == LISTED_LIBRARIES


def test_every_requirement_says_from_which_version_on(wheel: Path) -> None:
    """``make test-lowest`` tests with these, so that each is known to work."""
    for name, specifier in requirements(wheel).items():
        assert ">=" in specifier, name


def test_the_page_names_the_versions_that_are_required(wheel: Path) -> None:
    text = (ROOT / "docs" / "installing.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\w-]+) \| ([\d.]+)(?:, below (\d+))? \|$", text, re.MULTILINE)
    named = {name: {f">={low}", *([f"<{high}"] if high else [])} for name, low, high in rows}
    required = {"Python": metadata(wheel)["Requires-Python"], **requirements(wheel)}
    assert named == {name: set(required[name].split(",")) for name in named}
    assert named.keys() > {"Python", "torch", *LIBRARIES}


def test_the_suite_runs_without_a_checkout(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    project = tmp_path / "project"
    project.mkdir()
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "--pyargs", "archbench.benchmarks",
            "-p", "archbench.pytest_plugin", "--archbench-suite=lightweight",
            "--collect-only", "-q",
        ],
        cwd=project, env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    nodeid = "archbench.benchmarks.test_latency::test_latency[pytorchcv/fbnet_cb-fp32-b1]"
    assert nodeid in done.stdout
    assert "40 tests collected" in done.stdout


def test_a_checkout_has_the_suite_under_the_same_name(pytester: pytest.Pytester) -> None:
    # As it is for those who install it with `pip install --editable`.
    result = pytester.runpytest_inprocess(
        "--pyargs", "archbench.benchmarks", "--collect-only", "-q",
        "--archbench-models=torchvision/resnet18",
    )  # fmt: skip
    result.stdout.fnmatch_lines(["archbench.benchmarks.test_latency::*torchvision/resnet18*"])
