"""Locks on open files that end with the process that holds them; only POSIX has them."""

from __future__ import annotations

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]


def lock(descriptor: int, *, alone: bool, wait: bool = False) -> bool:
    """Lock an open file or directory, or change how this process has locked it.

    Returns:
        Whether it could be had; also where the system, or the file system, has no locks.
    """
    if fcntl is None:
        return True
    how = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    try:
        fcntl.flock(descriptor, how if wait else how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def unlock(descriptor: int) -> None:
    """Let it go, and keep it open."""
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
