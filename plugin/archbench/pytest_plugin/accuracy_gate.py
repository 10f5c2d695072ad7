"""Accuracies and output fingerprints against what was accepted of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from archbench.catalog.published import published_accuracies
from archbench.core.accuracy import Outcomes, accuracy_verdict, published_verdict, runtime_verdict
from archbench.core.fingerprints import FINGERPRINT
from archbench.core.lines import AccuracyLine, FingerprintLine, Hits
from archbench.core.records import Record
from archbench.core.spec import ModelSpec
from archbench.core.verdicts import Verdict
from archbench.gates.gate import changes, verdict_lines
from archbench.measure.environment import provenance
from archbench.metrics import compared_by
from archbench.pytest_plugin.advice import how_to_accept
from archbench.pytest_plugin.configuration import configuration_of
from archbench.pytest_plugin.gate import (
    accepted_of,
    checked_line,
    gate_of,
    judged,
    stamp_of,
)
from archbench.store.baselines import Updated
from archbench.store.outcomes import outcomes_from_text, outcomes_text, read_outcomes


def judge_accuracy(
    node: pytest.Item,
    record: Record,
    spec: ModelSpec,
    outcomes: Mapping[str, Outcomes],
    eager: Mapping[str, Outcomes],
) -> str | None:
    """Compare outcomes with the accepted ones, image by image, and note the verdicts.

    Args:
        eager: outcomes of eager fp32 that those of another runtime are compared with as well.

    Returns:
        The text of the failure where the test is to fail.
    """
    config, gate = node.config, gate_of(node.config)
    assert record.target is not None
    accepted = accepted_of(config, AccuracyLine, record)
    line, verdicts = accepted.line, []
    for metric, now in outcomes.items():
        tolerance = configuration_of(config).rules.tolerance(
            metric, record.id, record.target.slug, record.target.dtype
        )
        assert tolerance.confidence is not None
        confidence, target = tolerance.confidence, record.target
        if metric in eager:
            beside = runtime_verdict(
                eager[metric], now, dtype=target.dtype, runtime=target.runtime,
                metric=metric, confidence=confidence,
            )  # fmt: skip
            verdicts.append(beside)
        path = gate.path(AccuracyLine)
        before = _stored_outcomes(line, metric, path) if line is not None else None
        if line is not None and before is None:
            continue
        verdict = accuracy_verdict(
            before, now, metric=metric, confidence=confidence, accept=gate.replaces
        )
        if before is None:
            verdict = _beside_published(record, spec, metric, now) or verdict
        verdicts.append(verdict)
    cell = f"{record.id} {record.target.precision}"

    def explain(bad: list[Verdict]) -> Iterator[str]:
        yield from verdict_lines(
            cell, bad, lambda one: f"{one.metric.replace('top', 'top-')} {one.sentence}"
        )
        yield from accepted.lines([] if line is None else _changes(line, record))
        yield how_to_accept(node)

    return judged(config, record, verdicts, explain)


def _stored_outcomes(line: AccuracyLine, metric: str, path: Path) -> Outcomes | None:
    entry: Hits | None = getattr(line, metric)
    if entry is None:
        return None
    try:
        return outcomes_from_text(entry.bits, entry.images, entry.digest)
    except ValueError as error:
        raise pytest.UsageError(f"{path}: the outcomes of {line.id} are damaged: {error}") from None


def _beside_published(
    record: Record, spec: ModelSpec, metric: str, now: Outcomes
) -> Verdict | None:
    """A comparison with the number that is published for these weights, on all of these images."""
    top1 = record.metrics["top1"]
    figure = published_accuracies(spec).get(metric)
    is_theirs = top1["is_published"] and top1["dataset"]["is_imagenet"]
    if figure is None or not is_theirs or top1["dataset"]["classes"] != 1000:
        return None
    return published_verdict(metric, now.right, now.images, figure.value, figure.source)


def _changes(line: AccuracyLine, record: Record) -> list[str]:
    """What differs between two evaluations of the same images, for whoever looks for the cause."""
    top1 = record.metrics["top1"]
    now = top1["weights"]
    weights = [
        {"weights": side["sha256"][:16] if isinstance(side, Mapping) else "none"}
        for side in (line.weights, now)
    ]
    return [
        *changes(line.preprocessing, top1["preprocessing"], without=["source"]),
        *changes(*weights),
        *environment_changes(line, record),
    ]


def environment_changes(line: AccuracyLine | FingerprintLine, record: Record) -> list[str]:
    """What differs between the environment of a line and that of this run."""
    then = line.environment
    now = _environment(record)
    return changes(then, {name: value for name, value in now.items() if name in then})


def _environment(record: Record) -> dict[str, str]:
    from archbench.models.libraries import library_version

    assert record.target is not None
    return {
        "device_name": record.target.device_name,
        "torch": library_version("torch"),
        "library": provenance(record.id.partition("/")[0]),
        "pillow": library_version("pillow"),
    }


# Accepting.


def write_accuracies(
    config: pytest.Config, records: Sequence[Record], run: Path | None
) -> list[tuple[Path, Updated]]:
    """Accept outcomes and fingerprints as the baseline.

    Args:
        records: of tests that passed, each with a top-1 or a fingerprint.
        run: directory of the run, where the outcomes are.

    Raises:
        UsageError: a file was damaged in the meantime.
        OSError: it cannot be written.
    """
    gate, stamp = gate_of(config), stamp_of(config)
    accuracies, fingerprints = [], []
    for record in records:
        if "top1" in record.metrics and run is not None:
            accuracies.append(_accuracy_line(record, run, stamp))
        if FINGERPRINT in record.metrics:
            fingerprints.append(_fingerprint_line(record, stamp))
    place, of_fingerprints = gate.path(AccuracyLine), gate.path(FingerprintLine)
    return [
        *gate.accept(AccuracyLine, [(place, line) for line in accuracies]),
        *gate.accept(FingerprintLine, [(of_fingerprints, line) for line in fingerprints]),
    ]


def _accuracy_line(record: Record, run: Path, stamp: Mapping[str, str | None]) -> AccuracyLine:
    top1 = record.metrics["top1"]
    stored = read_outcomes(run / top1["outcomes"]).outcomes
    return checked_line(
        AccuracyLine,
        **_about(record),
        **stamp,
        **{name: _outcomes_line(stored.get(name)) for name in compared_by("pairs")},
        weights=top1["weights"],
        preprocessing=top1["preprocessing"],
        sample=top1["dataset"]["sample"],
        seed=top1["dataset"]["seed"],
    )


def _fingerprint_line(record: Record, stamp: Mapping[str, str | None]) -> FingerprintLine:
    fields = ("inputs", "outputs", "top", "weights", "preprocessing", "asked")
    taken = record.metrics[FINGERPRINT]
    stated = {name: value for name, value in taken.items() if name in fields}
    return checked_line(FingerprintLine, **_about(record), **stamp, **stated)


def _about(record: Record) -> dict[str, str | dict[str, str]]:
    """Which cell a line is about, and with what it was measured."""
    assert record.target is not None
    cell = record.target.precision
    return {"id": record.id, "cell": cell, "environment": _environment(record)}


def _outcomes_line(outcomes: Outcomes | None) -> Hits | None:
    if outcomes is None:
        return None
    return Hits(outcomes.images, outcomes.right, outcomes.digest, outcomes_text(outcomes))
