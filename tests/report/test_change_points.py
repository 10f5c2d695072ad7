"""Change points: steps are found, noise and outliers are not, and short lines say so."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import combinations, pairwise
from statistics import median

import pytest

from archbench.core.statistics import quantile
from archbench.report.change_points import LEAST, change_points, change_points_of, why_none

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


def cost(signal: Sequence[float], ends: Sequence[int]) -> float:
    """Of a division: deviations from the levels' medians, and the penalties."""
    levels = [signal[a:b] for a, b in pairwise([0, *ends, len(signal)])]
    deviations = sum(abs(one - median(level)) for level in levels for one in level)
    return deviations + 2.5 * math.log(len(signal)) * len(ends)


def test_no_other_division_is_cheaper() -> None:
    """All of them are tried, of lines of all lengths at once, some of which are equal values."""
    rng = random.Random(5)
    signals = []
    for length in (6, 7, 8, 9, 10, 11, 12, 13) * 30:
        step, digits = rng.randrange(2, length - 1), rng.choice((0, 1, 6))
        level = [rng.choice((0, 4, 5, 9)) * (place >= step) for place in range(length)]
        signals.append([one + round(rng.gauss(0, 0.7), digits) for one in level])
    # The noise of the line is what it is, so that a unit of the signal is one of noise.
    lines = []
    for signal in signals:
        steps = sorted(abs(b - a) for a, b in pairwise(signal))
        noise = max(quantile(steps, 0.75) / (1.1503493803760079 * math.sqrt(2)), 0.01)
        lines.append([one / noise for one in signal])
    found = change_points_of([[math.exp(one) for one in signal] for signal in signals])
    changed = 0
    for line, ends in zip(lines, found, strict=True):
        possible = [
            ends
            for number in range(len(line) // 3)
            for ends in combinations(range(3, len(line) - 2), number)
            if all(b - a >= 3 for a, b in pairwise([0, *ends, len(line)]))
        ]
        assert cost(line, ends) == pytest.approx(min(cost(line, one) for one in possible))
        changed += bool(ends)
    assert 5 < changed < len(lines)


def test_lines_are_searched_one_like_many(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(3)
    lines = [
        [math.exp(rng.gauss(0, 0.02) + 0.2 * (i > 20)) for i in range(rng.randrange(3, 60))]
        for _ in range(30)
    ]
    found = [change_points(line) for line in lines]
    assert sum(map(bool, found)) > 5
    assert change_points_of(lines) == found
    monkeypatch.setattr("archbench.report.change_points._AT_ONCE", 100)
    assert change_points_of(lines) == found
