"""Live progress: cell k of n, the current architecture, the time left."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from archbench.core.records import Record
from archbench.metrics import format_seconds
from archbench.report.table import cell_line, is_bad

__all__ = ["Progress"]


class Progress:
    """Writes a line as each cell ends, and on a terminal the one being measured below it.

    Args:
        terminal: pytest's terminal reporter, or None (``-p no:terminal``).
        names: of all cells, in their order.
    """

    def __init__(self, terminal: Any, names: Sequence[str]) -> None:
        self._terminal = terminal
        self._total = len(names)
        self._width = max(map(len, names))
        self._start = time.monotonic()
        self._live = False
        self._speaks = terminal is not None and terminal.verbosity >= 0
        self.replaces_dots: bool = self._speaks and terminal.verbosity == 0
        """Whether our lines take the place of pytest's file names and dots."""
        if self.replaces_dots:
            terminal.showfspath = False

    def _is_terminal(self) -> bool:
        writer = self._terminal._tw
        return bool(getattr(writer, "hasmarkup", False)) and bool(
            getattr(self._terminal, "isatty", False)
        )

    def _time_left(self, done: int) -> str:
        if done == 0:
            return ""
        elapsed = time.monotonic() - self._start
        left = elapsed / done * (self._total - done)
        return f"{format_seconds(left)} left" if self._total > done else "done"

    def started(self, name: str, done: int) -> None:
        """Show which cell is being measured, where a line can be rewritten."""
        if not self._speaks or not self._is_terminal():
            return
        left = self._time_left(done)
        text = f"[{done + 1}/{self._total}] {name} ..."
        self._terminal.rewrite(f"{text}  {left}" if left else text, erase=True)
        self._live = True

    def finished(self, name: str, cell: Record | None, done: int) -> None:
        """Write what became of a cell."""
        if not self._speaks:
            return
        result = cell_line(cell) if cell is not None else "no figure"
        count = f"[{done:{len(str(self._total))}}/{self._total}]"
        text = f"{count} {name:<{self._width}}  {result:<34}  {self._time_left(done)}".rstrip()
        bad = cell is None or is_bad(cell)
        if self._live:
            self._terminal.rewrite(text, erase=True, red=bad)
            self._terminal.write_line("")
            self._live = False
        else:
            self._terminal.ensure_newline()
            self._terminal.write_line(text, red=bad)

    def close(self) -> None:
        """Leave the terminal clean, and the rest of the run to pytest."""
        self.replaces_dots = False
        if self._speaks and self._live:
            self._terminal.write_line("")
            self._live = False
