"""Where the code that runs was imported from, which the metadata of packages does not say.

In a library's own checkout the library may be installed as well, in another version: which of the
two runs depends on how Python was started.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from archbench.core.entries import Imported
from archbench.models.importing import INSTALLED

_MODULES = {"pytest-benchmark": "pytest_benchmark", "pytest-xdist": "xdist"}
"""What a package is imported by, where that is not its name."""

_ZOO = "archbench.zoo."
"""Architectures of ours; what else of archbench builds a network is no part of it."""

_MARKERS = (".git", "pyproject.toml", "setup.py", "setup.cfg", "pytest.ini", "tox.ini")
"""Files that lie in the root directory of a project."""


def project_root(directory: Path) -> Path:
    """The nearest directory upwards that has what lies in a project's root; else the one given."""
    for one in (directory, *directory.parents):
        if any((one / marker).exists() for marker in _MARKERS):
            return one
    return directory


def version_of(package: str) -> str | None:
    """The version of a package: ``1.0.31``; ``1.1.0.dev0 (./timm)`` where this process has imported
    it from elsewhere than an installation, with a path from the project's root where it is below;
    ``(./timm)`` where it would, since what is not imported says no version.

    Returns:
        None where there is none.
    """
    name = _MODULES.get(package, package)
    module = sys.modules.get(name)
    found = _to_import(name, package) if module is None else _imported(module, package)
    if found is None or (found.is_installed and found.version is None):
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return None
    if found.is_installed:
        return found.version
    root, path = project_root(Path.cwd()).resolve(), Path(found.path).resolve()
    place = f"./{path.relative_to(root).as_posix()}" if path.is_relative_to(root) else found.path
    return " ".join(filter(None, (found.version, f"({place})")))


def imported_by(names: Iterable[str]) -> list[Imported]:
    """The packages and single modules that some modules belong to, each once.

    Of a namespace package the part that has a file is taken.

    Args:
        names: of modules, as classes have them in ``__module__``.
    """
    found: dict[str, Imported] = {}
    for name in names:
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            module = sys.modules.get(".".join(parts[:end]))
            one = None if module is None else _imported(module)
            if one is not None:
                found.setdefault(one.name, one)
                break
    return [found[name] for name in sorted(found)]


def imported_of(network: Any, constructor: Any = None, tree: Path | None = None) -> list[Imported]:
    """Where the code of a network is from: the classes of its modules, and for one of a person's
    own what builds it, with what these import of the project.

    What torch brings is the framework's.

    Args:
        network: a ``torch.nn.Module``.
        constructor: that built it, or a source that names it, where it is one of a person's own.
        tree: of the project; the nearest that the process is in by default.
    """
    names = {type(module).__module__ for module in network.modules()}
    if constructor is not None:
        names.add(str(getattr(constructor, "__module__", "")))
        place = str(getattr(constructor, "place", ""))
        names.update(
            name
            for name, module in list(sys.modules.items())
            if place and place in (name, getattr(module, "__file__", None))
        )
        names = _with_imports(names, tree or project_root(Path.cwd()))
    return imported_by(
        name
        for name in names
        if name.partition(".")[0] not in ("torch", "archbench") or name.startswith(_ZOO)
    )


def _with_imports(names: set[str], tree: Path) -> set[str]:
    """Modules, and what they import of a work tree, and what that imports."""
    found, left = set(names), list(names)
    while left:
        file = _file_in(tree.resolve(), left[-1])
        name = left.pop()
        new = set(_statements(name, file)) - found if file is not None else set()
        new = {one for one in new if _file_in(tree.resolve(), one) is not None}
        found |= new
        left += new
    return found


def _file_in(tree: Path, name: str) -> Path | None:
    """The file of a module that is imported from a work tree; None for every other one."""
    file = getattr(sys.modules.get(name), "__file__", None)
    path = Path(file).resolve() if isinstance(file, str) else None
    if path is None or not path.is_relative_to(tree):
        return None
    return None if {*INSTALLED} & {*path.relative_to(tree).parts} else path


def _statements(name: str, file: Path) -> Iterator[str]:
    """Names of the modules that a module's import statements name, wherever they stand in it."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, ValueError, SyntaxError):
        return
    package = getattr(sys.modules[name], "__package__", None) or ""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (package or not node.level):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _imported(module: ModuleType, package: str | None = None) -> Imported | None:
    """None for what has no file: a namespace package, a module within the interpreter."""
    name, file = module.__name__, getattr(module, "__file__", None)
    own = getattr(module, "__version__", None)
    version = str(own) if isinstance(own, str) else None
    return _from_file(name, file, package or name, version) if isinstance(file, str) else None


def _to_import(name: str, package: str) -> Imported | None:
    """What would be imported by a name, without doing it."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.has_location or spec.origin is None:
        return None
    return _from_file(name, spec.origin, package, None)


def _from_file(name: str, file: str, package: str, version: str | None) -> Imported:
    path = Path(file)
    place = path.parent if path.name == "__init__.py" else path
    if _is_linked(place):
        return Imported(name, version, str(place), is_installed=False)
    installed = _installed_version(package, place)
    is_installed = installed is not None or place.parent.name in INSTALLED
    return Imported(name, installed or version, str(place), is_installed)


def _is_linked(place: Path) -> bool:
    """Whether it is a link from an environment into the project, as one that is installed editable
    may be."""
    real = place.resolve()
    is_link = not real.is_relative_to(place.parent.resolve())
    return is_link and real.is_relative_to(project_root(Path.cwd()).resolve())


def _installed_version(package: str, place: Path) -> str | None:
    """The version of the installation that a package or module lies in; None where it is none.

    The metadata of an editable one lie elsewhere; a checkout may have some as well, of any age.
    """
    for distribution in importlib.metadata.distributions(name=package):
        root = Path(str(distribution.locate_file("")))
        if place.parent != root:
            continue
        if {*INSTALLED} & {*root.parts} or distribution.read_text("RECORD") is not None:
            return distribution.version
    return None
