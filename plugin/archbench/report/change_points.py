"""Where a line of times goes over to another level: the one place that knows the library for it.

It lives with the reports because only they may know of it: change points are hints for a person who
reads a line and never decide about a test. The gate judges by other means.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise

from archbench.core.statistics import quantile

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


def why_none(entries: int) -> str | None:
    """Why a line of so many entries can have no change points; None where it can."""
    if entries < LEAST:
        have = "there is 1" if entries == 1 else f"there are {entries}"
        return f"change points need {LEAST} entries, {have}"
    if find_spec("ruptures") is None:
        return "change points need the package ruptures, which is not installed"
    return None


def change_points(values: Sequence[float]) -> list[int]:
    """Indices of the first entry of each new level.

    The exact minimum (PELT, Killick et al. 2012) of the absolute deviations of the logarithms from
    the median of their level plus a penalty for each change, found by ``ruptures``. Deviations are
    in units of the line's own noise, which is taken from the upper quartile of the differences
    between neighbours: a single step and a few outliers hardly move it.

    Args:
        values: of one line in the order of time, in any unit, above 0.

    Returns:
        Ascending; empty where :func:`why_none` says why, and where a value is not above 0.
    """
    if why_none(len(values)) is not None or min(values) <= 0:
        return []
    import numpy as np
    from ruptures import Pelt

    logarithms = [math.log(value) for value in values]
    steps = sorted(abs(b - a) for a, b in pairwise(logarithms))
    noise = max(quantile(steps, 0.75) / _QUARTILE, _LEAST_NOISE)
    signal = np.array(logarithms).reshape(-1, 1) / noise
    search = Pelt(model="l1", min_size=SHORTEST, jump=1).fit(signal)
    ends = search.predict(pen=_PENALTY * math.log(len(values)))
    return [int(end) for end in ends[:-1]]
