"""What code can change of Python and of the process."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from archbench.models.switches import Item

_NOT_THEIRS = ("PYTEST_CURRENT_TEST", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
"""Variables that pytest and torch set for themselves."""


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _NOT_THEIRS}


def _set_environment(values: Mapping[str, str]) -> None:
    now = _environment()
    for name in now.keys() - values.keys():
        del os.environ[name]
    os.environ.update({name: value for name, value in values.items() if now.get(name) != value})


def _working_directory() -> str | None:
    with contextlib.suppress(OSError):
        return str(Path.cwd())
    return None


def _set_working_directory(value: str | None) -> None:
    if value is not None:
        os.chdir(value)


_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGCHLD")
    if hasattr(signal, name)
)


def _set_signals(values: Mapping[Any, Any]) -> None:
    if threading.current_thread() is threading.main_thread():
        for number, handler in values.items():
            if signal.getsignal(number) is not handler and handler is not None:
                signal.signal(number, handler)


_TIMERS = tuple(
    getattr(signal, name)
    for name in ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF")
    if hasattr(signal, name)
)

_SLACK = 0.5
"""Seconds by which the end of a timer may seem to have moved while it runs."""


def _timers() -> dict[int, tuple[float, float]]:
    """When each timer ends, 0 where none runs, and after how many seconds it does again."""
    found = {}
    for which in _TIMERS:
        left, again = signal.getitimer(which)
        found[which] = (time.monotonic() + left if left else 0.0, again)
    return found


def _is_same_timer(which: int, before: tuple[float, float], now: tuple[float, float]) -> bool:
    if before[0] and not now[0] and not before[1]:
        return before[0] <= time.monotonic()  # it has ended meanwhile
    # What is no timer of real time ends by a clock of its own.
    is_near = which != _TIMERS[0] or abs(before[0] - now[0]) < _SLACK or bool(now[1])
    return bool(before[0]) == bool(now[0]) and before[1] == now[1] and is_near


def _are_same_timers(
    before: Mapping[int, tuple[float, float]], now: Mapping[int, tuple[float, float]]
) -> bool:
    return all(_is_same_timer(which, before[which], now[which]) for which in before)


def _set_timers(values: Mapping[int, tuple[float, float]]) -> None:
    now = _timers()
    for which, (end, again) in values.items():
        if not _is_same_timer(which, (end, again), now[which]):
            signal.setitimer(which, max(end - time.monotonic(), 0.001) if end else 0.0, again)


def _logging() -> tuple[int, int, list[logging.Handler], list[Any]]:
    root = logging.getLogger()
    return root.level, logging.root.manager.disable, list(root.handlers), list(root.filters)


def _set_logging(values: tuple[int, int, list[logging.Handler], list[Any]]) -> None:
    root = logging.getLogger()
    root.setLevel(values[0])
    logging.disable(values[1])
    root.handlers[:], root.filters[:] = values[2], values[3]


_STREAMS = ("stdin", "stdout", "stderr", "excepthook", "displayhook", "unraisablehook")


def _set_streams(values: Mapping[str, object]) -> None:
    for name, value in values.items():
        setattr(sys, name, value)


def _affinity() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def _set_affinity(cores: set[int]) -> None:
    if cores:
        os.sched_setaffinity(0, cores)


def _set_warnings(values: tuple[list[Any], Any]) -> None:
    warnings.filters[:] = values[0]  # type: ignore[index]
    warnings.showwarning = values[1]
    mutated = getattr(warnings, "_filters_mutated", None)
    if mutated is not None:
        mutated()


def of_process() -> dict[str, Item]:
    """All that is watched of the process, by name."""
    return {
        "working directory": Item(_working_directory, _set_working_directory),
        "environment": Item(_environment, _set_environment),
        "random numbers": Item(random.getstate, random.setstate, is_setting=False),
        "random numbers of NumPy": Item(
            np.random.get_state,
            np.random.set_state,
            is_setting=False,
            same=lambda one, other: one[2:] == other[2:] and np.array_equal(one[1], other[1]),
        ),
        "errors of NumPy": Item(np.geterr, lambda value: np.seterr(**value)),
        "garbage collector": Item(gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
        "its thresholds": Item(gc.get_threshold, lambda value: gc.set_threshold(*value)),
        "recursion limit": Item(sys.getrecursionlimit, sys.setrecursionlimit),
        "switch interval": Item(sys.getswitchinterval, sys.setswitchinterval),
        "trace function": Item(sys.gettrace, sys.settrace, is_setting=False),
        "profile function": Item(sys.getprofile, sys.setprofile, is_setting=False),
        "warnings": Item(lambda: (list(warnings.filters), warnings.showwarning), _set_warnings),
        "logging": Item(_logging, _set_logging),
        "streams": Item(
            lambda: {name: getattr(sys, name) for name in _STREAMS}, _set_streams, is_setting=False
        ),
        "timers": Item(_timers, _set_timers, is_setting=False, same=_are_same_timers),
        "signal handlers": Item(
            lambda: {number: signal.getsignal(number) for number in _SIGNALS}, _set_signals
        ),
        "cores": Item(_affinity, _set_affinity, is_setting=False),
        "priority": Item(lambda: os.nice(0) if hasattr(os, "nice") else 0, None),
    }
