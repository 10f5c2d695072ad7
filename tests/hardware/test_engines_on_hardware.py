"""Engines on a real accelerator. Skipped where there is none, or an engine is not installed."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest
import torch

from archbench.catalog.catalog import load_catalog
from archbench.core.agreement import output_verdict
from archbench.core.errors import UsageError
from archbench.core.run_config import RunConfig
from archbench.core.spec import Target
from archbench.measure.cells import further_metrics, latency_record, load_guarded
from archbench.measure.hardware import make_target
from archbench.measure.latency import SamplingPlan
from archbench.measure.running import Runner, forward_passes
from archbench.models.loading import LoadedModel, ModelHolder

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

MODEL = "torchvision/resnet18"
ENGINES = ("tensorrt", "onnxruntime", "onnxruntime-tensorrt", "aotinductor")


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artefacts")


def target_of(**config: Any) -> Target:
    try:
        return make_target("cuda", config=RunConfig(**config))
    except UsageError as error:
        pytest.skip(str(error))


def model_of(artefacts: Path, **config: Any) -> LoadedModel:
    spec = load_catalog().get(MODEL)
    return load_guarded(ModelHolder(artefacts=artefacts), spec, target_of(**config))


@pytest.mark.parametrize("size", [1, 8])
@pytest.mark.parametrize("dtype", ["fp32", "tf32", "fp16"])
@pytest.mark.parametrize("runtime", ENGINES)
def test_an_engine_returns_what_the_network_returns(
    runtime: str, dtype: str, size: int, artefacts: Path
) -> None:
    engine = model_of(artefacts, runtime=runtime, dtype=dtype, batch_size=size)
    eager = model_of(artefacts, dtype=dtype, batch_size=size)
    times = {}
    for model in (eager, engine):
        record = latency_record(model, SamplingPlan(time_budget=1.0))
        times[model.target.runtime] = [
            statistics.median(record.metrics[name]["samples"]) * 1e3
            for name in ("latency", "device_time")
        ]
    found = further_metrics(engine)
    verdict = output_verdict(found["output_difference"], dtype, runtime)
    costs = {name: one["value"] for name, one in record.metrics.items() if "value" in one}
    print(f"\n{engine.target.suffix}: ms {times}, {costs}, {found}")
    print(record.metrics["latency"].get("engine"), record.notes)
    assert verdict.status == "unchanged", verdict.sentence
    # Passes are started and not waited for, so that the device never waits for the host.
    assert record.metrics["device_time"]["queue_full"] is True


@pytest.mark.parametrize("runtime", ENGINES)
def test_the_devices_time_is_that_of_a_plain_loop(runtime: str, artefacts: Path) -> None:
    model = model_of(artefacts, runtime=runtime, dtype="fp16", batch_size=64)
    record = latency_record(model, SamplingPlan(time_budget=1.0))
    ours = statistics.median(record.metrics["device_time"]["samples"])
    with forward_passes(model):
        start_pass = Runner(model, None).prepared.start
        for _ in range(10):
            start_pass()
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        for _ in range(50):
            start_pass()
        last.record()
        torch.cuda.synchronize()
    theirs = first.elapsed_time(last) / 50 / 1e3
    print(f"\n{runtime}, 64 images: {ours * 1e3:.3f} ms, a plain loop {theirs * 1e3:.3f} ms")
    assert ours == pytest.approx(theirs, rel=0.05)


@pytest.mark.parametrize("runtime", ["tensorrt", "onnxruntime-tensorrt"])
def test_an_engine_is_built_once(runtime: str, artefacts: Path) -> None:
    def load() -> tuple[set[Path], float]:
        model = model_of(artefacts, runtime=runtime, dtype="fp16")
        with forward_passes(model):
            prepared = Runner(model, None).prepared
        return {*artefacts.glob("*/*.engine")}, float(prepared.metrics["load_time"]["value"])

    built, _ = load()
    again, seconds = load()
    print(f"\n{runtime}: loaded in {seconds:.2f} s")
    assert built
    assert again == built


def test_tensorrt_computes_fp32_without_tf32(artefacts: Path) -> None:
    found = {}
    for dtype in ("fp32", "tf32"):
        model = model_of(artefacts, runtime="tensorrt", dtype=dtype, batch_size=8)
        with forward_passes(model):
            runner = Runner(model, None)
            told = runner.prepared.settings
        found[dtype] = told["tf32"], further_metrics(model)["output_difference"]["value"]
    print(f"\nkernels in tf32, and the difference to eager fp32: {found}")
    assert found["fp32"][0] == 0
    assert found["fp32"][1] < 1e-4


def test_tensorrts_profile_is_the_time_of_a_pass(artefacts: Path) -> None:
    model = model_of(artefacts, runtime="tensorrt", dtype="fp16", batch_size=8)
    record = latency_record(model, SamplingPlan(time_budget=1.0))
    whole = statistics.median(record.metrics["device_time"]["samples"])
    with forward_passes(model):
        profile = Runner(model, None).prepared.profile
        assert profile is not None
        layers = profile(20)
    total = sum(one.seconds for one in layers.values())
    print(f"\n{len(layers)} layers take {total * 1e3:.3f} ms, a pass {whole * 1e3:.3f} ms")
    assert 0.5 * whole < total < 2 * whole
