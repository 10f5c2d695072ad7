"""What a side imports, whatever the other side has installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from archbench.workers import imports
from archbench.workers.imports import Imports, Trees, before_packages


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    """A work tree, and that of a revision within it."""
    ours, theirs = tmp_path / "ours", tmp_path / "ours" / ".archbench" / "theirs"
    for tree, text in ((ours, "SIDE = 'ours'\n"), (theirs, "SIDE = 'theirs'\n")):
        write(tree / "src" / "mine" / "__init__.py", text)
        write(tree / "src" / "mine" / "nets.py", text)
        write(tree / "src" / "acme" / "vision.py", text)
    write(ours / "src" / "mine" / "new.py")
    return ours, theirs


# Which paths are of the work tree.


def test_the_same_place_in_the_other_work_tree(trees: tuple[Path, Path]) -> None:
    ours, theirs = trees
    both = Trees(str(ours), str(theirs))
    assert both.moved(str(ours / "src" / "mine")) == str(theirs / "src" / "mine")
    assert both.moved(str(ours)) == str(theirs)
    assert both.moved(str(ours / "src" / "mine" / "new.py")) is None
    assert both.place(str(ours / "src" / "mine" / "new.py")) == f"{theirs}/src/mine/new.py"
    assert both.moved(str(theirs / "src")) == str(theirs / "src")
    assert both.moved("/elsewhere") == "/elsewhere"
    assert not both.is_ours(f"{ours}-too/net.py")


def test_a_finders_mark_on_the_path_stays(
    trees: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = trees
    monkeypatch.chdir(ours)
    mark = "__editable__.mine-1.0.finder.__path_hook__"
    assert Trees(str(ours), str(theirs)).moved(mark) == mark


def test_an_environment_in_the_work_tree_is_none_of_it(trees: tuple[Path, Path]) -> None:
    ours, theirs = trees
    both = Trees(str(ours), str(theirs), [str(ours / "env")])
    assert not both.is_ours(str(ours / "env" / "lib" / "python3" / "site.py"))
    assert not both.is_ours(str(ours / "other" / "lib" / "site-packages" / "timm"))
    assert both.is_ours(str(ours / "src"))


def test_an_environment_around_the_work_tree_says_nothing_about_it(
    trees: tuple[Path, Path], tmp_path: Path
) -> None:
    # Python in /usr, a project in /usr/src; or an environment in the top directory itself.
    ours, theirs = trees
    for prefix in (tmp_path, ours):
        both = Trees(str(ours), str(theirs), [str(prefix)])
        assert both.is_ours(str(ours / "src" / "mine" / "nets.py"))


def test_links_lead_to_the_work_tree(trees: tuple[Path, Path], tmp_path: Path) -> None:
    ours, theirs = trees
    (link := tmp_path / "site-packages").symlink_to(ours / "src")
    both = Trees(str(ours), str(theirs))
    assert both.is_ours(str(link / "mine"))
    assert both.moved(str(link / "mine")) == str(theirs / "src" / "mine")
    # One within it is where it is there, too.
    for tree in trees:
        (tree / "nets").symlink_to("src/mine")
    assert both.moved(str(ours / "nets" / "nets.py")) == str(theirs / "nets" / "nets.py")


def test_directories_come_before_packages_and_behind_the_standard_library() -> None:
    path = ["/cwd", "/usr/lib/python3.11", "/env/lib/python3.11/site-packages", "/proj"]
    assert before_packages(path, ["/proj", "/cwd", "/proj/src"]) == [
        *path[:2], "/proj", "/proj/src", *path[2:]
    ]  # fmt: skip
    assert before_packages(["/a"], ["/b"]) == ["/a", "/b"]


# What a process imports.


def imported(side: Imports, code: str, site: Path | None = None) -> Any:
    """What an interpreter prints that imports as a side, an environment's packages added to it."""
    start = (
        f"import json, site, sys; sys.path.insert(0, {str(Path(imports.__file__).parent)!r})\n"
        f"import imports\n{f'site.addsitedir({str(site)!r})' if site else ''}\n"
        f"imports.arrange(imports.Imports.from_dict(json.loads(sys.argv[1])))\n{code}"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", start, json.dumps(asdict(side))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


PRINT = """
import mine.nets, acme.vision
try:
    import mine.new
    new = "there"
except ModuleNotFoundError:
    new = "absent"
print(mine.SIDE, mine.nets.SIDE, acme.vision.SIDE, new)
"""

FINDER = """
import sys
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location

MAPPING = {{"mine": "{src}/mine"}}

class _EditableFinder:
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if fullname in MAPPING:
            return spec_from_file_location(fullname, MAPPING[fullname] + "/__init__.py",
                submodule_search_locations=[MAPPING[fullname]])

class _EditableNamespaceFinder:
    @classmethod
    def find_spec(cls, fullname, target=None):
        if fullname == "acme":
            spec = ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = ["{src}/acme"]
            return spec

def _hook(path):
    if path == "__editable__.mine-1.0.finder.__path_hook__":
        return _EditableNamespaceFinder
    raise ImportError

def install():
    sys.meta_path.append(_EditableFinder)
    sys.path_hooks.append(_hook)
    sys.path.append("__editable__.mine-1.0.finder.__path_hook__")
"""
"""As setuptools makes one, with the part for namespace packages."""


def editable(site: Path, kind: str, src: Path) -> None:
    """Install the packages of a directory as tools do that leave their code where it is."""
    site.mkdir()
    if kind == "path":
        write(site / "_mine.pth", f"{src}\n")
    elif kind == "finder":
        write(site / "__editable___mine_finder.py", FINDER.format(src=src))
        line = "import __editable___mine_finder; __editable___mine_finder.install()\n"
        write(site / "__editable__.mine.pth", line)
    else:
        for name in ("mine", "acme"):
            (site / name).symlink_to(src / name)


@pytest.mark.parametrize("kind", ["path", "finder", "link"])
def test_an_editable_installation_of_ours_does_not_feed_theirs(
    kind: str, trees: tuple[Path, Path], tmp_path: Path
) -> None:
    ours, theirs = trees
    site = tmp_path / "env"
    editable(site, kind, ours / "src")
    here = str(Path(imports.__file__).parents[2])
    assert imported(Imports(here), PRINT, site) == "ours ours ours there"
    reference = Imports(here, ours=str(ours), theirs=str(theirs))
    assert imported(reference, PRINT, site) == "theirs theirs theirs absent"


def test_a_path_that_somebody_adds_leads_to_theirs_too(trees: tuple[Path, Path]) -> None:
    ours, theirs = trees
    reference = Imports("/nosuch", ours=str(ours), theirs=str(theirs))
    code = f"sys.path.insert(0, {str(ours / 'src')!r})\n{PRINT}"
    assert imported(reference, code) == "theirs theirs theirs absent"


def test_packages_that_are_laid_over_come_before_what_is_put_first(tmp_path: Path) -> None:
    write(tmp_path / "overlay" / "lib.py", "SIDE = 'overlay'")
    write(tmp_path / "first" / "lib.py", "SIDE = 'first'")
    for one in ("overlay", "first"):
        write(tmp_path / one / "acme" / f"{one}.py")
    # As pytest's own settings and a project's conftest.py do.
    code = f"sys.path.insert(0, {str(tmp_path / 'first')!r})\nimport lib, acme.first, acme.overlay"
    side = Imports("/nosuch", overlay=str(tmp_path / "overlay"))
    assert imported(side, f"{code}\nprint(lib.SIDE)") == "overlay"


def test_both_sides_have_one_archbench(tmp_path: Path) -> None:
    write(tmp_path / "first" / "archbench" / "__init__.py", "raise ImportError")
    here = Path(imports.__file__).parents[2]
    code = f"sys.path.insert(0, {str(tmp_path / 'first')!r})\nimport archbench.core.errors as e"
    assert imported(Imports(str(here)), f"{code}\nprint(e.__file__)") == str(
        here / "archbench" / "core" / "errors.py"
    )


def test_a_process_starts_with_nothing_of_archbench_and_the_path_it_is_given(
    tmp_path: Path,
) -> None:
    tells = (
        "import sys\n"
        "def pytest_configure():\n"
        "    print('loaded', [n for n in sys.modules if n.startswith('archbench')])\n"
        "    print('path', sys.path[0], sys.argv)\n"
    )
    write(tmp_path / "lib" / "tells.py", tells)
    path = [str(tmp_path / "lib"), *(one for one in sys.path if one)]
    order = write(
        tmp_path / "order.json", json.dumps({"imports": asdict(Imports("/no", tuple(path)))})
    )
    done = subprocess.run(
        [sys.executable, imports.__file__, str(order), "-p", "tells", "--collect-only", "-q"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )  # fmt: skip
    assert "loaded []\n" in done.stdout, done.stdout + done.stderr
    assert f"path {path[0]} " in done.stdout


def test_a_projects_packages_come_before_installed_ones_whatever_is_put_first(
    tmp_path: Path,
) -> None:
    site, own, tests = (tmp_path / name for name in ("site-packages", "own", "tests"))
    for directory in (site, own, tests):
        write(directory / "lib.py", f"SIDE = {directory.name!r}")
    for directory in (own, tests):
        write(directory / "helping.py", f"SIDE = {directory.name!r}")
    write(own / "colorsys.py", "SIDE = 'own'")
    # pytest does so with the directory of a test that is installed, and of one that is not.
    code = (
        f"sys.path.insert(0, {str(site)!r}); import lib\n"
        f"sys.path.insert(0, {str(tests)!r}); import helping, colorsys\n"
        "print(lib.SIDE, helping.SIDE, hasattr(colorsys, 'SIDE'))"
    )
    assert imported(Imports("/nosuch", before=(str(own),)), code) == "own tests False"


# The end of a process.


def test_what_is_registered_for_the_end_is_done_and_nothing_is_taken_apart() -> None:
    code = """
import atexit
from archbench.workers.imports import end

class Large:
    def __del__(self):
        print("taken apart")

kept = Large()
atexit.register(print, "registered")
print("before", end=" ")
end(3)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "before registered\n", "")
