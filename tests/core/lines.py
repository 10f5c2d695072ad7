"""Lines of baselines for tests, of which only what a test is about has to be said."""

from __future__ import annotations

from typing import Any

from archbench.core.lines import CountLine, TimeLine, line_of


def count_line(id: str = "timm/a", **fields: Any) -> CountLine:
    """Counts of a small network of one's own."""
    usual = {
        "input_shape": [1, 3, 8, 8], "output_shape": [1, 10], "params": 162,
        "trainable_params": 162, "buffers": 0, "macs": 5000, "activations": 70,
        "max_channels": 4, "operator_calls": 5, "torch": "2.15.0", "library": "local",
        "layers": [["Conv2d", 112, 4960, 1], ["Linear", 50, 40, 1]],
    }  # fmt: skip
    return line_of(CountLine, {"id": id, **usual, **fields})


def time_line(id: str = "timm/a", cell: str = "fp32-b1", **fields: Any) -> TimeLine:
    """Times, of which ``process_runs`` are to be said."""
    usual = {
        "counts": None, "memory_and_energy": {}, "environment": {"clock": "cpu"},
        "when": "2026-11-20T18:40:12+00:00", "commit": None, "reason": None,
    }  # fmt: skip
    return line_of(TimeLine, {"id": id, "cell": cell, **usual, **fields})
