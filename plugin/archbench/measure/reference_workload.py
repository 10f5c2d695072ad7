"""Work that never changes, timed between the samples of a network: the state of the machine.

The clock of a core, the other thread of the same core and the host's other guests move all times
together, by a fifth within minutes. A matrix product in the cache moves with them, and not with the
network or with torch: numpy does it, whose version is part of the environment.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

SIDE = 320
"""Of the square matrices, in fp32: 1.2 MB in all, about a millisecond of one core."""

SHARE = 0.15
"""Of the time of samples that is spent on the reference workload as well."""

BURST = 3e6
"""Nanoseconds that are spent at once at least: each burst empties the cache for the next sample."""


def workload_name() -> str:
    """What a reference workload is compared with: only times of equal names are."""
    return f"sgemm {SIDE} numpy {np.__version__}"


LEAST = 5
"""Times of the reference workload for a placement."""


class ReferenceWorkload:
    """Times itself as often as the samples between them allow.

    Args:
        cpu: processor time of the process in nanoseconds.
    """

    def __init__(self, cpu: Callable[[], int] = time.process_time_ns) -> None:
        self._cpu = cpu
        # Exact in fp32, and the same for ever.
        self._matrix = (np.arange(SIDE * SIDE, dtype=np.float32) % 7).reshape(SIDE, SIDE)
        self._product = np.empty_like(self._matrix)
        self._owed = 0.0
        self.seconds: list[float] = []
        self._once()
        self.seconds.clear()

    def _once(self) -> int:
        before = self._cpu()
        np.matmul(self._matrix, self._matrix, out=self._product)
        spent = self._cpu() - before
        self.seconds.append(spent / 1e9)
        return spent

    def at_the_end(self) -> None:
        """Called after the last sample: makes up what few or short samples have left."""
        while len(self.seconds) < LEAST:
            self._once()

    def after(self, nanoseconds: int) -> None:
        """Called after each sample, which took so long."""
        self._owed += nanoseconds * SHARE
        if self._owed >= BURST:
            while self._owed > 0:
                self._owed -= self._once()
