"""What ``CUDA_VISIBLE_DEVICES`` leaves of the devices, and what is said of those that it hides."""

from __future__ import annotations

import pytest
import torch

from archbench.core.errors import UsageError
from archbench.devices.choosing import choose_device
from archbench.devices.nvml import Nvml
from archbench.measure.hardware import list_devices, make_target
from tests.devices.test_nvml import Library
from tests.devices.virtual_cuda import virtual_cuda

A100 = ("NVIDIA A100-SXM4-40GB", "GPU-5f3c1e52")
SLICES = (
    ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "MIG-0a1b"),
    ("NVIDIA A100-SXM4-40GB MIG 3g.20gb", "MIG-0c2d"),
)
T4 = ("Tesla T4", "GPU-8932f937")
V100 = ("Tesla V100-SXM2-16GB", "GPU-89aa0000")
THERE = (A100, *SLICES, T4, V100)


@pytest.fixture
def _driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """NVML counts all devices, and knows each by its UUID."""
    whole = [name for name, uuid in THERE if uuid.startswith("GPU-")]
    library = Library(
        known={uuid: name for name, uuid in THERE},
        nvmlDeviceGetCount=lambda: len(whole),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda handle: whole[handle],
    )
    monkeypatch.setattr(Nvml, "open", lambda *_: Nvml(library))
    monkeypatch.setattr(torch.version, "cuda", "12.4")


@pytest.mark.usefixtures("_driver")
@pytest.mark.parametrize(
    ("value", "left"),
    [
        (None, [A100, T4, V100]),
        ("1", [T4]),
        ("2, 0", [V100, A100]),
        ("0,7,1", [A100]),
        ("1,-1,2", [T4]),
        ("GPU-8932f937", [T4]),
        ("GPU-89aa,GPU-5f3c", [V100, A100]),
        ("GPU-89,GPU-5f3c", []),  # of two devices
        ("MIG-0c2d", [SLICES[1]]),
        ("MIG-0a1b,MIG-0c2d", [SLICES[0]]),
    ],
)
def test_devices_are_named_as_torch_numbers_what_is_left(
    monkeypatch: pytest.MonkeyPatch, value: str | None, left: list[tuple[str, str]]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if value is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    with virtual_cuda(0, there=THERE):
        *found, cpu = list_devices()
    assert cpu.kind == "cpu"
    assert [(one.name, one.vendor_name) for one in found] == [
        (f"cuda:{index}", name) for index, (name, _) in enumerate(left)
    ]
    for device, (name, _) in zip(found, left, strict=True):
        # NVML numbers the devices otherwise: it is asked for them by UUID.
        assert device.uuid is not None
        assert Nvml.open().handle(device.uuid) == name
        assert choose_device(device.slug, [*found, cpu]) is device


@pytest.mark.usefixtures("_driver")
@pytest.mark.parametrize(
    ("value", "request_", "said"),
    [
        ("0,2", "t4", "CUDA_VISIBLE_DEVICES=0,2 chooses what torch sees"),
        ("GPU-5f3c", "cuda:1", "CUDA_VISIBLE_DEVICES=GPU-5f3c chooses what torch sees"),
        ("MIG-0a1b", "mig-3g.20gb", "CUDA_VISIBLE_DEVICES has its UUID, which `nvidia-smi -L`"),
        (
            "MIG-ffff", "t4",
            "CUDA_VISIBLE_DEVICES=MIG-ffff chooses what torch sees, and of NVIDIA A100-SXM4-40GB, "
            "Tesla T4, Tesla V100-SXM2-16GB it leaves none",
        ),
        ("-1", "t4", "CUDA_VISIBLE_DEVICES hides every device"),
    ],
)  # fmt: skip
def test_a_device_that_is_hidden(
    monkeypatch: pytest.MonkeyPatch, value: str, request_: str, said: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    with (
        virtual_cuda(0, there=THERE),
        pytest.raises(UsageError, match="no such device") as caught,
    ):
        make_target(request_)
    assert said in str(caught.value)
