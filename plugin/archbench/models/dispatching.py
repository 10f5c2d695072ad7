"""Watching torch's operators without its compiler where nothing is compiled."""

from __future__ import annotations

import sys
from typing import Any, TypeVar

_Mode = TypeVar("_Mode", bound=type)


def spared_compiler(mode: _Mode) -> _Mode:
    """A dispatch mode for which torch need not import its compiler.

    Torch keeps its compiler away from what a mode does, and imports it for that when the first
    operator is dispatched, which takes a second of a core. Until something else has imported it,
    nothing that runs is compiled.
    """
    guarded = mode.__torch_dispatch__  # type: ignore[attr-defined]
    plain = getattr(guarded, "__wrapped__", None)
    if plain is None:  # this torch guards nothing
        return mode

    def dispatch(self: Any, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        chosen = guarded if "torch._dynamo" in sys.modules else plain
        return chosen(self, func, types, args, kwargs)

    mode.__torch_dispatch__ = dispatch  # type: ignore[attr-defined]
    return mode
