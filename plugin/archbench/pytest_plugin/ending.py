"""A run that is asked to end does so in order, as after Ctrl-C: its journal is closed, its
processes are gone, and what was measured is shown."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, NoReturn

import pytest

from archbench.pytest_plugin.options import spelled
from archbench.workers.messages import Ended

_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # what ends a process that has not asked for it; Ctrl-C is pytest's own


OURS = "archbench"
"""What a message that ends the run begins with. pytest begins it with the name of the exception."""

_OurExit: type[BaseException] = type(OURS, (pytest.exit.Exception,), {"__module__": "builtins"})


def end_run(config: pytest.Config, sentence: str, status: int) -> NoReturn:
    """End the whole run from inside a test.

    Args:
        sentence: what a person reads.
        status: that pytest exits with.
    """
    raise _OurExit(spelled(config, sentence), status)


def end_as_worker(config: pytest.Config, ended: Ended) -> None:
    """End this run where a test has ended the run of the worker that it ran in.

    Args:
        ended: what the worker said of the test.
    """
    if ended.ends is None:
        return
    if ended.by == OURS:
        end_run(config, ended.ends, ended.exit_status)
    pytest.exit(ended.ends, returncode=ended.exit_status)


def ended_by(number: int = signal.SIGINT) -> str:
    """What is said of a run that a signal has ended, by default Ctrl-C's."""
    name = signal.Signals(number).name
    return f"{name}: what was measured is stored, and --resume goes on with it"


class Ending:
    """Takes the signals that end a process, where nobody else has taken them."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._before: dict[int, Any] = {}

    def begin(self) -> None:
        """Take them from now on."""
        if threading.current_thread() is not threading.main_thread():
            return  # only there can they be taken
        for number in _SIGNALS:
            if signal.getsignal(number) == signal.SIG_DFL:
                self._before[number] = signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # Whoever says it twice does not want to wait.
        self.end()
        end_run(self._config, ended_by(number), pytest.ExitCode.INTERRUPTED)

    def finish(self) -> None:
        """From now on what was measured is stored and shown, which Ctrl-C must not end: the first
        one is passed over, and a second one ends the run with a sentence."""
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before[signal.SIGINT] = signal.signal(signal.SIGINT, self._pass_over)

    def _pass_over(self, number: int, frame: FrameType | None) -> None:
        signal.signal(number, self._on_signal)

    def end(self) -> None:
        """Leave them as they were."""
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before.clear()
