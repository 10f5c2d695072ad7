"""Process runs: the unit of replication of a measured time, and what they say together.

The spread between process runs is many times what the samples inside one suggest (memory layout,
background load, clock), so samples of one process run say little about the next. A process run is
kept as quantiles of its samples, beside the time of a reference workload: work that never changes,
done in between. A verdict compares the fast end of process runs, in reference workloads.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from archbench.core.forms import Stored
from archbench.core.statistics import quantile

STORED_QUANTILES = (0.0, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99)
"""What is kept of the samples of a process run; the first is the least sample."""

COMPARED = 0.10
"""The quantile that process runs are compared by. What others do can only add to the time of a
pass, so the fast end spreads less between process runs than the median: on two shared cores half as
much."""

LEAST_BASELINE = 10
"""Process runs that a baseline needs before its spread is worth anything."""

LEAST_PROCESS_RUNS = 3
"""Process runs that a verdict needs, and that must agree before a test may fail."""

LOST = "process-runs-lost"
"""Code of the note on process runs that brought no figures, since they were disturbed
throughout."""

MOST_OTHERS = 0.10
"""Share of the machine that others may keep busy during a process run that is judged without a
reference workload: a busy sibling thread of the same core was seen to raise processor time by a
third."""

MOST_LOST = 0.50
"""Share of wall time that a process run may lose."""

OUTLYING = 5.0
"""Robust deviations above the middle from where a process run is of another mode, see
:func:`spread`."""

NORMAL_MAD = 1.4826
"""Standard deviations of a normal distribution in its median absolute deviation."""


@dataclass(frozen=True, slots=True)
class Scale:
    """In what process runs are compared.

    Attributes:
        clock: ``wall``, ``cpu`` or ``device``.
        in_reference_workloads: whether in multiples of each process run's own reference workload;
            else in seconds.
    """

    clock: str
    in_reference_workloads: bool = False


DEVICE = Scale("device")
"""Seconds by the clock of an accelerator: what a host does besides is not in them."""


@dataclass(frozen=True, slots=True)
class ProcessRun(Stored):
    """What one process measured of one cell.

    Attributes:
        wall, cpu: seconds per batch at :data:`STORED_QUANTILES`, by the monotonic clock and as
            processor time of the process.
        samples: how many there were.
        lost: share of the wall time during which the process did not run; 0 where it waits for an
            accelerator by itself, so that nobody knows.
        others: share of the machine's cores that other processes kept busy; None where unknown.
        reference_workload: processor seconds of the reference workload at :data:`COMPARED`, taken
            between the samples; None where there was none.
        device: seconds per batch at :data:`STORED_QUANTILES` by events on the accelerator, of
            samples of their own; None on a CPU.
        queue_full: whether all of these passes waited in the device's queue before they ran, so
            that the host had no part in their time; None where that is not known.
    """

    wall: tuple[float, ...]
    cpu: tuple[float, ...]
    samples: int
    lost: float
    others: float | None = None
    reference_workload: float | None = None
    device: tuple[float, ...] | None = None
    queue_full: bool | None = None

    @classmethod
    def of(
        cls,
        wall: Sequence[float],
        cpu: Sequence[float],
        others: float | None = None,
        reference_workloads: Sequence[float] = (),
        *,
        is_waiting: bool = False,
    ) -> ProcessRun:
        """Summarise the samples of one process run, in seconds.

        Args:
            wall, cpu: of each sample.
            others: see :class:`ProcessRun`.
            reference_workloads: processor seconds, of each reference workload.
            is_waiting: whether the process waits for an accelerator in each sample.

        Raises:
            ValueError: there are none, or not as many of one clock as of the other.
        """
        if not wall or len(wall) != len(cpu):
            raise ValueError(f"{len(wall)} wall and {len(cpu)} processor times of one process run")
        lost = 0.0 if is_waiting else 1 - math.fsum(cpu) / math.fsum(wall)
        reference_workload = (
            round(quantile(sorted(reference_workloads), COMPARED), 9)
            if reference_workloads
            else None
        )
        return cls(
            _quantiles(wall),
            _quantiles(cpu),
            len(wall),
            round(max(lost, 0.0), 4),
            others,
            reference_workload,
        )

    def with_device(self, samples: Sequence[float], queue_full: bool | None) -> ProcessRun:
        """The process run with what the device's own clock said of it.

        Args:
            samples: seconds per batch.
            queue_full: see :class:`ProcessRun`.

        Raises:
            ValueError: there are no samples.
        """
        if not samples:
            raise ValueError("no device times of one process run")
        return replace(self, device=_quantiles(samples), queue_full=queue_full)

    def at(self, probability: float, clock: str) -> float:
        """Seconds per batch at one of :data:`STORED_QUANTILES`, by ``wall``, ``cpu`` or ``device``.

        Raises:
            ValueError: the process run has no such clock.
        """
        series: tuple[float, ...] | None = getattr(self, clock)
        if series is None:
            raise ValueError(f"the process run has no time by the clock {clock!r}")
        return series[STORED_QUANTILES.index(probability)]

    def level(self, scale: Scale) -> float:
        """The logarithm of what is compared.

        Raises:
            ValueError: it is asked for in reference workloads, and there was none; or by the
                device's clock, and there was none.
        """
        seconds = math.log(self.at(COMPARED, scale.clock))
        if not scale.in_reference_workloads:
            return seconds
        if self.reference_workload is None:
            raise ValueError("the process run has no reference workload")
        return seconds - math.log(self.reference_workload)

    def is_judged_in(self, scale: Scale) -> bool:
        """Whether it has what is compared, and nobody disturbed that.

        What others do on the host's cores does not reach passes that wait in the device's queue.
        """
        if scale.clock == DEVICE.clock:
            return self.device is not None and (bool(self.queue_full) or self.disturbance is None)
        has_reference = not scale.in_reference_workloads or self.reference_workload is not None
        return self.disturbance is None and has_reference

    @property
    def disturbance(self) -> str | None:
        """Why times of the host's clocks cannot be judged; None where they can."""
        if (
            self.reference_workload is None
            and self.others is not None
            and self.others > MOST_OTHERS
        ):
            return f"others kept {self.others:.0%} of the machine busy"
        if self.lost > MOST_LOST:
            return f"the process did not run for {self.lost:.0%} of the time"
        return None


def _quantiles(samples: Sequence[float]) -> tuple[float, ...]:
    ordered = sorted(samples)
    # To the nanosecond, which is the host's clocks' own step, and finer than a device's.
    return tuple(round(quantile(ordered, q), 9) for q in STORED_QUANTILES)


@dataclass(frozen=True, slots=True)
class Spread:
    """What process runs say about the next one.

    Attributes:
        center: mean of the logarithms of what is compared.
        deviation: standard deviation of these.
        process_runs: how many they are of.
        slow: how many further ones were of a slow mode, and are in neither.
    """

    center: float
    deviation: float
    process_runs: int
    slow: int = 0

    def threshold(self, relative: float, confidence: float) -> float:
        """The logarithm of the ratio beyond which a further process run is not one of these.

        ``max(log(1 + relative), t * sd * sqrt(1 + 1 / K))`` with Student's t quantile of K - 1
        degrees of freedom: the one-sided prediction limit of a further value (Hahn and Meeker
        1991, Statistical Intervals, section 4.8).
        """
        t = student_quantile(confidence, self.process_runs - 1)
        predicted = t * self.deviation * math.sqrt(1 + 1 / self.process_runs)
        return max(math.log1p(relative), predicted)

    @property
    def confirmations(self) -> int:
        """Fresh process runs that have to agree before a change is one.

        At least :data:`LEAST_PROCESS_RUNS`. Where some process runs of the baseline were of a slow
        mode, as many as make it improbable that all of the fresh ones are: with the share of slow
        process runs taken as (slow + 1) / (all + 2), which is Laplace's rule, at most 1 in 1,000.
        """
        if not self.slow:
            return LEAST_PROCESS_RUNS
        share = (self.slow + 1) / (self.process_runs + self.slow + 2)
        return max(LEAST_PROCESS_RUNS, math.ceil(math.log(1e-3) / math.log(share)))


def spread(process_runs: Sequence[ProcessRun], scale: Scale) -> Spread:
    """Centre and spread of at least two process runs.

    Some processes are slow from their first pass to their last, by 30 to 60 %, for how their memory
    happens to lie: a mode of its own, of one process run in five of some networks. Process runs
    further above the middle one than both 10 % and :data:`OUTLYING` robust deviations are such, and
    are counted by themselves, as long as they are fewer than a third: a spread over both modes
    would find nothing.

    Raises:
        ValueError: there are fewer.
    """
    levels = sorted(run.level(scale) for run in process_runs)
    if len(levels) < 2:
        raise ValueError(f"{len(levels)} process runs have no spread")
    middle = statistics.median(levels)
    deviation = NORMAL_MAD * statistics.median(abs(level - middle) for level in levels)
    limit = middle + max(math.log1p(0.10), OUTLYING * deviation)
    fast = [level for level in levels if level <= limit]
    if 3 * (len(levels) - len(fast)) >= len(levels):
        fast = levels
    return Spread(
        statistics.fmean(fast), statistics.stdev(fast), len(fast), len(levels) - len(fast)
    )


@lru_cache
def student_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t distribution with a whole number of degrees of freedom.

    The distribution function is a finite sum then (Abramowitz and Stegun 1964, 26.7.3 and
    26.7.4), inverted by bisection to 1e-12.

    Raises:
        ValueError: a probability that is not between 0.5 and 1, or fewer than 1 degree.
    """
    if not 0.5 < probability < 1 or degrees < 1:
        raise ValueError(f"no quantile {probability} of t with {degrees} degrees of freedom")
    low, high = 0.0, 1.0
    while _student_tail(high, degrees) > 1 - probability:
        high *= 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if _student_tail(middle, degrees) > 1 - probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _student_tail(t: float, degrees: int) -> float:
    """Probability of a value above ``t >= 0``."""
    angle = math.atan2(t, math.sqrt(degrees))
    sine, square = math.sin(angle), math.cos(angle) ** 2
    term, total = 1.0, 1.0
    if degrees % 2:
        for k in range(2, degrees - 1, 2):
            term *= square * k / (k + 1)
            total += term
        inner = sine * math.cos(angle) * total if degrees > 1 else 0.0
        central = 2 / math.pi * (angle + inner)
    else:
        for k in range(1, degrees - 2, 2):
            term *= square * k / (k + 1)
            total += term
        central = sine * total
    return (1 - central) / 2
