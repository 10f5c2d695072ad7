"""The runtimes. Needs no torch: they are registered by the files that define them."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TypeVar

from archbench.core.spec import RUNTIMES
from archbench.runtimes.runtime import Runtime

__all__ = ["GROUP", "register", "runtime_named", "runtime_names"]

GROUP = "archbench.runtimes"
"""Entry points of distributions that bring a runtime, by its name; each names its class."""

_RUNTIMES: dict[str, Runtime] = {}

_Class = TypeVar("_Class", bound=type[Runtime])


def register(runtime: _Class) -> _Class:
    """Make a runtime known; a decorator of its class.

    Raises:
        ValueError: its name cannot stand in the id of a test.
    """
    name = runtime.name
    if not (name.isascii() and name.isalnum() and name.islower() and name[0].isalpha()):
        raise ValueError(f"{name!r} is no name of a runtime: lower-case letters and digits only")
    _RUNTIMES[name] = runtime()
    return runtime


def runtime_names() -> tuple[str, ...]:
    """Of all runtimes, archbench's own first; those of other distributions are not imported."""
    others = [*_RUNTIMES, *sorted(found.name for found in entry_points(group=GROUP))]
    return tuple(dict.fromkeys([*RUNTIMES, *others]))


def runtime_named(name: str) -> Runtime:
    """A runtime by its name.

    Raises:
        LookupError: there is none.
    """
    if name not in _RUNTIMES:
        for found in entry_points(group=GROUP, name=name):
            register(found.load())
    if name not in _RUNTIMES:
        raise LookupError(f"no runtime is registered as {name}")
    return _RUNTIMES[name]
