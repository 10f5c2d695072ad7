"""Rows of networks that do not exist, shaped as those that do: for pages, and for their speed."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from archbench.core.rows import Row, Value, with_derived

FAMILIES = {
    "ResNet": (11.7, 1.8, 69.8, 8), "EfficientNet": (5.3, 0.39, 77.1, 8),
    "VGG": (132.9, 7.6, 69.0, 8), "MobileNet": (2.5, 0.22, 67.5, 9),
    "DenseNet": (8.0, 2.8, 74.4, 6), "ViT": (5.7, 1.1, 72.2, 7),
    "ShuffleNet": (1.4, 0.04, 60.6, 6), "ConvNeXt": (28.6, 4.5, 82.1, 8),
}  # fmt: skip
"""Params in millions, GMACs and top-1 of the smallest member, and how many there are."""

SETUPS = (("cpu-amd-epyc", "AMD EPYC", "fp32", 90e9), ("v100", "Tesla V100", "fp16", 9e12))
"""Device, its name, precision and multiply-adds a second."""


def synthetic_rows(
    *,
    setups: Sequence[tuple[str, str, str, float]] = SETUPS,
    batch_sizes: Sequence[int] = (1, 8),
    copies: int = 1,
    seed: int = 7,
) -> list[Row]:
    """Sixty architectures for each copy, in eight families, in every setup and batch size.

    Top-1 of ResNet is measured, of the others published; energy is measured on the V100 alone.
    """
    chance = random.Random(seed)
    rows = []
    for copy in range(copies):
        for family, (params, macs, top1, members) in FAMILIES.items():
            for n in range(members):
                size = 1.45**n * chance.uniform(0.9, 1.1) * 1.01**copy
                name = f"{family.lower()}{18 + 16 * n}" + (f"_v{copy}" if copy else "")
                rows += _cells(
                    f"timm/{name}", name, family, params * 1e6 * size, macs * 1e9 * size**1.1,
                    top1 + 6 * math.log10(size) * 2 - n * 0.35 + chance.uniform(-0.6, 0.6),
                    setups, batch_sizes, chance,
                )  # fmt: skip
    return rows


def _cells(
    id: str,
    name: str,
    family: str,
    params: float,
    macs: float,
    top1: float,
    setups: Sequence[tuple[str, str, str, float]],
    batch_sizes: Sequence[int],
    chance: random.Random,
) -> list[Row]:
    cells = []
    for device, device_name, dtype, speed in setups:
        for batch in batch_sizes:
            run = f"2026-03-01T10-00-00-{device}"
            seconds = (macs * batch / speed + 0.004 * batch**0.3) * chance.uniform(0.85, 1.2)
            width = seconds * 0.01
            figures = {
                "params": Value(round(params), "counted", run),
                "macs": Value(round(macs), "counted", run),
                "activations": Value(round(macs / 190), "counted", run),
                "top1": Value(round(top1, 3), "measured", run)
                if family == "ResNet"
                else Value(round(top1, 3), "published", f"A table of results: {name}.a1_in1k"),
                "latency": Value(seconds, "measured", run, seconds - width, seconds + width),
                "latency_p95": Value(seconds * 1.06, "measured", run),
                "cpu_time": Value(seconds * 0.99, "measured", run),
                "peak_memory": Value(params * 4.6 + 4e7 + macs / 190 * batch * 2, "measured", run),
            }
            if device == "v100":
                figures["energy_per_image"] = Value(seconds / batch * 180, "measured", run)
                figures["speedup"] = Value(1 + top1 / 100, "derived", run)
            cells.append(
                Row(
                    id, name, "timm", family, device, device_name, run,
                    "2026-03-01T10:00:00+00:00", "0a1b2c3d4e5f", with_derived(figures, batch),
                    "unchanged", dtype=dtype, batch_size=batch, threads=1,
                )
            )  # fmt: skip
    return cells


def synthetic_history() -> dict[str, list[dict[str, Any]]]:
    """Two cells over twelve runs; the first becomes slower by a fifth at the eighth."""
    cells: dict[str, list[dict[str, Any]]] = {}
    for cell, seconds in (("timm/resnet18 cpu-amd-epyc fp32 batch 1", 0.024), ("timm/vgg18", 0.1)):
        chance = random.Random(cell)
        cells[cell] = [
            {
                "when": f"2026-{1 + n // 4:02d}-{1 + 7 * (n % 4):02d}T10:00:00+00:00",
                "commit": f"{n:x}f00ba4{n:x}",
                "metric": "latency",
                "value": seconds * chance.uniform(0.99, 1.01) * (1.2 if n >= 7 else 1.0),
                "change_point": n == 7 and cell.startswith("timm/resnet"),
            }
            for n in range(12)
        ]
    return cells
