"""Memory and energy against what was accepted."""

from __future__ import annotations

import pytest

from archbench.core.memory_and_energy import tolerance_verdict
from archbench.metrics import METRICS, Tolerance

DEFAULT = METRICS["peak_memory"].presets["default"]  # 1 % and 1 MiB
MIB = 2**20


@pytest.mark.parametrize(
    ("baseline", "value", "tolerance", "status", "reason"),
    [
        (None, 5.0, DEFAULT, "no-baseline", "not-in-file"),
        (500 * MIB, 500 * MIB, DEFAULT, "unchanged", "equal"),
        # 1 % of 500 MiB is 5 MiB, more than 1 MiB.
        (500 * MIB, 505 * MIB, DEFAULT, "unchanged", "within-tolerance"),
        (500 * MIB, 505 * MIB + 1, DEFAULT, "regressed", "more"),
        (500 * MIB, 495 * MIB - 1, DEFAULT, "improved", "less"),
        # 1 % of 10 MiB is less than 1 MiB, which counts.
        (10 * MIB, 11 * MIB, DEFAULT, "unchanged", "within-tolerance"),
        (10 * MIB, 11 * MIB + 1, DEFAULT, "regressed", "more"),
        (10 * MIB, 10 * MIB + 1, METRICS["peak_memory"].presets["strict"], "regressed", "more"),
        (0.0, 0.0, Tolerance(0.05), "unchanged", "equal"),
        (0.0, 1.0, Tolerance(0.05), "regressed", "more"),
    ],
)
def test_memory_and_energy(
    baseline: float | None, value: float, tolerance: Tolerance, status: str, reason: str
) -> None:
    verdict = tolerance_verdict("peak_memory", baseline, value, tolerance)
    assert (verdict.metric, verdict.status, verdict.reason) == ("peak_memory", status, reason)


def test_sentence_and_acceptance() -> None:
    verdict = tolerance_verdict("energy_per_image", 0.050, 0.060, Tolerance(0.05), accept=True)
    assert (verdict.status, verdict.reason) == ("regressed", "accepted")
    assert verdict.sentence == "50 mJ -> 60 mJ (+20.0%); the tolerance is 2.5 mJ"
    assert (verdict.baseline, verdict.value) == (0.050, 0.060)


@pytest.mark.parametrize(
    ("metric", "baseline", "value"),
    [
        ("latency", 1.0, 1.0),
        ("peak_memory", 1.0, float("nan")),
        ("peak_memory", float("inf"), 1.0),
        ("peak_memory", 1.0, -1.0),
    ],
)
def test_what_is_no_amount(metric: str, baseline: float, value: float) -> None:
    with pytest.raises(ValueError, match=metric):
        tolerance_verdict(metric, baseline, value, DEFAULT)
