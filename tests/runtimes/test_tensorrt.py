"""TensorRT by a double of its Python API, on CUDA devices that are not there."""

from __future__ import annotations

import importlib.util
import inspect
import json
import shutil
import statistics
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from archbench.core.errors import NotMeasuredError, UsageError
from archbench.core.run_config import RunConfig
from archbench.devices.choosing import Device
from archbench.devices.cuda import Cuda
from archbench.measure import hardware
from archbench.measure.cells import further_metrics, latency_record
from archbench.measure.instruments import Instruments
from archbench.measure.latency import SamplingPlan
from archbench.measure.running import Runner, forward_passes
from archbench.measure.side_network import SideNetwork
from archbench.runtimes import tensorrt as runtime
from archbench.runtimes.runtime import Job
from archbench.runtimes.tensorrt import ENGINE_FILE, TensorRt, precision_of
from archbench.store.artefacts import Artefacts
from tests.devices.virtual_cuda import KERNEL, Machine, virtual_cuda
from tests.runtimes import networks
from tests.runtimes.networks import Exits, outputs_on_two

DOUBLES = Path(__file__).parent / "doubles"
PLAN = SamplingPlan(time_budget=0.1)
H200 = Device("cuda:0", "NVIDIA H200")
on_device = partial(networks.on_device, runtime="tensorrt")


@pytest.fixture
def tensorrt(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Any:
    installed = tmp_path_factory.mktemp("installed")
    information = installed / "tensorrt-11.4.0.106.dist-info"
    information.mkdir()
    text = "Metadata-Version: 2.1\nName: tensorrt\nVersion: 11.4.0.106\n"
    (information / "METADATA").write_text(text, encoding="ascii")
    monkeypatch.syspath_prepend(installed)
    monkeypatch.syspath_prepend(DOUBLES)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda name: (9, 0))
    double = double_of("tensorrt")
    monkeypatch.setitem(sys.modules, "tensorrt", double)
    return double


def double_of(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, DOUBLES / "tensorrt.py")
    assert spec is not None
    assert spec.loader is not None
    double = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(double)
    return double


@pytest.fixture
def artefacts(graphs: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(graphs, tmp_path / "artefacts"))


@pytest.fixture
def fresh() -> None:
    """Engines are built in a process of their own, which takes seconds."""


def build_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines are built in this process."""
    answers: list[Any] = []

    def ask(*arguments: str, seconds: float) -> Any:
        runtime.build_engine(*arguments[2:])
        return answers.pop()

    monkeypatch.setattr(runtime, "answer", answers.append)
    monkeypatch.setattr(runtime, "ask_fresh", ask)


@pytest.fixture
def machine(
    artefacts: Path,
    tensorrt: Any,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[Machine]:
    """Two devices, on the second of which a pass of an engine is one kernel."""
    if "fresh" not in request.fixturenames:
        build_here(monkeypatch)

    def work(handle: int) -> None:
        (stream,) = [one for one in found.streams if one.cuda_stream == handle]
        stream.work(KERNEL)

    with virtual_cuda(1) as found:
        monkeypatch.setattr(tensorrt, "on_pass", work)
        yield found


def facts_of(artefacts: Path) -> list[dict[str, Any]]:
    """What the double writes into each engine."""
    paths = artefacts.glob(f"*/{ENGINE_FILE}")
    return [json.loads(path.read_bytes().partition(b"\n")[0]) for path in sorted(paths)]


def test_a_cell(artefacts: Path, fresh: None, machine: Machine) -> None:
    model = on_device(artefacts)
    record = latency_record(model, PLAN)
    further = further_metrics(model)
    assert record.suffix == "fp32-b1-tensorrt"
    assert record.environment["tensorrt"] == "11.4.0.106"
    device = record.metrics["device_time"]
    assert device["queue_full"] is True
    assert statistics.median(device["samples"]) == pytest.approx(KERNEL, rel=1e-3)
    assert machine.slept.keys() == {1}
    assert record.metrics["compile_time"]["value"] > 0
    (facts,) = facts_of(artefacts)
    assert facts["typed"]
    assert not facts["tf32"]
    assert facts["shapes"] == {"x": [1, 3, 16, 16]}
    (engine,) = artefacts.glob(f"*/{ENGINE_FILE}")
    assert record.metrics["artefact_size"]["value"] == engine.stat().st_size
    told = record.metrics["latency"]["engine"]
    assert told["version"] == "11.4.0.106"
    assert told["precisions"] == {"fp32": told["layers"]}
    assert further["engine_nodes"]["value"] == told["layers"]
    assert further["fallback_nodes"]["value"] == 0
    assert 0 <= further["output_difference"]["value"] < 1e-5
    assert further["top1_agreement"]["value"] == 100
    assert "device_memory has it" in further["peak_memory"]["absent"]


def test_passes_run_on_a_stream_of_their_own(
    artefacts: Path, tensorrt: Any, machine: Machine
) -> None:
    seen: set[int] = set()
    tensorrt.on_pass = seen.add
    default = machine.now[1]
    model = on_device(artefacts)
    for _ in range(2):
        with forward_passes(model):
            Runner(model, None)()
    (stream,) = seen
    assert stream != default.cuda_stream
    assert machine.now[1] is default


def test_device_time_of_a_side(artefacts: Path, tensorrt: Any, machine: Machine) -> None:
    model = on_device(artefacts)
    tools = Instruments(model.device.wait, model.device.clock())
    samples = SideNetwork(model, 0, instruments=tools).burst(0.01, move=True).device
    assert statistics.median(samples) == pytest.approx(KERNEL, rel=1e-3)


def test_fp16_is_the_graphs(artefacts: Path, tensorrt: Any, machine: Machine) -> None:
    model = on_device(artefacts, dtype="fp16")
    record = latency_record(model, PLAN)
    told = record.metrics["latency"]["engine"]
    assert told["precisions"] == {"fp16": told["layers"]}
    further = further_metrics(model)
    assert 0 < further["output_difference"]["value"] < 2e-2
    assert further["fallback_nodes"]["value"] == 0


def test_layers_in_another_precision_are_counted(
    artefacts: Path, tensorrt: Any, machine: Machine
) -> None:
    words = ("Half", "Float", "Int32")
    tensorrt.tell = lambda facts: [
        {**LAYER, "Outputs": [{"Format/Datatype": word}]} for word in words
    ]
    found = further_metrics(on_device(artefacts, dtype="fp16"))["fallback_nodes"]
    assert found["by_kind"] == {"conv fp32": 1}


def test_tf32_is_allowed_where_it_is_asked_for(
    artefacts: Path, tensorrt: Any, machine: Machine
) -> None:
    latency_record(on_device(artefacts, dtype="tf32"), PLAN)
    (facts,) = facts_of(artefacts)
    assert facts["tf32"]


def test_all_outputs_and_batches_have_their_place(
    artefacts: Path, tensorrt: Any, machine: Machine
) -> None:
    model = on_device(artefacts, Exits, batch_size=3)
    with forward_passes(model):
        runner = Runner(model, None)
        found, want, other, want_other = outputs_on_two(runner, model.module)
        runner()
        again: Any = runner.output
        profile = runner.prepared.profile
        assert profile is not None
        assert {one.seconds for one in profile(2).values()} == {0.25e-3}
    assert list(found) == ["out", "aux"]
    assert found["aux"].shape == (3, 10)
    assert torch.allclose(found["aux"], want["aux"], atol=1e-6)
    assert torch.allclose(other["out"], want_other["out"], atol=1e-6)
    assert torch.equal(again["out"], found["out"])


LAYER = {"Name": "conv", "LayerType": "conv"}


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (
            {"TacticName": "sm80_xmma_fprop_implicit_gemm_tf32f32_tf32f32_f32_nhwckrsc"},
            "TensorRT was asked for layers in tf32 0 and runs with 1. Look for its environment",
        ),
        (
            {"Outputs": [{"Format/Datatype": "Half"}]},
            "TensorRT was asked for layers below fp32 0 and runs with 1. Look for",
        ),
    ],
)
def test_an_engine_that_is_less_exact_than_fp32(
    layer: dict[str, Any], said: str, artefacts: Path, tensorrt: Any, machine: Machine
) -> None:
    tensorrt.tell = lambda facts: [{**LAYER, **layer}]
    error = failed(artefacts)
    assert error.reason == "engine-set-otherwise"
    assert str(error).startswith(said)


@pytest.mark.parametrize(
    ("words", "precision"),
    [
        ("Float", "fp32"),
        ("Half", "fp16"),
        ("BFloat16", "bf16"),
        ("Int8", "int8"),
        ("Int32", ""),
        ("Bool", ""),
        ("Row major linear FP32", "fp32"),
        ("Two wide channel vectorized row major FP16 format", "fp16"),
        ("Thirty-two wide channel vectorized row major Int8 format.", "int8"),
        ("Row major linear BF16 format", "bf16"),
    ],
)
def test_what_the_inspector_calls_precisions(words: str, precision: str) -> None:
    assert precision_of({"Outputs": [{"Format/Datatype": words}]}) == precision


def failed(artefacts: Path, **target: Any) -> NotMeasuredError:
    with pytest.raises(NotMeasuredError) as caught:
        latency_record(on_device(artefacts, **target), PLAN)
    return caught.value


@pytest.mark.parametrize(
    ("what", "reason", "said"),
    [
        (
            "parser",
            "refused-by-engine",
            "TensorRT does not run the graph of local/net: RuntimeError: Einsum (node_einsum): no "
            "importer is registered for it; Einsum (node_einsum): no importer is registered for "
            "it. Use another runtime",
        ),
        (
            "memory",
            "build-out-of-memory",
            "the device's memory ran out while TensorRT built an engine of local/net: "
            "IBuilder::buildSerializedNetwork: Error Code 2: OutOfMemory (Requested size was 1 "
            "bytes.). End what else is on the device, use a smaller --batch-size or another "
            "runtime",
        ),
        (
            "context",
            "refused-by-engine",
            "TensorRT does not run the graph of local/net: RuntimeError: no execution context: it "
            "does not say why. Use another runtime",
        ),
    ],
)
def test_what_builds_no_engine(
    what: str,
    reason: str,
    said: str,
    artefacts: Path,
    tensorrt: Any,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOUBLE", what)
    error = failed(artefacts)
    assert (error.reason, str(error)) == (reason, said)
    assert len(facts_of(artefacts)) == (what == "context"), "no engine stays that was not built"


def test_a_build_that_crashes(
    artefacts: Path,
    tensorrt: Any,
    fresh: None,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("archbench.runtimes.tensorrt._BUILD", "import os; os.abort()")
    error = failed(artefacts)
    assert (error.reason, str(error)) == (
        "not-compilable",
        "TensorRT builds no engine of local/net: its process ended with -6. Use another runtime",
    )


def test_an_engine_of_another_version_is_built_anew(
    artefacts: Path,
    tensorrt: Any,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOUBLE_VERSION", "10.0.1")
    error = failed(artefacts)
    assert error.reason == "refused-by-engine"
    assert "TensorRT cannot load the engine: Version tag does not match." in str(error)
    monkeypatch.delenv("DOUBLE_VERSION")
    record = latency_record(on_device(artefacts), PLAN)
    assert [facts["version"] for facts in facts_of(artefacts)] == ["11.4.0.106"]
    (note,) = [note for note in record.notes if note.code == "damaged-artefact"]
    assert "TensorRT cannot load the engine: Version tag does not match." in note.text


def test_an_engine_is_for_one_kind_of_device_and_version(
    artefacts: Path,
    tensorrt: Any,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:

    def built(job: Job, graph: Path, seconds: float, directory: Path) -> dict[str, Any]:
        (directory / ENGINE_FILE).write_bytes(b"engine")
        return {}

    def prepare(**target: Any) -> int:
        model = on_device(artefacts, **target)
        given = (model.spec, model.module, model.inputs(), model.device, model.target)
        TensorRt().artefact_of(Job(*given, artefacts=artefacts))
        return len([*artefacts.glob(f"*/{ENGINE_FILE}")])

    monkeypatch.setattr(runtime, "_built", built)

    assert [prepare(), prepare(), prepare(batch_size=2), prepare(dtype="tf32")] == [1, 1, 2, 3]
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda name: (8, 9))
    assert prepare() == 4
    monkeypatch.setattr(TensorRt, "version", staticmethod(lambda name: "11.5"))
    assert prepare() == 5
    monkeypatch.setattr(Cuda, "versions", lambda self: {"driver": "999"})
    assert prepare() == 6
    assert len(Artefacts(artefacts).entries()) == 9, "three graphs and six engines"


# What cannot be used


def refusal(config: RunConfig, device: Device = H200) -> str:
    with pytest.raises(UsageError) as caught:
        hardware._check_runtime(device, config)
    return str(caught.value)


def test_what_is_not_installed_or_too_old(tensorrt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hardware._check_runtime(H200, RunConfig(runtime="tensorrt"))
    monkeypatch.setattr(TensorRt, "version", staticmethod(lambda name: "8.6.1"))
    assert refusal(RunConfig(runtime="tensorrt")) == (
        "--runtime=tensorrt: it needs tensorrt 10.0 or newer; 8.6.1 is installed. Run: python -m "
        "pip install --upgrade 'tensorrt>=10.0'"
    )
    monkeypatch.setattr(TensorRt, "find", staticmethod(lambda name: None))
    assert refusal(RunConfig(runtime="tensorrt")) == (
        "--runtime=tensorrt: it needs tensorrt, which is not installed. Run: python -m pip install "
        "'pytest-archbench[tensorrt]'"
    )


def test_a_processor_has_none() -> None:
    found = refusal(RunConfig(runtime="tensorrt"), Device("cpu", "AMD EPYC"))
    assert "--runtime=tensorrt: it runs on NVIDIA's devices here, and not on cpu" in found


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            RunConfig(runtime="tensorrt", dtype="int8"),
            "--runtime=tensorrt with --dtype=int8: here it computes in fp32, tf32, fp16, bf16. Use "
            "--dtype=fp32",
        ),
        (
            RunConfig(runtime="tensorrt", dtype="amp-fp16"),
            "--runtime=tensorrt with --dtype=amp-fp16: autocast chooses precisions operator by",
        ),
        (
            RunConfig(runtime="tensorrt", memory_format="nhwc"),
            "with --memory-format=nhwc: TensorRT chooses the order of activations in memory by",
        ),
    ],
)
def test_what_is_refused(config: RunConfig, said: str, tensorrt: Any) -> None:
    assert said in refusal(config)


# The double itself


def test_the_double_has_the_names_of_the_real_api() -> None:
    """Where TensorRT is installed; its libraries need no device for that."""
    real = pytest.importorskip("tensorrt")
    double = double_of("double_of_tensorrt")
    assert real.__file__ != double.__file__
    classes = {
        name: one
        for name, one in vars(double).items()
        if inspect.isclass(one) and one.__module__ == "double_of_tensorrt"
    }
    assert len(classes) > 15
    for name, own in classes.items():
        other = getattr(real, name)
        values = getattr(own, "__members__", {})
        if values:
            assert {*values} <= {*other.__members__}, name
        for method, function in inspect.getmembers(own, inspect.isfunction):
            if method.startswith("_") or values:
                continue
            text = getattr(other, method).__doc__
            for parameter in [*inspect.signature(function).parameters][1:]:
                assert f"{parameter}: " in text, (name, method, parameter)
        for attribute in vars(own):
            assert attribute.startswith("_") or hasattr(other, attribute), (name, attribute)
