"""What is refused before anything is measured."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from archbench.core.errors import AbsentError, UsageError
from archbench.core.headers import Sharing
from archbench.core.run_config import RunConfig
from archbench.devices.choosing import Device
from archbench.devices.cuda import Cuda
from archbench.devices.nvml import Nvml
from archbench.measure import hardware
from archbench.measure.precision import check_dtype
from tests.devices.test_nvml import UUID, Library, refuse

CPU = Device("cpu", "AMD EPYC")


def test_a_torchvision_of_another_torch_is_refused() -> None:
    def load(name: str) -> ModuleType:
        raise RuntimeError("operator torchvision::nms does not exist")

    with pytest.raises(UsageError) as caught:
        hardware.check_torchvision(load)
    message = str(caught.value)
    assert message.startswith("torch ")
    assert "torchvision::nms does not exist" in message
    assert "CPU-only torch" in message
    assert "pip install --force-reinstall torch torchvision" in message


def test_the_installed_pair_is_accepted() -> None:
    hardware.check_torchvision()


def test_a_precision_that_fails_is_refused_with_torchs_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("\"conv2d\" not implemented for 'Half'\nmore")

    monkeypatch.setattr(nn.Sequential, "forward", fail)
    with pytest.raises(UsageError) as caught:
        check_dtype(CPU, "fp16")
    assert str(caught.value) == (
        "--dtype=fp16: cpu (AMD EPYC) cannot run a small network in it: "
        "\"conv2d\" not implemented for 'Half'. Use --dtype=fp32"
    )


def test_bf16_runs_on_every_cpu() -> None:
    check_dtype(CPU, "bf16")


def test_the_cpu_is_always_there() -> None:
    assert hardware.list_devices()[-1].name == "cpu"
    target = hardware.make_target("cpu", "fp32", threads=1, batch_size=4)
    assert target.key.endswith("/fp32-b4")
    assert target.slug.startswith("cpu")


@pytest.fixture
def two_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two devices of torch's, as far as listing them goes."""
    names, uuids = ["Tesla V100-SXM2-16GB", "Tesla T4"], [UUID, None]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: names[index])
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=uuids[index])
    )


@pytest.mark.usefixtures("two_cuda")
def test_accelerators_come_first_in_their_own_order() -> None:
    devices = hardware.list_devices()
    assert devices[:2] == [
        Device("cuda:0", "Tesla V100-SXM2-16GB", UUID),
        Device("cuda:1", "Tesla T4", None),
    ]
    assert [device.name for device in devices[2:]] == ["cpu"]


@pytest.mark.usefixtures("two_cuda")
def test_a_driver_without_a_usable_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(index: int) -> str:
        raise RuntimeError("No CUDA GPUs are available\nmore")

    monkeypatch.setattr(torch.cuda, "get_device_name", fail)
    with pytest.raises(UsageError) as caught:
        hardware.list_devices()
    assert str(caught.value).startswith(
        "the cuda devices of this machine: their driver cannot use them: No CUDA GPUs are "
        "available. Look at what `nvidia-smi` says"
    )


def test_a_device_that_nothing_can_be_put_on() -> None:
    devices = [Device("cuda:7", "Tesla V100", UUID), CPU]
    with pytest.raises(UsageError, match=r"nothing can be put on cuda:7 \(Tesla V100\): "):
        hardware.make_target("v100", devices=devices)


def test_a_target_has_all_that_was_asked_for() -> None:
    config = RunConfig(
        dtype="bf16",
        batch_size=None,
        largest_batch=True,
        memory_format="nhwc",
        cold_cache=True,
        asked="cpu",
    )
    target = hardware.make_target("v100,cpu", config=config, devices=[V100, CPU])
    assert target.suffix == "bf16-bmax-nhwc-cold"
    assert (target.asked, target.largest_batch, target.device) == ("cpu", True, "cpu")


def load_nvml(**answers: object) -> Callable[[str], ModuleType]:
    def load(name: str) -> ModuleType:
        return Library(**answers)  # type: ignore[return-value]

    return load


@pytest.fixture
def _cuda_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.version, "cuda", "12.4")


@pytest.mark.parametrize("value", ["", " ", "-1", "-1,0"])
@pytest.mark.parametrize(
    ("hip", "name"), [(None, "CUDA_VISIBLE_DEVICES"), ("6.4", "HIP_VISIBLE_DEVICES")]
)
def test_why_there_is_none_when_everything_is_hidden(
    monkeypatch: pytest.MonkeyPatch, hip: str | None, name: str, value: str
) -> None:
    monkeypatch.setattr(torch.version, "hip", hip)
    monkeypatch.setenv(name, value)
    assert hardware.absence() == f"{name} hides every device"


@pytest.mark.usefixtures("_cuda_build")
def test_why_there_is_none_with_another_nvml_than_the_driver() -> None:
    mismatch = refuse(Library, "NVMLError_LibRmVersionMismatch")
    assert Cuda.absence(load_nvml(nvmlInit=mismatch)) == (
        "no accelerator is visible to torch, and NVML cannot be read: NVML is of another version "
        "than the loaded driver, as after an update without a restart; restart the machine"
    )


@pytest.mark.usefixtures("_cuda_build")
def test_why_there_is_none_when_the_driver_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old")

    monkeypatch.setattr(torch.cuda, "init", fail)
    assert Cuda.absence(load_nvml()) == (
        "the NVIDIA driver has Tesla T4, which torch cannot use: "
        "The NVIDIA driver on your system is too old"
    )


@pytest.mark.usefixtures("_cuda_build")
def test_why_there_is_none_where_a_variable_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("No CUDA GPUs are available")

    monkeypatch.setattr(torch.cuda, "init", fail)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert Cuda.absence(load_nvml()) == (
        "CUDA_VISIBLE_DEVICES=7 chooses what torch sees, and of Tesla T4 it leaves none"
    )


@pytest.mark.parametrize("value", ["0", f"GPU-{UUID}"])
def test_a_device_that_a_variable_may_hide(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    with pytest.raises(UsageError) as caught:
        hardware.make_target("h200", devices=[V100, CPU])
    assert str(caught.value).endswith(
        f"Use --gpu=auto for the best device here; CUDA_VISIBLE_DEVICES={value} chooses what torch "
        "sees"
    )


def test_others_are_looked_for_on_the_devices_of_all_workers(nvml: Library) -> None:
    nvml.known["GPU-second"] = "second"
    twins = [V100, Device("cuda:1", "Tesla V100", "second"), CPU]
    found = {
        workers: hardware.refuse_shared("v100", shared_ok=True, devices=twins, workers=workers)
        for workers in (1, 2, 3)
    }
    assert {number: sorted(one.others) for number, one in found.items()} == {
        1: ["cuda:0"], 2: ["cuda:0", "cuda:1"], 3: ["cuda:0", "cuda:1"]
    }  # fmt: skip
    assert {number: one.turns for number, one in found.items()} == {
        1: "",
        2: "",
        3: "3 workers share 2 devices, cuda:0, cuda:1: one at a time measures on a device, and the "
        "others wait for it. -n 2 takes as long, unless they count as well",
    }
    alone = hardware.refuse_shared("v100,cpu", shared_ok=True, devices=[V100, CPU], workers=8)
    assert alone.turns.startswith("8 workers share 1 device, cuda:0: one at a time measures ")
    assert not hardware.refuse_shared("cpu", shared_ok=True, devices=[V100, CPU], workers=8).turns


def test_a_device_for_one_process_at_a_time_is_tried_by_another_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Cuda, "is_exclusive", lambda self: True)
    monkeypatch.setattr(torch, "ones", None)  # nothing is put there by this one
    with pytest.raises(UsageError) as caught:
        hardware.make_target("v100", devices=[V100, CPU], measures=False)
    # There is no such device, which is found out by the other process.
    assert str(caught.value).startswith("--gpu=cuda:0: nothing can ")


V100 = Device("cuda:0", "Tesla V100", UUID)


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Library:
    """That answers as on a machine with a T4 which two processes use."""
    library = Library()
    monkeypatch.setattr(Cuda, "open_nvml", staticmethod(lambda: Nvml(library)))
    return library


@pytest.mark.usefixtures("nvml")
def test_others_on_a_device_are_reported_before_anything_is_measured() -> None:
    with pytest.raises(UsageError) as caught:
        hardware.refuse_shared("v100", shared_ok=False, devices=[V100, CPU])
    assert str(caught.value) == (
        "--gpu=v100: cuda:0 (Tesla V100) is in use by process 4000001, 5,200 MB, process 4000002. "
        "Wait for it, choose another device, or measure all the same with --shared-ok: the results "
        "then say that the device was shared"
    )


@pytest.mark.usefixtures("nvml")
def test_who_says_that_sharing_is_well_goes_on_and_it_is_noted() -> None:
    sharing = hardware.refuse_shared("v100,cpu", shared_ok=True, devices=[V100, CPU])
    assert sharing.others == {"cuda:0": "process 4000001, 5,200 MB, process 4000002"}
    assert sharing.unknown == {}


def test_a_device_of_ones_own_is_free(nvml: Library) -> None:
    def ours(handle: str) -> list[SimpleNamespace]:
        import os

        return [SimpleNamespace(pid=os.getpid(), usedGpuMemory=1)]

    nvml.__dict__["nvmlDeviceGetComputeRunningProcesses"] = ours
    sharing = hardware.refuse_shared("v100", shared_ok=False, devices=[V100, CPU])
    assert sharing == Sharing({}, {})


def test_without_nvml_it_is_not_known_who_uses_a_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing() -> Nvml:
        raise AbsentError("NVML cannot be read: the package nvidia-ml-py is not installed")

    monkeypatch.setattr(Cuda, "open_nvml", staticmethod(missing))
    sharing = hardware.refuse_shared("v100", shared_ok=False, devices=[V100, CPU])
    assert sharing.unknown == {
        "cuda:0": "NVML cannot be read: the package nvidia-ml-py is not installed"
    }
