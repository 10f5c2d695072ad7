"""Time on an accelerator's own clock: events around each forward pass, the queue kept full.

A host starts work on an accelerator faster or slower than the accelerator does it. Where it is
slower the device idles between two kernels, and what an event pair measures is the host. So before
each burst of passes the device is given something else to do, for longer than the host needs to
start them all: then every pass of the burst waits in the queue before the first one begins, and
its time is the device's alone. Whether that went right is checked in every burst.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from archbench.core.errors import InconclusiveError
from archbench.core.statistics import required_samples
from archbench.core.telemetry import TelemetrySample, throttled_by
from archbench.devices.backend import DeviceClock, Stamp, Telemetry
from archbench.measure.latency import is_precise, undisturbed
from archbench.measure.parts import MARGIN, InParts, PassInParts

FIRST_FILL = 8
"""Passes of the first fill, at most: how many find room in the queue is not known yet."""


@dataclass(frozen=True, slots=True)
class BurstPlan:
    """How passes are gathered into bursts, and when to stop.

    Attributes:
        time_budget: seconds for all bursts.
        precision: half the width of the median's 95 % interval, relative, at which to stop.
        enough_samples: with fewer, precision does not stop; p95 needs these many.
        burst_seconds: of the device's work in a burst, about.
        most_passes: of a burst.
        most_hold: seconds that the device is kept busy before a burst, at most.
        most_retries: bursts that are discarded for throttling before the cell is given up.
        pause: seconds to let the device recover after one.
    """

    time_budget: float = 1.0
    precision: float = 0.01
    enough_samples: int = field(default_factory=lambda: required_samples(0.95))
    burst_seconds: float = 0.05
    most_passes: int = 64
    most_hold: float = 0.2
    most_retries: int = 5
    pause: float = 0.5


@dataclass(frozen=True, slots=True)
class DeviceSeries:
    """Raw durations of forward passes on the device's clock, in seconds per batch.

    Attributes:
        samples: in the order they were taken.
        bursts: how many they come from.
        discarded: bursts that were thrown away, with why each was throttled.
        telemetry: the state of the device before and after each burst that was kept.
        is_full: whether every pass waited in the queue before the burst began; False where the
            host was slower and gaps may count, None where the device cannot be held back.
        stopped_by: ``precision`` or ``time-budget``.
        parts: in which a pass was timed: more than one where the queue does not take it whole.
    """

    samples: tuple[float, ...]
    bursts: int
    discarded: tuple[tuple[str, ...], ...]
    telemetry: tuple[TelemetrySample, ...]
    is_full: bool | None
    stopped_by: str
    parts: int = 1


def sample_device_time(
    launch: Callable[[], object],
    clock: DeviceClock,
    plan: BurstPlan,
    telemetry: Telemetry = TelemetrySample,
    before: Callable[[], object] | None = None,
    wall: Callable[[], float] = time.perf_counter,
    pause: Callable[[float], object] = time.sleep,
    in_parts: InParts | None = None,
) -> DeviceSeries:
    """Time forward passes by events, burst by burst. The model is warm.

    Args:
        launch: starts a pass and does not wait for it.
        clock: of the device.
        plan: of the bursts.
        telemetry: read before and after each burst.
        before: starts, ahead of each pass, what is not to be timed.
        wall: seconds of a monotonic clock of the host.
        pause: waits so many seconds.
        in_parts: see :class:`PassQueue`.

    Raises:
        InconclusiveError: the device throttled in more than ``plan.most_retries`` bursts.
    """
    samples: list[float] = []
    states: list[TelemetrySample] = []
    discarded: list[tuple[str, ...]] = []
    next_check, stopped_by = plan.enough_samples, "time-budget"
    is_full: bool | None = None
    with undisturbed():
        started = wall()
        queue = PassQueue(launch, clock, plan, before, wall, in_parts)
        while True:
            first = telemetry()
            times = queue.burst()
            last = telemetry()
            reasons = throttled_by(first, last)
            if reasons:
                discarded.append(reasons)
                if len(discarded) > plan.most_retries:
                    raise _stays_throttled(discarded)
                pause(plan.pause * len(discarded))
                continue
            if queue.is_full is not None:
                is_full = queue.is_full and is_full is not False
            samples += times
            states += [first, last]
            if len(samples) >= next_check:
                if is_precise([round(value * 1e9) for value in samples], plan.precision):
                    stopped_by = "precision"
                    break
                next_check = len(samples) + len(samples) // 2
            if wall() - started >= plan.time_budget:
                break
    bursts = len(states) // 2
    return DeviceSeries(
        tuple(samples), bursts, tuple(discarded), tuple(states), is_full, stopped_by, queue.parts
    )


def _stays_throttled(discarded: Sequence[tuple[str, ...]]) -> InconclusiveError:
    reasons = dict.fromkeys(reason for one in discarded for reason in one)
    return InconclusiveError(
        "throttled",
        f"the device lowered its clock in {len(discarded)} bursts of passes "
        f"({', '.join(reasons)}). Let it cool down, or give it more power",
    )


class PassQueue:
    """Bursts of passes that wait in a device's queue before the first of them begins.

    A queue takes a certain number of kernels, about a thousand on NVIDIA's devices; then the host
    waits until the device goes on. So a burst may need several fills of the queue, each behind a
    hold of its own, and as many passes are put into a fill as have been seen to find room. Of a
    pass that does not find room alone each part is put into a fill of its own.

    Args:
        launch: starts a pass and does not wait for it. It has run before.
        clock: of the device.
        plan: of the bursts: how long they are, and how long the device may be kept busy before.
        before: starts, ahead of each pass, what is not to be timed.
        wall: seconds of a monotonic clock of the host.
        in_parts: starts a pass that can be cut; None where it cannot.

    Attributes:
        is_full: whether every pass of the last burst waited in the queue before it began; False
            where not even a single one can be started in time, None before the first burst and
            where the device cannot be held back.
    """

    def __init__(
        self,
        launch: Callable[[], object],
        clock: DeviceClock,
        plan: BurstPlan,
        before: Callable[[], object] | None = None,
        wall: Callable[[], float] = time.perf_counter,
        in_parts: InParts | None = None,
    ) -> None:
        self._launch, self._clock, self._before, self._wall = launch, clock, before, wall
        self._most_hold = plan.most_hold
        self.is_full: bool | None = None
        self._in_parts = in_parts
        self._divided: PassInParts | None = None
        self._enqueue, duration = self._rehearse()
        passes = round(plan.burst_seconds / max(duration, 1e-9))
        self._wanted = self._room = max(1, min(plan.most_passes, passes))
        self._passes = min(self._wanted, FIRST_FILL)
        self._found_room = 0
        self._hold = 0.0
        self._hold_for(2 * self._enqueue)

    @property
    def parts(self) -> int:
        """In which a pass is timed."""
        return 1 if self._divided is None else self._divided.number

    def _rehearse(self) -> tuple[float, float]:
        """Seconds that the host needs to start a pass, and that the pass takes to its end."""
        self._clock.synchronize()
        began = self._wall()
        self._start()
        started = self._wall()
        self._clock.synchronize()
        return started - began, self._wall() - began

    def _hold_for(self, enqueue: float) -> None:
        """Hold the device for as long as the host needs to start the passes of a fill, which are
        made fewer where that would be too long."""
        fitting = int(self._most_hold / max(enqueue, 1e-9))
        self._passes = max(1, min(self._passes, fitting))
        self._hold = min(self._most_hold, enqueue * self._passes)

    def _start(self) -> tuple[Stamp, Stamp]:
        """Put a pass into the queue, and a stamp on either side of it."""
        if self._before is not None:
            self._before()
        first = self._clock.stamp()
        self._launch()
        return first, self._clock.stamp()

    def burst(self) -> list[float]:
        """Seconds on the device of each pass of a burst."""
        began = self._wall()
        times: list[float] = []
        all_full: bool | None = None
        while not times or (len(times) < self._wanted and self._wall() - began < self._most_hold):
            times += self._divided_pass() or self._fill(self._wanted - len(times))
            all_full = self.is_full if all_full is None else all_full and self.is_full
        self.is_full = all_full
        return times

    def _divided_pass(self) -> list[float]:
        """The time of a pass that does not find room in the queue alone; empty for one that does,
        or that cannot be divided."""
        if self._divided is None:
            return []
        seconds = self._divided.time()
        if seconds is None:
            self._divided = self._in_parts = None
            return []
        self.is_full = True
        return [seconds]

    def _fill(self, wanted: int) -> list[float]:
        """Times of passes that were in the queue before the first of them began; of a single one
        that was not, where the device cannot be held for long enough."""
        clock = self._clock
        while True:
            clock.synchronize()
            clock.hold(self._hold)
            gate = clock.stamp()
            began = self._wall()
            stamps: list[tuple[Stamp, Stamp]] = []
            ahead, enqueued = 0, 0.0
            # Where nothing holds the device back, the first pass finds an empty queue and is not
            # counted.
            number = min(self._passes, wanted) + (not clock.can_hold)
            while len(stamps) < number and (ahead == len(stamps) or not clock.can_hold):
                stamps.append(self._start())
                if clock.can_hold and not gate.is_reached():
                    ahead, enqueued = len(stamps), self._wall() - began
            clock.synchronize()
            counted = stamps[:ahead] if clock.can_hold else stamps[1:]
            if clock.can_hold:
                self._adapt(number, ahead, enqueued)
            if self._divided is not None:
                return self._divided_pass()
            if counted or self.is_full is False:
                return [end.seconds_since(start) for start, end in counted or stamps[:1]]

    def _adapt(self, number: int, ahead: int, enqueued: float) -> None:
        """Choose the next fill by the last one.

        Args:
            number: passes that were to be started during the hold.
            ahead: those that were.
            enqueued: seconds that the host needed for these.
        """
        if not ahead:
            self.is_full = None if self._hold < self._most_hold else False
            enough = min(4 * self._enqueue, self._most_hold)
            if number == 1 and self._in_parts is not None and self._hold >= enough:
                # The host had time, unless it had to wait for room in the queue.
                self._divided = PassInParts(
                    self._in_parts, self._clock, self._most_hold, self._before, self._wall
                )
            self._passes, self._hold = 1, min(self._most_hold, 2 * max(self._hold, 1e-4))
            return
        self.is_full = True
        if ahead < number and enqueued < self._hold / 2:
            # The host had time left: it waited for room in the queue, unless it has paused.
            self._room = ahead if ahead == self._found_room else self._room
            self._passes = self._found_room = ahead
        if ahead == number:
            # There may be room for more again, after a pause of the host.
            self._passes = min(max(self._passes, 2 * number), self._room)
        self._hold_for(MARGIN * enqueued / ahead)
