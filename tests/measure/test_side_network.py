"""A side of a paired comparison: what it runs, in which precision, and what it says about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from archbench import ModelSpec, Target
from archbench.core.errors import ArchitectureError, NotMeasuredError, UsageError
from archbench.core.telemetry import TelemetrySample
from archbench.devices.backend import Backend
from archbench.devices.xpu import Xpu
from archbench.measure import side_network as module
from archbench.measure.cells import Instruments, memory_of
from archbench.measure.latency import Clock
from archbench.measure.side_network import SideNetwork, varied
from archbench.models.loading import load
from tests.measure.small import Small
from tests.measure.test_device_time import Machine

TARGET = Target("cpu", "AMD EPYC", "cpu-amd-epyc")

SEEN: list[tuple[torch.dtype, str]] = []


class Noting(Small):
    """Notes in what it is run: the precision of its convolution, and torch's of products."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.conv(x))
        SEEN.append((y.dtype, torch.get_float32_matmul_precision()))
        return self.fc(y.mean((2, 3))) * self.scale


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    SEEN.clear()


def weight(network: SideNetwork) -> torch.Tensor:
    return network._loaded.module.get_parameter("conv.weight")


def side(instruments: Any = None, constructor: Any = Noting, **target: Any) -> SideNetwork:
    spec = ModelSpec.of(constructor, name="small", input_size=16)
    return SideNetwork(load(spec, replace(TARGET, **target)), 1, Ticks().clock, instruments)


class Ticks:
    """A wall clock on which each reading is 10 ms after the one before, processor time of 4 ms."""

    def __init__(self) -> None:
        self.walls = self.cpus = 0
        self.clock = Clock(self.wall, self.cpu)

    def wall(self) -> int:
        self.walls += 10_000_000
        return self.walls

    def cpu(self) -> int:
        self.cpus += 4_000_000
        return self.cpus


# Bursts


def test_passes_go_by_until_the_time_is_over() -> None:
    burst = side().burst(0.05)
    # Two readings a pass: the first ends 20 ms after the start, the third 60 ms.
    assert burst.wall == pytest.approx([0.01] * 3)
    assert burst.cpu == pytest.approx([0.004] * 3)
    # From the reading at the start to the one at the end: six of passes and its own.
    assert burst.took == pytest.approx(0.07)
    assert burst.seconds == burst.took
    assert burst.device == ()
    assert burst.telemetry == ()
    assert burst.is_full is None


def test_a_burst_has_one_pass_at_least() -> None:
    assert len(side().burst(0.0).wall) == 1


def test_the_flush_before_each_pass_is_not_timed() -> None:
    flushed: list[int] = []
    cold = side(Instruments(flush=lambda: flushed.append(1)), cold_cache=True)
    flushed.clear()
    burst = cold.burst(0.05)
    assert len(flushed) == len(burst.wall) == 3
    assert burst.wall == pytest.approx([0.01] * 3)


def test_a_cold_side_empties_the_caches_of_its_device() -> None:
    assert side(cold_cache=True)._tools.flush is not None
    assert side()._tools.flush is None


def test_weights_move_when_they_are_told_to() -> None:
    network = side()
    places = [weight(network).data_ptr()]
    network.burst(0.0)
    places.append(weight(network).data_ptr())
    network.burst(0.0, move=True)
    places.append(weight(network).data_ptr())
    assert places[0] == places[1] != places[2]


# Precisions


def test_two_precisions_in_one_process_keep_apart() -> None:
    before = torch.get_float32_matmul_precision()
    exact, fast = side(), side(dtype="tf32")
    half, mixed = side(dtype="bf16"), side(dtype="amp-bf16")
    SEEN.clear()
    for network in (exact, fast, half, mixed, exact):
        network.burst(0.0)
    assert [
        (torch.float32, "highest"),
        (torch.float32, "high"),
        (torch.bfloat16, "highest"),
        (torch.bfloat16, "highest"),
        (torch.float32, "highest"),
    ] == SEEN
    assert torch.get_float32_matmul_precision() == before
    assert weight(mixed).dtype == torch.float32


def test_a_move_and_modules_are_in_the_sides_precision() -> None:
    fast = side(dtype="tf32")
    SEEN.clear()
    fast.burst(0.0, move=True)
    fast.modules(1)
    assert [(torch.float32, "high")] * 3 == SEEN


@pytest.mark.filterwarnings("ignore")
def test_scripted_parts_are_in_the_time_of_their_caller() -> None:
    def net() -> nn.Module:
        return nn.Sequential(nn.Flatten(), torch.jit.script(nn.Linear(768, 16)), nn.Linear(16, 10))

    assert side(constructor=net).modules(1).keys() == {"", "0", "2"}


def test_int8_runs() -> None:
    network = side(constructor=lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)
    ), dtype="int8")  # fmt: skip
    assert len(network.burst(0.0).wall) == 1
    # Counts are the network's own, which packed weights do not have.
    assert network.facts(exact=True).counts["params"] == 4 * 27 + 4 + 40 + 10


def test_nhwc_reaches_the_images() -> None:
    (images,) = side(memory_format="nhwc")._forward.inputs
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_scores_that_are_not_finite_are_not_measured() -> None:
    with pytest.raises(NotMeasuredError, match="not finite in fp16"):
        side(constructor=lambda: Small(1e6), dtype="fp16")


def test_a_failure_is_the_networks() -> None:
    class Failing(Noting):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise ValueError("the gears are stuck")

    with pytest.raises(ArchitectureError, match="forward pass: ValueError: the gears are stuck"):
        side(constructor=Failing)


# Runtimes


def test_a_side_is_run_as_its_target_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []

    def compile_(one: nn.Module) -> nn.Module:
        compiled.append(one)
        torch._dynamo.utils.counters["stats"]["unique_graphs"] = 3
        return one

    monkeypatch.setattr(torch, "compile", compile_)
    network = side(runtime="compiled")
    assert compiled == [network._loaded.module]
    metrics = network.facts(exact=True).metrics
    assert metrics["graph_breaks"]["value"] == 2
    assert metrics["compile_time"]["value"] > 0
    assert network.facts(exact=False).metrics == {}
    assert side().facts(exact=True).metrics.keys() == {"peak_memory"}


def test_weights_that_move_are_not_compiled_again() -> None:
    network = side(constructor=lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)
    ), runtime="compiled")  # fmt: skip
    places = [next(network._loaded.module.parameters()).data_ptr()]
    for _ in range(2):
        network.burst(0.0, move=True)
        places.append(next(network._loaded.module.parameters()).data_ptr())
    # Each move leaves the last place free, so the second one may lead back to the first.
    assert places[0] != places[1] != places[2]
    assert network._forward.recompilations() == 0


def test_what_was_found_about_a_network_is_said_of_the_side() -> None:
    class Zeros(Small):
        def __init__(self) -> None:
            super().__init__()
            for one in self.parameters():
                nn.init.zeros_(one)

    (note,) = side(constructor=Zeros).facts(exact=True).notes
    assert note.code == "filled"
    assert side().facts(exact=True).notes == ()


# Memory


def test_peak_memory_is_that_of_a_plain_measurement_and_repeats() -> None:
    found = [side().facts(exact=True).counts["peak_memory"] for _ in range(2)]
    loaded = load(ModelSpec.of(Noting, name="small", input_size=16), TARGET)
    plain = memory_of(loaded)["peak_memory"]["value"]
    # Weights, images, and the convolution's result beside its rectified copy, at least.
    assert isinstance(found[0], int)
    assert found[0] >= 4 * ((112 + 50) + 3 * 16 * 16 + 2 * (4 * 14 * 14))
    assert found == [plain, plain]


def test_on_an_accelerator_the_peak_of_a_process_is_of_all_its_models(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = {"peak_memory": {"value": 7}, "device_memory": {"absent": "nobody tells it"}}
    monkeypatch.setattr(module, "memory_metrics", lambda *_: memory)
    network = side()
    assert network.facts(exact=True, alone=True).counts["peak_memory"] == 7
    # As if it were one: nothing else about the side changes.
    monkeypatch.setattr(Xpu, "current", Backend.current)
    network._loaded.target = replace(TARGET, device="xpu:0")
    network._loaded.network = None
    assert network.facts(exact=True, alone=True).metrics.keys() == memory.keys()
    facts = network.facts(exact=True, alone=False)
    assert "peak_memory" not in {*facts.counts, *facts.metrics}


# A device


def test_a_device_is_timed_by_its_own_clock() -> None:
    machine = Machine(host=1e-4, device=2e-3)

    class Launching(Noting):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            machine.launch()
            return super().forward(x)

    states = [TelemetrySample(float(i)) for i in range(1, 3)]
    passes: list[int] = []

    def read() -> TelemetrySample:
        passes.append(len(SEEN))
        return states[len(passes) - 1]

    network = side(Instruments(machine.synchronize, machine, read), Launching)
    SEEN.clear()
    burst = network.burst(0.05)
    # One pass wakes the device up, three are timed by the host's clock, the others by its own.
    assert burst.telemetry == tuple(states)
    assert passes[0] == 1
    assert passes[1] == len(SEEN) >= 4 + len(burst.device)
    assert burst.is_full is True
    # The host's clock is the test's, so that how many passes fill 20 ms is the host's own affair.
    assert len(burst.device) >= 1
    assert burst.device == pytest.approx([2e-3] * len(burst.device))
    assert burst.wall == pytest.approx([0.01] * 3)


def test_a_side_says_why_nothing_reads_its_device() -> None:
    machine = Machine(host=1e-4, device=2e-3)
    tools = Instruments(machine.synchronize, machine, no_telemetry="NVML cannot be read")
    assert side(tools).facts(exact=False).no_telemetry == "NVML cannot be read"
    assert side().facts(exact=False).no_telemetry is None


# What a flag makes of a target


def test_flags_change_their_field_and_leave_the_rest() -> None:
    flags = {"dtype": "bf16", "batch-size": "4", "memory-format": "nhwc", "model": "timm/resnet50d"}
    assert varied(TARGET, flags) == replace(
        TARGET, dtype="bf16", batch_size=4, memory_format="nhwc"
    )


@pytest.mark.parametrize(
    ("flags", "target", "message"),
    [
        ({"dtype": "tf32"}, TARGET, "TF32 is a mode of NVIDIA devices from Ampere on"),
        ({"runtime": "cudagraph"}, TARGET, "cpu (AMD EPYC) has no CUDA graphs"),
        (
            {"runtime": "compiled"},
            replace(TARGET, dtype="int8"),
            "torch's compiler does not take apart what torch.ao quantised",
        ),
    ],
)
def test_what_the_device_cannot_run_is_refused(
    flags: dict[str, str], target: Target, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        varied(target, flags)
    assert message in str(caught.value)
