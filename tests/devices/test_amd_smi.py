"""AMD SMI, over a library with the functions, parameters and answers of amdsmi 7.0.2."""

from __future__ import annotations

import os
from enum import IntEnum
from types import ModuleType
from typing import Any

import pytest
import torch

from archbench.core.errors import AbsentError
from archbench.core.telemetry import TelemetrySample
from archbench.devices.amd_smi import AmdSmi
from archbench.devices.cuda import Cuda
from archbench.devices.nvml import Process
from archbench.measure.instruments import Instruments

UUID = "GPU-664b52e347835994"
"""As HIP has it. torch takes the digits themselves for the 16 bytes of a UUID:"""

OF_TORCH = "36363462-3532-6533-3437-383335393934"


class Library:
    """An Instinct MI300X behind another device, in the answers of the real package."""

    class AmdSmiException(Exception):
        pass

    class AmdSmiClkType(IntEnum):
        SYS = 0
        GFX = 1

    class AmdSmiTemperatureType(IntEnum):
        EDGE = 0
        JUNCTION = 1

    class AmdSmiTemperatureMetric(IntEnum):
        CURRENT = 0

    def __init__(self, **answers: Any) -> None:
        self.__dict__.update(answers)

    def amdsmi_init(self, flag: int = 2) -> None:
        pass

    def amdsmi_get_processor_handles(self) -> list[str]:
        return ["other", "device"]

    def amdsmi_get_gpu_asic_info(self, processor_handle: str) -> dict[str, Any]:
        number = {"other": "0x2F1BBFA2B5DDF33E", "device": "0x664B52E347835994"}
        return {
            "market_name": "AMD Instinct MI300X", "vendor_id": "0x1002", "oam_id": "N/A",
            "asic_serial": number[processor_handle],
        }  # fmt: skip

    def amdsmi_get_gpu_driver_info(self, processor_handle: str) -> dict[str, str]:
        return {"driver_name": "amdgpu", "driver_version": "6.12.12", "driver_date": "N/A"}

    def amdsmi_get_gpu_process_list(self, processor_handle: str) -> list[dict[str, Any]]:
        assert processor_handle == "device"
        usage = {"gtt_mem": 0, "cpu_mem": 0, "vram_mem": 5_200 * 10**6}
        engines = {"gfx": 0, "enc": 0}
        return [
            {"name": "N/A", "pid": 4_000_001, "mem": 1, "memory_usage": usage, "cu_occupancy": 0,
             "engine_usage": engines},
        ]  # fmt: skip

    def amdsmi_get_gpu_vram_usage(self, processor_handle: str) -> dict[str, int]:
        return {"vram_total": 196_592, "vram_used": 283}

    def amdsmi_get_clock_info(self, processor_handle: str, clock_type: int) -> dict[str, Any]:
        assert (processor_handle, clock_type) == ("device", self.AmdSmiClkType.GFX)
        return {"clk": 1890, "min_clk": 500, "max_clk": 2100, "clk_locked": False}

    def amdsmi_get_temp_metric(self, processor_handle: str, sensor_type: int, metric: int) -> int:
        assert sensor_type == self.AmdSmiTemperatureType.JUNCTION
        return 71

    def amdsmi_get_power_info(self, processor_handle: str) -> dict[str, Any]:
        return {"average_socket_power": "N/A", "current_socket_power": 640, "power_limit": 750}

    def amdsmi_get_violation_status(self, processor_handle: str) -> dict[str, Any]:
        return {
            "active_ppt_pwr": True, "active_socket_thrm": True, "active_vr_thrm": True,
            "active_hbm_thrm": "N/A", "active_prochot_thrm": False,
        }  # fmt: skip

    def amdsmi_get_energy_count(self, processor_handle: str) -> dict[str, Any]:
        # Steps of 15.259 uJ.
        return {"energy_accumulator": 10**9, "counter_resolution": 15.259, "timestamp": 1}


def refuse(*_: object) -> None:
    raise Library.AmdSmiException("Error code: 2 | AMDSMI_STATUS_NOT_SUPPORTED")


@pytest.mark.parametrize("uuid", [UUID, UUID[4:], OF_TORCH])
def test_a_device_is_found_by_the_digits_of_its_serial_number(uuid: str) -> None:
    assert AmdSmi(Library()).handle(uuid) == "device"
    with pytest.raises(AbsentError, match="does not tell the device GPU-0123456789abcdef"):
        AmdSmi(Library()).handle("GPU-0123456789abcdef")


def test_telemetry_is_in_si() -> None:
    assert AmdSmi(Library()).read(UUID) == TelemetrySample(
        clock=1.89e9,
        temperature=71.0,
        power=640.0,
        throttle=("power-cap", "thermal-slowdown"),
        default_clock=2.1e9,
    )


def test_without_the_reasons_of_a_low_clock_none_is_called_low() -> None:
    smi = AmdSmi(Library(amdsmi_get_violation_status=refuse, amdsmi_get_temp_metric=refuse))
    assert smi.read(UUID) == TelemetrySample(clock=1.89e9, power=640.0)


def test_energy_memory_processes_and_versions() -> None:
    smi = AmdSmi(Library())
    assert smi.energy(UUID) == pytest.approx(15_259.0)
    assert smi.memory_used(UUID) == 283 * 2**20
    assert smi.processes(UUID) == [Process(4_000_001, 5_200 * 10**6)]
    assert smi.driver_version() == "6.12.12"
    assert smi.names() == ["AMD Instinct MI300X"] * 2


def test_the_counter_of_an_older_rocm() -> None:
    old = {"power": 2 * 10**6, "counter_resolution": 0.5, "timestamp": 1}
    assert AmdSmi(Library(amdsmi_get_energy_count=lambda _: old)).energy(UUID) == 1.0


@pytest.mark.parametrize(
    ("counter", "reason"),
    [
        (refuse, r"AMD SMI does not tell its energy \(Error code: 2 .*NOT_SUPPORTED\)"),
        (lambda _: {"energy_accumulator": 0, "counter_resolution": 15.3}, "the counter stands at"),
    ],
)
def test_a_device_without_a_counter(counter: Any, reason: str) -> None:
    with pytest.raises(AbsentError, match=reason):
        AmdSmi(Library(amdsmi_get_energy_count=counter)).energy(UUID)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ModuleNotFoundError("No module named 'amdsmi'"), "the package amdsmi is not installed"),
        (KeyError("libamd_smi.so"), "amdsmi does not find ROCm's libamd_smi.so"),
        (OSError("Could not load libamd_smi.so"), "amdsmi does not find ROCm's libamd_smi.so"),
    ],
)
def test_why_amd_smi_cannot_be_read(error: Exception, reason: str) -> None:
    def load(name: str) -> ModuleType:
        assert name == "amdsmi"
        raise error

    with pytest.raises(AbsentError, match=reason) as caught:
        AmdSmi.open(load)
    assert "NVIDIA" not in str(caught.value)


def test_without_the_driver() -> None:
    with pytest.raises(AbsentError, match="the driver amdgpu does not answer"):
        AmdSmi(Library(amdsmi_init=refuse))


@pytest.fixture
def _rocm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "hip", "6.4.43482")
    monkeypatch.setattr(torch.version, "cuda", None)
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("_rocm")
def test_a_device_under_rocm_asks_amd_smi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cuda, "open_amd_smi", staticmethod(lambda: AmdSmi(Library())))
    device = Cuda("cuda:0", OF_TORCH)
    assert device.telemetry()().clock == 1.89e9
    counter = device.energy()
    assert (counter.name, counter.scope, counter.joules()) == ("AMD SMI", "device", 15_259.0)
    assert [one.pid for one in device.processes()] == [4_000_001]
    assert device.memory_used() == 283 * 2**20
    assert device.versions()["driver"] == "6.12.12"
    assert not device.is_exclusive()
    assert os.getpid() not in [one.pid for one in device.processes()]


@pytest.mark.usefixtures("_rocm")
def test_under_rocm_no_message_speaks_of_another_makers_driver(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(name: str) -> ModuleType:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(Cuda, "open_amd_smi", staticmethod(lambda: AmdSmi.open(load)))
    reason = Instruments.of(Cuda("cuda:0", OF_TORCH)).no_telemetry
    assert reason == (
        "AMD SMI cannot be read: the package amdsmi is not installed. Install that of your ROCm, "
        "python -m pip install /opt/rocm/share/amd_smi, or pytest-archbench[rocm]"
    )
    for told in (reason, Cuda.absence(load)):
        assert told is not None
        assert told.endswith("archbench[rocm]")
        assert "NVIDIA" not in told
    found = Cuda.absence(lambda _: Library())  # type: ignore[arg-type, return-value]
    assert found is not None
    assert found.startswith("the AMD driver has AMD Instinct MI300X, AMD Instinct MI300X, which")
