"""What is said below a picture, which names stand in it, and how large it is."""

from __future__ import annotations

from collections.abc import Sequence

from archbench.core.rows import Row
from archbench.report.charts.canvas import is_published
from archbench.report.charts.chosen import drawable
from archbench.report.charts.declared import noun_of

MOST_NAMES = 90


def marker_note(points: Sequence[Row], metrics: Sequence[str]) -> list[str]:
    """What open and filled markers say, if any is open; how many times are not to be trusted."""
    noisy = sum(not set(metrics).isdisjoint(point.noisy) for point in points)
    doubts = [f"Too noisy to trust: {noisy} of {len(points)}."] if noisy else []
    if not any(is_published(point, metrics) for point in points):
        return doubts
    accuracy = any(is_published(point, ("top1",)) for point in points) and "top1" in {
        *metrics, *(("top1",) if {"density", "top1_per_gmac"} & {*metrics} else ()),
    }  # fmt: skip
    what = "the accuracy" if accuracy and not _others_published(points, metrics) else "a figure"
    return [f"Open marker: {what} is published, not measured here.", *doubts]


def _others_published(points: Sequence[Row], metrics: Sequence[str]) -> bool:
    others = [name for name in metrics if name not in ("top1", "density", "top1_per_gmac")]
    return any(is_published(point, others) for point in points)


def left_out_note(points: Sequence[Row], metrics: Sequence[str]) -> list[str]:
    """How many architectures are missing from a chart, and for want of which figures."""
    everyone = {(point.id, point.name) for point in points}
    drawn = {(point.id, point.name) for point in drawable(points, metrics)}
    missing = len(everyone) - len(drawn)
    if not missing:
        return []
    lacking = []
    for metric in metrics:
        having = {(point.id, point.name) for point in drawable(points, (metric,))}
        if everyone - having:
            lacking.append(noun_of(metric))
    return [f"Not drawn, for want of {' or '.join(lacking)}: {missing} of {len(everyone)}."]


def by_importance(
    points: Sequence[Row], heights: Sequence[float], most: int = MOST_NAMES
) -> list[int]:
    """Numbers of the points to be named, the most important first.

    All of them, from the highest down; where they are more than ``most``, the highest of each
    family, then the highest of the rest.
    """
    order = sorted(range(len(points)), key=lambda n: (-heights[n], points[n].name))
    if len(order) <= most:
        return order
    best: dict[str, int] = {}
    for n in order:
        best.setdefault(points[n].family, n)
    leading = list(best.values())
    chosen = set(leading)
    return (leading + [n for n in order if n not in chosen])[:most]


def sheet_size(count: int) -> tuple[float, float]:
    """Width and height in inches that give so many names room."""
    return (9.6, 6.6) if count <= 45 else (12.0, 8.2)
