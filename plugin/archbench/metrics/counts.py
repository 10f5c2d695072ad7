"""What is counted of an architecture: the same on every device, compared by equality."""

from __future__ import annotations

from typing import Any

from archbench.metrics.metric import Family, Metric, register


def _count(name: str, title: str, scale: float = 1e-6, **more: Any) -> Metric:
    return Metric(
        name=name, unit="1", title=title, scale=scale, of="network", check="equality",
        kind="a number", **more,
    )  # fmt: skip


register(
    Family(
        "complexity",
        (
            _count(
                "params", "params M", option="params", option_help="5M",
                axis="params (millions)", tables=("list", "select"), place=20,
            ),
            _count("trainable_params", "trainable M"),
            _count(
                "macs", "GMACs", 1e-9, option="macs", option_help="of an image: 4G",
                tables=("list", "select"), place=30,
            ),
            _count("buffers", "buffers M"),
            _count(
                "activations", "activations M", option="activations",
                option_help="of an image: 10M",
            ),
            _count("max_channels", "max channels", 1.0, digits=9),
            _count("operator_calls", "operator calls", 1.0, digits=9),
        ),
    )
)  # fmt: skip
