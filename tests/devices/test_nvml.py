"""NVML against a library that answers from a script."""

from __future__ import annotations

import os
from types import ModuleType, SimpleNamespace
from typing import Any

import psutil
import pytest

from archbench.core.errors import AbsentError
from archbench.core.telemetry import TelemetrySample
from archbench.devices.nvml import Nvml, Process, own_family

UUID = "8932f937-d72c-4106-c12f-20bd9faed9f6"


class Library:
    """Answers as pynvml does; ``answers`` replaces or removes functions."""

    NVML_CLOCK_SM = 1
    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        pass

    class NVMLError_NotSupported(NVMLError):
        pass

    class NVMLError_NotFound(NVMLError):
        pass

    class NVMLError_LibraryNotFound(NVMLError):
        pass

    class NVMLError_DriverNotLoaded(NVMLError):
        pass

    class NVMLError_LibRmVersionMismatch(NVMLError):
        pass

    def __init__(self, **answers: Any) -> None:
        self.known = {f"GPU-{UUID}": "device"}
        self.__dict__.update(answers)

    def nvmlInit(self) -> None:
        pass

    def nvmlSystemGetDriverVersion(self) -> bytes:
        return b"570.86.15"

    def nvmlDeviceGetCount(self) -> int:
        return 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return "device"

    def nvmlDeviceGetName(self, handle: str) -> bytes:
        return b"Tesla T4"

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid not in self.known:
            raise self.NVMLError_NotFound(f"no {uuid}")
        return self.known[uuid]

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, handle: str) -> str:
        if handle != "slice":
            raise self.NVMLError("Invalid Argument")
        return "device"

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(pid=os.getpid(), usedGpuMemory=10**6),
            SimpleNamespace(pid=4_000_001, usedGpuMemory=5_200 * 10**6),
            SimpleNamespace(pid=4_000_002, usedGpuMemory=None),
        ]

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> SimpleNamespace:
        return SimpleNamespace(used=123)

    def nvmlDeviceGetClockInfo(self, handle: str, kind: int) -> int:
        assert (handle, kind) == ("device", self.NVML_CLOCK_SM)
        return 1590

    def nvmlDeviceGetTemperature(self, handle: str, kind: int) -> int:
        return 61

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:
        return 68_500

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: str) -> int:
        return 0x01 | 0x04 | 0x20  # idle is no throttling

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        return 123_456


def refuse(library: type[Library], kind: str) -> Any:
    def function(*_: object) -> None:
        raise getattr(library, kind)("told by the driver")

    return function


def test_a_reading_is_in_si() -> None:
    assert Nvml(Library()).read(UUID) == TelemetrySample(
        clock=1.59e9, temperature=61.0, power=68.5, throttle=("power-cap", "thermal-slowdown")
    )


def test_the_clock_that_applications_get_by_default_else_the_highest() -> None:
    def default(handle: str, kind: int) -> int:
        assert kind == 0  # of graphics, which is that of the multiprocessors
        return 585

    def highest(handle: str, kind: int) -> int:
        assert kind == 1
        return 1590

    both = Library(nvmlDeviceGetDefaultApplicationsClock=default, nvmlDeviceGetMaxClockInfo=highest)
    assert Nvml(both).read(UUID).default_clock == 585e6
    geforce = Library(
        nvmlDeviceGetDefaultApplicationsClock=refuse(Library, "NVMLError_NotSupported"),
        nvmlDeviceGetMaxClockInfo=highest,
    )
    assert Nvml(geforce).read(UUID).default_clock == 1590e6
    assert Nvml(Library()).read(UUID).default_clock is None


def test_what_a_device_does_not_tell_is_none() -> None:
    def old(handle: str) -> int:
        return 0x08

    library = Library(
        nvmlDeviceGetPowerUsage=refuse(Library, "NVMLError_NotSupported"),
        nvmlDeviceGetCurrentClocksEventReasons=refuse(Library, "NVMLError_NotSupported"),
        nvmlDeviceGetCurrentClocksThrottleReasons=old,
    )
    assert Nvml(library).read(UUID) == TelemetrySample(1.59e9, 61.0, None, ("hardware-slowdown",))


def test_a_mig_instance_has_the_clock_of_its_device_and_no_energy() -> None:
    library = Library(known={f"MIG-{UUID}": "slice"})
    nvml = Nvml(library)
    assert nvml.read(UUID).clock == 1.59e9
    with pytest.raises(AbsentError, match="a MIG instance has no energy counter of its own"):
        nvml.energy(UUID)


def test_energy_and_memory() -> None:
    nvml = Nvml(Library())
    assert nvml.energy(UUID) == 123.456
    assert nvml.memory_used(f"GPU-{UUID}") == 123
    assert nvml.driver_version() == "570.86.15"
    assert nvml.names() == ["Tesla T4"]


def test_processes() -> None:
    found = Nvml(Library()).processes(UUID)
    assert found[1:] == [Process(4_000_001, 5_200 * 10**6), Process(4_000_002, None)]
    assert [str(one) for one in found[1:]] == [
        "process 4000001, 5,200 MB",
        "process 4000002",
    ]


def test_a_device_that_nvml_does_not_know() -> None:
    with pytest.raises(AbsentError, match=r"does not report the device MIG-0000 \(no MIG-0000\)"):
        Nvml(Library()).handle("0000")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("NVMLError_LibraryNotFound", "no NVIDIA driver is installed"),
        ("NVMLError_DriverNotLoaded", "the NVIDIA driver is not loaded"),
        (
            "NVMLError_LibRmVersionMismatch",
            "NVML is of another version than the loaded driver, as after an update without a "
            "restart; restart the machine",
        ),
        ("NVMLError", "told by the driver"),
    ],
)
def test_why_nvml_cannot_be_read(kind: str, reason: str) -> None:
    with pytest.raises(AbsentError) as caught:
        Nvml(Library(nvmlInit=refuse(Library, kind)))
    assert str(caught.value) == f"NVML cannot be read: {reason}"


def test_nvml_missing() -> None:
    def load(name: str) -> ModuleType:
        raise ModuleNotFoundError(f"No module named {name!r}")

    with pytest.raises(AbsentError, match="the package nvidia-ml-py is not installed"):
        Nvml.open(load)


def test_an_older_nvml_lacks_a_function() -> None:
    library = SimpleNamespace(nvmlInit=lambda: None, NVMLError=Library.NVMLError)
    with pytest.raises(AbsentError, match="this version of nvidia-ml-py cannot read the driver's"):
        Nvml(library).driver_version()


def test_the_family_of_a_process() -> None:
    family = own_family()
    assert {os.getpid(), psutil.Process().ppid()} <= family
