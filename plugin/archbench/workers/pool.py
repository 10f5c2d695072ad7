"""Tests run one after another in a worker that is replaced once it is of no use any more."""

from __future__ import annotations

import time
from collections.abc import Callable

from archbench.workers.messages import Ask, Ended, Said
from archbench.workers.process import Worker, WorkerLostError


class Pool:
    """One worker at a time."""

    def __init__(self, start: Callable[[], Worker]) -> None:
        self._start = start
        self._worker: Worker | None = None

    def worker(self) -> Worker:
        """A worker that is up.

        Raises:
            WorkerLostError: it does not come up.
        """
        if self._worker is None:
            worker = self._start()
            try:
                worker.greet()
            except BaseException:
                worker.kill()
                raise
            self._worker = worker
        return self._worker

    def run(
        self,
        test: str,
        timeout: float,
        take: Callable[[Said], object],
        following: str | None = None,
    ) -> Ended:
        """Run a test.

        Args:
            timeout: seconds that it may take, from its beginning or its last progress on.
            take: is given each message about it.
            following: id of the next test, so that what both need is kept.

        Returns:
            How it ended.

        Raises:
            WorkerLostError: the worker died over it, or hung; another one takes the next test.
        """
        while True:
            is_fresh = self._worker is None
            worker = self.worker()
            try:
                worker.send(Ask(do="run", test=test, following=following))
                ended = self._until_ended(worker, timeout, take)
            except WorkerLostError:
                self._worker = None
                raise
            except BaseException:
                # Ctrl-C, or the time-out of another plugin.
                worker.interrupt()
                self._worker = None
                raise
            if ended.ends is not None or ended.leaves:
                self.close()
            if ended.ran or is_fresh:
                return ended

    def _until_ended(self, worker: Worker, timeout: float, take: Callable[[Said], object]) -> Ended:
        # What a test needs is imported before its time begins.
        deadline = time.monotonic() + timeout + worker.patience.start
        while True:
            message = worker.receive(max(deadline - time.monotonic(), 0.0), timeout)
            if message.ended is not None:
                return message.ended
            if message.renews:
                deadline = time.monotonic() + timeout
            take(message)

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.end()
            self._worker = None
