"""Packages that measuring needs, asked for once and in a sentence."""

from __future__ import annotations

import atexit
import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from archbench.core.errors import UsageError, first_line


def require_torch() -> None:
    """Import torch.

    Raises:
        UsageError: it is not installed, or does not fit this machine; has torch's own reason.
    """
    try:
        importlib.import_module("torch")
    except (ImportError, OSError) as error:
        raise UsageError(
            "torch",
            f"it cannot be imported: {first_line(error)}",
            "Install one that fits this machine: python -m pip install torch torchvision",
        ) from None


@contextmanager
def importing() -> Iterator[None]:
    """No search for garbage while something large is imported, nor among what that has made."""
    is_on, before = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > before:
            keep_for_good()
        if is_on:
            gc.enable()


_TIMES = 0
"""That something was kept for good."""


def keep_for_good() -> None:
    """Take all that is there out of the collector's way: torch and timm make a million objects that
    stay, and looking at them again and again took a fifth of a short run."""
    global _TIMES
    _TIMES += 1
    gc.freeze()
    # Frozen objects would survive the interpreter's own clean-up, and be called leaks.
    atexit.unregister(gc.unfreeze)
    atexit.register(gc.unfreeze)


def times_kept() -> int:
    """How often something has been kept for good."""
    return _TIMES


def collect(since: int) -> None:
    """Collect what has become garbage since :func:`times_kept` returned a number.

    A network that was there when something else was kept for good is found too.
    """
    if since == _TIMES:
        gc.collect()
        return
    gc.unfreeze()
    gc.collect()
    gc.freeze()
