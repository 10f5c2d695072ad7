"""The line of least squares."""

from __future__ import annotations

import pytest

from archbench.core.fitting import fit_line


def test_points_on_a_line() -> None:
    fit = fit_line([1, 2, 4], [5, 7, 11])
    assert fit is not None
    assert (fit.slope, fit.intercept, fit.correlation, fit.count) == pytest.approx((2, 3, 1, 3))
    assert fit.at(10) == pytest.approx(23)


def test_points_beside_a_line() -> None:
    # By hand: means 2 and 2; sum dx*dy = 1, sum dx^2 = 2, sum dy^2 = 2.
    fit = fit_line([1, 2, 3], [1, 3, 2])
    assert fit is not None
    assert (fit.slope, fit.intercept, fit.correlation) == pytest.approx((0.5, 1, 0.5))


def test_falling() -> None:
    fit = fit_line([0, 1, 2], [4, 2, 0])
    assert fit is not None
    assert (fit.slope, fit.correlation) == pytest.approx((-2, -1))


@pytest.mark.parametrize(
    ("xs", "ys"),
    [([], []), ([1, 2], [1, 2]), ([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [5, 5, 5])],
)
def test_no_line(xs: list[float], ys: list[float]) -> None:
    assert fit_line(xs, ys) is None
