"""What is refused before anything is measured."""

from __future__ import annotations

from types import ModuleType

import pytest
from torch import nn

from archbench.core.errors import UsageError
from archbench.devices.choosing import Device
from archbench.measure import hardware

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
        hardware.check_dtype(CPU, "fp16")
    assert str(caught.value) == (
        "--dtype=fp16: cpu (AMD EPYC) cannot run a small network in it: "
        "\"conv2d\" not implemented for 'Half'. Use --dtype=fp32"
    )


def test_bf16_runs_on_every_cpu() -> None:
    hardware.check_dtype(CPU, "bf16")


def test_the_cpu_is_always_there() -> None:
    assert hardware.list_devices()[-1].name == "cpu"
    target = hardware.make_target("cpu", "fp32", threads=1, batch_size=4)
    assert target.key.endswith("/fp32-b4")
    assert target.slug.startswith("cpu")
