"""Accuracies in a run: measured, or taken up again where an earlier run was interrupted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archbench.core.accuracy import Outcomes, wilson_interval
from archbench.core.errors import ArchbenchError
from archbench.core.images import sampled
from archbench.core.records import Record
from archbench.core.spec import ModelSpec, Target
from archbench.core.verdicts import Note, Verdict
from archbench.pytest_plugin.accuracy_gate import judge_accuracy
from archbench.pytest_plugin.options import spelled, worker_count
from archbench.pytest_plugin.progress import EvaluationProgress
from archbench.pytest_plugin.settings import settings_of
from archbench.pytest_plugin.weighted import weighted
from archbench.store.outcomes import (
    StoredOutcomes,
    outcomes_path,
    read_outcomes,
    write_outcomes,
)

if TYPE_CHECKING:
    from archbench.core.images import ImageSet
    from archbench.measure.accuracy import Evaluation
    from archbench.models.weights import WeightedModel

__all__ = [
    "ACCURACY_NOTE",
    "forget_evaluations",
    "images_of",
    "keep_outcomes",
    "measured_accuracy",
    "not_measured",
]

ACCURACY_NOTE = "accuracy-not-measured"
"""Code of the note on a cell whose accuracy nobody asked for."""

_IMAGES: pytest.StashKey[ImageSet] = pytest.StashKey()


def images_of(config: pytest.Config) -> ImageSet | None:
    """The images of ``--imagenet``, or the sample of them, found once in each process.

    Raises:
        UsageError: they cannot be used; says why.
    """
    settings = settings_of(config)
    if settings.imagenet is None:
        return None
    if _IMAGES not in config.stash:
        from archbench.models.datasets import open_images

        images = open_images(settings.imagenet)
        if settings.accuracy_samples is not None:
            images = sampled(images, settings.accuracy_samples)
        config.stash[_IMAGES] = images
    return config.stash[_IMAGES]


def not_measured(config: pytest.Config, spec: ModelSpec, target: Target) -> tuple[Record, str]:
    """What a test of accuracy leaves where there are no images, and why."""
    sentence = spelled(config, "no images were given to measure it on; give --imagenet=DIR")
    verdict = Verdict("top1", "not-measured", "no-dataset", sentence)
    record = Record(
        spec.id,
        target.batchless,
        verdicts=[verdict],
        notes=[Note(ACCURACY_NOTE, sentence)],
    )
    return record, f"not-measured: {sentence}"


# Measuring.


def measured_accuracy(
    node: pytest.Item, spec: ModelSpec, target: Target
) -> tuple[Record, list[str]]:
    """Evaluate an architecture on the images of the run and judge what was found.

    Returns:
        The record, and the text of each failure.

    Raises:
        ArchitectureError, NotMeasuredError, MemoryError, RuntimeError: as
            :func:`archbench.measure.accuracy.evaluate`.
    """
    from archbench.measure.fingerprints import evaluation_key, fingerprint_of

    config = node.config
    settings = settings_of(config)
    images = images_of(config)
    assert images is not None
    model = weighted(config, spec, target, settings.weights or "pretrained")
    _, digest = fingerprint_of(model)
    key = evaluation_key(model, images, digest)
    record = _taken_up(config, key)
    if record is None:
        record = _evaluated(config, model, images, key)
    failure = judge_accuracy(node, record, spec, _outcomes(config, record))
    return record, [] if failure is None else [failure]


def _evaluated(config: pytest.Config, model: WeightedModel, images: ImageSet, key: str) -> Record:
    from archbench.measure.accuracy import Workers, evaluate

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    progress = EvaluationProgress(config, model.spec.id)
    try:
        found = evaluate(
            model,
            images,
            workers=Workers.of(model.target, max((cores or 1) // worker_count(config), 1)),
            progress=progress,
        )
    finally:
        progress.close()
    record = _record(model, images, found, key)
    outcomes = {"top1": found.top1}
    if found.top5 is not None:
        outcomes["top5"] = found.top5
    write_outcomes(_evaluation_path(config, key), StoredOutcomes(outcomes, record.as_dict()))
    return record


def _record(model: WeightedModel, images: ImageSet, found: Evaluation, key: str) -> Record:
    def metric(outcomes: Outcomes) -> dict[str, Any]:
        low, high = wilson_interval(outcomes.right, outcomes.images)
        return {
            "value": outcomes.percent,
            "unit": "%",
            "source": "measured",
            "images": outcomes.images,
            "right": outcomes.right,
            "interval": [low, high],
            "low": low,
            "high": high,
            "confidence": 0.95,
            "digest": outcomes.digest,
        }

    top1 = {
        **metric(found.top1),
        "key": key,
        "dataset": {
            "path": images.path,
            "layout": images.layout,
            "classes": len({image.label for image in images.images}),
            "is_imagenet": images.is_imagenet,
            "sample": None if images.seed is None else len(images.images),
            "of": images.of,
            "seed": images.seed,
        },
        "preprocessing": model.transform.as_dict(),
        "weights": None if model.weights is None else model.weights.as_dict(),
        "is_published": model.weights is not None and model.weights.is_published,
        "unreadable": found.unreadable_count,
        "unreadable_images": [list(pair) for pair in found.unreadable],
        "images_per_second": found.images_per_second,
        "waited": found.waited / found.seconds,
        "batch_size": found.batch_size,
        "workers": found.workers.loading,
        "threads": found.workers.threads,
        "lacking_classes": found.lacking,
        **({"exits": [one.percent for one in found.exits]} if found.exits else {}),
    }
    notes = []
    if found.unreadable_count:
        name, cause = found.unreadable[0]
        notes.append(
            Note(
                "images-unreadable",
                f"{found.unreadable_count:,} of {len(images.images):,} images could not be "
                f"read and are left out, {name} among them ({cause})",
            )
        )
    if found.lacking:
        notes.append(
            Note(
                "classes-lacking",
                f"{found.lacking} of the images' classes are not among the network's, so "
                "that all their images count as wrong",
            )
        )
    return Record(
        model.spec.id,
        model.target.batchless,
        {"top1": top1, **({"top5": metric(found.top5)} if found.top5 is not None else {})},
        notes=notes + [one for one in model.loaded.notes if one.code == "which-scores"],
        seconds={"load_weights": model.loaded.load_seconds, "evaluate": found.seconds},
    )


# An evaluation that was interrupted after this architecture.


def _evaluation_path(config: pytest.Config, key: str) -> Path:
    return settings_of(config).directory / "evaluations" / f"{key}.json"


def _taken_up(config: pytest.Config, key: str) -> Record | None:
    """What an earlier run found that did not reach its end; None where there is nothing."""
    path = _evaluation_path(config, key)
    try:
        record = Record.from_dict(dict(read_outcomes(path).about))
    except (OSError, ArchbenchError, KeyError):
        return None
    record.metrics["top1"]["taken_up"] = True
    record.notes.append(Note("taken-up", "evaluated by an earlier run that did not reach its end"))
    return record


def _outcomes(config: pytest.Config, record: Record) -> Mapping[str, Outcomes]:
    return read_outcomes(_evaluation_path(config, record.metrics["top1"]["key"])).outcomes


def keep_outcomes(config: pytest.Config, record: Record, run: Path) -> None:
    """Put the outcomes of an evaluation beside the run, and their place into its record.

    Args:
        config: of the process that reports to the person.
        record: with a top-1.
        run: directory of the run.
    """
    top1 = record.metrics["top1"]
    kept = outcomes_path(run, record.id, record.target.dtype if record.target else "")
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_evaluation_path(config, top1["key"]), kept)
    top1["outcomes"] = kept.relative_to(run).as_posix()


def forget_evaluations(config: pytest.Config, records: Sequence[Record]) -> None:
    """Delete what a run that reached its end need not take up again."""
    for record in records:
        key = record.metrics.get("top1", {}).get("key")
        if key is not None:
            _evaluation_path(config, key).unlink(missing_ok=True)
