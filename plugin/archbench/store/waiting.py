"""How long a process has waited for a core."""

from __future__ import annotations

from pathlib import Path


def waited_for_a_core(process: int | str = "self") -> float | None:
    """Seconds that the main thread of a process was ready to run and did not; None where the kernel
    does not say.

    The second number of the file is the time on a run queue, in nanoseconds
    (Documentation/scheduler/sched-stats.rst of the Linux kernel).

    Args:
        process: its number, or ``self``.
    """
    try:
        return int(Path(f"/proc/{process}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None
