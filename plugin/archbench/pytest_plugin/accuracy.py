"""Accuracies and fingerprints of a run's cells, measured. Needs torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from archbench.core.accuracy import Outcomes, wilson_interval
from archbench.core.entries import EagerTop, MetricEntry
from archbench.core.errors import UsageError
from archbench.core.fingerprints import FINGERPRINT, Fingerprint, fingerprint_verdict
from archbench.core.images import ImageSet, apart, sampled
from archbench.core.lines import FingerprintLine
from archbench.core.records import Record
from archbench.core.spec import ModelSpec, Target
from archbench.core.verdicts import Note, Verdict
from archbench.gates.gate import changes, verdict_lines
from archbench.measure.accuracy import Evaluation, Workers, evaluate, fitting
from archbench.measure.by_runtime import by_runtime
from archbench.measure.fingerprints import FINGERPRINT_IMAGES, evaluation_key, fingerprint_of
from archbench.measure.running import forward_passes
from archbench.models.datasets import open_images
from archbench.models.weights import WeightedModel, load_weighted
from archbench.pytest_plugin.accuracy_gate import environment_changes, judge_accuracy
from archbench.pytest_plugin.advice import how_to_accept
from archbench.pytest_plugin.ending import end_run
from archbench.pytest_plugin.evaluations import IMAGES, evaluation_path, outcomes_of, taken_up
from archbench.pytest_plugin.gate import accepted_of, gate_of, judged
from archbench.pytest_plugin.holding import holder_of
from archbench.pytest_plugin.options import worker_count
from archbench.pytest_plugin.progress import EvaluationProgress
from archbench.pytest_plugin.settings import settings_of
from archbench.pytest_plugin.starting import artefacts_of
from archbench.store.outcomes import StoredOutcomes, write_outcomes

RANGES = 128
"""Images that an engine takes the ranges of int8 from, but no more than a tenth of all."""


def images_of(config: pytest.Config) -> tuple[ImageSet, ImageSet]:
    """The images of ``--imagenet`` that are evaluated, and all of them, found once in each process.

    Raises:
        UsageError: they cannot be used; says why.
    """
    settings = settings_of(config)
    assert settings.imagenet is not None
    if IMAGES not in config.stash:
        found = images = open_images(settings.imagenet)
        if settings.accuracy_samples is not None:
            images = sampled(images, settings.accuracy_samples)
        config.stash[IMAGES] = images, found
    return config.stash[IMAGES]


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
    config, eager = node.config, dict[str, Outcomes]()
    images, found = images_of(config)
    reference = ranges = None
    if target.runtime != "eager":
        if target.dtype == "int8":
            images, ranges = apart(images, found, max(min(RANGES, len(found.images) // 10), 1))
        as_written = replace(target, dtype="fp32", runtime="eager")
        reference = _evaluation(config, spec, as_written, images)
        eager = dict(outcomes_of(config, reference))
    record = _evaluation(config, spec, target, images, ranges)
    if reference is not None:
        top1 = reference.metrics["top1"]
        beside = EagerTop(value=top1["value"], right=top1["right"], key=top1["key"])
        record.metrics["top1"]["eager"] = beside
    return record, judge_accuracy(node, record, spec, outcomes_of(config, record), eager)


def _evaluation(
    config: pytest.Config,
    spec: ModelSpec,
    target: Target,
    images: ImageSet,
    ranges: ImageSet | None = None,
) -> Record:
    """An architecture evaluated by its target's runtime, unless that was done before."""
    model = weighted(config, spec, target, settings_of(config).weights or "pretrained")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    workers = Workers.of(target, max((cores or 1) // worker_count(config), 1))
    size = None
    if target.runtime != "eager":
        # Ranges that are taken anew in each pass depend on the whole batch. Files of one size are
        # made once, whatever memory is free.
        with forward_passes(model.loaded):
            size = 1 if target.dtype == "int8" else 2 ** (fitting(model).bit_length() - 1)
        size = min(size, len(images.images))
        model = by_runtime(
            model, size, cores=workers.threads, ranges=ranges, artefacts=artefacts_of(config)
        )
    _, digest = fingerprint_of(model)
    key = evaluation_key(model, images, digest)
    record = taken_up(config, key)
    return record or _evaluated(config, model, images, key, workers, size)


def _evaluated(
    config: pytest.Config,
    model: WeightedModel,
    images: ImageSet,
    key: str,
    workers: Workers,
    size: int | None,
) -> Record:
    progress = EvaluationProgress(config, model.spec.id)
    try:
        found = evaluate(model, images, workers=workers, batch_size=size, progress=progress)
    finally:
        progress.close()
    record = _record(model, images, found, key)
    outcomes = {"top1": found.top1}
    if found.top5 is not None:
        outcomes["top5"] = found.top5
    write_outcomes(evaluation_path(config, key), StoredOutcomes(outcomes, record.as_dict()))
    return record


def _top(outcomes: Outcomes) -> MetricEntry:
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
    top1: MetricEntry = {
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
        notes=[*_doubts(found, len(images.images)), *which_scores, *model.notes],
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
        end_run(config, str(error), pytest.ExitCode.USAGE_ERROR)


# The fingerprint.


def fingerprint_record(
    node: pytest.Item, spec: ModelSpec, target: Target
) -> tuple[Record, str | None]:
    """Compare what the network makes of fixed images with what was accepted.

    Nothing is loaded where nothing has been accepted and nothing is to be.

    Returns:
        The record, and the text of the failure where the test is to fail.

    Raises:
        ArchitectureError, NotMeasuredError: the network cannot be loaded or run, or returns other
            scores for the same images.
    """
    config, gate, settings = node.config, gate_of(node.config), settings_of(node.config)
    record = Record(spec.id, target.batchless)
    accepted = accepted_of(config, FingerprintLine, record)
    cell, line = f"{spec.id} {target.precision}", accepted.line
    if line is None and gate.accepting is None:
        return record, _no_fingerprint(config, record, target)
    asked = settings.weights or (line.asked if line is not None else None)
    asked = asked or ("none" if settings.imagenet is None else "pretrained")
    model = weighted(config, spec, target, asked)
    if target.runtime != "eager":
        size = 1 if target.dtype == "int8" else len(FINGERPRINT_IMAGES)
        model = by_runtime(model, size, artefacts=artefacts_of(config))
    now, _ = fingerprint_of(model, passes=2)
    record.seconds["load_weights"] = model.loaded.load_seconds
    record.metrics[FINGERPRINT] = {
        "inputs": [*now.short.inputs],
        "outputs": [*now.short.outputs],
        "top": [*now.top],
        "weights": now.weights,
        "unit": "1",
        "source": "measured",
        "preprocessing": model.transform.as_dict(),
        # A path is of one machine.
        "asked": asked if asked in ("none", "pretrained") else "none",
    }
    before = None if line is None else line.value
    device = target.device_name if line is None else line.environment.get("device_name")
    verdict = fingerprint_verdict(
        before, now, target.dtype, same_device=device == target.device_name, accept=gate.replaces
    )

    def explain(bad: list[Verdict]) -> Iterator[str]:
        yield from verdict_lines(cell, bad)
        since: list[str] = []
        if line is not None:
            stated = model.transform.as_dict()
            since += changes(line.preprocessing, stated, without=["source"])
            since += environment_changes(line, record)
        yield from accepted.lines(since)
        yield how_to_accept(node)

    return record, judged(config, record, [verdict], explain)


def _no_fingerprint(config: pytest.Config, record: Record, target: Target) -> str | None:
    """The failure of a test whose network has no accepted fingerprint, where others have one."""
    file = gate_of(config).file(FingerprintLine)
    where = file.path.relative_to(config.rootpath)
    missing = judged(
        config,
        record,
        [fingerprint_verdict(None, Fingerprint((), (), (), "none"), target.dtype)],
        lambda _: [f"no-baseline: {record.id} {target.precision} has no line in {where}"],
    )
    return missing if file.lines else None
