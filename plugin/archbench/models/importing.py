"""Importing files of a person's own, each as what it says, and leaving nothing behind.

Two folders may hold siblings of one name (``blocks.py``) or packages of one name (``models/``), and
the project may have imported a module of that name itself. So what the files of a folder import
from their own surroundings is kept apart for each folder, and is in ``sys.modules`` while a network
of that folder is built or runs, and at no other time.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from archbench.core.spec import OwnSource

INSTALLED = ("site-packages", "dist-packages")
"""Directories that packages are installed into."""

_NEVER_OWN = frozenset({"torch", "numpy", "archbench", "pytest", "_pytest", "pluggy"})
"""Packages that are running, or that cannot be imported twice in a process."""


class OwnModules:
    """The modules that files of one folder import from their own surroundings.

    Args:
        first: directories that come before all others on Python's path.
        last: directories that come behind all others.
    """

    def __init__(self, first: Sequence[str], last: Sequence[str] = ()) -> None:
        self._first, self._last = list(first), list(last)
        self._modules: dict[str, ModuleType] = {}
        self.files = _Files()
        self._is_in_place = False
        self._listed: tuple[tuple[str, ...], set[str]] = ((), set())

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """With these modules, and no others of their names, in ``sys.modules``.

        Afterwards ``sys.modules``, ``sys.path`` and what else decides about imports are as they
        were, but for installed packages that were imported meanwhile, which stay.
        """
        if self._is_in_place:
            yield
            return
        path, meta_path, before = list(sys.path), list(sys.meta_path), dict(sys.modules)
        self._is_in_place = True
        sys.path[:] = self._whole_path(path)
        sys.meta_path.insert(0, self.files)
        inside = list(sys.path)
        self._hide_others()
        sys.modules.update(self._modules)
        try:
            yield
        finally:
            self._is_in_place = False
            self._keep_path(inside)
            self._keep_own(before)
            sys.path[:], sys.meta_path[:] = path, meta_path
            sys.path_importer_cache.pop("", None)  # the working directory may be another one now

    def _whole_path(self, path: Sequence[str]) -> list[str]:
        others = [one for one in path if one not in self._first]
        return [*self._first, *others, *(one for one in self._last if one not in others)]

    def _keep_path(self, inside: Sequence[str]) -> None:
        """Remember what a network's own code has put on the path, and on which end."""
        added = [one for one in sys.path if one not in inside]
        for one in reversed(added):
            if inside and inside[0] in sys.path and sys.path.index(one) < sys.path.index(inside[0]):
                self._first.insert(0, one)
            else:
                self._last.insert(0, one)

    def _hide_others(self) -> None:
        """Take modules away of which these directories have other ones."""
        importlib.invalidate_caches()
        here = self._names_here()
        for top in sorted({name.partition(".")[0] for name in sys.modules} & here):
            if top in sys.stdlib_module_names or top in _NEVER_OWN:
                continue
            if _is_another(sys.modules.get(top), PathFinder.find_spec(top, sys.path)):
                for name in [one for one in sys.modules if one.partition(".")[0] == top]:
                    del sys.modules[name]

    def _names_here(self) -> set[str]:
        """Names that could be imported from the first directories."""
        key = tuple(self._first)
        if self._listed[0] != key:
            folders = [Path(directory) for directory in self._first]
            found = (
                path.name for folder in folders if folder.is_dir() for path in folder.iterdir()
            )
            self._listed = key, {name.partition(".")[0] for name in found}
        return self._listed[1]

    def _keep_own(self, before: dict[str, ModuleType]) -> None:
        """Move what was imported from one's own surroundings out of ``sys.modules``."""
        changed = [(n, m) for n, m in sys.modules.items() if before.get(n) is not m]
        # All is looked at before any of it goes: a namespace package asks for the one it is in.
        own = {n: m for n, m in changed if self._modules.get(n) is m or self._is_own(n, m)}
        self._modules.update(own)
        for name in own:
            del sys.modules[name]
        sys.modules.update(before)

    def _is_own(self, name: str, module: Any) -> bool:
        top = name.partition(".")[0]
        if top in _NEVER_OWN or top in sys.stdlib_module_names:
            return False
        place = _place_of(module)
        if place is None:
            # Made while the code ran: as its package is, or of one's own where it has none.
            return top == name or self._is_own(top, sys.modules.get(top))
        return not _is_installed(place) and any(
            place == one or place.startswith(one.rstrip(os.sep) + os.sep)
            for one in map(os.path.realpath, (*self._first, *self._last))
        )


def _place_of(module: Any) -> str | None:
    """The file of a module, or the first directory of a package that has none."""
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        return os.path.realpath(file)
    spec = getattr(module, "__spec__", None)
    if getattr(spec, "origin", None) in ("built-in", "frozen"):
        return sys.prefix
    directories = list(getattr(module, "__path__", None) or ())
    return os.path.realpath(directories[0]) if directories else None


def _is_installed(place: str) -> bool:
    """Whether a file is of an installed package or of Python's own library."""
    if {*INSTALLED} & {*Path(place).parts}:
        return True
    libraries = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")} | {sys.prefix}
    return any(place.startswith(one + os.sep) or place == one for one in libraries if one)


def _is_another(module: Any, found: ModuleSpec | None) -> bool:
    """Whether importing a name now would bring something else than the module of that name."""
    if found is None or module is None:
        return False
    place = _place_of(module)
    if found.origin is None or found.origin == "namespace":
        has_file = getattr(module, "__file__", None) is not None
        directories = list(found.submodule_search_locations or ())
        return not has_file and place != (os.path.realpath(directories[0]) if directories else None)
    return place != os.path.realpath(found.origin)


class _Files(MetaPathFinder, Loader):
    """The files that networks were asked for by, each of which is one module under any name.

    A module that such a file imports may import the file in turn, by its name from the root of the
    project. Were it run a second time, ``isinstance`` would know two classes of each name.
    """

    def __init__(self) -> None:
        self._modules: dict[str, ModuleType] = {}

    def add(self, path: Path, module: ModuleType) -> None:
        """Let a file be a module, from before its code runs."""
        self._modules[os.path.realpath(path)] = module

    def remove(self, path: Path) -> None:
        """Let a file be run again, since it failed."""
        self._modules.pop(os.path.realpath(path), None)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where a name leads to one of the files: a spec that gives its module."""
        last = name.rpartition(".")[2]
        if not any(last in (Path(file).stem, Path(file).parent.name) for file in self._modules):
            return None
        found = PathFinder.find_spec(name, path, target)
        file = os.path.realpath(found.origin) if found and found.origin else ""
        module = self._modules.get(file)
        if found is None or module is None or module.__name__ == name:
            return None
        found.loader, found.loader_state = self, (module, module.__spec__)
        if found.submodule_search_locations and not hasattr(module, "__path__"):
            module.__path__ = list(found.submodule_search_locations)
        return found

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module that is there."""
        module: ModuleType = spec.loader_state[0]
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It has run, or is running."""
        if module.__spec__ is not None and module.__spec__.loader is self:
            module.__spec__ = module.__spec__.loader_state[1]


# From a file to a module.

_OWN: dict[tuple[Any, ...], OwnModules] = {}


def own_modules(source: OwnSource) -> OwnModules:
    """What a source imports from its own surroundings; shared by the sources of one folder."""
    roots = [source.root]
    if (Path(source.root) / "src").is_dir():
        roots.append(str(Path(source.root) / "src"))
    if not source.is_file:
        first, last = roots, []
    else:
        folder = str(Path(source.place).parent)
        package = _package_of(source)
        if package is not None:
            first, last = [package[1], *roots], [folder]
        else:
            first, last = [folder, *_above_package(Path(folder)), *roots], []
    first, last = list(dict.fromkeys(first)), list(dict.fromkeys(last))
    return _OWN.setdefault((*first, None, *last), OwnModules(first, last))


def forget_own_modules() -> None:
    """Let go of all that was imported so; who asks next imports it anew."""
    _OWN.clear()


def import_source(source: OwnSource) -> ModuleType:
    """Import the module of a source, once. To be used while its :func:`own_modules` are in place.

    Arguments of the command line are not the file's: it finds none.
    """
    if not source.is_file:
        return importlib.import_module(source.place)
    loaded = _loaded(source.place)
    if loaded is not None:
        return loaded
    package = _package_of(source)
    argv = list(sys.argv)
    sys.argv[:] = [source.place]
    try:
        if package is not None and "." not in "".join(package[0]):
            return importlib.import_module(".".join(package[0]))
        if package is not None:
            return _import_below(Path(source.place), len(package[0]) - 1)
        return _import_alone(Path(source.place), own_modules(source).files)
    finally:
        sys.argv[:] = argv


def _loaded(place: str) -> ModuleType | None:
    """The module that a file is already, under whatever name."""
    file, last = os.path.realpath(place), Path(place).name
    for name, module in list(sys.modules.items()):
        known = getattr(module, "__file__", None)
        if (
            isinstance(known, str)
            and name != "__main__"
            and known.endswith(last)
            and os.path.realpath(known) == file
        ):
            return module
    return None


def _import_alone(path: Path, files: _Files) -> ModuleType:
    """A file by itself, as Python runs it, under a name that is nobody else's."""
    name = f"own_{path.stem}_{sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    files.add(path, module)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        files.remove(path)
        raise
    return module


def _import_below(path: Path, levels: int) -> ModuleType:
    """A file that imports relatively, in folders whose names cannot be those of packages."""
    top = path.parents[levels - 1]
    name = f"own_{sha256(str(top).encode()).hexdigest()[:8]}"
    if name not in sys.modules:
        package = ModuleType(name)
        package.__path__ = [str(top)]
        sys.modules[name] = package
    below = path.relative_to(top).with_suffix("").parts
    if any("." in part for part in below):
        raise ImportError(f"{path} imports relatively, and a folder above it has a dot in its name")
    return importlib.import_module(".".join((name, *below)))


_PACKAGE = "__package__"


def _package_of(source: OwnSource) -> tuple[tuple[str, ...], str] | None:
    """The parts of the name of a file that imports its own package, relatively or by name, or asks
    for it, and the directory that they start from; None for a file that can be imported alone."""
    path = Path(source.place)
    above = _above_package(path.parent)
    levels, names = _imports(path)
    if above and {path.relative_to(above[0]).parts[0], _PACKAGE} & names:
        # The package's __init__ is run, and may import this very file, which has to be the same.
        levels = max(levels, 1)
    if not levels:
        return None
    if above and len(path.relative_to(above[0]).parts) > levels:
        base = Path(above[0])
    elif path.is_relative_to(source.root) and len(path.relative_to(source.root).parts) > levels:
        # Folders without an __init__.py are packages all the same.
        base = Path(source.root)
    else:
        base = path.parents[levels]
    parts = path.relative_to(base).with_suffix("").parts
    if any("." in part for part in parts):
        base = path.parents[levels]
        parts = path.relative_to(base).with_suffix("").parts
    return parts[: -1 if parts[1:] and parts[-1] == "__init__" else None], str(base)


def _imports(path: Path) -> tuple[int, set[str]]:
    """The most dots with which a file begins an import, and the top names that it imports, and
    ``__package__`` where it asks for that, as for files of its package."""
    levels, names = 0, set()
    for node in ast.walk(ast.parse(path.read_bytes(), filename=str(path))):
        if isinstance(node, ast.ImportFrom):
            levels = max(levels, node.level)
            imported = [] if node.level else [node.module or ""]
        else:
            imported = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.Name) and node.id == _PACKAGE:
                names.add(_PACKAGE)
        names |= {name.partition(".")[0] for name in imported}
    return levels, names


def _above_package(folder: Path) -> list[str]:
    """The directory that holds the outermost package of a folder; none where it is no package."""
    inside = folder
    while (inside / "__init__.py").is_file():
        inside = inside.parent
    return [] if inside == folder else [str(inside)]
