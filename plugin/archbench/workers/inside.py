"""The plugin of pytest that is in every worker: runs the tests that it is asked to run."""

from __future__ import annotations

import faulthandler
import io
import os
import signal
import warnings
from collections.abc import Callable, Mapping
from multiprocessing import connection
from pathlib import Path
from typing import Any

import pytest

from archbench.core.errors import text_of
from archbench.core.parents import die_with_parent
from archbench.core.spec import Target
from archbench.workers.channel import Channel, GoneError
from archbench.workers.messages import VERSION, Ask, Ended, Hello, HowFar, Said, Warned
from archbench.workers.orders import TURNED_OFF, Order

_INSIDE: pytest.StashKey[Inside] = pytest.StashKey()


def inside_of(config: pytest.Config) -> Inside | None:
    """The plugin of a process that is a worker; None in every other one."""
    return config.stash.get(_INSIDE, None)


def doing(config: pytest.Config, what: str) -> None:
    """Say what a test is at, where another process shows it."""
    inside = inside_of(config)
    if inside is not None:
        inside.doing(what)


def order_of(config: pytest.Config) -> Order | None:
    """The order of this process; None where it is no worker."""
    inside = inside_of(config)
    return None if inside is None else inside.order


def follow(config: pytest.Config, inside: Inside) -> None:
    """Make this process a worker, before any plugin is configured.

    It has the project's configuration, with what its pytest is given beside it, less what a worker
    cannot do.
    """
    for name, value in TURNED_OFF.items():
        if hasattr(config.option, name):
            setattr(config.option, name, value)
    for name, value in (inside.order.options | inside.order.foreign).items():
        setattr(config.option, name, value)
    config.stash[_INSIDE] = inside
    config.pluginmanager.register(inside, "archbench-inside")
    if inside.order.names:
        config.pluginmanager.register(_NamesOfXdist(inside.order.names), "archbench-xdist")


class _NamesOfXdist:
    """The fixtures by which a test learns in which worker of pytest-xdist it runs: here those of
    the worker that this process works for."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    @pytest.fixture(scope="session")
    def worker_id(self) -> str:
        """``gw0``."""
        return self._names["worker_id"]

    @pytest.fixture(scope="session")
    def testrun_uid(self) -> str:
        """The same in all workers of a run."""
        return self._names["testrun_uid"]


class Inside:
    """Runs tests as they are asked for, and sends what their reports say.

    Args:
        order: of the process.
        path: of the order; what the process prints is in a file beside it.
        why_leave: why a test cannot run in this process; None where it can.
    """

    def __init__(
        self, order: Order, path: Path, why_leave: Callable[[pytest.Item], str | None]
    ) -> None:
        self.order = order
        self.channel = Channel(_connected(order.connection), Ask)
        # What a test starts must not keep the connection open.
        if os.name == "posix":
            os.set_inheritable(order.connection, False)
        self._why_leave = why_leave
        self.stacks = _write_stacks(path.with_suffix(".txt"))
        die_with_parent()
        if order.purpose == "times":
            self.settle()

    def settle(self) -> None:
        """Go to the core that was chosen, for what is timed."""
        if self.order.core is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {self.order.core})

    def greeting(self, session: pytest.Session) -> Hello:
        """What is said at the start."""
        tests = tuple(item.nodeid for item in session.items)
        return Hello(version=VERSION, stacks=self.stacks is not None, tests=tests)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> object:
        """Serve whoever started this process until it has enough or is gone."""
        items = {item.nodeid: item for item in session.items}
        try:
            self.channel.send(Said(hello=self.greeting(session)))
            while True:
                message = self.channel.receive()
                if message.do == "end":
                    return True
                if message.do == "run":
                    self.channel.send(Said(ended=self.run(message, items)))
        except GoneError:
            # Nobody is left to run tests for.
            return True
        finally:
            self._make_no_summary()

    def _make_no_summary(self) -> None:
        """Take the reporter away before the session finishes, whose words nobody reads: for its
        summary other plugins import what the tests did not need. A worker of pytest-xdist has no
        reporter either."""
        terminal = self.config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None and not self.order.sides:
            self.config.pluginmanager.unregister(terminal)

    def run(self, message: Ask, items: Mapping[str, pytest.Item]) -> Ended:
        """Run the test that a message names."""
        item = items[message.test]
        why = self._why_leave(item)
        if why is not None:
            return Ended(ran=False, leaves=why)
        following = items.get(message.following or "")
        try:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        except (KeyboardInterrupt, pytest.exit.Exception) as error:
            # It is to end the run of the process that asked for it too.
            status = getattr(error, "returncode", None) or int(pytest.ExitCode.INTERRUPTED)
            text = text_of(error) or type(error).__name__
            ended = Ended(ends=text, by=type(error).__name__, exit_status=status)
            self.channel.send(Said(ended=ended))
            raise
        session = item.session
        stops = {name: str(why) for name in _STOPS if (why := getattr(session, name))}
        leaves = None if following is None else self._why_leave(following)
        return Ended(leaves=leaves, stops=stops)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Say that the time of a test begins; what it needs has been imported before."""
        self.channel.send(Said(begins=nodeid))

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Send a report, in the form in which pytest-xdist sends them."""
        config = self.config
        data = config.hook.pytest_report_to_serializable(config=config, report=report)
        self.channel.send(Said(report=data))

    @pytest.hookimpl
    def pytest_warning_recorded(
        self, warning_message: warnings.WarningMessage, when: str, nodeid: str
    ) -> None:
        """Send a warning of a test; the others the process has seen itself that started this."""
        if when == "runtest":
            warned = Warned(
                nodeid=nodeid,
                text=str(warning_message.message),
                module=warning_message.category.__module__,
                category=warning_message.category.__name__,
                file=warning_message.filename,
                line=warning_message.lineno,
            )
            self.channel.send(Said(warning=warned))

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Keep the configuration."""
        self.config = config

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Let the words for a terminal be none among what tests print."""
        terminal = self.config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None and not self.order.sides:
            terminal._tw._file = io.StringIO()

    def about(self, target: Target) -> None:
        """Say what a test measures on, before its network is run."""
        self.channel.send(Said(target=target))

    def doing(self, what: str) -> None:
        """Say what a test is at, to whoever shows it; a side of a comparison is shown by turns."""
        if not self.order.sides:
            self.channel.send(Said(doing=what))

    def progress(self, how_far: HowFar) -> None:
        """Say how far a test is that takes long."""
        self.channel.send(Said(progress=how_far))


def no_debugger(*_: Any, **__: Any) -> None:
    """What ``breakpoint()`` does in a worker.

    Raises:
        RuntimeError: says what to do.
    """
    raise RuntimeError(
        "breakpoint(): nobody sits before this process, in which a test runs that measures. Run "
        "with --pdb, or --trace, to have it run in the first one"
    )


_STOPS = ("shouldstop", "shouldfail")
"""Attributes of pytest's session by which a test or a plugin ends the run."""


def _connected(descriptor: int) -> connection.Connection:
    if os.name == "posix":
        return connection.Connection(descriptor)
    return connection.PipeConnection(descriptor)  # type: ignore[attr-defined,no-any-return]


def _write_stacks(path: Path) -> Any:
    """Write where each thread is, once the process that started this one asks for it.

    Returns:
        The open file; None where that cannot be had.
    """
    if not hasattr(faulthandler, "register") or not path.exists():
        return None
    file = path.open("ab")
    faulthandler.register(signal.SIGUSR1, file=file, all_threads=True)
    return file
