"""Precisions: what a device can run."""

from __future__ import annotations

import torch
from torch import nn

from archbench.core.errors import UsageError, first_line
from archbench.devices.choosing import Device
from archbench.devices.kinds import backend_of
from archbench.models import quantizing
from archbench.models.loading import TORCH_DTYPES
from archbench.models.numerics import numerics


def check_dtype(device: Device, dtype: str) -> None:
    """Refuse a precision in which the device cannot run the operators of a small network.

    Raises:
        UsageError: with the reason, torch's own where it is torch that refuses.
    """
    if dtype == "fp32":
        return
    backend = backend_of(device.name)
    todo = "Use --dtype=fp32" + (backend.precision_remedy if dtype == "bf16" else "")
    reason = backend.refuse_dtype(dtype)
    if reason is None and dtype == "int8":
        reason = quantizing.refusal()
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
        probe = probe.to(backend.place, kind).eval()
        with (
            backend.current(),
            torch.inference_mode(),
            numerics(dtype, backend.place),
        ):
            output = probe(torch.ones((1, 3, 16, 16), device=backend.place, dtype=kind))
        if not bool(torch.isfinite(output).all()):
            raise RuntimeError("a small network returned values that are not finite")
    except (RuntimeError, NotImplementedError) as error:
        raise UsageError(
            f"--dtype={dtype}",
            f"{device} cannot run a small network in it: {first_line(error)}",
            todo,
        ) from error
