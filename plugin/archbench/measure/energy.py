"""Energy per image and average power, by a counter over a window long enough to be valid."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from archbench.core.entries import MetricEntry
from archbench.core.errors import AbsentError
from archbench.devices.energy import EnergyCounter


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """How long a window is.

    Attributes:
        least: seconds, at least. What the counters show is smoothed over some hundred milliseconds.
        resolution: of the energy, relative: the window goes on until one period of the counter at
            either end is less than this share of it.
        most: seconds; a counter that is coarser is of no use.
        warmup: seconds of passes before the window, in which clock and temperature rise.
        probe: seconds in which a counter that works must have moved several times.
        beside: seconds of what is done beside the passes and does not count.
    """

    least: float = 5.0
    resolution: float = 0.02
    most: float = 60.0
    warmup: float = 1.0
    probe: float = 3.0
    beside: float = 1.0


@dataclass(frozen=True, slots=True)
class EnergyWindow:
    """What a counter said about a window of forward passes.

    Attributes:
        joules: used in it, by all that the counter counts: idle parts, memory and fans included.
        seconds: that it lasted.
        passes: forward passes in it.
        period: seconds between two steps of the counter.
    """

    joules: float
    seconds: float
    passes: int
    period: float

    @property
    def power(self) -> float:
        """Average, in watts."""
        return self.joules / self.seconds

    @property
    def resolution(self) -> float:
        """What the counter may be behind at both ends, relative to the window."""
        return 2 * self.period / self.seconds


STEPS = 4
"""Of a counter that are waited for to know its period."""


def counter_period(
    counter: EnergyCounter, wall: Callable[[], float] = time.perf_counter, most: float = 3.0
) -> float:
    """Longest of several times between two steps of a counter, in seconds.

    Args:
        counter: read again and again, while nothing else is done.
        wall: seconds of a monotonic clock.
        most: seconds to wait for the steps.

    Raises:
        AbsentError: it stands still.
    """
    start = wall()
    last = counter.joules()
    moments: list[float] = []
    while len(moments) <= STEPS:
        now = counter.joules()
        moment = wall()
        if now > last:
            moments.append(moment)
            last = now
        elif moment - start > most:
            raise AbsentError(
                f"the {counter.name} counter moved {len(moments)} times in {most:.0f} s"
            )
    return max(later - earlier for earlier, later in pairwise(moments))


def measure_energy(
    run: Callable[[], object],
    counter: EnergyCounter,
    plan: WindowPlan | None = None,
    wall: Callable[[], float] = time.perf_counter,
    beside: Callable[[], int] | None = None,
) -> EnergyWindow:
    """Run forward passes and read the counter before and after.

    Args:
        run: runs one pass to its end.
        counter: of the device.
        plan: of the window.
        wall: seconds of a monotonic clock.
        beside: does what each pass does beside and is not to be counted, so often as it returns.

    Raises:
        AbsentError: the counter stands still, or is too coarse for a window of ``plan.most``.
    """
    plan = plan or WindowPlan()
    period = counter_period(counter, wall, plan.probe)
    needed = max(plan.least, 2 * period / plan.resolution)
    if needed > plan.most:
        raise AbsentError(
            f"the {counter.name} counter moves every {period:.2g} s, too seldom for "
            f"{plan.resolution:.0%} within {plan.most:.0f} s"
        )
    start = wall()
    while wall() - start < plan.warmup:
        run()

    def one() -> int:
        run()
        return 1

    joules, seconds, passes = _spent(one, counter, wall, needed)
    if joules <= 0:
        raise AbsentError(f"the {counter.name} counter stood still for {seconds:.0f} s")
    if beside is not None:
        more, took, times = _spent(beside, counter, wall, max(plan.beside, 10 * period))
        joules -= more * passes / times
        seconds -= took * passes / times
    return EnergyWindow(joules, seconds, passes, period)


def _spent(
    do: Callable[[], int], counter: EnergyCounter, wall: Callable[[], float], needed: float
) -> tuple[float, float, int]:
    """Joules and seconds of something that is done for so long, and how often it was."""
    before, start, times = counter.joules(), wall(), 0
    while wall() - start < needed:
        times += do()
    return counter.joules() - before, wall() - start, times


def energy_metrics(
    window: EnergyWindow, counter: EnergyCounter, batch: int
) -> dict[str, MetricEntry]:
    """Metrics of a record: ``energy_per_image`` and ``average_power``.

    Args:
        window: as measured.
        counter: that measured it.
        batch: images of a pass.
    """
    images = window.passes * batch
    shared: MetricEntry = {"source": "measured", "counter": counter.name, "scope": counter.scope}
    return {
        "energy_per_image": {
            "value": window.joules / images,
            "unit": "J",
            "basis": "image",
            "images": images,
            "window": window.seconds,
            "resolution": window.resolution,
            **shared,
        },
        "average_power": {"value": window.power, "unit": "W", **shared},
    }


def absent_energy(reason: str) -> dict[str, MetricEntry]:
    """The same metrics where they are not to be had."""
    return {
        name: {"absent": reason, "unit": unit, "source": "measured"}
        for name, unit in (("energy_per_image", "J"), ("average_power", "W"))
    }
