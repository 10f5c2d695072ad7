"""Peak memory, against sums that are worked out by hand."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from archbench.core.entries import MetricEntry
from archbench.core.errors import AbsentError
from archbench.devices.cpu import Cpu
from archbench.devices.cuda import Cuda
from archbench.measure.memory import memory_metrics, peak_of_events, stored_bytes

CPU = Cpu("cpu")


class Doubling(nn.Module):
    """Three buffers after another, each of a quarter of a megabyte and held by nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1000))

    def forward(self, images: Tensor) -> Tensor:
        first = images.neg()  # 262,144 bytes
        second = first.abs()  # the same again
        del first
        return second.neg()  # and again, beside the second


def peak(module: nn.Module, images: Tensor) -> int:
    with torch.inference_mode():
        return int(
            memory_metrics(CPU, module, [images], lambda: module(images))["peak_memory"]["value"]
        )


def test_a_sum_by_hand() -> None:
    images = torch.zeros(1, 1, 256, 256)  # 4 * 65,536 bytes
    assert peak(Doubling(), images) == 4 * 1000 + 262_144 + 2 * 262_144


def test_it_repeats_to_the_last_bit_and_grows_with_the_batch() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3))
    module.eval().requires_grad_(False)
    one, four = torch.randn(1, 3, 64, 64), torch.randn(4, 3, 64, 64)
    found = [peak(module, one) for _ in range(5)]
    assert len(set(found)) == 1
    assert peak(module, four) > found[0] + 3 * one.numel() * 4


def test_what_is_given_back_does_not_count() -> None:
    assert peak_of_events([100, 50, -100, 60, -50, -60]) == 150
    assert peak_of_events([]) == 0


def test_shared_storage_counts_once() -> None:
    module = nn.Sequential(nn.Linear(10, 10, bias=False), nn.Linear(10, 10, bias=False))
    assert stored_bytes(module) == 2 * 400
    weight = next(module[0].parameters())
    module[1].weight = weight
    assert stored_bytes(module) == 400
    view = weight.detach()[2:]
    assert stored_bytes(module, [view, torch.zeros(5)]) == 400 + 20


def test_packed_int8_weights_are_found() -> None:
    from torch.ao.quantization import quantize_dynamic

    quantised = quantize_dynamic(nn.Sequential(nn.Linear(100, 50)), {nn.Linear}, dtype=torch.qint8)
    # A byte for each weight, four for each bias.
    assert stored_bytes(quantised) == 100 * 50 + 4 * 50


class Counters:
    """Of a device whose framework needs 70 bytes of a pass beside weights, and reserves 128."""

    def __init__(self, device: int | None = 900) -> None:
        self.device = device
        self.since_reset: list[str] = []

    def reset(self) -> None:
        self.since_reset = []

    def forward(self) -> None:
        self.since_reset.append("pass")

    def allocated(self) -> int:
        return 7

    def free(self) -> int:
        return 100

    def peak_allocated(self) -> int:
        assert self.since_reset == ["pass"], "of one pass after a reset"
        return 70

    def peak_reserved(self) -> int:
        return 128

    def device_used(self) -> int:
        if self.device is None:
            raise AbsentError("neither NVML nor torch tells it")
        return self.device


def on_a_gpu(counters: Counters) -> dict[str, MetricEntry]:
    forward: Callable[[], object] = counters.forward
    return memory_metrics(Cuda("cuda:0"), nn.Identity(), [torch.zeros(1)], forward, counters)


def test_three_figures_of_an_accelerator() -> None:
    metrics = on_a_gpu(Counters())
    assert {name: metric["value"] for name, metric in metrics.items()} == {
        "peak_memory": 70,
        "reserved_memory": 128,
        "device_memory": 900,
    }


def test_a_device_that_does_not_tell_its_use() -> None:
    assert on_a_gpu(Counters(None))["device_memory"] == {
        "absent": "neither NVML nor torch tells it", "unit": "B", "source": "measured"
    }  # fmt: skip
