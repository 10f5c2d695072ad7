"""Which errors leave a process without its device."""

from __future__ import annotations

import pytest

from archbench.measure.poison import is_poisonous


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously",
        "CUDA error: an illegal memory access was encountered",
        "CUDA error: unspecified launch failure",
        "CUDA error: uncorrectable ECC error encountered",
        "CUDA error: no CUDA-capable device is detected",
        "HIP error: an illegal memory access was encountered",
    ],
)
def test_errors_that_stay(text: str) -> None:
    assert is_poisonous(RuntimeError(text))
    outer = ValueError("failed")
    outer.__cause__ = RuntimeError(text)
    assert is_poisonous(outer)


@pytest.mark.parametrize(
    "text",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "CUDA error: out of memory",
        "CUDA error: invalid argument",
        "CUDA error: operation not permitted when stream is capturing",
        "an illegal memory access in a model's own words",
        "shapes do not match",
    ],
)
def test_errors_that_pass(text: str) -> None:
    assert not is_poisonous(RuntimeError(text))
