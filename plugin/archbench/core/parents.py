"""Processes that end with the one that started them."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys

_DIES_WITH_PARENT = 1
"""``PR_SET_PDEATHSIG`` of Linux's prctl."""


def die_with_parent() -> None:
    """End with the process that started this one, whatever this one is doing; on Linux."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
