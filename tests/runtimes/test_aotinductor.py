"""AOTInductor for real on a CPU, which takes its compiler a minute; on an accelerator see
tests/hardware."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from archbench.core.errors import NotMeasuredError, UsageError
from archbench.core.run_config import RunConfig
from archbench.devices.choosing import Device
from archbench.measure.cells import further_metrics, latency_record
from archbench.measure.hardware import check_config
from archbench.measure.latency import SamplingPlan
from archbench.runtimes.aotinductor import PACKAGE_FILE, AotInductor
from archbench.store.artefacts import Artefacts
from tests.runtimes.networks import Exits, loaded

pytestmark = pytest.mark.usefixtures("preloaded_python")

PLAN = SamplingPlan(time_budget=0.1)
CPU = Device("cpu", "AMD EPYC")


def test_a_cell_and_the_names_of_what_it_returns(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    model = loaded(tmp_path, Exits, runtime="aotinductor")
    record = latency_record(model, PLAN)
    assert record.suffix == "fp32-b1-aotinductor"
    assert record.metrics["compile_time"]["value"] > 1
    assert record.metrics["latency"]["engine"]["device"] == "cpu"
    (entry,) = Artefacts(tmp_path).entries()
    assert list(entry.files) == [PACKAGE_FILE]
    assert record.metrics["artefact_size"]["value"] == entry.size > 10_000
    opened: Any = model.artefact
    with torch.inference_mode():
        found = opened.session.run(model.inputs())[0]
    assert list(found) == ["out", "aux"]
    assert further_metrics(model)["output_difference"]["value"] < 1e-5


def test_where_there_is_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AotInductor, "which", staticmethod(lambda name: None))
    with pytest.raises(UsageError) as caught:
        check_config(CPU, RunConfig(runtime="aotinductor"))
    assert "with a C++ compiler, and there is none. Install g++, or use --runtime=eager" in (
        str(caught.value)
    )


def test_int8_is_refused() -> None:
    with pytest.raises(UsageError, match=r"it does not quantise. Use --runtime=openvino"):
        check_config(CPU, RunConfig(runtime="aotinductor", dtype="int8"))


def test_what_cannot_be_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_: object) -> Any:
        return subprocess.CompletedProcess(command, 1, "", "Traceback\nCppCompileError: no g++\n")

    monkeypatch.setattr(AotInductor, "which", staticmethod(lambda name: name))
    monkeypatch.setattr("archbench.runtimes.fresh.subprocess.run", run)
    with pytest.raises(NotMeasuredError) as caught:
        latency_record(loaded(tmp_path, runtime="aotinductor"), PLAN)
    assert (caught.value.reason, str(caught.value)) == (
        "not-compilable",
        "local/net cannot be compiled by AOTInductor: CppCompileError: no g++. Use --runtime=eager",
    )
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
