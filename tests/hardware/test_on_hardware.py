"""What only a real device can tell. Skipped where there is none; `check.sh` runs it.

None of it has run on hardware yet: see docs/hardware.md.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest
import torch

from archbench.core.readings import Reading
from archbench.measure.device_time import BurstPlan, TorchDeviceClock, sample_device_time
from archbench.measure.hardware import list_devices

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

DEVICE = "cuda:0"


def product(side: int, dtype: torch.dtype) -> tuple[Callable[[], object], float]:
    """A square matrix product, and its floating-point operations."""
    left, right = (torch.randn(side, side, device=DEVICE, dtype=dtype) for _ in range(2))
    out = torch.empty_like(left)
    return lambda: torch.mm(left, right, out=out), 2.0 * side**3


def warm(launch: Callable[[], object], times: int = 20) -> None:
    for _ in range(times):
        launch()
    torch.cuda.synchronize()


def test_events_agree_with_wall_time_on_long_kernels() -> None:
    launch, _ = product(8192, torch.float16)
    warm(launch)
    series = sample_device_time(launch, TorchDeviceClock(DEVICE), BurstPlan(time_budget=3.0))
    number = 50
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(number):
        launch()
    torch.cuda.synchronize()
    wall = (time.perf_counter() - start) / number
    device = statistics.median(series.samples)
    print(f"\nevents {device * 1e3:.3f} ms, wall {wall * 1e3:.3f} ms")
    assert device == pytest.approx(wall, rel=0.02)


def test_a_graph_replay_of_a_matrix_product() -> None:
    launch, operations = product(8192, torch.float16)
    warm(launch)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        launch()
    series = sample_device_time(
        graph.replay, TorchDeviceClock(DEVICE), BurstPlan(time_budget=3.0), Reading
    )
    rate = operations / statistics.median(series.samples)
    # The device's rate is in its data sheet: it is printed, to be compared by hand.
    print(f"\n{torch.cuda.get_device_name(0)}: {rate / 1e12:.1f} TFLOP/s in fp16")
    assert rate > 1e12


def test_the_harness_leaves_the_device_no_time_to_idle() -> None:
    launch, _ = product(3000, torch.float16)
    warm(launch)
    clock = TorchDeviceClock(DEVICE)
    number = 30
    clock.synchronize()
    clock.hold(0.05)
    stamps = [clock.stamp()]
    for _ in range(number):
        launch()
        stamps.append(clock.stamp())
    clock.synchronize()
    whole = stamps[-1].seconds_since(stamps[0]) / number
    alone = statistics.median(sample_device_time(launch, clock, BurstPlan(time_budget=2.0)).samples)
    print(f"\n{(whole - alone) * 1e6:.1f} us a pass between two passes")
    assert whole - alone < 10e-6


def test_devices_have_a_name_and_a_uuid() -> None:
    for device in list_devices()[:-1]:
        print(f"\n{device} {device.uuid} {device.slug}")
        assert device.uuid
        assert device.slug
