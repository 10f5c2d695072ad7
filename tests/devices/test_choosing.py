"""From what a person types to a device."""

from __future__ import annotations

import pytest

from archbench.core.errors import UsageError
from archbench.devices.choosing import Device, choose, device_slug

CPU = Device("cpu", "AMD EPYC")
V100 = Device("cuda:0", "Tesla V100-SXM2-16GB")
A100_40 = Device("cuda:1", "NVIDIA A100-SXM4-40GB")
A100_80 = Device("cuda:2", "NVIDIA A100-SXM4-80GB")


@pytest.mark.parametrize(
    ("kind", "vendor_name", "slug"),
    [
        ("cuda", "Tesla V100-SXM2-16GB", "v100"),
        ("cuda", "NVIDIA H200", "h200"),
        ("cuda", "NVIDIA GeForce RTX 4090", "rtx4090"),
        ("cuda", "Tesla T4", "t4"),
        ("cuda", "AMD Instinct MI300X", "mi300x"),
        ("cpu", "AMD EPYC", "cpu-amd-epyc"),
        ("cpu", "AMD EPYC 7763 64-Core Processor", "cpu-amd-epyc-7763"),
        ("cpu", "Intel(R) Xeon(R) CPU E5-2686 v4 @ 2.30GHz", "cpu-intel-xeon-e5-2686-v4"),
        ("cpu", "", "cpu"),
    ],
)
def test_slug(kind: str, vendor_name: str, slug: str) -> None:
    assert device_slug(kind, vendor_name) == slug


@pytest.mark.parametrize(
    ("request_", "devices", "found"),
    [
        ("auto", [CPU], CPU),
        ("auto", [V100, CPU], V100),
        ("cpu", [V100, CPU], CPU),
        ("cuda", [V100, A100_40, CPU], V100),
        ("cuda:1", [V100, A100_40, CPU], A100_40),
        ("v100", [A100_40, V100, CPU], V100),
        ("V100", [V100, CPU], V100),
        ("a100-40gb", [A100_80, A100_40, CPU], A100_40),
        ("tesla v100", [V100, CPU], V100),
    ],
)
def test_choose(request_: str, devices: list[Device], found: Device) -> None:
    assert choose(request_, devices) is found


def test_absent_device_lists_what_is_there() -> None:
    with pytest.raises(UsageError) as caught:
        choose("v100", [CPU])
    assert str(caught.value) == (
        "--gpu=v100: no such device; this machine has cpu (AMD EPYC). Use --gpu=auto for the best "
        "device here, which is the CPU; no accelerator is visible to torch"
    )


def test_absent_index() -> None:
    with pytest.raises(UsageError, match=r"cuda:9.*has cuda:0 \(Tesla V100-SXM2-16GB\), cpu"):
        choose("cuda:9", [V100, CPU])


def test_several_devices() -> None:
    with pytest.raises(UsageError, match=r"several devices: cuda:1 .*40GB\), cuda:2 .*80GB\)"):
        choose("a100", [V100, A100_40, A100_80, CPU])


@pytest.mark.parametrize("request_", ["", " ", "-", "epyc"])
def test_a_cpu_is_not_found_by_a_gpus_name(request_: str) -> None:
    with pytest.raises(UsageError, match="no such device"):
        choose(request_, [V100, CPU])
