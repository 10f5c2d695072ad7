"""Accuracies and fingerprints of a run's cells, measured. Needs torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from archbench.core.accuracy import Outcomes, wilson_interval
from archbench.core.errors import UsageError
from archbench.core.fingerprints import METRIC, Fingerprint, fingerprint_verdict
from archbench.core.images import ImageSet, sampled
from archbench.core.records import Record
from archbench.core.spec import ModelSpec, Target
from archbench.core.verdicts import Note, Verdict
from archbench.gates.gate import changes, verdict_lines
from archbench.measure.accuracy import Evaluation, Workers, evaluate
from archbench.measure.fingerprints import evaluation_key, fingerprint_of
from archbench.models.datasets import open_images
from archbench.models.weights import WeightedModel, load_weighted
from archbench.pytest_plugin.accuracy_gate import TO_ACCEPT, environment_changes, judge_accuracy
from archbench.pytest_plugin.evaluations import evaluation_path, outcomes_of, taken_up
from archbench.pytest_plugin.gate import accepted_of, gate_of, judged
from archbench.pytest_plugin.holding import holder_of
from archbench.pytest_plugin.options import spelled, worker_count
from archbench.pytest_plugin.progress import EvaluationProgress
from archbench.pytest_plugin.settings import settings_of
from archbench.store.outcomes import StoredOutcomes, write_outcomes

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
        images = open_images(settings.imagenet)
        if settings.accuracy_samples is not None:
            images = sampled(images, settings.accuracy_samples)
        config.stash[_IMAGES] = images
    return config.stash[_IMAGES]


# Measuring.


def measured_accuracy(
    node: pytest.Item, spec: ModelSpec, target: Target
) -> tuple[Record, str | None]:
    """Evaluate an architecture on the images of the run and judge what was found.

    Returns:
        The record, and the text of the failure where the test is to fail.

    Raises:
        ArchitectureError, NotMeasuredError, MemoryError, RuntimeError: as
            :func:`archbench.measure.accuracy.evaluate`.
    """
    config = node.config
    settings = settings_of(config)
    images = images_of(config)
    assert images is not None
    model = weighted(config, spec, target, settings.weights or "pretrained")
    _, digest = fingerprint_of(model)
    key = evaluation_key(model, images, digest)
    record = taken_up(config, key)
    if record is None:
        record = _evaluated(config, model, images, key)
    return record, judge_accuracy(node, record, spec, outcomes_of(config, record))


def _evaluated(config: pytest.Config, model: WeightedModel, images: ImageSet, key: str) -> Record:
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
    write_outcomes(evaluation_path(config, key), StoredOutcomes(outcomes, record.as_dict()))
    return record


def _top(outcomes: Outcomes) -> dict[str, Any]:
    """The entry of one accuracy among the metrics of a cell."""
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


def _record(model: WeightedModel, images: ImageSet, found: Evaluation, key: str) -> Record:
    top1 = {
        **_top(found.top1),
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
    which_scores = [one for one in model.loaded.notes if one.code == "which-scores"]
    return Record(
        model.spec.id,
        model.target.batchless,
        {"top1": top1, **({"top5": _top(found.top5)} if found.top5 is not None else {})},
        notes=[*_doubts(found, len(images.images)), *which_scores],
        seconds={"load_weights": model.loaded.load_seconds, "evaluate": found.seconds},
    )


def _doubts(found: Evaluation, images: int) -> Iterator[Note]:
    """What is to be known of an evaluation: images and classes left out, processes too."""
    if found.unreadable_count:
        name, cause = found.unreadable[0]
        yield Note(
            "images-unreadable",
            f"{found.unreadable_count:,} of {images:,} images could not be read and are left out, "
            f"{name} among them ({cause})",
        )
    if found.left_out:
        yield Note(
            "few-loaders",
            f"{found.workers.loading} processes decode images where "
            f"{found.workers.loading + found.left_out} could: /dev/shm, by which they hand "
            "them over, is small. Give a container more of it, as by --shm-size=2g",
        )
    if found.lacking:
        yield Note(
            "classes-lacking",
            f"{found.lacking} of the images' classes are not among the network's, so that all "
            "their images count as wrong",
        )


def weighted(config: pytest.Config, spec: ModelSpec, target: Target, weights: str) -> WeightedModel:
    """The network of an architecture with the weights that are asked for; a request that makes no
    sense ends the run."""
    settings = settings_of(config)
    try:
        network = holder_of(config).network(spec) if spec.is_own else None
        return load_weighted(
            spec, target, weights, network, resize=settings.resize, crop=settings.crop
        )
    except UsageError as error:
        # The same request for every architecture: one message instead of one for each.
        pytest.exit(spelled(config, f"archbench: {error}"), returncode=pytest.ExitCode.USAGE_ERROR)


# The fingerprint.


def fingerprint_record(
    node: pytest.Item, spec: ModelSpec, target: Target
) -> tuple[Record, str | None]:
    """Compare what the network makes of fixed images with what was accepted.

    Nothing is loaded where nothing has been accepted and nothing is to be.

    Returns:
        The record, and the text of the failure where the test is to fail.

    Raises:
        ArchitectureError, NotMeasuredError: the network cannot be loaded or run.
    """
    config, gate, settings = node.config, gate_of(node.config), settings_of(node.config)
    record = Record(spec.id, target.batchless)
    accepted = accepted_of(config, "fingerprint", record)
    cell, line = f"{spec.id} {target.dtype}", accepted.line
    if line is None and gate.accepting is None:
        return record, _no_fingerprint(config, record, target)
    asked = settings.weights or (line["asked"] if line is not None else None)
    asked = asked or ("none" if settings.imagenet is None else "pretrained")
    model = weighted(config, spec, target, asked)
    now, _ = fingerprint_of(model)
    record.seconds["load_weights"] = model.loaded.load_seconds
    record.metrics[METRIC] = {
        **now.as_dict(),
        "unit": "1",
        "source": "measured",
        "preprocessing": model.transform.as_dict(),
        # A path is of one machine.
        "asked": asked if asked in ("none", "pretrained") else "none",
    }
    before = None if line is None else Fingerprint.from_dict(line)
    device = target.device_name if line is None else line["environment"]["device_name"]
    verdict = fingerprint_verdict(
        before, now, target.dtype, same_device=device == target.device_name, accept=gate.replaces
    )

    def explain(bad: list[Verdict]) -> Iterator[str]:
        yield from verdict_lines(cell, bad)
        since: list[str] = []
        if line is not None:
            stated = model.transform.as_dict()
            since += changes(line["preprocessing"], stated, without=["source"])
            since += environment_changes(line, record)
        yield from accepted.lines(since)
        yield TO_ACCEPT

    return record, judged(config, record, [verdict], explain)


def _no_fingerprint(config: pytest.Config, record: Record, target: Target) -> str | None:
    """The failure of a test whose network has no accepted fingerprint, where others have one."""
    file = gate_of(config).file("fingerprint")
    where = file.path.relative_to(config.rootpath)
    missing = judged(
        config,
        record,
        [fingerprint_verdict(None, Fingerprint((), (), (), "none"), target.dtype)],
        lambda _: [f"no-baseline: {record.id} {target.dtype} has no line in {where}"],
    )
    return missing if file.lines else None
