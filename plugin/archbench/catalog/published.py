"""Published accuracies: whose figure belongs to which architecture."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from archbench.catalog.lists import DATA, read_list
from archbench.catalog.seeds import PublishedRow, read_seeds
from archbench.core.points import Figure
from archbench.core.spec import ModelSpec

__all__ = ["PublishedFigure", "published_accuracies", "published_rows", "published_top1"]


@dataclass(frozen=True, slots=True)
class PublishedFigure:
    """A figure that somebody else printed, never one that was measured here.

    Attributes:
        value: percent.
        source: who printed it, and in which row.
        weights: the tag of the pretrained weights that it belongs to; None where they are not
            those of the architecture's library.
    """

    value: float
    source: str
    weights: str | None


def published_top1(spec: ModelSpec) -> PublishedFigure | None:
    """The published single-crop top-1 accuracy on ImageNet-1k, None where nobody printed one.

    A seed row may name the document whose figure it takes; any other figure is the library's own,
    of its default weights at the input size of ``spec``. The files are read when first needed.
    """
    return _published(spec, "top1")


def published_accuracies(spec: ModelSpec) -> dict[str, Figure]:
    """The published top-1 and, where it stands beside it, top-5 accuracy of an architecture.

    Returns:
        Figures of kind ``published`` under ``top1`` and ``top5``; none where nobody printed one.
    """
    found = {metric: _published(spec, metric) for metric in ("top1", "top5")}
    return {
        metric: Figure(figure.value, "published", figure.source)
        for metric, figure in found.items()
        if figure is not None
    }


def _published(spec: ModelSpec, metric: str) -> PublishedFigure | None:
    if spec.arguments or len(set(spec.input_size[1:])) > 1:
        return None
    row = _named_by_seed().get(spec.id)
    if row is not None:
        return _DOCUMENTS[row.document](row.row, metric)
    find = _LIBRARIES.get(spec.library)
    return None if find is None else find(spec, metric)


@cache
def _named_by_seed() -> dict[str, PublishedRow]:
    return {
        seed.id: next(row for row in seed.published if row.document == seed.top1)
        for seed in read_seeds()
        if seed.top1 is not None
    }


@cache
def published_rows(document: str) -> tuple[dict[str, str], ...]:
    """The rows of a file of ``data/published``, in its order and its own words."""
    with (DATA / "published" / f"{document}.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def _figure(printed: str, source: str, row: str, weights: str | None = None) -> PublishedFigure:
    return PublishedFigure(float(printed), f"{source}: {row}", weights)


def _timm(spec: ModelSpec, metric: str) -> PublishedFigure | None:
    if spec.weights is None:
        return None
    name = f"{spec.name}.{spec.weights}"
    row = _timm_rows().get((name, str(spec.input_size[-1])))
    if row is None:
        return None
    return _figure(row[metric], row["source"], f"{name} at {row['img_size']}", spec.weights)


@cache
def _timm_rows() -> dict[tuple[str, str], dict[str, str]]:
    return {(row["model"], row["img_size"]): row for row in published_rows("timm_imagenet")}


def _torchvision(spec: ModelSpec, metric: str) -> PublishedFigure | None:
    stored = read_list("torchvision")
    accuracy = next((model[metric] for model in stored.models if model["name"] == spec.name), None)
    if accuracy is None or not spec.is_native_size:
        return None
    weights = spec.weights
    return PublishedFigure(
        accuracy, f"torchvision {stored.version}: {spec.name} {weights}", weights
    )


def _pytorchcv(spec: ModelSpec, metric: str) -> PublishedFigure | None:
    row = _pytorchcv_rows().get(spec.name)
    if row is None or not spec.is_native_size:
        return None
    accuracy = str(100 - Decimal(row[f"{metric}_err"]))
    return _figure(accuracy, row["source"], row["model"], spec.weights)


@cache
def _pytorchcv_rows() -> dict[str, dict[str, str]]:
    return {row["code_name"]: row for row in published_rows("pytorchcv_imagenet")}


def _bertmoons(model: str, metric: str) -> PublishedFigure | None:
    row = next(row for row in published_rows("bertmoons2018") if row["model"] == model)
    return _figure(row["top1"], row["source"], model) if metric == "top1" else None


def _measured(document: str) -> Callable[[str, str], PublishedFigure | None]:
    def find(model: str, metric: str) -> PublishedFigure | None:
        return next(
            (
                _figure(row["value"], row["source"], model)
                for row in published_rows(document)
                if row["model"] == model and row["metric"] == metric and row["value"]
            ),
            None,
        )

    return find


def _cadene(model: str, metric: str) -> PublishedFigure:
    # The weights that the comparison measured are the port, not the original framework's.
    version = "Our porting"
    row = next(
        row
        for row in published_rows("cadene_pretrained")
        if row["model"] == model and row["version"] == version
    )
    return _figure(row[metric], row["source"], f"{model} ({version})")


def _paddleclas(model: str, metric: str) -> PublishedFigure | None:
    row = next(row for row in published_rows("paddleclas") if row["model"] == model)
    printed = row[f"{metric}_pct"]
    return _figure(printed, row["source"], model) if printed else None


_LIBRARIES: dict[str, Callable[[ModelSpec, str], PublishedFigure | None]] = {
    "timm": _timm,
    "torchvision": _torchvision,
    "pytorchcv": _pytorchcv,
}

_DOCUMENTS: dict[str, Callable[[str, str], PublishedFigure | None]] = {
    "bertmoons2018": _bertmoons,
    "bianco2018": _measured("bianco2018"),
    "canziani2016": _measured("canziani2016"),
    "cadene_pretrained": _cadene,
    "paddleclas": _paddleclas,
}
