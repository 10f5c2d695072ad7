"""What torch can run on here, and what it cannot do there."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Callable
from types import ModuleType

import torch
from torch import nn

from archbench.core.errors import UsageError
from archbench.core.spec import Target
from archbench.devices.choosing import Device, choose, cpu_name
from archbench.measure.loading import TORCH_DTYPES

__all__ = ["check_dtype", "check_torchvision", "list_devices", "make_target", "synchronizer"]


def list_devices() -> list[Device]:
    """The accelerators that torch sees, in torch's order, and the CPU at the end."""
    devices = []
    if torch.cuda.is_available():
        devices = [
            Device(f"cuda:{index}", torch.cuda.get_device_name(index))
            for index in range(torch.cuda.device_count())
        ]
    return [*devices, Device("cpu", cpu_name())]


def check_torchvision(
    load: Callable[[str], ModuleType] = importlib.import_module,
) -> None:
    """Refuse a torchvision that was built for another torch.

    timm and torchvision share the fate: both import torchvision's compiled operators.

    Args:
        load: imports a module by name.

    Raises:
        UsageError: says which versions met and how to mend it.
    """
    if importlib.util.find_spec("torchvision") is None:
        return
    try:
        load("torchvision")
    except (RuntimeError, ImportError, OSError) as error:
        torch_version = torch.__version__
        vision_version = importlib.metadata.version("torchvision")
        raise UsageError(
            f"torch {torch_version} with torchvision {vision_version}",
            f"torchvision cannot be imported ({error}); its compiled operators were built for "
            "another torch, as when a CPU-only torch meets a torchvision from the default registry",
            "Install a pair from one place, in a fresh environment: "
            "python -m pip install --force-reinstall torch torchvision",
        ) from error


def check_dtype(device: Device, dtype: str) -> None:
    """Refuse a precision in which the device cannot run the operators of a small network.

    Raises:
        UsageError: with torch's own reason.
    """
    kind = TORCH_DTYPES[dtype]
    try:
        probe = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(8 * 7 * 7, 8), nn.LayerNorm(8), nn.GELU(), nn.Softmax(-1),
        )  # fmt: skip
        probe = probe.to(device.name, kind).eval()
        with torch.inference_mode():
            output = probe(torch.ones((1, 3, 16, 16), device=device.name, dtype=kind))
        if not bool(torch.isfinite(output).all()):
            raise RuntimeError("a small network returned values that are not finite")
    except (RuntimeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"--dtype={dtype}",
            f"{device} cannot run a small network in it: {reason}",
            "Use --dtype=fp32",
        ) from error


def make_target(gpu: str, dtype: str, threads: int, batch_size: int) -> Target:
    """Resolve a request to a target on this machine.

    Raises:
        UsageError: no such device, it cannot run this precision, or more threads than cores.
    """
    device = choose(gpu, list_devices())
    cores = os.cpu_count() or 1
    if threads > cores:
        raise UsageError(
            f"--threads={threads}",
            f"this machine has {cores} cores, and threads that share one only wait for each other",
            f"Use --threads={cores} or fewer",
        )
    if dtype != "fp32":
        check_dtype(device, dtype)
    return Target(
        device=device.name,
        device_name=device.vendor_name,
        slug=device.slug,
        dtype=dtype,
        batch_size=batch_size,
        threads=threads,
    )


def synchronizer(target: Target) -> Callable[[], object] | None:
    """What waits until the device has done all its work; None where nothing runs behind."""
    if target.kind == "cuda":
        return lambda: torch.cuda.synchronize(target.device)
    return None
