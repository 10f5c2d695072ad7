"""A project's tolerances and budgets in a run: read once, judged where the figure is measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from archbench.core.budgets import Budget, judge_budget, unjudged
from archbench.core.errors import some
from archbench.core.records import Record
from archbench.core.verdicts import Verdict
from archbench.gates.gate import verdict_lines
from archbench.pytest_plugin.configuration import configuration_of
from archbench.pytest_plugin.gate import judged
from archbench.pytest_plugin.selection import selected_models
from archbench.pytest_plugin.settings import settings_of


def budget_verdicts(config: pytest.Config, record: Record) -> list[Verdict]:
    """Judge what a test has just measured, in the process that measured it.

    A budget is judged with the record that has its figure.

    Args:
        record: of one measurement, not joined with others.

    Returns:
        One verdict for each budget that selects the record.

    Raises:
        pytest.UsageError: the configuration makes no sense.
    """
    return [
        judge_budget(budget, record, dtype)
        for budget in configuration_of(config).budgets
        if budget.limited.metric in record.metrics
        for dtype in _precisions(config, budget, record)
        if budget.selects(record, dtype)
    ]


def _precisions(config: pytest.Config, budget: Budget, record: Record) -> Sequence[str | None]:
    """A count is taken once for all precisions of a run, and parameters have a size in each."""
    if budget.limit.name == "param_bytes" and record.target is None:
        return settings_of(config).values("dtype")
    return [None]


def over_budget(config: pytest.Config, record: Record) -> str | None:
    """Judge a record by the project's budgets, see :func:`budget_verdicts`, and note the verdicts.

    Returns:
        The text of the failure where a budget is exceeded or cannot be judged.
    """

    def explain(bad: list[Verdict]) -> Iterator[str]:
        yield from verdict_lines(f"{record.id} {record.suffix}".strip(), bad)
        if any(verdict.reason == "too-few-samples" for verdict in bad):
            yield (
                "Give the cell more time, as --time-budget=30, or limit latency_p50, which is "
                "always known."
            )

    return judged(config, record, budget_verdicts(config, record), explain)


def unjudged_lines(config: pytest.Config, cells: Sequence[Record]) -> list[str]:
    """What is said below the table about budgets that the run's tests did not touch."""
    return [
        f"Budget not judged in {number:,} of {len(cells):,} cells: {budget}; no test of this run "
        f"{'counted' if budget.limited.counted else 'measured'} its figure."
        for budget, number in unjudged(configuration_of(config).budgets, cells)
    ]


def unmatched_lines(config: pytest.Config, cells: Sequence[Record]) -> list[str]:
    """What is said of rules whose glob no architecture matches, as one that is misspelled."""
    found = configuration_of(config)
    selectors = [
        *(one.selector for one in found.budgets),
        *(one.selector for one in found.rules.overrides),
        *(one.selector for one in found.rules.paired),
    ]
    ids = [model.id for model in selected_models(config)] + [cell.id for cell in cells]
    unmatched = dict.fromkeys(
        one.architecture for one in selectors if not any(one.matches(id) for id in ids)
    )
    if not unmatched:
        return []
    return [f"No architecture of this run is meant by the rules for {some([*unmatched])}."]
