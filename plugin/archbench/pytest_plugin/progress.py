"""Live progress: cell k of n or image k of n, the current architecture, the time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from archbench.catalog.counts import counted_figures
from archbench.core.pace import STARTING, Pace, TimeLeft
from archbench.core.records import Record
from archbench.core.run_config import RunConfig
from archbench.gates.informal import last_rate
from archbench.metrics import format_seconds
from archbench.pytest_plugin.manifest import cell_name, is_batchless
from archbench.pytest_plugin.options import is_worker
from archbench.pytest_plugin.settings import settings_of
from archbench.report.live_line import OFTEN_SECONDS, LiveLine
from archbench.report.table import cell_line, is_bad
from archbench.workers.inside import inside_of
from archbench.workers.messages import HowFar

_PACE: pytest.StashKey[Pace] = pytest.StashKey()


def expected_seconds(config: pytest.Config, model: str, suffix: str, time_budget: float) -> float:
    """Seconds that a cell is expected to take: from its multiply-adds, as accepted, and the rate at
    which the last run here did them."""
    if _PACE not in config.stash:
        settings = settings_of(config)
        rate = last_rate(settings.directory / "runs", settings.gpu == "cpu")
        config.stash[_PACE] = Pace() if rate is None else Pace(rate)
    return seconds_at(config.stash[_PACE], model, suffix, time_budget)


def seconds_at(pace: Pace, model: str, suffix: str, time_budget: float) -> float:
    """Seconds that a cell takes at some pace, from its multiply-adds, as accepted."""
    is_timed = bool(suffix) and not is_batchless(suffix)
    batch_size = (RunConfig.parse(suffix).batch_size or 1) if is_timed else 1
    macs = counted_figures(model.partition("@")[0]).get("macs")
    return pace.cell(
        None if macs is None else macs.value, batch_size, time_budget if is_timed else 0.0
    )


def expected_of(config: pytest.Config, cells: Iterable[tuple[str, str]]) -> dict[str, float]:
    """The same of some cells by their names."""
    budget = settings_of(config).time_budget
    return {cell_name(*cell): expected_seconds(config, *cell, budget) for cell in cells}


class Progress:
    """Writes a line as each cell ends, and on a terminal the one being measured below it.

    Args:
        expected: seconds of each cell, by name, in their order.
        clock: seconds that go on.
    """

    def __init__(
        self,
        terminal: Any,
        expected: Mapping[str, float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._line = LiveLine(terminal, clock)
        self._expected = dict(expected)
        self._total = len(expected)
        self._width = max(map(len, expected))
        self._clock = clock
        self._left = TimeLeft(STARTING + sum(expected.values()), clock())
        self._starting = STARTING
        self._now = "", 0
        self.replaces_dots: bool = self._line.speaks and terminal.verbosity == 0
        """Whether our lines take the place of pytest's file names and dots."""
        if self.replaces_dots:
            terminal.showfspath = False

    def _time_left(self, done: int) -> str:
        if done >= self._total:
            return "done"
        seconds = self._left.seconds(self._clock())
        return f"{format_seconds(seconds)} left" if seconds >= 1 else ""

    def started(self, name: str, done: int) -> None:
        """Show which cell is being measured, where a line can be rewritten."""
        self._now = name, done
        self.doing("")

    def doing(self, what: str) -> None:
        """Show what is being done about that cell: ``loading``."""
        name, done = self._now
        if self._line.can_rewrite:
            count = f"[{done + 1}/{self._total}] " if name else ""
            text = f"{count}{name}{': ' if name and what else ''}{what} ..."
            self._line.show(f"{text}  {self._time_left(done)}".rstrip())

    def finished(self, name: str, cell: Record | None, done: int) -> None:
        """Write what became of a cell."""
        self._left.done(self._expected.pop(name, 0.0) + self._starting, self._clock())
        self._starting = 0.0
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
        terminal = None if is_worker(config) else plugins.get_plugin("terminalreporter")
        self._line = LiveLine(terminal, clock)
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
        if self._inside is not None:
            now = self._clock()
            # The process shows it that speaks to the person, and knows that this one does not hang.
            if done == total or now - self._shown_at >= OFTEN_SECONDS:
                self._shown_at = now
                self._inside.progress(
                    HowFar(model=self._model, done=done, total=total, seconds=seconds)
                )
            return
        if not self._line.is_due():
            return
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
