"""Memory and energy in a run: what was measured of them against what was accepted."""

from __future__ import annotations

from typing import Any

import pytest

from archbench.core.amounts import amount_verdict
from archbench.core.records import Record
from archbench.core.verdicts import Verdict
from archbench.metrics import METRICS, compared_by
from archbench.pytest_plugin.budgets import configuration_of
from archbench.pytest_plugin.gate import accepted_line, fails, how_to_accept, not_comparable
from archbench.pytest_plugin.options import spelled
from archbench.pytest_plugin.settings import settings_of

__all__ = ["amounts_of", "judge_amounts"]


def amounts_of(record: Record) -> dict[str, float]:
    """What a line of baselines holds of a record's memory and energy: bytes and joules by
    metric."""
    return {
        name: record.metrics[name]["value"]
        for name in compared_by("tolerance")
        if record.metrics.get(name, {}).get("value") is not None
    }


def judge_amounts(node: pytest.Item, record: Record) -> str | None:
    """Compare memory and energy with the accepted ones, and note the verdicts in the cell's record.

    An amount that the baseline lacks is no news: it was accepted before it was measured, or on a
    device without a counter.

    Args:
        node: the test.
        record: of the cell, with its latency.

    Returns:
        The text of the failure where the test is to fail.
    """
    config = node.config
    settings = settings_of(config)
    if record.target is None or settings.quick:
        return None
    line, where = accepted_line(config, record)
    accepted: dict[str, Any] = (line or {}).get("amounts") or {}
    verdicts = [
        _verdict(config, record, name, accepted[name], value, line)
        for name, value in amounts_of(record).items()
        if name in accepted
    ]
    record.verdicts += verdicts
    bad = [verdict for verdict in verdicts if fails(settings, verdict)]
    if not bad or settings.baseline_update == "all":
        return None
    lines = [
        f"{verdict.status}: {record.id} {record.suffix} on {record.target.slug}: "
        f"{METRICS[verdict.metric].spoken} {verdict.sentence}"
        for verdict in bad
    ]
    return spelled(
        config, "\n".join([*lines, f"Baseline: {where}.", how_to_accept(node, record.id)])
    )


def _verdict(
    config: pytest.Config,
    record: Record,
    name: str,
    accepted: float,
    value: float,
    line: dict[str, Any] | None,
) -> Verdict:
    assert record.target is not None
    assert line is not None
    other = not_comparable(line["environment"], record.metrics["latency"]["environment"], name)
    if other is not None:
        return other
    target = record.target
    tolerance = configuration_of(config).rules.tolerance(name, record.id, target.slug, target.dtype)
    accept = settings_of(config).baseline_update == "all"
    return amount_verdict(name, accepted, value, tolerance, accept=accept)
