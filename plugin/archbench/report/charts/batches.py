"""Inference time and peak memory against batch size: a line per architecture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from archbench.core.rows import Row
from archbench.report.charts.canvas import (
    Sheet,
    axis_values,
    is_published,
    set_scale,
    sources_note,
)
from archbench.report.charts.chosen import drawable
from archbench.report.charts.colours import family_look, shades
from archbench.report.charts.declared import Chart, noun_of, title_of
from archbench.report.charts.labels import LABEL_SIZE, point_labels, spread
from archbench.report.charts.notes import marker_note

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST = 75
_MOST_DEVICES = 6
_Series = dict[tuple[str, str], list[Row]]


def series(points: Sequence[Row], metric: str) -> dict[str, _Series]:
    """For each device, precision and way of running the architectures that have two batch sizes or
    more.

    Returns:
        By device, precision and way of running, by id and name: one point per batch size, rising.
    """
    found: dict[str, dict[tuple[str, str], dict[int, Row]]] = {}
    for point in drawable(points, (metric,)):
        if point.batch_size is None:
            continue
        setting = point.setting_without("batch_size")
        device = f"{point.device_name or point.device}: {setting}".rstrip(": ")
        cells = found.setdefault(device, {}).setdefault((point.id, point.name), {})
        cells[point.batch_size] = point
    lines = {
        device: {
            key: [cells[size] for size in sorted(cells)]
            for key, cells in members.items()
            if len(cells) > 1
        }
        for device, members in found.items()
    }
    return {device: members for device, members in sorted(lines.items()) if members}


def _grid(title: str, note: str, panels: int, named: int) -> tuple[Sheet, list[Axes]]:
    """A sheet of panels, two in a row, each with room for a number of names."""
    columns = min(2, panels)
    rows = -(-panels // columns)
    height = max(3.6, named * LABEL_SIZE * 1.25 / 72 + 0.9) * rows + 0.8
    sheet = Sheet(title, 13.0 if columns == 2 else 7.6, height, [note], rows, columns)
    grid = [axes for row in sheet.axes for axes in row]
    for unused in grid[panels:]:
        unused.remove()
    return sheet, grid[:panels]


def against_batch_size(chart: Chart, points: Sequence[Row]) -> Figure:
    """Two panels for each device and precision, if it has both metrics."""
    metrics = (chart.x, chart.y)
    found = {metric: series(points, metric) for metric in metrics}
    devices = list(found[chart.x])
    notes = [chart.explanation]
    if len(devices) > _MOST_DEVICES:
        notes.append(f"The first {_MOST_DEVICES} of {len(devices)} devices and precisions.")
        devices = devices[:_MOST_DEVICES]
    chosen = [
        (device, metric, list(found[metric][device].values()))
        for device in devices
        for metric in metrics
        if device in found[metric]
    ]
    lacking = [device for device in devices if device not in found[chart.y]]
    if lacking:
        notes.append(f"No {noun_of(chart.y)} at two batch sizes or more: {', '.join(lacking)}.")
    most = max(len(lines) for _, _, lines in chosen)
    if most > _MOST:
        notes.append(f"At most {_MOST} architectures of a panel are named.")
    flat = [point for _, _, lines in chosen for line in lines for point in line]
    notes += [*marker_note(flat, metrics), sources_note(flat, metrics)]
    sheet, grid = _grid(chart.title, " ".join(notes), len(chosen), min(most, _MOST))
    for axes, (device, metric, lines) in zip(grid, chosen, strict=True):
        axes.set_title(device)
        _draw(axes, lines, points, metric)
    sheet.legend_of_families(line[0] for _, _, lines in chosen for line in lines)
    sheet.freeze()
    for axes, (_, metric, lines) in zip(grid, chosen, strict=True):
        _name_ends(axes, lines, metric)
    return sheet.figure


def _draw(axes: Axes, drawn: Sequence[Sequence[Row]], points: Sequence[Row], metric: str) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    colours = shades(points)
    for line in drawn:
        first = line[0]
        colour = colours[first.id, first.name]
        axes.plot(
            axis_values(line, "batch_size"), axis_values(line, metric), color=colour, lw=1.1,
            marker=family_look(first.family).marker, markersize=4, markeredgewidth=1.0,
            markerfacecolor="white" if is_published(first, (metric,)) else colour, gid="line",
        )  # fmt: skip
    flat = [point for line in drawn for point in line]
    sizes = sorted({point.batch_size for point in flat if point.batch_size is not None})
    set_scale(axes, "y", axis_values(flat, metric), True)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    # On the right there is room for the names.
    low, high = sizes[0], sizes[-1]
    axes.set_xlim(low * (low / high) ** 0.04, high * (high / low) ** 0.42)
    axes.set_xlabel(title_of("batch_size"))
    axes.set_ylabel(f"{title_of(metric)}, logarithmic")


def _name_ends(axes: Axes, drawn: Sequence[Sequence[Row]], metric: str) -> None:
    """Names at the right ends of the lines, moved apart, each joined to its line."""
    drawn = sorted(drawn, key=lambda line: -axis_values(line[-1:], metric)[0])[:_MOST]
    figure = axes.get_figure()
    assert figure is not None
    pixel = figure.dpi / 72
    ends = [
        axes.transData.transform(
            (axis_values(line[-1:], "batch_size")[0], axis_values(line[-1:], metric)[0])
        )
        for line in drawn
    ]
    box = axes.get_window_extent()
    heights = spread(
        [float(y) for _, y in ends], LABEL_SIZE * 1.2 * pixel,
        box.y0 + LABEL_SIZE * pixel / 2, box.y1 - LABEL_SIZE * pixel / 2,
    )  # fmt: skip
    names = point_labels([line[-1] for line in drawn])
    start = max(float(x) for x, _ in ends) + 22 * pixel
    inverted = axes.transAxes.inverted()

    def inside(x: float, y: float) -> tuple[float, float]:
        """Pixels as shares of the axes."""
        across, up = inverted.transform((x, y))
        return float(across), float(up)

    for (x, y), height, name in zip(ends, heights, names, strict=True):
        axes.annotate(
            name, inside(x + 3 * pixel, y), inside(start, height),
            xycoords="axes fraction", textcoords="axes fraction", va="center", size=LABEL_SIZE,
            gid="label", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": "#aaaaaa", "lw": 0.5, "relpos": (0, 0.5),
                        "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
