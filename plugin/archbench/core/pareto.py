"""Which architectures nothing dominates: the Pareto front, with the measuring error in mind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from archbench.core.rows import Row, Value
from archbench.metrics import METRICS


@dataclass(frozen=True, slots=True)
class Front:
    """The cells of a set, parted by whether anything dominates them.

    Attributes:
        members: are better than every other cell in one metric or the other by more than the
            measuring error; ordered by ``x``.
        undecided: are dominated by none, but better than some other by less than the error, as
            ``(cell, that other cell)``; whether they belong to the front is not known.
        dominated: another cell is at least as good in both metrics and better in one of
            them by more than the error.
        without: that lack one of the two figures.
    """

    members: tuple[Row, ...]
    undecided: tuple[tuple[Row, Row], ...]
    dominated: tuple[Row, ...]
    without: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class _Scored:
    """A cell as two ranges of which more is better."""

    point: Row
    x: tuple[float, float, float]
    y: tuple[float, float, float]


def figure_range(metric: str, figure: Value) -> tuple[float, float, float]:
    """Least value that a figure may have, its value, the greatest.

    Its interval, widened to the metric's least error where it was measured here; a figure without
    an interval that was not is taken as exact.
    """
    low = figure.value if figure.low is None else figure.low
    high = figure.value if figure.high is None else figure.high
    if figure.kind == "measured":
        error = METRICS[metric].error * figure.value
        low, high = min(low, figure.value - error), max(high, figure.value + error)
    return low, figure.value, high


def _score(metric: str, figure: Value) -> tuple[float, float, float]:
    """The range, turned so that more is better."""
    low, value, high = figure_range(metric, figure)
    return (-high, -value, -low) if METRICS[metric].better == "lower" else (low, value, high)


def _beside(cell: _Scored, ordered: Iterable[_Scored]) -> tuple[bool, _Scored | None]:
    """Whether any other cell dominates one, and the first that is not surely worse."""
    close: _Scored | None = None
    for other in ordered:
        if other is cell or cell.x[0] > other.x[2] or cell.y[0] > other.y[2]:
            continue
        close = close or other
        is_better = other.x[0] > cell.x[2] or other.y[0] > cell.y[2]
        if is_better and other.x[1] >= cell.x[1] and other.y[1] >= cell.y[1]:
            return True, close
    return False, close


def pareto_front(points: Iterable[Row], x: str, y: str = "top1") -> Front:
    """Part cells by whether anything dominates them in two metrics.

    Each figure is known to an interval, see :func:`figure_range`. One cell is *better* than
    another in a metric if their intervals do not touch.

    Args:
        points: cells of one device and precision; a batch size of one, or the same architecture
            competes with itself.
        x: name of a metric.
        y: name of the other one.
    """
    scored: list[_Scored] = []
    without: list[Row] = []
    for point in points:
        if x in point.values and y in point.values:
            scored.append(
                _Scored(point, _score(x, point.values[x]), _score(y, point.values[y]))
            )  # fmt: skip
        else:
            without.append(point)
    scored.sort(key=lambda cell: (-cell.x[1], -cell.y[1], cell.point.name))
    ordered = _best_first(scored)
    members: list[Row] = []
    undecided: list[tuple[Row, Row]] = []
    dominated: list[Row] = []
    for cell in scored:
        is_dominated, close = _beside(cell, ordered)
        if is_dominated:
            dominated.append(cell.point)
        elif close is not None:
            undecided.append((cell.point, close.point))
        else:
            members.append(cell.point)
    members.sort(key=lambda point: point.values[x].value)
    return Front(tuple(members), tuple(undecided), tuple(dominated), tuple(without))


def _best_first(ordered: Sequence[_Scored]) -> list[_Scored]:
    """Those that are best by their values alone, which dominate most of the others, come first."""
    best: list[_Scored] = []
    rest: list[_Scored] = []
    height = float("-inf")
    for cell in ordered:
        (best if cell.y[1] > height else rest).append(cell)
        height = max(height, cell.y[1])
    return best + rest


@dataclass(frozen=True, slots=True)
class Line:
    """``y = intercept + slope * x``, in the units of the metrics."""

    intercept: float
    slope: float

    def at(self, x: float) -> float:
        """The line's height."""
        return self.intercept + self.slope * x


def upper_bound(points: Iterable[Row], x: str = "throughput", y: str = "top1") -> Line | None:
    """The lowest straight line that no cell lies above.

    Of all lines above every cell it is the one with the least mean distance to the cells: that
    edge of their upper hull over which their mean ``x`` lies. On the times and accuracies of
    Bianco et al. it gives the two bounds that section V-D of the paper prints for batch size 1.

    Returns:
        None for fewer than two different values of ``x``.
    """
    pairs = sorted(
        (point.values[x].value, point.values[y].value)
        for point in points
        if x in point.values and y in point.values
    )
    hull = _upper_hull(pairs)
    if len(hull) < 2:
        return None
    mean = sum(pair[0] for pair in pairs) / len(pairs)
    right = next((i for i in range(1, len(hull)) if hull[i][0] >= mean), len(hull) - 1)
    (x0, y0), (x1, y1) = hull[right - 1], hull[right]
    slope = (y1 - y0) / (x1 - x0)
    return Line(y0 - slope * x0, slope)


def _upper_hull(pairs: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Corners from left to right, by Andrew's monotone chain."""
    hull: list[tuple[float, float]] = []
    for pair in pairs:
        if hull and hull[-1][0] == pair[0]:
            hull.pop()  # pairs are sorted: this one is higher
        while len(hull) > 1 and _turn(hull[-2], hull[-1], pair) >= 0:
            hull.pop()
        hull.append(pair)
    return hull


def _turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
