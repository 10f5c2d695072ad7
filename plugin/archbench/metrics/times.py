"""Times of forward passes, and what follows from them.

Background load on the host is no part of a device's time: so its tolerance is small, and the
spread of the baseline decides what is found beyond it: 4 and 8 % for two networks on an H200.
"""

from __future__ import annotations

from typing import Any

from archbench.metrics.metric import PRESETS, Family, Metric, Tolerance, register

_CONFIDENCES = (0.99, 0.999, 0.9999)


def _time(name: str, title: str, relative: tuple[float, ...] = (), **more: Any) -> Metric:
    presets = zip(PRESETS, relative, strict=False)
    return Metric(
        **{
            "name": name, "unit": "s", "title": title, "scale": 1e3, "error": 0.05,
            "check": "statistics" if relative else "none",
            "presets": {
                preset: Tolerance(share, confidence=confidence)
                for (preset, share), confidence in zip(presets, _CONFIDENCES, strict=False)
            },
            "example": "confidence = 0.999" if relative else "",
            **more,
        }
    )  # fmt: skip


register(
    Family(
        "latency",
        (
            _time(
                "latency", "latency ms", (0.05, 0.10, 0.20), kind="a time",
                quantiles=("p50", "p90", "p95", "p99"), option="latency",
                option_help="of a batch, median: 10ms", axis="latency per batch (ms)",
                tables=("list", "select"), place=40,
            ),
            _time(
                "cpu_time", "CPU time ms",
                follows=("latency", "on a processor it is the clock that latency is compared by"),
            ),
            _time(
                "device_time", "device time ms", (0.01, 0.02, 0.05), error=0.02,
                tables=("list",), place=42,
            ),
        ),
    )
)  # fmt: skip


def _number(name: str, title: str, place: int) -> Metric:
    return Metric(
        name=name, unit="1", title=title, digits=9, tables=("list",), place=place,
        better="higher" if name == "max_batch_size" else "lower",
    )  # fmt: skip


register(
    Family(
        "compiling",
        (
            _time(
                "compile_time", "compile time s", scale=1.0, digits=3, tables=("list",), place=90
            ),
            _time("export_time", "export time s", scale=1.0, digits=3, tables=("list",), place=93),
            _time("load_time", "load time ms", tables=("list",), place=94),
            _number("graph_nodes", "graph nodes", 96),
            _number("graph_breaks", "graph breaks", 91),
            _number("recompilations", "recompilations", 92),
        ),
    )
)
register(
    Family(
        "latency-derived",
        (
            _time("latency_p95", "p95 ms", tables=("list",), place=41),
            _time("latency_per_image", "ms per image", axis="inference time per image (ms)"),
        ),
    )
)
register(Family("largest-batch", (_number("max_batch_size", "max batch size", 44),)))
register(
    Family(
        "throughput",
        (
            Metric(
                name="throughput", unit="1/s", title="images/s", better="higher", error=0.05,
                kind="a rate", entry="latency", option="throughput", option_unit="images/s",
                option_help="30, in images/s", tables=("list", "select"), place=43,
                follows=("latency", "it is the batch size over the median latency"),
            ),
        ),
    )
)  # fmt: skip
