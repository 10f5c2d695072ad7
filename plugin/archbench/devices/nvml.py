"""What NVIDIA's management library says about a device: who uses it, its clocks, its energy.

Everything here is read. Nothing is set: clocks, power limits and modes stay as they are, and no
call needs privileges.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import psutil

from archbench.core.errors import AbsentError
from archbench.core.telemetry import CAPPED, TelemetrySample

_REASONS = {
    0x04: CAPPED,
    0x08: "hardware-slowdown",
    0x20: "thermal-slowdown",
    0x40: "hardware-thermal-slowdown",
    0x80: "power-brake",
}
"""Bits of nvmlDeviceGetCurrentClocksEventReasons that lower the clock (nvml.h,
nvmlClocksEventReasons). Idle, application clocks, sync boost and display clocks are no
throttling."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process that uses a device.

    Attributes:
        pid: as the driver has it; inside a container it may be a number of the host.
        memory: bytes of the device's memory; None where the driver does not say.
    """

    pid: int
    memory: int | None

    def __str__(self) -> str:
        held = "" if self.memory is None else f", {self.memory / 1e6:,.0f} MB"
        return f"process {self.pid}{held}"


class Nvml:
    """NVML, opened.

    Args:
        library: the module ``pynvml`` or one with the same functions.

    Raises:
        AbsentError: it cannot be used here; says why.
    """

    name = "NVML"

    def __init__(self, library: Any) -> None:
        self._library = library
        try:
            library.nvmlInit()
        except library.NVMLError as error:
            raise AbsentError(_absence(library, error)) from error

    @classmethod
    def open(cls, load: Callable[[str], Any] = importlib.import_module) -> Nvml:
        """NVML of this machine.

        Args:
            load: imports a module by name.

        Raises:
            AbsentError: there is none, or one that the driver does not go with.
        """
        try:
            library = load("pynvml")
        except ImportError as error:
            raise AbsentError(
                "NVML cannot be read: the package nvidia-ml-py is not installed"
            ) from error
        return cls(library)

    def _ask(self, what: str, function: str, *arguments: Any) -> Any:
        """Call one function; its refusal is an :class:`AbsentError`."""
        try:
            return getattr(self._library, function)(*arguments)
        except AttributeError as error:
            raise AbsentError(f"this version of nvidia-ml-py cannot read {what}") from error
        except self._library.NVMLError as error:
            raise AbsentError(f"NVML does not report {what} ({error})") from error

    def driver_version(self) -> str:
        """Of the driver."""
        version = self._ask("the driver's version", "nvmlSystemGetDriverVersion")
        return version.decode() if isinstance(version, bytes) else str(version)

    def names(self) -> list[str]:
        """What NVML calls the devices of the machine, whether a process may see them or not."""
        number = self._ask("the devices", "nvmlDeviceGetCount")
        found = []
        for index in range(number):
            handle = self._ask("a device", "nvmlDeviceGetHandleByIndex", index)
            name = self._ask("a device's name", "nvmlDeviceGetName", handle)
            found.append(name.decode() if isinstance(name, bytes) else str(name))
        return found

    def handle(self, uuid: str) -> Any:
        """The handle of a device or of a MIG instance.

        Devices go by UUID: torch's numbers count what ``CUDA_VISIBLE_DEVICES`` leaves, in an order
        of its own, NVML's count all.

        Args:
            uuid: with or without its prefix.
        """
        if uuid.startswith(("GPU-", "MIG-")):
            return self._by_uuid(uuid)
        try:
            return self._by_uuid(f"GPU-{uuid}")
        except AbsentError:
            return self._by_uuid(f"MIG-{uuid}")

    def _by_uuid(self, uuid: str) -> Any:
        return self._ask(f"the device {uuid}", "nvmlDeviceGetHandleByUUID", uuid)

    def _whole(self, handle: Any) -> Any:
        """The device that a MIG instance is a part of; the device itself else."""
        try:
            return self._ask(
                "its whole device", "nvmlDeviceGetDeviceHandleFromMigDeviceHandle", handle
            )
        except AbsentError:
            return handle

    def processes(self, uuid: str) -> list[Process]:
        """Processes with a compute context on a device."""
        listed = self._ask(
            "the processes on it", "nvmlDeviceGetComputeRunningProcesses", self.handle(uuid)
        )
        return [Process(int(one.pid), getattr(one, "usedGpuMemory", None)) for one in listed]

    def compute_mode(self, uuid: str) -> int:
        """nvmlComputeMode_t of a device."""
        handle = self._whole(self.handle(uuid))
        return int(self._ask("its compute mode", "nvmlDeviceGetComputeMode", handle))

    def memory_used(self, uuid: str) -> int:
        """Bytes of a device's memory that are in use, by everybody and for everything."""
        memory = self._ask("its memory", "nvmlDeviceGetMemoryInfo", self.handle(uuid))
        return int(memory.used)

    def read(self, uuid: str) -> TelemetrySample:
        """The state of a device now."""
        library = self._library
        handle = self._whole(self.handle(uuid))

        def number(what: str, scale: float, function: str, *arguments: Any) -> float | None:
            try:
                return float(self._ask(what, function, handle, *arguments)) * scale
            except AbsentError:
                return None

        graphics = getattr(library, "NVML_CLOCK_GRAPHICS", 0)
        sm = getattr(library, "NVML_CLOCK_SM", 1)
        die = getattr(library, "NVML_TEMPERATURE_GPU", 0)
        default = number(
            "its default clock", 1e6, "nvmlDeviceGetDefaultApplicationsClock", graphics
        )
        if default is None:
            default = number("its highest clock", 1e6, "nvmlDeviceGetMaxClockInfo", sm)
        return TelemetrySample(
            clock=number("its clock", 1e6, "nvmlDeviceGetClockInfo", sm),
            temperature=number("its temperature", 1.0, "nvmlDeviceGetTemperature", die),
            power=number("its power", 1e-3, "nvmlDeviceGetPowerUsage"),
            throttle=self._throttle(handle),
            default_clock=default,
        )

    def _throttle(self, handle: Any) -> tuple[str, ...]:
        for function in (
            "nvmlDeviceGetCurrentClocksEventReasons",
            "nvmlDeviceGetCurrentClocksThrottleReasons",  # its name before driver 535
        ):
            try:
                bits = int(self._ask("why it throttles", function, handle))
            except AbsentError:
                continue
            return tuple(reason for bit, reason in _REASONS.items() if bits & bit)
        return ()

    def energy(self, uuid: str) -> float:
        """Joules that a device has used since its driver was loaded, in steps of a millijoule.

        Raises:
            AbsentError: it is older than Volta, or a MIG instance, which shares the counter.
        """
        handle = self.handle(uuid)
        if self._whole(handle) is not handle:
            raise AbsentError("a MIG instance has no energy counter of its own")
        return float(self._ask("its energy", "nvmlDeviceGetTotalEnergyConsumption", handle)) / 1e3


def _absence(library: Any, error: Exception) -> str:
    """Why NVML cannot be opened, in words that say what to do."""
    known = {
        "NVMLError_LibraryNotFound": "no NVIDIA driver is installed",
        "NVMLError_DriverNotLoaded": "the NVIDIA driver is not loaded",
        "NVMLError_LibRmVersionMismatch": "NVML is of another version than the loaded driver, as "
        "after an update without a restart; restart the machine",
        "NVMLError_NoPermission": "this user may not talk to the driver",
    }
    for name, reason in known.items():
        kind = getattr(library, name, None)
        if kind is not None and isinstance(error, kind):
            return f"NVML cannot be read: {reason}"
    return f"NVML cannot be read: {error}"


def own_family(pid: int | None = None) -> set[int]:
    """Process ids of this run: the process, what started it and what it has started."""
    me = psutil.Process(pid or os.getpid())
    family: Iterable[psutil.Process] = [me, *me.parents(), *me.children(recursive=True)]
    return {process.pid for process in family}
