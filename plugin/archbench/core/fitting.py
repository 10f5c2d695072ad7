"""The line of least squares through points, and how well they lie on it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fit:
    """``y = intercept + slope * x``, in the units of the points.

    Attributes:
        slope, intercept: of least squares, of y on x.
        correlation: Pearson's coefficient, -1 to 1.
        count: of points.
    """

    slope: float
    intercept: float
    correlation: float
    count: int

    def at(self, x: float) -> float:
        """The line's height over ``x``."""
        return self.intercept + self.slope * x


def fit_line(xs: Sequence[float], ys: Sequence[float]) -> Fit | None:
    """The line of least squares, of y on x, and Pearson's correlation coefficient.

    Returns:
        None where neither means anything: fewer than three points (any two lie on a line), or
        points that all have the same x or the same y.
    """
    if len(xs) < 3 or len(set(xs)) < 2 or len(set(ys)) < 2:
        return None
    slope, intercept = statistics.linear_regression(xs, ys)
    return Fit(slope, intercept, statistics.correlation(xs, ys), len(xs))
