"""What a test measured against what was accepted of it: times, memory and energy, counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest

from archbench.core.agreement import METRIC, output_verdict
from archbench.core.complexity import Complexity
from archbench.core.gate import (
    TimeRule,
    count_verdicts,
    difference_text,
    scales_of,
    time_sentence,
    time_verdict,
)
from archbench.core.lines import CountLine, Environment, TimedCounts, TimeLine
from archbench.core.memory_and_energy import tolerance_verdict
from archbench.core.process_runs import LOST, ProcessRun
from archbench.core.records import Record
from archbench.core.verdicts import Verdict
from archbench.gates.gate import Accepted, changes, verdict_lines
from archbench.metrics import METRICS
from archbench.pytest_plugin.advice import how_to_accept
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
    then: Environment,
    now: Environment,
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


def not_comparable(then: Environment, now: Environment, metric: str) -> Verdict | None:
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


def judge_timed(
    node: pytest.Item,
    record: Record,
    confirmations: Sequence[ProcessRun],
    counts: Callable[[], Mapping[str, int] | None],
) -> list[str | None]:
    """Compare a timed cell with what was accepted of it, and note the verdicts in its record: on
    its times, memory and energy.

    A metric that the baseline lacks is no news: it was accepted before that was measured, or on a
    device without a counter.

    Args:
        confirmations: process runs after a suspicion.
        counts: of what was timed, for the text of a failure; None where it cannot be counted.

    Returns:
        Texts of failures; None where there is none.
    """
    if record.target is None or settings_of(node.config).quick:
        return []
    accepted = accepted_of(node.config, TimeLine, record)
    return [
        _judge_times(node, record, accepted, confirmations, counts),
        _judge_memory_and_energy(node, record, accepted),
    ]


def _cell(record: Record) -> str:
    return f"{record.id} {record.suffix} on {record.target.slug if record.target else ''}"


def _judge_times(
    node: pytest.Item,
    record: Record,
    accepted: Accepted[TimeLine],
    confirmations: Sequence[ProcessRun],
    counts: Callable[[], Mapping[str, int] | None],
) -> str | None:
    """There is one verdict on the latency and, where the baseline has times by the device's own
    clock, one on the device's time."""
    config, gate = node.config, gate_of(node.config)
    line, now = accepted.line, record.environment
    then = line.environment if line is not None else now
    before = None if line is None else line.runs
    process_runs = record.process_runs
    rules = time_rules(config, record, before or (), then, now)

    def explain(bad: list[Verdict]) -> Iterator[str]:
        yield from verdict_lines(
            _cell(record), bad, lambda one: time_sentence(one.metric, one.sentence)
        )
        since = [] if line is None else _counts_changed(line.counts, counts)
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
    then: TimedCounts | None, counts: Callable[[], Mapping[str, int] | None]
) -> list[str]:
    """A slower network may have more to do: that is not for the machine to answer."""
    now = counts() if then is not None else None
    if then is None or now is None:
        return []
    before = {"params": then.params, "macs": then.macs}
    return [
        difference_text(name, before[name], now[name]) for name in now if before[name] != now[name]
    ]


def _judge_memory_and_energy(
    node: pytest.Item, record: Record, accepted: Accepted[TimeLine]
) -> str | None:
    config, gate = node.config, gate_of(node.config)
    line, target = accepted.line, record.target
    if line is None or target is None:
        return None
    then, now = line.environment, record.environment
    rules = configuration_of(config).rules

    def explain(bad: list[Verdict]) -> Iterator[str]:
        yield from verdict_lines(
            _cell(record), bad, lambda one: f"{METRICS[one.metric].spoken} {one.sentence}"
        )
        yield from accepted.lines()
        yield how_to_accept(node, record.id)

    verdicts = [
        not_comparable(then, now, name)
        or tolerance_verdict(
            name,
            line.memory_and_energy[name],
            value,
            rules.tolerance(name, record.id, target.slug, target.dtype),
            accept=gate.replaces,
        )
        for name, value in memory_and_energy_of(record).items()
        if name in line.memory_and_energy
    ]
    return judged(config, record, verdicts, explain)


def judge_output(node: pytest.Item, record: Record) -> str | None:
    """See that the runtime returned what the network returns, and note the verdict in the cell's
    record.

    Returns:
        The text of the failure where it did not, whatever is being accepted.
    """
    metric, target = record.metrics.get(METRIC), record.target
    if metric is None or target is None or "tolerance" not in metric:
        return None
    cell = f"{record.id} {record.suffix} on {target.slug}"
    verdict = output_verdict(metric, target.dtype, target.runtime)
    return judged(node.config, record, [verdict], lambda bad: verdict_lines(cell, bad))


def judge_counts(node: pytest.Item, record: Record, complexity: Complexity) -> str | None:
    """Compare a count with the accepted one, and note the verdicts in its record.

    Returns:
        The text of the failure where anything changed and is not being accepted.
    """
    config, gate = node.config, gate_of(node.config)
    accepted = accepted_of(config, CountLine, record)
    baseline, line = accepted.line, count_line(record)

    def explain(bad: list[Verdict]) -> Iterator[str]:
        if baseline is None:
            yield f"no-baseline: {record.id} has no line in {gate.path(CountLine).name}"
        else:
            yield f"changed: {record.id} differs from {accepted.where}"
            yield changed_text(bad, baseline, complexity.layers)
            yield _versions(baseline, line)
        yield how_to_accept(node, record.id)

    return judged(config, record, count_verdicts(baseline, line, accept=gate.replaces), explain)


def _versions(baseline: CountLine, line: CountLine) -> str:
    def text(side: CountLine) -> str:
        # Of a network of one's own this is the file, and older lines do not name it.
        library = "" if side.library == "local" else f"{side.library}, "
        return f"{library}torch {side.torch}"

    then, now = text(baseline), text(line)
    return f"Both with {now}." if then == now else f"Accepted with {then}; now {now}."
