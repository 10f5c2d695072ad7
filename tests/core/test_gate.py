"""Counts against their baseline, as a table."""

from __future__ import annotations

from typing import Any

import pytest

from archbench.core.gate import COUNTS, count_verdicts
from archbench.core.lines import CountLine
from tests.core.lines import count_line

FIELDS: dict[str, Any] = {
    "params": 200,
    "trainable_params": 150,
    "macs": 1_000_000,
    "operator_calls": 9,
    "layers": [["Conv2d", 150, 900_000, 1], ["Linear", 25, 50_000, 2]],
}
BASELINE = count_line(**FIELDS)


def changed(**fields: Any) -> CountLine:
    return count_line(**{**FIELDS, **fields})


def test_equal_counts_are_unchanged() -> None:
    (verdict,) = count_verdicts(BASELINE, changed())
    assert (verdict.metric, verdict.status, verdict.reason) == ("complexity", "unchanged", "equal")
    assert all(name in verdict.sentence for name in COUNTS)


@pytest.mark.parametrize("metric", COUNTS)
def test_each_count_is_compared(metric: str) -> None:
    value = getattr(BASELINE, metric)
    now = value + 1 if isinstance(value, int) else [1, 3, 9, 9]
    (verdict,) = count_verdicts(BASELINE, changed(**{metric: now}))
    assert (verdict.metric, verdict.status, verdict.reason) == (metric, "changed", "differs")
    assert (verdict.baseline, verdict.value) == (value, now)


@pytest.mark.parametrize(
    ("metric", "value", "sentence"),
    [
        ("params", 204, "params 200 -> 204 (+4, +2 %)"),
        ("macs", 999_999, "MACs 1,000,000 -> 999,999 (-1, -0.0001 %)"),
        ("buffers", 3, "buffers 0 -> 3 (+3)"),
        ("output_shape", [1, 9], "output shape 1x10 -> 1x9"),
    ],
)
def test_sentence(metric: str, value: Any, sentence: str) -> None:
    (verdict,) = count_verdicts(BASELINE, changed(**{metric: value}))
    assert verdict.sentence == sentence


def test_every_change_is_reported() -> None:
    verdicts = count_verdicts(BASELINE, changed(params=1, macs=2, buffers=3))
    assert [verdict.metric for verdict in verdicts] == ["params", "macs", "buffers"]


def test_without_a_baseline() -> None:
    (verdict,) = count_verdicts(None, BASELINE)
    assert (verdict.status, verdict.reason) == ("no-baseline", "not-in-file")


def test_a_change_that_is_being_accepted_is_still_a_change() -> None:
    (verdict,) = count_verdicts(BASELINE, changed(params=1), accept=True)
    assert (verdict.status, verdict.reason) == ("changed", "accepted")


def test_operator_calls_of_another_torch_are_not_compared() -> None:
    other = {"operator_calls": 12, "torch": "2.11.0"}
    (verdict,) = count_verdicts(BASELINE, changed(**other))
    assert verdict.status == "unchanged"
    assert "the baseline is of torch 2.15.0 and this is 2.11.0" in verdict.sentence
    verdicts = count_verdicts(BASELINE, changed(**other, params=201))
    assert [verdict.metric for verdict in verdicts] == ["params"]


def test_other_layers_under_the_same_sums_are_a_change() -> None:
    # A bias moved from one layer to another.
    layers = [["Conv2d", 149, 900_000, 1], ["Linear", 25, 50_000, 1], ["Linear", 26, 50_000, 1]]
    (verdict,) = count_verdicts(BASELINE, changed(layers=layers))
    assert (verdict.metric, verdict.status) == ("layers", "changed")


def test_what_a_library_calls_a_layer_is_no_count() -> None:
    layers = [["Linear2", 25, 50_000, 2], ["Conv2dSame", 150, 900_000, 1]]
    (verdict,) = count_verdicts(BASELINE, changed(layers=layers))
    assert verdict.status == "unchanged"
