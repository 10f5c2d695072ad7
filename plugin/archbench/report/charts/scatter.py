"""Points of two metrics, a panel for each device, precision and batch size, with lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from archbench.core.fitting import fit_line
from archbench.core.pareto import pareto_front, upper_bound
from archbench.core.rows import Row
from archbench.metrics import format_significant
from archbench.report.charts.balls import balls
from archbench.report.charts.canvas import (
    Sheet,
    axis_title,
    axis_values,
    is_published,
    set_scale,
    sources_note,
)
from archbench.report.charts.chosen import by_target, drawable
from archbench.report.charts.colours import family_look, shades
from archbench.report.charts.declared import Chart, title_of
from archbench.report.charts.labels import place_labels, point_labels
from archbench.report.charts.notes import (
    MOST_NAMES,
    by_importance,
    left_out_note,
    marker_note,
    sheet_size,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_PANELS = 16
_NAMES_OF_SMALL = 12
"""In each of more than six panels."""
_Place = Callable[[Sheet], None]


def draw_scatter(
    axes: Axes,
    drawn: Sequence[Row],
    points: Sequence[Row],
    x: str,
    y: str,
    *,
    x_logarithmic: bool | None,
    importance: Sequence[int] | None = None,
    reach: float = 0.13,
) -> _Place:
    """Markers of ``drawn`` in the colours that they have among ``points``.

    Returns:
        What places the names, to be called when the layout is final.
    """
    xs, ys = axis_values(drawn, x), axis_values(drawn, y)
    _draw_markers(axes, drawn, points, (x, y))
    set_scale(axes, "x", xs, x_logarithmic)
    axes.set_xlabel(axis_title(axes, "x", x))
    axes.set_ylabel(axis_title(axes, "y", y))
    axes.margins(0.06)
    names = point_labels(drawn)
    order = list(importance) if importance is not None else by_importance(drawn, ys)

    def place(sheet: Sheet) -> None:
        _, missing = place_labels(
            axes, [xs[n] for n in order], [ys[n] for n in order], [names[n] for n in order],
            around=[line for line in axes.get_lines() if line.get_gid() in ("fit", "bound")],
            radius=3.2, reach=reach,
        )  # fmt: skip
        sheet.note_unnamed(missing + len(drawn) - len(order))

    return place


def _draw_markers(
    axes: Axes, drawn: Sequence[Row], points: Sequence[Row], metrics: tuple[str, str]
) -> None:
    """A marker of its family for each cell, hollow where one of the two values is published."""
    colours = shades(points)
    xs, ys = (axis_values(drawn, metric) for metric in metrics)
    groups: dict[str, list[int]] = {}
    for n, point in enumerate(drawn):
        groups.setdefault(family_look(point.family).marker, []).append(n)
    for marker, members in groups.items():
        shade = [colours[drawn[n].id, drawn[n].name] for n in members]
        faces = [
            "white" if is_published(drawn[n], metrics) else colour
            for n, colour in zip(members, shade, strict=True)
        ]
        axes.scatter(
            [xs[n] for n in members], [ys[n] for n in members], s=26, marker=marker,
            facecolors=faces, edgecolors=shade, linewidths=1.3, zorder=3, gid="markers",
        )  # fmt: skip


def _sheet_of_panels(
    title: str, notes: Sequence[str], count: int, most: int
) -> tuple[Sheet, list[Axes]]:
    """A sheet of ``count`` axes, two or three beside each other, with room for ``most`` names in
    each."""
    columns = 1 if count == 1 else 2 if count <= 6 else 3
    rows = -(-count // columns)
    if count == 1:
        width, height = sheet_size(most)
    else:
        width, height = 14.0, rows * (3.6 if columns == 3 else 5.4 if most <= 45 else 6.4)
    sheet = Sheet(title, width, height, [" ".join(notes)], rows, columns)
    axes = [axes for row in sheet.axes for axes in row]
    for unused in axes[count:]:
        unused.remove()
    return sheet, axes[:count]


def _most(chosen: Sequence[tuple[str, list[Row]]]) -> int:
    return max(len(drawn) for _, drawn in chosen)


def _cut_panels(panels: dict[str, list[Row]], notes: list[str]) -> list[tuple[str, list[Row]]]:
    if len(panels) > _MOST_PANELS:
        notes.append(f"The first {_MOST_PANELS} of {len(panels)} panels.")
    return list(panels.items())[:_MOST_PANELS]


def _panel_title(points: Sequence[Row], target: str) -> str:
    name = points[0].device_name
    return f"{name}: {target.partition(' ')[2]}" if name and target else target


def smallest_batch(points: Sequence[Row]) -> list[Row]:
    """Of each device, precision and way of running the cells of its smallest batch size."""
    least: dict[tuple[str, str | None, int | None, str], int] = {}
    for point in points:
        key, size = _setup(point), point.batch_size or 0
        least[key] = min(size, least.get(key, size))
    return [point for point in points if (point.batch_size or 0) == least[_setup(point)]]


def _setup(point: Row) -> tuple[str, str | None, int | None, str]:
    return point.device, point.dtype, point.threads, point.unusual


def scatter(chart: Chart, points: Sequence[Row]) -> Figure:
    """Two metrics, a panel for each target with the lines that the chart declares; circles where
    it has a third.

    After Canziani et al. 2016, figure 9, and Bianco et al. 2018, figure 4.
    """
    if chart.area:
        return balls(chart, points)
    metrics = (chart.x, chart.y)
    everything = drawable(points, metrics)
    usable = smallest_batch(everything) if chart.smallest_batch else everything
    notes = [
        chart.explanation, *marker_note(usable, metrics), *left_out_note(points, metrics),
    ]  # fmt: skip
    if len(usable) < len(everything):
        notes.append("The smallest batch size of each device and precision.")
    chosen = _cut_panels(by_target(usable), notes)
    notes.append(sources_note(usable, metrics))
    sheet, grid = _sheet_of_panels(chart.title, notes, len(chosen), _most(chosen))
    places = []
    for axes, (target, drawn) in zip(grid, chosen, strict=True):
        axes.set_title(_panel_title(drawn, target))
        names = _NAMES_OF_SMALL if len(chosen) > 6 else MOST_NAMES
        places.append(_draw_panel(axes, chart, drawn, points, names))
    sheet.legend_of_families(usable)
    sheet.freeze()
    for place in places:
        place(sheet)
    return sheet.figure


def _draw_panel(
    axes: Axes, chart: Chart, drawn: Sequence[Row], points: Sequence[Row], names: int
) -> _Place:
    x, y = chart.x, chart.y
    xs, ys = axis_values(drawn, x), axis_values(drawn, y)
    fit = fit_line(xs, ys) if chart.fit else None
    importance = by_importance(drawn, ys, names)
    if fit is not None and chart.from_zero:
        # The names that stand farthest from the line are placed first.
        away = [abs(y - fit.at(x)) for x, y in zip(xs, ys, strict=True)]
        importance = sorted(range(len(xs)), key=lambda n: -away[n])[:names]
    place = draw_scatter(
        axes, drawn, points, x, y, x_logarithmic=chart.log_x, importance=importance,
        # Near 0 they are so many that longer lines would be a thicket.
        reach=0.06 if chart.from_zero else 0.13,
    )  # fmt: skip
    if chart.from_zero:
        axes.set_xlim(0, max(xs) * 1.1)
        axes.set_ylim(0, max(ys) * 1.1)
    elif chart.front or chart.bound:
        room = max(ys) - min(ys)
        axes.set_ylim(min(ys) - 0.06 * room - 0.5, max(ys) + 0.1 * room + 0.5)
    if fit is not None:
        ends = (0.0, max(xs) * 1.1) if chart.from_zero else (min(xs), max(xs))
        _draw_line(axes, "fit", ends, fit.at)
        slope = ""
        if chart.slope is not None:
            factor, unit = chart.slope
            slope = f"{format_significant(fit.slope * factor, 3)} {unit}, "
        _tell(axes, f"r = {fit.correlation:.3f}, {slope}n = {fit.count}")
    if chart.front:
        _draw_front(axes, pareto_front(drawn, x, y).members, x, y)
    # Both metrics are printed in the unit that they are stored in.
    bound = upper_bound(drawn, x, y) if chart.bound else None
    if bound is not None:
        _draw_line(axes, "bound", axes.get_xlim(), bound.at)
        sign = "+" if bound.slope >= 0 else "−"
        slope = format_significant(abs(bound.slope), 3)
        _tell(axes, f"upper bound: {bound.intercept:.1f} {sign} {slope} · {title_of(x)}")
    return place


def _draw_line(
    axes: Axes, gid: str, ends: tuple[float, float], at: Callable[[float], float]
) -> None:
    """A straight line, which bends on a logarithmic axis; the axes stay as they are."""
    left, right = ends
    if axes.get_xscale() == "log":
        xs = [left * (right / left) ** (n / 100) for n in range(101)]
    else:
        xs = [left, right]
    axes.plot(
        xs, [at(x) for x in xs], color="#666666", lw=1.1, ls=(0, (4, 2)) if gid == "fit" else "-",
        gid=gid, scalex=False, scaley=False,
    )  # fmt: skip


def _draw_front(axes: Axes, members: Sequence[Row], x: str, y: str) -> None:
    """The members of a Pareto front, ordered by ``x``: rings, and the steps that they make."""
    xs, ys = axis_values(members, x), axis_values(members, y)
    axes.step(
        xs, ys, where="pre", color="#bbbbbb", lw=1.0, ls=(0, (4, 2)), zorder=1.5, gid="front",
        scalex=False, scaley=False,
    )  # fmt: skip
    axes.scatter(
        xs, ys, s=110, facecolors="none", edgecolors="#999999", linewidths=0.7, zorder=2.4,
        gid="front-members",
    )  # fmt: skip


def _tell(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="right", size=8, color="#555555", gid="panel")
