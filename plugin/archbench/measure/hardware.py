"""What torch can run on here, and what it cannot do there."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Protocol

import torch

from archbench.core.errors import AbsentError, UsageError
from archbench.core.spec import Target, Wish
from archbench.devices.choosing import Device, choose, choose_all, cpu_name
from archbench.devices.nvml import Nvml, Process, own_family
from archbench.measure.precision import check_dtype
from archbench.measure.runtimes import refuse_runtime

__all__ = [
    "Accelerators",
    "Sharing",
    "TorchAccelerators",
    "absence",
    "check_torchvision",
    "check_wish",
    "foreign_processes",
    "list_devices",
    "make_target",
    "refuse_shared",
    "synchronizer",
]


class Accelerators(Protocol):
    """The accelerators of a machine, as a framework sees them."""

    def kind(self) -> str | None:
        """``cuda``, ``mps``, ``xpu``; None where there is none."""

    def count(self) -> int:
        """How many there are."""

    def name(self, index: int) -> str:
        """The maker's name of one."""

    def uuid(self, index: int) -> str | None:
        """Its UUID without prefix; None where it has none."""


class TorchAccelerators:
    """Through torch: NVIDIA and ROCm devices are ``cuda``, Apple's ``mps``, Intel's ``xpu``.

    torch honours ``CUDA_VISIBLE_DEVICES``, and a MIG instance in it is a device of its own.
    """

    def kind(self) -> str | None:
        """See :class:`Accelerators`."""
        with warnings.catch_warnings():
            # A driver that cannot be used is told by `absence`.
            warnings.simplefilter("ignore")
            if not torch.accelerator.is_available():
                return None
            current = torch.accelerator.current_accelerator()
        return None if current is None else current.type

    def count(self) -> int:
        """See :class:`Accelerators`."""
        return torch.accelerator.device_count()

    def name(self, index: int) -> str:
        """See :class:`Accelerators`."""
        kind = self.kind()
        if kind == "cuda":
            return torch.cuda.get_device_name(index)
        if kind == "xpu":
            return torch.xpu.get_device_name(index)
        # An Apple processor and its GPU have one name.
        return cpu_name() if kind == "mps" else f"{kind} device {index}"

    def uuid(self, index: int) -> str | None:
        """See :class:`Accelerators`."""
        kind = self.kind()
        if kind not in ("cuda", "xpu"):
            return None
        found = getattr(getattr(torch, kind).get_device_properties(index), "uuid", None)
        return None if found is None else str(found)


def list_devices(accelerators: Accelerators | None = None) -> list[Device]:
    """The accelerators that torch sees, in torch's order, and the CPU at the end.

    Args:
        accelerators: where they come from; torch's own by default.

    Raises:
        UsageError: the driver lists a device that cannot be used.
    """
    found = accelerators or TorchAccelerators()
    kind = found.kind()
    devices: list[Device] = []
    if kind is not None:
        try:
            devices = [
                Device(f"{kind}:{index}", found.name(index), found.uuid(index))
                for index in range(found.count())
            ]
        except (RuntimeError, AssertionError) as error:
            raise UsageError(
                f"the {kind} devices of this machine",
                f"their driver cannot use them: {_first_line(error)}",
                "Look at what `nvidia-smi` says, restart the driver, or use --gpu=cpu with "
                "CUDA_VISIBLE_DEVICES=",
            ) from error
    return [*devices, Device("cpu", cpu_name())]


def absence(load: Callable[[str], ModuleType] = importlib.import_module) -> str:
    """Why torch sees no accelerator.

    Args:
        load: imports a module by name.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES", "x").strip() in ("", "-1"):
        return "CUDA_VISIBLE_DEVICES hides every device"
    has_cuda = torch.version.cuda is not None
    if not has_cuda and torch.version.hip is None and platform.system() == "Linux":
        return f"torch {torch.__version__} is built without CUDA and ROCm"
    try:
        names = Nvml.open(load).names()
    except AbsentError as error:
        return f"no accelerator is visible to torch, and {error}"
    if not names:
        return "no accelerator is visible to torch, and the NVIDIA driver has none"
    seen = f"the NVIDIA driver has {', '.join(names)}, which torch cannot use"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        return f"{seen}: {_first_line(error)}"
    return seen


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


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


_check_dtype = cache(check_dtype)


@cache
def _refuse_unusable(device: Device) -> None:
    """Refuse a device that the driver lists and nothing can be put on."""
    try:
        torch.ones(1, device=device.name).add_(1).cpu()
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"--gpu={device.name}",
            f"nothing can be put on {device}: {_first_line(error)}",
            "Look at what `nvidia-smi` says about it, or use --gpu=cpu",
        ) from error


def make_target(
    gpu: str,
    dtype: str = "fp32",
    threads: int = 1,
    batch_size: int | None = 1,
    *,
    wish: Wish | None = None,
    worker: int = 0,
    devices: Sequence[Device] | None = None,
) -> Target:
    """Resolve a request to a target on this machine.

    Args:
        gpu: the device as asked for; several with commas where the wish names one of them.
        dtype, threads, batch_size: of the target.
        wish: everything that was asked for, in place of the three.
        worker: number of the process among those that measure side by side.
        devices: what there is to choose from; this machine's by default.

    Raises:
        UsageError: no such device, it cannot run this precision or runtime, or more threads than
            cores.
    """
    wish = wish or Wish(dtype, batch_size, threads)
    there = list_devices() if devices is None else list(devices)
    remark = "" if len(there) > 1 else absence()
    if "," in gpu:
        choose_all(gpu, there, remark=remark)
    device = choose(wish.asked or gpu, there, worker=worker, remark=remark)
    cores = os.cpu_count() or 1
    if wish.threads > cores:
        raise UsageError(
            f"--threads={wish.threads}",
            f"this machine has {cores} cores, and threads that share one only wait for each other",
            f"Use --threads={cores} or fewer",
        )
    if device.kind != "cpu":
        _refuse_unusable(device)
    check_wish(device, wish)
    return Target(
        device=device.name,
        device_name=device.vendor_name,
        slug=device.slug,
        dtype=wish.dtype,
        batch_size=wish.batch_size or 1,
        threads=wish.threads,
        memory_format=wish.memory_format,
        runtime=wish.runtime,
        cold_cache=wish.cold_cache,
        largest_batch=wish.batch_size is None,
        asked=wish.asked,
        uuid=device.uuid,
    )


def check_wish(device: Device, wish: Wish) -> None:
    """Refuse what a device cannot run, before anything is measured.

    Raises:
        UsageError: it lacks the precision or the runtime; has the reason.
    """
    _check_dtype(device, wish.dtype)
    refuse_runtime(device, wish)


@dataclass(frozen=True, slots=True)
class Sharing:
    """Who else uses the devices of a run.

    Attributes:
        others: for each device that others use, which processes, for people.
        unknown: for each device of which that cannot be told, why.
    """

    others: dict[str, str]
    unknown: dict[str, str]

    def as_dict(self) -> dict[str, dict[str, str]]:
        """Builtin types only."""
        return {"others": self.others, "unknown": self.unknown}


def foreign_processes(device: Device, nvml: Nvml) -> list[Process]:
    """Processes of others that use a device.

    To be asked before this run puts anything on the device: inside a container NVML may give our
    own process a number that is not ours.
    """
    if device.uuid is None:
        return []
    ours = own_family()
    return [one for one in nvml.processes(device.uuid) if one.pid not in ours]


def refuse_shared(
    gpu: str,
    *,
    shared_ok: bool,
    devices: Sequence[Device] | None = None,
    open_nvml: Callable[[], Nvml] = Nvml.open,
) -> Sharing:
    """Who else uses the devices that are asked for.

    Args:
        gpu: the request.
        shared_ok: whether to go on all the same.
        devices: what there is to choose from; this machine's by default.
        open_nvml: gives NVML.

    Raises:
        UsageError: others use one of them and ``shared_ok`` is false.
    """
    there = list_devices() if devices is None else list(devices)
    others: dict[str, str] = {}
    unknown: dict[str, str] = {}
    for device in choose_all(gpu, there) if len(there) > 1 else ():
        if device.kind == "cpu":
            continue
        try:
            if device.kind != "cuda" or torch.version.hip is not None:
                raise AbsentError(f"nothing here lists the processes on {device}")
            found = foreign_processes(device, open_nvml())
        except AbsentError as error:
            unknown[device.name] = str(error)
            continue
        text = ", ".join(map(str, found))
        if found and not shared_ok:
            raise UsageError(
                f"--gpu={gpu}",
                f"{device} is in use by {text}",
                "Wait for it, choose another device, or measure all the same with --shared-ok: "
                "the results then say that the device was shared",
            )
        if found:
            others[device.name] = text
    return Sharing(others, unknown)


def synchronizer(target: Target) -> Callable[[], object] | None:
    """What waits until the device has done all its work; None where nothing runs behind."""
    if target.kind == "cpu":
        return None
    if target.kind == "cuda":
        return lambda: torch.cuda.synchronize(target.device)
    return lambda: torch.accelerator.synchronize(torch.device(target.device))
