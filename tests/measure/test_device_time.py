"""Bursts of passes on a device and a host that the test makes fast or slow."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import pytest

from archbench.core.errors import InconclusiveError
from archbench.core.telemetry import TelemetrySample
from archbench.measure.device_time import (
    BurstPlan,
    sample_device_time,
)

COOL = TelemetrySample(clock=1.5e9, temperature=50.0, power=200.0)
HOT = TelemetrySample(clock=1.1e9, temperature=90.0, power=200.0, throttle=("thermal-slowdown",))


class Stamp:
    def __init__(self, machine: Machine, device: float) -> None:
        self._machine, self.device = machine, device

    def is_reached(self) -> bool:
        return self._machine.now >= self.device

    def seconds_since(self, earlier: Stamp) -> float:
        return self.device - earlier.device


class Machine:
    """A host that starts a pass in ``host`` seconds, and a device that does it in ``device``.

    The device does one thing after another, each not before the host has started it. A pass is
    so many kernels, and the host waits where ``depth`` of them stand in the queue.
    """

    def __init__(
        self,
        host: float,
        device: float,
        *,
        can_hold: bool = True,
        kernels: int = 1,
        depth: int = 10**9,
    ) -> None:
        self.can_hold = can_hold
        self.host, self.device = host / kernels, device / kernels
        self.kernels, self.depth = kernels, depth
        self.ends: deque[float] = deque()
        self.now = 0.0
        self.free_at = 0.0
        self.passes = 0
        self.held: list[float] = []
        self.flushed = 0

    def work(self, seconds: float) -> None:
        while self.ends and self.ends[0] <= self.now:
            self.ends.popleft()
        if len(self.ends) >= self.depth:
            self.now = self.ends.popleft()
        self.free_at = max(self.free_at, self.now) + seconds
        self.ends.append(self.free_at)

    def launch(self) -> None:
        self.in_parts(self.kernels, self.synchronize)

    def in_parts(self, every: int, cut: Callable[[], object]) -> int:
        self.passes += 1
        for number in range(self.kernels):
            if number and number % every == 0:
                cut()
            self.now += self.host
            self.work(self.device)
        return self.kernels

    def flush(self) -> None:
        self.flushed += 1
        self.work(0.003)

    def stamp(self) -> Stamp:
        return Stamp(self, max(self.free_at, self.now))

    def hold(self, seconds: float) -> None:
        self.held.append(seconds)
        self.work(seconds)

    def synchronize(self) -> None:
        self.now = max(self.now, self.free_at)

    def wall(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def test_launch_gaps_do_not_count() -> None:
    # The host needs 1 ms to start a pass, twice as long as the device to do it: beside an empty
    # queue an event pair would measure 1 ms.
    machine = Machine(host=1e-3, device=0.5e-3)
    series = sample_device_time(machine.launch, machine, BurstPlan(), wall=machine.wall)
    assert series.samples == pytest.approx([0.5e-3] * len(series.samples))
    assert series.is_full is True
    assert series.stopped_by == "precision"
    assert len(series.samples) >= 130


def test_a_burst_is_as_long_as_its_plan_says() -> None:
    machine = Machine(host=1e-4, device=10e-3)
    plan = BurstPlan(time_budget=1e9, enough_samples=10)
    series = sample_device_time(machine.launch, machine, plan, wall=machine.wall)
    # A pass alone takes 10.1 ms, so that five fill the 50 ms of a burst.
    assert (series.bursts, len(series.samples)) == (2, 10)
    # The first hold is twice what the rehearsal needed, the second a quarter more than the burst.
    assert machine.held == pytest.approx([2 * 1e-4 * 5, 1.25 * 1e-4 * 5])


def test_a_host_too_slow_for_its_burst_gets_fewer_passes_and_more_time() -> None:
    machine = Machine(host=1e-3, device=0.5e-3)
    plan = BurstPlan(most_hold=0.03)  # enough for 30 passes, where 33 are wanted
    series = sample_device_time(machine.launch, machine, plan, wall=machine.wall)
    assert series.is_full is True
    assert series.samples == pytest.approx([0.5e-3] * len(series.samples))


def test_a_deep_network_is_timed_though_few_passes_fit_into_the_queue() -> None:
    # ResNet-152 has 515 kernels (155 convolutions, batch norms, 151 activations, 50 additions, two
    # poolings, a linear layer and what flattens for it): one pass fits into a queue of 1,024.
    machine = Machine(host=3.6e-3, device=2.6e-3, kernels=515, depth=1024)
    series = sample_device_time(
        machine.launch, machine, BurstPlan(enough_samples=10**6), wall=machine.wall
    )
    assert series.samples == pytest.approx([2.6e-3] * len(series.samples))
    assert series.is_full is True
    assert len(series.samples) >= 130


@pytest.mark.parametrize(
    ("kernels", "parts", "samples"),
    [
        (2000, 2, 25),  # 1,000 beside the hold and two stamps
        (6000, 8, 2),  # 3,000 are too many, 750 are not
        (20_000, 32, 1),
    ],
)
def test_a_network_of_more_kernels_than_the_queue_takes_is_timed_part_by_part(
    kernels: int, parts: int, samples: int
) -> None:
    host, device = kernels * 7e-6, kernels * 5e-6
    machine = Machine(host=host, device=device, kernels=kernels, depth=1024)
    series = sample_device_time(
        machine.launch, machine, BurstPlan(enough_samples=10**6), wall=machine.wall,
        in_parts=machine.in_parts,
    )  # fmt: skip
    assert series.samples == pytest.approx([device] * len(series.samples))
    assert (series.is_full, series.parts) == (True, parts)
    # Each takes the device's time and 1.25 times the host's, and to find the parts takes some.
    assert samples <= len(series.samples) < 1 / (1.25 * host + device) + 1


def test_what_is_to_be_done_before_a_pass_in_parts_is_not_timed() -> None:
    machine = Machine(host=0.014, device=0.010, kernels=2000, depth=1024)
    series = sample_device_time(
        machine.launch, machine, BurstPlan(), before=machine.flush, wall=machine.wall,
        in_parts=machine.in_parts,
    )  # fmt: skip
    assert series.samples == pytest.approx([0.010] * len(series.samples))
    assert series.parts == 2
    # The pass that counts operators is not timed, and needs none.
    assert machine.flushed == machine.passes - 1


def test_a_pass_that_waits_for_the_device_cannot_be_divided() -> None:
    machine = Machine(host=1e-3, device=0.5e-3, kernels=100)

    def in_parts(every: int, cut: Callable[[], object]) -> int:
        number = machine.in_parts(every, cut)
        machine.synchronize()
        machine.now += 1e-4
        machine.work(1e-5)
        return number

    def launch() -> None:
        in_parts(100, machine.synchronize)

    series = sample_device_time(
        launch, machine, BurstPlan(), wall=machine.wall, in_parts=in_parts
    )  # fmt: skip
    assert (series.is_full, series.parts) == (False, 1)
    # The device waits for the host before the last kernel.
    assert min(series.samples) > 0.5e-3 + 1e-4


def test_a_graph_of_more_kernels_than_the_queue_takes_is_reported() -> None:
    machine = Machine(host=3.6e-3, device=2.6e-3, kernels=2000, depth=1024)
    series = sample_device_time(machine.launch, machine, BurstPlan(), wall=machine.wall)
    assert (series.is_full, series.parts) == (False, 1)


def test_a_pause_of_the_host_costs_one_fill() -> None:
    machine = Machine(host=1e-3, device=0.5e-3)

    def launch() -> None:
        machine.launch()
        if machine.passes in (10, 200):  # one with passes before it, and the first of a fill
            machine.now += 0.1

    series = sample_device_time(launch, machine, BurstPlan(enough_samples=10**6), wall=machine.wall)
    assert series.is_full is True
    assert series.samples == pytest.approx([0.5e-3] * len(series.samples))
    assert len(series.samples) >= 400


def test_a_host_that_is_too_slow_for_a_single_pass_is_reported() -> None:
    machine = Machine(host=0.05, device=1e-3)
    plan = BurstPlan(most_hold=0.01, time_budget=1.0)
    series = sample_device_time(machine.launch, machine, plan, wall=machine.wall)
    assert series.is_full is False
    assert series.stopped_by in ("time-budget", "precision")


def test_a_device_that_cannot_be_held_drops_the_first_pass_of_each_burst() -> None:
    machine = Machine(host=1e-4, device=10e-3, can_hold=False)
    plan = BurstPlan(enough_samples=10, time_budget=1e9)
    series = sample_device_time(machine.launch, machine, plan, wall=machine.wall)
    assert series.is_full is None
    # Five of six passes of two bursts; the first finds an empty queue.
    assert len(series.samples) == 10
    assert machine.passes == 1 + 2 * 6
    assert series.samples == pytest.approx([10e-3] * 10)


def test_the_flush_before_a_pass_is_not_timed() -> None:
    machine = Machine(host=1e-4, device=10e-3)
    plan = BurstPlan(enough_samples=10, time_budget=1e9)
    series = sample_device_time(
        machine.launch, machine, plan, before=machine.flush, wall=machine.wall
    )
    assert machine.flushed == machine.passes
    assert series.samples == pytest.approx([10e-3] * len(series.samples))


def test_bursts_under_throttling_are_discarded() -> None:
    machine = Machine(host=1e-4, device=10e-3)
    # The second burst ends hot, the third begins so.
    states = [COOL, COOL, COOL, HOT, HOT, COOL, *[COOL] * 1000]
    series = sample_device_time(
        machine.launch, machine, BurstPlan(enough_samples=10, time_budget=1e9),
        lambda: states.pop(0), wall=machine.wall, pause=machine.pause,
    )  # fmt: skip
    assert series.discarded == (("thermal-slowdown",), ("thermal-slowdown",))
    assert len(series.samples) == 10
    assert series.telemetry == (COOL,) * 4


def test_a_device_that_stays_hot_is_given_up_after_its_retries() -> None:
    machine = Machine(host=1e-4, device=10e-3)
    with pytest.raises(InconclusiveError) as caught:
        sample_device_time(
            machine.launch, machine, BurstPlan(), lambda: HOT,
            wall=machine.wall, pause=machine.pause,
        )  # fmt: skip
    assert caught.value.reason == "throttled"
    assert str(caught.value) == (
        "the device lowered its clock in 6 bursts of passes (thermal-slowdown). Let it cool down, "
        "or give it more power"
    )
    assert machine.passes == 1 + 6 * 5
