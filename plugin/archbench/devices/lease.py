"""One measurement on a device at a time, whoever starts it."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

PATIENCE = 5.0
"""Seconds after which whoever waits says so."""


def lease_path(identity: str, directory: Path | None = None) -> Path:
    """The file that is locked while a device is in use.

    Args:
        identity: the device's UUID; its name where it has none.
        directory: of the files; one of this machine's by default, which all users share.
    """
    if directory is None:
        shared = Path("/tmp")
        is_shared = shared.is_dir() and os.access(shared, os.W_OK)
        directory = (shared if is_shared else Path(tempfile.gettempdir())) / "archbench-devices"
    return directory / f"{re.sub(r'[^A-Za-z0-9-]+', '-', identity)}.lock"


_HELD: dict[Path, int] = {}
"""How often each is held by this process."""


@contextmanager
def lease(
    identity: str,
    say: Callable[[str], object],
    directory: Path | None = None,
    patience: float = PATIENCE,
) -> Iterator[None]:
    """Hold a device for oneself; wait while another process has it.

    A process that holds it may take it again. The operating system lets the lock go when its holder
    dies.

    Args:
        identity: see :func:`lease_path`.
        say: called once if the device is not free within ``patience`` seconds.
        directory: see :func:`lease_path`.
        patience: in seconds.
    """
    path = lease_path(identity, directory)
    if _HELD.get(path):
        with _counted(path):
            yield
        return
    lock = FileLock(_openable(path))
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        say(f"waiting for {identity}: another process measures on it")
        lock.acquire()
    try:
        with _counted(path):
            yield
    finally:
        lock.release()


@contextmanager
def _counted(path: Path) -> Iterator[None]:
    _HELD[path] = _HELD.get(path, 0) + 1
    try:
        yield
    finally:
        _HELD[path] -= 1


def _openable(path: Path) -> Path:
    """The file of a lock, which every user may lock, whoever has made it."""
    with suppress(FileExistsError):
        path.parent.mkdir(parents=True)
        path.parent.chmod(0o1777)
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | _NO_LINK, 0o666))
        path.chmod(0o666)
    return path


_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
