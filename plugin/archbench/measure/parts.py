"""Passes of more kernels than a device's queue takes, timed part by part."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from torch.overrides import TorchFunctionMode

from archbench.devices.backend import DeviceClock, Stamp

MOST_TRIES = 6
"""To have all parts of a pass wait in the queue, two with as many: the host may have paused."""

PAUSE = 1e-3
"""Seconds of the host that are allowed for where it has paused."""

MARGIN = 1.25
"""By which a hold is longer than the host needed last time."""

MOST_PARTS = 32
"""Of a pass, which is then of more kernels than thirty queues take, or waits for the device."""


class InParts(Protocol):
    """Starts a pass and does not wait for it."""

    def __call__(self, every: int, cut: Callable[[], object]) -> int:
        """The number of its operators; ``cut`` is called between each ``every`` of them."""


class _Operators(TorchFunctionMode):
    def __init__(self, every: int, cut: Callable[[], object]) -> None:
        super().__init__()
        self.number, self._every, self._cut = 0, every, cut

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.number and self.number % self._every == 0:
            self._cut()
        self.number += 1
        return func(*args, **(kwargs or {}))


def in_parts(launch: Callable[[], object]) -> InParts:
    """A pass that runs operator by operator, to be cut between two of them.

    Args:
        launch: starts it and does not wait for it.
    """

    def start(every: int, cut: Callable[[], object]) -> int:
        operators = _Operators(every, cut)
        with operators:
            launch()
        return operators.number

    return start


class PassInParts:
    """A pass in parts of which each waits in the queue before it begins.

    A stamp stands on either side of a part; the device is held before each, and what lies between
    two parts is not counted. There are as many parts as have been seen to be needed.

    Args:
        start: starts a pass.
        clock: of the device, which can be held.
        most_hold: seconds that it is kept busy in a pass, at most.
        before: starts, ahead of each pass, what is not to be timed.
        wall: seconds of a monotonic clock of the host.

    Attributes:
        number: of parts of a pass.
        is_full: whether every part of the last pass waited in the queue.
    """

    def __init__(
        self,
        start: InParts,
        clock: DeviceClock,
        most_hold: float,
        before: Callable[[], object] | None = None,
        wall: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._start, self._clock, self._before, self._wall = start, clock, before, wall
        self._most_hold = most_hold
        clock.synchronize()
        began = wall()
        self._operators = start(2**62, int)
        self.number = 2
        self.is_full = False
        self._holds: list[float] = []
        self._usual = 2 * (wall() - began) / self.number

    def _hold_of(self, part: int) -> float:
        hold = self._holds[part] if part < len(self._holds) else self._usual
        return min(hold, self._most_hold / self.number)

    def time(self) -> float | None:
        """Seconds on the device of one pass; None where parts of it do not wait in the queue,
        however many there are."""
        tries = 0
        while True:
            seconds = self._once()
            if self.is_full:
                return seconds
            tries += 1
            if tries == MOST_TRIES:
                return None
            self._usual = max(*self._holds, self._usual) + PAUSE
            self._holds = []
            if tries % 2 == 0:
                self.number = min(4 * self.number, MOST_PARTS, self._operators)

    def _once(self) -> float:
        clock, wall = self._clock, self._wall
        parts: list[tuple[Stamp, Stamp]] = []
        enqueued: list[float] = []
        self.is_full = True

        def begin() -> tuple[Stamp, float]:
            clock.hold(self._hold_of(len(parts)))
            return clock.stamp(), wall()

        clock.synchronize()
        if self._before is not None:
            self._before()
        first, began = begin()

        def end() -> None:
            last = clock.stamp()
            self.is_full = self.is_full and not first.is_reached()
            enqueued.append(wall() - began)
            clock.synchronize()
            parts.append((first, last))

        def cut() -> None:
            nonlocal first, began
            end()
            first, began = begin()

        self._start(-(-self._operators // self.number), cut)
        end()
        self._holds = [MARGIN * seconds for seconds in enqueued]
        return sum(last.seconds_since(first) for first, last in parts)
