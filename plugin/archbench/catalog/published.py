"""Published accuracies: whose figure belongs to which architecture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from archbench.catalog.documents import PORT, Printed, numbers_of, printed_numbers
from archbench.catalog.lists import read_list
from archbench.catalog.seeds import PublishedRow, read_seeds
from archbench.core.rows import Value
from archbench.core.spec import ModelSpec


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

    def as_top1(self) -> dict[str, dict[str, str | float]]:
        """What results say of it, apart from what was measured."""
        return {"top1": {"value": self.value, "unit": "%", "source": self.source}}


def published_top1(spec: ModelSpec) -> PublishedFigure | None:
    """The published single-crop top-1 accuracy on ImageNet-1k, None where nobody printed one.

    A seed row may name the document whose figure it takes; any other figure is the library's own,
    of its default weights at the input size of ``spec``. The files are read when first needed.
    """
    return _published(spec, "top1")


def published_accuracies(spec: ModelSpec) -> dict[str, Value]:
    """The published top-1 and, where it stands beside it, top-5 accuracy of an architecture.

    Returns:
        Figures of kind ``published`` under ``top1`` and ``top5``; none where nobody printed one.
    """
    found = {metric: _published(spec, metric) for metric in ("top1", "top5")}
    return {
        metric: Value(figure.value, "published", figure.source)
        for metric, figure in found.items()
        if figure is not None
    }


def _published(spec: ModelSpec, metric: str) -> PublishedFigure | None:
    if spec.arguments or len(set(spec.input_size[1:])) > 1:
        return None
    row = _named_by_seed().get(spec.id)
    if row is not None:
        return _in_document(row, metric)
    find = _LIBRARIES.get(spec.library)
    return None if find is None else find(spec, metric)


@cache
def _named_by_seed() -> dict[str, PublishedRow]:
    return {
        seed.id: next(row for row in seed.published if row.document == seed.top1)
        for seed in read_seeds()
        if seed.top1 is not None
    }


def _figure(number: Printed, row: str, weights: str | None = None) -> PublishedFigure:
    return PublishedFigure(number.value, f"{number.source}: {row}", weights)


def _timm(spec: ModelSpec, metric: str) -> PublishedFigure | None:
    if spec.weights is None:
        return None
    name, pixels = f"{spec.name}.{spec.weights}", spec.input_size[-1]
    known = f"timm/{spec.name}@{pixels}"
    numbers = (one for one in numbers_of("timm_imagenet", name, metric) if one.known == known)
    return next((_figure(one, f"{name} at {pixels}", spec.weights) for one in numbers), None)


def _torchvision(spec: ModelSpec, metric: str) -> PublishedFigure | None:
    stored = read_list("torchvision")
    accuracies = (getattr(model, metric) for model in stored.models if model.name == spec.name)
    accuracy = next(accuracies, None)
    if accuracy is None or not spec.is_native_size:
        return None
    weights = spec.weights
    return PublishedFigure(
        accuracy, f"torchvision {stored.version}: {spec.name} {weights}", weights
    )


def _pytorchcv(spec: ModelSpec, metric: str) -> PublishedFigure | None:
    number = _of_pytorchcv().get((f"pytorchcv/{spec.name}", metric))
    if number is None or not spec.is_native_size:
        return None
    return _figure(number, number.model, spec.weights)


@cache
def _of_pytorchcv() -> dict[tuple[str, str], Printed]:
    return {(one.known, one.metric): one for one in printed_numbers("pytorchcv_imagenet")}


def _in_document(row: PublishedRow, metric: str) -> PublishedFigure | None:
    """Of the weights that the document is about: Cadene's list has the ports' beside others'."""
    port = PORT if row.document == "cadene_pretrained" else None
    name = f"{row.row} ({port})" if port else row.row
    numbers = numbers_of(row.document, row.row, metric)
    return next((_figure(one, name) for one in numbers if one.remark == port), None)


_LIBRARIES: dict[str, Callable[[ModelSpec, str], PublishedFigure | None]] = {
    "timm": _timm,
    "torchvision": _torchvision,
    "pytorchcv": _pytorchcv,
}
