"""Precisions, memory formats and runtimes, for real on a CPU with small networks."""

from __future__ import annotations

import weakref
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from archbench import ModelSpec, Target
from archbench.core.errors import InconclusiveError, NotMeasuredError, UsageError
from archbench.core.run_config import RunConfig
from archbench.core.telemetry import TelemetrySample
from archbench.devices.choosing import Device
from archbench.devices.cpu import Cpu
from archbench.devices.cuda import Cuda
from archbench.measure.cells import (
    Instruments,
    energy_of,
    largest_batch,
    latency_record,
    load_guarded,
    memory_of,
)
from archbench.measure.cold_cache import flusher
from archbench.measure.hardware import check_config
from archbench.measure.largest_batch import search_largest
from archbench.measure.latency import SamplingPlan
from archbench.measure.precision import check_dtype
from archbench.measure.running import Runner
from archbench.models import quantizing
from archbench.models.loading import ModelHolder
from archbench.models.numerics import numerics
from archbench.runtimes.compiled import Compiled
from tests.measure.small import Small
from tests.measure.test_device_time import HOT, Machine

TARGET = Target("cpu", "AMD EPYC", "cpu-amd-epyc")
CPU = Device("cpu", "AMD EPYC")
GPU = Device("cuda:0", "Tesla V100", "uuid")
PLAN = SamplingPlan(time_budget=0.1)


class Branching(Small):
    """Its way depends on its values, so that no graph holds all of it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.conv(x))
        if y.sum() > 0:
            y = y * 2
        return self.fc(y.mean((2, 3)))


class Counting(Small):
    """Compiled code holds its number of passes."""

    passes = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        return super().forward(x * (1 + self.passes - self.passes))


def spec(constructor: Any = Small, **kwargs: Any) -> ModelSpec:
    return ModelSpec.of(constructor, name="small", input_size=16, kwargs=kwargs)


def record(constructor: Any = Small, instruments: Any = None, **target: Any) -> Any:
    loaded = load_guarded(ModelHolder(), spec(constructor), replace(TARGET, **target))
    return latency_record(loaded, PLAN, instruments=instruments)


# Precision


def test_fp32_turns_tf32_off_and_leaves_the_switches_as_they_were() -> None:
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    with numerics("fp32", "cpu"):
        assert not torch.backends.cudnn.allow_tf32
        assert torch.get_float32_matmul_precision() == "highest"
        with numerics("tf32", "cpu"):
            assert torch.backends.cudnn.allow_tf32
            assert torch.get_float32_matmul_precision() == "high"
        assert not torch.backends.cudnn.allow_tf32
    assert (torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()) == before


def test_autocast_keeps_weights_in_fp32_and_computes_in_bf16() -> None:
    seen: list[torch.dtype] = []

    class Watching(Small):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x)
            seen.extend((x.dtype, self.conv.weight.dtype, y.dtype))
            return self.fc(y.mean((2, 3)))

    found = record(Watching, dtype="amp-bf16")
    assert seen[:3] == [torch.float32, torch.float32, torch.bfloat16]
    assert found.suffix == "amp-bf16-b1"


def test_an_overflow_in_fp16_is_not_measured() -> None:
    loaded = load_guarded(ModelHolder(), spec(scale=1e6), replace(TARGET, dtype="fp16"))
    with pytest.raises(NotMeasuredError, match=r"not finite in fp16; .* Use --dtype=fp32 or bf16"):
        latency_record(loaded, PLAN)


def test_tf32_is_refused_where_there_is_none() -> None:
    with pytest.raises(UsageError) as caught:
        check_dtype(CPU, "tf32")
    assert str(caught.value) == (
        "--dtype=tf32: cpu (AMD EPYC) does not run it: TF32 is a mode of NVIDIA devices from "
        "Ampere on. Use --dtype=fp32"
    )


@pytest.mark.parametrize(
    ("dtype", "refused"), [("tf32", True), ("bf16", True), ("amp-bf16", True), ("fp16", False)]
)
def test_what_a_v100_has_no_hardware_for(
    dtype: str, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda name: (7, 0))
    reason = Cuda(GPU.name).refuse_dtype(dtype)
    assert (reason is not None) is refused


def test_int8_runs_where_torch_quantises() -> None:
    loaded = load_guarded(ModelHolder(), spec(), replace(TARGET, dtype="int8"))
    assert quantizing.quantized_layers(loaded.module) >= 1
    found = latency_record(loaded, PLAN)
    assert found.suffix == "int8-b1"
    # Scores stay near those of fp32: the same network, rounded.
    exact = load_guarded(ModelHolder(), spec(), TARGET)
    with torch.inference_mode():
        images = exact.images()
        error = (loaded(images) - exact(images)).abs().max() / exact(images).abs().max()
    assert 0 < error < 0.1


def test_a_network_that_cannot_be_traced_is_not_quantised() -> None:
    with pytest.raises(NotMeasuredError) as caught:
        load_guarded(ModelHolder(), spec(Branching), replace(TARGET, dtype="int8"))
    assert caught.value.reason == "not-quantisable"
    assert str(caught.value).startswith("local/small cannot be quantised by torch: ")


def test_linear_layers_are_quantised_dynamically_where_the_rest_cannot_be() -> None:
    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 1000)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x.mean((2, 3))
            return self.fc(y if y.sum() > 0 else -y)

    loaded = load_guarded(ModelHolder(), spec(Linear), replace(TARGET, dtype="int8"))
    assert type(loaded.module.fc).__module__.startswith("torch.ao.nn.quantized.dynamic")


def test_int8_is_refused_on_an_accelerator_and_without_torch_ao(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(name: str) -> Any:
        raise ModuleNotFoundError(name)

    text = quantizing.refusal(load)
    assert text == f"torch {torch.__version__} has no torch.ao.quantization any more"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda name: (8, 0))
    with pytest.raises(UsageError, match=r"--dtype=int8: cuda:0 .* run on CPUs only"):
        check_dtype(GPU, "int8")


# Memory format


def test_nhwc_reaches_weights_and_images() -> None:
    seen: list[bool] = []

    class Watching(Small):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.extend(
                tensor.is_contiguous(memory_format=torch.channels_last)
                for tensor in (x, self.conv.weight)
            )
            return super().forward(x)

    found = record(Watching, memory_format="nhwc")
    assert all(seen)
    assert found.suffix == "fp32-b1-nhwc"


def test_the_holder_keeps_memory_formats_apart() -> None:
    holder = ModelHolder()
    usual = holder.get(spec(), TARGET)
    assert holder.get(spec(), replace(TARGET, runtime="compiled")).module is usual.module
    convolution = usual.module.get_parameter("conv.weight")
    assert convolution.is_contiguous()
    other = holder.get(spec(), replace(TARGET, memory_format="nhwc"))
    assert not convolution.is_contiguous()
    # The first one is as it was again when it runs.
    with usual.running():
        assert convolution.is_contiguous()
    with other.running():
        assert convolution.is_contiguous(memory_format=torch.channels_last)


def test_threads_are_as_many_as_before_behind_its_passes() -> None:
    loaded = ModelHolder().get(spec(), TARGET)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with loaded.computing():
            assert torch.get_num_threads() == TARGET.threads == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# Runtime


def test_a_compiled_network_tells_what_it_cost() -> None:
    found = record(runtime="compiled")
    assert found.suffix == "fp32-b1-compiled"
    assert found.metrics["compile_time"]["value"] > 0
    assert found.metrics["graph_breaks"]["value"] == 0
    assert found.metrics["recompilations"]["value"] == 0


def test_graph_breaks_are_counted() -> None:
    assert record(Branching, runtime="compiled").metrics["graph_breaks"]["value"] == 1


def test_recompilations_are_counted() -> None:
    loaded = load_guarded(ModelHolder(), spec(), replace(TARGET, runtime="compiled"))
    with torch.inference_mode():
        runner = Runner(loaded, None)
        assert runner.recompilations() == 0
        made: Any = loaded.artefact
        made.module(torch.zeros(1, 3, 24, 24))  # another size: another graph
    assert runner.recompilations() == 1


def test_a_network_that_is_compiled_in_its_passes_is_said_to_be() -> None:
    found = record(Counting, runtime="compiled")
    again = found.metrics["recompilations"]["value"]
    assert again > 0
    (text,) = [note.text for note in found.notes if note.code == "recompiled"]
    assert text.startswith(f"it was compiled anew {again} times after its first pass")
    assert not any(note.code == "recompiled" for note in record(runtime="compiled").notes)


def test_a_network_is_compiled_once_for_all_that_is_measured_of_it() -> None:
    loaded = load_guarded(ModelHolder(), spec(), replace(TARGET, runtime="compiled"))
    with torch.inference_mode():
        first, second = Runner(loaded, None), Runner(loaded, None)
        second()
    assert second.metrics == first.metrics
    assert second.recompilations() == 0


def test_what_cannot_be_compiled_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo.exc import BackendCompilerFailed

    def compiled(module: object) -> Any:
        def call(images: object) -> None:
            # Since torch 2.7 it takes the frame as well.
            more = (
                (None,)
                if "first_useful_frame" in signature(BackendCompilerFailed).parameters
                else ()
            )
            raise BackendCompilerFailed(compiled, RuntimeError("no kernel"), *more)

        return call

    monkeypatch.setattr(torch, "compile", compiled)
    with pytest.raises(NotMeasuredError) as caught:
        record(runtime="compiled")
    assert caught.value.reason == "not-compilable"
    assert "no kernel" in str(caught.value)


def test_a_network_that_the_compiler_leaves_alone_is_not_measured() -> None:
    def build() -> nn.Module:
        module = Small()
        module.forward = torch.compiler.disable(module.forward)  # type: ignore[method-assign]
        return module

    with pytest.raises(NotMeasuredError, match="took no graph from local/small"):
        record(build, runtime="compiled")


@pytest.mark.parametrize(
    ("config", "device", "message"),
    [
        (
            RunConfig(runtime="cudagraph"),
            CPU,
            "--runtime=cudagraph: cpu (AMD EPYC) has no CUDA graphs",
        ),
        (RunConfig(runtime="compiled"), CPU, "with a C++ compiler, and there is none. Install g++"),
        (RunConfig(runtime="compiled"), GPU, "with triton, which is not installed. Install triton"),
        (
            RunConfig(dtype="int8", runtime="compiled"),
            CPU,
            "does not take apart what torch.ao quantised",
        ),
    ],
)
def test_runtimes_that_are_refused(
    config: RunConfig, device: Device, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tool in ("which", "find"):
        monkeypatch.setattr(Compiled, tool, staticmethod(lambda name: None))
    with pytest.raises(UsageError) as caught:
        check_config(device, config)
    assert message in str(caught.value)


# Cold cache


def test_the_size_of_a_cache(tmp_path: Path) -> None:
    for index, text in enumerate(("48K\n", "1024K\n", "32M\n")):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(text, encoding="ascii")
    assert Cpu("cpu").cache_bytes(tmp_path) == 32 * 2**20
    assert Cpu("cpu").cache_bytes(tmp_path / "none") == 128 * 2**20


def test_a_flush_writes_over_all_of_it() -> None:
    flush = flusher(Cpu("cpu"), size=1000)
    first, second = flush(), flush()
    assert isinstance(first, torch.Tensor)
    assert isinstance(second, torch.Tensor)
    assert first.nbytes == 2000
    assert bool((second == 1).all())


def test_a_cold_pass_is_flushed_before_each_sample() -> None:
    flushed: list[int] = []
    tools = Instruments(flush=lambda: flushed.append(1))
    found = record(instruments=tools, cold_cache=True)
    assert len(flushed) == len(found.metrics["latency"]["samples"])
    assert found.suffix == "fp32-b1-cold"


# Whole cells


class Device_(Machine):
    """A device for a network that really runs here: each pass takes it 2 ms."""

    def __init__(self) -> None:
        super().__init__(host=1e-4, device=2e-3)

    def stamp(self) -> Any:
        self.launch_if_any()
        return super().stamp()

    def launch_if_any(self) -> None:
        self.work(2e-3)


def test_a_device_adds_its_own_time_and_its_state() -> None:
    machine = Device_()
    reading = TelemetrySample(clock=1.5e9, temperature=50.0, power=200.0, throttle=("power-cap",))
    tools = Instruments(machine.synchronize, machine, lambda: reading)
    found = record(instruments=tools)
    device = found.metrics["device_time"]
    assert device["samples"] == pytest.approx([2e-3] * len(device["samples"]))
    assert (device["clock"], device["queue_full"]) == ("device", True)
    assert found.metrics["latency"]["clock"] == "wall"
    (run,) = found.metrics["latency"]["process_runs"]
    assert run.device == pytest.approx([2e-3] * 9)
    assert run.queue_full is True
    assert found.metrics["latency"]["telemetry"][0] == reading
    assert [note for note in found.notes if note.code == "power-capped"]


def test_a_cpu_has_no_clock_of_its_own() -> None:
    found = record()
    assert "device_time" not in found.metrics
    (run,) = found.metrics["latency"]["process_runs"]
    assert (run.device, run.queue_full) == (None, None)


def test_a_device_that_throttles_throughout_is_inconclusive() -> None:
    machine = Device_()
    tools = Instruments(machine.synchronize, machine, lambda: HOT)
    with pytest.raises(InconclusiveError, match=r"in each of 3 series of passes \(thermal-slow"):
        record(instruments=tools)


def test_memory_of_a_cell() -> None:
    loaded = load_guarded(ModelHolder(), spec(), TARGET)
    found = [memory_of(loaded)["peak_memory"]["value"] for _ in range(2)]
    # Weights, images, and the convolution's result beside its rectified copy.
    floats = (112 + 50) + 3 * 16 * 16 + 2 * (4 * 14 * 14)
    assert found[0] == found[1] >= 4 * floats


def test_energy_without_a_counter_is_absent() -> None:
    from archbench.core.errors import AbsentError

    def none() -> Any:
        raise AbsentError("no counter here")

    loaded = load_guarded(ModelHolder(), spec(), TARGET)
    assert energy_of(loaded, none)["energy_per_image"]["absent"] == "no counter here"


def test_the_scores_of_a_pass_are_gone_when_the_next_one_begins() -> None:
    # On an H200 they lay in a block of 44 GiB that the next pass of the largest batch needed whole.
    returned: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []

    class Net(Small):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            alive.append(sum(one() is not None for one in returned))
            scores = super().forward(x)
            returned.append(weakref.ref(scores))
            return scores

    forward = Runner(ModelHolder().get(spec(Net), TARGET), None)
    forward()
    del alive[:]
    for _ in range(3):
        forward()
    assert alive == [0, 0, 0]
    assert forward.output is returned[-1]()


def test_the_largest_batch_of_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from archbench.measure import cells
    from archbench.measure import largest_batch as module

    class Limited(Small):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.shape[0] > 11:
                raise RuntimeError("CUDA out of memory. Tried to allocate 1.00 GiB")
            return super().forward(x)

    assert module.search_largest is search_largest
    loaded = load_guarded(ModelHolder(), spec(Limited), replace(TARGET, largest_batch=True))
    sized, found = cells.largest_batch(loaded)
    assert (sized.target.batch_size, found.stopped_by) == (11, "memory")
    assert largest_batch is cells.largest_batch
