"""What torch can run on here, and what it cannot do there."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cache
from types import ModuleType

import torch

from archbench.core.errors import AbsentError, UsageError, first_line
from archbench.core.headers import Sharing
from archbench.core.run_config import RunConfig
from archbench.core.spec import Target
from archbench.devices.backend import Backend
from archbench.devices.choosing import Device, choose_device, choose_devices, split_request
from archbench.devices.kinds import backend_of, kinds
from archbench.devices.nvml import own_family
from archbench.measure.precision import check_dtype
from archbench.runtimes.own import runtime_named


def list_devices() -> list[Device]:
    """The accelerators of this machine, in the order of their kinds, and the CPU at the end.

    Raises:
        UsageError: a driver lists a device that cannot be used.
    """
    devices: list[Device] = []
    for kind in kinds():
        devices += _found(kind)
    return devices


def _found(kind: type[Backend]) -> list[Device]:
    try:
        with warnings.catch_warnings():
            # A driver that cannot be used is reported by `absence`.
            warnings.simplefilter("ignore")
            return kind.found()
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"the {kind.kind} devices of this machine",
            f"their driver cannot use them: {first_line(error)}",
            f"{kind.trouble_remedy}, restart the driver, or use --gpu=cpu with "
            "CUDA_VISIBLE_DEVICES=",
        ) from error


def absence() -> str:
    """Why there is no accelerator."""
    reasons = (kind.absence() for kind in kinds())
    return next(filter(None, reasons), "no accelerator is visible to torch")


def _hidden() -> str:
    """Why there may be more accelerators than are seen; empty where nothing hides any."""
    return "; ".join(filter(None, (kind.hidden() for kind in kinds())))


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


_check_dtype = cache(check_dtype)


@cache
def _refuse_unusable(device: Device) -> None:
    """Refuse a device that the driver lists and nothing can be put on."""
    backend = backend_of(device.name, device.uuid)
    try:
        reason = backend.unusable()
        if reason is None:
            with backend.current():
                torch.ones(1, device=backend.place).add_(1).cpu()
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"--gpu={device.name}",
            f"nothing can be put on {device}: {first_line(error)}",
            f"{backend.trouble_remedy}, or use --gpu=cpu",
        ) from error
    if reason is not None:
        found, todo = reason
        raise UsageError(f"--gpu={device.name}", f"nothing can run on {device}: {found}", todo)


@cache
def _refuse_apart(device: Device, dtype: str) -> None:
    """The same, and whether it runs a precision, found out by a process that lets go of the device
    when it ends: one that keeps it would keep it from those that measure."""
    given = [device.name, device.vendor_name, device.uuid or "", dtype]
    kind = type(backend_of(device.name)).__module__
    command = [sys.executable, "-c", _PROBE, *given, kind]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise UsageError(
            f"--gpu={device.name}",
            f"the process that tries {device} ended with status {done.returncode}: {said}",
            f"{backend_of(device.name).trouble_remedy}, or use --gpu=cpu",
        )
    refused = json.loads(lines[-1])
    if refused:
        raise UsageError(*refused)


_PROBE = "import sys; from archbench.measure.hardware import probe; probe(*sys.argv[1:])"


def probe(name: str, vendor_name: str, uuid: str, dtype: str, kind: str) -> None:
    """Write why a device does not run a precision as the last line, in JSON: the three parts of a
    :class:`UsageError`, or null where it does.

    Args:
        name, vendor_name, uuid: of the device.
        dtype: the precision.
        kind: the module that defines its kind.
    """
    importlib.import_module(kind)
    device = Device(name, vendor_name, uuid or None)
    refused = None
    try:
        _refuse_unusable(device)
        check_dtype(device, dtype)
    except UsageError as error:
        refused = (error.asked, error.found, error.todo)
    sys.stdout.write(f"{json.dumps(refused)}\n")


def make_target(
    gpu: str,
    dtype: str = "fp32",
    threads: int = 1,
    batch_size: int | None = 1,
    *,
    config: RunConfig | None = None,
    worker: int = 0,
    devices: Sequence[Device] | None = None,
    measures: bool = True,
) -> Target:
    """Resolve a request to a target on this machine.

    Args:
        gpu: the device as asked for; several with commas where the config names one of them.
        dtype, threads, batch_size: of the target.
        config: everything that was asked for, in place of the three.
        worker: number of the process among those that measure side by side.
        devices: what there is to choose from; this machine's by default.
        measures: whether this process is to measure there itself; where others are, it keeps away
            from a device that one process at a time can use.

    Raises:
        UsageError: no such device, it cannot run this precision or runtime, or more threads than
            cores.
    """
    config = config or RunConfig(
        dtype=dtype, batch_size=batch_size, threads=threads, largest_batch=batch_size is None
    )
    there = list_devices() if devices is None else list(devices)
    remark = _hidden() if len(there) > 1 else absence()
    if "," in gpu:
        choose_devices(gpu, there, remark=remark)
    device = choose_device(config.asked or gpu, there, worker=worker, remark=remark)
    _refuse_threads(config.threads)
    _refuse_device(device, config, measures=measures)
    given = {one.name: getattr(config, one.name) for one in fields(config)}
    return Target(
        device=device.name,
        device_name=device.vendor_name,
        slug=device.slug,
        uuid=device.uuid,
        **{**given, "batch_size": config.batch_size or 1},
    )


def _refuse_threads(threads: int) -> None:
    cores = os.cpu_count() or 1
    if threads > cores:
        raise UsageError(
            f"--threads={threads}",
            f"this machine has {cores} cores, and threads that share one only wait for each other",
            f"Use --threads={cores} or fewer",
        )


def _refuse_device(device: Device, config: RunConfig, *, measures: bool) -> None:
    """A device that cannot run a configuration, found out there only where one may."""
    backend = backend_of(device.name, device.uuid)
    if not measures and backend.is_exclusive():
        _refuse_apart(device, config.dtype)
        _check_runtime(device, config)
        return
    if not backend.is_host:
        _refuse_unusable(device)
    check_config(device, config)


def check_config(device: Device, config: RunConfig) -> None:
    """Refuse what a device cannot run, before anything is measured.

    Raises:
        UsageError: it lacks the precision or the runtime; has the reason.
    """
    if config.dtype != "int8" or not runtime_named(config.runtime).is_engine:
        _check_dtype(device, config.dtype)
    _check_runtime(device, config)


def _check_runtime(device: Device, config: RunConfig) -> None:
    refusal = runtime_named(config.runtime).refuse(device, backend_of(device.name), config)
    if refusal is not None:
        beside = f" with {refusal.beside}" if refusal.beside else ""
        raise UsageError(f"--runtime={config.runtime}{beside}", refusal.found, refusal.todo)


def _used(gpu: str, there: Sequence[Device], workers: int) -> list[Device]:
    """The devices of a request, with those of further workers."""
    if len(there) < 2:
        return []
    chosen = choose_devices(gpu, there)
    parts = split_request(gpu) if workers > 1 else []
    further = [
        choose_device(one, there, worker=number) for number in range(1, workers) for one in parts
    ]
    return list(dict.fromkeys([*chosen, *further]))


def refuse_shared(
    gpu: str,
    *,
    shared_ok: bool,
    devices: Sequence[Device] | None = None,
    workers: int = 1,
) -> Sharing:
    """Who else uses the devices that are asked for.

    To be asked before this run puts anything on them: inside a container NVML may give our own
    process a number that is not ours.

    Args:
        gpu: the request.
        shared_ok: whether to go on all the same.
        devices: what there is to choose from; this machine's by default.
        workers: that measure side by side, each on another device as far as there are some.

    Raises:
        UsageError: others use one of them and ``shared_ok`` is false.
    """
    there = list_devices() if devices is None else list(devices)
    others: dict[str, str] = {}
    unknown: dict[str, str] = {}
    ours = own_family()
    used = {device: backend_of(device.name, device.uuid) for device in _used(gpu, there, workers)}
    accelerators = {device: one for device, one in used.items() if not one.is_host}
    for device, backend in accelerators.items():
        try:
            found = [one for one in backend.processes() if one.pid not in ours]
        except AbsentError as error:
            unknown[device.name] = str(error)
            continue
        if found:
            others[device.name] = ", ".join(map(str, found))
        if found and not shared_ok:
            raise UsageError(
                f"--gpu={gpu}",
                f"{device} is in use by {others[device.name]}",
                "Wait for it, choose another device, or measure all the same with --shared-ok: "
                "the results then say that the device was shared",
            )
    return Sharing(others, unknown, _turns(workers, [device.name for device in accelerators]))


def _turns(workers: int, devices: Sequence[str]) -> str:
    """What is to be said where workers are more than the accelerators that they measure on."""
    if not 0 < len(devices) < workers:
        return ""
    what = f"device, {devices[0]}" if len(devices) == 1 else f"devices, {', '.join(devices)}"
    return (
        f"{workers} workers share {len(devices)} {what}: one at a time measures on a device, and "
        f"the others wait for it. -n {len(devices)} takes as long, unless they count as well"
    )
