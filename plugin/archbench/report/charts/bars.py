"""Bars by architecture in the colours of their families."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from archbench.core.rows import Row
from archbench.metrics import METRICS
from archbench.report.charts.canvas import (
    Sheet,
    axis_values,
    is_published,
    set_scale,
    sources_note,
)
from archbench.report.charts.chosen import architectures
from archbench.report.charts.colours import shades
from archbench.report.charts.declared import Chart, title_of
from archbench.report.charts.labels import point_labels
from archbench.report.charts.notes import left_out_note, marker_note
from archbench.report.charts.scatter import draw_scatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST = 90
_SLOT = 0.165


def bars(chart: Chart, points: Sequence[Row]) -> Figure:
    """Bars by architecture, rising; below them the same metric against another, if there is one."""
    metric, against = chart.x, chart.y
    drawn, cut = _shown(architectures(points, (metric,)), metric)
    placed = architectures(points, (metric, against)) if against else []
    notes = [
        chart.explanation, *_bar_notes(drawn, metric, cut),
        *(marker_note(placed, (metric, against)) if against else []),
        *left_out_note(points, (metric,)), sources_note(drawn, (metric,)),
    ]  # fmt: skip
    rows, more = ((1, 1.3), 5.2) if against else ((1,), 0.0)
    sheet = Sheet(
        chart.title, _width(drawn), _height(drawn) + more, [" ".join(notes)], rows=len(rows),
        height_ratios=rows,
    )  # fmt: skip
    draw_bars(sheet.axes[0][0], drawn, points, metric)
    place = None
    if against:
        place = draw_scatter(
            sheet.axes[1][0], placed, points, metric, against, x_logarithmic=chart.log_x
        )
    sheet.legend_of_families(placed or drawn, markers=bool(against))
    sheet.freeze()
    if place is not None:
        place(sheet)
    return sheet.figure


def _shown(points: list[Row], metric: str) -> tuple[list[Row], int]:
    """The points that have room, the lowest first, and how many have none."""
    order = sorted(points, key=lambda point: (axis_values([point], metric)[0], point.name))
    return order[-_MOST:], max(0, len(order) - _MOST)


def _width(points: Sequence[Row]) -> float:
    return max(7.6, len(points) * _SLOT + 2.2)


def _height(points: Sequence[Row]) -> float:
    """Inches, with room for the longest name, which stands upright."""
    return 3.8 + 0.06 * max(map(len, point_labels(points)))


def _bar_notes(points: Sequence[Row], metric: str, cut: int) -> list[str]:
    notes = []
    if cut:
        notes.append(f"The best {len(points)} of {len(points) + cut}.")
    if any(is_published(point, (metric,)) for point in points):
        what = "" if metric == "top1" else "from accuracies or counts "
        notes.append(f"* {what}published, not measured here.")
    return notes


def draw_bars(axes: Axes, drawn: Sequence[Row], points: Sequence[Row], metric: str) -> None:
    """Bars of ``drawn``, with their values, in the colours that they have among ``points``."""
    colours = shades(points)
    values = axis_values(drawn, metric)
    axes.bar(
        range(len(drawn)), values, width=0.78,
        color=[colours[point.id, point.name] for point in drawn],
    )  # fmt: skip
    low, high = min(values), max(values)
    logarithmic = metric != "top1" and low > 0 and high / low > 40
    note = ""
    if logarithmic:
        set_scale(axes, "y", values, True)
        # Room for the values above the bars, and for the shortest bar to be seen.
        axes.set_ylim(low / 1.6, high * (high / low) ** 0.14)
        note = ", logarithmic"
    else:
        floor = 10 * int(low // 10) - 10 if metric == "top1" and low >= 30 else 0
        axes.set_ylim(floor, high + (high - floor) * 0.13)
        if floor:
            note = f", axis begins at {floor}"
    for n, (point, value) in enumerate(zip(drawn, values, strict=True)):
        mark = "*" if is_published(point, (metric,)) else ""
        axes.annotate(
            f"{METRICS[metric].text(point.values[metric].value)}{mark}", (n, value), (0, 2),
            textcoords="offset points", rotation=90, ha="center", va="bottom", size=6.5,
            annotation_clip=False, gid="value",
        )  # fmt: skip
    axes.set_xticks(range(len(drawn)), point_labels(drawn), rotation=90, size=7)
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=False, axis="x")
    axes.set_xlim(-0.7, len(drawn) - 0.3)
    axes.set_ylabel(title_of(metric) + note)
