"""Architectures of one's own: ``path/to/file.py:constructor``."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from archbench.core.errors import UsageError
from archbench.core.spec import ModelSpec

__all__ = ["constructor_from_file", "is_file_request"]


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


def is_file_request(request: str) -> bool:
    """Whether a request is about a file of one's own, complete or not."""
    return ".py:" in request or request.endswith(".py")


def constructor_from_file(request: str, directory: Path, asking: str) -> ModelSpec:
    """The spec for ``path/to/file.py:constructor`` or ``path/to/file.py:constructor@192``.

    The file is read, not run: it is imported when the model is built.

    Args:
        request: what was asked for.
        directory: what a relative path starts from.
        asking: what stands before the request where it was typed, for messages: ``--models=``.

    Raises:
        UsageError: no such file, or nothing of that name in it.
    """
    asked = f"{asking}{request}"
    file, colon, attribute = request.rpartition(":")
    attribute, _, pixels = attribute.partition("@")
    if not colon or not attribute:
        raise UsageError(
            asked,
            "it names a file and no constructor in it",
            f"Write {asking}path/to/file.py:constructor",
        )
    path = (directory / file).resolve()
    if not path.is_file():
        raise UsageError(
            asked, f"there is no file {path}", f"Write {asking}path/to/file.py:constructor"
        )
    names = _top_level_names(path, asked)
    # What a star brings is known only when the file runs.
    if attribute not in names and "*" not in names:
        raise UsageError(
            asked,
            f"{path.name} defines no {attribute!r}; it has {', '.join(sorted(names)) or 'nothing'}",
            "Name a function or class in it that returns the model",
        )
    if pixels and not (pixels.isdecimal() and int(pixels) > 0):
        raise UsageError(
            asked, f"{pixels!r} is not a size in pixels", f"Write {asking}{file}:{attribute}@192"
        )
    spec = ModelSpec.of(_FileConstructor(path, attribute), name=attribute)
    return spec.with_input_size(int(pixels)) if pixels else spec


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
