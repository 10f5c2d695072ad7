"""The workers that hold the two sides of a paired comparison, and cells that one cannot time."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archbench.core.rounds import Burst
from archbench.core.verdicts import FATAL_DEVICE_ERROR
from archbench.workers.process import Patience, Worker, WorkerLostError

REFERENCE, CANDIDATE = SIDES = ("reference", "candidate")
"""The sides: what is compared with, and what is there now."""


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


class CellFailedError(Exception):
    """At least one side cannot be timed in this cell."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        super().__init__("; ".join(failure.sentence for failure in failures))
        self.failures = tuple(failures)


class NoPairError(Exception):
    """A process did not come up at all, for any cell.

    Args:
        output: the last lines that it printed.
    """

    def __init__(self, side: str, sentence: str, output: str) -> None:
        super().__init__(f"{side}: {sentence}")
        self.side = side
        self.sentence = sentence
        self.output = output


_UNASKED = {"begins", "warning"}
"""Messages that are no answer."""


class Holder:
    """A worker, and the sides that it holds.

    Args:
        sides: one, or both.
    """

    def __init__(self, sides: Sequence[str], worker: Worker) -> None:
        self.sides = tuple(sides)
        self.worker = worker

    @property
    def name(self) -> str:
        """Of its sides."""
        return " and ".join(self.sides)

    def greet(self) -> None:
        """Wait until it is up.

        Raises:
            NoPairError: it is not, and why.
        """
        try:
            self.worker.greet()
        except WorkerLostError as error:
            lost = error.lost
            raise NoPairError(self.name, lost.sentence, lost.printed) from None

    def ask(
        self, message: dict[str, Any], timeout: float, side: str | None = None
    ) -> dict[str, Any]:
        """Send a message and wait for the answer, a test's from its beginning on.

        Raises:
            CellFailedError: it died, hangs, or does not speak the protocol; it is gone now.
        """
        try:
            # What a test needs is imported before its time begins.
            imports = self.worker.patience.start if message["do"] == "run" else 0.0
            self.worker.send(message)
            answer = self.worker.receive(timeout + imports, timeout)
            while _UNASKED & answer.keys():
                answer = self.worker.receive(timeout)
        except WorkerLostError as error:
            raise self.failed(error, side) from None
        return answer

    def failed(self, error: WorkerLostError, side: str | None = None) -> CellFailedError:
        """What the loss of its worker makes of a cell."""
        lost = error.lost
        return CellFailedError(
            [Failure(side or self.name, lost.status, lost.reason, lost.sentence, lost.printed)]
        )

    def garbled(self, sentence: str, side: str | None = None) -> CellFailedError:
        """End its worker, whose answers make no sense."""
        return self.failed(self.worker.no_use("protocol", sentence), side)


class Pair:
    """Both sides of one process run, in two processes or in one.

    Args:
        holders: one for each side, or one for both.
        core: of the CPU that they share; None where they are free.
    """

    def __init__(self, holders: Sequence[Holder], core: int | None, patience: Patience) -> None:
        self._holders = tuple(holders)
        self._of = {side: holder for holder in holders for side in holder.sides}
        self._waiting: list[Holder] = []
        self.core = core
        self._patience = patience

    @property
    def hellos(self) -> dict[str, dict[str, Any]]:
        """What each side said at its start."""
        return {side: holder.worker.hello for side, holder in self._of.items()}

    @property
    def is_broken(self) -> bool:
        """Whether a process is gone, so that a fresh pair is needed."""
        return any(holder.worker.gone for holder in self._holders)

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
        for holder in dict.fromkeys(self._of[side] for side in order):
            try:
                message = {"do": "run", "test": cell, "facts": facts}
                answer = holder.ask(message, self._patience.ready)
            except CellFailedError as error:
                failures += error.failures
                continue
            if "ready" in answer:
                answers.update(answer["ready"])
                self._waiting.append(holder)
            else:
                failures.append(_ended_early(answer, holder))
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
            sentence = f"its process does not speak as agreed: {error}"
            raise self._of[side].garbled(sentence, side) from None

    def modules(self, side: str, passes: int) -> dict[str, Any]:
        """Processor time of each module in one pass, by its name.

        Raises:
            CellFailedError: the side failed.
        """
        return self._ask(side, {"do": "modules", "side": side, "passes": passes}, "modules")

    def _ask(self, side: str, message: dict[str, Any], key: str) -> dict[str, Any]:
        holder = self._of[side]
        answer = holder.ask(message, self._patience.burst, side)
        if key in answer:
            value: dict[str, Any] = answer[key]
            return value
        if holder in self._waiting:
            self._waiting.remove(holder)
        raise CellFailedError([_ended_early(answer, holder, side)])

    def leave(self) -> None:
        """Let the test run to its end, on both sides.

        What becomes of it there does not matter: its times have been taken.
        """
        waiting, self._waiting = self._waiting, []
        for holder in waiting:
            if not holder.worker.gone:
                with contextlib.suppress(CellFailedError):
                    answer = holder.ask({"do": "next"}, self._patience.burst)
                    _end_where_it_leaves(answer, holder)

    def close(self) -> None:
        """End both processes."""
        for holder in self._holders:
            holder.worker.end()


def _end_where_it_leaves(answer: Mapping[str, Any], holder: Holder) -> None:
    """End a process that its last network has changed for good: the next needs a fresh pair."""
    ended = answer.get("ended")
    if isinstance(ended, dict) and ended.get("leaves"):
        holder.worker.kill()


def _ended_early(answer: Mapping[str, Any], holder: Holder, side: str | None = None) -> Failure:
    """A test that ended before it was timed, or while it was."""
    ended = answer.get("ended")
    where = side or holder.name
    if not isinstance(ended, dict):
        (failure,) = holder.garbled(f"its process answered {sorted(answer)}", where).failures
        return failure
    _end_where_it_leaves(answer, holder)
    failure = Failure(
        str(ended.get("side") or where),
        str(ended.get("status", "crashed")),
        str(ended.get("reason", "test-failed")),
        str(ended.get("sentence", "its test ended without being timed")),
        str(ended.get("details", "")),
    )
    if failure.reason == FATAL_DEVICE_ERROR:
        # It can use its device no more: the cells behind this one need a fresh pair.
        holder.worker.kill()
    return failure
