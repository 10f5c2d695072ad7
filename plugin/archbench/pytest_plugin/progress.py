"""Live progress: cell k of n or image k of n, the current architecture, the time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from archbench.core.records import Record
from archbench.metrics import format_seconds
from archbench.pytest_plugin.options import is_worker
from archbench.report.table import cell_line, is_bad
from archbench.workers.inside import inside_of

__all__ = ["EvaluationProgress", "LiveLine", "Progress"]

SELDOM_SECONDS = 30.0
"""Between two lines about one thing, where a line cannot be written anew."""


OFTEN_SECONDS = 0.2
"""The same where it can."""


class LiveLine:
    """One line of the terminal that is written anew; where that cannot be, lines now and then."""

    def __init__(self, terminal: Any) -> None:
        self._terminal = terminal
        self._is_shown = False
        self.speaks: bool = terminal is not None and terminal.verbosity >= 0
        """Whether the person wants to read more than results."""

    @property
    def can_rewrite(self) -> bool:
        """Whether it is a terminal that a person looks at."""
        writer = getattr(self._terminal, "_tw", None)
        return bool(getattr(writer, "hasmarkup", False)) and bool(
            getattr(self._terminal, "isatty", False)
        )

    def show(self, text: str) -> None:
        """Write the line anew, or another line."""
        if not self.speaks:
            return
        if self.can_rewrite:
            self._terminal.rewrite(text, erase=True)
            self._is_shown = True
        else:
            self.leave(text)

    def leave(self, text: str, *, red: bool = False) -> None:
        """Put a line that stays in the place of the live one."""
        if not self.speaks:
            return
        if self._is_shown:
            self._terminal.rewrite(text, erase=True, red=red)
            self._terminal.write_line("")
            self._is_shown = False
        else:
            self._terminal.ensure_newline()
            self._terminal.write_line(text, red=red)

    def clear(self) -> None:
        """Leave the line to what comes next."""
        if self._is_shown:
            self._terminal.rewrite("", erase=True)
            self._is_shown = False


class Progress:
    """Writes a line as each cell ends, and on a terminal the one being measured below it.

    Args:
        names: of all cells, in their order.
    """

    def __init__(self, terminal: Any, names: Sequence[str]) -> None:
        self._line = LiveLine(terminal)
        self._total = len(names)
        self._width = max(map(len, names))
        self._start = time.monotonic()
        self.replaces_dots: bool = self._line.speaks and terminal.verbosity == 0
        """Whether our lines take the place of pytest's file names and dots."""
        if self.replaces_dots:
            terminal.showfspath = False

    def _time_left(self, done: int) -> str:
        if done == 0:
            return ""
        elapsed = time.monotonic() - self._start
        left = elapsed / done * (self._total - done)
        return f"{format_seconds(left)} left" if self._total > done else "done"

    def started(self, name: str, done: int) -> None:
        """Show which cell is being measured, where a line can be rewritten."""
        if self._line.can_rewrite:
            self._line.show(
                f"[{done + 1}/{self._total}] {name} ...  {self._time_left(done)}".rstrip()
            )

    def finished(self, name: str, cell: Record | None, done: int) -> None:
        """Write what became of a cell."""
        result = cell_line(cell) if cell is not None else "no figure"
        count = f"[{done:{len(str(self._total))}}/{self._total}]"
        text = f"{count} {name:<{self._width}}  {result:<34}  {self._time_left(done)}".rstrip()
        self._line.leave(text, red=cell is None or is_bad(cell))

    def close(self) -> None:
        """Leave the terminal clean, and the rest of the run to pytest."""
        self.replaces_dots = False
        self._line.clear()


class EvaluationProgress:
    """How far an evaluation is: on a terminal at once, else now and then.

    Args:
        config: of the run; a worker of pytest-xdist has no terminal.
        clock: seconds that go on.
    """

    def __init__(
        self, config: pytest.Config, model: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        plugins = config.pluginmanager
        self._line = LiveLine(None if is_worker(config) else plugins.get_plugin("terminalreporter"))
        self._capture = plugins.get_plugin("capturemanager")
        self._model = model
        self._clock = clock
        self._shown_at = clock()
        self._inside = inside_of(config)

    def __call__(self, done: int, total: int, seconds: float) -> None:
        """Show it, if the last time is long enough ago.

        Args:
            done, total: images.
            seconds: that those which are done took.
        """
        now = self._clock()
        if self._inside is not None:
            # The process shows it that speaks to the person, and knows that this one does not hang.
            if done == total or now - self._shown_at >= OFTEN_SECONDS:
                self._shown_at = now
                self._inside.progress(self._model, done, total, seconds)
            return
        if now - self._shown_at < (OFTEN_SECONDS if self._line.can_rewrite else SELDOM_SECONDS):
            return
        self._shown_at = now
        left = seconds / done * (total - done)
        with self._uncaptured():
            self._line.show(
                f"{self._model}: {done:,} of {total:,} images, {done / seconds:,.0f} images/s, "
                f"{format_seconds(left)} left"
            )

    def _uncaptured(self) -> AbstractContextManager[None]:
        if self._capture is None:
            return nullcontext()
        found: AbstractContextManager[None] = self._capture.global_and_fixture_disabled()
        return found

    def close(self) -> None:
        """Leave the line to what comes next."""
        with self._uncaptured():
            self._line.clear()
