"""Statistics of a series of samples. Pure Python: a plugin start must not import numpy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

SHOWN_QUANTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
"""The quantiles of a latency that archbench reports, by name."""


@dataclass(frozen=True, slots=True)
class Absent:
    """A value that is missing, and why. Never 0, NaN, -1 or an empty string instead."""

    reason: str


def quantile(ordered: Sequence[float], probability: float) -> float:
    """The ``probability`` quantile of samples in ascending order, linearly interpolated.

    Definition 7 of Hyndman and Fan 1996, the default of numpy and R.

    Raises:
        ValueError: on an empty series or a probability outside 0 to 1.
    """
    if not ordered:
        raise ValueError("a quantile of no samples does not exist")
    if not 0 <= probability <= 1:
        raise ValueError(f"probability must lie in 0 to 1, got {probability}")
    position = probability * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    share = position - below
    return ordered[below] * (1 - share) + ordered[above] * share


@lru_cache
def required_samples(probability: float, confidence: float = 0.99) -> int:
    """How many samples a tail quantile needs before it may be reported.

    The least n for which at most one sample beyond the quantile is unlikely,
    ``P(Binomial(n, 1 - probability) <= 1) <= 1 - confidence``: with fewer, the tail may not have
    been seen. This is MLPerf LoadGen's early-stopping rule with one sample over the limit: 64 for
    p90, 130 for p95, 662 for p99. The median is always reported.
    """
    if probability <= 0.5:
        return 1
    tail = 1 - probability
    n = 2
    while probability**n + n * tail * probability ** (n - 1) > 1 - confidence:
        n += 1
    return n


@lru_cache
def _interval_ranks(n: int, confidence: float) -> tuple[int, int] | None:
    """Zero-based ranks of the order statistics that enclose the median with ``confidence``."""
    alpha = (1 - confidence) / 2
    if n > 200:
        # Normal approximation of Binomial(n, 1/2) with continuity correction.
        z = 1.959963984540054 if confidence == 0.95 else _normal_quantile(1 - alpha)
        low = math.floor((n - 1) / 2 - z * math.sqrt(n) / 2)
        return low, n - 1 - low
    cumulative = 0.5**n
    if cumulative > alpha:
        return None
    low, term = 0, cumulative
    while True:
        term *= (n - low) / (low + 1)
        if cumulative + term > alpha:
            return low, n - 1 - low
        cumulative += term
        low += 1


def _normal_quantile(probability: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(probability)


def median_interval(
    ordered: Sequence[float], confidence: float = 0.95
) -> tuple[float, float] | None:
    """Distribution-free confidence interval of the median, from samples in ascending order.

    Order statistics by the sign test (Conover 1999, section 3.2). It takes the samples as
    independent, so it says how well this series knows its own median, not how well the median will
    repeat in another process.

    Returns:
        The interval, or None where even the whole range covers the median with less than
        ``confidence`` (fewer than 6 samples at 95 %).
    """
    if not ordered:
        return None
    ranks = _interval_ranks(len(ordered), confidence)
    return None if ranks is None else (ordered[ranks[0]], ordered[ranks[1]])


def median_precision(samples: Sequence[float]) -> float | None:
    """Half the width of the median's 95 % interval, relative to the median; None if unknown."""
    ordered = sorted(samples)
    interval = median_interval(ordered)
    if interval is None:
        return None
    median = quantile(ordered, 0.5)
    return (interval[1] - interval[0]) / 2 / median if median > 0 else None


@dataclass(frozen=True, slots=True)
class Summary:
    """What a series of durations says. Seconds, per batch.

    Attributes:
        quantiles: ``p50``, ``p90``, ``p95``, ``p99``, each a duration or the reason why not.
        samples: how many samples there are.
        precision: half the width of the median's 95 % interval relative to it, None if unknown.
        dispersion: interquartile range relative to the median.
    """

    quantiles: dict[str, float | Absent]
    samples: int
    precision: float | None
    dispersion: float

    @property
    def median(self) -> float:
        """p50, which is there for every series."""
        value = self.quantiles["p50"]
        assert isinstance(value, float)
        return value


def summarize(samples: Sequence[float]) -> Summary:
    """Quantiles, precision and dispersion of a series of durations in seconds.

    Raises:
        ValueError: on an empty series.
    """
    ordered = sorted(samples)
    median = quantile(ordered, 0.5)
    quantiles: dict[str, float | Absent] = {}
    for name, probability in SHOWN_QUANTILES.items():
        needed = required_samples(probability)
        quantiles[name] = (
            float(quantile(ordered, probability))
            if len(ordered) >= needed
            else Absent(f"{name} needs {needed} samples, the time budget allowed {len(ordered)}")
        )
    spread = quantile(ordered, 0.75) - quantile(ordered, 0.25)
    return Summary(
        quantiles=quantiles,
        samples=len(ordered),
        precision=median_precision(ordered),
        dispersion=spread / median if median > 0 else math.inf,
    )


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a proportion (Clopper and Pearson 1934), to 1e-9.

    Its ends are the proportions with which as many successes or more, and as many or fewer, have
    half of ``1 - confidence`` each.

    Raises:
        ValueError: no trials, or more successes than trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials")
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else _solve(lambda p: 1 - _at_most(successes - 1, trials, p), tail)
    high = (
        1.0
        if successes == trials
        else 1 - _solve(lambda q: _at_most(successes, trials, 1 - q), tail)
    )
    return low, high


def _at_most(successes: int, trials: int, probability: float) -> float:
    return math.fsum(
        math.comb(trials, k) * probability**k * (1 - probability) ** (trials - k)
        for k in range(successes + 1)
    )


def _solve(increasing: Callable[[float], float], value: float) -> float:
    low, high = 0.0, 1.0
    while high - low > 1e-10:
        middle = (low + high) / 2
        if increasing(middle) < value:
            low = middle
        else:
            high = middle
    return (low + high) / 2
