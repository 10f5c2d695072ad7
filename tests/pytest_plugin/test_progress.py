"""What a person sees while cells are measured, with and without a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from archbench.pytest_plugin.progress import EvaluationProgress, LiveLine, Progress


class Terminal:
    """What pytest's reporter would have done, as a list."""

    def __init__(self, isatty: bool, verbosity: int = 0) -> None:
        self.isatty, self.verbosity, self.showfspath = isatty, verbosity, True
        self._tw = SimpleNamespace(hasmarkup=isatty)
        self.done: list[str] = []

    def rewrite(self, text: str, erase: bool = False, red: bool = False) -> None:
        assert erase
        self.done.append(f"again {text}{' red' if red else ''}")

    def write_line(self, text: str, red: bool = False) -> None:
        self.done.append(f"line {text}{' red' if red else ''}")

    def ensure_newline(self) -> None:
        self.done.append("newline")


def test_a_terminal_sees_one_line_that_is_left_at_the_end() -> None:
    terminal = Terminal(isatty=True)
    line = LiveLine(terminal)
    line.show("a")
    line.show("b")
    line.leave("c", red=True)
    line.leave("d")
    line.clear()
    assert terminal.done == ["again a", "again b", "again c red", "line ", "newline", "line d"]


def test_a_log_sees_lines() -> None:
    terminal = Terminal(isatty=False)
    line = LiveLine(terminal)
    line.show("a")
    line.clear()
    assert terminal.done == ["newline", "line a"]


def test_nobody_is_told_who_asked_for_quiet() -> None:
    terminal = Terminal(isatty=True, verbosity=-1)
    for line in (LiveLine(terminal), LiveLine(None)):
        line.show("a")
        line.leave("b")
        line.clear()
    assert terminal.done == []


def test_cells_are_counted_and_started_ones_shown_on_a_terminal_alone() -> None:
    terminal = Terminal(isatty=True)
    progress = Progress(terminal, ["a/long", "b"])
    assert progress.replaces_dots
    assert not terminal.showfspath
    progress.started("a/long", 0)
    progress.finished("b", None, 2)
    progress.close()
    assert not progress.replaces_dots
    # The name takes as much room as the longest.
    assert terminal.done[:2] == ["again [1/2] a/long ...", f"again [2/2] b{'no figure':>16}"
                                 f"{'done':>31} red"]  # fmt: skip
    log = Terminal(isatty=False, verbosity=1)
    verbose = Progress(log, ["a"])
    verbose.started("a", 0)
    assert not verbose.replaces_dots
    assert log.done == []


@pytest.mark.parametrize(("isatty", "told"), [(True, [1, 2, 3]), (False, [3])])
def test_an_evaluation_says_how_far_it_is(isatty: bool, told: list[int]) -> None:
    terminal = Terminal(isatty)
    plugins: dict[str, Any] = {"terminalreporter": terminal, "capturemanager": None}
    manager = SimpleNamespace(get_plugin=plugins.get)
    config: Any = SimpleNamespace(pluginmanager=manager, stash={})
    times: Iterator[float] = iter([0, 0.1, 1, 2, 31])
    progress = EvaluationProgress(config, "timm/a", clock=lambda: next(times))
    for done in range(4):
        # 100 images each second: 1,000 take 10 s.
        progress(100 * (done + 1), 1000, done + 1)
    seen = [line.rpartition("timm/a: ")[2] for line in terminal.done if "timm/a" in line]
    assert seen == [
        f"{100 * (done + 1)} of 1,000 images, 100 images/s, {9 - done} s left" for done in told
    ]
