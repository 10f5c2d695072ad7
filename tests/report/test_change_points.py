"""Change points: steps are found, noise and outliers are not, and short lines say so."""

from __future__ import annotations

import math
import random

import pytest

from archbench.report.change_points import LEAST, change_points, why_none

# Medians of a network's runs, 2 % apart as they come, without a trend.
LEVEL = [
    1.00, 1.02, 0.99, 1.01, 0.98, 1.00, 1.03, 0.99, 1.00, 1.01, 0.98, 1.02, 1.00, 0.99, 1.01, 1.00,
]  # fmt: skip


def test_a_step_is_found_where_it_is() -> None:
    stepped = [value * (1.1 if index >= 9 else 1) for index, value in enumerate(LEVEL)]
    assert change_points(stepped) == [9]
    assert change_points([1 / value for value in stepped]) == [9]


def test_the_unit_does_not_matter() -> None:
    stepped = [value * (1.1 if index >= 9 else 1) for index, value in enumerate(LEVEL)]
    assert change_points([value * 1e-6 for value in stepped]) == [9]


def test_there_and_back_are_two() -> None:
    bump = [value * (1.2 if 5 <= index < 11 else 1) for index, value in enumerate(LEVEL)]
    assert change_points(bump) == [5, 11]


def test_noise_is_no_change() -> None:
    assert change_points(LEVEL) == []
    assert change_points([1.0] * 16) == []


def test_a_slow_run_is_no_level() -> None:
    assert change_points([*LEVEL[:7], 1.5, *LEVEL[7:]]) == []
    assert change_points([*LEVEL[:4], 1.5, *LEVEL[4:9], 0.7, *LEVEL[9:]]) == []
    assert change_points([*LEVEL, 1.5]) == []


def test_two_far_off_in_a_row_are_one() -> None:
    """A known limit: of three entries they are the middle."""
    assert change_points([*LEVEL[:7], 1.5, 1.6, *LEVEL[7:]]) == [6, 9]


def test_less_than_any_machine_repeats_is_no_change() -> None:
    assert change_points([1.0] * 8 + [1.005] * 8) == []
    assert change_points([1.0] * 8 + [1.05] * 8) == [8]


def test_false_alarms_are_rare() -> None:
    """docs/history.md states 2 % and less for such lines."""
    rng = random.Random(7)
    for length in (6, 10, 20, 30):
        alarms = sum(
            bool(change_points([math.exp(rng.gauss(0, 0.02)) for _ in range(length)]))
            for _ in range(100)
        )
        assert alarms <= 6  # of 100 at 2 %: more happen once in 200


def test_too_few_entries() -> None:
    assert LEAST == 6
    assert why_none(1) == "change points need 6 entries, there is 1"
    assert why_none(5) == "change points need 6 entries, there are 5"
    assert why_none(6) is None
    assert change_points([1.0, 1.0, 9.0, 9.0, 9.0]) == []
    assert change_points([1.0, 1.0, 1.0, 9.0, 9.0, 9.0]) == [3]


def test_what_has_no_logarithm_has_none() -> None:
    assert change_points([0.0, 1.0, 1.0, 9.0, 9.0, 9.0]) == []


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archbench.report.change_points.find_spec", lambda name: None)
    assert why_none(6) == "change points need the package ruptures, which is not installed"
    assert change_points([1.0, 1.0, 1.0, 9.0, 9.0, 9.0]) == []
