"""Precisions: what a device can run."""

from __future__ import annotations

import torch
from torch import nn

from archbench.core.errors import UsageError
from archbench.devices.choosing import Device
from archbench.models.loading import TORCH_DTYPES
from archbench.models.numerics import numerics

__all__ = ["check_dtype"]

_TF32_CAPABILITY = (8, 0)
_BF16_CAPABILITY = (8, 0)
"""Ampere: first with TF32 and with bf16 in hardware. Older devices emulate bf16, slowly."""


def _capability(device: Device) -> tuple[int, int] | None:
    """Of an NVIDIA device; None for others."""
    if device.kind != "cuda" or torch.version.hip is not None:
        return None
    return torch.cuda.get_device_capability(device.name)


def _refusal(device: Device, dtype: str) -> str | None:
    """Why a precision makes no sense on a device, as far as that is known without trying."""
    capability = _capability(device)
    if dtype == "tf32" and (capability is None or capability < _TF32_CAPABILITY):
        return "TF32 is a mode of NVIDIA devices from Ampere on"
    if dtype in ("bf16", "amp-bf16") and capability is not None and capability < _BF16_CAPABILITY:
        return "its hardware has no bf16, and torch would emulate it"
    if dtype == "int8":
        from archbench.models.quantizing import refusal

        return refusal(device)
    return None


def check_dtype(device: Device, dtype: str) -> None:
    """Refuse a precision in which the device cannot run the operators of a small network.

    Raises:
        UsageError: with the reason, torch's own where it is torch that refuses.
    """
    if dtype == "fp32":
        return
    todo = "Use --dtype=fp32" + (" or fp16" if dtype == "bf16" and device.kind == "cuda" else "")
    reason = _refusal(device, dtype)
    if reason is not None:
        raise UsageError(f"--dtype={dtype}", f"{device} does not run it: {reason}", todo)
    if dtype == "int8":
        return
    kind = TORCH_DTYPES[dtype]
    try:
        probe = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(8 * 7 * 7, 8), nn.LayerNorm(8), nn.GELU(), nn.Softmax(-1),
        )  # fmt: skip
        probe = probe.to(device.name, kind).eval()
        with torch.inference_mode(), numerics(dtype, device.kind):
            output = probe(torch.ones((1, 3, 16, 16), device=device.name, dtype=kind))
        if not bool(torch.isfinite(output).all()):
            raise RuntimeError("a small network returned values that are not finite")
    except (RuntimeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"--dtype={dtype}", f"{device} cannot run a small network in it: {reason}", todo
        ) from error
