"""ONNX Runtime's CUDA and TensorRT providers by a double, on CUDA devices that are not there."""

from __future__ import annotations

import inspect
import shutil
import statistics
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from archbench.core.errors import NotMeasuredError, UsageError
from archbench.core.run_config import RunConfig
from archbench.devices.choosing import Device
from archbench.measure import hardware
from archbench.measure.cells import further_metrics, latency_record
from archbench.measure.latency import SamplingPlan
from archbench.measure.running import Runner, forward_passes
from archbench.runtimes import onnxruntime_tensorrt
from archbench.runtimes.deployed import Order
from archbench.runtimes.fresh import ask_fresh
from archbench.runtimes.onnxruntime import OnnxRuntime
from archbench.runtimes.onnxruntime_cuda import CudaSession
from tests.devices.virtual_cuda import KERNEL, Machine, virtual_cuda
from tests.runtimes import networks
from tests.runtimes.networks import Exits, outputs_on_two

pytest.importorskip("onnxruntime")

from tests.runtimes.doubles import cuda_provider

PLAN = SamplingPlan(time_budget=0.1)
H200 = Device("cuda:0", "NVIDIA H200")
on_device = partial(networks.on_device, runtime="onnxruntime")
CPU, CUDA, TENSORRT = cuda_provider.CPU, cuda_provider.CUDA, cuda_provider.TENSORRT
WITH_TENSORRT = "onnxruntime-tensorrt"


@pytest.fixture
def artefacts(graphs: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(graphs, tmp_path / "artefacts"))


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A build of ONNX Runtime with both providers."""
    session = type("Session", (cuda_provider.InferenceSession,), {})
    monkeypatch.setattr("onnxruntime.InferenceSession", session)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [TENSORRT, CUDA, CPU])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda name: (9, 0))
    monkeypatch.setattr(OnnxRuntime, "find", staticmethod(lambda name: name))
    answers: list[Any] = []

    def ask(*arguments: str, seconds: float) -> Any:
        onnxruntime_tensorrt.build_engines(*arguments[2:])
        return answers.pop()

    monkeypatch.setattr(onnxruntime_tensorrt, "answer", answers.append)
    monkeypatch.setattr(onnxruntime_tensorrt, "ask_fresh", ask)
    return session


@pytest.fixture
def machine(artefacts: Path, double: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Two devices, on the second of which a pass of an engine is one kernel."""

    def work(handle: int) -> None:
        (stream,) = [one for one in found.streams if one.cuda_stream == handle]
        stream.work(KERNEL)

    with virtual_cuda(1) as found:
        monkeypatch.setattr(double, "on_pass", staticmethod(work))
        yield found


@pytest.mark.parametrize(
    ("runtime", "dtype", "providers", "tolerance"),
    [
        ("onnxruntime", "fp32", [CUDA, CPU], 1e-5),
        ("onnxruntime", "tf32", [CUDA, CPU], 1e-5),
        ("onnxruntime", "fp16", [CUDA, CPU], 2e-2),
        (WITH_TENSORRT, "tf32", [TENSORRT, CUDA, CPU], 1e-5),
        (WITH_TENSORRT, "fp16", [TENSORRT, CUDA, CPU], 2e-2),
    ],
)
def test_a_cell(
    runtime: str,
    dtype: str,
    providers: list[str],
    tolerance: float,
    artefacts: Path,
    machine: Machine,
) -> None:
    model = on_device(artefacts, runtime=runtime, dtype=dtype)
    record = latency_record(model, PLAN)
    further = further_metrics(model)
    assert record.suffix == f"{dtype}-b1-{runtime}"
    assert RunConfig.parse(record.suffix).runtime == runtime
    assert record.environment["onnxruntime"]
    device = record.metrics["device_time"]
    assert device["queue_full"] is True
    assert statistics.median(device["samples"]) == pytest.approx(KERNEL, rel=1e-3)
    told: Any = record.metrics["latency"]["engine"]
    assert told["providers"] == providers
    assert told["device_id"] == "1"
    assert told["use_tf32"] == ("1" if dtype == "tf32" else "0")
    assert told["operators"].keys() == {providers[0]}
    assert further["output_difference"]["value"] < tolerance
    assert further["top1_agreement"]["value"] == 100
    assert "device_memory has it" in further["peak_memory"]["absent"]
    assert not record.notes


def test_other_images_and_all_outputs(artefacts: Path, machine: Machine) -> None:
    model = on_device(artefacts, Exits, batch_size=3)
    with forward_passes(model):
        runner = Runner(model, None)
        found, want, other, want_other = outputs_on_two(runner, model.module)
    assert torch.allclose(found["aux"], want["aux"], atol=1e-6)
    assert torch.allclose(other["out"], want_other["out"], atol=1e-6)


def test_what_other_providers_run_is_said(artefacts: Path, machine: Machine, double: Any) -> None:
    double.on_cpu = ("MaxPool",)
    model = on_device(artefacts)
    record = latency_record(model, PLAN)
    found = further_metrics(model)["fallback_nodes"]
    assert found["by_kind"] == {"MaxPool CPUExecutionProvider": 1}
    told: Any = record.metrics["latency"]["engine"]
    operators = told["operators"]
    assert operators[CPU] == 1
    (note,) = record.notes
    assert (note.code, note.text) == (
        "fell-back",
        f"CPUExecutionProvider runs 1 of {sum(operators.values())} operators: MaxPool",
    )


def failed(artefacts: Path, **target: Any) -> NotMeasuredError:
    with pytest.raises(NotMeasuredError) as caught:
        latency_record(on_device(artefacts, **target), PLAN)
    return caught.value


@pytest.mark.parametrize(
    ("runtime", "loads", "missing"),
    [
        ("onnxruntime", (), CUDA),
        (WITH_TENSORRT, (TENSORRT,), CUDA),
    ],
)
def test_a_session_that_fell_back_to_the_processor(
    runtime: str, loads: tuple[str, ...], missing: str, artefacts: Path, machine: Machine,
    double: Any,
) -> None:  # fmt: skip
    double.loads = loads
    error = failed(artefacts, runtime=runtime, dtype="tf32")
    found = ", ".join([*loads, CPU])
    assert error.reason == "engine-set-otherwise"
    assert str(error).startswith(
        f"ONNX Runtime cannot use its {missing} here and would run on {found}: "
    )
    assert "Install the CUDA libraries that onnxruntime " in str(error)


def test_a_graph_of_which_the_provider_runs_nothing(
    artefacts: Path, machine: Machine, double: Any
) -> None:
    double.on_cpu = ("Conv", "Relu", "Resize", "MaxPool", "ReduceMean", "Gemm", "Constant")
    monkey = {"BatchNormalization", "Concat", "Shape", "Slice", "Cast", "Unsqueeze", "Squeeze"}
    double.on_cpu = (*double.on_cpu, *monkey)
    error = failed(artefacts)
    assert error.reason == "engine-set-otherwise"
    assert "CUDAExecutionProvider runs nothing of the graph of local/net: {'CPUExec" in str(error)


BUILD = "from tests.runtimes.doubles import cuda_provider; cuda_provider.install(); "


def test_engines_are_built_once_in_a_process_of_their_own(
    artefacts: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime_tensorrt, "ask_fresh", ask_fresh)
    monkeypatch.setattr(onnxruntime_tensorrt, "_BUILD", BUILD + onnxruntime_tensorrt._BUILD)
    for size in (1, 1, 2):
        model = on_device(artefacts, runtime=WITH_TENSORRT, dtype="tf32", batch_size=size)
        with forward_passes(model):
            Runner(model, None)
    places = [path.parent for path in artefacts.glob("*/*.engine")]
    assert len(places) == 2
    assert all((place / "network.onnx").is_file() for place in places)


def test_a_provider_that_takes_nothing(
    artefacts: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = BUILD + "cuda_provider.InferenceSession.loads = (); " + onnxruntime_tensorrt._BUILD
    monkeypatch.setattr(onnxruntime_tensorrt, "ask_fresh", ask_fresh)
    monkeypatch.setattr(onnxruntime_tensorrt, "_BUILD", build)
    error = failed(artefacts, runtime=WITH_TENSORRT, dtype="fp16")
    assert (error.reason, str(error)) == (
        "not-compilable",
        "ONNX Runtime's TensorRT provider builds no engine of local/net: RuntimeError: it takes "
        "nothing of the graph; ['CPUExecutionProvider'] run it. Use another runtime",
    )


# What cannot be used


def refusal(config: RunConfig, device: Device = H200) -> str:
    with pytest.raises(UsageError) as caught:
        hardware._check_runtime(device, config)
    return str(caught.value)


def test_a_build_for_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda name: (9, 0))
    monkeypatch.setattr(OnnxRuntime, "find", staticmethod(lambda name: name))
    monkeypatch.setattr("onnxruntime.__version__", "1.32.0")
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [CPU])
    assert refusal(RunConfig(runtime="onnxruntime")) == (
        "--runtime=onnxruntime: the onnxruntime 1.32.0 that is installed has no "
        "CUDAExecutionProvider. Run: python -m pip uninstall --yes onnxruntime onnxruntime-gpu; "
        "python -m pip install 'pytest-archbench[onnxruntime-gpu]'"
    )
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [CUDA, CPU])
    found = refusal(RunConfig(runtime=WITH_TENSORRT, dtype="fp16"))
    assert "has no TensorrtExecutionProvider. Run: " in found
    assert "'pytest-archbench[onnxruntime-tensorrt]'" in found


def test_a_build_that_does_not_tell_what_runs_where(
    double: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(cuda_provider.InferenceSession, "get_provider_graph_assignment_info")
    found = refusal(RunConfig(runtime="onnxruntime"))
    assert "that is installed does not tell which provider runs what. Run: " in found


def test_what_is_not_installed_names_the_build_for_devices(
    double: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OnnxRuntime, "find", staticmethod(lambda name: None))
    assert "it needs onnxruntime, which is not installed. Run: python -m pip install " in (
        found := refusal(RunConfig(runtime="onnxruntime"))
    )
    assert found.endswith("'pytest-archbench[onnxruntime-gpu]'")


def test_both_builds_are_in_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OnnxRuntime, "version", staticmethod(lambda name: f"version of {name}"))
    found = OnnxRuntime().versions()
    assert found["onnxruntime"] == "version of onnxruntime"
    assert found["onnxruntime-gpu"] == "version of onnxruntime-gpu"


@pytest.mark.parametrize("dtype", ["bf16", "int8"])
def test_precisions_that_are_refused(dtype: str, double: Any) -> None:
    assert refusal(RunConfig(runtime="onnxruntime", dtype=dtype)) == (
        f"--runtime=onnxruntime with --dtype={dtype}: on NVIDIA's devices it computes in fp32, "
        "tf32, fp16. Use --dtype=fp32"
    )


def test_fp32_is_no_tf32(double: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The TensorRT provider has no option against TF32; NVIDIA's libraries have a variable."""
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    asked = RunConfig(runtime=WITH_TENSORRT)
    assert refusal(asked) == (
        "--runtime=onnxruntime-tensorrt with --dtype=fp32: its TensorRT computes fp32 in TF32 "
        "here, and the provider has no option that forbids it. Set NVIDIA_TF32_OVERRIDE=0 in the "
        "environment of the run, or use --dtype=tf32"
    )
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    hardware._check_runtime(H200, asked)
    with pytest.raises(UsageError, match="NVIDIA_TF32_OVERRIDE=0 forbids it to all of CUDA"):
        hardware.check_config(H200, RunConfig(dtype="tf32"))
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda name: (7, 5))
    hardware._check_runtime(H200, asked)


def test_a_processor_has_no_tensorrt() -> None:
    found = refusal(RunConfig(runtime=WITH_TENSORRT), Device("cpu", "AMD EPYC"))
    assert "it runs on NVIDIA's devices here, and not on cpu" in found


# The doubles, and the real package


def test_the_double_has_the_names_of_the_real_api() -> None:
    import onnxruntime

    for own in (cuda_provider.InferenceSession, cuda_provider.IOBinding):
        real = getattr(onnxruntime, own.__name__)
        for name, function in inspect.getmembers(own, inspect.isfunction):
            if name.startswith("_") or name == "on_pass":
                continue
            theirs = [*inspect.signature(getattr(real, name)).parameters]
            assert [*inspect.signature(function).parameters] == theirs[
                : len(inspect.signature(function).parameters)
            ], name


def test_the_real_package_without_its_libraries_or_a_device(graphs: Path) -> None:
    """It opens a session on the processor without an error, which is refused here."""
    import onnxruntime

    if CUDA not in onnxruntime.get_available_providers() or torch.cuda.is_available():
        pytest.skip("needs onnxruntime-gpu on a machine without a device")
    (graph, *_) = graphs.glob("*/network.onnx")
    order = Order("onnxruntime", str(graph), "fp32", 1, ((1, 3, 16, 16),), ("float32",))
    options = {"device_id": "0", "user_compute_stream": "1", "use_tf32": "0"}
    job: Any = None
    with pytest.raises(NotMeasuredError) as caught:
        CudaSession(order, job, ((CUDA, options),))
    assert "cannot use its CUDAExecutionProvider here and would run on CPUExecutionProvider" in (
        str(caught.value)
    )
