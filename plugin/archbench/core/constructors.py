"""What can be said of a constructor without calling it: its name, place, bound arguments."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from types import CodeType, FunctionType
from typing import Any


def own_name_of(constructor: Any) -> str:
    """The name of a function or class; of what a partial is of; of the class of anything else."""
    while isinstance(constructor, functools.partial):
        constructor = constructor.func
    return str(getattr(constructor, "__name__", type(constructor).__name__)).strip("<>")


def bound_arguments(constructor: Any) -> dict[str, Any]:
    """The arguments that a partial holds, by name; none for anything else."""
    if not isinstance(constructor, functools.partial):
        return {}
    try:
        signature = inspect.signature(constructor.func)
        return dict(signature.bind_partial(*constructor.args, **constructor.keywords).arguments)
    except (TypeError, ValueError):
        return {f"_{index}": value for index, value in enumerate(constructor.args)} | (
            constructor.keywords
        )


def place_of(constructor: Any) -> str:
    """Where a constructor is defined, for people: ``test_widths.py:17``."""
    code = _code_of(constructor)
    if code is not None:
        return f"{code.co_filename}:{code.co_firstlineno}"
    return f"{getattr(constructor, '__module__', '')}.{own_name_of(constructor)}".lstrip(".")


def file_of(constructor: Any) -> str | None:
    """The file that a constructor is defined in; of a network that is built, that of its class."""
    code = _code_of(constructor if callable(constructor) else None) or _code_of(type(constructor))
    return code.co_filename if code is not None else None


def _code_of(constructor: Any) -> CodeType | None:
    while isinstance(constructor, functools.partial):
        constructor = constructor.func
    if inspect.isclass(constructor):
        constructor = constructor.__init__
    code = getattr(inspect.unwrap(constructor), "__code__", None) if callable(constructor) else None
    return code if isinstance(code, CodeType) else None


def is_same_constructor(one: Any, other: Any) -> bool:
    """Whether two constructors build the same network, as far as that can be known.

    A lambda that is evaluated twice is two functions of the same code; they are the same where
    what they hold on to is.
    """
    if one is other:
        return True
    if isinstance(one, functools.partial) and isinstance(other, functools.partial):
        return is_same_constructor(one.func, other.func) and is_alike(
            (one.args, one.keywords), (other.args, other.keywords)
        )
    if isinstance(one, FunctionType) and isinstance(other, FunctionType):
        return one.__code__ == other.__code__ and is_alike(_held(one), _held(other))
    return is_alike(one, other)


def _held(function: FunctionType) -> tuple[Any, ...]:
    """What a function takes from where it was made."""
    try:
        cells = tuple(cell.cell_contents for cell in function.__closure__ or ())
    except ValueError:  # a cell that is not filled yet
        cells = (object(),)
    return cells, function.__defaults__, function.__kwdefaults__, id(function.__globals__)


def is_alike(one: Any, other: Any) -> bool:
    """Whether a constructor could not tell two values apart: ``1``, ``1.0`` and ``True`` are three,
    and so are two orders of a dictionary."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, Mapping):
        one, other = list(one.items()), list(other.items())
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(is_alike, one, other))
    if isinstance(one, float):
        return repr(one) == repr(other)  # 0.0 and -0.0
    try:
        return bool(one == other)
    except Exception:
        # Arrays and the like have no truth value.
        return False
