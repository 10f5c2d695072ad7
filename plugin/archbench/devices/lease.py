"""One measurement on a device at a time, whoever starts it."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["lease", "lease_path"]

PATIENCE = 5.0
"""Seconds after which whoever waits says so."""


def lease_path(identity: str, directory: Path | None = None) -> Path:
    """The file that is locked while a device is in use.

    Args:
        identity: the device's UUID; its name where it has none.
        directory: of the files; one of this user's in the system's directory for temporary files.
    """
    if directory is None:
        directory = (
            Path(tempfile.gettempdir()) / f"archbench-{os.getuid() if hasattr(os, 'getuid') else 0}"
        )
    return directory / f"{re.sub(r'[^A-Za-z0-9-]+', '-', identity)}.lock"


@contextmanager
def lease(
    identity: str,
    say: Callable[[str], object],
    directory: Path | None = None,
    patience: float = PATIENCE,
) -> Iterator[None]:
    """Hold a device for oneself; wait while another process has it.

    The operating system lets the lock go when its holder dies.

    Args:
        identity: see :func:`lease_path`.
        say: told once if the device is not free within ``patience`` seconds.
        directory: see :func:`lease_path`.
        patience: in seconds.
    """
    path = lease_path(identity, directory)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        say(f"waiting for {identity}: another process measures on it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
