"""Two sets of cells side by side: what changed, and by how much."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archbench.core.pareto import figure_range
from archbench.core.rows import Row
from archbench.core.run_config import axis, further_axes
from archbench.metrics import METRICS

_TARGETS = (
    ("device", "dtype", "batch_size", "threads"),
    ("dtype", "batch_size", "threads"),
    ("device", "batch_size", "threads"),
    ("batch_size", "threads"),
    ("batch_size",),
)
"""What two cells of one architecture have to share, from all down to the batch size. How they are
run they share as well, see :func:`compare`."""


def _run_alike() -> tuple[str, ...]:
    """In what the cells of a pair are run alike."""
    return (*(one.name for one in further_axes()), "largest_batch")


@dataclass(frozen=True, slots=True)
class ComparedRows:
    """One architecture on both sides.

    Attributes:
        left, right: the two cells, both with the metric that is compared.
        relative: right over left minus 1; None where left is 0.
        within_error: whether the two intervals touch, so that the change may be none.
        is_better: whether right is better than left.
    """

    left: Row
    right: Row
    relative: float | None
    within_error: bool
    is_better: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that two sides have in common in one metric.

    Attributes:
        metric: that is compared.
        shared: what the cells of a pair have in common besides the architecture: ``device``...
        apart: in what the two sides are run differently, by the field of
            :class:`archbench.core.rows.Row`: the value of each side. The cells of a pair share
            the rest of it.
        changes: by change, what grew most first.
        only_left, only_right: cells with the metric that the other side lacks.
        mean: geometric mean of right over left; None where a value is 0 or nothing is shared.
    """

    metric: str
    shared: tuple[str, ...]
    apart: Mapping[str, tuple[str | bool, str | bool]]
    changes: tuple[ComparedRows, ...]
    only_left: tuple[Row, ...]
    only_right: tuple[Row, ...]
    mean: float | None


def compare(left: Iterable[Row], right: Iterable[Row], metric: str) -> Comparison:
    """Pair the cells of two sides and sort the pairs by change.

    Cells pair that are of the same architecture, device, precision, batch size and threads. Where
    no two are, the device need not be the same; or else the precision; then neither; then nor the
    threads: two devices or two precisions are compared by giving one as either side. A pair is run
    alike as well, in memory format, runtime, caches and whether its batch is the largest; where all
    cells of one side are alike in one of these, and all of the other in another way, that is what
    is compared. What a publication does not say is taken as usual. Accuracies and counts pair
    whatever the batch size and however they were run. Of several cells of one side that are alike
    the last counts.

    Args:
        left: the reference.
        right: what is compared with it.
        metric: of :data:`archbench.metrics.METRICS`.
    """
    lefts = [row for row in left if metric in row.values]
    rights = [row for row in right if metric in row.values]
    is_timed = METRICS[metric].of == "run"
    apart = _apart(lefts, rights) if is_timed else {}
    alike = [name for name in _run_alike() if name not in apart] if is_timed else []
    # The size of the largest batch is what is compared there.
    levels = [
        tuple(name for name in level if (name, metric) != ("batch_size", "max_batch_size"))
        for level in (_TARGETS if is_timed else (*_TARGETS, ()))
    ]
    for shared in levels:
        one, other = (_keyed(side, (*shared, *alike)) for side in (lefts, rights))
        if one.keys() & other.keys():
            break
    changes = [
        _change(one[key], other[key], metric) for key in one if key in other
    ]  # fmt: skip
    changes.sort(key=lambda change: (-_size(change.relative), change.left.name))
    return Comparison(
        metric,
        shared,
        apart,
        tuple(changes),
        tuple(row for key, row in one.items() if key not in other),
        tuple(row for key, row in other.items() if key not in one),
        _geometric_mean(changes, metric),
    )


def _keyed(rows: Sequence[Row], shared: Sequence[str]) -> dict[tuple[object, ...], Row]:
    return {(row.id, *(_value(row, name) for name in shared)): row for row in rows}


def _value(row: Row, name: str) -> Any:
    if name == "device":
        return row.device
    value = row[name]
    # What a publication does not say is taken as usual.
    is_further = any(one.name == name for one in further_axes())
    return axis(name).usual if value is None and is_further else value


def _apart(left: Sequence[Row], right: Sequence[Row]) -> dict[str, tuple[str | bool, str | bool]]:
    """Of how two sides are run what is one and the same within each of them and not between."""
    found = {}
    for name in _run_alike():
        one, other = ({_value(row, name) for row in side} for side in (left, right))
        if len(one) == len(other) == 1 and one != other:
            found[name] = (one.pop(), other.pop())
    return found


def _size(relative: float | None) -> float:
    return math.inf if relative is None else relative


def _change(left: Row, right: Row, metric: str) -> ComparedRows:
    before, after = left.values[metric], right.values[metric]
    low, _, high = figure_range(metric, before)
    new_low, _, new_high = figure_range(metric, after)
    return ComparedRows(
        left,
        right,
        after.value / before.value - 1 if before.value else None,
        before.value != after.value and new_low <= high and low <= new_high,
        (after.value < before.value) == (METRICS[metric].better == "lower")
        and after.value != before.value,
    )


def _geometric_mean(changes: Sequence[ComparedRows], metric: str) -> float | None:
    pairs = [(c.left.values[metric].value, c.right.values[metric].value) for c in changes]
    if not pairs or any(value <= 0 for pair in pairs for value in pair):
        return None
    return math.exp(math.fsum(math.log(after / before) for before, after in pairs) / len(pairs))
