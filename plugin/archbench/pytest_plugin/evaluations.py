"""Evaluations of a run, kept until it reaches its end, so that another one can take them up."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from archbench.core.accuracy import Outcomes
from archbench.core.errors import ArchbenchError
from archbench.core.images import ImageSet
from archbench.core.records import NOT_MEASURED, Record
from archbench.core.spec import ModelSpec, Target
from archbench.core.verdicts import Note, Verdict
from archbench.pytest_plugin.options import spelled
from archbench.pytest_plugin.settings import settings_of
from archbench.store.outcomes import outcomes_path, read_outcomes

IMAGES: pytest.StashKey[tuple[ImageSet, ImageSet]] = pytest.StashKey()
"""The images of a run that are evaluated, and all of them, from its start on."""


def not_measured(config: pytest.Config, spec: ModelSpec, target: Target) -> tuple[Record, str]:
    """What a test of accuracy leaves where there are no images, and why."""
    sentence = spelled(config, "no images were given to measure it on; give --imagenet=DIR")
    verdict = Verdict("top1", "not-measured", "no-dataset", sentence)
    record = Record(
        spec.id,
        target.batchless,
        verdicts=[verdict],
        notes=[Note(NOT_MEASURED, sentence)],
    )
    return record, f"not-measured: {sentence}"


def evaluation_path(config: pytest.Config, key: str) -> Path:
    """The file of an evaluation, by what it is of."""
    return settings_of(config).directory / "evaluations" / f"{key}.json"


def taken_up(config: pytest.Config, key: str) -> Record | None:
    """What an earlier run found that did not reach its end; None where there is nothing."""
    path = evaluation_path(config, key)
    try:
        record = Record.from_dict(dict(read_outcomes(path).about))
    except (OSError, ArchbenchError, KeyError):
        return None
    record.metrics["top1"]["taken_up"] = True
    record.notes.append(Note("taken-up", "evaluated by an earlier run that did not reach its end"))
    return record


def outcomes_of(config: pytest.Config, record: Record) -> Mapping[str, Outcomes]:
    """The outcomes of an evaluation, by metric."""
    return read_outcomes(evaluation_path(config, record.metrics["top1"]["key"])).outcomes


def keep_outcomes(config: pytest.Config, record: Record, run: Path) -> None:
    """Put the outcomes of an evaluation beside the run, and their place into its record.

    Args:
        record: with a top-1.
    """
    top1 = record.metrics["top1"]
    kept = outcomes_path(run, record.id, record.target.precision if record.target else "")
    found = evaluation_path(config, top1["key"])
    # A run that goes on with this one may have them beside it already.
    if found.exists() or not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found, kept)
    top1["outcomes"] = kept.relative_to(run).as_posix()


def forget_evaluations(config: pytest.Config, records: Sequence[Record]) -> None:
    """Delete what a run that reached its end need not take up again."""
    for record in records:
        top1 = record.metrics.get("top1", {})
        for entry in (top1, top1.get("eager", {})):
            if (key := entry.get("key")) is not None:
                evaluation_path(config, str(key)).unlink(missing_ok=True)
