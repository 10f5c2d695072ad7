"""Latency of a forward pass: warm up until steady, then sample until the median is known."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from archbench.core.statistics import median_precision, required_samples


@dataclass(frozen=True, slots=True)
class Clock:
    """Where time comes from. Both count nanoseconds.

    Attributes:
        wall: a monotonic clock.
        cpu: processor time of this process, all threads together.
    """

    wall: Callable[[], int] = time.perf_counter_ns
    cpu: Callable[[], int] = time.process_time_ns


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """When to stop.

    Attributes:
        time_budget: seconds for warm-up and samples together. A slow model exceeds it to get its
            ``min_samples``.
        precision: half the width of the median's 95 % interval, relative to the median, at which
            sampling stops.
        enough_samples: with fewer, precision does not stop the sampling; p95 needs these many.
        min_samples: taken whatever the budget says.
        warmup_iterations, warmup_seconds: least warm-up of an eager model on a CPU.
        warmup_share: most of the budget that warm-up may take.
        steady: warm-up ends when the later half of its passes is at most this much faster than
            the earlier half.
    """

    time_budget: float = 2.0
    precision: float = 0.01
    enough_samples: int = field(default_factory=lambda: required_samples(0.95))
    min_samples: int = 3
    warmup_iterations: int = 3
    warmup_seconds: float = 0.2
    warmup_share: float = 1 / 3
    steady: float = 0.02


@dataclass(frozen=True, slots=True)
class LatencySeries:
    """Raw durations of forward passes in seconds, per batch, in the order they were taken.

    Attributes:
        wall: by the monotonic clock.
        cpu: processor time of the process; several threads add up.
        warmup: wall time of each warm-up pass.
        stopped_by: ``precision`` or ``time-budget``.
        elapsed: seconds from the first warm-up pass to the last sample.
    """

    wall: tuple[float, ...]
    cpu: tuple[float, ...]
    warmup: tuple[float, ...]
    stopped_by: str
    elapsed: float


def _is_steady(durations: list[int], tolerance: float) -> bool:
    """Whether the later half of the passes is no longer getting faster."""
    recent = durations[-8:] if len(durations) > 8 else durations
    half = len(recent) // 2
    earlier, later = sorted(recent[:half]), sorted(recent[-half:])
    return later[half // 2] >= earlier[half // 2] * (1 - tolerance)


def _warm_up(forward: Callable[[], object], clock: Clock, plan: SamplingPlan) -> list[int]:
    durations: list[int] = []
    start = clock.wall()
    limit = plan.time_budget * plan.warmup_share * 1e9
    least = min(plan.warmup_seconds * 1e9, limit)
    while True:
        began = clock.wall()
        forward()
        now = clock.wall()
        durations.append(now - began)
        spent = now - start
        if spent >= limit:
            return durations
        if (
            len(durations) >= plan.warmup_iterations
            and spent >= least
            and _is_steady(durations, plan.steady)
        ):
            return durations


def is_precise(nanoseconds: Sequence[int], precision: float) -> bool:
    """Whether the median of a series is known to a precision, relative to itself."""
    found = median_precision(nanoseconds)
    return found is not None and found <= precision


@contextmanager
def undisturbed() -> Iterator[None]:
    """Without the garbage collector, whose passes are nobody's."""
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def sample_latency(
    forward: Callable[[], object],
    plan: SamplingPlan,
    clock: Clock | None = None,
    after: Callable[[int], object] | None = None,
    before: Callable[[], object] | None = None,
) -> LatencySeries:
    """Time a forward pass again and again.

    The garbage collector is off meanwhile. What lies between the two clock readings is the call
    alone; how precise the median is gets computed at geometrically growing numbers of samples, so
    that its cost does not grow with their number.

    Args:
        forward: runs one batch and returns when its result is there.
        plan: when to stop.
        clock: where time comes from; this process's own clocks by default.
        after: called after each sample with its nanoseconds, outside of what is timed.
        before: called ahead of each sample, likewise.
    """
    clock = clock or Clock()
    wall, cpu = clock.wall, clock.cpu
    walls: list[int] = []
    cpus: list[int] = []
    with undisturbed():
        start = wall()
        warmup = _warm_up(forward, clock, plan)
        deadline = start + round(plan.time_budget * 1e9)
        next_check = plan.enough_samples
        stopped_by = "time-budget"
        while True:
            if before is not None:
                before()
            cpu_before = cpu()
            began = wall()
            forward()
            done = wall()
            cpu_after = cpu()
            walls.append(done - began)
            cpus.append(cpu_after - cpu_before)
            if after is not None:
                after(done - began)
            if len(walls) >= next_check:
                if is_precise(walls, plan.precision):
                    stopped_by = "precision"
                    break
                next_check = len(walls) + len(walls) // 2
            if done >= deadline and len(walls) >= plan.min_samples:
                break
    return LatencySeries(
        wall=tuple(value / 1e9 for value in walls),
        cpu=tuple(value / 1e9 for value in cpus),
        warmup=tuple(value / 1e9 for value in warmup),
        stopped_by=stopped_by,
        elapsed=(done - start) / 1e9,
    )
