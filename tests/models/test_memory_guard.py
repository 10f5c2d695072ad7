"""Running out of memory is an exception, not a killed process."""

from __future__ import annotations

import resource
import sys

import pytest
import torch

from archbench.core.errors import is_out_of_memory
from archbench.models.memory_guard import memory_guard

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_DATA is Linux's")


@linux
def test_allocations_beyond_the_allowance_fail_and_are_recognised() -> None:
    with memory_guard(allowance=64 * 2**20):
        small = torch.ones(2**20)
        with pytest.raises((RuntimeError, MemoryError)) as caught:
            torch.ones(2**28)  # 1 GiB
    assert is_out_of_memory(caught.value)
    assert small.sum() == 2**20


@linux
def test_the_limit_is_lifted_afterwards() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    inside = []

    def fail() -> None:
        inside.append(resource.getrlimit(resource.RLIMIT_DATA))
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"), memory_guard(allowance=2**30):
        fail()
    assert inside != [before]
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_causes_are_searched() -> None:
    wrapped = RuntimeError("cannot be built")
    wrapped.__cause__ = MemoryError()
    assert is_out_of_memory(wrapped)
    assert not is_out_of_memory(ValueError("shape mismatch"))
