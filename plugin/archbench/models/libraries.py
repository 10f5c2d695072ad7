"""The model libraries: what each one offers, found out by building all of it without weights."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from archbench.catalog.lists import SCHEMA, StatedPreprocessing, StoredList, StoredModel
from archbench.core.errors import ArchitectureError, UsageError
from archbench.core.spec import ModelSpec
from archbench.models.building import build, build_on_meta
from archbench.models.installed import NAMES, constructors, library_version, pytorchcv_store
from archbench.models.timm_configs import tags_weights, timm_config

__all__ = ["discover", "library_version", "names"]

CLASSES = 1000
"""Classes of ImageNet-1k; an architecture with another number of outputs is not listed."""


def names(library: str) -> list[str]:
    """All constructor names of an installed library, classifiers or not, without building any."""
    return sorted(_library(library).names())


def discover(library: str, progress: Callable[[str], None] | None = None) -> StoredList:
    """The list of a library's ImageNet-1k classifiers, as the catalogue stores it.

    Every architecture is built without memory for its weights and gets one image: those that
    answer with 1000 class scores are listed, the others are recorded with the reason. Takes up to
    six minutes.

    Args:
        library: ``timm``, ``torchvision`` or ``pytorchcv``.
        progress: called with each name before it is tried.

    Raises:
        UsageError: this version of the library says too little about its weights.
    """
    _refuse_old(library)
    entry = _library(library).entry
    models: list[StoredModel] = []
    skipped: dict[str, str] = {}
    for name in names(library):
        if progress is not None:
            progress(name)
        try:
            with warnings.catch_warnings():
                # Constructors warn about their own defaults.
                warnings.simplefilter("ignore")
                models.append(entry(name))
        except ArchitectureError as error:
            skipped[name] = " ".join(str(error).split())[:160]
    versions = library_version(library), library_version("torch")
    return StoredList(SCHEMA, library, *versions, tuple(models), skipped)


def _refuse_old(library: str) -> None:
    since = {"timm": "0.9", "pytorchcv": "0.0.68"}
    if (library == "timm" and not tags_weights()) or (
        library == "pytorchcv" and not hasattr(pytorchcv_store(), "get_model_metainfos_file_path")
    ):
        raise UsageError(
            f"the list of {library}",
            f"{library} {library_version(library)} does not say enough about its weights",
            f"Install {library} {since[library]} or newer",
        )


def _require_class_scores(spec: ModelSpec, model: nn.Module) -> None:
    """See that a model on the meta device makes 1000 class scores of one image."""
    try:
        shape = _output_shape(model, spec, "meta")
    except Exception as meta_error:
        # A forward pass may need numbers; where numbers do not help either, that is the reason.
        try:
            shape = _output_shape(build(spec).eval(), spec, "cpu")
        except Exception:
            raise ArchitectureError(
                f"its forward pass fails at {spec.input_size}: "
                f"{type(meta_error).__name__}: {meta_error}"
            ) from meta_error
    if shape != (1, CLASSES):
        raise ArchitectureError(f"its output is {shape}, not (1, {CLASSES}) class scores")


@torch.no_grad()
def _output_shape(model: nn.Module, spec: ModelSpec, device: str) -> tuple[int, ...] | str:
    output = model(torch.empty((1, *spec.input_size), device=device))
    if isinstance(output, (tuple, list)):
        output = output[0]
    return tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__


def _timm_entry(name: str) -> StoredModel:
    config = timm_config(name)
    # timm gives a model the head of its default weights, which for pretraining on other data is
    # none or another one; the architecture is then listed as the ImageNet-1k classifier that timm
    # builds on request, and those weights' figures do not belong to it.
    native_head = config["num_classes"] == CLASSES
    kwargs: dict[str, object] = {} if native_head else {"num_classes": CLASSES}
    spec = _spec("timm", name, config["input_size"], kwargs)
    has_weights = config.get("url") or config.get("file") or config.get("hf_hub_id")
    _require_class_scores(spec, build_on_meta(spec))
    tag = config["tag"] if native_head and has_weights else None
    stated = StatedPreprocessing(
        tuple(config["mean"]),
        tuple(config["std"]),
        config["crop_pct"],
        config["crop_mode"],
        config["interpolation"],
    )
    return StoredModel(name, config["input_size"], kwargs, tag, stated)


_TORCHVISION_KWARGS: dict[str, dict[str, object]] = {
    # The auxiliary classifiers are for training only; left unset, init_weights warns and is slow.
    "googlenet": {"aux_logits": False, "init_weights": False},
    "inception_v3": {"aux_logits": False, "init_weights": False},
}


def _torchvision_entry(name: str) -> StoredModel:
    weights = constructors("torchvision").get_model_weights(name).DEFAULT
    transform = weights.transforms()
    (pixels,), (resized,) = transform.crop_size, transform.resize_size
    kwargs = dict(_TORCHVISION_KWARGS.get(name, {}))
    if name.startswith("vit_") and pixels != 224:
        # What its constructor does by itself when it is given these weights.
        kwargs["image_size"] = pixels
    spec = _spec("torchvision", name, (3, pixels, pixels), kwargs)
    _require_class_scores(spec, build_on_meta(spec))
    metrics = weights.meta["_metrics"]["ImageNet-1K"]
    stated = StatedPreprocessing(
        tuple(transform.mean),
        tuple(transform.std),
        pixels / resized,
        "center",
        transform.interpolation.value,
    )
    accuracies = metrics["acc@1"], metrics["acc@5"]
    return StoredModel(name, (3, pixels, pixels), kwargs, weights.name, stated, *accuracies)


@cache
def _pytorchcv_tested() -> dict[str, dict[str, str]]:
    """What pytorchcv's own table says about its pretrained ImageNet-1k classifiers."""
    with Path(pytorchcv_store().get_model_metainfos_file_path()).open(
        encoding="utf-8", newline=""
    ) as file:
        rows = list(csv.DictReader(file))
    return {row["model_name"]: row for row in rows if row["test_dataset"] == "in1k"}


def _pytorchcv_entry(name: str) -> StoredModel:
    spec = _spec("pytorchcv", name, (3, 224, 224), {})
    model = build_on_meta(spec)
    classes = getattr(model, "num_classes", None)
    if classes != CLASSES:
        raise ArchitectureError(
            "it has no num_classes: not a classifier"
            if classes is None
            else f"it has {classes} classes, not {CLASSES}"
        )
    # An attribute of a module is typed as a tensor or a module; this is two numbers.
    in_size: Any = model.in_size
    height, width = in_size
    spec = replace(spec, input_size=(3, height, width))
    _require_class_scores(spec, model)
    tested = _pytorchcv_tested().get(name)
    crop = None if tested is None or tested["img_scale"] == "NA" else float(tested["img_scale"])
    has_weights = tested is not None and tested["checksum"] != "NA"
    tag = tested["repo_release_tag"] if tested is not None and has_weights else None
    stated = None if crop is None else StatedPreprocessing(None, None, crop, None, None)
    return StoredModel(name, (3, height, width), {}, tag, stated)


def _spec(
    library: str, name: str, input_size: tuple[int, int, int], kwargs: Mapping[str, object]
) -> ModelSpec:
    return ModelSpec(library, name, input_size, tuple(sorted(kwargs.items())))


class _Library(NamedTuple):
    names: Callable[[], Iterable[str]]
    entry: Callable[[str], StoredModel]


_LIBRARIES = {
    "timm": _Library(NAMES["timm"], _timm_entry),
    "torchvision": _Library(NAMES["torchvision"], _torchvision_entry),
    "pytorchcv": _Library(NAMES["pytorchcv"], _pytorchcv_entry),
}


def _library(library: str) -> _Library:
    if library not in _LIBRARIES:
        raise UsageError(
            asked=f"library {library!r}",
            found=f"archbench knows how to list {', '.join(_LIBRARIES)}",
            todo="Name one of these",
        )
    return _LIBRARIES[library]
