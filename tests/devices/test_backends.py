"""What the kinds of devices say of themselves, over libraries that answer from a script."""

from __future__ import annotations

import platform
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from archbench.core.errors import AbsentError, UsageError
from archbench.core.spec import Target
from archbench.devices.choosing import Device, choose_device, cpu_name
from archbench.devices.cpu import Cpu
from archbench.devices.cuda import Cuda
from archbench.devices.energy import DriverEnergy
from archbench.devices.mps import Mps
from archbench.devices.nvml import Nvml
from archbench.devices.xpu import Xpu
from archbench.measure.hardware import absence, make_target
from archbench.measure.instruments import Instruments
from archbench.measure.memory import memory_metrics
from archbench.measure.running import within_memory
from tests.devices.test_nvml import UUID, Library


@pytest.fixture
def _nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cuda, "open_nvml", staticmethod(lambda: Nvml(Library())))


@pytest.mark.usefixtures("_nvml")
def test_nvml_tells_state_and_energy_of_a_device() -> None:
    device = Cuda("cuda:0", UUID)
    assert device.telemetry()().clock == 1.59e9
    counter = device.energy()
    assert isinstance(counter, DriverEnergy)
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


@pytest.fixture
def v100(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 0))
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch, "__version__", "2.14.1")
    return Cuda("cuda:0")


@pytest.mark.parametrize(
    ("codes", "runs"),
    [
        ("sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90", True),  # for CUDA 12.6
        ("sm_75 sm_80 sm_86 sm_90 sm_100 sm_120", False),  # for CUDA 13.0
        ("sm_75 sm_80 compute_60", True),
        ("sm_75 compute_75", False),
        ("sm_60 sm_72", False),
        ("", True),  # nothing is known
    ],
)
def test_a_device_needs_code_that_runs_on_it(
    v100: Cuda, monkeypatch: pytest.MonkeyPatch, codes: str, runs: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_arch_list", codes.split)
    assert (v100.unusable() is None) == runs


def test_a_v100_names_the_build_to_install(v100: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = ["sm_75", "sm_80"]
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: codes)
    devices = [Device("cuda:0", "Tesla V100-SXM2-16GB"), Device("cpu", "AMD EPYC")]
    with pytest.raises(UsageError) as caught:
        make_target("v100", devices=devices)
    assert str(caught.value) == (
        "--gpu=cuda:0: nothing can run on cuda:0 (Tesla V100-SXM2-16GB): torch 2.14.1 holds code "
        "for sm_75, sm_80, and it is sm_70. Install a build for CUDA 12.6, which holds it, from "
        "the URL that pytorch.org/get-started/locally gives for it: `make bench TORCH_INDEX=URL` "
        "in a fresh environment, or python -m pip install --force-reinstall torch torchvision "
        "--index-url URL"
    )


def test_a_device_newer_than_torch(v100: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (12, 0))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_90"])
    found = v100.unusable()
    assert found is not None
    assert found[1].startswith("Install a newer torch, or a build for a newer CUDA")


@pytest.mark.parametrize(
    ("mode", "exclusive", "usable"), [(0, False, True), (2, False, False), (3, True, True)]
)
def test_the_compute_mode_is_read(
    monkeypatch: pytest.MonkeyPatch, mode: int, exclusive: bool, usable: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    monkeypatch.setattr(torch.cuda, "get_arch_list", list)
    library = Library(nvmlDeviceGetComputeMode=lambda handle: mode)
    monkeypatch.setattr(Cuda, "open_nvml", staticmethod(lambda: Nvml(library)))
    device = Cuda("cuda:0", UUID)
    assert device.is_exclusive() == exclusive
    assert (device.unusable() is None) == usable


@pytest.mark.usefixtures("_nvml")
def test_a_cudnn_that_cannot_be_used_is_reported_in_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> int:
        raise RuntimeError("cuDNN version incompatibility: compiled against (9, 1), found (8, 9)\n")

    monkeypatch.setattr(torch.backends.cudnn, "version", fail)
    assert Cuda("cuda:0", UUID).versions()["cudnn"] == (
        "not usable: cuDNN version incompatibility: compiled against (9, 1), found (8, 9)"
    )
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: None)
    assert "cudnn" not in Cuda("cuda:0", UUID).versions()


def test_triton_needs_a_c_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    cuda = Cuda("cuda:0")
    assert cuda.lacks_compiler(lambda name: f"/usr/bin/{name}", lambda _: object()) is None
    assert cuda.lacks_compiler(lambda _: None, lambda _: object()) == (
        "triton starts its kernels by code that it compiles, without a C compiler", "gcc"
    )  # fmt: skip
    assert cuda.lacks_compiler(lambda _: None, lambda _: None) == (
        "torch compiles for this device with triton, which is not installed", "triton"
    )  # fmt: skip


def test_the_last_level_cache_under_rocm(monkeypatch: pytest.MonkeyPatch) -> None:
    properties = SimpleNamespace(L2_cache_size=4 * 2**20)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    assert Cuda("cuda:0").cache_bytes() == 4 * 2**20
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert Cuda("cuda:0").cache_bytes() == 256 * 2**20  # of an MI300X


def test_memory_of_the_host_is_none_of_the_devices_under_wsl(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[float] = []
    given = {
        "mem_get_info": lambda _: (6 << 30, 8 << 30),
        "memory_reserved": lambda _: 1 << 30,
        "set_per_process_memory_fraction": lambda fraction, _: said.append(fraction),
    }
    for name, double in given.items():
        monkeypatch.setattr(torch.cuda, name, double)
    target = Target("cuda:0", "NVIDIA GeForce RTX 4090", "rtx4090")
    with within_memory(target):
        assert said == []
    monkeypatch.setattr(platform, "release", lambda: "5.15.153.1-microsoft-standard-WSL2")
    with within_memory(target):
        assert said == [7 / 8]


def test_a_build_for_intel_without_its_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "xpu", "20250302", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # of another maker's devices
    monkeypatch.setattr(torch, "__version__", "2.14.1+xpu")
    assert absence() == (
        "torch 2.14.1+xpu is built for Intel's GPUs and sees none: its driver "
        "(intel-level-zero-gpu) is not installed, or this user may not open /dev/dri"
    )


def test_a_driver_of_intel_that_does_not_tell_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> tuple[int, int]:
        raise RuntimeError("The device (Intel Arc) doesn't support querying the available memory")

    monkeypatch.setattr(torch.xpu, "mem_get_info", fail)
    with pytest.raises(AbsentError, match="the driver does not report its memory: The device"):
        Xpu("xpu:0").memory_used()


def test_the_chip_of_an_apple_is_asked_for() -> None:
    def run(command: list[str], **_: object) -> SimpleNamespace:
        assert command == ["sysctl", "-n", "machdep.cpu.brand_string"]
        return SimpleNamespace(stdout="Apple M1\n")

    device = Device("mps:0", Mps.chip(run))
    assert choose_device("m1", [device, Device("cpu", "Apple M1")]) is device

    def fail(command: list[str], **_: object) -> SimpleNamespace:
        raise FileNotFoundError

    assert Mps.chip(fail) == cpu_name()


def test_memory_of_an_apple_is_what_its_allocator_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"driver_allocated_memory": 900, "current_allocated_memory": 300}
    for name, size in given.items():
        monkeypatch.setattr(torch.mps, name, lambda size=size: size)
    for name in ("synchronize", "empty_cache"):
        monkeypatch.setattr(torch.mps, name, lambda: None)
    metrics = memory_metrics(Mps("mps:0"), nn.Identity(), [], lambda: None)
    assert metrics["peak_memory"]["absent"] == "torch keeps no peak of the memory of mps devices"
    assert metrics["reserved_memory"]["value"] == 900
    assert "value" not in metrics["device_memory"]


def test_nothing_runs_behind_the_host() -> None:
    tools = Instruments.of(Cpu("cpu"))
    assert (tools.synchronize, tools.clock, tools.flush) == (None, None, None)
