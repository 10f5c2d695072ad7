"""Accuracies and output fingerprints in a run: measuring, taking up again, judging, accepting."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archbench.core.accuracy import Outcomes, accuracy_verdict, published_verdict, wilson_interval
from archbench.core.errors import UsageError
from archbench.core.fingerprints import METRIC, Fingerprint, fingerprint_verdict
from archbench.core.records import Record
from archbench.core.spec import ModelSpec, Target
from archbench.core.verdicts import FAILING, Note, Verdict
from archbench.metrics import compared_by
from archbench.pytest_plugin import holder_of
from archbench.pytest_plugin.options import is_worker, spelled
from archbench.pytest_plugin.progress import EvaluationProgress
from archbench.pytest_plugin.settings import Settings, settings_of
from archbench.store.baselines import Baselines, Updated, read_baselines, update_baselines
from archbench.store.outcomes import (
    StoredOutcomes,
    outcomes_from_text,
    outcomes_path,
    outcomes_text,
    read_outcomes,
    write_outcomes,
)

if TYPE_CHECKING:
    from archbench.core.images import ImageSet
    from archbench.measure.accuracy import Evaluation
    from archbench.models.weights import WeightedModel

__all__ = [
    "ACCURACY_NOTE",
    "accuracies_path",
    "fingerprint_record",
    "fingerprints_path",
    "forget_evaluations",
    "images_of",
    "keep_outcomes",
    "measured_accuracy",
    "not_measured",
    "write_accuracies",
]

ACCURACY_NOTE = "accuracy-not-measured"
"""Code of the note on a cell whose accuracy nobody asked for."""

_IMAGES: pytest.StashKey[ImageSet] = pytest.StashKey()
_FILES: pytest.StashKey[dict[str, Baselines]] = pytest.StashKey()


def accuracies_path(config: pytest.Config) -> Path:
    """The file that holds the accepted outcomes."""
    return config.rootpath / "baselines" / "accuracy.jsonl"


def fingerprints_path(config: pytest.Config) -> Path:
    """The file that holds the accepted fingerprints."""
    return config.rootpath / "baselines" / "fingerprints.jsonl"


_PATHS = {"accuracy": accuracies_path, "fingerprint": fingerprints_path}


def _accepted(config: pytest.Config, kind: str) -> Baselines:
    files = config.stash.setdefault(_FILES, {})
    if kind not in files:
        try:
            files[kind] = read_baselines(_PATHS[kind](config), kind)
        except UsageError as error:
            raise pytest.UsageError(spelled(config, str(error))) from None
    return files[kind]


def images_of(config: pytest.Config) -> ImageSet | None:
    """The images of ``--imagenet``, or the sample of them, found once in each process.

    Raises:
        UsageError: they cannot be used; says why.
    """
    settings = settings_of(config)
    if settings.imagenet is None:
        return None
    if _IMAGES not in config.stash:
        from archbench.core.images import sampled
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
    model = _weighted(config, spec, target, settings.weights or "pretrained")
    _, digest = fingerprint_of(model)
    key = evaluation_key(model, images, digest)
    record = _taken_up(config, key)
    if record is None:
        record = _evaluated(config, model, images, key)
    failures = _judge_accuracy(node, record, spec, _outcomes(config, record))
    return record, failures


def _weighted(
    config: pytest.Config, spec: ModelSpec, target: Target, weights: str
) -> WeightedModel:
    from archbench.models.weights import load_weighted

    settings = settings_of(config)
    try:
        network = holder_of(config).network(spec) if spec.is_own else None
        return load_weighted(
            spec, target, weights, network, resize=settings.resize, crop=settings.crop
        )
    except UsageError as error:
        # The same request for every architecture: one message instead of one for each.
        pytest.exit(spelled(config, f"archbench: {error}"), returncode=pytest.ExitCode.USAGE_ERROR)


def _evaluated(config: pytest.Config, model: WeightedModel, images: ImageSet, key: str) -> Record:
    from archbench.measure.accuracy import Workers, evaluate

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    beside = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) if is_worker(config) else 1
    progress = EvaluationProgress(config, model.spec.id)
    try:
        found = evaluate(
            model,
            images,
            workers=Workers.of(model.target, max((cores or 1) // beside, 1)),
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
    from archbench.core.errors import ArchbenchError

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


# Judging.


def _judge_accuracy(
    node: pytest.Item, record: Record, spec: ModelSpec, outcomes: Mapping[str, Outcomes]
) -> list[str]:
    from archbench.pytest_plugin.budgets import configuration_of

    config = node.config
    settings = settings_of(config)
    assert record.target is not None
    baselines = _accepted(config, "accuracy")
    key = f"{record.id} {record.target.dtype}"
    line = baselines.lines.get(key)
    failures = []
    for metric, now in outcomes.items():
        tolerance = configuration_of(config).rules.tolerance(
            metric, record.id, record.target.slug, record.target.dtype
        )
        assert tolerance.confidence is not None
        before = _stored_outcomes(line, metric, baselines.path) if line is not None else None
        if line is not None and before is None:
            continue
        verdict = accuracy_verdict(
            before,
            now,
            metric=metric,
            confidence=tolerance.confidence,
            accept=settings.baseline_update == "all",
        )
        if before is None:
            verdict = _beside_published(record, spec, metric, now) or verdict
        record.verdicts.append(verdict)
        if settings.baseline_update != "all" and _fails(settings, verdict):
            name = metric.replace("top", "top-")
            failures.append(f"{verdict.status}: {key}: {name} {verdict.sentence}")
    if failures:
        if line is not None:
            where = baselines.path.relative_to(config.rootpath)
            failures.append(f"Baseline: {where}:{baselines.numbers[key]}, {_accepted_text(line)}.")
            changed = _changes(line, record)
            if changed:
                failures.append(f"Since then: {'; '.join(changed)}.")
        failures.append("If this is meant, run the same command with --baseline-update.")
        return [spelled(config, "\n".join(failures))]
    return []


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
    from archbench.catalog.published import published_accuracies

    top1 = record.metrics["top1"]
    figure = published_accuracies(spec).get(metric)
    is_theirs = top1["is_published"] and top1["dataset"]["is_imagenet"]
    if figure is None or not is_theirs or top1["dataset"]["classes"] != 1000:
        return None
    return published_verdict(metric, now.right, now.images, figure.value, figure.source)


def _fails(settings: Settings, verdict: Verdict) -> bool:
    if verdict.status in FAILING:
        return True
    if verdict.status == "no-baseline":
        return settings.needs_baseline
    return settings.strict and verdict.status in ("inconclusive", "not-comparable")


def _accepted_text(line: Mapping[str, Any]) -> str:
    commit = f" on commit {line['commit'][:9]}" if line["commit"] else ""
    reason = f": {line['reason']}" if line["reason"] else ""
    return f"accepted {line['when']}{commit}{reason}"


def _changes(line: Mapping[str, Any], record: Record) -> list[str]:
    """What differs between two evaluations of the same images, for whoever looks for the cause."""
    top1 = record.metrics["top1"]
    changed = []
    for name, now in top1["preprocessing"].items():
        then = line["preprocessing"].get(name)
        if then != now and name != "source":
            changed.append(f"{name} {then} -> {now}")
    weights = [
        (side or {}).get("sha256", "none")[:16] for side in (line["weights"], top1["weights"])
    ]
    if weights[0] != weights[1]:
        changed.append(f"weights {weights[0]} -> {weights[1]}")
    now_environment = _environment(record)
    changed += [
        f"{name} {then} -> {now_environment[name]}"
        for name, then in line["environment"].items()
        if name in now_environment and now_environment[name] != then
    ]
    return changed


def _environment(record: Record) -> dict[str, Any]:
    from archbench.measure.environment import provenance
    from archbench.models.libraries import library_version

    assert record.target is not None
    return {
        "device_name": record.target.device_name,
        "torch": library_version("torch"),
        "library": provenance(record.id.partition("/")[0]),
        "pillow": library_version("pillow"),
    }


# The fingerprint.


def fingerprint_record(
    node: pytest.Item, spec: ModelSpec, target: Target
) -> tuple[Record, list[str]]:
    """Compare what the network makes of fixed images with what was accepted.

    Nothing is loaded where nothing has been accepted and nothing is to be.

    Returns:
        The record, and the text of each failure.

    Raises:
        ArchitectureError, NotMeasuredError: the network cannot be loaded or run.
    """
    config = node.config
    settings = settings_of(config)
    baselines = _accepted(config, "fingerprint")
    key = f"{spec.id} {target.dtype}"
    line = baselines.lines.get(key)
    record = Record(spec.id, target.batchless)
    if line is None and settings.baseline_update is None:
        verdict = fingerprint_verdict(None, _NOTHING, target.dtype)
        record.verdicts.append(verdict)
        if settings.needs_baseline and baselines.lines:
            where = baselines.path.relative_to(config.rootpath)
            return record, [spelled(config, f"no-baseline: {key} has no line in {where}")]
        return record, []
    asked = settings.weights or (line["asked"] if line is not None else None)
    from archbench.measure.fingerprints import fingerprint_of

    asked = asked or ("none" if settings.imagenet is None else "pretrained")
    model = _weighted(config, spec, target, asked)
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
    accept = settings.baseline_update == "all"
    before = None if line is None else Fingerprint.from_dict(line)
    device = target.device_name if line is None else line["environment"]["device_name"]
    verdict = fingerprint_verdict(
        before, now, target.dtype, same_device=device == target.device_name, accept=accept
    )
    record.verdicts.append(verdict)
    if accept or verdict.status == "no-baseline" or not _fails(settings, verdict):
        return record, []
    lines = [f"{verdict.status}: {key}: {verdict.sentence}"]
    if line is not None:
        where = baselines.path.relative_to(config.rootpath)
        lines.append(f"Baseline: {where}:{baselines.numbers[key]}, {_accepted_text(line)}.")
        then = line["preprocessing"]
        changed = [
            f"{name} {then.get(name)} -> {value}"
            for name, value in model.transform.as_dict().items()
            if then.get(name) != value and name != "source"
        ]
        environment = _environment(record)
        changed += [
            f"{name} {value} -> {environment[name]}"
            for name, value in line["environment"].items()
            if environment.get(name, value) != value
        ]
        if changed:
            lines.append(f"Since then: {'; '.join(changed)}.")
    lines.append("If this is meant, run the same command with --baseline-update.")
    return record, [spelled(config, "\n".join(lines))]


_NOTHING = Fingerprint((), (), (), "none")


# Accepting.


def write_accuracies(
    config: pytest.Config, records: Sequence[Record], run: Path | None
) -> list[tuple[Path, Updated]]:
    """Accept outcomes and fingerprints as the baseline.

    Args:
        config: of the run.
        records: of tests that passed, each with a top-1 or a fingerprint.
        run: directory of the run, where the outcomes are.

    Raises:
        UsageError: a file was damaged in the meantime.
        OSError: it cannot be written.
    """
    from datetime import datetime, timezone

    from archbench.measure.environment import git_state

    settings = settings_of(config)
    git = git_state(config.rootpath)
    commit = None if git is None else git["commit"] + ("-dirty" if git["dirty"] else "")
    lines: dict[str, dict[str, dict[str, Any]]] = {"accuracy": {}, "fingerprint": {}}
    for record in records:
        assert record.target is not None
        dtype = record.target.dtype
        shared = {
            "id": record.id,
            "cell": dtype,
            "environment": _environment(record),
            "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "commit": commit,
            "reason": settings.baseline_reason,
        }
        top1 = record.metrics.get("top1")
        if top1 is not None and run is not None:
            stored = read_outcomes(run / top1["outcomes"]).outcomes
            lines["accuracy"][f"{record.id} {dtype}"] = {
                **shared,
                **{name: _outcomes_line(stored.get(name)) for name in compared_by("pairs")},
                "weights": top1["weights"],
                "preprocessing": top1["preprocessing"],
                "sample": top1["dataset"]["sample"],
                "seed": top1["dataset"]["seed"],
            }
        taken = record.metrics.get(METRIC)
        if taken is not None:
            fields = ("inputs", "outputs", "top", "weights", "preprocessing", "asked")
            lines["fingerprint"][f"{record.id} {dtype}"] = {
                **shared,
                **{name: taken[name] for name in fields},
            }
    lock = settings.directory / "baselines.lock"
    only_new = settings.baseline_update == "new"
    return [
        (
            _PATHS[kind](config),
            update_baselines(_PATHS[kind](config), kind, found, lock, only_new=only_new),
        )
        for kind, found in lines.items()
        if found
    ]


def _outcomes_line(outcomes: Outcomes | None) -> dict[str, Any] | None:
    if outcomes is None:
        return None
    return {
        "images": outcomes.images,
        "right": outcomes.right,
        "digest": outcomes.digest,
        "bits": outcomes_text(outcomes),
    }
