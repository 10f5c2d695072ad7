"""Ball charts after Canziani et al. 2016, figure 2: three metrics, one of them as an area."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from archbench.core.rows import Row
from archbench.report.charts.canvas import (
    Sheet,
    axis_title,
    axis_values,
    is_published,
    set_scale,
    sources_note,
)
from archbench.report.charts.chosen import architectures
from archbench.report.charts.colours import shades
from archbench.report.charts.declared import Chart
from archbench.report.charts.labels import place_labels, point_labels
from archbench.report.charts.notes import by_importance, left_out_note, marker_note, sheet_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LARGEST = 2600.0
"""Area of the largest circle in square points."""


def balls(chart: Chart, points: Sequence[Row]) -> Figure:
    """Circles at ``x`` and ``y`` whose areas are proportional to ``area``."""
    x, y, size = metrics = (chart.x, chart.y, chart.area)
    drawn = architectures(points, metrics)
    xs, ys, values = (axis_values(drawn, metric) for metric in (x, y, size))
    scale = _LARGEST / max(values)
    notes = [
        chart.explanation, *marker_note(drawn, metrics), *left_out_note(points, metrics),
        sources_note(drawn, metrics),
    ]  # fmt: skip
    sheet = Sheet(chart.title, *sheet_size(len(drawn)), [" ".join(notes)])
    axes = sheet.axes[0][0]
    _draw_balls(axes, drawn, points, metrics, scale)
    set_scale(axes, "x", xs, chart.log_x)
    if axes.get_xscale() == "linear":
        axes.set_xlim(left=0, right=max(xs) * 1.08)
    low, high = min(ys), max(ys)
    room = max(1.0, (high - low) * 0.08)
    axes.set_ylim(low - room, min(100.0, high + room))
    axes.set_xlabel(axis_title(axes, "x", x))
    axes.set_ylabel(axis_title(axes, "y", y))
    sheet.legend_of_families(drawn, markers=False)
    sheet.legend_of_sizes(size, [(step, step * scale) for step in size_steps(max(values))])
    sheet.freeze()
    order = by_importance(drawn, ys)
    names = point_labels(drawn)
    _, missing = place_labels(
        axes, [xs[n] for n in order], [ys[n] for n in order], [names[n] for n in order], radius=2.2
    )
    sheet.note_unnamed(missing + len(drawn) - len(order))
    return sheet.figure


def _draw_balls(
    axes: Axes,
    drawn: Sequence[Row],
    points: Sequence[Row],
    metrics: tuple[str, str, str],
    scale: float,
) -> None:
    """The circles, the largest below the others, with a dot in the centre of each."""
    colours = shades(points)
    xs, ys, values = (axis_values(drawn, metric) for metric in metrics)
    largest_first = sorted(range(len(drawn)), key=lambda n: -values[n])
    faces = [colours[drawn[n].id, drawn[n].name] for n in largest_first]
    axes.scatter(
        [xs[n] for n in largest_first], [ys[n] for n in largest_first],
        s=[values[n] * scale for n in largest_first],
        c=faces, alpha=0.42, linewidths=0, zorder=2, gid="balls",
    )  # fmt: skip
    edges = [colours[point.id, point.name] for point in drawn]
    dots = [
        "white" if is_published(point, metrics) else edge
        for point, edge in zip(drawn, edges, strict=True)
    ]
    axes.scatter(
        xs, ys, s=11, zorder=3, linewidths=0.9, edgecolors=edges,
        facecolors=dots, gid="centres",
    )  # fmt: skip


def size_steps(largest: float) -> list[float]:
    """Round values for a legend of sizes, largest first: about 1, 1/2 and 1/10 of ``largest``."""
    power = 10.0 ** math.floor(math.log10(largest))
    first = next(step for step in (5, 2, 1) if step * power <= largest * (1 + 1e-9)) * power
    return [first, first / 2 if first / power != 5 else 2 * power, first / 10]
