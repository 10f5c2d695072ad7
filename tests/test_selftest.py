"""The gate's own trial: what is injected, and what is made of the verdicts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from archbench import ModelSpec, selftest
from archbench.core.errors import ArchbenchError
from archbench.measure.complexity import count
from archbench.selftest import Outcome


def test_unchanged_networks_that_change_either_way_are_false_alarms() -> None:
    statuses = Counter(unchanged=296, regressed=1, improved=1, inconclusive=2)
    outcome = Outcome(0.0, statuses)
    assert (outcome.verdicts, outcome.alarms) == (300, 2)
    # Clopper and Pearson for 2 of 300: 0.08 % to 2.39 %.
    assert outcome.text().startswith("unchanged, false alarms: 2 of 300 (0.1% to 2.4% at 95 %)")


def test_slower_networks_are_found_by_a_regression_only() -> None:
    outcome = Outcome(0.2, Counter(regressed=57, inconclusive=2, improved=1))
    assert (outcome.verdicts, outcome.alarms) == (60, 57)
    assert "+20% layers, found: 57 of 60" in outcome.text()
    assert "1 improved, 2 inconclusive, 57 regressed" in outcome.text()


@pytest.mark.parametrize(("extra", "layers"), [("0", 20), ("0.2", 24), ("0.5", 30)])
def test_the_cost_that_is_injected(
    extra: str, layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHBENCH_SELFTEST_EXTRA", extra)
    names: dict[str, Any] = {}
    exec(selftest._NETS, names)
    stack = ModelSpec.of(lambda: names["stack"](16), name="stack", input_size=32)
    equal = 32 * 32 * 16 * 16 * 9
    assert count(stack).macs == 32 * 32 * 16 * 27 + layers * equal + 16 * 10


def test_a_run_that_fails_says_what_it_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selftest, "_TEST", "def test_latency(: pass")
    with pytest.raises(ArchbenchError, match=r"ended with status 2; it printed:\n[\s\S]*SyntaxErr"):
        selftest.stored_selftest(
            cells=1, rounds=0, injected_rounds=0, extras=(), say=print, directory=tmp_path
        )
