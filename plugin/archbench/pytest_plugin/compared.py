"""What a paired comparison found of each test: its record, and why the test fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from archbench.core.agreement import METRIC, output_verdict
from archbench.core.differences import Growth, ScoreAgreement, agreement, attribution
from archbench.core.entries import Imported, MetricEntry
from archbench.core.lines import TimeLine
from archbench.core.records import Record
from archbench.core.run_config import RunConfig, axes
from archbench.core.side_facts import SideFacts
from archbench.core.sides import (
    OF_FRAMEWORK,
    accept_changes,
    breaks_changed,
    compiling_text,
    count_changes,
    paired_verdict,
    run_alike,
    versions_changed,
)
from archbench.core.telemetry import device_doubts
from archbench.core.verdicts import INFORMATIONAL, Note, Verdict
from archbench.gates.gate import verdict_lines
from archbench.pytest_plugin.advice import how_to_accept_counts, how_to_let_pass, table_of
from archbench.pytest_plugin.configuration import configuration_of
from archbench.pytest_plugin.gate import (
    accepted_counts,
    accepted_of,
    judged,
    other_counts,
)
from archbench.pytest_plugin.manifest import cell_of, name_of
from archbench.pytest_plugin.targets import target_for
from archbench.workers.pairs import CANDIDATE, REFERENCE, SIDES
from archbench.workers.references import Reference
from archbench.workers.schedule import PairedCell


@dataclass(slots=True)
class Comparison:
    """What the paired comparison says about one test.

    Attributes:
        record: of its cell.
        failure: the text of the failure where the test is to fail.
    """

    record: Record
    failure: str | None = None


def not_compared() -> Verdict:
    """Of a time that was measured by a test that took no part in the comparison."""
    return Verdict(
        "latency",
        "not-comparable",
        "not-in-the-comparison",
        "the test took no part in the comparison: its id names no architecture and target",
    )


def comparison(
    config: pytest.Config,
    nodeid: str,
    one: PairedCell,
    reference: Reference,
    labels: Mapping[str, str],
) -> Comparison:
    """The record and the failure of one test.

    Args:
        one: what was measured of it.
        reference: what it is compared with.
        labels: of both sides, for people.
    """
    if one.failures:
        return _without_times(config, nodeid, one, labels)
    judgement = one.judgement
    assert judgement is not None
    facts = one.facts
    changes = count_changes(facts[REFERENCE].counts, facts[CANDIDATE].counts)
    unmeant = [] if reference.means_difference else _of_network(changes, facts)
    differences = _Differences.of(one, changes)
    record = _record(one)
    counts = facts[CANDIDATE].counts or {}
    record.notes += other_counts(
        config,
        record.id,
        lambda line: all(
            counts.get(name, then) == then
            for name, then in (("params", line.params), ("macs", line.macs))
        ),
    )
    record.metrics["paired_ratio"] = _ratio(one, labels, differences)
    verdict = paired_verdict(judgement, one.process_runs, one.rules)
    verdicts = [verdict, *_accepted(config, one, unmeant), *_output_verdicts(one)]

    def explain(bad: list[Verdict]) -> Iterator[str]:
        # What a change of counts has cost is the question, also where the answer is: no time.
        cost = [] if verdict in bad else [verdict]
        yield from verdict_lines(name_of(nodeid), [*bad, *cost])
        yield f"Compared: {labels[CANDIDATE]}, against {labels[REFERENCE]}."
        yield from _difference_lines(config, one, labels, differences)
        if any(item.status == "changed" for item in bad):
            yield how_to_accept_counts(config, facts[CANDIDATE], bad)
        if verdict in bad and verdict.status == "regressed":
            yield how_to_let_pass(config, facts[CANDIDATE], judgement)

    return Comparison(record, judged(config, record, verdicts, explain))


def _of_network(changes: Sequence[Verdict], facts: Mapping[str, SideFacts]) -> Sequence[Verdict]:
    """Changes that are the network's, and not those of another framework or way of running."""
    if run_alike(facts[REFERENCE], facts[CANDIDATE]):
        return changes
    return [change for change in changes if change.metric not in OF_FRAMEWORK]


def _output_verdicts(one: PairedCell) -> list[Verdict]:
    """Whether the candidate's runtime returns what the network returns, where it is no eager."""
    facts = one.facts[CANDIDATE]
    metric, target = facts.metrics.get(METRIC, {}), facts.target
    return [output_verdict(metric, target.dtype, target.runtime)] if "tolerance" in metric else []


@dataclass(frozen=True, slots=True)
class _Differences:
    """What a comparison says beside the times.

    Attributes:
        different: versions, settings, graph breaks and counts that differ, for people.
        agreement: of the outputs for the same images; None where they cannot be compared.
        growth: the modules that take longer, the most first.
        total: what all modules grew together, in seconds.
        same_shapes: whether the outputs have the same shape.
    """

    different: list[str]
    agreement: ScoreAgreement | None
    growth: list[Growth]
    total: float
    same_shapes: bool

    @classmethod
    def of(cls, one: PairedCell, changes: Sequence[Verdict]) -> _Differences:
        different = [
            *versions_changed(*(_stated(one, side) for side in SIDES)),
            *breaks_changed(*(one.facts[side].metrics for side in SIDES)),
            *(change.sentence for change in changes),
        ]
        same_shapes = all(change.metric != "output_shape" for change in changes)
        scores = [one.facts[side].scores for side in SIDES]
        agreed = agreement(*(side.rows if side is not None else [] for side in scores))
        return cls(different, agreed, *attribution(one.modules), same_shapes)


def _difference_lines(
    config: pytest.Config, one: PairedCell, labels: Mapping[str, str], found: _Differences
) -> Iterator[str]:
    """What to say of the two sides' code, outputs and modules."""
    if code := code_of(config, one):
        yield f"Code: {code[CANDIDATE]}, against {code[REFERENCE]}."
    if found.different:
        yield f"What differs: {', '.join(found.different)}."
    yield from (f"{labels[side]} was {text}." for side, text in compiled(one))
    if found.agreement is not None:
        yield f"Of the same images the {found.agreement.text}."
    elif not found.same_shapes:
        yield "The outputs have different shapes, and are not compared."
    if found.growth:
        yield "Where the time went, by each module's own code:"
        yield from (f"  {item.text(found.total)}" for item in found.growth)


def _ratio(one: PairedCell, labels: Mapping[str, str], differences: _Differences) -> MetricEntry:
    """The entry of a comparison among the metrics of a cell."""
    assert one.judgement is not None
    decision = one.judgement.decision
    found: MetricEntry = {
        "unit": "1",
        "source": "measured",
        "clock": one.judgement.clock,
        "low": decision.low,
        "high": decision.high,
        "rounds": decision.rounds,
        "process_runs": len(one.process_runs),
        "seconds": sum(run.seconds for run in one.process_runs),
        "cell_seconds": one.seconds,
        "start_seconds": one.starts,
        "sides": {
            side: {
                "label": labels[side],
                "counts": facts.counts,
                "metrics": facts.metrics,
                "versions": one.hellos[side].versions,
                "imported": [*facts.imported],
                "no_telemetry": facts.no_telemetry,
                "notes": [*facts.notes],
            }
            for side, facts in sorted(one.facts.items(), key=lambda item: SIDES.index(item[0]))
        },
        "different": differences.different,
        "agreement": differences.agreement,
        "growth": differences.growth,
        "series": one.process_runs,
    }
    if decision.ratio is not None:
        found["value"] = decision.ratio
    return found


def _accepted(config: pytest.Config, one: PairedCell, changes: Sequence[Verdict]) -> list[Verdict]:
    """The same changes, with those said to be so that are informational."""
    facts = one.facts[CANDIDATE]
    target = facts.target
    if not changes:
        return []
    counts = accepted_counts(config).lines.get(facts.id)
    times = accepted_of(config, TimeLine, Record(facts.id, target)).line
    peak = None if times is None else times.memory_and_energy.get("peak_memory")
    changes = accept_changes(changes, facts.counts, counts, peak)
    rules = configuration_of(config).rules
    if not rules.reports("counts", facts.id, target.slug, target.dtype):
        return changes
    return [
        change if change.reason in INFORMATIONAL else replace(change, reason="reported")
        for change in changes
    ]


def _without_times(
    config: pytest.Config, nodeid: str, one: PairedCell, labels: Mapping[str, str]
) -> Comparison:
    """A cell that a side has no times for."""
    # What is wrong with the code at hand is said first.
    failures = sorted(one.failures, key=lambda failure: CANDIDATE not in failure.side)
    first, cell = failures[0], cell_of(nodeid)
    sentences = [
        f"{labels.get(failure.side, ' and '.join(labels.values()))}: {failure.sentence}"
        for failure in failures
    ]
    # The reference does not have the test or its architecture.
    is_new = all(
        failure.side == REFERENCE and failure.reason == "only-on-one-side" for failure in failures
    )
    reason = "new" if is_new and _new_is_informational(config, nodeid) else first.reason
    verdict = Verdict("latency", first.status, reason, "; ".join(sentences))
    record = _record(one, cell[0] if cell else nodeid)

    def explain(bad: list[Verdict]) -> Iterator[str]:
        details = "".join(f"\n\n{failure.details}" for failure in failures if failure.details)
        yield "\n".join(verdict_lines(name_of(nodeid), bad)) + details
        if is_new:
            yield (
                f"If it is new: let new = 'report' in {table_of(config, 'paired')} report it: it "
                "fails nothing then."
            )

    return Comparison(record, judged(config, record, [verdict], explain))


def _new_is_informational(config: pytest.Config, nodeid: str) -> bool:
    """Whether a new cell fails nothing in this project."""
    rules = configuration_of(config).rules
    cell = cell_of(nodeid)
    if cell is None or not any("new" in one.given for one in rules.paired):
        return False
    # No side has said what it runs on.
    target = target_for(config, RunConfig.parse(cell[1]))
    return rules.reports("new", cell[0], target.slug, target.dtype)


def _record(one: PairedCell, name: str = "") -> Record:
    """What the candidate's bursts say, in the form of a measurement of its own."""
    facts = one.facts.get(CANDIDATE)
    if facts is None:
        return Record(name)
    record = Record(facts.id, facts.target, notes=[*facts.notes])
    bursts = [item.candidate for run in one.process_runs for item in run.rounds]
    if bursts:
        common: MetricEntry = {"unit": "s", "basis": "batch", "source": "measured"}
        record.metrics = {
            "latency": {
                **common,
                "samples": [value for burst in bursts for value in burst.wall],
                "clock": "wall",
                "environment": facts.environment,
            },
            "cpu_time": {
                **common,
                "samples": [value for burst in bursts for value in burst.cpu],
                "clock": "process",
            },
            **facts.metrics,
        }
        device = [value for burst in bursts for value in burst.device]
        if device:
            record.metrics["device_time"] = {**common, "samples": device, "clock": "device"}
        record.notes += device_doubts(
            [sample for burst in bursts for sample in burst.telemetry],
            False if any(burst.is_full is False for burst in bursts) else None,
        )
        if one.judgement is not None and "wall" in one.judgement.unjudged:
            text = "others took too much of the machine to judge its wall time"
            record.notes.append(Note("disturbed", text))
        record.seconds = {"forward": sum(burst.seconds for burst in bursts)}
    return record


_HARDWARE = ("device_name", "processor", "machine", "logical_cores", "clock", "reference_workload")
"""Fields of an environment that are the machine's, which both sides share."""


def _stated(one: PairedCell, side: str) -> dict[str, object]:
    """What a side ran with, each thing once."""
    facts = one.facts[side]
    libraries = {each.name: each.version for each in facts.imported if each.version}
    named = {
        name: value
        for name, value in (facts.environment or {}).items()
        if name not in (*_HARDWARE, "torch", "library") and value is not None
    }
    return {
        **one.hellos[side].versions,
        **libraries,
        **named,
        **{axis.name: facts.target[axis.name] for axis in axes() if axis.several},
    }


MOST_NAMED = 6
"""Packages and files of one side, in a line."""


def code_of(config: pytest.Config, one: PairedCell) -> dict[str, str]:
    """Whose code each side ran, for people; empty where a side did not say."""
    places = {
        # The file that was asked for may be the package's own.
        side: list(dict.fromkeys(_place(config, each) for each in one.facts[side].imported))
        for side in SIDES
        if side in one.facts
    }
    texts = {
        side: ", ".join(names[:MOST_NAMED])
        + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
        for side, names in places.items()
    }
    return texts if len(texts) == len(SIDES) and all(texts.values()) else {}


def _place(config: pytest.Config, imported: Imported) -> str:
    """``timm 1.0.31`` where it is installed, else ``timm 1.1.0.dev0 (./timm)``, ``./net.py``."""
    named = " ".join(filter(None, (imported.name, imported.version)))
    if imported.is_installed:
        return named
    path = Path(imported.path)
    if path.is_relative_to(config.rootpath):
        path = path.relative_to(config.rootpath)
    text = str(path) if path.is_absolute() else f"./{path.as_posix()}"
    return f"{named} ({text})" if imported.version else text


def compiled(one: PairedCell) -> list[tuple[str, str]]:
    """What to say of each side that is compiled."""
    texts = [(side, compiling_text(one.facts[side].metrics)) for side in SIDES if side in one.facts]
    return [(side, text) for side, text in texts if text is not None]
