"""Which points a chart can draw: each architecture once, finite figures, a panel per device."""

from __future__ import annotations

import math
from collections.abc import Sequence

from archbench.core.rows import Row


def drawable(points: Sequence[Row], metrics: Sequence[str]) -> list[Row]:
    """Points that have every metric, finite and above 0 (accuracies may be 0)."""
    return [
        point
        for point in points
        if all(_is_usable(point.value(metric), metric) for metric in metrics)
    ]


def _is_usable(value: float | None, metric: str) -> bool:
    if value is None or not math.isfinite(value):
        return False
    return value > 0 or (value == 0 and metric in ("top1", "top5"))


def architectures(points: Sequence[Row], metrics: Sequence[str]) -> list[Row]:
    """Drawable points, each architecture once for each set of values.

    Cells that differ in device, precision or batch size share params, MACs and a published
    accuracy: they are one circle. Where a measured accuracy differs, it is one more.
    """
    seen: dict[tuple[object, ...], Row] = {}
    for point in drawable(points, metrics):
        seen.setdefault((point.id, point.name, *(point.value(metric) for metric in metrics)), point)
    return list(seen.values())


def by_target(points: Sequence[Row]) -> dict[str, list[Row]]:
    """Points of one device, precision, batch size and way of running: a panel each.

    Panels are in the order of device, precision, way of running and rising batch size. Of several
    runs of a cell the last point is drawn.
    """
    panels: dict[str, list[Row]] = {}
    order = {}
    for point in points:
        panels.setdefault(point.target, []).append(point)
        order[point.target] = (
            point.device, point.dtype or "", point.threads or 0, point.unusual,
            point.batch_size or 0,
        )  # fmt: skip
    return {
        target: list({(point.id, point.name): point for point in panels[target]}.values())
        for target in sorted(panels, key=lambda target: order[target])
    }
