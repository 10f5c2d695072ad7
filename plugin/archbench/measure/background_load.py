"""How much of the machine others kept busy while something was measured."""

from __future__ import annotations

import os
import time
from typing import Any

import psutil

_IDLE = ("idle", "iowait", "guest", "guest_nice")
"""Fields of ``psutil.cpu_times`` that are no work, or that another field holds already."""


class BackgroundLoad:
    """Started before a measurement, asked after it.

    The kernel counts in steps of 10 ms for each core: over a quarter of a second the share is known
    to 4 % on two cores.
    """

    def __init__(self) -> None:
        self._busy = _busy_seconds(psutil.cpu_times())
        self._own = time.process_time()
        self._wall = time.perf_counter()

    def share(self) -> float:
        """Share of all cores that other processes, and other guests of the host, kept busy."""
        wall = time.perf_counter() - self._wall
        own = time.process_time() - self._own
        busy = _busy_seconds(psutil.cpu_times()) - self._busy
        share = (busy - own) / (wall * (os.cpu_count() or 1))
        return round(min(max(share, 0.0), 1.0), 4)


def _busy_seconds(times: Any) -> float:
    fields: dict[str, float] = times._asdict()
    return sum(value for name, value in fields.items() if name not in _IDLE)
