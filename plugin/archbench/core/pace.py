"""How long measuring takes: from multiply-adds before it begins, from what is done after that."""

from __future__ import annotations

from dataclasses import dataclass

STARTING = 4.0
"""Seconds until a process that measures has imported torch and a library."""

COUNTING = 0.4
"""Seconds of a cell for building, counting twice and filling; it is 0.2 to 1 s."""

PASSES = 5
"""Forward passes of a cell beside those that its time budget is for."""

UNKNOWN_MACS = 5e8
"""Multiply-adds of a network that nothing is known about."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What a cell takes on this machine.

    Attributes:
        rate: multiply-adds in a second. One core of a server does 10 to 40 billion.
    """

    rate: float = 2e10

    def cell(self, macs: float | None, batch_size: int, time_budget: float) -> float:
        """Seconds that a cell takes in a process that is up.

        Args:
            macs: of one image; None where they are not known.
            time_budget: seconds for its samples; 0 where it is not timed.
        """
        passes = PASSES * (macs or UNKNOWN_MACS) * batch_size / self.rate
        return COUNTING + (time_budget + passes if time_budget else 0.0)


_TRUSTED_AFTER = 10.0
"""Seconds of work after which what it took weighs as much as what was expected."""


class TimeLeft:
    """Seconds left of some work: what was expected, scaled by how long the finished part took.

    Args:
        expected: seconds of the whole work.
        now: by a clock that goes on.
    """

    def __init__(self, expected: float, now: float) -> None:
        self._expected = expected
        self._done = 0.0
        self._start = self._last = now

    def done(self, expected: float, now: float) -> None:
        """Note that a part has ended which was expected to take so many seconds."""
        self._done += expected
        self._last = now

    def seconds(self, now: float) -> float:
        """How long it takes from now on; 0 where the rest takes longer than was expected."""
        took = self._last - self._start
        scale = (took + _TRUSTED_AFTER) / (self._done + _TRUSTED_AFTER)
        left = max(self._expected - self._done, 0.0) * scale
        return max(left - (now - self._last), 0.0)
