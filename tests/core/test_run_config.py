"""Run configurations: their texts, and axes that are added from outside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from archbench.core import run_config
from archbench.core.history import Cell
from archbench.core.records import Record
from archbench.core.run_config import Axis, RunConfig, StatedConfig, add_value, register_axis
from archbench.core.spec import Target


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (RunConfig(), "fp32-b1"),
        (RunConfig(dtype="bf16", batch_size=8, threads=2), "bf16-b8-t2"),
        (RunConfig(dtype="amp-fp16", batch_size=None, largest_batch=True), "amp-fp16-bmax"),
        (RunConfig(dtype="int8", batch_size=None), "int8-bauto"),
        (RunConfig(batch_size=None, runtime="openvino"), "fp32-bauto-openvino"),
        (
            RunConfig(dtype="fp16", batch_size=4, memory_format="nhwc", runtime="compiled"),
            "fp16-b4-nhwc-compiled",
        ),
        (
            RunConfig(
                dtype="tf32", batch_size=4, threads=2, memory_format="nhwc", runtime="cudagraph",
                cold_cache=True,
            ),
            "tf32-b4-t2-nhwc-cudagraph-cold",
        ),
        (RunConfig(cold_cache=True, asked="cuda:1"), "fp32-b1-cold@cuda:1"),
        (
            RunConfig(runtime="onnxruntime-tensorrt", cold_cache=True),
            "fp32-b1-onnxruntime-tensorrt-cold",
        ),
    ],
)  # fmt: skip
def test_a_run_configuration_and_its_text(config: RunConfig, text: str) -> None:
    assert config.id == text
    assert RunConfig.parse(text) == config
    assert config.suffix == text.partition("@")[0]


@pytest.mark.parametrize("text", ["", "fp32", "fp32-b", "fp8-b1", "fp32-b1-Fast", "fp32-b1-"])
def test_what_names_no_run_configuration(text: str) -> None:
    with pytest.raises(ValueError, match="names no run configuration"):
        RunConfig.parse(text)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (StatedConfig(), ""),
        (StatedConfig(dtype="fp32"), "fp32"),
        (RunConfig(), "fp32 batch 1"),
        (RunConfig(threads=2, runtime="compiled"), "fp32 batch 1 2 threads compiled"),
        (RunConfig(cold_cache=True, memory_format="nhwc"), "fp32 batch 1 nhwc cold cache"),
        (StatedConfig(dtype="fp16", batch_size=37, largest_batch=True), "fp16 batch 37 (max)"),
        (StatedConfig(dtype="fp16", largest_batch=True), "fp16 batch max"),
    ],
)
def test_a_setting_for_people(config: StatedConfig, text: str) -> None:
    assert config.setting == text


def test_a_setting_with_axes_left_out() -> None:
    config = RunConfig(dtype="bf16", batch_size=4, threads=2, memory_format="nhwc")
    assert config.setting_without("batch_size") == "bf16 2 threads nhwc"
    assert config.setting_without("dtype", "memory_format") == "batch 4 2 threads"


def test_largest_batches_of_other_sizes_are_one_line() -> None:
    first = StatedConfig(dtype="fp32", batch_size=37, largest_batch=True)
    second = StatedConfig(dtype="fp32", batch_size=41, largest_batch=True)
    lines = [Cell.of("timm/a", "v100", config) for config in (first, second)]
    assert lines[0] == lines[1]
    assert lines[0] != Cell.of("timm/a", "v100", StatedConfig(dtype="fp32", batch_size=37))


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Two axes from outside, and what the first of them was entered with."""
    monkeypatch.setattr(run_config, "_AXES", dict(run_config._AXES))
    found: list[object] = []

    @contextmanager
    def running(value: object) -> Iterator[None]:
        found.append(value)
        yield

    register_axis(Axis("denormals", "kept", "of floats", values=("kept", "zero"), running=running))
    add_value("runtime", "mine")
    register_axis(Axis("pinned", False, "pinned memory"))
    return found


def test_an_axis_from_outside(entered: list[object]) -> None:
    config = RunConfig().with_values({"denormals": "zero", "pinned": True})
    assert config.id == "fp32-b1-denormals=zero-pinned=on"
    assert RunConfig.parse(config.id) == config
    assert config.setting == "fp32 batch 1 denormals zero pinned"
    assert config["denormals"] == "zero"
    with config.held():
        assert entered == ["zero"]
    target = Target("cpu", "x", "cpu-x").with_values({"denormals": "zero"})
    record = Record.from_dict(json.loads(json.dumps(Record("timm/a", target).as_dict())))
    assert record.target == target
    assert record.suffix == "fp32-b1-denormals=zero"
    assert config.as_columns()["denormals"] == "zero"
    assert RunConfig() == RunConfig().with_values({"denormals": "kept", "pinned": False})


def test_a_runtime_from_outside(entered: list[object]) -> None:
    config = RunConfig(runtime="mine", cold_cache=True)
    assert config.id == "fp32-b1-mine-cold"
    assert RunConfig.parse(config.id) == config
    assert RunConfig.parse("fp32-b1-theirs-cold") == RunConfig(runtime="theirs", cold_cache=True)
    by_two = RunConfig(runtime="their-engine", cold_cache=True)
    assert RunConfig.parse("fp32-b1-their-engine-cold") == by_two
    more = RunConfig(runtime="theirs").with_values({"denormals": "zero"})
    assert RunConfig.parse("fp32-b1-theirs-denormals=zero") == more


@pytest.mark.parametrize("name", ["dtype", "largest_batch", "two words"])
def test_a_name_that_no_axis_can_have(name: str, entered: list[object]) -> None:
    with pytest.raises(ValueError, match="cannot be added"):
        register_axis(Axis(name, 1, ""))
