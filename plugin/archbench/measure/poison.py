"""Errors after which a process can use its device no more."""

from __future__ import annotations

from archbench.core.errors import chain_of

__all__ = ["is_poisonous"]

_STICKY = (
    "device-side assert",
    "illegal memory access",
    "illegal instruction",
    "unspecified launch failure",
    "misaligned address",
    "invalid address space",
    "invalid program counter",
    "hardware stack error",
    "launch timed out",
    "the launch timed out and was terminated",
    "uncorrectable ecc error",
    "device is lost",
    "gpu is lost",
    "has fallen off the bus",
    "no cuda-capable device is detected",
    "devices are busy or unavailable",
    "context is destroyed",
    "unknown error",
)
"""What the CUDA runtime calls errors that stay: every further call in the process returns them,
since its context is gone (CUDA Runtime API, cudaError_t: "the process must be terminated and
relaunched"). A failed allocation or a wrong argument is none of them."""

_SPEAKERS = ("cuda error", "cudaerror", "hip error", "hiperror", "cublas_status", "cudnn_status")


def is_poisonous(error: BaseException) -> bool:
    """Whether an exception, or what it was raised from, says that the device's context is gone."""
    for seen in chain_of(error):
        text = str(seen).lower()
        if any(speaker in text for speaker in _SPEAKERS) and any(kind in text for kind in _STICKY):
            return True
    return False
