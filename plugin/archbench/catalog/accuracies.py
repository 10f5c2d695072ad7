"""Every published accuracy of an architecture, of whichever weights, each with its source."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from archbench.catalog.lists import DATA, read_architectures
from archbench.catalog.published import published_accuracies, published_rows
from archbench.catalog.seeds import SeedRow, read_seeds
from archbench.core.spec import ModelSpec

__all__ = ["DocumentAccuracy", "accuracies_in_documents"]


@dataclass(frozen=True, slots=True)
class DocumentAccuracy:
    """What one document prints about an architecture on ImageNet-1k, single crop.

    Attributes:
        metric: ``top1`` or ``top5``.
        value: percent.
        source: the document and its row.
        weights: the tag of the library's weights that it is of; None where it is of others.
        remark: what else tells it apart: ``reference``, ``Tensorflow``.
    """

    metric: str
    value: float
    source: str
    weights: str | None = None
    remark: str | None = None


def accuracies_in_documents(spec: ModelSpec) -> tuple[DocumentAccuracy, ...]:
    """All published accuracies of an architecture at its input size.

    The library's own come first, of its default weights. Documents are joined by architecture, so
    that the same network in several libraries has the same ones: they are of other weights, and
    say what the architecture reached elsewhere.
    """
    found: list[DocumentAccuracy] = []
    own = published_accuracies(spec)
    seeds = _seeds_by_architecture().get((spec.architecture or spec.id, _pixels(spec)), ())
    is_own = not any(seed.top1 is not None and seed.id == spec.id for seed in seeds)
    if is_own:
        found += [
            DocumentAccuracy(metric, figure.value, figure.source, spec.weights)
            for metric, figure in own.items()
        ]
    for seed in seeds:
        for row in seed.published:
            found += _READERS[row.document](row.row)
    for name in _paddleclas_rows().get(spec.id, ()):
        found += _paddleclas(name)
    return tuple(dict.fromkeys(found))


def _pixels(spec: ModelSpec) -> int | None:
    return None if spec.is_native_size else spec.input_size[-1]


@cache
def _seeds_by_architecture() -> dict[tuple[str, int | None], tuple[SeedRow, ...]]:
    names = read_architectures()
    found: dict[tuple[str, int | None], list[SeedRow]] = {}
    for seed in read_seeds():
        architecture = names.get(seed.native_id, seed.name)
        found.setdefault((architecture, seed.pixels), []).append(seed)
    return {key: tuple(rows) for key, rows in found.items()}


@cache
def _paddleclas_rows() -> dict[str, tuple[str, ...]]:
    """Rows of PaddleClas by id: of the same name, and of the same params within 2 %.

    Of one name alone there are other networks too: its ViT-S has 49 million.
    """
    content = json.loads((DATA / "paddleclas_rows.json").read_bytes())
    rows: dict[str, tuple[str, ...]] = {}
    for name, ids in content["rows"].items():
        for id in ids:
            rows[id] = (*rows.get(id, ()), name)
    return rows


def _matching(document: str, model: str) -> Iterator[dict[str, str]]:
    return (row for row in published_rows(document) if row["model"] == model)


def _bertmoons(model: str) -> list[DocumentAccuracy]:
    return [
        DocumentAccuracy("top1", float(row["top1"]), f"{row['source']}: {model}")
        for row in _matching("bertmoons2018", model)
        if row["top1"]
    ]


_METRICS = {"top1": "top1", "top5": "top5", "top5_err_central_crop": "top5"}
"""What documents with a row for each figure call single-crop accuracies; errors among them."""


def _by_figure(document: str, model: str) -> list[DocumentAccuracy]:
    found = []
    for row in _matching(document, model):
        metric = _METRICS.get(row["metric"])
        if metric is None or not row["value"]:
            continue
        printed = Decimal(row["value"])
        value = 100 - printed if "_err" in row["metric"] else printed
        remark = f"printed as an error of {printed} %" if "_err" in row["metric"] else None
        found.append(
            DocumentAccuracy(metric, float(value), f"{row['source']}: {model}", remark=remark)
        )
    return found


def _cadene(model: str) -> list[DocumentAccuracy]:
    return [
        DocumentAccuracy(metric, float(row[metric]), f"{row['source']}: {model}", None, version)
        for row in _matching("cadene_pretrained", model)
        for version in [row["version"]]
        for metric in ("top1", "top5")
        if row[metric]
    ]


def _lightweight(model: str) -> list[DocumentAccuracy]:
    return [
        DocumentAccuracy("top1", float(row["top1"]), f"{row['source']}: {model}")
        for row in _matching("lightweight2020", model)
        if row["top1"]
    ]


def _paddleclas(model: str) -> list[DocumentAccuracy]:
    found = []
    for row in _matching("paddleclas", model):
        source = f"{row['source']}: {model}"
        for metric in ("top1", "top5"):
            if row[f"{metric}_pct"]:
                found.append(DocumentAccuracy(metric, float(row[f"{metric}_pct"]), source))
            if row[f"ref_{metric}"]:
                # What its authors found: of MixNet and ReXNet in percent, else as a share of one.
                printed = Decimal(row[f"ref_{metric}"])
                value = float(printed if printed > 1 else printed * 100)
                found.append(DocumentAccuracy(metric, value, source, remark="reference"))
    return found


_READERS = {
    "bertmoons2018": _bertmoons,
    "bianco2018": lambda model: _by_figure("bianco2018", model),
    "canziani2016": lambda model: _by_figure("canziani2016", model),
    "cadene_pretrained": _cadene,
    "lightweight2020": _lightweight,
    "paddleclas": _paddleclas,
}
