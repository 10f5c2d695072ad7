"""Live progress: cell k of n, the current architecture, the time left."""

from __future__ import annotations

import time
from typing import Any

from archbench.core.metrics import format_seconds
from archbench.core.records import Record
from archbench.report.table import cell_line

__all__ = ["Progress"]


class Progress:
    """Writes a line as each cell ends, and on a terminal the one being measured below it.

    Args:
        terminal: pytest's terminal reporter, or None (``-p no:terminal``).
        total: number of cells.
    """

    def __init__(self, terminal: Any, total: int) -> None:
        self._terminal = terminal
        self._total = total
        self._start = time.monotonic()
        self._live = False
        self._speaks = terminal is not None and terminal.verbosity >= 0
        if self._speaks and terminal.verbosity == 0:
            # Our lines replace pytest's file names and dots.
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
        width = len(str(self._total))
        result = cell_line(cell) if cell is not None else "no figure"
        self._clear()
        bad = cell is None or bool(cell.verdicts)
        self._terminal.ensure_newline()
        self._terminal.write_line(
            f"[{done:{width}}/{self._total}] {name:<44} {result:<40} {self._time_left(done)}".rstrip(),
            red=bad,
        )

    def close(self) -> None:
        """Leave the terminal clean."""
        if self._speaks:
            self._clear()

    def _clear(self) -> None:
        if self._live:
            self._terminal.rewrite("", erase=True)
            self._terminal.currentfspath = None
            self._live = False
