"""Accuracies and output fingerprints against what was accepted of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from archbench.catalog.published import published_accuracies
from archbench.core.accuracy import Outcomes, accuracy_verdict, published_verdict
from archbench.core.fingerprints import METRIC
from archbench.core.records import Record
from archbench.core.spec import ModelSpec
from archbench.core.verdicts import Verdict
from archbench.gates.gate import changes, verdict_lines
from archbench.measure.environment import provenance
from archbench.metrics import compared_by
from archbench.pytest_plugin.configuration import configuration_of
from archbench.pytest_plugin.gate import accepted_of, gate_of, judged, stamp_of
from archbench.store.baselines import Updated
from archbench.store.outcomes import outcomes_from_text, outcomes_text, read_outcomes


def judge_accuracy(
    node: pytest.Item, record: Record, spec: ModelSpec, outcomes: Mapping[str, Outcomes]
) -> str | None:
    """Compare outcomes with the accepted ones, image by image, and note the verdicts.

    Returns:
        The text of the failure where the test is to fail.
    """
    config, gate = node.config, gate_of(node.config)
    assert record.target is not None
    accepted = accepted_of(config, "accuracy", record)
    line, verdicts = accepted.line, []
    for metric, now in outcomes.items():
        tolerance = configuration_of(config).rules.tolerance(
            metric, record.id, record.target.slug, record.target.dtype
        )
        assert tolerance.confidence is not None
        path = gate.path("accuracy")
        before = _stored_outcomes(line, metric, path) if line is not None else None
        if line is not None and before is None:
            continue
        verdict = accuracy_verdict(
            before, now, metric=metric, confidence=tolerance.confidence, accept=gate.replaces
        )
        if before is None:
            verdict = _beside_published(record, spec, metric, now) or verdict
        verdicts.append(verdict)
    cell = f"{record.id} {record.target.dtype}"

    def explain(bad: list[Verdict]) -> Iterator[str]:
        yield from verdict_lines(
            cell, bad, lambda one: f"{one.metric.replace('top', 'top-')} {one.sentence}"
        )
        yield from accepted.lines([] if line is None else _changes(line, record))
        yield TO_ACCEPT

    return judged(config, record, verdicts, explain)


TO_ACCEPT = "If this is meant, run the same command with --baseline-update."


def _stored_outcomes(line: Mapping[str, Any], metric: str, path: Path) -> Outcomes | None:
    entry = line[metric]
    if entry is None:
        return None
    try:
        return outcomes_from_text(entry["bits"], entry["images"], entry["digest"])
    except ValueError as error:
        raise pytest.UsageError(
            f"{path}: the outcomes of {line['id']} are damaged: {error}"
        ) from None


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


def _changes(line: Mapping[str, Any], record: Record) -> list[str]:
    """What differs between two evaluations of the same images, for whoever looks for the cause."""
    top1 = record.metrics["top1"]
    weights = [
        {"weights": (side or {}).get("sha256", "none")[:16]}
        for side in (line["weights"], top1["weights"])
    ]
    return [
        *changes(line["preprocessing"], top1["preprocessing"], without=["source"]),
        *changes(*weights),
        *environment_changes(line, record),
    ]


def environment_changes(line: Mapping[str, Any], record: Record) -> list[str]:
    """What differs between the environment of a line and that of this run."""
    then = line["environment"]
    now = _environment(record)
    return changes(then, {name: value for name, value in now.items() if name in then})


def _environment(record: Record) -> dict[str, Any]:
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
    lines: dict[str, list[tuple[Path, Mapping[str, Any]]]] = {"accuracy": [], "fingerprint": []}
    for record in records:
        assert record.target is not None
        shared = {
            "id": record.id,
            "cell": record.target.dtype,
            "environment": _environment(record),
            **stamp,
        }
        top1 = record.metrics.get("top1")
        if top1 is not None and run is not None:
            stored = read_outcomes(run / top1["outcomes"]).outcomes
            line = {
                **shared,
                **{name: _outcomes_line(stored.get(name)) for name in compared_by("pairs")},
                **{name: top1[name] for name in ("weights", "preprocessing")},
                **{name: top1["dataset"][name] for name in ("sample", "seed")},
            }
            lines["accuracy"].append((gate.path("accuracy"), line))
        taken = record.metrics.get(METRIC)
        if taken is not None:
            fields = ("inputs", "outputs", "top", "weights", "preprocessing", "asked")
            line = {**shared, **{name: taken[name] for name in fields}}
            lines["fingerprint"].append((gate.path("fingerprint"), line))
    return [one for kind, found in lines.items() for one in gate.accept(kind, found)]


def _outcomes_line(outcomes: Outcomes | None) -> dict[str, Any] | None:
    if outcomes is None:
        return None
    return {
        "images": outcomes.images,
        "right": outcomes.right,
        "digest": outcomes.digest,
        "bits": outcomes_text(outcomes),
    }
