"""What only a real device can tell. Skipped where there is none; `check.sh` runs it.

docs/hardware.md says on which devices it has run.
"""

from __future__ import annotations

import os
import re
import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from archbench.catalog.catalog import load_catalog
from archbench.core.run_config import RunConfig
from archbench.core.telemetry import TelemetrySample
from archbench.devices.cuda import Cuda
from archbench.devices.nvml import Nvml
from archbench.measure.cells import largest_batch, latency_record, load_guarded, memory_of
from archbench.measure.device_time import BurstPlan, sample_device_time
from archbench.measure.hardware import list_devices, make_target
from archbench.measure.latency import SamplingPlan
from archbench.models.loading import LoadedModel, ModelHolder

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

DEVICE = "cuda:0"

DENSE_FP16 = {
    "V100": 125e12, "T4": 65e12, "A10": 125e12, "A100": 312e12, "L4": 121e12, "H100": 989e12,
    "H200": 989e12,
}  # fmt: skip
"""Floating-point operations per second of dense fp16 matrix products with tensor cores, by their
data sheets; of the SXM form where there are several."""


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
    clock, number = Cuda(DEVICE).clock(), 50
    clock.synchronize()
    start = time.perf_counter()
    first = clock.stamp()
    for _ in range(number):
        launch()
    last = clock.stamp()
    clock.synchronize()
    wall = (time.perf_counter() - start) / number
    device = last.seconds_since(first) / number
    series = sample_device_time(launch, clock, BurstPlan(time_budget=3.0))
    sampled = statistics.median(series.samples)
    print(
        f"\nevents {device * 1e3:.3f} ms, wall {wall * 1e3:.3f} ms, series {sampled * 1e3:.3f} ms"
    )
    assert device == pytest.approx(wall, rel=0.02)
    # A device at its power limit is slower in a long row of passes than in bursts.
    assert sampled == pytest.approx(wall, rel=0.05)


def test_a_graph_replay_of_a_matrix_product() -> None:
    launch, operations = product(8192, torch.float16)
    warm(launch)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        launch()
    series = sample_device_time(
        graph.replay, Cuda(DEVICE).clock(), BurstPlan(time_budget=3.0), TelemetrySample
    )
    rate = operations / statistics.median(series.samples)
    name = torch.cuda.get_device_name(0)
    print(f"\n{name}: {rate / 1e12:.1f} TFLOP/s in fp16")
    known = [DENSE_FP16[word] for word in re.findall(r"[A-Z]+\d+", name) if word in DENSE_FP16]
    # A form with less power reaches half of the data sheet's rate; none reaches more than it.
    assert all(0.3 * peak < rate < 1.02 * peak for peak in known)
    assert rate > 1e12


def test_the_harness_leaves_the_device_no_time_to_idle() -> None:
    launch, _ = product(3000, torch.float16)
    warm(launch)
    clock = Cuda(DEVICE).clock()
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


@pytest.mark.parametrize("batch_size", [1, 64])
def test_the_same_images_a_second_as_a_plain_loop_with_events(batch_size: int) -> None:
    target = make_target("cuda", "fp16", batch_size=batch_size)
    loaded = ModelHolder().get(load_catalog().get("torchvision/resnet50"), target)
    record = latency_record(loaded, SamplingPlan(time_budget=3.0))
    device = statistics.median(record.metrics["device_time"]["samples"])
    images, number = loaded.images(), 50
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    with torch.inference_mode():
        warm(lambda: loaded.module(images))
        begin.record()
        for _ in range(number):
            loaded.module(images)
        end.record()
        torch.cuda.synchronize()
    plain = begin.elapsed_time(end) / 1e3 / number
    print(
        f"\nbatch {batch_size}: {batch_size / device:.0f} images/s, plain {batch_size / plain:.0f}"
    )
    # At batch 1 the plain loop may wait for the host, which device time leaves out.
    assert device < 1.02 * plain
    if batch_size > 1:
        assert device > 0.95 * plain


def test_memory_grows_with_the_batch_and_is_within_the_device() -> None:
    peaks = []
    for batch_size in (1, 8, 64):
        target = make_target("cuda", "fp16", batch_size=batch_size)
        loaded = ModelHolder().get(load_catalog().get("torchvision/resnet50"), target)
        metrics = memory_of(loaded)
        allocated, reserved, whole = (
            metrics[name]["value"] for name in ("peak_memory", "reserved_memory", "device_memory")
        )
        print(f"\nbatch {batch_size}: {allocated:,} allocated, {reserved:,} reserved, {whole:,}")
        assert allocated <= reserved <= whole
        peaks.append(allocated)
    assert peaks == sorted(peaks)


def cell(name: str, device: str = DEVICE, **run_config: Any) -> LoadedModel:
    """A network of the catalogue on the device."""
    target = make_target(device, config=RunConfig(**run_config))
    return load_guarded(ModelHolder(), load_catalog().get(name), target)


def peak(name: str, **run_config: Any) -> int:
    return int(memory_of(cell(name, **run_config))["peak_memory"]["value"])


def test_what_ran_before_does_not_change_a_peak() -> None:
    before = peak("torchvision/squeezenet1_1", dtype="fp16")
    peak("torchvision/vgg16", dtype="fp16")
    assert peak("torchvision/squeezenet1_1", dtype="fp16") == before


def test_a_graph_takes_at_least_what_an_eager_pass_takes() -> None:
    eager = peak("torchvision/resnet50", dtype="fp16", batch_size=8)
    graph = peak("torchvision/resnet50", dtype="fp16", batch_size=8, runtime="cudagraph")
    print(f"\n{graph:,} bytes for {eager:,}")
    assert eager <= graph < 2 * eager


def test_the_largest_batch_can_be_measured() -> None:
    sized, found = largest_batch(cell("torchvision/squeezenet1_1", dtype="fp16"))
    print(f"\n{found}")
    record = latency_record(sized, SamplingPlan(time_budget=0.5))
    assert record.metrics["latency"]["samples"]
    assert memory_of(sized)["peak_memory"]["value"] > 0


def test_a_deep_network_gives_many_samples() -> None:
    plan = SamplingPlan(2.4)
    record = latency_record(cell("torchvision/resnet152", dtype="fp16"), plan)
    device = record.metrics["device_time"]
    # Half of the time is the device's, and the host needs some to start a pass and to wait for it.
    host = statistics.median(record.metrics["latency"]["samples"])
    number = len(device["samples"])
    print(f"\n{number} samples of {host * 1e3:.1f} ms, full queue: {device['queue_full']}")
    assert device["queue_full"] is True
    assert number >= plan.time_budget / 2 / (2 * host)


@pytest.mark.parametrize("name", ["torchvision/densenet169", "pytorchcv/nasnet_6a4032"])
def test_a_pass_of_more_kernels_than_the_queue_takes(name: str) -> None:
    medians = []
    for runtime in ("eager", "cudagraph"):
        loaded = cell(name, dtype="fp16", runtime=runtime)
        series = latency_record(loaded, SamplingPlan(2.4)).metrics["device_time"]
        medians.append(statistics.median(series["samples"]))
        print(f"\n{name} {runtime}: {len(series['samples'])} samples, {medians[-1] * 1e3:.3f} ms")
        assert series["queue_full"] is True
    # The same kernels; those of a graph start one after another without a command for each.
    assert medians[1] <= 1.02 * medians[0] < 2 * medians[1]


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs a second device")
def test_a_second_device_measures_as_the_first() -> None:
    times = []
    for device in ("cuda:0", "cuda:1"):
        record = latency_record(
            cell("torchvision/resnet50", device, dtype="fp16", batch_size=64), SamplingPlan(2.0)
        )
        times.append(statistics.median(record.metrics["device_time"]["samples"]))
        assert torch.cuda.current_device() == 0
    print(f"\n{times[0] * 1e3:.3f} ms, {times[1] * 1e3:.3f} ms")
    names = {torch.cuda.get_device_name(index) for index in (0, 1)}
    if len(names) == 1:
        assert times[1] == pytest.approx(times[0], rel=0.1)


def test_a_mig_instance_is_found_by_its_uuid() -> None:
    """Where ``CUDA_VISIBLE_DEVICES`` has one."""
    if not os.environ.get("CUDA_VISIBLE_DEVICES", "").startswith("MIG-"):
        pytest.skip("CUDA_VISIBLE_DEVICES has no MIG instance")
    device, *_ = list_devices()
    assert device.uuid is not None
    assert " MIG " in device.vendor_name
    assert Nvml.open().memory_used(device.uuid) > 0


def test_good_cells_follow_a_network_that_cannot_be_captured(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        nets="""
        import torch
        from torch import nn

        class Good(nn.Sequential):
            def __init__(self):
                super().__init__(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                                 nn.Linear(8, 10))

        class Asking(Good):
            def forward(self, x):
                scores = super().forward(x)
                return scores if x.is_meta or scores.sum().item() > 0 else scores + 1

        class Further(Good): pass
        """,
        test_times="""
        def test_latency(bench, loaded_model):
            bench.latency(loaded_model)
        """,
    )
    result = pytester.runpytest_subprocess(
        "test_times.py", "-p", "archbench.pytest_plugin", "--archbench-gpu=cuda",
        "--archbench-runtime=cudagraph", "--archbench-quick",
        "--archbench-models=nets.py:Good,nets.py:Asking,nets.py:Further",
        timeout=900,
    )  # fmt: skip
    print(result.stdout.str())
    assert result.parseoutcomes() == {"passed": 2, "failed": 1}
    assert "cannot be captured" in result.stdout.str()
