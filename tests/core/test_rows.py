"""Rows: what follows from figures."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import Any

import pytest

from archbench.core.rows import Row, Value, best_runtimes, with_derived, with_speedups
from archbench.report.listing import figure_text, noise_note, rows_csv, rows_table


def test_what_follows_from_figures() -> None:
    figures = with_derived(
        {
            "top1": Value(75.0, "published", "a paper"),
            "params": Value(25e6, "counted", "here"),
            "macs": Value(4e9, "counted", "here"),
            "latency": Value(0.080, "measured", "run", 0.064, 0.1),
        },
        batch_size=8,
    )
    assert figures["density"] == Value(3.0, "published", "a paper; here")
    assert figures["top1_per_gmac"].value == 18.75
    per_image = figures["latency_per_image"]
    assert (per_image.value, per_image.low, per_image.high) == pytest.approx((0.01, 0.008, 0.0125))
    rate = figures["throughput"]
    assert (rate.value, rate.low, rate.high) == pytest.approx((100, 80, 125))
    assert rate.kind == "measured"


def test_what_is_given_is_not_derived_and_nothing_comes_of_nothing() -> None:
    given = {"top1": Value(75.0, "published", "p"), "density": Value(9.0, "published", "p")}
    assert with_derived(given, None) == given


def test_target_and_text() -> None:
    row = Row("timm/a", "a", "timm", "A", "v100", "Tesla V100", dtype="fp16", batch_size=8,
                  threads=1, values={"latency": Value(0.0123456, "measured", "r")})  # fmt: skip
    assert row.target == "v100 fp16 batch 8"
    assert (row.text("latency"), row.value("latency")) == ("12.35", 0.0123456)
    assert row.text("top1") is None
    assert Row("timm/a", "a", "timm", "A").target == ""


@pytest.mark.parametrize(
    ("fields", "target"),
    [
        ({}, "v100 fp16 batch 8"),
        ({"memory_format": "nchw", "runtime": "eager", "cold_cache": False}, "v100 fp16 batch 8"),
        ({"memory_format": "nhwc", "runtime": "compiled"}, "v100 fp16 batch 8 nhwc compiled"),
        ({"runtime": "cudagraph", "threads": 2}, "v100 fp16 batch 8 2 threads cudagraph"),
        ({"cold_cache": True}, "v100 fp16 batch 8 cold cache"),
        ({"largest_batch": True}, "v100 fp16 batch 8 (max)"),
        ({"largest_batch": True, "batch_size": None}, "v100 fp16 batch max"),
        # The device is in it already, by its short name.
        ({"asked": "cuda:1"}, "v100 fp16 batch 8"),
        ({"device": "", "runtime": "compiled"}, ""),
    ],
)
def test_a_target_says_what_is_unusual(fields: dict[str, Any], target: str) -> None:
    stated = {"device": "v100", "dtype": "fp16", "batch_size": 8, "threads": 1}
    assert Row("timm/a", "a", "timm", "A", **{**stated, **fields}).target == target


def run_by(runtime: str, latency: float | None, **more: Any) -> Row:
    values = {} if latency is None else {"latency": Value(latency, "measured", "r")}
    given: dict[str, Any] = {"dtype": "fp32", "batch_size": 1, "run": "r", **more}
    return Row("timm/a", "a", "timm", "A", device="cpu", runtime=runtime, values=values, **given)


def test_a_speedup_is_over_eager_run_in_the_same_way() -> None:
    rows = [
        run_by("eager", 0.03),
        run_by("openvino", 0.01),
        run_by("openvino", 0.02, batch_size=8),
        run_by("openvino", 0.01, run="another"),
        run_by("onnxruntime", None),
    ]
    found = [row.value("speedup") for row in with_speedups(rows)]
    assert found == [None, pytest.approx(3), None, None, None]


def test_the_fastest_runtime_stands_for_an_architecture() -> None:
    eager, fast = run_by("eager", 0.03), run_by("openvino", 0.01)
    other = run_by("eager", 0.5, batch_size=8)
    untimed = run_by("onnxruntime", None)
    assert best_runtimes([untimed, eager, fast, other]) == [fast, other]
    assert best_runtimes([fast, eager]) == [fast]


@pytest.mark.parametrize(
    ("eager", "engine", "expected"),
    [((), (), ()), (("latency",), (), ("speedup",)), ((), ("latency",), ("latency", "speedup"))],
)
def test_a_speedup_over_or_of_a_noisy_time_is_noisy(
    eager: tuple[str, ...], engine: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    rows = [run_by("eager", 0.03, noisy=eager), run_by("openvino", 0.01, noisy=engine)]
    assert with_speedups(rows)[1].noisy == expected


def test_a_noisy_figure_is_marked_wherever_it_is_listed() -> None:
    values = {"latency": Value(0.0125, "measured", "r"), "macs": Value(2e9, "counted", "r")}
    row = Row(id="timm/a", name="a", library="timm", family="A", values=values, noisy=("latency",))
    assert figure_text(row, "latency") == "~12.5"
    assert figure_text(row, "macs") == "2"
    for metric in (None, "latency"):
        assert noise_note([row, replace(row, noisy=())], metric) == [
            "~ too noisy to trust, 1 of 2: other work ran beside it."
        ]
    assert noise_note([replace(row, noisy=())]) == []
    assert noise_note([row], "params") == []
    assert rows_table([row], "text").splitlines()[2].split() == ["a", "timm", "2", "~12.5"]
    (line,) = csv.DictReader(rows_csv([row]).splitlines())
    assert (line["noisy"], line["latency"]) == ("latency", "0.0125")
