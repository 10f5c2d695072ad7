"""What the kinds of devices say of themselves, over libraries that answer from a script."""

from __future__ import annotations

import pytest

from archbench.core.errors import AbsentError
from archbench.devices.cpu import Cpu
from archbench.devices.cuda import Cuda
from archbench.devices.energy import NvmlEnergy
from archbench.devices.nvml import Nvml
from archbench.devices.xpu import Xpu
from archbench.measure.instruments import Instruments
from tests.devices.test_nvml import UUID, Library


@pytest.fixture
def _nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cuda, "open_nvml", staticmethod(lambda: Nvml(Library())))


@pytest.mark.usefixtures("_nvml")
def test_nvml_tells_state_and_energy_of_a_device() -> None:
    device = Cuda("cuda:0", UUID)
    assert device.telemetry()().clock == 1.59e9
    counter = device.energy()
    assert isinstance(counter, NvmlEnergy)
    assert counter.joules() == 123.456
    assert device.versions()["driver"] == "570.86.15"


def test_telemetry_that_is_not_to_be_had_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Nvml:
        raise AbsentError("NVML cannot be read: no NVIDIA driver is installed")

    monkeypatch.setattr(Cuda, "open_nvml", staticmethod(refuse))
    tools = Instruments.of(Cuda("cuda:0", UUID))
    assert tools.no_telemetry == "NVML cannot be read: no NVIDIA driver is installed"
    assert tools.telemetry().clock is None
    nameless = Instruments.of(Cuda("cuda:0"))
    assert nameless.no_telemetry == "the device has no UUID to find it by"


def test_what_a_kind_has_not_is_absent_with_its_reason() -> None:
    device = Xpu("xpu:0")
    for ask, reason in (
        (device.telemetry, "nothing here reads the state of xpu devices"),
        (device.energy, "no energy counter of xpu devices is known here"),
        (device.processes, "nothing here lists the processes on xpu devices"),
    ):
        with pytest.raises(AbsentError) as caught:
            ask()
        assert str(caught.value) == reason
    assert not device.can_capture


def test_nothing_runs_behind_the_host() -> None:
    tools = Instruments.of(Cpu("cpu"))
    assert (tools.synchronize, tools.clock, tools.flush) == (None, None, None)
