"""int8 by the engines' own quantisers."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from archbench.core.errors import NotMeasuredError, UsageError
from archbench.core.run_config import RunConfig
from archbench.devices.choosing import Device
from archbench.measure.cells import further_metrics, latency_record
from archbench.measure.hardware import check_config
from archbench.measure.latency import SamplingPlan
from archbench.measure.running import forward_passes
from archbench.runtimes.openvino import OpenVino
from archbench.runtimes.own import runtime_named
from archbench.runtimes.runtime import Job
from archbench.store.artefacts import Artefacts
from tests.runtimes.networks import loaded

PLAN = SamplingPlan(time_budget=0.1)
NEEDED = {"onnxruntime": ("onnxruntime",), "openvino": ("openvino", "nncf")}


class Products(nn.Sequential):
    """Matrix products alone: ``(N, 3, 16, 16)`` to ten scores."""

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(768, 32), nn.ReLU(), nn.Linear(32, 10))


def made_in_int8(artefacts: Path, runtime: str, *network: Any) -> tuple[Any, dict[str, Any]]:
    for module in (*NEEDED[runtime], "onnx", "onnxscript"):
        pytest.importorskip(module)
    model = loaded(artefacts, *network, runtime=runtime, dtype="int8")
    record = latency_record(model, PLAN)
    assert record.suffix == f"int8-b1-{runtime}"
    assert [note.code for note in record.notes if note.code == "synthetic-ranges"]
    assert record.metrics["compile_time"]["value"] > 0
    opened: Any = model.artefact
    return opened.artefact, dict(further_metrics(model))


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_network_of_convolutions(runtime: str, tmp_path: Path) -> None:
    artefact, further = made_in_int8(tmp_path, runtime)
    assert artefact.facts["quantised"] == "static"
    # Eight bits are seen, and are this network all the same.
    assert 1e-4 < further["output_difference"]["value"] < 0.3
    assert further["process_memory"]["value"] > 30e6
    assert further["fallback_nodes"]["value"] == 0
    forms = {one.path.name.split("-")[1].partition("_")[0] for one in Artefacts(tmp_path).entries()}
    assert forms == {"onnx", "int8"}


def test_ranges_are_those_of_the_images_that_are_given(tmp_path: Path) -> None:
    for module in ("onnxruntime", "onnx", "onnxscript"):
        pytest.importorskip(module)
    import onnx
    from onnx import numpy_helper

    model = loaded(tmp_path, runtime="onnxruntime", dtype="int8")
    images = torch.linspace(-0.5, 2.0, 3 * 3 * 16 * 16).reshape(3, 3, 16, 16)
    job = Job(
        model.spec, model.module, model.inputs(), model.device, model.target,
        artefacts=tmp_path, ranges=images,
    )  # fmt: skip
    with forward_passes(model):
        prepared = runtime_named("onnxruntime").prepare(job)
    assert not prepared.notes
    opened: Any = prepared.artefact
    graph = onnx.load(str(opened.artefact.path / "network.onnx")).graph
    values = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    first = next(one for one in graph.node if one.input[0] == graph.input[0].name)
    assert first.op_type == "QuantizeLinear"
    # 2.5 in 255 steps, of which -0.5 is 51 below zero.
    assert values[first.input[1]] == pytest.approx(2.5 / 255)
    assert values[first.input[2]] == 51


def test_matrix_products_are_quantised_dynamically(tmp_path: Path) -> None:
    artefact, further = made_in_int8(tmp_path, "onnxruntime", Products)
    assert artefact.facts["quantised"] == "dynamic"
    assert 1e-4 < further["output_difference"]["value"] < 0.3
    import onnx

    operators = {one.op_type for one in onnx.load(str(artefact.path / "network.onnx")).graph.node}
    assert "MatMulInteger" in operators


def test_what_cannot_be_quantised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("onnxruntime", "onnx", "onnxscript"):
        pytest.importorskip(module)

    def run(command: list[str], **_: object) -> Any:
        return subprocess.CompletedProcess(command, 1, "", "Traceback\nValueError: no ranges\n")

    monkeypatch.setattr("archbench.runtimes.fresh.subprocess.run", run)
    with pytest.raises(NotMeasuredError) as caught:
        latency_record(loaded(tmp_path, runtime="onnxruntime", dtype="int8"), PLAN)
    assert (caught.value.reason, str(caught.value)) == (
        "not-quantisable",
        "local/net cannot be quantised for onnxruntime: ValueError: no ranges. Use another "
        "--dtype, or leave the architecture out",
    )


def test_openvino_needs_nncf_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    find = importlib.util.find_spec
    lacking = staticmethod(lambda name: None if name == "nncf" else find(name))
    monkeypatch.setattr(OpenVino, "find", lacking)
    with pytest.raises(UsageError) as caught:
        check_config(Device("cpu", "AMD EPYC"), RunConfig(runtime="openvino", dtype="int8"))
    assert "it needs nncf, which is not installed. Run: python -m pip install " in str(caught.value)
    assert "'pytest-archbench[quantization]'" in str(caught.value)
