"""How long measuring takes, with a clock that the test turns."""

from __future__ import annotations

import pytest

from archbench.core.pace import Pace, TimeLeft


def test_a_cell_takes_its_budget_and_the_passes_that_stand_beside_it() -> None:
    pace = Pace(rate=1e9)
    # VGG-16 in batches of two: 15.5 G multiply-adds an image, five passes.
    assert pace.cell(15.5e9, 2, 2.0) == pytest.approx(0.4 + 2.0 + 5 * 31.0)
    assert pace.cell(15.5e9, 2, 0.0) == 0.4
    assert pace.cell(None, 1, 2.0) == pytest.approx(0.4 + 2.0 + 2.5)


def test_what_is_left_begins_with_what_was_expected_and_follows_what_it_took() -> None:
    left = TimeLeft(100.0, now=1000.0)
    assert left.seconds(1000.0) == 100.0
    assert left.seconds(1030.0) == 70.0
    # Three times as slow as expected: of the ten seconds that are trusted first, little is left.
    left.done(50.0, now=1150.0)
    assert left.seconds(1150.0) == pytest.approx(50 * 160 / 60)
    assert left.seconds(1160.0) == pytest.approx(50 * 160 / 60 - 10)
    # More than was expected of the whole leaves nothing, and no negative time.
    left.done(60.0, now=1200.0)
    assert left.seconds(1250.0) == 0.0
