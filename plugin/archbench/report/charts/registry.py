"""Charts as pictures: why one cannot be drawn, drawing and writing them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from archbench.core.errors import NothingFoundError, UsageError
from archbench.core.rows import Row
from archbench.report.charts.bars import bars
from archbench.report.charts.batches import against_batch_size, series
from archbench.report.charts.canvas import save, style
from archbench.report.charts.chosen import drawable
from archbench.report.charts.declared import CHARTS, Chart, how_to_get
from archbench.report.charts.scatter import scatter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg")
"""File formats that pictures are written in."""


_PAINT: dict[str, Callable[[Chart, Sequence[Row]], Figure]] = {
    "bars": bars,
    "points": scatter,
    "batch": against_batch_size,
}
PICTURES = tuple(name for name, chart in CHARTS.items() if chart.form in _PAINT)
"""Charts that are written as files."""


def why_not(name: str, points: Sequence[Row]) -> str | None:
    """Why a chart cannot be drawn of these points, in words; None where it can.

    Raises:
        UsageError: there is no such chart.
    """
    chart = _chart(name)
    if series(points, chart.x) if chart.form == "batch" else drawable(points, chart.metrics):
        return None
    return f"no row has {chart.wants}" if points else "there are no rows"


def draw(name: str, points: Sequence[Row]) -> Figure:
    """Draw one chart.

    Args:
        name: one of :data:`PICTURES`.
        points: of any devices, precisions and batch sizes; a chart takes those that have what it
            needs and says how many it leaves out.

    Returns:
        A figure of its own, which matplotlib's pyplot knows nothing of.

    Raises:
        UsageError: there is no such chart.
        NothingFoundError: no row has the figures that it needs.
    """
    chart = _chart(name)
    reason = why_not(name, points)
    if reason is not None:
        raise NothingFoundError(f"chart {name}", reason, chart.todo)
    with style():
        return _PAINT[chart.form](chart, points)


def draw_charts(
    points: Sequence[Row],
    directory: Path,
    *,
    names: Sequence[str] | None = None,
    formats: Sequence[str] = FORMATS,
    dpi: float = 150,
    show: Callable[[str], object] = lambda _: None,
) -> list[Path]:
    """Write charts as ``NAME.png`` and ``NAME.svg``.

    Args:
        points: what to draw.
        directory: made if it is not there.
        names: of charts; None takes every one that can be drawn, see :func:`why_not`.
        formats: of :data:`FORMATS`.
        dpi: pixels per inch of PNG.
        show: given a line about each chart as it is drawn, and each file as it is written.

    Returns:
        The files, in the order of the charts.

    Raises:
        UsageError: a chart or format that there is not.
        NothingFoundError: a named chart that cannot be drawn; none that can.
    """
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown or not formats:
        raise UsageError(
            f"pictures as {', '.join(unknown) or 'nothing'}",
            "charts are not written in that format",
            f"Use {' or '.join(FORMATS)}",
        )
    figures = {}
    for name in _drawable(points) if names is None else names:
        show(f"drawing {name} ...")
        figures[name] = draw(name, points)
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, figure in figures.items():
        for suffix in formats:
            path = directory / f"{name}.{suffix}"
            show(f"writing {path} ...")
            save(figure, path, dpi)
            written.append(path)
    return written


def _drawable(points: Sequence[Row]) -> list[str]:
    """The charts whose figures there are."""
    found = {name: why_not(name, points) for name in PICTURES}
    names = [name for name, why in found.items() if why is None]
    if not names:
        reasons = "; ".join(f"{name}: {why}" for name, why in found.items())
        raise NothingFoundError(
            "pictures of all charts",
            f"no chart has its figures: {reasons}",
            how_to_get("top1"),
        )
    return names


def _chart(name: str) -> Chart:
    chart = CHARTS.get(name)
    if chart is None or chart.form not in _PAINT:
        raise UsageError(
            f"chart {name}", "there is no chart of that name", f"Use one of {', '.join(PICTURES)}"
        )
    return chart
