"""Running out of memory as an exception instead of a killed process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

with suppress(ImportError):  # on Windows
    import resource


_RESERVE = 256 * 2**20
"""Bytes left for the rest of the machine."""


@contextmanager
def memory_guard(allowance: int | None = None) -> Iterator[None]:
    """Refuse allocations beyond the memory that is available now.

    Linux promises more memory than it has and kills a process that uses it. Inside, this process
    may allocate ``allowance`` further bytes; beyond, the allocator fails and torch raises, so that
    one model too large ends its own cell and not the run. Elsewhere than on Linux this does
    nothing.

    Args:
        allowance: bytes; by default what the machine has available, less a reserve.
    """
    if not sys.platform.startswith("linux"):
        yield
        return
    if allowance is None:
        allowance = max(psutil.virtual_memory().available - _RESERVE, _RESERVE)
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = psutil.Process().memory_info().data + allowance
    bounds = [bound for bound in (soft, hard) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([limit, *bounds]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
