"""What a network's own code can change in the process that it shares with others.

A network that turns oneDNN off, sets another default precision, registers itself under a name that
timm has or leaves another working directory changes what is measured of the next one. So all of it
is read before a network's code runs and put back afterwards. As far as it is a setting it is made
again when that network runs the next time: a network is measured as its author built it, and alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import psutil

from archbench.models.interpreter_state import of_process
from archbench.models.library_state import first_imports_noted, of_libraries
from archbench.models.switches import Item, of_torch


@cache
def _items() -> dict[str, Item]:
    return {**of_torch(), **of_process(), **of_libraries()}


@dataclass(frozen=True, slots=True)
class ProcessState:
    """All that is watched, at one moment.

    Attributes:
        values: by what it is.
        running: threads and child processes.
    """

    values: Mapping[str, object]
    running: frozenset[tuple[str, int]]

    @classmethod
    def take(cls) -> ProcessState:
        """As it is now."""
        return cls(_values(), _running())

    def changed(self) -> dict[str, object]:
        """What is another now, with its value."""
        now = _values()
        return {
            name: now[name]
            for name, value in self.values.items()
            if name in now and not _items()[name].same(value, now[name])
        }

    def put_back(self, left: Mapping[str, object] | None = None) -> list[str]:
        """Make it so again.

        Args:
            left: what :meth:`changed` has just said; asked again if None.

        Returns:
            What could not be: names for people.
        """
        if left is None:
            left = self.changed()
        # Some can be read only when others are back, such as random numbers on another device.
        for _ in range(2):
            if not left:
                break
            for name in left:
                _written(name, self.values[name])
            left = self.changed()
        started = _running() - self.running
        busy = ["threads or processes that go on working"] if _is_busy(started) else []
        return [*left, *busy]


def _values() -> dict[str, object]:
    values = {}
    for name, item in _items().items():
        with warnings.catch_warnings(), contextlib.suppress(Exception):
            # A switch that this build of torch cannot read, it cannot change either.
            values[name] = item.read()
    return values


def _written(name: str, value: Any) -> None:
    write = _items()[name].write
    # What torch says of switches that it will drop some day is not for a network's user.
    quiet = contextlib.nullcontext() if name == "warnings" else warnings.catch_warnings()
    with quiet, contextlib.suppress(Exception):
        if name != "warnings":
            warnings.simplefilter("ignore")
        if write is not None:
            write(value)


def _running() -> frozenset[tuple[str, int]]:
    threads = {("thread", thread.ident or 0) for thread in threading.enumerate()}
    return frozenset(threads | {("process", number) for number in _children()})


def _children() -> set[int]:
    """Numbers of child processes. Linux lists them at once, psutil looks through all processes."""
    lists = list(Path("/proc/self/task").glob("*/children"))
    try:
        if lists:
            return {int(word) for path in lists for word in path.read_text().split()}
        return {child.pid for child in psutil.Process().children()}
    except (OSError, psutil.Error):
        return set()


_LOOK = 0.05
_IDLE = 0.2
"""Seconds for which is looked whether what a network has started is at work, and the share of them
that it may use a core: a pool that waits for work harms nobody."""


def _is_busy(started: frozenset[tuple[str, int]]) -> bool:
    if not started:
        return False
    processes = []
    for kind, number in started:
        if kind == "process":
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(number)
                # torch's compiler keeps processes of its own, which are no network's.
                if not any("torch/_inductor" in word for word in process.cmdline()):
                    processes.append(process)

    def spent() -> float:
        total = wanted_seconds(Path("/proc/self/task"), time.process_time())
        for process in processes:
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                used = times.user + times.system
                total += wanted_seconds(Path(f"/proc/{process.pid}/task"), used)
        return total

    before = spent()
    time.sleep(_LOOK)
    return spent() - before > _IDLE * _LOOK


def wanted_seconds(threads: Path, used: float) -> float:
    """Seconds for which threads had a core or waited for one: on a busy machine one that works
    without end may hardly get one.

    Args:
        threads: where Linux lists them, a directory for each.
        used: seconds that they had one, for where nothing is listed.
    """
    found = []
    for path in threads.glob("*/schedstat"):
        with contextlib.suppress(OSError, ValueError):  # it has ended meanwhile
            used_ns, waited_ns, _ = map(int, path.read_text("ascii").split())
            found.append(used_ns + waited_ns)
    return sum(found) / 1e9 if found else used


@dataclass(slots=True)
class Changes:
    """What one network has changed in the process: settings that it runs with.

    Attributes:
        owner: id of the network.
        settings: by what they are.
        left: what could not be put back after it.
    """

    owner: str = ""
    settings: dict[str, object] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


@contextlib.contextmanager
def _without_os_exit() -> Iterator[None]:
    """Let ``os._exit`` of a network's code be an exit like any other: the process would end with
    the status that it is given, 0 among them, and what is left of the run would not be missed.

    Processes that it forks end by it, and so may other threads, as that of a test's time-out.
    """
    end, here = os._exit, (os.getpid(), threading.get_ident())

    def refused(status: int) -> NoReturn:
        if (os.getpid(), threading.get_ident()) != here:
            end(status)
        raise SystemExit(f"os._exit({status})")

    os._exit = refused
    try:
        yield
    finally:
        os._exit = end


@contextlib.contextmanager
def _with_our_frames() -> Iterator[None]:
    """Let no limit of recursion be lower than it is: what called the network is within it, and what
    puts the process back has to run."""
    limit, set_limit = sys.getrecursionlimit(), sys.setrecursionlimit
    sys.setrecursionlimit = lambda new: set_limit(max(new, limit))
    try:
        yield
    finally:
        if sys.getrecursionlimit() < limit:
            set_limit(limit)
        sys.setrecursionlimit = set_limit


@contextlib.contextmanager
def _without_alarms() -> Iterator[None]:
    """Let a timer that ends while a network's code runs be its failure: the process would be
    killed, where nobody handles the signal."""
    names = ("SIGALRM", "SIGVTALRM", "SIGPROF")
    known = [getattr(signal, name) for name in names if hasattr(signal, name)]
    is_main = threading.current_thread() is threading.main_thread()
    bare = [one for one in known if is_main and signal.getsignal(one) is signal.SIG_DFL]

    def fail(number: int, _: object) -> NoReturn:
        raise SystemExit(f"a timer that it had set ended ({signal.Signals(number).name})")

    for one in bare:
        signal.signal(one, fail)
    try:
        yield
    finally:
        for one in bare:
            if signal.getsignal(one) is fail:
                signal.signal(one, signal.SIG_DFL)


@contextlib.contextmanager
def contained(changes: Changes) -> Iterator[None]:
    """Run a network's own code with the settings that it has made before, and put back the process.

    Args:
        changes: of this network; what it changes inside is added.
    """
    with _without_alarms():
        clean = ProcessState.take()
        try:
            with first_imports_noted(), _without_os_exit(), _with_our_frames():
                for name, value in changes.settings.items():
                    _written(name, value)
                yield
        finally:
            now = clean.changed()
            changes.settings = {
                name: value for name, value in now.items() if _items()[name].is_setting
            }
            changes.left = clean.put_back(now)
            if changes.left:
                _LEFT[changes.owner] = list(changes.left)


_LEFT: dict[str, list[str]] = {}


def left_behind() -> dict[str, list[str]]:
    """What could not be put back in this process, by the network that changed it: for any other
    network the process is no use."""
    return dict(_LEFT)
