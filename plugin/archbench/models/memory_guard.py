"""Running out of memory as an exception instead of a killed process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

__all__ = ["is_out_of_memory", "memory_guard"]

_RESERVE = 256 * 2**20
"""Bytes left for the rest of the machine."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception, or what it was raised from, says that memory ran out."""
    seen: BaseException | None = error
    while seen is not None:
        text = str(seen).lower()
        if (
            isinstance(seen, MemoryError)
            or type(seen).__name__ in ("OutOfMemoryError", "AcceleratorOutOfMemoryError")
            or "can't allocate memory" in text
            or "not enough memory" in text
            or "storage size calculation overflowed" in text
            or "out of memory" in text
            or "std::bad_alloc" in text
            or "could not create a memory object" in text
        ):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


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
    import resource

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
