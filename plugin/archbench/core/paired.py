"""The sequential test of two versions that are timed side by side, round by round.

One round times both versions once each in random order; what counts is which of them was slower
than the other by more than a tolerated share. The test may be looked at after every round.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

STAKES = (0.2, 0.4, 0.6, 0.8, 0.95)
"""Shares of the capital that are staked on the sign of each round, see :func:`log_e_value`."""


@dataclass(frozen=True, slots=True)
class PairedRule:
    """When two versions differ, and when they do not.

    Attributes:
        tolerated_change: share that counts as no slow-down: the non-inferiority margin.
        equivalence_margin: change that ``unchanged`` rules out, as a share.
        alpha: most probability of ``regressed`` for a slow-down of at most ``tolerated_change``;
            the same for ``improved``.
        beta: most probability of ``unchanged`` for a change of ``equivalence_margin`` or more.
        rounds: before which nothing is decided.
        process_runs: fresh process runs of which each must have most of its rounds beyond
            ``tolerated_change``.
        most_process_runs: after which the verdict is ``inconclusive``.
    """

    tolerated_change: float = 0.01
    equivalence_margin: float = 0.035
    alpha: float = 1e-5
    beta: float = 1e-3
    rounds: int = 6
    process_runs: int = 4
    most_process_runs: int = 8

    def __post_init__(self) -> None:
        if not 0 <= self.tolerated_change < self.equivalence_margin:
            raise ValueError(
                f"tolerated_change {self.tolerated_change} must lie below "
                f"equivalence_margin {self.equivalence_margin}"
            )
        if not (0 < self.alpha < 1 and 0 < self.beta < 1):
            raise ValueError(f"alpha {self.alpha} and beta {self.beta} are probabilities")
        if not 1 <= self.process_runs <= self.most_process_runs or self.rounds < 1:
            raise ValueError(
                f"{self.rounds} rounds, {self.process_runs} of at most "
                f"{self.most_process_runs} process runs"
            )


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rounds so far say.

    Attributes:
        status: ``regressed``, ``improved``, ``unchanged``, ``inconclusive``; None to go on.
        reason: a code for programs; empty to go on.
        ratio: median time of the second version over the first; None before the first round.
        low, high: interval of the ratio that may be looked at after every round, see
            :func:`ratio_interval`; None where the rounds are too few to bound it.
        rounds, process_runs: how many there are.
    """

    status: str | None
    reason: str
    ratio: float | None
    low: float | None
    high: float | None
    rounds: int
    process_runs: int


@lru_cache(maxsize=65536)
def log_e_value(won: int, lost: int) -> float:
    """Logarithm of the e-value after so many rounds won and lost.

    That is a bettor's capital, one unit at the beginning: the mean over :data:`STAKES` of
    ``(1 + stake) ** won * (1 - stake) ** lost``. Where a round is won with probability of at most
    one half it is a non-negative supermartingale, so that it ever exceeds ``1 / alpha`` with
    probability ``alpha`` at most (Ville 1939; Ramdas et al. 2023, Statistical Science 38:576). A
    round that is neither won nor lost changes nothing.
    """
    terms = [won * math.log1p(stake) + lost * math.log1p(-stake) for stake in STAKES]
    greatest = max(terms)
    return greatest + math.log(math.fsum(math.exp(term - greatest) for term in terms) / len(terms))


def log_e_value_beyond(differences: Sequence[float], sign: int, bound: float) -> float:
    """Logarithm of the e-value for a median of differences lies beyond a bound.

    Args:
        differences: of rounds.
        sign: 1 for the side of a slower second version, -1 for its mirror image.
        bound: from which on a round is won.
    """
    won = sum(sign * difference > bound for difference in differences)
    lost = sum(sign * difference < bound for difference in differences)
    return log_e_value(won, lost)


def decide(process_runs: Sequence[Sequence[float]], rule: PairedRule | None = None) -> Decision:
    """What the rounds of all process runs so far say about the second version.

    Args:
        process_runs: of each the logarithms of second time over first, one for each round.
        rule: that decides; the default is for one thread of a CPU.

    Returns:
        A decision whose status is None as long as another round or process run may still decide.
        The mirror image of the rounds has the mirrored decision.
    """
    rule = rule or PairedRule()
    rounds = [difference for run in process_runs for difference in run]
    number = sum(1 for run in process_runs if run)
    if not rounds:
        return Decision(None, "", None, None, None, 0, 0)
    ratio = math.exp(statistics.median(rounds))
    low, high = ratio_interval(rounds)

    def decision(status: str | None, reason: str) -> Decision:
        return Decision(status, reason, ratio, low, high, len(rounds), number)

    if len(rounds) >= rule.rounds:
        tolerated = math.log1p(rule.tolerated_change)
        for status, reason, sign in (("regressed", "slower", 1), ("improved", "faster", -1)):
            if (
                log_e_value_beyond(rounds, sign, tolerated) >= -math.log(rule.alpha)
                and _agreeing(process_runs, sign, tolerated) >= rule.process_runs
            ):
                return decision(status, reason)
        if _is_within(rounds, rule) and 2 * _apart(process_runs, rule) < number:
            return decision("unchanged", "within-bounds")
    if number >= rule.most_process_runs:
        return decision("inconclusive", "not-decided")
    return decision(None, "")


def _is_within(differences: Sequence[float], rule: PairedRule) -> bool:
    """Whether they rule out a change of the equivalence margin, slower and faster."""
    needed = -math.log(rule.beta)
    limit = -math.log1p(rule.equivalence_margin)
    return all(log_e_value_beyond(differences, sign, limit) >= needed for sign in (1, -1))


def is_sure(differences: Sequence[float], rule: PairedRule) -> bool:
    """Whether the rounds of one process run alone show, at ``beta``, on which side of a bound it
    lies.

    They may be of a process run that is slow from its start to its end: then more of them show no
    more, and would outvote those of other process runs.
    """
    if len(differences) < rule.rounds:
        return False
    tolerated = math.log1p(rule.tolerated_change)
    return _is_within(differences, rule) or any(
        log_e_value_beyond(differences, sign, tolerated) >= -math.log(rule.beta) for sign in (1, -1)
    )


def _apart(process_runs: Sequence[Sequence[float]], rule: PairedRule) -> int:
    """Process runs of which more than half of the rounds lie beyond the equivalence margin, on
    one side."""
    bound = math.log1p(rule.equivalence_margin)
    return _agreeing(process_runs, 1, bound) + _agreeing(process_runs, -1, bound)


def _agreeing(process_runs: Sequence[Sequence[float]], sign: int, bound: float) -> int:
    """Process runs of which more than half of the rounds lie beyond a bound."""
    return sum(
        2 * sum(sign * difference > bound for difference in run) > len(run)
        for run in process_runs
        if run
    )


def ratio_interval(
    differences: Sequence[float], confidence: float = 0.95
) -> tuple[float | None, float | None]:
    """Bounds of the median ratio that hold after every round at once.

    Every ratio that :func:`log_e_value` does not rule out on either side at
    ``(1 - confidence) / 2`` lies between two order statistics.

    Returns:
        Ratios; None on a side where the rounds so far rule out nothing.
    """
    needed = -math.log((1 - confidence) / 2)
    ordered = sorted(differences)
    number = len(ordered)
    # The most rounds that may lie on the far side of a bound that is ruled out.
    rank = -1
    while rank + 1 < number and log_e_value(number - rank - 1, rank + 1) >= needed:
        rank += 1
    if rank < 0:
        return None, None
    return math.exp(ordered[rank]), math.exp(ordered[number - 1 - rank])
