"""Networks in a project, by the text of its files. Nothing is imported or run."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOST_FILES = 5_000
MOST_BYTES = 500_000
"""Of a file: what is larger was written by a program."""

_NOT_SEARCHED = {
    "build", "dist", "doc", "docs", "env", "node_modules", "site-packages", "test", "tests", "venv",
}  # fmt: skip
_BASES = {"Module", "Sequential"}
_MAKERS = {"Sequential", "create_model"}
_HARMLESS = {"logging", "np", "numpy", "os", "random", "sys", "torch", "warnings"}
"""Modules whose functions a file may call while it is imported."""


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    line: int
    is_class: bool
    is_part: bool
    needs: tuple[str, ...]


def networks_in(root: Path, *, needing: bool = False) -> list[str]:
    """Functions and classes that make a network without being given anything, the likeliest first.

    A class derives from ``nn.Module`` or from a class of its file that does, and its ``forward``
    takes one input; a function returns what such a class, ``nn.Sequential`` or ``create_model``
    makes. Files that do work while they are imported, such as a training script, are left out, and
    losses too. What others of its file are made of comes after them.

    Args:
        root: of the project.
        needing: look for those that have to be given something instead, and are no part of another
            one: ``nets/small.py:small(width=...)``.

    Returns:
        Requests: ``nets/small.py:small``.
    """
    ranked = []
    for path in _files(root):
        place = path.relative_to(root)
        for one in _networks_of(path):
            if bool(one.needs) != needing or (needing and one.is_part):
                continue
            # What has to be given something is more often a part, if it is no function.
            is_part = one.is_part or (needing and one.is_class)
            rank = (is_part, len(place.parts), str(place), one.line)
            given = f"({', '.join(f'{name}=...' for name in one.needs)})" if one.needs else ""
            ranked.append((rank, f"{place.as_posix()}:{one.name}{given}"))
    return [request for _, request in sorted(ranked)]


def _files(root: Path) -> Iterator[Path]:
    number = 0
    for directory, names, files in os.walk(root):
        names[:] = sorted(
            name
            for name in names
            if not name.startswith(".")
            and name not in _NOT_SEARCHED
            and not Path(directory, name, "pyvenv.cfg").exists()
        )
        for name in sorted(files):
            number += 1
            if number > MOST_FILES:
                return
            is_test = name.startswith("test_") or name in ("conftest.py", "setup.py")
            if name.endswith(".py") and not is_test:
                yield Path(directory, name)


def _networks_of(path: Path) -> list[_Found]:
    try:
        if path.stat().st_size > MOST_BYTES:
            return []
        text = path.read_bytes()
        tree = ast.parse(text) if b"torch" in text or b"timm" in text else None
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    if tree is None or not all(map(_is_quiet, tree.body)):
        return []
    classes = {one.name: one for one in tree.body if isinstance(one, ast.ClassDef)}
    modules = [name for name, one in classes.items() if _derives(one, classes)]
    made = {*modules, *_MAKERS}
    usable: dict[str, tuple[ast.ClassDef | ast.FunctionDef, tuple[str, ...]]] = {
        name: (classes[name], _needs(_method(classes[name], "__init__"))[1:])
        for name in modules
        if _is_whole(classes[name])
    }
    for one in tree.body:
        if isinstance(one, ast.FunctionDef) and _returns_one_of(one, made):
            made.add(one.name)
            usable[one.name] = (one, _needs(one))
    used = {
        node.id
        for one in tree.body
        if isinstance(one, (ast.ClassDef, ast.FunctionDef))
        for node in ast.walk(one)
        if isinstance(node, ast.Name) and node.id != one.name
    }
    return [
        _Found(name, one.lineno, isinstance(one, ast.ClassDef), name in used, needs)
        for name, (one, needs) in usable.items()
        if not name.startswith("_")
    ]


def _is_quiet(statement: ast.stmt) -> bool:
    """Whether a statement at the top of a file does nothing that takes time or ends the process."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return True
    if isinstance(statement, ast.If):
        is_main = any(
            isinstance(node, ast.Name) and node.id == "__name__"
            for node in ast.walk(statement.test)
        )
        return is_main or all(map(_is_quiet, [*statement.body, *statement.orelse]))
    if isinstance(statement, ast.Try):
        handlers = [one for handler in statement.handlers for one in handler.body]
        return all(map(_is_quiet, [*statement.body, *statement.orelse, *handlers]))
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        return _first_name(statement.value.func) in _HARMLESS
    if isinstance(statement, (ast.For, ast.While, ast.With)):
        return False
    return not any(
        isinstance(node, ast.Call) and _last_name(node.func) in ("parse_args", "main", "input")
        for node in ast.walk(statement)
    )


def _first_name(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _last_name(node: ast.expr | None) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _derives(one: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> bool:
    """Whether a class derives from a module of torch, by names alone."""
    seen: set[str] = set()
    todo = [one]
    while todo:
        for base in map(_last_name, todo.pop().bases):
            if base in _BASES:
                return True
            if base in classes and base not in seen:
                seen.add(base)
                todo.append(classes[base])
    return False


def _method(one: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    return next((m for m in one.body if isinstance(m, ast.FunctionDef) and m.name == name), None)


def _needs(function: ast.FunctionDef | None) -> tuple[str, ...]:
    """The arguments that it has to be given."""
    if function is None:
        return ()
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    keywords = [
        one for one, value in zip(given.kwonlyargs, given.kw_defaults, strict=True) if value is None
    ]
    needed = positional[: len(positional) - len(given.defaults)]
    return tuple(one.arg for one in (*needed, *keywords))


def _is_whole(one: ast.ClassDef) -> bool:
    """Whether a module says how it is made, and takes one input."""
    made, forward = _method(one, "__init__"), _method(one, "forward")
    if one.name.lower().endswith(("loss", "criterion")):
        return False
    return made is not None and (forward is None or len(_needs(forward)) == 2)


def _returns_one_of(function: ast.FunctionDef, makers: set[str]) -> bool:
    """Whether a function returns what one of these makes, directly or by a name."""

    def is_made(value: ast.expr | None) -> bool:
        return isinstance(value, ast.Call) and _last_name(value.func) in makers

    named = {
        target.id
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and is_made(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return any(
        isinstance(node, ast.Return) and (is_made(node.value) or _last_name(node.value) in named)
        for node in ast.walk(function)
    )
