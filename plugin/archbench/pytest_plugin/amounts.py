"""Memory and energy in a run: what was measured of them against what was accepted."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from archbench.core.amounts import amount_verdict
from archbench.core.records import Record
from archbench.core.verdicts import Verdict
from archbench.metrics import METRICS
from archbench.pytest_plugin.budgets import configuration_of
from archbench.pytest_plugin.gate import (
    accepted_of,
    amounts_of,
    gate_of,
    how_to_accept,
    not_comparable,
)
from archbench.pytest_plugin.options import spelled
from archbench.pytest_plugin.settings import settings_of

__all__ = ["judge_amounts"]


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
    config, gate = node.config, gate_of(node.config)
    if record.target is None or settings_of(config).quick:
        return None
    accepted = accepted_of(config, "latency", record)
    line = accepted.line
    if line is None:
        return None
    bad = gate.noted(
        record,
        [
            _verdict(config, record, name, line["amounts"][name], value, line["environment"])
            for name, value in amounts_of(record).items()
            if name in line["amounts"]
        ],
    )
    if not bad:
        return None
    cell = f"{record.id} {record.suffix} on {record.target.slug}"
    told = [f"{one.status}: {cell}: {METRICS[one.metric].spoken} {one.sentence}" for one in bad]
    todo = [how_to_accept(node, record.id)]
    return spelled(config, gate.explanation(told, accepted, todo=todo))


def _verdict(
    config: pytest.Config,
    record: Record,
    name: str,
    accepted: float,
    value: float,
    then: Mapping[str, object],
) -> Verdict:
    assert record.target is not None
    other = not_comparable(then, record.metrics["latency"]["environment"], name)
    if other is not None:
        return other
    target = record.target
    tolerance = configuration_of(config).rules.tolerance(name, record.id, target.slug, target.dtype)
    accept = gate_of(config).replaces
    return amount_verdict(name, accepted, value, tolerance, accept=accept)
