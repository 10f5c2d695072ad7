"""Accuracies, compared image by image, and what they are worth."""

from __future__ import annotations

from typing import Any

from archbench.metrics.metric import PRESETS, Family, Metric, Tolerance, register


def _accuracy(name: str, title: str, **more: Any) -> Metric:
    confidences = zip(PRESETS, (0.999, 0.9999, 0.99999), strict=True)
    return Metric(
        name=name, unit="%", title=title, better="higher", of="weights", check="pairs",
        presets={preset: Tolerance(0.0, confidence=one) for preset, one in confidences},
        example="confidence = 0.9999", kind="a percentage", option=name, option_unit="%", **more,
    )  # fmt: skip


register(
    Family(
        "accuracy",
        (
            _accuracy(
                "top1", "top-1 %", option_help="75, in percent", axis="top-1 (%)", decimals=2,
                tables=("list", "select"), place=10,
            ),
            _accuracy("top5", "top-5 %", option_help="92, in percent"),
        ),
    )
)  # fmt: skip
