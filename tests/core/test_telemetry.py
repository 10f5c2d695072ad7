"""The state of a device: what makes a time worthless, by hand."""

from __future__ import annotations

import pytest

from archbench.core.telemetry import (
    TelemetrySample,
    device_doubts,
    mean_clock,
    slowed_by,
    throttled_by,
)
from archbench.core.verdicts import Note

USUAL = TelemetrySample(1.5e9, 50.0, 200.0, (), 2e9)
HOT = TelemetrySample(1.9e9, 90.0, 200.0, ("thermal-slowdown",), 2e9)
CAPPED = TelemetrySample(1.2e9, 70.0, 300.0, ("power-cap",), 2e9)
IDLE = TelemetrySample(0.3e9, 40.0, 60.0, (), 2e9)


def test_a_power_limit_is_how_a_device_works_under_load() -> None:
    assert throttled_by(USUAL, CAPPED) == ()
    assert throttled_by(CAPPED, HOT, HOT) == ("thermal-slowdown",)


@pytest.mark.parametrize(
    ("sample", "low"),
    [
        (USUAL, False),  # three quarters, to the Hz
        (TelemetrySample(1.5e9 - 1, default_clock=2e9), True),
        (IDLE, True),
        (CAPPED, False),
        (TelemetrySample(0.3e9), False),  # nobody knows what it should be
        (TelemetrySample(default_clock=2e9), False),
    ],
)
def test_a_clock_below_three_quarters_of_the_default_is_low(
    sample: TelemetrySample, low: bool
) -> None:
    assert sample.is_low is low
    assert slowed_by(USUAL, sample) == (("low-clock",) if low else ())


def test_everything_that_slows_is_named_once() -> None:
    assert slowed_by(HOT, HOT, IDLE, IDLE) == ("thermal-slowdown", "low-clock")
    assert slowed_by() == ()


def test_the_clock_of_a_burst_is_the_mean_around_it() -> None:
    assert mean_clock((USUAL, HOT)) == 1.7e9
    assert mean_clock((USUAL, TelemetrySample())) is None
    assert mean_clock(()) is None


def test_readings_survive_being_stored() -> None:
    assert TelemetrySample.from_dict(HOT.as_dict()) == HOT
    assert TelemetrySample.from_dict({}) == TelemetrySample()


def test_doubts_about_times_that_were_kept() -> None:
    assert device_doubts([USUAL, CAPPED], None) == []
    assert device_doubts([USUAL, CAPPED, CAPPED], True) == [
        Note("power-capped", "the device was at its power limit")
    ]
    assert [note.code for note in device_doubts([], False)] == ["queue-not-full"]
