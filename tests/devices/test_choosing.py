"""From what a person types to a device."""

from __future__ import annotations

import pytest

from archbench.core.errors import UsageError
from archbench.devices.choosing import (
    Device,
    choose_device,
    choose_devices,
    device_slug,
    split_request,
)
from tests.devices.names import NAMES

CPU = Device("cpu", "AMD EPYC")
V100 = Device("cuda:0", "Tesla V100-SXM2-16GB")
A100_40 = Device("cuda:1", "NVIDIA A100-SXM4-40GB")
A100_80 = Device("cuda:2", "NVIDIA A100-SXM4-80GB")
RTX4090 = Device("cuda:0", "NVIDIA GeForce RTX 4090")
T4 = Device("cuda:1", "Tesla T4")
T400 = Device("cuda:0", "NVIDIA T400 4GB")
GV100 = Device("cuda:2", "Quadro GV100")
H20 = Device("cuda:1", "NVIDIA H20")
H200 = Device("cuda:0", "NVIDIA H200")
SLICE = Device("cuda:0", "NVIDIA A100-SXM4-40GB MIG 1g.5gb")
MPS = Device("mps:0", "Apple M2 Pro")
XPU = Device("xpu:0", "Intel(R) Data Center GPU Max 1550")


@pytest.mark.parametrize(
    ("kind", "vendor_name", "slug"),
    [
        *((kind, name, slug) for kind, name, _, slug in NAMES),
        ("cuda", "NVIDIA Graphics Device", "device"),
        ("xpu", "Intel(R) Graphics", "graphics"),
        ("cuda", "", "cuda"),
        ("cpu", "AMD EPYC", "cpu-amd-epyc"),
        ("cpu", "AMD EPYC 7763 64-Core Processor", "cpu-amd-epyc-7763"),
        ("cpu", "Intel(R) Xeon(R) CPU E5-2686 v4 @ 2.30GHz", "cpu-intel-xeon-e5-2686-v4"),
        ("cpu", "", "cpu"),
    ],
)
def test_slug(kind: str, vendor_name: str, slug: str) -> None:
    assert device_slug(kind, vendor_name) == slug


def test_every_device_has_a_name_of_its_own() -> None:
    assert len(NAMES) == 50
    assert len({slug for *_, slug in NAMES}) == len(NAMES)


@pytest.mark.parametrize(("kind", "name", "asked", "slug"), NAMES)
def test_a_request_finds_its_device_among_all_others(
    kind: str, name: str, asked: str, slug: str
) -> None:
    devices = [
        Device(f"{other}:{number}", its_name) for number, (other, its_name, *_) in enumerate(NAMES)
    ]
    assert choose_device(asked, [*devices, CPU]).vendor_name == name
    assert choose_device(slug, [*devices, CPU]).vendor_name == name


@pytest.mark.parametrize(
    ("request_", "there"),
    [
        ("l40", "NVIDIA L40S"), ("a10", "NVIDIA A10G"), ("a10", "NVIDIA A100-SXM4-40GB"),
        ("v100", "Tesla V100S-PCIE-32GB"), ("v100-32gb", "Tesla V100-SXM2-16GB"),
    ],
)  # fmt: skip
def test_another_device_is_none_that_is_asked_for(request_: str, there: str) -> None:
    with pytest.raises(UsageError, match="no such device"):
        choose_device(request_, [Device("cuda:0", there), CPU])


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
        ("rtx4090", [RTX4090, CPU], RTX4090),
        ("rtx 4090", [RTX4090, CPU], RTX4090),
        ("t4", [T400, T4, CPU], T4),
        ("v100", [GV100, V100, CPU], V100),
        ("h20", [H200, H20, CPU], H20),
        ("mig", [A100_40, SLICE, CPU], SLICE),
        ("mps", [MPS, CPU], MPS),
        ("xpu:0", [XPU, CPU], XPU),
    ],
)
def test_choose(request_: str, devices: list[Device], found: Device) -> None:
    assert choose_device(request_, devices) is found


def test_absent_device_lists_what_is_there() -> None:
    with pytest.raises(UsageError) as caught:
        choose_device("v100", [CPU])
    assert str(caught.value) == (
        "--gpu=v100: no such device; this machine has cpu (AMD EPYC). Use --gpu=auto for the best "
        "device here, which is the CPU; no accelerator is visible to torch"
    )


def test_absent_index() -> None:
    with pytest.raises(UsageError, match=r"cuda:9.*has cuda:0 \(Tesla V100-SXM2-16GB\), cpu"):
        choose_device("cuda:9", [V100, CPU])


def test_several_devices() -> None:
    with pytest.raises(UsageError, match=r"several devices: cuda:1 .*40GB\), cuda:2 .*80GB\)"):
        choose_device("a100", [V100, A100_40, A100_80, CPU])


@pytest.mark.parametrize("request_", ["", " ", "-", "epyc"])
def test_a_cpu_is_not_found_by_a_gpus_name(request_: str) -> None:
    with pytest.raises(UsageError, match="no such device"):
        choose_device(request_, [V100, CPU])


def test_a_part_of_a_name_does_not_cut_a_number() -> None:
    with pytest.raises(UsageError, match=r"no such device; this machine has cuda:0 \(NVIDIA T400"):
        choose_device("t4", [T400, CPU])


def test_workers_take_devices_of_one_name_in_turn() -> None:
    twins = [Device("cuda:0", "NVIDIA H100"), Device("cuda:1", "NVIDIA H100"), T4, CPU]
    chosen = [choose_device("h100", twins, worker=number).name for number in range(4)]
    assert chosen == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    # A T4 among them is no H100: the workers of a run measure on devices of one name.
    assert [choose_device("auto", twins, worker=number).name for number in range(3)] == [
        "cuda:0", "cuda:1", "cuda:0"
    ]  # fmt: skip


def test_several_with_commas() -> None:
    assert split_request(" V100,tesla  t4 ,v100") == ["v100", "tesla-t4"]
    assert choose_devices("v100, T4,cpu", [V100, T4, CPU]) == [V100, T4, CPU]


@pytest.mark.parametrize("request_", ["v100,", ",", "v100,,t4"])
def test_an_empty_name_between_commas(request_: str) -> None:
    with pytest.raises(UsageError, match="a name between the commas is empty"):
        split_request(request_)


def test_several_of_one_series() -> None:
    a4000, a6000 = Device("cuda:0", "NVIDIA RTX A4000"), Device("cuda:1", "NVIDIA RTX A6000")
    assert choose_devices("a4000,a6000", [a4000, a6000, CPU]) == [a4000, a6000]


def test_two_devices_of_one_name_are_refused() -> None:
    twin = Device("cuda:1", "Tesla V100-SXM2-16GB")
    with pytest.raises(UsageError) as caught:
        choose_devices("cuda:0,cuda:1", [V100, twin, CPU])
    assert str(caught.value) == (
        "--gpu=cuda:0,cuda:1: cuda:0 (Tesla V100-SXM2-16GB) and cuda:1 (Tesla V100-SXM2-16GB) are "
        "both v100-sxm2-16gb in tables and files. Name one of them; `-n 2` shares the work between "
        "two devices of the same name"
    )


def test_two_names_of_one_device_are_refused() -> None:
    with pytest.raises(UsageError) as caught:
        choose_devices("cuda:0,v100", [V100, CPU])
    assert str(caught.value) == (
        "--gpu=cuda:0,v100: two of these names are of one device, cuda:0 (Tesla V100-SXM2-16GB). "
        "Name it once"
    )


def test_a_mig_instance_that_is_not_seen() -> None:
    with pytest.raises(UsageError) as caught:
        choose_device("mig-1g", [A100_40, CPU])
    assert str(caught.value) == (
        "--gpu=mig-1g: no such device; this machine has cuda:1 (NVIDIA A100-SXM4-40GB), cpu (AMD "
        "EPYC). Use --gpu=auto for the best device here; a MIG instance is seen where "
        "CUDA_VISIBLE_DEVICES has its UUID, which `nvidia-smi -L` lists"
    )


def test_one_absent_device_of_several_is_an_error() -> None:
    with pytest.raises(UsageError, match="--gpu=h200: no such device"):
        choose_devices("v100,h200", [V100, CPU])


def test_the_reason_for_no_accelerator_is_reported() -> None:
    with pytest.raises(UsageError, match=r"which is the CPU; the NVIDIA driver is not loaded$"):
        choose_device("v100", [CPU], remark="the NVIDIA driver is not loaded")
