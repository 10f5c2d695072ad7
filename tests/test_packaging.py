"""The wheel holds what a user without a checkout needs, and works from there."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)],
        cwd=ROOT, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    (path,) = directory.glob("pytest_archbench-*.whl")
    return path


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
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    nodeid = "archbench.benchmarks.test_latency::test_latency[pytorchcv/fbnet_cb-fp32-b1]"
    assert nodeid in done.stdout
    assert "40 tests collected" in done.stdout
