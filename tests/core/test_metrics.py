"""Numbers as text."""

from __future__ import annotations

import pytest

from archbench.metrics import METRICS, format_seconds, format_significant


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("params", 11_689_512, "11.69"),
        ("params", 138_357_544, "138.4"),
        ("params", 1_235_496, "1.235"),
        ("macs", 404_000_000, "0.404"),
        ("macs", 41_500_000, "0.0415"),
        ("latency", 0.0123456, "12.35"),
        ("latency", 1.5, "1500"),
        ("throughput", 123456.0, "123500"),
        ("params", 0, "0"),
    ],
)
def test_metric_text(metric: str, value: float, text: str) -> None:
    assert METRICS[metric].text(value) == text


def test_small_numbers_keep_their_digits() -> None:
    assert format_significant(0.0000123, 3) == "0.0000123"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "250 ms"), (59.2, "59 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_a_value_and_a_change_in_a_sentence() -> None:
    assert METRICS["latency"].said(0.0261) == "26.1 ms"
    assert METRICS["peak_memory"].changed(2e6, 3e6) == "2 MB -> 3 MB (+50.0%)"
    assert METRICS["peak_memory"].changed(0.0, 3e6) == "0 MB -> 3 MB"
