"""Where a line of times goes over to another level.

It lives with the reports because only they may know of it: change points are hints for a person who
reads a line and never decide about a test. The gate judges by other means.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from archbench.core.statistics import quantile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHORTEST = 3
"""Entries that a level has at least, so that a single slow run is none."""

LEAST = 2 * SHORTEST
"""Entries that a line needs before it can have a change point."""

_PENALTY = 2.5
"""Of one change point, in units of noise times the logarithm of the number of entries."""

_LEAST_NOISE = 0.01
"""Relative. Medians of runs on one machine do not repeat better, however few there are."""

# The upper quartile of the absolute value of a normal variable, times the root of 2 for a
# difference of two such: what turns the quartile of differences into a standard deviation.
_QUARTILE = 1.1503493803760079 * math.sqrt(2)


_AT_ONCE = 2**16
"""Numbers in one step for several lines: as many as stay in a processor's cache."""


def why_none(entries: int) -> str | None:
    """Why a line of so many entries can have no change points; None where it can."""
    if entries < LEAST:
        have = "there is 1" if entries == 1 else f"there are {entries}"
        return f"change points need {LEAST} entries, {have}"
    return None


def change_points(values: Sequence[float]) -> list[int]:
    """Indices of the first entry of each new level, see :func:`change_points_of`."""
    return change_points_of([values])[0]


def change_points_of(lines: Sequence[Sequence[float]]) -> list[list[int]]:
    """For each of some lines the indices of the first entry of each new level.

    The exact minimum of the absolute deviations of the logarithms from the median of their level
    plus a penalty for each change. Deviations are in units of the line's own noise, which is taken
    from the upper quartile of the differences between neighbours: a single step and a few outliers
    hardly move it.

    Args:
        lines: values in the order of time, in any unit, above 0.

    Returns:
        Ascending; empty where :func:`why_none` says why, and where a value is not above 0.
    """
    found: list[list[int]] = [[] for _ in lines]
    meant = [
        place
        for place, values in enumerate(lines)
        if why_none(len(values)) is None and min(values) > 0
    ]
    # The longest first, so that lines of one length are searched together.
    meant.sort(key=lambda place: len(lines[place]), reverse=True)
    while meant:
        number = max(1, _AT_ONCE // len(lines[meant[0]]))
        together, meant = meant[:number], meant[number:]
        for place, changes in zip(together, _searched([lines[i] for i in together]), strict=True):
            found[place] = changes
    return found


def _searched(lines: Sequence[Sequence[float]]) -> list[list[int]]:
    """The change points of lines, of which the first is the longest."""
    import numpy as np

    longest = len(lines[0])
    signals = np.zeros((len(lines), longest))
    for signal, values in zip(signals, lines, strict=True):
        logarithms = [math.log(value) for value in values]
        steps = sorted(abs(b - a) for a, b in pairwise(logarithms))
        noise = max(quantile(steps, 0.75) / _QUARTILE, _LEAST_NOISE)
        signal[: len(values)] = np.array(logarithms) / noise
    penalties = np.array([_PENALTY * math.log(len(values)) for values in lines])
    first = _cheapest(signals, penalties)
    found = []
    for place, values in enumerate(lines):
        changes, end = [], len(values)
        while (end := int(first[end, place])) > 0:
            changes.append(end)
        found.append(changes[::-1])
    return found


def _cheapest(signals: NDArray[np.float64], penalties: NDArray[np.float64]) -> NDArray[np.intp]:
    """Where the last level begins in the cheapest division of each beginning of some signals.

    A level costs least at one of the signal's own values. So it is enough to know for each of these
    what the entries so far cost at least if the last level is that value (the recursion of
    Maidstone et al. 2017, on a grid that holds the minimum).

    Args:
        signals: lines x entries.
        penalties: of one change, for each line.

    Returns:
        Entries + 1 x lines; the entry at ``[n, i]`` is of the first n entries of line i.
    """
    import numpy as np

    rows, (lines, length) = np.arange(len(signals)), signals.shape
    levels = np.sort(signals, axis=1)
    least = np.full((length + 1, lines), np.inf)
    least[0] = -penalties
    first = np.zeros((length + 1, lines), np.intp)
    cost, begun = np.full(signals.shape, np.inf), np.zeros(signals.shape, np.intp)
    away = [np.abs(levels - signals[:, place, None]) for place in range(SHORTEST - 1)]
    for end in range(SHORTEST, length + 1):
        away.append(np.abs(levels - signals[:, end - 1, None]))
        cost += away[-1]
        anew = sum(away, start=(least[end - SHORTEST] + penalties)[:, None])
        is_cheaper = anew < cost
        np.copyto(cost, anew, where=is_cheaper)
        np.copyto(begun, end - SHORTEST, where=is_cheaper)
        at = cost.argmin(axis=1)
        least[end], first[end] = cost[rows, at], begun[rows, at]
        del away[0]
    return first
