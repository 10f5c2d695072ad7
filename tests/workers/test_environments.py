"""Other interpreters, and packages laid over an environment."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from archbench.core.errors import UsageError
from archbench.workers.environments import interpreter, overlay, probe


def wheel(directory: Path, name: str, version: str, *requirements: str) -> Path:
    """A wheel with one module that knows its version."""
    path = directory / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {one}\n" for one in requirements)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing in it."""
    path = tmp_path_factory.mktemp("bare") / "venv"
    venv.create(path, symlinks=True)
    return path


def test_an_environment_without_torch_is_refused_with_what_to_install(bare: Path) -> None:
    python = bare / "bin" / "python"
    with pytest.raises(UsageError) as error:
        interpreter(str(python), Path.cwd(), f"--against=python:{python}")
    needed = [
        "pytest",
        "torch",
        "numpy",
        "psutil",
        *(["tomli"] if sys.version_info < (3, 11) else []),
    ]
    assert str(error.value) == (
        f"--against=python:{python}: its environment, {bare}, has no {', no '.join(needed)}. "
        f"Install what is missing: {python} -m pip install {' '.join(needed)}"
    )


def test_a_directory_is_an_environment(bare: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no pytest, no torch"):
        interpreter(bare.name, bare.parent, "--against=python:venv")


def test_this_environment_has_everything() -> None:
    assert interpreter(sys.executable, Path.cwd(), "") == sys.executable
    assert probe(sys.executable, "")["missing"] == []


def test_an_old_python_is_refused(tmp_path: Path) -> None:
    old = tmp_path / "python"
    answer = '{"python": [3, 9, 7], "prefix": "/old", "missing": []}'
    old.write_text(f"#!/bin/sh\necho 'archbench:{answer}'\n", encoding="utf-8")
    old.chmod(0o755)
    with pytest.raises(UsageError, match=r"it is Python 3\.9\.7\. Name one of Python 3\.10"):
        interpreter(str(old), tmp_path, "--against=python:python")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nosuch/python", "there is no Python interpreter at "),
        (".", "there is no Python interpreter at "),
        ("/bin/false", "/bin/false is no Python that works: status 1. Name a Python interpreter"),
    ],
)
def test_what_is_no_interpreter(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        interpreter(text, tmp_path, f"--against=python:{text}")
    assert message in str(error.value)


def test_packages_are_laid_over_once(tmp_path: Path) -> None:
    path = wheel(tmp_path, "somelib", "1.5", "pytest", "fancy; extra == 'more'")
    shown: list[str] = []
    place, packages = overlay(
        [str(path)], tmp_path / "store", "--against=pip:...", show=shown.append
    )
    assert shown == [f"installing {path} with pip, beside the environment ..."]
    assert packages == {"somelib": "1.5"}
    # What it requires is there, and not installed again.
    assert sorted(one.name for one in place.glob("*.py")) == ["somelib.py"]
    assert not (place / "pytest").exists()

    def fail(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert "pip" not in command, "it is there already"
        return subprocess.run(command, capture_output=True, text=True, check=False)

    again = overlay([str(path)], tmp_path / "store", "", run=fail, show=shown.append)
    assert again == (place, packages)
    assert len(shown) == 1
    assert [one.name for one in (tmp_path / "store").iterdir()] == [place.name]


def test_other_requirements_have_another_place(tmp_path: Path) -> None:
    places = {
        overlay([str(wheel(tmp_path, "somelib", version))], tmp_path / "store", "")[0]
        for version in ("1.5", "1.6")
    }
    assert len(places) == 2


def test_what_a_package_requires_and_is_not_there_is_reported(tmp_path: Path) -> None:
    path = wheel(tmp_path, "somelib", "1.5", "pytest>=1000", "nosuchlib>=2")
    with pytest.raises(UsageError) as error:
        overlay([str(path)], tmp_path / "store", "--against=pip:somelib")
    text = str(error.value)
    assert f"somelib requires pytest>=1000, found {pytest.__version__}; " in text
    assert "somelib requires nosuchlib>=2, which is not there" in text
    assert 'Name what it needs as well: --against="pip:' in text


def test_what_pip_refuses_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        overlay(["./nosuch.whl"], tmp_path / "store", "--against=pip:./nosuch.whl")
    assert "pip could not install it: ERROR" in str(error.value)
    assert list((tmp_path / "store").iterdir()) == []
