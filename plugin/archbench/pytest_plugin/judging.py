"""What a test measured against what was accepted of it: times, memory and energy, counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from archbench.core.complexity import Complexity
from archbench.core.gate import (
    TimeRule,
    count_verdicts,
    difference_text,
    scales_of,
    time_sentence,
    time_verdict,
)
from archbench.core.memory_and_energy import tolerance_verdict
from archbench.core.process_runs import LOST, ProcessRun
from archbench.core.records import Record
from archbench.core.verdicts import Verdict
from archbench.gates.gate import changes, verdict_lines
from archbench.metrics import METRICS
from archbench.pytest_plugin.configuration import configuration_of
from archbench.pytest_plugin.gate import (
    accepted_of,
    count_line,
    gate_of,
    judged,
    memory_and_energy_of,
)
from archbench.pytest_plugin.settings import settings_of
from archbench.report.counts import changed_text


def time_rules(
    config: pytest.Config,
    record: Record,
    baseline: Sequence[ProcessRun],
    then: Mapping[str, Any],
    now: Mapping[str, Any],
) -> dict[str, TimeRule]:
    """How the project compares the times of a cell, by metric: its latency, and the device's time.

    Args:
        baseline: process runs that were accepted.
        then: environment of the baseline.
        now: environment of this run.
    """
    assert record.target is not None
    rules = configuration_of(config).rules
    slug, dtype = record.target.slug, record.target.dtype
    return {
        metric: rules.time_rule(record.id, slug, dtype, scale)
        for metric, scale in scales_of(baseline, then, now).items()
    }


_HARDWARE = ("device_name", "processor", "machine", "logical_cores", "clock", "batch_size")
"""Fields of an environment that make two runs not comparable where they differ."""


def not_comparable(then: Mapping[str, Any], now: Mapping[str, Any], metric: str) -> Verdict | None:
    """The verdict where a baseline is of other hardware; None where it can be compared with.

    Args:
        then: environment of the baseline.
        now: of this run.
    """
    differing = [name for name in _HARDWARE if then.get(name) != now.get(name)]
    if not differing:
        return None
    name = differing[0]
    return Verdict(
        metric,
        "not-comparable",
        f"other-{name.replace('_', '-')}",
        f"the baseline is of {name} {then.get(name)!r}, this is {now.get(name)!r}",
    )


def judge_time(
    node: pytest.Item,
    record: Record,
    confirmations: Sequence[ProcessRun],
    counts: Callable[[], Mapping[str, int] | None],
) -> str | None:
    """Compare process runs with the accepted ones, and note the verdicts in the cell's record.

    There is one on the latency and, where the baseline has times by the device's own clock, one on
    the device's time.

    Args:
        confirmations: process runs after a suspicion.
        counts: of what was timed, for the text of a failure; None where it cannot be counted.

    Returns:
        The text of the failure where the test is to fail.
    """
    config, gate = node.config, gate_of(node.config)
    if record.target is None or settings_of(config).quick:
        return None
    accepted = accepted_of(config, "latency", record)
    line, latency = accepted.line, record.metrics["latency"]
    now = latency["environment"]
    then = line["environment"] if line is not None else now
    before = None if line is None else [ProcessRun.from_dict(one) for one in line["process_runs"]]
    process_runs = [ProcessRun.from_dict(one) for one in latency["process_runs"]]
    rules = time_rules(config, record, before or (), then, now)
    cell = f"{record.id} {record.suffix} on {record.target.slug}"

    def explain(bad: list[Verdict]) -> Iterator[str]:
        yield from verdict_lines(cell, bad, lambda one: time_sentence(one.metric, one.sentence))
        since = [] if line is None else _counts_changed(line["counts"], counts)
        # What has no reference workload says nothing about one.
        unknown = ["reference_workload"] if now.get("reference_workload") is None else []
        yield from accepted.lines([*since, *changes(then, now, without=unknown)])
        if any(verdict.status != "inconclusive" for verdict in bad):
            yield how_to_accept(node, record.id)
            return
        yield from (f"{note.text}." for note in record.notes if note.code == LOST)
        yield "Run it again while less else runs on this machine."

    verdicts = [
        not_comparable(then, now, metric)
        or time_verdict(
            before, process_runs, confirmations, rule, metric=metric, accept=gate.replaces
        )
        for metric, rule in rules.items()
    ]
    return judged(config, record, verdicts, explain)


def _counts_changed(
    then: Mapping[str, int] | None, counts: Callable[[], Mapping[str, int] | None]
) -> list[str]:
    """A slower network may have more to do: that is not for the machine to answer."""
    now = counts() if then is not None else None
    if then is None or now is None:
        return []
    return [difference_text(name, then[name], now[name]) for name in now if then[name] != now[name]]


def judge_memory_and_energy(node: pytest.Item, record: Record) -> str | None:
    """Compare memory and energy with the accepted ones, and note the verdicts in the cell's record.

    A value that the baseline lacks is no news: it was accepted before it was measured, or on a
    device without a counter.

    Args:
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
    cell, target = f"{record.id} {record.suffix} on {record.target.slug}", record.target
    then, now = line["environment"], record.metrics["latency"]["environment"]
    rules = configuration_of(config).rules

    def explain(bad: list[Verdict]) -> Iterator[str]:
        yield from verdict_lines(
            cell, bad, lambda one: f"{METRICS[one.metric].spoken} {one.sentence}"
        )
        yield from accepted.lines()
        yield how_to_accept(node, record.id)

    verdicts = [
        not_comparable(then, now, name)
        or tolerance_verdict(
            name,
            line["memory_and_energy"][name],
            value,
            rules.tolerance(name, record.id, target.slug, target.dtype),
            accept=gate.replaces,
        )
        for name, value in memory_and_energy_of(record).items()
        if name in line["memory_and_energy"]
    ]
    return judged(config, record, verdicts, explain)


def judge_counts(node: pytest.Item, record: Record, complexity: Complexity) -> str | None:
    """Compare a count with the accepted one, and note the verdicts in its record.

    Returns:
        The text of the failure where anything changed and is not being accepted.
    """
    config, gate = node.config, gate_of(node.config)
    accepted = accepted_of(config, "complexity", record)
    baseline, line = accepted.line, count_line(record)

    def explain(bad: list[Verdict]) -> Iterator[str]:
        if baseline is None:
            yield f"no-baseline: {record.id} has no line in {gate.path('complexity').name}"
        else:
            yield f"changed: {record.id} differs from {accepted.where}"
            yield changed_text(bad, baseline, complexity.layers)
            yield _versions(baseline, line)
        yield how_to_accept(node, record.id)

    return judged(config, record, count_verdicts(baseline, line, accept=gate.replaces), explain)


def _versions(baseline: Mapping[str, Any], line: Mapping[str, Any]) -> str:
    def text(side: Mapping[str, Any]) -> str:
        # Of a network of one's own this is the file, and older lines do not name it.
        library = "" if side["library"] == "local" else f"{side['library']}, "
        return f"{library}torch {side['torch']}"

    then, now = text(baseline), text(line)
    return f"Both with {now}." if then == now else f"Accepted with {then}; now {now}."


def how_to_accept(node: pytest.Item, model: str) -> str:
    """What to type where a change is meant."""
    path = node.nodeid.partition("::")[0]
    config = node.config
    # The id of a test is relative to the root, and names no file where that lies elsewhere.
    is_here = config.invocation_params.dir == config.rootpath and (config.rootpath / path).is_file()
    if model.startswith("local/") or not is_here:
        return "If this is meant, run the same command with --baseline-update."
    return f"If this is meant: pytest {path} --models={model} --baseline-update"
