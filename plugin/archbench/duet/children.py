"""The processes that hold the two sides, and what becomes of a cell when one of them does not."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archbench.core.rounds import Burst
from archbench.core.verdicts import POISONED
from archbench.duet.protocol import (
    VERSION,
    Channel,
    GarbledError,
    GoneError,
    HungError,
    ProtocolError,
)

__all__ = [
    "CANDIDATE",
    "REFERENCE",
    "CellFailedError",
    "Child",
    "Failure",
    "NoPairError",
    "Pair",
    "Patience",
]

REFERENCE, CANDIDATE = SIDES = ("reference", "candidate")
"""The sides: what is compared with, and what is there now."""

_TAIL = 30
"""Lines of what a process printed that are kept when it dies."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that are waited for an answer before a process is taken to hang.

    Attributes:
        start: interpreter, torch and collection.
        ready: building, filling and warming up a model.
        compiling: beside that, where torch's compiler takes a part.
        burst: beside the burst itself.
        end: of a process that was told to end.
    """

    start: float = 180.0
    ready: float = 300.0
    compiling: float = 1800.0
    burst: float = 120.0
    end: float = 5.0


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a side has no times for a cell.

    Attributes:
        side: :data:`REFERENCE` or :data:`CANDIDATE`; both where one process held them.
        status: of the verdict: ``crashed``, ``out-of-memory``, ``not-measured``.
        reason: a code for programs.
        sentence: for people.
        details: a traceback, or the last lines that the process printed; may be empty.
    """

    side: str
    status: str
    reason: str
    sentence: str
    details: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Builtin types only."""
        return {
            "side": self.side,
            "status": self.status,
            "reason": self.reason,
            "sentence": self.sentence,
            "details": self.details,
        }


class CellFailedError(Exception):
    """At least one side cannot be timed in this cell."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        super().__init__("; ".join(failure.sentence for failure in failures))
        self.failures = tuple(failures)


class NoPairError(Exception):
    """A process did not come up at all, for any cell.

    Args:
        side: that did not.
        sentence: why.
        output: the last lines that it printed.
    """

    def __init__(self, side: str, sentence: str, output: str) -> None:
        super().__init__(f"{side}: {sentence}")
        self.side = side
        self.sentence = sentence
        self.output = output


class Child:
    """One process.

    Args:
        sides: that it holds.
        process: as it was started, in a session of its own.
        channel: our end of the connection.
        output: file that it prints to.
        patience: see :class:`Patience`.
    """

    def __init__(
        self,
        sides: Sequence[str],
        process: subprocess.Popen[bytes],
        channel: Channel,
        output: Path,
        patience: Patience,
    ) -> None:
        self.sides = tuple(sides)
        self.hello: dict[str, Any] = {}
        self.broken = False
        self._process = process
        self._channel = channel
        self._output = output
        self._patience = patience

    @classmethod
    def start(
        cls,
        sides: Sequence[str],
        command: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
        order: Mapping[str, Any],
        files: Path,
        patience: Patience,
    ) -> Child:
        """Start a process that speaks the protocol.

        Args:
            sides: that it holds.
            command: with ``{order}`` where the path of its order belongs.
            environment: of the process.
            directory: that it runs in.
            order: what it is told at its start; the number of its connection is added.
            files: directory for its order and for what it prints.
            patience: see :class:`Patience`.
        """
        ours, theirs = socket.socketpair()
        name = "-".join(sides)
        files.mkdir(parents=True, exist_ok=True)
        order_path, output = files / f"{name}.json", files / f"{name}.txt"
        with theirs:
            connection = theirs.fileno()
            order_path.write_text(json.dumps({**order, "connection": connection}), "utf-8")
            with output.open("wb") as printed:
                process = subprocess.Popen(
                    [part.replace("{order}", str(order_path)) for part in command],
                    cwd=directory,
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=printed,
                    stderr=subprocess.STDOUT,
                    pass_fds=(connection,),
                    start_new_session=True,
                )
        return cls(sides, process, Channel(ours), output, patience)

    def greet(self) -> None:
        """Wait until it is up.

        Raises:
            NoPairError: it is not, and why.
        """
        side = " and ".join(self.sides)
        try:
            hello = self._channel.receive(self._patience.start)
        except ProtocolError as error:
            failure = self._lost(error, side)
            raise NoPairError(side, failure.sentence, self.printed()) from None
        if hello.get("hello") != VERSION:
            self.kill()
            raise NoPairError(
                side,
                f"it speaks version {hello.get('hello')} of the protocol, this is {VERSION}",
                self.printed(),
            )
        self.hello = hello

    def ask(
        self, message: dict[str, Any], timeout: float, side: str | None = None
    ) -> dict[str, Any]:
        """Send a message and wait for the answer.

        Raises:
            CellFailedError: it died, hangs, or does not speak the protocol; it is gone now.
        """
        try:
            self._channel.send(message, timeout)
            return self._channel.receive(timeout)
        except ProtocolError as error:
            raise CellFailedError([self._lost(error, side or " and ".join(self.sides))]) from None

    def _lost(self, error: ProtocolError, side: str) -> Failure:
        """What to say of a process that is no use any more; ends it."""
        self.broken = True
        status: int | None = None
        if isinstance(error, GoneError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = self._process.wait(self._patience.end)
        self.kill()
        printed = self.printed()
        if isinstance(error, HungError):
            return Failure(side, "crashed", "hung", f"its process hangs: {error}", printed)
        if isinstance(error, GarbledError) or status is None:
            sentence = f"its process does not speak as agreed: {error}"
            return Failure(side, "crashed", "protocol", sentence, printed)
        if status == -signal.SIGKILL:
            sentence = "its process was killed, as the kernel does when memory runs out"
            return Failure(side, "out-of-memory", "killed", sentence, printed)
        how = f"of signal {-status} ({signal.strsignal(-status)})" if status < 0 else ""
        sentence = f"its process died {how}" if how else f"its process ended with status {status}"
        return Failure(side, "crashed", "process-died", sentence, printed)

    def printed(self) -> str:
        """The last lines that it printed."""
        try:
            text = self._output.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.strip().splitlines()[-_TAIL:])

    def end(self) -> None:
        """Tell it to end, and see that it does."""
        if self._process.poll() is None and not self.broken:
            with contextlib.suppress(ProtocolError, subprocess.TimeoutExpired):
                self._channel.send({"do": "end"}, self._patience.end)
                self._process.wait(self._patience.end)
        self.kill()

    def kill(self) -> None:
        """End it and what it has started, whatever it is doing."""
        # Its group may outlive it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._channel.close()


class Pair:
    """Both sides of one launch, in two processes or in one.

    Args:
        children: one for each side, or one for both.
        core: of the CPU that they share; None where they are free.
        patience: see :class:`Patience`.
    """

    def __init__(self, children: Sequence[Child], core: int | None, patience: Patience) -> None:
        self._children = tuple(children)
        self._of = {side: child for child in children for side in child.sides}
        self._waiting: list[Child] = []
        self.core = core
        self._patience = patience

    @property
    def hellos(self) -> dict[str, dict[str, Any]]:
        """What each side said at its start."""
        return {side: child.hello for side, child in self._of.items()}

    @property
    def is_broken(self) -> bool:
        """Whether a process is gone, so that a fresh pair is needed."""
        return any(child.broken for child in self._children)

    def ready(
        self, cell: str, *, facts: bool, order: Sequence[str] = SIDES
    ) -> dict[str, dict[str, Any]]:
        """Bring both sides into a test, to where it waits for its bursts.

        One after the other, so that what there is of memory is not promised twice.

        Args:
            cell: id of the test.
            facts: whether counts and outputs are wanted.
            order: in which the sides load.

        Returns:
            What each side says about its model.

        Raises:
            CellFailedError: a side cannot be timed; the other one has left the test again.
        """
        answers: dict[str, dict[str, Any]] = {}
        failures: list[Failure] = []
        self._waiting = []
        for child in dict.fromkeys(self._of[side] for side in order):
            try:
                message = {"do": "run", "cell": cell, "facts": facts}
                answer = child.ask(message, self._patience.ready)
            except CellFailedError as error:
                failures += error.failures
                continue
            if "ready" in answer:
                answers.update(answer["ready"])
                self._waiting.append(child)
            else:
                failures.append(_ended_early(answer, child))
        if failures:
            self.leave()
            raise CellFailedError(failures)
        return answers

    def burst(self, side: str, seconds: float, *, move: bool = False) -> Burst:
        """Let time pass on one side.

        Args:
            side: whose turn it is.
            seconds: of the burst, one pass at least.
            move: whether its model goes to another place in memory before.

        Raises:
            CellFailedError: the side failed.
        """
        message = {"do": "burst", "side": side, "seconds": seconds, "move": move}
        answer = self._ask(side, message, "burst")
        try:
            return Burst.from_dict(answer)
        except (KeyError, TypeError, ValueError) as error:
            child = self._of[side]
            child.broken = True
            child.kill()
            sentence = f"its process does not speak as agreed: {error}"
            raise CellFailedError([Failure(side, "crashed", "protocol", sentence)]) from None

    def modules(self, side: str, passes: int) -> dict[str, Any]:
        """Processor time of each module in one pass, by its name.

        Raises:
            CellFailedError: the side failed.
        """
        return self._ask(side, {"do": "modules", "side": side, "passes": passes}, "modules")

    def _ask(self, side: str, message: dict[str, Any], key: str) -> dict[str, Any]:
        child = self._of[side]
        answer = child.ask(message, self._patience.burst, side)
        if key in answer:
            value: dict[str, Any] = answer[key]
            return value
        if child in self._waiting:
            self._waiting.remove(child)
        raise CellFailedError([_ended_early(answer, child, side)])

    def leave(self) -> None:
        """Let the test run to its end, on both sides.

        What becomes of it there does not matter: its times have been taken.
        """
        waiting, self._waiting = self._waiting, []
        for child in waiting:
            if not child.broken:
                with contextlib.suppress(CellFailedError):
                    answer = child.ask({"do": "next"}, self._patience.burst)
                    _end_where_it_leaves(answer, child)

    def close(self) -> None:
        """End both processes."""
        for child in self._children:
            child.end()


def _end_where_it_leaves(answer: Mapping[str, Any], child: Child) -> None:
    """End a process that its last network has changed for good: the next needs a fresh pair."""
    ended = answer.get("ended")
    if isinstance(ended, dict) and ended.get("leaves"):
        child.broken = True
        child.kill()


def _ended_early(answer: Mapping[str, Any], child: Child, side: str | None = None) -> Failure:
    """A test that ended before it was timed, or while it was."""
    ended = answer.get("ended")
    where = side or " and ".join(child.sides)
    if not isinstance(ended, dict):
        child.broken = True
        child.kill()
        return Failure(where, "crashed", "protocol", f"its process answered {sorted(answer)}")
    _end_where_it_leaves(answer, child)
    failure = Failure(
        str(ended.get("side") or where),
        str(ended.get("status", "crashed")),
        str(ended.get("reason", "test-failed")),
        str(ended.get("sentence", "its test ended without being timed")),
        str(ended.get("details", "")),
    )
    if failure.reason == POISONED:
        # It can use its device no more: the cells behind this one need a fresh pair.
        child.broken = True
        child.kill()
    return failure
