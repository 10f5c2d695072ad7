"""Engines for real on a CPU with small networks: what they are given, say and return."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from archbench.core.errors import NotMeasuredError, UsageError
from archbench.core.run_config import RunConfig
from archbench.devices.choosing import Device
from archbench.measure.cells import further_metrics, latency_record
from archbench.measure.hardware import check_config
from archbench.measure.latency import SamplingPlan
from archbench.measure.running import Runner, forward_passes
from archbench.models.outputs import class_scores
from archbench.runtimes.engine import Engine
from archbench.runtimes.onnxruntime import OnnxRuntime
from archbench.runtimes.openvino import OpenVino
from archbench.store.artefacts import Artefacts
from tests.runtimes.networks import (
    Branching,
    Exits,
    Fixed,
    Greedy,
    Net,
    Odd,
    Slow,
    loaded,
)

PLAN = SamplingPlan(time_budget=0.1)
CPU = Device("cpu", "AMD EPYC")
MODULES = {"onnxruntime": "onnxruntime", "openvino": "openvino"}


@pytest.fixture
def onnxruntime() -> Any:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    return pytest.importorskip("onnxruntime")


def test_a_cell_of_an_engine(runtime: str, artefacts: Path) -> None:
    model = loaded(artefacts, runtime=runtime)
    record = latency_record(model, PLAN)
    assert record.suffix == f"fp32-b1-{runtime}"
    assert len(record.metrics["latency"]["samples"]) > 20
    assert record.metrics["latency"]["engine"]["threads"] == 1
    assert record.environment[MODULES[runtime]]
    (entry,) = [one for one in Artefacts(artefacts).entries() if "local_net-" in one.path.name]
    assert record.metrics["artefact_size"]["value"] == sum(
        path.stat().st_size for path in entry.path.iterdir() if path.name != "manifest.json"
    )
    assert record.metrics["export_time"]["value"] > 0
    assert record.metrics["load_time"]["value"] > 0
    further = further_metrics(model)
    assert 0 < further["output_difference"]["value"] < 1e-5 or runtime == "openvino"
    assert further["top1_agreement"]["value"] == 100


def test_one_export_serves_both_engines_and_all_batch_sizes(runtime: str, artefacts: Path) -> None:
    for size in (1, 3):
        model = loaded(artefacts, runtime=runtime, batch_size=size)
        with forward_passes(model):
            runner = Runner(model, None)
            runner()
            want = model.module(*runner.inputs)
            got = class_scores(model.spec, runner.output, size)
        assert got.shape == (size, 10)
        assert torch.allclose(got, want, atol=1e-6)
    assert len([one for one in artefacts.iterdir() if one.name.startswith("local_net-")]) == 1


def test_what_the_network_returns_keeps_its_names(runtime: str, artefacts: Path) -> None:
    model = loaded(artefacts, Exits, runtime=runtime)
    with forward_passes(model):
        runner = Runner(model, None)
        runner()
        found: Any = runner.output
        want = model.module(*runner.inputs)
    assert list(found) == ["out", "aux"]
    assert torch.allclose(found["aux"], want["aux"], atol=1e-6)


def test_threads_are_the_engines(runtime: str, artefacts: Path) -> None:
    model = loaded(artefacts, runtime=runtime, threads=2)
    with forward_passes(model):
        assert Runner(model, None).prepared.settings["threads"] == 2


def test_openvino_computes_in_fp32_where_it_would_choose_bf16(artefacts: Path) -> None:
    pytest.importorskip("openvino")
    model = loaded(artefacts, runtime="openvino")
    with forward_passes(model):
        assert Runner(model, None).prepared.settings["precision"] == "f32"


def test_a_session_is_opened_once_for_all_that_is_measured(runtime: str, artefacts: Path) -> None:
    model = loaded(artefacts, runtime=runtime)
    with forward_passes(model):
        first, second = Runner(model, None), Runner(model, None)
    assert first.prepared.artefact is second.prepared.artefact


def scores_of(runner: Runner) -> torch.Tensor:
    output = runner.output
    assert isinstance(output, torch.Tensor)
    return output


def test_other_weights_are_another_artefact(onnxruntime: Any, artefacts: Path) -> None:
    names = set()
    for value in (0.0, 1.0):
        model = loaded(artefacts, runtime="onnxruntime")
        module: Any = model.module
        with torch.no_grad():
            module.fc.bias.fill_(value)
        with forward_passes(model):
            runner = Runner(model, None)
            runner()
            got, want = scores_of(runner), module(*runner.inputs)
        opened: Any = runner.prepared.artefact
        names.add(opened.artefact.path.name)
        assert torch.allclose(got, want, atol=1e-6)
    assert len(names) == 2


# What cannot be used


@pytest.mark.parametrize("engine", [OnnxRuntime, OpenVino])
def test_an_engine_that_is_not_installed(
    engine: type[Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "find", staticmethod(lambda name: None))
    with pytest.raises(UsageError) as caught:
        check_config(CPU, RunConfig(runtime=engine.name))
    assert str(caught.value) == (
        f"--runtime={engine.name}: it needs {engine.name}, which is not installed. Run: "
        f"python -m pip install 'pytest-archbench[{engine.name}]'"
    )


def test_an_engine_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OnnxRuntime, "find", staticmethod(lambda name: name))
    monkeypatch.setattr(OnnxRuntime, "version", staticmethod(lambda name: "1.9.0"))
    with pytest.raises(UsageError) as caught:
        check_config(CPU, RunConfig(runtime="onnxruntime"))
    assert "needs onnxruntime 1.18 or newer; 1.9.0 is installed. Run: python -m pip install " in (
        str(caught.value)
    )


def test_a_torch_that_writes_no_graphs(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    there = Engine.version
    monkeypatch.setattr(
        Engine, "version", staticmethod(lambda name: "2.6.0" if name == "torch" else there(name))
    )
    with pytest.raises(UsageError) as caught:
        check_config(CPU, RunConfig(runtime=runtime))
    assert str(caught.value) == (
        f"--runtime={runtime}: it needs torch 2.7 or newer; 2.6.0 is installed. Run: python -m pip "
        "install --upgrade 'torch>=2.7'"
    )


def test_an_engine_that_cannot_be_imported(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> None:
        raise ImportError("libstdc++.so.6: version GLIBCXX_3.4.32 not found")

    monkeypatch.setattr(Engine, "load", staticmethod(load))
    with pytest.raises(UsageError) as caught:
        check_config(CPU, RunConfig(runtime=runtime))
    assert str(caught.value) == (
        f"--runtime={runtime}: {runtime} is installed and cannot be imported: ImportError: "
        "libstdc++.so.6: version GLIBCXX_3.4.32 not found. Run: python -m pip install "
        f"--force-reinstall {runtime}"
    )


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            RunConfig(runtime="onnxruntime", dtype="fp16"),
            "--runtime=onnxruntime with --dtype=fp16: on processors it computes in fp32, int8. Use "
            "--dtype=fp32",
        ),
        (
            RunConfig(runtime="onnxruntime", memory_format="nhwc"),
            "with --memory-format=nhwc: ONNX Runtime chooses the order of activations in memory",
        ),
        (
            RunConfig(runtime="onnxruntime", dtype="amp-bf16"),
            "with --dtype=amp-bf16: autocast chooses precisions",
        ),
    ],
)
def test_what_onnx_runtime_refuses(onnxruntime: Any, config: RunConfig, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_config(CPU, config)
    assert said in str(caught.value)


def test_a_precision_that_openvino_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    core = type("Core", (), {"get_property": lambda *_: ["FP32", "INT8"]})
    monkeypatch.setattr("archbench.runtimes.openvino._core", core)
    with pytest.raises(UsageError) as caught:
        check_config(CPU, RunConfig(runtime="openvino", dtype="bf16"))
    assert "on this processor it computes in fp32, int8. Use --dtype=fp32" in str(caught.value)


def failed(artefacts: Path, constructor: Any, **target: Any) -> NotMeasuredError:
    model = loaded(artefacts, constructor, runtime="onnxruntime", **target)
    with pytest.raises(NotMeasuredError) as caught:
        latency_record(model, PLAN)
    return caught.value


def test_control_flow_that_depends_on_data(onnxruntime: Any, artefacts: Path) -> None:
    error = failed(artefacts, Branching)
    assert error.reason == "not-exportable"
    assert str(error).startswith("local/branching cannot be exported: ")
    assert str(error).endswith(". Use --runtime=eager")


def test_an_operator_without_a_symbol(onnxruntime: Any, artefacts: Path) -> None:
    error = failed(artefacts, Odd)
    assert error.reason == "no-onnx-operator"
    assert "bessel_j0" in str(error)


def test_an_export_that_hangs(
    onnxruntime: Any, artefacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OnnxRuntime, "seconds", 1.0)
    error = failed(artefacts, Slow)
    assert (error.reason, str(error)) == (
        "export-timed-out",
        "the export of local/slow took more than 1 s and was ended. Use --runtime=eager",
    )


def test_an_export_that_runs_out_of_memory(onnxruntime: Any, artefacts: Path) -> None:
    error = failed(artefacts, Greedy)
    assert error.reason == "export-out-of-memory"
    assert "memory ran out while local/greedy was exported: memory ran out. Export it on a" in (
        str(error)
    )


def test_a_disk_that_is_full(
    onnxruntime: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child inherits the patch."""

    def save(self: object, path: Path, **_: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("torch.onnx.ONNXProgram.save", save)
    error = failed(tmp_path, Net)
    assert error.reason == "disk-full"
    assert "nothing of it was kept. Make room (archbench artefacts prune)" in str(error)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_a_disk_that_is_full_when_all_is_exported(
    onnxruntime: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("archbench.store.artefacts._sync", full)
    error = failed(tmp_path, Net)
    assert (error.reason, str(error)) == (
        "not-stored",
        f"what was exported of local/net cannot be kept in {tmp_path}: [Errno 28] No space left on "
        "device. Make room, or name another place with ARCHBENCH_DIRECTORY",
    )
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_another_run_that_exports_the_same(
    onnxruntime: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    latency_record(loaded(tmp_path, runtime="onnxruntime"), PLAN)
    (entry,) = Artefacts(tmp_path).entries()
    monkeypatch.setattr(OnnxRuntime, "seconds", 0.1)
    with FileLock(tmp_path / f".{entry.path.name}.lock"):
        error = failed(tmp_path, Net)
    assert (error.reason, str(error)) == (
        "export-timed-out",
        "local/net is being exported elsewhere: another process has been making "
        f"{entry.path.name} for 0.2 s",
    )


def test_a_damaged_artefact_is_made_anew(onnxruntime: Any, tmp_path: Path) -> None:
    model = loaded(tmp_path, runtime="onnxruntime")
    latency_record(model, PLAN)
    (entry,) = Artefacts(tmp_path).entries()
    path = entry.path / "network.onnx"
    whole = path.read_bytes()
    path.write_bytes(whole[:-10] + bytes(10))
    record = latency_record(replace(model, artefact=None), PLAN)
    (note,) = [note for note in record.notes if note.code == "damaged-artefact"]
    assert "network.onnx has another checksum than when it was made" in note.text
    assert path.read_bytes() != whole[:-10] + bytes(10)


def test_a_graph_that_the_engine_does_not_take(
    onnxruntime: Any, artefacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def session(*_: object, **__: object) -> None:
        raise RuntimeError("Could not find an\n implementation for Foo(1)")

    monkeypatch.setattr("onnxruntime.InferenceSession", session)
    error = failed(artefacts, Net)
    assert (error.reason, str(error)) == (
        "refused-by-engine",
        "ONNX Runtime does not run the graph of local/net: RuntimeError: Could not find an "
        "implementation for Foo(1). Use another runtime",
    )


def test_a_batch_that_cannot_be_left_open(onnxruntime: Any, tmp_path: Path) -> None:
    for size in (1, 2):
        model = loaded(tmp_path, Fixed, runtime="onnxruntime", batch_size=size)
        with forward_passes(model):
            runner = Runner(model, None)
            runner()
            assert torch.allclose(scores_of(runner), model.module(*runner.inputs), atol=1e-6)
    facts = {one.facts["batch"]: one.facts for one in Artefacts(tmp_path).entries()}
    assert facts.keys() == {1, 2}
    assert "batch" in facts[1]["not_symbolic"]


def test_a_process_that_has_the_engine_alone(runtime: str, artefacts: Path) -> None:
    model = loaded(artefacts, runtime=runtime, batch_size=3)
    further = further_metrics(model)
    assert "process_memory has it" in further["peak_memory"]["absent"]
    assert further["process_memory"]["counter"] == "VmHWM"
    # An interpreter with numpy and the engine, and no torch, which takes 300 MB by itself.
    assert 30e6 < further["process_memory"]["value"] < 250e6
    assert 0 < further["cold_load_time"]["value"] < 60


def test_products_that_are_not_in_the_precision_asked_for(runtime: str, artefacts: Path) -> None:
    """A graph in fp32, which int8 is asked of: one convolution and one linear layer."""
    model = loaded(artefacts, runtime=runtime)
    with forward_passes(model):
        opened: Any = Runner(model, None).prepared.artefact
        session = opened.session
        order = replace(session.order, dtype="int8")
        as_int8, as_fp32 = type(session)(order, model.inputs()).nodes(), session.nodes()
    assert sum(as_int8.otherwise.values()) == 2
    assert all(name.endswith(" f32") for name in as_int8.otherwise)
    # Beside them a resize, a pooling and a mean.
    assert 5 <= as_int8.executed < 12
    assert as_fp32 is None or as_fp32.otherwise == {}


def test_a_process_that_fails_has_no_figures(
    onnxruntime: Any, artefacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded(artefacts, runtime="onnxruntime")
    with forward_passes(model):
        deployed = Runner(model, None).prepared.deployed
    assert deployed is not None

    def run(command: list[str], **_: object) -> Any:
        return subprocess.CompletedProcess(command, 1, "", "Traceback\nImportError: no such\n")

    monkeypatch.setattr("archbench.runtimes.fresh.subprocess.run", run)
    found = deployed()
    assert found["process_memory"]["absent"] == (
        "a process with the engine alone ended with 1: ImportError: no such"
    )
