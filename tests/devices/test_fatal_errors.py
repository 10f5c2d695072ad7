"""Which errors leave a process without its device."""

from __future__ import annotations

import pytest

from archbench.devices.kinds import is_fatal


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously",
        "CUDA error: an illegal memory access was encountered",
        "CUDA error: unspecified launch failure",
        "CUDA error: uncorrectable ECC error encountered",
        "CUDA error: no CUDA-capable device is detected",
        "HIP error: an illegal memory access was encountered",
        "Triton Error [CUDA]: an illegal memory access was encountered",
        "CUDA driver error: unspecified launch failure",
        "Error Code 1: Cuda Runtime (an illegal memory access was encountered)",
        "CUDA failure 700: an illegal memory access was encountered ; GPU=0",
        "CUDA error: operation failed due to a previous error during capture",
        'captures.empty() INTERNAL ASSERT FAILED at "../c10/cuda/CUDACachingAllocator.cpp":3085',
        "Native API failed. Native API returns: 20 (UR_RESULT_ERROR_DEVICE_LOST)",
        "level_zero backend failed with error: 20 (UR_RESULT_ERROR_DEVICE_LOST)",
    ],
)
def test_errors_that_stay(text: str) -> None:
    assert is_fatal(RuntimeError(text))
    outer = ValueError("failed")
    outer.__cause__ = RuntimeError(text)
    assert is_fatal(outer)


@pytest.mark.parametrize(
    "text",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "CUDA error: out of memory",
        "CUDA error: invalid argument",
        "Triton Error [CUDA]: out of memory",
        "the network's own DEVICE_LOST",
        "CUDA error: operation not permitted when stream is capturing",
        "an illegal memory access in a model's own words",
        "shapes do not match",
    ],
)
def test_errors_that_pass(text: str) -> None:
    assert not is_fatal(RuntimeError(text))
