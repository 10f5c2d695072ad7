"""The sampling loop, run on a clock that the test moves."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from itertools import chain, repeat

import pytest

from archbench.measure.latency import Clock, SamplingPlan, sample_latency

MS = 1_000_000


class FakeMachine:
    """A forward pass that takes the given milliseconds, and clocks that see it pass."""

    def __init__(self, milliseconds: Iterator[float], cpu_share: float = 1.0) -> None:
        self._durations = milliseconds
        self._cpu_share = cpu_share
        self._wall = 0
        self._cpu = 0
        self.calls = 0

    def forward(self) -> None:
        self.calls += 1
        duration = round(next(self._durations) * MS)
        self._wall += duration
        self._cpu += round(duration * self._cpu_share)

    def clock(self) -> Clock:
        return Clock(wall=lambda: self._wall, cpu=lambda: self._cpu)


def test_a_steady_series_stops_by_precision() -> None:
    machine = FakeMachine(repeat(2.0))
    series = sample_latency(machine.forward, SamplingPlan(), machine.clock())
    # 0.2 s of warm-up are 100 passes of 2 ms; p95 needs 130 samples; their spread is nil.
    assert len(series.warmup) == 100
    assert series.wall == (0.002,) * 130
    assert series.stopped_by == "precision"
    assert series.elapsed == pytest.approx(0.46)
    assert machine.calls == 230


def test_a_noisy_series_uses_its_budget() -> None:
    noisy = chain(repeat(10.0, 20), (5.0 if i % 2 else 15.0 for i in range(10_000)))
    machine = FakeMachine(noisy)
    series = sample_latency(machine.forward, SamplingPlan(time_budget=2.0), machine.clock())
    assert series.stopped_by == "time-budget"
    assert 2.0 <= series.elapsed < 2.0 + 0.015


def test_a_slow_model_gets_its_least_samples() -> None:
    machine = FakeMachine(repeat(5000.0))
    series = sample_latency(machine.forward, SamplingPlan(time_budget=2.0), machine.clock())
    assert len(series.warmup) == 1
    assert series.wall == (5.0, 5.0, 5.0)
    assert series.stopped_by == "time-budget"


def test_warm_up_goes_on_while_passes_get_faster() -> None:
    # Each pass 5 % faster than the one before, from 100 ms, until 10 ms: steady from pass 46.
    falling = (max(100 * 0.95**i, 10.0) for i in range(10_000))
    machine = FakeMachine(falling)
    plan = SamplingPlan(time_budget=100.0)
    series = sample_latency(machine.forward, plan, machine.clock())
    assert min(series.warmup) == pytest.approx(0.010)
    assert len(series.warmup) >= 46
    assert set(series.wall) == {0.01}


def test_warm_up_takes_a_third_of_the_budget_at_most() -> None:
    falling = (1000 * 0.97**i for i in range(10_000))
    machine = FakeMachine(falling)
    series = sample_latency(machine.forward, SamplingPlan(time_budget=6.0), machine.clock())
    # 1 + 0.97 + 0.9409 = 2.91 s reach the limit of 2 s with the third pass.
    assert len(series.warmup) == 3


def test_processor_time_is_kept_apart_from_wall_time() -> None:
    machine = FakeMachine(repeat(4.0), cpu_share=0.5)
    series = sample_latency(machine.forward, SamplingPlan(), machine.clock())
    assert len(series.cpu) == len(series.wall)
    assert set(series.cpu) == {0.002}


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_collector_is_left_as_found(enabled: bool) -> None:
    seen = []

    def forward() -> None:
        seen.append(gc.isenabled())
        machine.forward()
        if len(seen) == 50:
            raise RuntimeError("boom")

    machine = FakeMachine(repeat(2.0))
    was = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with pytest.raises(RuntimeError, match="boom"):
            sample_latency(forward, SamplingPlan(), machine.clock())
        assert gc.isenabled() is enabled
        assert not any(seen)
    finally:
        (gc.enable if was else gc.disable)()
