"""Which tolerance holds for which cell, as tables."""

from __future__ import annotations

import pytest

from archbench.core.errors import UsageError
from archbench.core.gate import TimeRule
from archbench.core.process_runs import DEVICE, Scale
from archbench.core.selectors import Selector
from archbench.core.tolerances import (
    Override,
    Rules,
    first_repeated,
    parse_override,
)
from archbench.metrics import METRICS, Tolerance

CELL = ("timm/resnet50", "cpu-amd-epyc", "fp32")


@pytest.mark.parametrize(
    ("preset", "metric", "tolerance"),
    [
        ("strict", "latency", Tolerance(0.05, confidence=0.99)),
        ("strict", "device_time", Tolerance(0.01, confidence=0.99)),
        ("strict", "peak_memory", Tolerance(0.0, absolute=0)),
        ("strict", "energy_per_image", Tolerance(0.03, absolute=0)),
        ("default", "latency", Tolerance(0.10, confidence=0.999)),
        ("default", "device_time", Tolerance(0.02, confidence=0.999)),
        ("default", "peak_memory", Tolerance(0.01, absolute=1_048_576)),
        ("default", "energy_per_image", Tolerance(0.05, absolute=0)),
        ("lenient", "latency", Tolerance(0.20, confidence=0.9999)),
        ("lenient", "device_time", Tolerance(0.05, confidence=0.9999)),
        ("lenient", "peak_memory", Tolerance(0.05, absolute=16_777_216)),
        ("lenient", "energy_per_image", Tolerance(0.15, absolute=0)),
    ],
)
def test_presets(preset: str, metric: str, tolerance: Tolerance) -> None:
    assert Rules(preset).tolerance(metric, *CELL) == tolerance


def test_every_gated_metric_is_in_every_preset() -> None:
    compared = {name for name, one in METRICS.items() if one.check not in ("equality", "none")}
    assert compared == {
        "latency", "device_time", "peak_memory", "energy_per_image", "top1", "top5",
        "process_memory", "artefact_size",
    }  # fmt: skip
    assert all(
        METRICS[name].presets.keys() == {"strict", "default", "lenient"} for name in compared
    )


def test_the_default_preset_is_the_default() -> None:
    assert Rules() == Rules("default")


RULES = Rules(
    "default",
    (
        Override("latency", relative=0.08),
        Override("latency", Selector("timm/resnet*"), relative=0.05),
        Override("latency", Selector(device="cpu*"), confidence=0.99),
        Override("latency", Selector("timm/resnet50", "h200", "fp16"), relative=0.02),
        Override("peak_memory", Selector(dtype="fp16"), absolute=0.0),
    ),
)


@pytest.mark.parametrize(
    ("metric", "cell", "tolerance"),
    [
        # The first matches everything; the second is later, so it wins where both match.
        ("latency", ("pytorchcv/nin", "h200", "fp32"), Tolerance(0.08, 0.999)),
        ("latency", ("timm/resnet18", "h200", "fp32"), Tolerance(0.05, 0.999)),
        # Each value for itself: the third says nothing about the relative change.
        ("latency", ("timm/resnet18", "cpu-amd-epyc", "fp32"), Tolerance(0.05, 0.99)),
        ("latency", ("pytorchcv/nin", "cpu", "bf16"), Tolerance(0.08, 0.99)),
        # All selectors of the fourth have to match.
        ("latency", ("timm/resnet50", "h200", "fp16"), Tolerance(0.02, 0.999)),
        ("latency", ("timm/resnet50", "h200", "fp32"), Tolerance(0.05, 0.999)),
        # Another metric is another matter.
        ("device_time", ("timm/resnet50", "h200", "fp16"), Tolerance(0.02, 0.999)),
        ("peak_memory", ("timm/resnet50", "h200", "fp16"), Tolerance(0.01, absolute=0.0)),
        ("peak_memory", ("timm/resnet50", "h200", "fp32"), Tolerance(0.01, absolute=2**20)),
    ],
)
def test_overrides(metric: str, cell: tuple[str, str, str], tolerance: Tolerance) -> None:
    assert RULES.tolerance(metric, *cell) == tolerance


def test_the_later_of_two_wins_though_the_earlier_is_more_specific() -> None:
    specific, general = (
        Override("latency", Selector("timm/resnet50"), relative=0.02),
        Override("latency", Selector("timm/*"), relative=0.2),
    )
    assert Rules("default", (specific, general)).tolerance("latency", *CELL).relative == 0.2
    assert Rules("default", (general, specific)).tolerance("latency", *CELL).relative == 0.02


@pytest.mark.parametrize(
    ("metric", "given", "override"),
    [
        ("latency", {"relative": "5 %"}, Override("latency", relative=0.05)),
        ("device_time", {"confidence": 0.999}, Override("device_time", confidence=0.999)),
        ("peak_memory", {"absolute": "16 MiB"}, Override("peak_memory", absolute=16 * 2**20)),
        (
            "energy_per_image",
            {"relative": "0 %", "absolute": "2 mJ"},
            Override("energy_per_image", relative=0.0, absolute=0.002),
        ),
    ],
)
def test_parsed(metric: str, given: dict[str, object], override: Override) -> None:
    assert parse_override(metric, Selector(), **given) == override  # type: ignore[arg-type]


EQUALITY = (
    "a count has no noise and is compared by equality, so it takes no tolerance. "
    "Accept a change that is meant with --baseline-update, or give the count a budget"
)


@pytest.mark.parametrize(
    ("metric", "given", "message"),
    [
        ("params", {"relative": "5 %"}, f"metric = 'params': {EQUALITY}"),
        ("macs", {"relative": "5 %"}, f"metric = 'macs': {EQUALITY}"),
        ("param_bytes", {"relative": "5 %"}, f"metric = 'param_bytes': {EQUALITY}"),
        (
            "throughput",
            {"relative": "5 %"},
            "metric = 'throughput': it is the batch size over the median latency, and is not "
            "compared by itself. Give the tolerance to 'latency'",
        ),
        (
            "cpu_time",
            {"relative": "5 %"},
            "metric = 'cpu_time': on a processor it is the clock that latency is compared by, and "
            "is not compared by itself. Give the tolerance to 'latency'",
        ),
        (
            "density",
            {"relative": "5 %"},
            "metric = 'density': it is not compared with a baseline. "
            "Metrics are latency, device_time, top1, top5, peak_memory, energy_per_image, "
            "process_memory, artefact_size",
        ),
        (
            "top1",
            {"relative": "5 %"},
            "metric = 'top1': an accuracy is compared image by image, and takes neither relative "
            "nor absolute. Write confidence = 0.9999, or a budget for a limit: "
            "limit = 'top1 >= 75 %'",
        ),
        (
            "top5",
            {},
            "metric = 'top5': no tolerance is given. Add confidence = 0.9999",
        ),
        (
            "latancy",
            {"relative": "5 %"},
            "metric = 'latancy': there is no metric 'latancy'. Write 'latency'; "
            "metrics are latency, device_time, top1, top5, peak_memory, energy_per_image, "
            "process_memory, artefact_size",
        ),
        (
            "latency",
            {},
            "metric = 'latency': no tolerance is given. Add relative = '5 %' or confidence = 0.999",
        ),
        (
            "peak_memory",
            {},
            "metric = 'peak_memory': no tolerance is given. "
            "Add relative = '5 %' or absolute = '16 MiB'",
        ),
        (
            "latency",
            {"relative": "0.05"},
            "relative = '0.05': its unit is missing. Write a share as '5 %'; units are %",
        ),
        (
            "latency",
            {"absolute": "1 ms"},
            "absolute = '1 ms': a change of latency is judged relative to the baseline. "
            "Write relative = '5 %', or a budget for an absolute limit",
        ),
        (
            "peak_memory",
            {"absolute": "1 J"},
            "absolute = '1 J': 'J' is no unit of a size. "
            "Write a size as '20 MB'; units are B, kB, MB, GB, KiB, MiB, GiB",
        ),
        (
            "peak_memory",
            {"confidence": 0.99},
            "confidence = 0.99: peak_memory is compared without statistics. "
            "Leave it out, and write relative or absolute",
        ),
        *(
            (
                "latency",
                {"confidence": value},
                f"confidence = {value}: it is a probability from 0.9 to 0.999999. "
                "Write for example confidence = 0.999",
            )
            for value in (0.89, 1, 99.99, -0.5, float("nan"), float("inf"))
        ),
    ],
)
def test_refusals(metric: str, given: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_override(metric, Selector(), **given)  # type: ignore[arg-type]
    assert str(refused.value) == message


def test_unknown_preset() -> None:
    with pytest.raises(UsageError) as refused:
        Rules("strickt")
    assert str(refused.value) == (
        "preset = 'strickt': there is no preset 'strickt'. "
        "Write 'strict'; presets are strict, default, lenient"
    )


def test_a_count_asked_for_by_a_program_is_refused_as_well() -> None:
    with pytest.raises(UsageError, match="tolerance of params: a count has no noise"):
        Rules().tolerance("params", *CELL)


@pytest.mark.parametrize(
    ("overrides", "places"),
    [
        ([Override("latency", relative=0.1), Override("latency", relative=0.2)], (0, 1)),
        ([Override("latency", relative=0.1), Override("device_time", relative=0.1)], None),
        ([Override("latency", relative=0.1), Override("latency", confidence=0.99)], None),
        (
            [
                Override("latency", Selector(dtype="fp16"), relative=0.1),
                Override("latency", Selector(dtype="fp32"), relative=0.1),
                Override("latency", Selector(dtype="fp16"), confidence=0.99, relative=0.1),
            ],
            (0, 2),
        ),
    ],
)
def test_repetitions(overrides: list[Override], places: tuple[int, int] | None) -> None:
    assert first_repeated(overrides) == places


def test_an_accuracy_has_a_confidence() -> None:
    rules = Rules("default", (parse_override("top1", Selector("timm/*"), confidence=0.999),))
    assert rules.tolerance("top1", "timm/a", "cpu", "fp32").confidence == 0.999
    assert rules.tolerance("top5", "timm/a", "cpu", "fp32").confidence == 0.9999
    assert Rules("lenient").tolerance("top1", "timm/a", "cpu", "fp32").confidence == 0.99999


def test_each_clock_has_its_own_rule() -> None:
    rules = Rules("default", (parse_override("device_time", Selector("timm/*"), relative="1 %"),))
    cell = ("h200", "fp16")
    assert rules.time_rule("timm/a", *cell, DEVICE) == TimeRule(DEVICE, 0.01, 0.999)
    assert rules.time_rule("local/a", *cell, DEVICE) == TimeRule(DEVICE, 0.02, 0.999)
    wall = Scale("wall")
    assert rules.time_rule("timm/a", *cell, wall) == TimeRule(wall, 0.10, 0.999)
