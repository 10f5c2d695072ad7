"""The charts by name, what each needs, drawing and writing them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from archbench.core.errors import UsageError
from archbench.core.points import Point
from archbench.report.charts.balls import balls
from archbench.report.charts.bars import bars, bars_and_scatter
from archbench.report.charts.batches import against_batch_size, series
from archbench.report.charts.canvas import save, style
from archbench.report.charts.chosen import drawable
from archbench.report.charts.scatter import accuracy_and_rate, operations_and_time, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CHARTS", "FORMATS", "Chart", "draw", "draw_charts", "why_not"]

FORMATS = ("png", "svg")
"""File formats that pictures are written in."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One kind of picture.

    Attributes:
        name: what ``--charts`` takes, and the file is called.
        title: printed above it.
        needs: metrics that a point must have to be drawn.
        wants: the same in words, for the reason why a chart cannot be drawn.
        todo: how the figures can be had.
    """

    name: str
    title: str
    needs: tuple[str, ...]
    wants: str
    todo: str
    _paint: Callable[[Sequence[Point], str], Figure]
    _usable: Callable[[Sequence[Point]], bool] | None = None

    def is_drawable(self, points: Sequence[Point]) -> bool:
        """Whether any point has what the chart needs."""
        if self._usable is not None:
            return self._usable(points)
        return bool(drawable(points, self.needs))


_ACCURACY = (
    "Take architectures with a published accuracy, or measure: pytest benchmarks --imagenet=DIR"
)
_COUNTS = f"{_ACCURACY}; count with pytest benchmarks/test_complexity.py"
_TIMES = "Measure: pytest benchmarks"
_BATCHES = "Measure: pytest benchmarks --batch-size=1,4,8"

CHARTS = {
    chart.name: chart
    for chart in (
        Chart(
            "top1", "Top-1 by architecture", ("top1",), "top-1", _ACCURACY,
            lambda points, title: bars(points, title, "top1"),
        ),
        Chart(
            "ball-macs", "Top-1 against GMACs", ("macs", "top1", "params"),
            "top-1, GMACs and params", _COUNTS,
            lambda points, title: balls(points, title, "macs", "params"),
        ),
        Chart(
            "ball-params", "Top-1 against params", ("params", "top1", "macs"),
            "top-1, GMACs and params", _COUNTS,
            lambda points, title: balls(points, title, "params", "macs"),
        ),
        Chart(
            "density", "Information density: top-1 per million params", ("density", "top1"),
            "top-1 and params", _COUNTS,
            lambda points, title: bars_and_scatter(points, title, "density", "top1"),
        ),
        Chart(
            "top1-per-gmac", "Accuracy per GMAC", ("top1_per_gmac", "top1"),
            "top-1 and GMACs", _COUNTS,
            lambda points, title: bars_and_scatter(points, title, "top1_per_gmac", "top1"),
        ),
        Chart(
            "operations-time", "Operations against inference time per image",
            ("latency_per_image", "macs"), "GMACs and latency", _TIMES, operations_and_time,
        ),
        Chart(
            "top1-rate", "Top-1 against images/s at batch size 1", ("throughput", "top1"),
            "top-1 and images/s at batch size 1", f"{_TIMES} --batch-size=1; {_ACCURACY}",
            accuracy_and_rate,
            lambda points: bool(
                drawable([point for point in points if point.batch_size == 1],
                         ("throughput", "top1"))
            ),
        ),
        Chart(
            "params-memory", "Peak memory against params", ("params", "peak_memory"),
            "params and peak memory", "Measure on a device whose memory is measured: "
            "pytest benchmarks --gpu=NAME",
            lambda points, title: panels(points, title, "params", "peak_memory",
                                         one_batch_size=True),
        ),
        Chart(
            "batch-size", "Inference time per image and peak memory against batch size",
            ("latency_per_image",), "a latency at two batch sizes or more on one device",
            _BATCHES, against_batch_size,
            lambda points: bool(series(points, "latency_per_image")),
        ),
        Chart(
            "energy", "Top-1 against energy per image", ("energy_per_image", "top1"),
            "top-1 and energy per image",
            f"Measure on a device whose energy is measured: pytest benchmarks --gpu=NAME; "
            f"{_ACCURACY}",
            lambda points, title: panels(points, title, "energy_per_image", "top1"),
        ),
    )
}  # fmt: skip
"""Every chart by its name, in the order of a report."""


def why_not(name: str, points: Sequence[Point]) -> str | None:
    """Why a chart cannot be drawn of these points, in words; None where it can.

    Raises:
        UsageError: there is no such chart.
    """
    chart = _chart(name)
    if chart.is_drawable(points):
        return None
    return f"no point has {chart.wants}" if points else "there are no points"


def draw(name: str, points: Sequence[Point]) -> Figure:
    """Draw one chart.

    Args:
        name: one of :data:`CHARTS`.
        points: of any devices, precisions and batch sizes; a chart takes those that have what it
            needs and says how many it leaves out.

    Returns:
        A figure of its own, which matplotlib's pyplot knows nothing of.

    Raises:
        UsageError: there is no such chart, or no point has the figures that it needs.
    """
    chart = _chart(name)
    reason = why_not(name, points)
    if reason is not None:
        raise UsageError(f"chart {name}", reason, chart.todo)
    with style():
        return chart._paint(points, chart.title)


def draw_charts(
    points: Sequence[Point],
    directory: Path,
    *,
    names: Sequence[str] | None = None,
    formats: Sequence[str] = FORMATS,
    dpi: float = 150,
) -> list[Path]:
    """Write charts as ``NAME.png`` and ``NAME.svg``.

    Args:
        points: what to draw.
        directory: made if it is not there.
        names: of charts; None takes every one that can be drawn, see :func:`why_not`.
        formats: of :data:`FORMATS`.
        dpi: pixels per inch of PNG.

    Returns:
        The files, in the order of the charts.

    Raises:
        UsageError: a chart or format that there is not; a named chart that cannot be drawn; none
            that can.
    """
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown or not formats:
        raise UsageError(
            f"pictures as {', '.join(unknown) or 'nothing'}",
            "charts are not written in that format",
            f"Use {' or '.join(FORMATS)}",
        )
    if names is None:
        names = [name for name in CHARTS if why_not(name, points) is None]
        if not names:
            raise UsageError(
                "pictures of all charts",
                "no chart has its figures: "
                + "; ".join(f"{name}: {why_not(name, points)}" for name in CHARTS),
                _ACCURACY,
            )
    figures = {name: draw(name, points) for name in names}
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, figure in figures.items():
        for suffix in formats:
            path = directory / f"{name}.{suffix}"
            save(figure, path, dpi)
            written.append(path)
    return written


def _chart(name: str) -> Chart:
    chart = CHARTS.get(name)
    if chart is None:
        raise UsageError(
            f"chart {name}", "there is no chart of that name", f"Use one of {', '.join(CHARTS)}"
        )
    return chart
