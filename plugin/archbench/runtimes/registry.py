"""The runtimes. Needs no torch: they are registered by the files that define them."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, TypeVar

from archbench.core.run_config import RUNTIME_NAME, RUNTIMES, add_value

if TYPE_CHECKING:
    from archbench.runtimes.runtime import Runtime

GROUP = "archbench.runtimes"
"""Entry points of distributions that bring a runtime, by its name; each names its class."""

_RUNTIMES: dict[str, Runtime] = {}

_Class = TypeVar("_Class", bound="type[Runtime]")


def register(runtime: _Class) -> _Class:
    """Make a runtime known; a decorator of its class.

    Raises:
        ValueError: its name cannot stand in the id of a test.
    """
    name = runtime.name
    if not re.fullmatch(rf"(?!(?:cold|nchw|nhwc|t\d+)\b){RUNTIME_NAME}", name):
        raise ValueError(
            f"{name!r} is no name of a runtime: lower-case letters and digits, and one hyphen"
        )
    _RUNTIMES[name] = runtime()
    add_value("runtime", name)
    return runtime


def runtime_names() -> tuple[str, ...]:
    """Of all runtimes, archbench's own first; those of other distributions are not imported."""
    return tuple(dict.fromkeys([*RUNTIMES, *_RUNTIMES, *_advertised()]))


@cache
def _advertised() -> dict[str, EntryPoint]:
    return {found.name: found for found in sorted(entry_points(group=GROUP))}


def runtime_named(name: str) -> Runtime:
    """A runtime by its name.

    Raises:
        LookupError: there is none.
    """
    if name not in _RUNTIMES and name in _advertised():
        register(_advertised()[name].load())
    if name not in _RUNTIMES:
        raise LookupError(f"no runtime is registered as {name}")
    return _RUNTIMES[name]
