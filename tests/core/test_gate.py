"""Counts against their baseline, as a table."""

from __future__ import annotations

from typing import Any

import pytest

from archbench.core.gate import COUNTS, count_verdicts

BASELINE: dict[str, Any] = {
    "input_shape": [1, 3, 8, 8],
    "output_shape": [1, 10],
    "params": 200,
    "trainable_params": 150,
    "buffers": 0,
    "macs": 1_000_000,
    "activations": 70,
    "max_channels": 4,
    "operator_calls": 9,
    "torch": "2.15.0",
    "layers": [["Conv2d", 150, 900_000, 1], ["Linear", 25, 50_000, 2]],
}


def test_equal_counts_are_unchanged() -> None:
    (verdict,) = count_verdicts(BASELINE, dict(BASELINE))
    assert (verdict.metric, verdict.status, verdict.reason) == ("complexity", "unchanged", "equal")
    assert all(name in verdict.sentence for name in COUNTS)


@pytest.mark.parametrize("metric", COUNTS)
def test_each_count_is_compared(metric: str) -> None:
    value = BASELINE[metric]
    now = {**BASELINE, metric: value + 1 if isinstance(value, int) else [1, 3, 9, 9]}
    (verdict,) = count_verdicts(BASELINE, now)
    assert (verdict.metric, verdict.status, verdict.reason) == (metric, "changed", "differs")
    assert (verdict.baseline, verdict.value) == (value, now[metric])


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
    (verdict,) = count_verdicts(BASELINE, {**BASELINE, metric: value})
    assert verdict.sentence == sentence


def test_every_change_is_told() -> None:
    verdicts = count_verdicts(BASELINE, {**BASELINE, "params": 1, "macs": 2, "buffers": 3})
    assert [verdict.metric for verdict in verdicts] == ["params", "macs", "buffers"]


def test_without_a_baseline() -> None:
    (verdict,) = count_verdicts(None, BASELINE)
    assert (verdict.status, verdict.reason) == ("no-baseline", "not-in-file")


def test_a_change_that_is_being_accepted_is_still_a_change() -> None:
    (verdict,) = count_verdicts(BASELINE, {**BASELINE, "params": 1}, accept=True)
    assert (verdict.status, verdict.reason) == ("changed", "accepted")


def test_operator_calls_of_another_torch_are_not_compared() -> None:
    now = {**BASELINE, "operator_calls": 12, "torch": "2.11.0"}
    (verdict,) = count_verdicts(BASELINE, now)
    assert verdict.status == "unchanged"
    assert "the baseline is of torch 2.15.0 and this is 2.11.0" in verdict.sentence
    changed = count_verdicts(BASELINE, {**now, "params": 201})
    assert [verdict.metric for verdict in changed] == ["params"]


def test_other_layers_under_the_same_sums_are_a_change() -> None:
    # A bias moved from one layer to another.
    layers = [["Conv2d", 149, 900_000, 1], ["Linear", 25, 50_000, 1], ["Linear", 26, 50_000, 1]]
    (verdict,) = count_verdicts(BASELINE, {**BASELINE, "layers": layers})
    assert (verdict.metric, verdict.status) == ("layers", "changed")


def test_what_a_library_calls_a_layer_is_no_count() -> None:
    layers = [["Linear2", 25, 50_000, 2], ["Conv2dSame", 150, 900_000, 1]]
    (verdict,) = count_verdicts(BASELINE, {**BASELINE, "layers": layers})
    assert verdict.status == "unchanged"
