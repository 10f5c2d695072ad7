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
from archbench.pytest_plugin.settings import Settings

__all__ = ["constructor_from_file", "select_models"]


class _FileConstructor:
    """Calls a constructor in a Python file that is imported when it is first needed."""

    def __init__(self, path: Path, attribute: str) -> None:
        self._path = path
        self._attribute = attribute
        self.__name__ = attribute

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
            sys.path.insert(0, str(self._path.parent))
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules[name]
                raise
            finally:
                sys.path.remove(str(self._path.parent))
        constructor: Callable[..., Any] = getattr(module, self._attribute)
        return constructor(**kwargs)


def _top_level_names(path: Path, asked: str) -> set[str]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except (SyntaxError, ValueError) as error:
        raise UsageError(asked, f"{path} is not valid Python ({error})", "Correct the file") from (
            error
        )
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
    return names


def constructor_from_file(request: str, directory: Path) -> ModelSpec:
    """The spec for ``path/to/file.py:constructor`` or ``path/to/file.py:constructor@192``.

    The file is read, not run: it is imported when the model is built.

    Raises:
        UsageError: no such file, or nothing of that name in it.
    """
    asked = f"--models={request}"
    file, _, attribute = request.rpartition(":")
    attribute, _, pixels = attribute.partition("@")
    path = (directory / file).resolve()
    if not path.is_file():
        raise UsageError(
            asked, f"there is no file {path}", "Write --models=path/to/file.py:constructor"
        )
    names = _top_level_names(path, asked)
    if attribute not in names:
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
    return ".py:" in request


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


def _refuse_duplicates(models: Iterable[ModelSpec]) -> None:
    seen: set[str] = set()
    for model in models:
        if model.id in seen and model.library == "local":
            raise UsageError(
                f"two architectures named {model.id}",
                "a cell is named after its architecture",
                "Give one of them another name: ModelSpec.of(constructor, name='...')",
            )
        seen.add(model.id)


def select_models(config: pytest.Config, settings: Settings) -> tuple[ModelSpec, ...]:
    """The architectures that a run is about, each once, in their order.

    Without ``--suite`` and ``--models``: one's own from the hook if there are any, and the seed
    suite.

    Raises:
        UsageError: an unknown suite or architecture, a glob that matches nothing.
    """
    from archbench.catalog import load_catalog

    own = _hook_models(config)
    requests = [part for value in settings.models for part in value.split(",") if part]
    files = [
        constructor_from_file(request, config.invocation_params.dir)
        for request in requests
        if _is_file_request(request)
    ]
    patterns = [request for request in requests if not _is_file_request(request)]
    chosen: list[ModelSpec] = list(files)
    for pattern in list(patterns):
        mine = [m for m in own if fnmatchcase(m.id, pattern) or fnmatchcase(m.short_name, pattern)]
        if mine:
            chosen += mine
            patterns.remove(pattern)
    _refuse_duplicates([*own, *files])
    if not requests:
        chosen += own
        chosen += load_catalog().select(settings.suite or ())
    elif patterns or settings.suite:
        chosen += load_catalog().select(settings.suite or (), patterns)
    return tuple({model.id: model for model in chosen}.values())
