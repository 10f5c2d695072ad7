"""Ids of tests that ``--pyargs`` finds outside of the project, as the installed suite is."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path, PurePosixPath

import pytest

import archbench
from archbench.pytest_plugin.options import given_options
from archbench.workers.imports import is_installed


class ByModule:
    """The plugin of a run with ``--pyargs``: names installed tests by their modules.

    Args:
        suite: module of the installed suite.
    """

    def __init__(self, suite: str) -> None:
        self._suite = suite

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        """Take ids as pytest prints them."""
        session.config.args = as_typed(session.config)

    def pytest_pycollect_makemodule(
        self, module_path: Path, parent: pytest.Collector
    ) -> pytest.Module | None:
        """Name a file by its module where it is found by that, outside of the project."""
        config = parent.config
        if not is_elsewhere(config, module_path):
            return None
        name = importable_name(config.args, module_path)
        # What others run in this way keeps the ids that they know.
        if name is None or not (given_options(config) or name.startswith(self._suite)):
            return None
        module: pytest.Module = pytest.Module.from_parent(parent, path=module_path, nodeid=name)
        return module

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Leave Python's path as it is where the installed suite is imported."""
        if not collector.nodeid.startswith(self._suite):
            return (yield)
        with path_unmoved():
            return (yield)


def is_elsewhere(config: pytest.Config, path: Path) -> bool:
    """Whether a file is none of the project's.

    pytest names such a file relative to what was given on the command line, which is ``""`` for the
    file itself: an id that cannot be typed, and no class name for JUnit.
    """
    root = config.rootpath
    if not path.is_relative_to(root) or is_installed(path.relative_to(root)):
        return True  # an environment may lie below the project's root
    packages = own_packages()
    return packages is not None and path.is_relative_to(packages)


def own_packages() -> Path | None:
    """The directory that pip has put archbench into, which can be any (``--target``)."""
    directory = Path(archbench.__file__).parents[1]
    return directory if any(directory.glob("pytest_archbench-*.dist-info")) else None


@contextmanager
def path_unmoved() -> Iterator[None]:
    """Import an installed test, and leave installed packages where they are on the path.

    pytest puts the directory that holds a test's package first: where that is the one of all
    installed packages, they come before what the project holds.
    """
    before = list(sys.path)
    yield
    if sys.path[:1] != before[:1] and sys.path[0] in before:
        del sys.path[0]


def importable_name(arguments: Sequence[str], path: Path) -> str | None:
    """The name by which ``--pyargs`` finds a file: ``archbench.benchmarks.test_latency``.

    Args:
        arguments: of the command line, tests in files included.

    Returns:
        None where no argument names it, or a package that holds it.
    """
    for argument in arguments:
        name = file_of(argument)
        spec = _spec(name)
        if spec is None:
            continue
        if spec.origin is not None and Path(spec.origin) == path:
            return name
        for location in spec.submodule_search_locations or ():
            if path.is_relative_to(location):
                inside = path.relative_to(location).with_suffix("")
                return ".".join((name, *inside.parts))
    return None


def file_of(argument: str) -> str:
    """The file, directory or module of an argument or an id, without the test in it."""
    return argument.partition("[")[0].partition("::")[0]


def place_of(config: pytest.Config, argument: str) -> Path:
    """The file or directory that an argument without a test in it names."""
    spec = _spec(argument) if config.option.pyargs else None
    if spec is not None and spec.submodule_search_locations:
        return Path(spec.submodule_search_locations[0])
    if spec is not None and spec.origin is not None:
        return Path(spec.origin)
    return config.invocation_params.dir / argument


def as_typed(config: pytest.Config) -> list[str]:
    """The arguments, with ids that pytest printed for another directory than its root's.

    It takes their names for paths, and prints ``../archbench.benchmarks.test_latency::...`` below
    the root.
    """
    arguments = []
    for argument in config.args:
        file = file_of(argument)
        name = PurePosixPath(file).name
        is_path = name != file and not (config.invocation_params.dir / file).exists()
        printed = is_path and _spec(name) is not None
        arguments.append(argument.replace(file, name, 1) if printed else argument)
    return arguments


def _spec(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except (AttributeError, ImportError, ValueError):
        # A path, or a module of something that is no package.
        return None
