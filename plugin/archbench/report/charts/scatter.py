"""Points of two metrics, a panel for each device, precision and batch size, with lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from archbench.core.fitting import fit_line
from archbench.core.metrics import format_significant
from archbench.core.points import Point
from archbench.report.charts.canvas import (
    TITLES,
    Sheet,
    axis_title,
    axis_values,
    is_published,
    set_scale,
    sources_note,
)
from archbench.report.charts.chosen import by_target, drawable
from archbench.report.charts.colours import family_look, shades
from archbench.report.charts.labels import place_labels, point_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "accuracy_and_rate", "by_importance", "draw_scatter", "left_out_note", "marker_note",
    "operations_and_time", "panels",
    "sheet_size",
]  # fmt: skip

_MOST_PANELS = 12
_MOST_NAMES = 90
_Place = Callable[[Sheet], None]


def marker_note(points: Sequence[Point], metrics: Sequence[str]) -> list[str]:
    """What open and filled markers say, if any is open."""
    if not any(is_published(point, metrics) for point in points):
        return []
    accuracy = any(is_published(point, ("top1",)) for point in points) and "top1" in {
        *metrics, *(("top1",) if {"density", "top1_per_gmac"} & {*metrics} else ()),
    }  # fmt: skip
    what = "the accuracy" if accuracy and not _others_published(points, metrics) else "a figure"
    return [f"Open marker: {what} is published, not measured here."]


def _others_published(points: Sequence[Point], metrics: Sequence[str]) -> bool:
    others = [name for name in metrics if name not in ("top1", "density", "top1_per_gmac")]
    return any(is_published(point, others) for point in points)


def left_out_note(points: Sequence[Point], metrics: Sequence[str]) -> list[str]:
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
            lacking.append(TITLES[metric].partition(" (")[0])
    return [f"Not drawn, for want of {' or '.join(lacking)}: {missing} of {len(everyone)}."]


def by_importance(
    points: Sequence[Point], heights: Sequence[float], most: int = _MOST_NAMES
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


def draw_scatter(
    axes: Axes,
    drawn: Sequence[Point],
    points: Sequence[Point],
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
    colours = shades(points)
    xs, ys = axis_values(drawn, x), axis_values(drawn, y)
    groups: dict[str, list[int]] = {}
    for n, point in enumerate(drawn):
        groups.setdefault(family_look(point.family).marker, []).append(n)
    for marker, members in groups.items():
        shade = [colours[drawn[n].id, drawn[n].name] for n in members]
        faces = [
            "white" if is_published(drawn[n], (x, y)) else colour
            for n, colour in zip(members, shade, strict=True)
        ]
        axes.scatter(
            [xs[n] for n in members], [ys[n] for n in members], s=26, marker=marker,
            facecolors=faces, edgecolors=shade, linewidths=1.3, zorder=3, gid="markers",
        )  # fmt: skip
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


def _sheet_of_panels(
    title: str, subtitle: str, notes: Sequence[str], count: int, most: int
) -> tuple[Sheet, list[Axes]]:
    """A sheet of ``count`` axes, two beside each other, with room for ``most`` names in each."""
    columns = 1 if count == 1 else 2
    rows = -(-count // columns)
    width, height = sheet_size(most) if count == 1 else (14.0, (5.4 if most <= 45 else 6.4) * rows)
    sheet = Sheet(title, subtitle, width, height, [" ".join(notes)], rows, columns)
    axes = [axes for row in sheet.axes for axes in row]
    for unused in axes[count:]:
        unused.remove()
    return sheet, axes[:count]


def sheet_size(count: int) -> tuple[float, float]:
    """Width and height in inches that give so many names room."""
    return (9.6, 6.6) if count <= 45 else (12.0, 8.2)


def _most(chosen: Sequence[tuple[str, list[Point]]]) -> int:
    return max(len(drawn) for _, drawn in chosen)


def _cut_panels(panels: dict[str, list[Point]], notes: list[str]) -> list[tuple[str, list[Point]]]:
    if len(panels) > _MOST_PANELS:
        notes.append(f"The first {_MOST_PANELS} of {len(panels)} panels.")
    return list(panels.items())[:_MOST_PANELS]


def _panel_title(points: Sequence[Point], target: str) -> str:
    name = points[0].device_name
    return f"{name}: {target.partition(' ')[2]}" if name and target else target


def panels(
    points: Sequence[Point], title: str, x: str, y: str, *, one_batch_size: bool = False
) -> Figure:
    """Two metrics, a panel for each target.

    Args:
        points: of any targets.
        title: of the chart.
        x, y: metrics.
        one_batch_size: draw the smallest batch size of each device, precision and way of running
            only.
    """
    everything = drawable(points, (x, y))
    usable = smallest_batch(everything) if one_batch_size else everything
    notes = [*marker_note(usable, (x, y)), *left_out_note(points, (x, y))]
    if len(usable) < len(everything):
        notes.append("The smallest batch size of each device and precision.")
    chosen = _cut_panels(by_target(usable), notes)
    notes.append(sources_note(usable, (x, y)))
    sheet, grid = _sheet_of_panels(title, "", notes, len(chosen), _most(chosen))
    places = []
    for axes, (target, drawn) in zip(grid, chosen, strict=True):
        axes.set_title(_panel_title(drawn, target))
        places.append(draw_scatter(axes, drawn, points, x, y, x_logarithmic=None))
    return _finish(sheet, usable, places)


def smallest_batch(points: Sequence[Point]) -> list[Point]:
    """Of each device, precision and way of running the cells of its smallest batch size."""
    least: dict[tuple[str, str | None, int | None, str], int] = {}
    for point in points:
        key, size = _setup(point), point.batch_size or 0
        least[key] = min(size, least.get(key, size))
    return [point for point in points if (point.batch_size or 0) == least[_setup(point)]]


def _setup(point: Point) -> tuple[str, str | None, int | None, str]:
    return point.device, point.dtype, point.threads, point.unusual


def operations_and_time(points: Sequence[Point], title: str) -> Figure:
    """GMACs against inference time per image, with the line of least squares.

    After Canziani et al. 2016, figure 9. The names that stand farthest from the line are placed
    first.
    """
    x, y = "latency_per_image", "macs"
    usable = drawable(points, (x, y))
    notes = [*marker_note(usable, (x, y)), *left_out_note(points, (x, y))]
    chosen = _cut_panels(by_target(usable), notes)
    notes.append(sources_note(usable, (x, y)))
    subtitle = "line: least squares; r: Pearson's correlation"
    sheet, grid = _sheet_of_panels(title, subtitle, notes, len(chosen), _most(chosen))
    places = []
    for axes, (target, drawn) in zip(grid, chosen, strict=True):
        xs, ys = axis_values(drawn, x), axis_values(drawn, y)
        fit = fit_line(xs, ys)
        axes.set_title(_panel_title(drawn, target))
        importance = None
        if fit is not None:
            away = [abs(y - fit.at(x)) for x, y in zip(xs, ys, strict=True)]
            importance = sorted(range(len(xs)), key=lambda n: -away[n])[:_MOST_NAMES]
        places.append(
            draw_scatter(
                axes,
                drawn,
                points,
                x,
                y,
                x_logarithmic=False,
                importance=importance,
                reach=0.06,  # near 0 they are so many that longer lines would be a thicket
            )
        )
        axes.set_xlim(0, max(xs) * 1.1)
        axes.set_ylim(0, max(ys) * 1.1)
        if fit is not None:
            ends = [0.0, max(xs) * 1.1]
            axes.plot(ends, [fit.at(end) for end in ends], color="#777777", lw=1.1, gid="fit")
            slope = format_significant(fit.slope * 1e3, 3)
            _tell(axes, f"r = {fit.correlation:.3f}, {slope} GMACs/s, n = {fit.count}")
    return _finish(sheet, usable, places)


def accuracy_and_rate(points: Sequence[Point], title: str) -> Figure:
    """Top-1 against images/s at batch size 1, with the upper bound and the Pareto front.

    After Bianco et al. 2018, figure 4.
    """
    from archbench.core.pareto import pareto_front, upper_bound

    x, y = "throughput", "top1"
    one = [point for point in points if point.batch_size == 1]
    usable = drawable(one, (x, y))
    notes = [*marker_note(usable, (x, y)), *left_out_note(one, (x, y))]
    chosen = _cut_panels(by_target(usable), notes)
    notes.append(
        "Steps and rings: the Pareto front, without what leads by less than the measuring error. "
        "Curve: the lowest line in top-1 and images/s that no architecture lies above."
    )
    notes.append(sources_note(usable, (x, y)))
    sheet, grid = _sheet_of_panels(title, "", notes, len(chosen), _most(chosen))
    places = []
    for axes, (target, drawn) in zip(grid, chosen, strict=True):
        ys = axis_values(drawn, y)
        axes.set_title(_panel_title(drawn, target))
        places.append(draw_scatter(axes, drawn, points, x, y, x_logarithmic=True))
        low, high = min(ys), max(ys)
        axes.set_ylim(low - 0.06 * (high - low) - 0.5, high + 0.1 * (high - low) + 0.5)
        _draw_front(axes, pareto_front(drawn, x, y).members, x, y)
        # Both metrics are printed in the unit that they are stored in.
        bound = upper_bound(drawn, x, y)
        if bound is not None:
            left, right = axes.get_xlim()
            curve = [left * (right / left) ** (n / 100) for n in range(101)]
            axes.plot(
                curve, [bound.at(rate) for rate in curve], color="#555555", lw=1.1, gid="bound",
                scalex=False, scaley=False,
            )  # fmt: skip
            sign = "+" if bound.slope >= 0 else "−"
            slope = format_significant(abs(bound.slope), 3)
            _tell(axes, f"upper bound: {bound.intercept:.1f} {sign} {slope} · images/s")
    return _finish(sheet, usable, places)


def _draw_front(axes: Axes, members: Sequence[Point], x: str, y: str) -> None:
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
    axes.set_title(text, loc="right", size=8, color="#555555", gid="tell")


def _finish(sheet: Sheet, drawn: Sequence[Point], places: Sequence[_Place]) -> Figure:
    sheet.legend_of_families(drawn)
    sheet.freeze()
    for place in places:
        place(sheet)
    return sheet.figure
