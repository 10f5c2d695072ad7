"""One line of the terminal that is written anew while something takes long."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TextIO

SELDOM_SECONDS = 30.0
"""Between two lines about one thing, where a line cannot be written anew."""


OFTEN_SECONDS = 0.2
"""The same where it can."""


class LiveLine:
    """One line of the terminal that is written anew; where that cannot be, lines now and then.

    Args:
        terminal: pytest's reporter, or a :class:`Stream`; None for nobody who reads.
        clock: seconds that go on.
    """

    def __init__(self, terminal: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._terminal = terminal
        self._is_shown = False
        self._clock = clock
        self._shown_at = clock()
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
        self._shown_at = self._clock()
        if self.can_rewrite:
            self._terminal.rewrite(text, erase=True)
            self._is_shown = True
        else:
            self.leave(text)

    def keep(self, text: str) -> None:
        """Show how far something is that goes on: at once where the line is written anew, else
        after :data:`SELDOM_SECONDS` without another line."""
        if self.can_rewrite or self.is_due():
            self.show(text)

    def is_due(self) -> bool:
        """Whether the last time is long enough ago."""
        after = OFTEN_SECONDS if self.can_rewrite else SELDOM_SECONDS
        return self._clock() - self._shown_at >= after

    def leave(self, text: str, *, red: bool = False) -> None:
        """Put a line that stays in the place of the live one."""
        if not self.speaks:
            return
        self._shown_at = self._clock()
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


class Stream:
    """A stream of text as the terminal of a :class:`LiveLine`: standard error of a command."""

    verbosity = 0

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.isatty = stream.isatty()
        self._tw = SimpleNamespace(hasmarkup=self.isatty)

    def rewrite(self, text: str, **_: object) -> None:
        """Write a line over the one that stands there."""
        self._stream.write(f"\r\033[K{text}")
        self._stream.flush()

    def write_line(self, text: str, **_: object) -> None:
        """Write a line that stays."""
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def ensure_newline(self) -> None:
        """Nothing else writes in the midst of a line."""
