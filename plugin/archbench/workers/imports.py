"""Which code a worker imports, arranged before its pytest starts.

Run as a file by the interpreter of the worker: it imports nothing of archbench, since pytest is to
rewrite the assertions of what it loads, and what is loaded before cannot be.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

INSTALLED = ("site-packages", "dist-packages")
"""Directories that packages are installed into, which are of no work tree."""


@dataclass(frozen=True, slots=True)
class Imports:
    """Where a worker looks for what it imports. All paths are absolute.

    Attributes:
        archbench: directory that holds the one archbench of both sides.
        path: all of ``sys.path``; empty for that of the interpreter.
        before: directories whose packages come before installed ones of the same name.
        overlay: directory of packages that come before all others; empty for none.
        ours: work tree of the other side, whose code must not be imported; empty for none.
        theirs: work tree of this side, which may lie within that; empty where it is any.
        kept: directories within both that are code of neither.
    """

    archbench: str
    path: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    overlay: str = ""
    ours: str = ""
    theirs: str = ""
    kept: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Imports:
        """From what :func:`dataclasses.asdict` and JSON make of it."""
        lists = {name: tuple(value) for name, value in data.items() if isinstance(value, list)}
        return cls(**{**data, **lists})

    @property
    def trees(self) -> Trees | None:
        """None where both sides have the same work tree."""
        return Trees(self.ours, self.theirs, self.kept) if self.ours else None


class Trees:
    """The project's own work tree, and another one of the same repository.

    Args:
        ours: top of the project's.
        theirs: top of the other one.
        kept: directories within ``ours`` that are none of it, as an environment.
    """

    def __init__(self, ours: str, theirs: str, kept: Sequence[str] = ()) -> None:
        self._ours = Path(ours).resolve()
        self._theirs = Path(theirs)
        places = [Path(one).resolve() for one in (theirs, *kept) if one]
        # What the work tree lies in says nothing about it: a project in /usr/src, an environment
        # that was made in the top directory.
        self._kept = [one for one in places if one != self._ours and one.is_relative_to(self._ours)]

    def is_ours(self, path: str) -> bool:
        """Whether a path is one of our work tree, by whatever links it is reached.

        What is no whole path is none: finders put marks of their own on Python's path.
        """
        real = Path(path).resolve()
        if not Path(path).is_absolute() or not real.is_relative_to(self._ours):
            return False
        return not is_installed(real.relative_to(self._ours)) and not any(
            real.is_relative_to(one) for one in self._kept
        )

    def place(self, path: str) -> str:
        """The same place in the other work tree, and a path that is not ours as it is."""
        if not self.is_ours(path):
            return path
        # A link within the work tree is one there too.
        place = Path(os.path.normpath(Path(path).absolute()))
        place = place if place.is_relative_to(self._ours) else Path(path).resolve()
        return str(self._theirs / place.relative_to(self._ours))

    def moved(self, path: str) -> str | None:
        """The same, and None where the other work tree does not have it."""
        place = self.place(path)
        return place if place == path or Path(place).exists() else None


class Redirect:
    """Finds in the other work tree what any finder finds in ours.

    So an installation from our work tree serves both, whatever kind it is: a path, a finder of its
    own, a link. What the other work tree does not have is not found.
    """

    def __init__(self, trees: Trees) -> None:
        self._trees = trees

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As the import system asks."""
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec = find(name, path, target)
            moved = None if spec is None else self._moved(name, spec)
            if moved is not None:
                return moved
        return None

    def _moved(self, name: str, spec: ModuleSpec) -> ModuleSpec | None:
        places = spec.submodule_search_locations
        moved = [self._trees.moved(place) for place in places or ()]
        there = list(dict.fromkeys(place for place in moved if place is not None))
        if not spec.has_location:
            # A namespace package, or a module within the interpreter.
            if moved == list(places or ()):
                return spec
            spec.submodule_search_locations = there
            return spec if there else None
        origin = spec.origin or ""
        if not self._trees.is_ours(origin):
            return spec
        file = self._trees.moved(origin)
        if file is None:
            return None
        locations = None if places is None else there
        return importlib.util.spec_from_file_location(
            name, file, submodule_search_locations=locations
        )


class _First:
    """Finds packages in one directory, before anything else on the path.

    Args:
        directory: that holds them.
        names: of those that are meant; all by default.
    """

    def __init__(self, directory: str, names: Sequence[str] = ()) -> None:
        self._directory = directory
        self._names = names

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As the import system asks."""
        if path is not None or (self._names and name not in self._names):
            return None
        spec = PathFinder.find_spec(name, [self._directory])
        # Of a namespace package other directories hold parts too.
        return spec if spec is not None and spec.has_location else None


class _BeforeInstalled:
    """Finds in some directories what would be found among installed packages.

    The place of a directory on the path does not settle that: pytest puts others before it, all
    installed packages among them where it imports a test that is installed.
    """

    def __init__(self, directories: Sequence[str]) -> None:
        self._directories = list(directories)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As the import system asks."""
        if path is not None:
            return None
        usual = PathFinder.find_spec(name)
        if usual is None or not usual.has_location or not is_installed(usual.origin or ""):
            return None
        own = PathFinder.find_spec(name, self._directories)
        return own if own is not None and own.has_location else None


def is_installed(path: str | Path) -> bool:
    """Whether a path leads through a directory of packages."""
    return bool({*INSTALLED} & {*Path(path).parts})


def before_packages(path: Sequence[str], directories: Sequence[str]) -> list[str]:
    """A path with directories put before the packages of the environment, and behind the standard
    library, which a file of a project may bear the name of."""
    entries = list(path)
    installed = (index for index, one in enumerate(entries) if is_installed(one))
    front = entries[: next(installed, len(entries))]
    more = [one for one in directories if one not in front]
    return [*front, *more, *entries[len(front) :]]


def arrange(imports: Imports) -> None:
    """Make this process import what it is to."""
    # A file that is run brings its own directory.
    here = Path(__file__).resolve().parent
    own = [one for one in sys.path if Path(one).resolve() != here]
    sys.path[:] = before_packages(imports.path or own, imports.before)
    finders: list[Any] = [_First(imports.archbench, ("archbench",))]
    if imports.overlay:
        sys.path.insert(0, imports.overlay)
        finders.append(_First(imports.overlay))
    if imports.before:
        finders.append(_BeforeInstalled(imports.before))
    if imports.trees is not None:
        finders.append(Redirect(imports.trees))
    sys.meta_path[:0] = finders


def _main() -> None:
    """``imports.py ORDER ARGUMENTS``: pytest with these arguments, as the order has it import."""
    order = json.loads(Path(sys.argv.pop(1)).read_text(encoding="utf-8"))
    arrange(Imports.from_dict(order["imports"]))
    import pytest

    end(int(pytest.main()))


def end(status: int) -> NoReturn:
    """End this process with what is registered for its end, and without taking torch apart, which
    costs a second of a core."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    _main()
