"""The workers that hold the two sides of a paired comparison, and cells that one cannot time."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from msgspec.structs import replace

from archbench.core.differences import ModuleTimes
from archbench.core.rounds import Burst
from archbench.core.side_facts import SideFacts
from archbench.core.verdicts import FATAL_DEVICE_ERROR
from archbench.workers.messages import Ask, Failure, Hello, Said
from archbench.workers.process import Patience, Worker, WorkerLostError

REFERENCE, CANDIDATE = SIDES = ("reference", "candidate")
"""The sides: what is compared with, and what is there now."""


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

    def ask(self, message: Ask, timeout: float, side: str | None = None) -> Said:
        """Send a message and wait for the answer, a test's from its beginning on.

        Raises:
            CellFailedError: it died, hangs, or does not speak the protocol; it is gone now.
        """
        try:
            # What a test needs is imported before its time begins.
            imports = self.worker.patience.start if message.do == "run" else 0.0
            self.worker.send(message)
            answer = self.worker.receive(timeout + imports, timeout)
            while not answer.is_answer:
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
    def hellos(self) -> dict[str, Hello]:
        """What each side said at its start."""
        return {side: holder.worker.hello for side, holder in self._of.items()}

    @property
    def is_broken(self) -> bool:
        """Whether a process is gone, so that a fresh pair is needed."""
        return any(holder.worker.gone for holder in self._holders)

    def ready(
        self, cell: str, *, facts: bool, order: Sequence[str] = SIDES
    ) -> dict[str, SideFacts]:
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
        answers: dict[str, SideFacts] = {}
        failures: list[Failure] = []
        self._waiting = []
        for holder in dict.fromkeys(self._of[side] for side in order):
            try:
                message = Ask(do="run", test=cell, facts=facts)
                answer = holder.ask(message, self._patience.ready)
            except CellFailedError as error:
                failures += error.failures
                continue
            if answer.ready is not None:
                answers.update(answer.ready)
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
        answer = self._ask(Ask(do="burst", side=side, seconds=seconds, move=move))
        if answer.burst is None:
            raise self._lost(side, answer)
        return answer.burst

    def modules(self, side: str, passes: int) -> ModuleTimes:
        """Processor time of each module in one pass, by its name.

        Raises:
            CellFailedError: the side failed.
        """
        answer = self._ask(Ask(do="modules", side=side, passes=passes))
        if answer.modules is None:
            raise self._lost(side, answer)
        return answer.modules

    def _ask(self, message: Ask) -> Said:
        return self._of[message.side].ask(message, self._patience.burst, message.side)

    def _lost(self, side: str, answer: Said) -> CellFailedError:
        """Of a side whose test has ended in the midst of its turns."""
        holder = self._of[side]
        if holder in self._waiting:
            self._waiting.remove(holder)
        return CellFailedError([_ended_early(answer, holder, side)])

    def leave(self) -> None:
        """Let the test run to its end, on both sides.

        What becomes of it there does not matter: its times have been taken.
        """
        waiting, self._waiting = self._waiting, []
        for holder in waiting:
            if not holder.worker.gone:
                with contextlib.suppress(CellFailedError):
                    answer = holder.ask(Ask(do="next"), self._patience.burst)
                    _end_where_it_leaves(answer, holder)

    def close(self) -> None:
        """End both processes."""
        for holder in self._holders:
            holder.worker.end()

    def kill(self) -> None:
        """End both, whatever they are doing."""
        for holder in self._holders:
            holder.worker.kill()


def _end_where_it_leaves(answer: Said, holder: Holder) -> None:
    """End a process that its last network has changed for good: the next needs a fresh pair."""
    if answer.ended is not None and answer.ended.leaves:
        holder.worker.kill()


def _ended_early(answer: Said, holder: Holder, side: str | None = None) -> Failure:
    """A test that ended before it was timed, or while it was."""
    where = side or holder.name
    if answer.ended is None:
        sentence = f"its process answered {', '.join(answer.fields)}"
        (failure,) = holder.garbled(sentence, where).failures
        return failure
    _end_where_it_leaves(answer, holder)
    failure = answer.ended.failure or Failure(where)
    if not failure.side:
        failure = replace(failure, side=where)
    if failure.reason == FATAL_DEVICE_ERROR:
        # It can use its device no more: the cells behind this one need a fresh pair.
        holder.worker.kill()
    return failure
