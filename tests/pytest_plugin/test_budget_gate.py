"""Budgets in the process that measures: which are judged, and what a failed test says."""

from __future__ import annotations

import pytest

from archbench.core.records import Record
from archbench.core.spec import Target
from archbench.core.verdicts import Verdict
from archbench.pytest_plugin.budgets import (
    budget_verdicts,
    over_budget,
    unjudged_lines,
)
from archbench.pytest_plugin.configuration import configuration_of

BUDGETS = """
[[budget]]
limit = "params <= 5 M"

[[budget]]
limit = "latency_p50 <= 10 ms"
batch_size = 1

[[budget]]
limit = "latency_p95 <= 10 ms"
architecture = "local/*"

[[budget]]
limit = "param_bytes <= 10 MB"
"""


def counted(id: str = "timm/a") -> Record:
    return Record(
        id,
        None,
        {
            "params": {"value": 4_100_000, "unit": "1"},
            "param_bytes": {"by_dtype": {"fp32": 16_400_000, "fp16": 8_200_000}, "unit": "B"},
        },
    )


def timed(*samples: float, id: str = "timm/a", batch_size: int = 1) -> Record:
    target = Target("cpu", "AMD EPYC", "cpu-amd-epyc", batch_size=batch_size)
    return Record(id, target, {"latency": {"samples": list(samples), "unit": "s"}})


def configured(pytester: pytest.Pytester, text: str, *arguments: str) -> pytest.Config:
    (pytester.path / "archbench.toml").write_text(text, encoding="utf-8")
    return pytester.parseconfig(f"--rootdir={pytester.path}", *arguments)


def outcomes(verdicts: list[Verdict]) -> list[tuple[str, str]]:
    return [(verdict.metric, verdict.reason) for verdict in verdicts]


def test_each_figure_is_judged_where_it_is_measured(pytester: pytest.Pytester) -> None:
    config = configured(pytester, BUDGETS)
    assert outcomes(budget_verdicts(config, counted())) == [
        ("params", "within-budget"),
        ("param_bytes", "over-budget"),
    ]
    assert outcomes(budget_verdicts(config, timed(0.020))) == [("latency_p50", "over-budget")]
    assert outcomes(budget_verdicts(config, timed(0.020, batch_size=4))) == []
    assert outcomes(budget_verdicts(config, timed(0.001, id="local/a"))) == [
        ("latency_p50", "within-budget"),
        ("latency_p95", "too-few-samples"),
    ]


def test_bytes_are_judged_in_every_precision_of_the_run(pytester: pytest.Pytester) -> None:
    config = configured(pytester, BUDGETS, "--archbench-dtype=fp16,fp32")
    verdicts = [v for v in budget_verdicts(config, counted()) if v.metric == "param_bytes"]
    assert [(verdict.value, verdict.reason) for verdict in verdicts] == [
        (8_200_000, "within-budget"),
        (16_400_000, "over-budget"),
    ]


def test_a_failure_names_value_limit_and_place(pytester: pytest.Pytester) -> None:
    config = configured(pytester, BUDGETS)
    record = timed(0.020, id="local/a")
    assert over_budget(config, record) == (
        "regressed: local/a fp32-b1: latency_p50 is 20 ms, 100 % over its budget "
        "latency_p50 <= 10 ms (archbench.toml, budget 2)\n"
        "not-measured: local/a fp32-b1: latency_p95 <= 10 ms (archbench.toml, budget 3) cannot be "
        "judged: p95 needs 130 samples, the time budget allowed 1\n"
        "Give the cell more time, as --archbench-time-budget=30, or limit latency_p50, which is "
        "always known."
    )
    kept = timed(0.010)
    assert over_budget(config, kept) is None
    assert "regressed: timm/a: param_bytes in fp32 is 16.4 MB" in str(
        over_budget(config, counted())
    )


def test_budgets_that_no_test_touched_are_reported(pytester: pytest.Pytester) -> None:
    config = configured(pytester, BUDGETS)
    assert unjudged_lines(config, [timed(0.1), timed(0.1, id="timm/b")]) == [
        "Budget not judged in 2 of 2 cells: params <= 5 M (archbench.toml, budget 1); no test of "
        "this run counted its figure.",
        "Budget not judged in 2 of 2 cells: param_bytes <= 10 MB (archbench.toml, budget 4); no "
        "test of this run counted its figure.",
    ]
    assert unjudged_lines(config, [counted()]) == [
        "Budget not judged in 1 of 1 cells: latency_p50 <= 10 ms (archbench.toml, budget 2); no "
        "test of this run measured its figure."
    ]


def test_the_rules_are_read_once(pytester: pytest.Pytester) -> None:
    config = configured(pytester, "preset = 'strict'")
    assert configuration_of(config).rules.preset == "strict"
    (pytester.path / "archbench.toml").write_text("preset = 'lenient'", encoding="utf-8")
    assert configuration_of(config).rules.preset == "strict"


def test_rules_that_make_no_sense_are_a_usage_error(pytester: pytest.Pytester) -> None:
    config = configured(pytester, "[[tolerance]]\nmetric = 'macs'\nrelative = '1 %'")
    with pytest.raises(pytest.UsageError) as refused:
        configuration_of(config)
    assert str(refused.value) == (
        f"{pytester.path / 'archbench.toml'}, tolerance 1: metric = 'macs': a count has no noise "
        "and is compared by equality, so it takes no tolerance. Accept a change that is meant with "
        "--archbench-baseline-update, or give the count a budget"
    )
