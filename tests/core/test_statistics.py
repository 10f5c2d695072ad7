"""Statistics against closed forms, published tables and independent implementations."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from archbench.core.statistics import (
    Absent,
    clopper_pearson,
    median_interval,
    median_precision,
    quantile,
    required_samples,
    summarize,
)

durations = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=300)


@given(durations, st.floats(0, 1))
def test_quantile_is_numpys(samples: list[float], probability: float) -> None:
    ordered = sorted(samples)
    assert quantile(ordered, probability) == pytest.approx(np.quantile(ordered, probability))


def test_quantile_by_hand() -> None:
    # Position 0.9 * 4 = 3.6 among 10, 20, 30, 40, 50: 40 + 0.6 * 10.
    assert quantile([10, 20, 30, 40, 50], 0.9) == pytest.approx(46)
    assert quantile([7], 0.99) == 7


def test_quantile_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="no samples"):
        quantile([], 0.5)
    with pytest.raises(ValueError, match="got 95"):
        quantile([1.0], 95)


@pytest.mark.parametrize(
    # MLPerf inference rules, early stopping: 64 queries for p90, 662 for p99.
    ("probability", "published"),
    [(0.90, 64), (0.99, 662)],
)
def test_required_samples_are_mlperfs(probability: float, published: int) -> None:
    assert required_samples(probability) == published


@pytest.mark.parametrize("probability", [0.9, 0.95, 0.99])
def test_required_samples_is_the_least_that_holds(probability: float) -> None:
    n = required_samples(probability)
    assert stats.binom.cdf(1, n, 1 - probability) <= 0.01
    assert stats.binom.cdf(1, n - 1, 1 - probability) > 0.01


def test_median_is_always_reported() -> None:
    assert required_samples(0.5) == 1


@pytest.mark.parametrize("n", [6, 7, 10, 33, 100, 200])
def test_median_interval_covers_with_the_exact_binomial(n: int) -> None:
    interval = median_interval(list(range(n)))
    assert interval is not None
    low, high = interval
    assert high == n - 1 - low
    # The median lies below the sample of rank `low` (from 0) if at most `low` samples do: the two
    # ends together miss it with 2 P(Bin(n, 1/2) <= low). One rank further would miss too often.
    assert 2 * stats.binom.cdf(low, n, 0.5) <= 0.05
    assert 2 * stats.binom.cdf(low + 1, n, 0.5) > 0.05


def test_five_samples_do_not_enclose_the_median_at_95_percent() -> None:
    # 2 * 0.5 ** 5 = 6.25 % is the best that five can do.
    assert median_interval([1, 2, 3, 4, 5]) is None
    assert median_precision([1, 2, 3, 4, 5]) is None
    assert median_interval([]) is None


def test_interval_of_many_samples_is_close_to_the_exact_one() -> None:
    n = 1000
    interval = median_interval(list(range(n)))
    assert interval is not None
    exact = stats.binom.ppf(0.025, n, 0.5)
    assert abs(interval[0] - exact) <= 2


def test_interval_covers_as_often_as_it_says() -> None:
    generator = random.Random(1)
    hits = 0
    for _ in range(2000):
        ordered = sorted(generator.expovariate(1) for _ in range(25))
        interval = median_interval(ordered)
        assert interval is not None
        hits += interval[0] <= np.log(2) <= interval[1]
    # Exact coverage for n = 25 is 95.7 %; 2,000 trials have a standard error of 0.5 %.
    assert 0.94 <= hits / 2000 <= 0.975


def test_summary_by_hand() -> None:
    # 1, 2, ..., 101: the median is 51, the quartiles 26 and 76.
    summary = summarize([float(value) for value in range(101, 0, -1)])
    assert summary.median == 51
    assert summary.quantiles["p90"] == pytest.approx(91)
    assert summary.dispersion == pytest.approx(50 / 51)
    assert summary.samples == 101
    p95 = summary.quantiles["p95"]
    assert isinstance(p95, Absent)
    assert p95.reason == "p95 needs 130 samples, the time budget allowed 101"


def test_summary_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        summarize([])


@pytest.mark.parametrize(("successes", "trials"), [(0, 300), (1, 300), (57, 60), (60, 60), (3, 10)])
def test_clopper_pearson(successes: int, trials: int) -> None:
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, method="exact")
    assert clopper_pearson(successes, trials) == pytest.approx(
        (expected.low, expected.high), abs=1e-8
    )


def test_the_rule_of_three() -> None:
    # No success in n trials: the one-sided bound at 95 % is 1 - 0.05 ** (1 / n), about 3 / n.
    assert clopper_pearson(0, 300, 0.9)[1] == pytest.approx(1 - 0.05 ** (1 / 300), abs=1e-9)
    with pytest.raises(ValueError, match="3 successes in 2 trials"):
        clopper_pearson(3, 2)
