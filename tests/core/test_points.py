"""Points: what follows from figures."""

from __future__ import annotations

from typing import Any

import pytest

from archbench.core.points import Figure, Point, with_derived


def test_what_follows_from_figures() -> None:
    figures = with_derived(
        {
            "top1": Figure(75.0, "published", "a paper"),
            "params": Figure(25e6, "counted", "here"),
            "macs": Figure(4e9, "counted", "here"),
            "latency": Figure(0.080, "measured", "run", 0.064, 0.1),
        },
        batch_size=8,
    )
    assert figures["density"] == Figure(3.0, "published", "a paper; here")
    assert figures["top1_per_gmac"].value == 18.75
    per_image = figures["latency_per_image"]
    assert (per_image.value, per_image.low, per_image.high) == pytest.approx((0.01, 0.008, 0.0125))
    rate = figures["throughput"]
    assert (rate.value, rate.low, rate.high) == pytest.approx((100, 80, 125))
    assert rate.kind == "measured"


def test_what_is_given_is_not_derived_and_nothing_comes_of_nothing() -> None:
    given = {"top1": Figure(75.0, "published", "p"), "density": Figure(9.0, "published", "p")}
    assert with_derived(given, None) == given


def test_target_and_text() -> None:
    point = Point("timm/a", "a", "timm", "A", "v100", "Tesla V100", dtype="fp16", batch_size=8,
                  threads=1, figures={"latency": Figure(0.0123456, "measured", "r")})  # fmt: skip
    assert point.target == "v100 fp16 batch 8"
    assert (point.text("latency"), point.value("latency")) == ("12.35", 0.0123456)
    assert point.text("top1") is None
    assert Point("timm/a", "a", "timm", "A").target == ""


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
    assert Point("timm/a", "a", "timm", "A", **{**stated, **fields}).target == target
