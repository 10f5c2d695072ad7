"""Which architectures a run is about."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from archbench.core.errors import UsageError
from archbench.core.spec import ModelSpec
from archbench.pytest_plugin.manifest import cell_of
from archbench.pytest_plugin.settings import Settings

__all__ = ["constructor_from_file", "select_models"]


class _FileConstructor:
    """Calls a constructor in a Python file that is imported when it is first needed."""

    def __init__(self, path: Path, attribute: str) -> None:
        self._path = path
        self._attribute = attribute
        self.__name__ = attribute

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _FileConstructor) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[Path, str]:
        return self._path, self._attribute

    def __call__(self, **kwargs: Any) -> Any:
        name = f"archbench_local_{self._path.stem}_{abs(hash(self._path))}"
        module = sys.modules.get(name)
        if module is None:
            spec = importlib.util.spec_from_file_location(name, self._path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            # What lies beside the file can be imported, as when Python runs it.
            if str(self._path.parent) not in sys.path:
                sys.path.insert(0, str(self._path.parent))
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules[name]
                raise
        constructor: Callable[..., Any] = getattr(module, self._attribute)
        return constructor(**kwargs)


def _top_level_names(path: Path, asked: str) -> set[str]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except (SyntaxError, ValueError) as error:
        raise UsageError(asked, f"{path} is not valid Python ({error})", "Correct the file") from (
            error
        )
    return _names_in(tree.body)


def _names_in(body: Iterable[ast.stmt]) -> set[str]:
    names: set[str] = set()
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(target.id for target in targets if isinstance(target, ast.Name))
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, (ast.If, ast.Try)):
            branches = [node.body, node.orelse]
            if isinstance(node, ast.Try):
                branches += [node.finalbody, *(handler.body for handler in node.handlers)]
            for branch in branches:
                names |= _names_in(branch)
    return names


def constructor_from_file(request: str, directory: Path) -> ModelSpec:
    """The spec for ``path/to/file.py:constructor`` or ``path/to/file.py:constructor@192``.

    The file is read, not run: it is imported when the model is built.

    Raises:
        UsageError: no such file, or nothing of that name in it.
    """
    asked = f"--models={request}"
    file, colon, attribute = request.rpartition(":")
    attribute, _, pixels = attribute.partition("@")
    if not colon or not attribute:
        raise UsageError(
            asked,
            "it names a file and no constructor in it",
            "Write --models=path/to/file.py:constructor",
        )
    path = (directory / file).resolve()
    if not path.is_file():
        raise UsageError(
            asked, f"there is no file {path}", "Write --models=path/to/file.py:constructor"
        )
    names = _top_level_names(path, asked)
    # What a star brings is known only when the file runs.
    if attribute not in names and "*" not in names:
        raise UsageError(
            asked,
            f"{path.name} defines no {attribute!r}; it has {', '.join(sorted(names)) or 'nothing'}",
            "Name a function or class in it that returns the model",
        )
    if pixels and not (pixels.isdigit() and int(pixels) > 0):
        raise UsageError(
            asked, f"{pixels!r} is not a size in pixels", f"Write --models={file}:{attribute}@192"
        )
    spec = ModelSpec.of(_FileConstructor(path, attribute), name=attribute)
    return spec.with_input_size(int(pixels)) if pixels else spec


def _is_file_request(request: str) -> bool:
    return ".py:" in request or request.endswith(".py")


def _of_node_ids(config: pytest.Config) -> list[str]:
    """The architectures that the test ids on the command line name."""
    cells = [cell_of(argument) for argument in config.args]
    return list(dict.fromkeys(cell[0] for cell in cells if cell is not None))


def _matching(pattern: str, own: Iterable[ModelSpec]) -> list[ModelSpec]:
    """One's own architectures that an id or glob names, at the size that follows its ``@``."""
    name, at, size = pattern.partition("@")
    found = [m for m in own if fnmatchcase(m.id, pattern) or fnmatchcase(m.short_name, pattern)]
    if found or not at or not size.isdecimal() or int(size) < 1:
        return found
    return [model.with_input_size(int(size)) for model in _matching(name, own)]


def _hook_models(config: pytest.Config) -> list[ModelSpec]:
    models: list[ModelSpec] = []
    for answer in config.hook.pytest_archbench_models(config=config):
        if not isinstance(answer, Iterable):
            raise UsageError(
                "pytest_archbench_models",
                f"returned {type(answer).__name__}",
                "Return a list: [ModelSpec.of(constructor)]",
            )
        for model in answer:
            if not isinstance(model, ModelSpec):
                raise UsageError(
                    "pytest_archbench_models",
                    f"returned {model!r} in its list",
                    "Wrap each constructor: [ModelSpec.of(constructor)]",
                )
            models.append(model)
    return models


def _each_once(models: Iterable[ModelSpec]) -> tuple[ModelSpec, ...]:
    chosen: dict[str, ModelSpec] = {}
    for model in models:
        before = chosen.setdefault(model.id, model)
        if before != model or before.constructor != model.constructor:
            raise UsageError(
                f"two architectures named {model.id}",
                "a cell is named after its architecture",
                "Rename one constructor, or give it a name: ModelSpec.of(constructor, name='...')",
            )
    return tuple(chosen.values())


def select_models(config: pytest.Config, settings: Settings) -> tuple[ModelSpec, ...]:
    """The architectures that a run is about, each once, in their order.

    Without ``--suite`` and ``--models``: those that test ids on the command line name, else one's
    own from the hook and the seed suite. ``--models`` filters a suite that is given.

    Raises:
        UsageError: an unknown suite or architecture, a glob that matches nothing.
    """
    from archbench.catalog import load_catalog

    own = _hook_models(config)
    requests = [
        part for value in settings.models for part in map(str.strip, value.split(",")) if part
    ]
    if not requests and settings.suite is None:
        requests = _of_node_ids(config)
    if not requests:
        return _each_once([*own, *load_catalog().select(settings.suite or ())])
    directory = config.invocation_params.dir
    chosen: list[ModelSpec] = []
    for request in requests:
        if _is_file_request(request):
            chosen.append(constructor_from_file(request, directory))
            continue
        mine = _matching(request, own)
        if request.startswith("local/") and not mine:
            raise UsageError(
                f"architecture {request!r}",
                f"this project's own architectures are {', '.join(m.id for m in own) or 'none'}",
                "Name one of them, or write --models=path/to/file.py:constructor",
            )
        try:
            found = load_catalog().select(settings.suite or (), request)
        except UsageError:
            # A name of one's own need not be in the catalogue as well.
            if not mine:
                raise
            found = ()
        chosen += [*mine, *found]
    return _each_once(chosen)
