"""A target on the second of two devices is measured there, and nowhere else."""

from __future__ import annotations

import ctypes
import statistics
import weakref

import pytest
import torch
from torch import Tensor, nn

from archbench.core.errors import NotMeasuredError
from archbench.core.spec import ModelSpec, Target
from archbench.devices.kinds import is_fatal
from archbench.measure.cells import latency_record, load_guarded, memory_of
from archbench.measure.failures import describe_failure
from archbench.measure.instruments import Instruments
from archbench.measure.latency import SamplingPlan
from archbench.measure.running import Runner, forward_passes
from archbench.measure.side_network import SideNetwork
from archbench.models.loading import LoadedModel, ModelHolder
from tests.devices.virtual_cuda import KERNEL, WORKSPACE, virtual_cuda

SEEN: set[int] = set()
FIRST: list[float] = []
PLAN = SamplingPlan(time_budget=0.3)


class Noting(nn.Module):
    """Notes the current device of its passes, each of which takes five kernels: two additions,
    a multiplication, a mean and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 10, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        SEEN.add(torch.cuda.current_device())
        return self.linear(((x + 1.0) * 2.0 + 1.0).mean((2, 3)))


def load(index: int, runtime: str) -> LoadedModel:
    target = Target(f"cuda:{index}", "Tesla V100", "v100", runtime=runtime)
    return load_guarded(ModelHolder(), ModelSpec.of(Noting, name="noting", input_size=16), target)


@pytest.mark.parametrize("runtime", ["eager", "cudagraph"])
@pytest.mark.parametrize("index", [0, 1])
def test_the_device_of_a_target_is_current_while_it_is_measured(index: int, runtime: str) -> None:
    with virtual_cuda(index) as machine:
        SEEN.clear()
        record = latency_record(load(index, runtime), PLAN)
        assert {index} == SEEN
        # What holds the queue back stands in the queue of the same device.
        assert machine.slept.keys() == {index}
        assert machine.current == 0, "as it was before"
    device = record.metrics["device_time"]
    assert device["queue_full"] is True
    assert statistics.median(device["samples"]) == pytest.approx(5 * KERNEL, rel=1e-3)


class Changing(nn.Module):
    """Changes its images in a first kernel; two more follow, a mean and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 10, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        FIRST.append(ctypes.c_float.from_address(x.data_ptr()).value)  # no kernel
        return self.linear(x.mul_(2.0).mean((2, 3)))


@pytest.mark.parametrize("as_side", [False, True])
def test_images_that_a_pass_changes_are_put_back_outside_of_its_time(as_side: bool) -> None:
    with virtual_cuda(0):
        target = Target("cuda:0", "Tesla V100", "v100")
        spec = ModelSpec.of(Changing, name="changing", input_size=16)
        loaded = load_guarded(ModelHolder(), spec, target)
        assert loaded.changes_inputs
        flushed: list[int] = []
        clock = loaded.device.clock()
        tools = Instruments(loaded.device.wait, clock, flush=lambda: flushed.append(1))
        FIRST.clear()
        if as_side:
            side = SideNetwork(loaded, 0, instruments=tools)
            side.modules(2)
            samples = side.burst(0.01).device
        else:
            metrics = latency_record(loaded, PLAN, instruments=tools).metrics
            samples = tuple(metrics["device_time"]["samples"])
    assert len(set(FIRST)) == 1, "each pass has the same images"
    assert flushed
    # The copy of the images would be a fourth kernel.
    assert statistics.median(samples) == pytest.approx(3 * KERNEL, rel=1e-3)


def test_scores_of_a_model_are_made_on_its_device() -> None:
    with virtual_cuda(1):
        loaded = load(1, "eager")
        SEEN.clear()
        loaded(*loaded.inputs())
        assert {1} == SEEN


def test_a_capture_that_fails_ends_the_use_of_the_device() -> None:
    with virtual_cuda(1, fails_to_capture=True):
        loaded = load(1, "cudagraph")
        with pytest.raises(NotMeasuredError) as caught:
            latency_record(loaded, PLAN)
    assert caught.value.reason == "not-capturable"
    assert is_fatal(caught.value)
    record, _ = describe_failure(caught.value, "latency", loaded.spec, loaded.target)
    assert [verdict.status for verdict in record.verdicts] == ["not-measured"]


def test_the_first_cause_of_a_failed_capture_is_reported() -> None:
    class Asking(Noting):
        """Asks for a number during the capture, which ends it."""

        passes = 0

        def forward(self, x: Tensor) -> Tensor:
            self.passes += 1
            if self.passes > 3:
                raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
            return super().forward(x)

    with virtual_cuda(1, fails_to_capture=True):
        target = Target("cuda:1", "Tesla V100", "v100", runtime="cudagraph")
        spec = ModelSpec.of(Asking, name="asking", input_size=16)
        with pytest.raises(NotMeasuredError, match="not permitted when stream is capturing") as one:
            latency_record(LoadedModel(spec, target, Asking(), 0.0), PLAN)
    assert is_fatal(one.value)


def peak_of(module: nn.Module, runtime: str = "eager") -> int:
    target = Target("cuda:0", "Tesla V100", "v100", runtime=runtime)
    spec = ModelSpec.of(Noting, name="net", input_size=16)
    metrics = memory_of(LoadedModel(spec, target, module, 0.0))
    return int(metrics["peak_memory"]["value"])


def test_what_ran_before_does_not_change_the_peak_of_a_network() -> None:
    """cuBLAS keeps a workspace from its first product on, which a network without one has not."""
    without = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with virtual_cuda(0):
        before = peak_of(without)
        assert peak_of(Noting()) > WORKSPACE
        assert peak_of(without) == before


def test_a_graph_takes_what_its_capture_takes() -> None:
    with virtual_cuda(0):
        eager = peak_of(Noting())
        # Two tensors of the image's size at once, beside the image.
        assert eager - WORKSPACE > 3 * 4 * 3 * 16 * 16
        assert peak_of(Noting(), "cudagraph") >= eager


def test_a_graph_is_given_back_before_its_memory_is_counted() -> None:
    with virtual_cuda(0):
        loaded = load(0, "cudagraph")
        with forward_passes(loaded):
            forward = Runner(loaded, None)
            forward()
            output = weakref.ref(forward.output)
            assert output() is not None
            whole = forward.with_its_memory()
            assert output() is None
            whole()
            assert forward.output is not None


def test_a_network_that_fails_before_its_capture_leaves_the_device_usable() -> None:
    class Failing(Noting):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("shapes do not match")

    with virtual_cuda(1):
        target = Target("cuda:1", "Tesla V100", "v100", runtime="cudagraph")
        spec = ModelSpec.of(Failing, name="failing", input_size=16)
        loaded = LoadedModel(spec, target, Failing(), 0.0)
        with pytest.raises(NotMeasuredError) as caught:
            latency_record(loaded, PLAN)
    assert not is_fatal(caught.value)
