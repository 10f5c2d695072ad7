"""What is said about memory and energy below the table."""

from __future__ import annotations

from typing import Any

from archbench.core.entries import MetricEntry
from archbench.core.forms import value_of
from archbench.core.records import Record
from archbench.core.spec import Target
from archbench.core.verdicts import Verdict
from archbench.report.summary_lines import memory_and_energy_lines

TARGET = Target("cpu", "X", "cpu")


def cell(metric: str, status: str, **entry: Any) -> Record:
    verdict = Verdict(metric, status, "r", "s")
    return Record("timm/a", TARGET, {metric: value_of(MetricEntry, entry)}, verdicts=[verdict])


def test_nothing_about_what_was_not_asked_for() -> None:
    over = Verdict("peak_memory", "regressed", "over-budget", "s", budget="peak_memory <= 1 GB")
    record = Record("timm/a", TARGET, {"peak_memory": {"value": 5}}, verdicts=[over])
    assert memory_and_energy_lines([record], accepting=False) == []


def test_states_and_what_to_type() -> None:
    cells = [
        cell("peak_memory", "unchanged", value=5),
        cell("peak_memory", "improved", value=4),
        cell("peak_memory", "regressed", value=6),
        cell("energy_per_image", "unchanged", value=1.5),
    ]
    said = "Peak memory: 1 unchanged, 1 improved, 1 regressed."
    assert memory_and_energy_lines(cells, accepting=False) == [
        said,
        "  Accept what improved: the same command with --baseline-update",
        "Energy: 1 unchanged.",
    ]
    assert memory_and_energy_lines(cells, accepting=True) == [said, "Energy: 1 unchanged."]


def test_why_there_is_no_figure() -> None:
    def without(reason: str) -> Record:
        return Record("timm/a", TARGET, {"energy_per_image": {"absent": reason, "unit": "J"}})

    cells = [without("no counter"), without("too coarse"), without("no counter")]
    assert memory_and_energy_lines(cells, accepting=False) == [
        "Energy: 2 not measured: no counter.",
        "Energy: 1 not measured: too coarse.",
    ]


def test_what_an_engine_has_instead_is_enough() -> None:
    absent: Any = {"peak_memory": {"absent": "none of torch's"}}
    measured = Record("timm/a", TARGET, {**absent, "process_memory": {"value": 5}})
    failed = Record("timm/b", TARGET, {**absent, "process_memory": {"absent": "it died"}})
    assert memory_and_energy_lines([measured], accepting=False) == []
    assert memory_and_energy_lines([measured, failed], accepting=False) == [
        "Peak memory: 1 not measured: none of torch's.",
        "Process memory: 1 not measured: it died.",
    ]
