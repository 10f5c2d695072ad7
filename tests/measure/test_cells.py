"""Records of measurements, and what becomes of failures."""

from __future__ import annotations

import math
import sys
from types import FrameType

import pytest
import torch
from torch import nn

from archbench import ModelSpec, Target
from archbench.core.errors import ArchitectureError, NotMeasuredError
from archbench.core.statistics import summarize
from archbench.measure.cells import (
    complexity_record,
    latency_record,
    load_guarded,
)
from archbench.measure.failures import describe_failure
from archbench.measure.latency import SamplingPlan
from archbench.measure.times import _doubts
from archbench.models.loading import ModelHolder
from archbench.models.outputs import class_scores
from tests.measure.small import Small

TARGET = Target("cpu", "AMD EPYC", "cpu-amd-epyc", batch_size=2)
PLAN = SamplingPlan(time_budget=0.1)


def small(**kwargs: object) -> ModelSpec:
    return ModelSpec.of(Small, name="small", input_size=16, kwargs=kwargs)


def test_latency_record() -> None:
    record = latency_record(load_guarded(ModelHolder(), small(), TARGET), PLAN)
    latency = record.metrics["latency"]
    assert record.id == "local/small"
    assert record.target == TARGET
    assert (latency["unit"], latency["basis"], latency["source"]) == ("s", "batch", "measured")
    assert len(latency["samples"]) == len(record.metrics["cpu_time"]["samples"]) >= 3
    assert all(0 < sample < 1 for sample in latency["samples"])
    assert record.seconds["forward"] == pytest.approx(
        math.fsum(latency["samples"]) + math.fsum(latency["warmup"])
    )


def test_a_tracer_is_not_timed_and_comes_back() -> None:
    seen = []

    class Watched(Small):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(sys.gettrace())
            return super().forward(x)

    def tracer(frame: FrameType, event: str, argument: object) -> None:
        return None

    spec = ModelSpec.of(Watched, name="watched", input_size=16)
    loaded = load_guarded(ModelHolder(), spec, TARGET)
    seen.clear()
    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        latency_record(loaded, PLAN)
        after = sys.gettrace()
    finally:
        sys.settrace(before)
    assert set(seen) == {None}
    assert after is tracer


def test_complexity_record() -> None:
    record, _ = complexity_record(small())
    metrics = record.metrics
    assert metrics["params"] == {"value": 3 * 4 * 9 + 4 + 50, "unit": "1", "source": "counted"}
    assert metrics["macs"]["value"] == 14 * 14 * 4 * 27 + 40
    assert metrics["macs"]["basis"] == "image"


def test_scores_that_are_not_finite_are_not_measured() -> None:
    loaded = load_guarded(ModelHolder(), small(scale=math.inf), TARGET)
    with pytest.raises(NotMeasuredError, match="not finite in fp32"):
        latency_record(loaded, PLAN)


def test_the_holder_keeps_one_model_and_shares_it_among_batch_sizes() -> None:
    holder = ModelHolder()
    one = holder.get(small(), TARGET)
    again = holder.get(small(), Target("cpu", "AMD EPYC", "cpu-amd-epyc", batch_size=8))
    assert again.module is one.module
    assert again.images().shape == (8, 3, 16, 16)
    built = [parameter.clone() for parameter in one.module.parameters()]
    half = holder.get(small(), Target("cpu", "AMD EPYC", "cpu-amd-epyc", dtype="bf16"))
    assert half.images().dtype == torch.bfloat16
    # One network, built once: it is in the precision of whichever runs.
    for loaded, dtype in ((half, torch.bfloat16), (one, torch.float32), (half, torch.bfloat16)):
        with loaded.running():
            now = list(loaded.module.parameters())
            assert {parameter.dtype for parameter in now} == {dtype}
            assert all(a.to(dtype).equal(b) for a, b in zip(built, now, strict=True))


def test_a_model_without_a_tensor_of_scores_is_refused() -> None:
    class Named(Small):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return {"scores": super().forward(x).sum(1), "other": None}  # type: ignore[return-value]

    spec = ModelSpec.of(Named, name="named", input_size=16)
    with pytest.raises(ArchitectureError, match=r"dict of scores: \(2,\), and none of it is a row"):
        latency_record(load_guarded(ModelHolder(), spec, TARGET), PLAN)


def test_the_first_of_several_outputs_are_the_scores() -> None:
    class Pair(Small):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x), None  # type: ignore[return-value]

    spec = ModelSpec.of(Pair, name="pair", input_size=16)
    loaded = load_guarded(ModelHolder(), spec, TARGET)
    with torch.no_grad():
        assert loaded(loaded.images()).shape == (2, 10)


def test_out_of_memory_is_a_result_of_its_cell() -> None:
    error = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried\nmore")
    record, text = describe_failure(error, "latency", small(), TARGET)
    (verdict,) = record.verdicts
    assert verdict.status == "out-of-memory"
    assert text == (
        "out-of-memory: local/small does not fit into memory at batch size 2 in fp32: "
        "DefaultCPUAllocator: can't allocate memory: you tried. "
        "Use a smaller --batch-size or leave the architecture out"
    )


def test_a_failing_constructor_is_a_crashed_cell_with_its_own_traceback() -> None:
    def broken() -> nn.Module:
        raise ValueError("width must be positive")

    spec = ModelSpec.of(broken, input_size=16)
    with pytest.raises(ArchitectureError) as caught:
        load_guarded(ModelHolder(), spec, TARGET)
    record, text = describe_failure(caught.value, "latency", spec, TARGET)
    assert record.verdicts[0].status == "crashed"
    assert text.startswith(
        "crashed: local/broken cannot be built: ValueError: width must be positive\n\n  File"
    )
    assert "in broken" in text


def test_a_network_that_is_no_classifier_is_not_measured() -> None:
    """It runs, so that nothing has crashed; a map of features has no row of scores."""
    spec = ModelSpec.of(lambda: nn.Conv2d(3, 4, 3), name="features", input_size=16)
    with pytest.raises(ArchitectureError) as caught:
        load_guarded(ModelHolder(), spec, TARGET)
    record, text = describe_failure(caught.value, "latency", spec, TARGET)
    (verdict,) = record.verdicts
    assert (verdict.status, verdict.reason) == ("not-measured", "no-class-scores")
    assert verdict.is_bad
    assert text.startswith(
        "not-measured: local/features returned scores of shape (2, 4, 14, 14) for 2 images"
    )


@pytest.mark.parametrize("error", [AssertionError("odd width"), SystemExit(3)])
def test_whatever_a_forward_pass_raises_is_its_own_failure(error: BaseException) -> None:
    class Raising(Small):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise error

    spec = ModelSpec.of(Raising, name="raising", input_size=16)
    with pytest.raises(ArchitectureError) as caught:
        latency_record(load_guarded(ModelHolder(), spec, TARGET), PLAN)
    record, text = describe_failure(caught.value, "latency", spec, TARGET)
    assert record.verdicts[0].status == "crashed"
    assert text.startswith(
        f"crashed: local/raising failed in its forward pass: {type(error).__name__}: {error} "
        "(images of 3x16x16)\n\n"
    )
    assert "raise error" in text
    assert "sample_latency" not in text, "no frame of archbench"


def test_a_failing_forward_pass_is_a_crashed_cell() -> None:
    error = RuntimeError("shapes do not match")
    record, text = describe_failure(error, "latency", small(), None)
    assert record.target is None
    assert record.verdicts[0].reason == "RuntimeError"
    assert text.startswith("crashed: local/small failed: RuntimeError: shapes do not match")


def test_doubts() -> None:
    quiet = [0.100, 0.101, 0.099] * 20
    assert _doubts(summarize(quiet), tuple(quiet), tuple(quiet), TARGET) == []
    wild = [0.05, 0.10, 0.20] * 4
    (note,) = _doubts(summarize(wild), tuple(wild), tuple(wild), TARGET)
    assert note.code == "noisy"
    halved = tuple(value / 2 for value in quiet)
    (note,) = _doubts(summarize(quiet), tuple(quiet), halved, TARGET)
    assert note.text == "the process did not run for 50% of the time"
    waiting = Target("cuda:0", "Tesla T4", "t4")
    assert _doubts(summarize(quiet), tuple(quiet), halved, waiting) == []


def test_scores_for_each_place_in_the_image_are_refused() -> None:
    # Some networks that end in a pooling of fixed size answer like this to larger images.
    spec = ModelSpec("pytorchcv", "squeezenet_v1_0").with_input_size(320)
    with pytest.raises(ArchitectureError, match=r"shape \(1, 9000\).*expected \(1, 1000\)"):
        class_scores(spec, torch.zeros(1, 9000), images=1)
    with pytest.raises(ArchitectureError, match=r"shape \(1, 7, 7, 10\).*\(1, classes\)"):
        class_scores(small(), torch.zeros(1, 7, 7, 10), images=1)
    with pytest.raises(ArchitectureError, match=r"shape \(1, 10\) for 4 images.*\(4, classes\)"):
        class_scores(small(), torch.zeros(1, 10), images=4)
    assert class_scores(small(), torch.ones(4, 10), images=4).sum() == 40
