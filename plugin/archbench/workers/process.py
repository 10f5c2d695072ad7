"""A worker, as the process sees it that started it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from archbench.store.waiting import waited_for_a_core
from archbench.workers.channel import (
    Channel,
    ChannelError,
    GarbledError,
    GoneError,
    SilentError,
)
from archbench.workers.messages import VERSION, Ask, Hello, Said
from archbench.workers.orders import Order

MARK = "ARCHBENCH_WORKER"
"""Of a worker's environment, which whatever it starts has as well."""

LOOK = 1.0
"""Seconds between two looks at whether a process that says nothing is there at all."""

_OURS = re.compile(
    r'^  File "(<frozen |.*[/\\](_pytest|pluggy|archbench[/\\](workers|pytest_plugin))[/\\])'
)
"""Frames of a dumped stack that are of no interest to anyone."""

_ASKED_TO_END = tuple(
    -getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)
)
"""Statuses of a process that somebody else has ended, as a scheduler whose time is up."""

_TAIL = 30
"""Lines of what a process printed that are kept when it dies."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that are waited for an answer before a process is taken to hang.

    Attributes:
        start: interpreter, what the project imports, and collection.
        ready: building, filling and warming up a model.
        compiling: beside that, where torch's compiler takes a part.
        burst: beside the burst itself.
        end: of a process that was asked to end.
        interrupted: of one that is ended in the midst of a test, as by Ctrl-C: somebody waits.
    """

    start: float = 180.0
    ready: float = 300.0
    compiling: float = 1800.0
    burst: float = 120.0
    end: float = 5.0
    interrupted: float = 2.0


@dataclass(frozen=True, slots=True)
class Lost:
    """Why a worker is of no use any more.

    Attributes:
        status: of the verdict about the cell that it had: ``crashed`` or ``out-of-memory``.
        reason: a code for programs: ``process-died``, ``hung``, ``killed``, ``protocol``.
        sentence: for people.
        printed: the last lines that it printed; where it hung, with the stack of each thread.
    """

    status: str
    reason: str
    sentence: str
    printed: str = ""


class WorkerLostError(Exception):
    """A worker died, hangs or does not speak as agreed; it is gone now."""

    def __init__(self, lost: Lost) -> None:
        super().__init__(lost.sentence)
        self.lost = lost


class Worker:
    """One process.

    Args:
        process: as it was started, in a session of its own.
        channel: our end of the connection.
        output: file that it prints to; None where it prints to where this process does.
        mark: by which it is known what it has started.

    Attributes:
        hello: what it said at its start.
        tests: ids of those that it has, where it said so.
        gone: whether it has been ended.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        channel: Channel[Said],
        output: Path | None,
        patience: Patience,
        mark: str = "",
    ) -> None:
        self.hello = Hello(version=VERSION)
        self.tests: frozenset[str] = frozenset()
        self.gone = False
        self._process = process
        self._channel = channel
        self._output = output
        self._mark = mark
        self.patience = patience

    @classmethod
    def start(
        cls,
        command: Callable[[Path], list[str]],
        environment: Mapping[str, str],
        directory: Path,
        order: Order,
        files: Path,
        patience: Patience,
        *,
        name: str = "worker",
        prints_here: bool = False,
    ) -> Worker:
        """Start a process that speaks the protocol.

        Args:
            command: from the path of its order to the command line.
            directory: that it runs in.
            order: for its start; the number of its connection is added.
            files: directory for its order and for what it prints, made if need be.
            prints_here: whether it prints to where this process does, and not to a file.
        """
        ours, theirs = Pipe()
        files.mkdir(parents=True, exist_ok=True)
        mark = f"{os.getpid()}-{time.monotonic_ns()}"
        path, output = files / f"{name}.json", files / f"{name}.txt"
        with theirs:
            connection = theirs.fileno()
            path.write_text(json.dumps({**asdict(order), "connection": connection}), "utf-8")
            with output.open("wb") if not prints_here else contextlib.nullcontext() as printed:
                process = subprocess.Popen(
                    command(path),
                    cwd=directory,
                    env={**environment, MARK: mark},
                    stdin=subprocess.DEVNULL,
                    stdout=printed,
                    stderr=None if prints_here else subprocess.STDOUT,
                    **_handing_on(connection),
                )
        printed_to = None if prints_here else output
        return cls(process, Channel(ours, Said), printed_to, patience, mark)

    def greet(self) -> None:
        """Wait until it is up.

        Raises:
            WorkerLostError: it is not, and why.
        """
        hello = self.receive(self.patience.start).hello
        if hello is None or hello.version != VERSION:
            spoken = "another language" if hello is None else f"version {hello.version}"
            raise self.no_use("protocol", f"it speaks {spoken} of the protocol, this is {VERSION}")
        self.hello, self.tests = hello, frozenset(hello.tests)

    def send(self, message: Ask) -> None:
        """Tell it something.

        Raises:
            WorkerLostError: it has ended.
        """
        try:
            self._channel.send(message)
        except ChannelError as error:
            raise WorkerLostError(self._lost(error)) from None

    def receive(self, timeout: float, said: float | None = None) -> Said:
        """Wait for what it says.

        Args:
            timeout: seconds to wait, beside those in which it was ready to run and had no core.
            said: seconds to name where it says nothing, if they are others.

        Raises:
            WorkerLostError: it died, hangs, or does not speak the protocol.
        """
        deadline, before = time.monotonic() + timeout, self._waited()
        while True:
            left = deadline - time.monotonic()
            if left <= LOOK:
                # On a busy machine a process may have a tenth of a core: it works, and slowly.
                left += self._waited() - before
            try:
                return self._channel.receive(max(min(left, LOOK), 0.0))
            except SilentError:
                # What it has forked may hold the connection open when it is gone.
                if self._process.poll() is not None:
                    raise WorkerLostError(self._lost(GoneError())) from None
                if left <= LOOK:
                    error = SilentError(f"nothing was said for {said or timeout:g} s")
                    raise WorkerLostError(self._lost(error)) from None
            except ChannelError as error:
                raise WorkerLostError(self._lost(error)) from None

    def _waited(self) -> float:
        return waited_for_a_core(self._process.pid) or 0.0

    def no_use(self, reason: str, sentence: str) -> WorkerLostError:
        """End it since its answers make no sense."""
        self.kill()
        return WorkerLostError(Lost("crashed", reason, sentence, self.printed()))

    def _lost(self, error: ChannelError) -> Lost:
        """What to say of a process that is no use any more; ends it."""
        status: int | None = None
        if isinstance(error, GoneError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = self._process.wait(self.patience.end)
        if isinstance(error, SilentError):
            self._dump_stacks()
        self.kill()
        if status in _ASKED_TO_END:
            # Who ends a whole group of processes has asked this one to end too: it is to see that
            # first.
            time.sleep(0.3)
        printed = self.printed()
        if isinstance(error, SilentError):
            return Lost("crashed", "hung", f"its process hangs: {error}", printed)
        if isinstance(error, GarbledError) or status is None:
            sentence = f"its process does not speak as agreed: {error}"
            return Lost("crashed", "protocol", sentence, printed)
        if status == -getattr(signal, "SIGKILL", 9):
            sentence = "its process was killed, as the kernel does when memory runs out"
            return Lost("out-of-memory", "killed", sentence, printed)
        how = f"of signal {-status} ({signal.strsignal(-status)})" if status < 0 else ""
        sentence = f"its process died {how}" if how else f"its process ended with status {status}"
        return Lost("crashed", "process-died", sentence, printed)

    def _dump_stacks(self) -> None:
        """Let it write where each of its threads is; the worker has asked for that."""
        if not self.hello.stacks or self._output is None:
            return
        with contextlib.suppress(OSError):  # a network may have removed it
            before = self._output.stat().st_size
            self._process.send_signal(signal.SIGUSR1)
            for _ in range(20):
                time.sleep(0.05)
                if self._output.stat().st_size > before:
                    break

    def printed(self) -> str:
        """The last lines that it printed."""
        if self._output is None:
            return ""
        try:
            text = self._output.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        lines = [
            line
            for line in text.strip().splitlines()
            if not (_OURS.match(line) or line.startswith("Extension modules: "))
        ]
        # The innermost frame of a stack comes first.
        stacks = [index for index, line in enumerate(lines) if line.startswith("Current thread ")]
        end = stacks[-1] + _TAIL if stacks else len(lines)
        return "\n".join(lines[:end][-_TAIL - 5 * bool(stacks) :]).strip()

    def end(self) -> None:
        """Tell it to end, and see that it does."""
        if not self.gone and self._process.poll() is None:
            with contextlib.suppress(ChannelError, subprocess.TimeoutExpired):
                self._channel.send(Ask(do="end"))
                self._process.wait(self.patience.end)
        self.kill()

    def interrupt(self) -> None:
        """End it in the midst of a test, whose fixtures are torn down if they can be."""
        if not self.gone:
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                self._process.send_signal(signal.SIGINT)
                self._process.wait(self.patience.interrupted)
        self.kill()

    def kill(self) -> None:
        """End it and what it has started, whatever it is doing."""
        if self.gone:
            return
        self.gone = True
        if os.name == "posix":
            # Its group may outlive it.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(self.patience.end)
        self._channel.close()
        if self._mark:
            _kill_marked(self._mark)


def _kill_marked(mark: str) -> None:
    """Kill what a worker has started and what has left its group; Linux alone says whose it is."""
    wanted = f"{MARK}={mark}".encode()
    for place in Path("/proc").glob("[0-9]*/environ"):
        # Most are of somebody else, or gone.
        with contextlib.suppress(OSError):
            if wanted in place.read_bytes().split(b"\0"):
                os.kill(int(place.parent.name), signal.SIGKILL)


def _handing_on(connection: int) -> dict[str, Any]:
    """Arguments that leave a connection open in a process; on POSIX it has a session of its own."""
    if os.name == "posix":
        return {"pass_fds": (connection,), "start_new_session": True}
    inherit: Callable[[int, bool], None] = vars(os)["set_handle_inheritable"]
    inherit(connection, True)
    return {"close_fds": False}
