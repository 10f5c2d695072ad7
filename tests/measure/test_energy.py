"""Windows of energy, on a clock and a counter that the test moves."""

from __future__ import annotations

import math

import pytest

from archbench.core.errors import AbsentError
from archbench.measure.energy import (
    EnergyWindow,
    WindowPlan,
    absent_energy,
    counter_period,
    energy_metrics,
    measure_energy,
)


class Meter:
    """A device that draws ``watts``, and a counter that moves every ``period`` seconds."""

    name = "NVML"
    scope = "device"

    def __init__(self, watts: float, period: float, pass_seconds: float = 0.01) -> None:
        self.watts, self.period, self.pass_seconds = watts, period, pass_seconds
        self.now = 100.0
        self.passes = 0

    def run(self) -> None:
        self.passes += 1
        self.now += self.pass_seconds

    def wall(self) -> float:
        self.now += 1e-6  # looking at the clock takes time
        return self.now

    def joules(self) -> float:
        self.now += 1e-4
        return math.floor(self.now / self.period) * self.period * self.watts


def test_the_period_of_a_counter() -> None:
    meter = Meter(200.0, 0.02)
    assert counter_period(meter, meter.wall) == pytest.approx(0.02, rel=0.02)


def test_a_window_of_five_seconds() -> None:
    meter = Meter(200.0, 0.02)
    window = measure_energy(meter.run, meter, wall=meter.wall)
    assert window.seconds == pytest.approx(5.0, abs=0.02)
    # What the counter is behind at either end is 0.02 s of 5.
    assert window.power == pytest.approx(200.0, rel=2 * 0.02 / 5)
    assert window.resolution == pytest.approx(0.008, rel=0.05)
    assert window.joules / window.passes == pytest.approx(200.0 * 0.01, rel=0.01)


def test_what_a_pass_does_beside_is_not_counted() -> None:
    # Of the 10 ms of a pass 2 ms go into putting its images back.
    meter = Meter(200.0, 0.02)

    def restore() -> int:
        meter.now += 10 * 0.002
        return 10

    window = measure_energy(meter.run, meter, wall=meter.wall, beside=restore)
    assert window.joules / window.passes == pytest.approx(200.0 * 0.008, rel=0.03)
    assert window.power == pytest.approx(200.0, rel=0.03)


def test_a_coarse_counter_gets_a_longer_window() -> None:
    meter = Meter(200.0, 0.1)
    window = measure_energy(meter.run, meter, wall=meter.wall)
    # 2 * 0.1 s are 2 % of 10 s.
    assert window.seconds == pytest.approx(10.0, rel=0.01)
    assert window.resolution <= 0.02 * 1.001


def test_a_counter_too_coarse_is_absent() -> None:
    meter = Meter(200.0, 0.8)
    with pytest.raises(AbsentError, match=r"moves every 0\.8 s, too seldom for 2% within 60 s"):
        measure_energy(meter.run, meter, WindowPlan(probe=10), wall=meter.wall)


def test_a_counter_that_stands_still_is_absent() -> None:
    meter = Meter(0.0, 0.02)
    with pytest.raises(AbsentError, match="the NVML counter moved 0 times in 3 s"):
        measure_energy(meter.run, meter, wall=meter.wall)


def test_energy_per_image_by_hand() -> None:
    meter = Meter(200.0, 0.02)
    metrics = energy_metrics(EnergyWindow(1000.0, 5.0, 500, 0.02), meter, batch=8)
    # 1000 J for 500 passes of 8 images; 1000 J in 5 s.
    assert metrics["energy_per_image"]["value"] == 0.25
    assert metrics["energy_per_image"]["unit"] == "J"
    assert metrics["energy_per_image"]["images"] == 4000
    assert metrics["average_power"] == {
        "value": 200.0, "unit": "W", "source": "measured", "counter": "NVML", "scope": "device"
    }  # fmt: skip


def test_absent_energy_has_a_reason_and_no_value() -> None:
    assert absent_energy("no counter")["energy_per_image"] == {
        "absent": "no counter", "unit": "J", "source": "measured"
    }  # fmt: skip
