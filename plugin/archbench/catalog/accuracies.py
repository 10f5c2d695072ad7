"""Every published accuracy of an architecture, of whichever weights, each with its source."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

from archbench.catalog.documents import numbers_of
from archbench.catalog.lists import DATA, read_architectures
from archbench.catalog.published import published_accuracies
from archbench.catalog.seeds import SeedRow, read_seeds
from archbench.core.spec import ModelSpec


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
            found += _printed(row.document, row.row)
    for name in _paddleclas_rows().get(spec.id, ()):
        found += _printed("paddleclas", name)
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


def _printed(document: str, model: str) -> list[DocumentAccuracy]:
    return [
        DocumentAccuracy(one.metric, one.value, f"{one.source}: {model}", remark=one.remark)
        for one in numbers_of(document, model, "top1", "top5")
    ]
