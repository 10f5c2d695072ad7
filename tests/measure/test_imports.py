"""What ran is named by where it was imported from."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from archbench.core.entries import Imported
from archbench.measure.environment import package_versions, provenance
from archbench.measure.imports import imported_by, imported_of, project_root, version_of


def package(directory: Path, name: str, text: str = "") -> Path:
    path = directory / name
    path.mkdir(parents=True)
    (path / "__init__.py").write_text(text, encoding="utf-8")
    return path


def metadata(directory: Path, name: str, version: str, kind: str = "dist-info") -> None:
    path = directory / f"{name}-{version}.{kind}"
    path.mkdir(parents=True)
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (path / ("METADATA" if kind == "dist-info" else "PKG-INFO")).write_text(text, encoding="utf-8")
    if kind == "dist-info":
        (path / "RECORD").touch()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project's root, where this process is; whatever it imports is forgotten afterwards."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").touch()
    monkeypatch.chdir(root)
    names = ("timm", "somelib", "acme")
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    before = set(sys.modules)
    yield root
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in names:
            del sys.modules[name]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project: Path) -> Path:
    path = tmp_path / "env" / "site-packages"
    path.mkdir(parents=True)
    monkeypatch.syspath_prepend(str(path))
    return path


def test_what_is_installed_has_the_version_of_its_metadata(site: Path) -> None:
    place = package(site, "somelib", "__version__ = '0'")
    metadata(site, "somelib", "1.5")
    assert version_of("somelib") == "1.5"
    importlib.import_module("somelib")
    assert version_of("somelib") == "1.5"
    assert imported_by(["somelib.nets"]) == [Imported("somelib", "1.5", str(place), True)]


def test_a_checkout_is_named_though_another_version_is_installed(
    site: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(site, "timm")
    metadata(site, "timm", "1.0.31")
    assert provenance("timm") == "timm 1.0.31"
    assert package_versions()["timm"] == "1.0.31"
    place = package(project, "timm", "__version__ = '1.0.29.dev0'")
    monkeypatch.syspath_prepend(str(project))
    # What is not imported is named by where it would be from.
    assert provenance("timm") == "timm (./timm)"
    importlib.import_module("timm")
    assert provenance("timm") == "timm 1.0.29.dev0 (./timm)"
    assert package_versions()["timm"] == "1.0.29.dev0 (./timm)"
    assert imported_by(["timm"]) == [Imported("timm", "1.0.29.dev0", str(place), False)]
    # What was once built there says nothing about what is there now.
    metadata(project, "timm", "0.9", "egg-info")
    assert provenance("timm") == "timm 1.0.29.dev0 (./timm)"


def test_an_editable_installation_is_what_its_code_says(
    site: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata(site, "somelib", "1.5")
    package(project / "src", "somelib", "__version__ = '1.6'")
    monkeypatch.syspath_prepend(str(project / "src"))
    importlib.import_module("somelib")
    assert version_of("somelib") == "1.6 (./src/somelib)"


def test_a_link_from_an_environment_into_the_project(site: Path, project: Path) -> None:
    metadata(site, "somelib", "1.5")
    place = package(project, "somelib")
    (site / "somelib").symlink_to(place)
    importlib.import_module("somelib")
    assert version_of("somelib") == "(./somelib)"


def test_what_lies_elsewhere_has_its_whole_path(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = package(tmp_path / "elsewhere", "somelib", "__version__ = '2'")
    monkeypatch.syspath_prepend(str(place.parent))
    importlib.import_module("somelib")
    assert version_of("somelib") == f"2 ({place})"


def test_packages_without_metadata_in_an_environment_are_installed(site: Path) -> None:
    place = package(site, "somelib", "__version__ = '3'")
    importlib.import_module("somelib")
    assert imported_by(["somelib"]) == [Imported("somelib", "3", str(place), True)]


def test_of_a_namespace_the_part_with_a_file_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "acme").mkdir()
    (project / "acme" / "nets.py").touch()
    monkeypatch.syspath_prepend(str(project))
    importlib.import_module("acme.nets")
    expected = Imported("acme.nets", None, str(project / "acme" / "nets.py"), False)
    assert imported_by(["acme.nets", "builtins", "acme.nets", "nosuch"]) == [expected]


def test_of_ones_own_network_what_it_imports_of_the_project_is_named(
    site: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch import nn

    monkeypatch.syspath_prepend(str(project))
    package(site, "timm")
    package(project, "somelib", "from . import blocks\n")
    for name, text in {
        "somelib/nets.py": "import timm\n\ndef net():\n    from .blocks import WIDTH\n",
        "somelib/blocks.py": "from acme.ops import WIDTH\n",
        "acme/ops.py": "import numbers\nWIDTH = 4\n",
        "acme/nets.py": "",
    }.items():
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(text, encoding="utf-8")
    net = importlib.import_module("somelib.nets").net
    importlib.import_module("acme.nets")  # of another network
    network = nn.Sequential(nn.Identity())
    assert imported_of(network) == []
    assert imported_of(network, net) == [
        Imported("acme.ops", None, str(project / "acme" / "ops.py"), False),
        Imported("somelib", None, str(project / "somelib"), False),
    ]
    # What lies in another tree is not followed.
    assert [one.name for one in imported_of(network, net, site)] == ["somelib"]


def test_what_is_absent_has_no_version(project: Path) -> None:
    assert version_of("somelib") is None
    assert provenance("somelib") == "somelib absent"


def test_a_project_begins_where_its_files_say_so(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "a" / ".git").touch()  # of a work tree that belongs to another
    assert project_root(inner) == tmp_path / "a"
    assert project_root(tmp_path / "a") == tmp_path / "a"
