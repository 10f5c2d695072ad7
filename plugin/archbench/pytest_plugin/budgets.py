"""A project's tolerances and budgets in a run: read once, judged where the figure is measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from archbench.core.budgets import Budget, judge, unjudged
from archbench.core.errors import UsageError
from archbench.core.records import Record
from archbench.core.verdicts import FAILING, Verdict
from archbench.pytest_plugin.options import spelled
from archbench.pytest_plugin.settings import settings_of
from archbench.store.configuration import Configuration, read_configuration

__all__ = ["budget_failure", "configuration_of", "judge_budgets", "unjudged_lines"]

_CONFIGURATION: pytest.StashKey[Configuration] = pytest.StashKey()


def configuration_of(config: pytest.Config) -> Configuration:
    """The project's tolerances and budgets, read once in each process.

    Raises:
        pytest.UsageError: a file that cannot be read or makes no sense.
    """
    if _CONFIGURATION not in config.stash:
        try:
            config.stash[_CONFIGURATION] = read_configuration(config.rootpath)
        except UsageError as error:
            raise pytest.UsageError(spelled(config, str(error))) from None
    return config.stash[_CONFIGURATION]


def judge_budgets(config: pytest.Config, record: Record) -> list[Verdict]:
    """Judge what a test has just measured, in the process that measured it.

    A budget is judged with the record that has its figure.

    Args:
        config: of the run.
        record: of one measurement, not joined with others.

    Returns:
        One verdict for each budget that selects the record.

    Raises:
        pytest.UsageError: the configuration makes no sense.
    """
    return [
        judge(budget, record, dtype)
        for budget in configuration_of(config).budgets
        if budget.figure.metric in record.metrics
        for dtype in _precisions(config, budget, record)
        if budget.selects(record, dtype)
    ]


def _precisions(config: pytest.Config, budget: Budget, record: Record) -> Sequence[str | None]:
    """A count is taken once for all precisions of a run, and parameters have a size in each."""
    if budget.limit.figure == "param_bytes" and record.target is None:
        return settings_of(config).values("dtype")
    return [None]


def budget_failure(
    config: pytest.Config, record: Record, verdicts: Iterable[Verdict]
) -> str | None:
    """The text of a failed test; None where all budgets are kept.

    Args:
        config: of the run.
        record: what was judged.
        verdicts: from :func:`judge_budgets`.
    """
    failed = [verdict for verdict in verdicts if verdict.status in FAILING]
    if not failed:
        return None
    cell = f"{record.id} {record.suffix}".strip()
    lines = [f"{verdict.status}: {cell}: {verdict.sentence}" for verdict in failed]
    if any(verdict.reason == "too-few-samples" for verdict in failed):
        lines.append(
            "Give the cell more time, as --time-budget=30, or limit latency_p50, which is always "
            "known."
        )
    return spelled(config, "\n".join(lines))


def unjudged_lines(config: pytest.Config, cells: Sequence[Record]) -> list[str]:
    """What is said below the table about budgets that the run's tests did not touch.

    Args:
        config: of the run.
        cells: merged records.
    """
    return [
        f"Budget not judged in {number:,} of {len(cells):,} cells: {budget}; no test of this run "
        f"{'counted' if budget.figure.counted else 'measured'} its figure."
        for budget, number in unjudged(configuration_of(config).budgets, cells)
    ]
