"""Process launches: the unit of replication of a measured time, and what they say together.

Spread between launches of a process is many times what the samples inside one suggest (memory
layout, neighbours, clock), so samples of one launch say little about the next. A launch is kept as
quantiles of its samples; a verdict compares medians of launches.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from archbench.core.statistics import quantile

__all__ = [
    "LEAST_BASELINE",
    "LEAST_LAUNCHES",
    "QUANTILES",
    "Launch",
    "Spread",
    "spread",
    "student_quantile",
]

QUANTILES = (0.0, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99)
"""What is kept of the samples of a launch; the first is the least sample."""

LEAST_BASELINE = 10
"""Launches that a baseline needs before its spread is worth anything."""

LEAST_LAUNCHES = 3
"""Launches that a verdict needs, and that must agree before a test may fail."""

MOST_OTHERS = 0.10
"""Share of the machine that others may keep busy during a launch that is judged: a busy sibling
thread of the same core was seen to raise processor time by a third."""

MOST_LOST = 0.50
"""Share of wall time that a launch may lose."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What one process measured of one cell.

    Attributes:
        wall, cpu: seconds per batch at :data:`QUANTILES`, by the monotonic clock and as processor
            time of the process.
        samples: how many there were.
        lost: share of the wall time during which the process did not run.
        others: share of the machine's cores that other processes kept busy; None where unknown.
    """

    wall: tuple[float, ...]
    cpu: tuple[float, ...]
    samples: int
    lost: float
    others: float | None = None

    @classmethod
    def of(cls, wall: Sequence[float], cpu: Sequence[float], others: float | None = None) -> Launch:
        """Summarise the samples of one launch, in seconds.

        Raises:
            ValueError: there are none, or not as many of one clock as of the other.
        """
        if not wall or len(wall) != len(cpu):
            raise ValueError(f"{len(wall)} wall and {len(cpu)} processor times of one launch")
        ordered = [sorted(series) for series in (wall, cpu)]
        # To the nanosecond, which is the clocks' own step.
        walls, cpus = (
            tuple(round(quantile(series, q), 9) for q in QUANTILES) for series in ordered
        )
        lost = 1 - math.fsum(cpu) / math.fsum(wall)
        return cls(walls, cpus, len(wall), round(max(lost, 0.0), 4), others)

    def median(self, clock: str) -> float:
        """Seconds per batch by ``wall`` or ``cpu``."""
        series: tuple[float, ...] = getattr(self, clock)
        return series[QUANTILES.index(0.50)]

    @property
    def disturbance(self) -> str | None:
        """Why it cannot be judged; None where it can."""
        if self.others is not None and self.others > MOST_OTHERS:
            return f"others kept {self.others:.0%} of the machine busy"
        if self.lost > MOST_LOST:
            return f"the process did not run for {self.lost:.0%} of the time"
        return None

    def as_dict(self) -> dict[str, Any]:
        """Builtin types only."""
        return {
            "wall": list(self.wall),
            "cpu": list(self.cpu),
            "samples": self.samples,
            "lost": self.lost,
            "others": self.others,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Launch:
        """The inverse of :meth:`as_dict`."""
        return cls(
            tuple(data["wall"]), tuple(data["cpu"]), data["samples"], data["lost"], data["others"]
        )


@dataclass(frozen=True, slots=True)
class Spread:
    """What launches say about the next one.

    Attributes:
        center: mean of the logarithms of their medians.
        deviation: standard deviation of these.
        launches: how many there are.
    """

    center: float
    deviation: float
    launches: int

    @property
    def median(self) -> float:
        """Their geometric mean, in seconds per batch."""
        return math.exp(self.center)

    def threshold(self, relative: float, confidence: float) -> float:
        """The logarithm of the ratio beyond which a further launch is not one of these.

        ``max(log(1 + relative), t * sd * sqrt(1 + 1 / K))`` with Student's t quantile of K - 1
        degrees of freedom: the one-sided prediction limit of a further value (Hahn and Meeker
        1991, Statistical Intervals, section 4.8).
        """
        t = student_quantile(confidence, self.launches - 1)
        predicted = t * self.deviation * math.sqrt(1 + 1 / self.launches)
        return max(math.log1p(relative), predicted)


def spread(launches: Sequence[Launch], clock: str) -> Spread:
    """Centre and spread of the medians of at least two launches.

    Raises:
        ValueError: there are fewer.
    """
    logarithms = [math.log(launch.median(clock)) for launch in launches]
    if len(logarithms) < 2:
        raise ValueError(f"{len(logarithms)} launches have no spread")
    return Spread(statistics.fmean(logarithms), statistics.stdev(logarithms), len(logarithms))


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
