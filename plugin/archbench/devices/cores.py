"""The cores of a machine: timing has them to itself, anything else shares them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archbench.core.locks import lock, unlock


class Cores:
    """A lock that the workers of a run share. It ends with its holder, and only POSIX has it.

    Args:
        path: of the file that is locked, in a directory that is there.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        self._is_shared = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Work beside others, and not while one of them times."""
        if self._is_shared:
            yield
            return
        lock(self._descriptor, alone=False, wait=True)
        self._is_shared = True
        try:
            yield
        finally:
            self._is_shared = False
            self._share_or_leave()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Time while nobody else works."""
        lock(self._descriptor, alone=True, wait=True)
        try:
            yield
        finally:
            self._share_or_leave()

    def _share_or_leave(self) -> None:
        if self._is_shared:
            lock(self._descriptor, alone=False, wait=True)
        else:
            unlock(self._descriptor)

    def close(self) -> None:
        """Let it go."""
        os.close(self._descriptor)
