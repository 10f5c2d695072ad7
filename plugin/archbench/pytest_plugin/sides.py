"""The two sides of a comparison, made ready on disk: whose code, which interpreter and tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import archbench
from archbench.core.errors import UsageError
from archbench.pytest_plugin.manifest import cell_of
from archbench.pytest_plugin.node_ids import file_of, own_packages, place_of
from archbench.pytest_plugin.options import destination
from archbench.pytest_plugin.selection import listed_requests, one_model
from archbench.pytest_plugin.settings import settings_of
from archbench.pytest_plugin.starting import imports_of, options_of
from archbench.pytest_plugin.targets import targets_of
from archbench.store.directory import make_directory, writing
from archbench.workers.environments import interpreter, overlay
from archbench.workers.imports import Imports, Trees
from archbench.workers.orders import OptionValue
from archbench.workers.pairs import CANDIDATE, REFERENCE
from archbench.workers.references import Reference
from archbench.workers.revisions import Revision, check_out, describe_work_tree, top_of


@dataclass(frozen=True, slots=True)
class Side:
    """Where one side's code is, and what runs it.

    Attributes:
        label: for people.
        executable: the interpreter.
        directory: that it runs in.
        root: pytest's root directory there.
        inifile: pytest's configuration file there; None for none.
        arguments: files, directories and modules of its tests; empty where it has none of them.
        plugins: options of pytest and its plugins that tests need to be the same ones.
        options: ours, by where they are stored.
        imports: where its code is imported from.
    """

    label: str
    executable: str
    directory: Path
    root: Path
    inifile: Path | None
    arguments: tuple[str, ...]
    plugins: tuple[str, ...]
    options: dict[str, OptionValue]
    imports: Imports


def make_sides(
    config: pytest.Config,
    reference: Reference,
    show: Callable[[str], object] = lambda _: None,
) -> dict[str, Side]:
    """Both sides, made ready on disk.

    Args:
        show: given a line about what takes long.

    Raises:
        UsageError: the reference is not to be had.
    """
    asked, directory = f"--against={reference.text}", settings_of(config).directory
    if os.name != "posix":
        raise UsageError(
            asked, "processes inherit a socket, which only POSIX systems do", "Run it on Linux"
        )
    with writing(directory / "against", "what is compared with is kept there"):
        store = make_directory(directory / "against", directory)
    candidate = _candidate(config)
    if reference.kind == "revision":
        return _of_revisions(config, reference, candidate, store)
    if reference.kind == "flags":
        _check_flags(config, reference)
        label = ", ".join(f"{name}={value}" for name, value in reference.flags)
        other = replace(candidate, label=label)
    elif reference.kind == "interpreter":
        executable = interpreter(reference.value, config.invocation_params.dir, asked)
        imports = replace(
            candidate.imports, path=(), before=_of_project(config, candidate.imports.path)
        )
        label = f"the same project with {executable}"
        other = replace(candidate, label=label, executable=executable, imports=imports)
    else:
        place, packages = overlay(reference.requirements, store, asked, show=show)
        names = ", ".join(f"{name} {version}" for name, version in sorted(packages.items()))
        imports = replace(candidate.imports, overlay=str(place))
        other = replace(candidate, label=f"the same project with {names}", imports=imports)
    return {REFERENCE: other, CANDIDATE: candidate}


def _candidate(config: pytest.Config) -> Side:
    """The project as it is here, with whatever this process imports."""
    directory = config.invocation_params.dir
    return Side(
        describe_work_tree(config.rootpath, _reports(config)),
        sys.executable,
        directory,
        config.rootpath,
        config.inipath,
        # Which tests of a file are meant the order says: of one that is not there nothing is found.
        tuple(dict.fromkeys(map(file_of, config.args))),
        _plugins(config),
        {**options_of(config, without=("against",)), **_models_named(config)},
        replace(
            imports_of(),
            path=tuple(dict.fromkeys(_absolute(directory, one) for one in sys.path)),
        ),
    )


def _reports(config: pytest.Config) -> list[Path]:
    """Files that this run writes for those who read its results."""
    settings = settings_of(config)
    junit = getattr(config.option, "xmlpath", None)
    given = [settings.results, settings.code_quality, settings.openmetrics, junit]
    return [config.invocation_params.dir / one for one in given if one]


_KEPT = ("-p", "-o", "--override-ini", "--import-mode", "-W", "--pythonwarnings")
"""Options of pytest that decide which tests there are, and under which ids: plugins, values of the
configuration, how files are imported. What a project's own configuration says each side reads."""


def _plugins(config: pytest.Config) -> tuple[str, ...]:
    """Those of the command line, and repetitions."""
    repeats = config.pluginmanager.has_plugin("repeat") and config.getoption("count", 1) > 1
    names = ("count", "repeat_scope") if repeats else ()
    kept: list[str] = []
    arguments = iter(map(str, config.invocation_params.args))
    for argument in arguments:
        if argument in _KEPT:
            kept += [argument, next(arguments, "")]
        elif argument.startswith(("-p", "-o", "-W", *(f"{name}=" for name in _KEPT))):
            kept.append(argument)
    return (
        *kept,
        *(f"--{name.replace('_', '-')}={config.getoption(name)}" for name in names),
    )


def _absolute(directory: Path, entry: str) -> str:
    """An entry of the path; what is no path, as a finder's mark, as it is."""
    place = directory / entry
    return str(place) if place.exists() else entry


def _models_named(config: pytest.Config) -> dict[str, list[str]]:
    """The architectures that ids on the command line name, else the configuration, where nothing
    else selects any: the other version of the project may not ask for them."""
    settings = settings_of(config)
    if settings.models or settings.suite is not None:
        return {}
    cells = dict.fromkeys(cell[0] for cell in map(cell_of, config.args) if cell is not None)
    listed = listed_requests(config)
    if not cells and listed and config.hook.pytest_archbench_models.get_hookimpls():
        listed.append("local/*")
    models = list(cells) or listed
    return {destination("models"): models} if models else {}


def _of_project(config: pytest.Config, path: Sequence[str]) -> tuple[str, ...]:
    """Directories of the project among those that this process imports from."""
    top = top_of(config.rootpath) or config.rootpath
    trees = Trees(str(top), "", _kept(config))
    return tuple(one for one in path if trees.is_ours(one))


def _kept(config: pytest.Config) -> tuple[str, ...]:
    """Directories that are no code of a project, though they may lie in it."""
    package = own_packages() or Path(archbench.__file__).parent
    places = (sys.prefix, sys.base_prefix, str(package), str(settings_of(config).directory))
    return tuple(dict.fromkeys(places))


def _check_flags(config: pytest.Config, reference: Reference) -> None:
    """Refuse flags that no side can be run with, before anything is measured.

    Raises:
        UsageError: there is no such model, or the device cannot run it like that.
    """
    flags = dict(reference.flags)
    if "model" in flags:
        one_model(config, flags["model"], "--against=model=")
    from archbench.measure.side_network import varied

    targets = targets_of(config)
    try:
        others = [varied(target, flags) for target in targets]
    except UsageError as error:
        # What is to be typed instead is typed here.
        todo = error.todo.replace("--", "--against=")
        raise UsageError(f"--against={reference.text}", error.found, todo) from None
    if "model" not in flags and others == targets:
        raise UsageError(
            f"--against={reference.text}",
            "the candidate has these flags already, so both sides would be the same",
            "Name what differs",
        )


def _of_revisions(
    config: pytest.Config, reference: Reference, candidate: Side, store: Path
) -> dict[str, Side]:
    """The work tree and a revision, each with the project's code from its own tree.

    That is what is to be compared, also where an installed copy would be found first.
    """
    revision = check_out(
        config.rootpath, reference.value, store / "revisions", reports=_reports(config)
    )
    trees = Trees(str(revision.top), str(revision.tree), _kept(config))
    root = config.rootpath
    own = [
        str(one)
        for one in (root / "src", root)
        if one.is_dir() and not (one / "__init__.py").exists()
    ]
    imports = replace(candidate.imports, before=tuple(own), theirs=str(revision.top))
    candidate = replace(candidate, imports=imports)
    return {REFERENCE: _there(config, candidate, revision, trees), CANDIDATE: candidate}


def _there(config: pytest.Config, candidate: Side, revision: Revision, trees: Trees) -> Side:
    """The same side with every path of the work tree in the revision's tree."""

    def there(place: Path | None) -> Path | None:
        moved = None if place is None else trees.moved(str(place))
        return None if moved is None else Path(moved)

    other_root = there(config.rootpath) or revision.tree

    def all_there(places: Sequence[str]) -> tuple[str, ...]:
        moved = map(trees.moved, places)
        return tuple(dict.fromkeys(one for one in moved if one is not None))

    # Paths that are given are relative to it, also where the revision does not have it.
    directory = Path(trees.place(str(candidate.directory)))
    directory.mkdir(parents=True, exist_ok=True)
    reached = (f"{revision.top}{os.sep}", f"{revision.tree}{os.sep}")
    return replace(
        candidate,
        label=revision.label,
        directory=directory,
        root=other_root,
        inifile=there(candidate.inifile),
        arguments=_moved_arguments(config, candidate, trees),
        options={
            name: [one.replace(*reached) for one in value] if isinstance(value, list) else value
            for name, value in candidate.options.items()
        },
        imports=replace(
            candidate.imports,
            path=all_there(candidate.imports.path),
            before=all_there(candidate.imports.before),
            ours=str(revision.top),
            theirs=str(revision.tree),
            kept=_kept(config),
        ),
    )


def _moved_arguments(config: pytest.Config, candidate: Side, trees: Trees) -> tuple[str, ...]:
    """Those of the candidate's arguments that the other work tree has."""
    arguments = []
    for argument in candidate.arguments:
        place = place_of(config, argument)
        moved = trees.moved(str(place))
        is_path = place == candidate.directory / argument
        if moved is not None:
            arguments.append(moved if is_path else argument)
    return tuple(arguments)
