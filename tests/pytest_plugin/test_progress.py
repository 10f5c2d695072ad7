"""What a person sees while cells are measured, with and without a terminal."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest

from archbench.pytest_plugin.progress import EvaluationProgress, Progress
from archbench.report.live_line import LiveLine, Stream


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


def test_nobody_is_reported_who_asked_for_quiet() -> None:
    terminal = Terminal(isatty=True, verbosity=-1)
    for line in (LiveLine(terminal), LiveLine(None)):
        line.show("a")
        line.leave("b")
        line.clear()
    assert terminal.done == []


def test_cells_are_counted_and_started_ones_shown_on_a_terminal_alone() -> None:
    terminal = Terminal(isatty=True)
    progress = Progress(terminal, {"a/long": 1.0, "b": 1.0}, clock=lambda: 0.0)
    assert progress.replaces_dots
    assert not terminal.showfspath
    progress.started("a/long", 0)
    progress.finished("b", None, 2)
    progress.close()
    assert not progress.replaces_dots
    # The name takes as much room as the longest.
    assert terminal.done[:2] == [
        "again [1/2] a/long ...  6 s left",
        f"again [2/2] b{'no figure':>16}{'done':>31} red",
    ]
    log = Terminal(isatty=False, verbosity=1)
    verbose = Progress(log, {"a": 1.0})
    verbose.started("a", 0)
    assert not verbose.replaces_dots
    assert log.done == []


@pytest.mark.parametrize(("isatty", "said"), [(True, [1, 2, 3]), (False, [3])])
def test_an_evaluation_says_how_far_it_is(isatty: bool, said: list[int]) -> None:
    terminal = Terminal(isatty)
    plugins: dict[str, Any] = {"terminalreporter": terminal, "capturemanager": None}
    manager = SimpleNamespace(get_plugin=plugins.get)
    config: Any = SimpleNamespace(pluginmanager=manager, stash={})
    clock = [0.0]
    progress = EvaluationProgress(config, "timm/a", clock=lambda: clock[0])
    for done, clock[0] in enumerate((0.1, 1, 2, 31)):
        # 100 images each second: 1,000 take 10 s.
        progress(100 * (done + 1), 1000, done + 1)
    seen = [line.rpartition("timm/a: ")[2] for line in terminal.done if "timm/a" in line]
    assert seen == [
        f"{100 * (done + 1)} of 1,000 images, 100 images/s, {9 - done} s left" for done in said
    ]


def test_what_goes_on_is_shown_now_and_then_in_a_log() -> None:
    clock = [0.0]
    terminal = Terminal(isatty=False)
    line = LiveLine(terminal, clock=lambda: clock[0])
    for clock[0] in (0.0, 29.0, 30.0, 31.0, 59.0, 61.0):
        line.keep(f"at {clock[0]:.0f}")
    assert terminal.done == ["newline", "line at 30", "newline", "line at 61"]


def test_what_is_done_about_a_cell_is_shown_on_a_terminal() -> None:
    clock = [0.0]
    terminal, log = Terminal(isatty=True), Terminal(isatty=False)
    for one in (terminal, log):
        progress = Progress(one, {"a": 20.0, "b": 40.0}, clock=lambda: clock[0])
        progress.doing("starting a process")
        progress.started("a", 0)
        progress.doing("loading")
    assert terminal.done == [
        "again starting a process ...  1 min 04 s left",
        "again [1/2] a ...  1 min 04 s left",
        "again [1/2] a: loading ...  1 min 04 s left",
    ]
    assert log.done == []


def test_the_time_left_is_of_the_larger_cells_that_are_to_come() -> None:
    clock = [0.0]
    log = Terminal(isatty=False)
    # Of 64 s with 4 for the start: the first cell takes half as long as was expected.
    progress = Progress(log, {"a": 20.0, "b": 40.0}, clock=lambda: clock[0])
    clock[0] = 12.0
    progress.finished("a", None, 1)
    # (12 + 10) / (24 + 10) of 40.
    assert log.done[-1].endswith("26 s left red")


def test_a_command_rewrites_its_line_on_a_terminal_alone() -> None:
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal, log = Tty(), io.StringIO()
    for stream in (terminal, log):
        line = LiveLine(Stream(stream), clock=lambda: 0.0)
        line.keep("drawing top1")
        line.clear()
    assert terminal.getvalue() == "\r\033[Kdrawing top1\r\033[K"
    assert log.getvalue() == ""
