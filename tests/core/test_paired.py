"""The sequential test of a paired comparison: what it decides, and how rarely it is wrong."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archbench.core.paired import (
    STAKES,
    Decision,
    PairedRule,
    decide,
    is_sure,
    log_e_value,
    ratio_interval,
)


def process_runs(ratio: float, number: int, rounds: int = 10) -> list[list[float]]:
    return [[math.log(ratio)] * rounds for _ in range(number)]


@pytest.mark.parametrize(("won", "lost"), [(0, 0), (1, 0), (0, 1), (7, 3), (200, 1)])
def test_the_e_value_is_the_mean_over_the_stakes(won: int, lost: int) -> None:
    capital = sum((1 + stake) ** won * (1 - stake) ** lost for stake in STAKES) / len(STAKES)
    assert math.exp(log_e_value(won, lost)) == pytest.approx(capital)


def test_a_fair_round_keeps_the_capital() -> None:
    for won, lost in ((0, 0), (3, 5), (20, 4)):
        after = [math.exp(log_e_value(won + 1, lost)), math.exp(log_e_value(won, lost + 1))]
        assert sum(after) / 2 == pytest.approx(math.exp(log_e_value(won, lost)))


@pytest.mark.parametrize(
    ("ratio", "number", "status"),
    [
        (1.0, 1, "unchanged"),
        (1.05, 1, None),  # one process run alone may not fail
        (1.05, 3, None),
        (1.05, 4, "regressed"),
        (1 / 1.05, 4, "improved"),
        (1.02, 4, "regressed"),  # beyond what is tolerated in every round
        (1.005, 1, "unchanged"),
    ],
)
def test_decisions(ratio: float, number: int, status: str | None) -> None:
    # Twenty rounds won at each stake: the mean of 1.2 ** 20 to 1.95 ** 20 exceeds 1 / alpha.
    assert decide(process_runs(ratio, number, 20)).status == status


def test_between_the_bounds_nothing_is_decided() -> None:
    # Half of the rounds on each side of every bound.
    mixed = [[math.log(1.0), math.log(1.08)] * 10 for _ in range(7)]
    assert decide(mixed).status is None
    assert decide([*mixed, mixed[0]]).status == "inconclusive"


def test_nothing_is_decided_before_enough_rounds() -> None:
    assert decide([]) == Decision(None, "", None, None, None, 0, 0)
    assert decide([[0.0] * 5], PairedRule(beta=0.5)).status is None
    assert decide([[0.0] * 6], PairedRule(beta=0.5)).status == "unchanged"


def test_four_process_runs_have_to_agree() -> None:
    # The e-value is large enough, in three process runs of four.
    rounds = [*process_runs(1.1, 3, 40), [0.0] * 3]
    assert decide(rounds).status is None
    assert decide([*rounds, [math.log(1.1)] * 3]).status == "regressed"


def test_a_process_run_that_differs_from_the_others_does_not_outvote_them() -> None:
    # Seen with ten layers more in a hundred: the third reference was slow from start to end.
    seen = [*process_runs(1.12, 1, 20), *process_runs(1.10, 1, 6), *process_runs(0.98, 1, 65)]
    assert decide(seen).status is None
    # With as many that differ it is no majority yet; with more, what they say is a change.
    assert decide([*seen, *process_runs(1.0, 1, 20)]).status is None
    assert decide([*seen, *process_runs(1.0, 2, 20)]).status == "unchanged"
    assert (
        decide([*seen[:2], *process_runs(0.98, 1, 13), *process_runs(1.10, 2, 20)]).status
        == "regressed"
    )


def test_when_a_process_run_is_sure_by_itself() -> None:
    # Thirteen rounds won at each stake: (1.2 ** 13 + ... + 1.95 ** 13) / 5 = 1702; twelve: 905.
    for ratio in (1.05, 1 / 1.05, 1.0):
        assert is_sure([math.log(ratio)] * 13, PairedRule())
        assert not is_sure([math.log(ratio)] * 12, PairedRule())
    assert not is_sure([math.log(1.0), math.log(1.08)] * 20, PairedRule())


@given(
    st.lists(st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=12), min_size=1, max_size=8)
)  # fmt: skip
def test_the_mirror_image_has_the_mirrored_decision(rounds: list[list[float]]) -> None:
    mirror = {"regressed": "improved", "improved": "regressed"}
    one = decide(rounds)
    other = decide([[-difference for difference in run] for run in rounds])
    assert other.status == mirror.get(str(one.status), one.status)
    assert one.ratio is not None
    assert other.ratio == pytest.approx(1 / one.ratio)


@given(st.integers(1, 40), st.integers(1, 8))
def test_a_series_against_itself_is_never_a_change(rounds: int, number: int) -> None:
    assert decide([[0.0] * rounds] * number).status not in ("regressed", "improved")


def test_false_regressions_under_random_signs() -> None:
    """A coin decides each round, and the test is looked at after every process run."""
    chance = random.Random(1)
    rule = PairedRule(alpha=0.05, process_runs=1, most_process_runs=10)
    wrong = 0
    for _ in range(2_000):
        rounds: list[list[float]] = []
        for _ in range(10):
            rounds.append([chance.choice((-0.1, 0.1)) for _ in range(6)])
            if decide(rounds, rule).status == "regressed":
                wrong += 1
                break
    # Ville's bound is 100; the standard deviation of 2,000 draws there is 10.
    assert 0 < wrong <= 100


def test_an_unchanged_verdict_about_what_is_excluded_is_rare() -> None:
    chance = random.Random(2)
    rule = PairedRule(beta=0.05)
    median = math.log1p(rule.equivalence_margin)
    wrong = 0
    for _ in range(2_000):
        rounds: list[list[float]] = []
        for _ in range(8):
            rounds.append([median + chance.gauss(0, 0.02) for _ in range(6)])
            status = decide(rounds, rule).status
            if status is not None:
                wrong += status == "unchanged"
                break
    assert wrong <= 100


def test_the_interval_of_the_ratio() -> None:
    assert ratio_interval([0.0] * 3) == (None, None)
    # 20 rounds: at most 2 of them may lie on the far side; ln 40 is 3.69.
    assert log_e_value(18, 2) >= math.log(40) > log_e_value(15, 5)
    ordered = [math.log(1 + place / 100) for place in range(20)]
    low, high = ratio_interval(ordered)
    ranks = [rank for rank in range(20) if log_e_value(20 - rank, rank) >= math.log(40)]
    assert low == pytest.approx(1 + max(ranks) / 100)
    assert high == pytest.approx(1 + (19 - max(ranks)) / 100)


def test_the_interval_holds_at_every_look() -> None:
    chance = random.Random(3)
    missed = 0
    for _ in range(500):
        differences: list[float] = []
        for _ in range(60):
            differences.append(chance.gauss(0.0, 0.05))
            low, high = ratio_interval(differences)
            if low is not None and high is not None and not low <= 1.0 <= high:
                missed += 1
                break
    assert missed <= 25 + 2 * 5


@pytest.mark.parametrize(
    "fields",
    [
        {"tolerated_change": 0.05, "equivalence_margin": 0.03},
        {"alpha": 0.0},
        {"beta": 1.0},
        {"process_runs": 9},
        {"rounds": 0},
    ],
)
def test_rules_that_make_no_sense(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        PairedRule(**fields)  # type: ignore[arg-type]
