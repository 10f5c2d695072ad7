"""What networks of other kinds give by an engine: their own scores, or a reason."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from archbench import ModelSpec
from archbench.core.errors import NotMeasuredError
from archbench.measure.running import Runner, forward_passes
from archbench.runtimes.opening import array_of, refused_by
from tests.runtimes.networks import Net, loaded


def test_images_live_as_long_as_a_pass_reads_them(
    runtime: str, artefacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Engines read memory that they do not keep: of other precisions that is a copy."""
    made: list[weakref.ref[Any]] = []

    def copied(tensor: torch.Tensor) -> Any:
        array = array_of(tensor).copy()
        made.append(weakref.ref(array))
        return array

    def alive(self: Any, *given: Any, **options: Any) -> Any:
        assert made[-1]() is not None
        return infer(self, *given, **options)

    monkeypatch.setattr(f"archbench.runtimes.{runtime}.array_of", copied)
    if runtime == "openvino":
        request = pytest.importorskip("openvino").InferRequest
        infer = request.infer
        monkeypatch.setattr(request, "infer", alive)
    model = loaded(artefacts, runtime=runtime)
    with forward_passes(model):
        runner = Runner(model, None)
        (first,) = made
        runner()
        assert runner.prepared.run is not None
        runner.prepared.run(runner.inputs)
    assert first() is not None
    assert len(made) == 2


class Half(Net):
    """Has its weights in fp16, and casts what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.half()

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.half()).float()


def test_weights_that_are_not_in_fp32_are_named(artefacts: Path) -> None:
    pytest.importorskip("onnxscript")
    model = loaded(artefacts, Half, runtime="onnxruntime")
    with pytest.raises(NotMeasuredError) as caught, forward_passes(model):
        Runner(model, None)
    assert caught.value.reason == "not-exportable"
    assert str(caught.value).endswith(
        ". Use --runtime=eager; engines get its weights in fp32, and it has some in float16"
    )


def test_files_of_the_engine_are_left_out_of_its_reason() -> None:
    said = (
        "Exception from src/inference/src/cpp/core.cpp:84:\nCheck 'false' failed at "
        "src/frontends/report.cpp:151:\nModel wasn't fully converted: Dropout-20"
    )
    spec = ModelSpec.of(Net, name="net")
    assert str(refused_by("OpenVINO", spec, RuntimeError(said))) == (
        "OpenVINO does not run the graph of local/net: RuntimeError: Model wasn't fully converted: "
        "Dropout-20. Use another runtime"
    )
