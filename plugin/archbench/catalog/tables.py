"""The packaged published tables as rows: figures in SI units, each with its source."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from archbench.catalog.catalog import load_catalog
from archbench.catalog.counts import counted_figures
from archbench.catalog.documents import (
    DOCUMENTS,
    PORT,
    Printed,
    common_key,
    numbers_of,
    printed_numbers,
)
from archbench.catalog.families import family_of
from archbench.catalog.published import published_accuracies
from archbench.catalog.seeds import read_seeds
from archbench.core.errors import UsageError
from archbench.core.rows import Row, Value, with_derived


@dataclass(frozen=True, slots=True)
class _Device:
    slug: str
    name: str


_TITAN_XP = _Device("titan-xp", "NVIDIA Titan Xp")
_DEVICES = {
    "NVIDIA Titan X Pascal (Titan Xp)": _TITAN_XP,
    "NVIDIA Jetson TX1": _Device("jetson-tx1", "NVIDIA Jetson TX1"),
    "V100": _Device("v100", "Tesla V100"),
    "T4": _Device("t4", "Tesla T4"),
}
"""Devices by the tables' own names."""


@cache
def _seed_ids(document: str) -> dict[str, str]:
    return {
        row.row: seed.id
        for seed in read_seeds()
        for row in seed.published
        if row.document == document
    }


def _id_of(document: str, number: Printed) -> str:
    """The architecture that a row is about; ``published/NAME`` where the catalogue has none."""
    model = number.model
    if number.known:
        catalog = load_catalog()
        return catalog.get(number.known).id if catalog.has(number.known) else f"published/{model}"
    if document == "cadene_pretrained":
        ids = {common_key(name): id for name, id in _seed_ids("bianco2018").items()}
        if common_key(model) in ids:
            return ids[common_key(model)]
    seeds = _seed_ids("paddleclas" if document == "paddleclas_latency" else document)
    return seeds.get(model, f"published/{model}")


def _figure(number: Printed, note: str = "") -> Value:
    source = f"{number.source.rpartition(' = ')[2]}: {number.model}"
    return Value(number.value, "published", f"{source}{note or number.note}")


@cache
def _ports() -> dict[str, Value]:
    """The top-1 of Cadene's ports by :func:`common_key`: weights that Bianco et al. ran."""
    return {
        common_key(one.model): _figure(one, f" ({PORT}), the weights that ran")
        for one in printed_numbers("cadene_pretrained")
        if one.remark == PORT and one.metric == "top1"
    }


@cache
def _bianco_top1(model: str) -> Value | None:
    """As the paper prints it, for 26 of its 44 architectures; else as published with the weights.

    Those are Cadene's ports and what torchvision had. Of the latter the library's own figure is
    taken and not Cadene's copy of older ones: DenseNet-121 has 74.47 % in the paper, 74.43 % in
    torchvision's list, 74.65 % in that copy.
    """
    for number in numbers_of("bianco2018", model, "top1"):
        return _figure(number)
    id = _seed_ids("bianco2018")[model]
    port = _ports().get(common_key(model))
    return port or published_accuracies(load_catalog().get(id)).get("top1")


def _borrowed(document: str, model: str) -> dict[str, Value]:
    """What another document, or another row of this one, says about every cell of a model."""
    if document == "bianco2018" and (top1 := _bianco_top1(model)) is not None:
        return {"top1": top1}
    if document == "paddleclas_latency":
        names = ("top1", "top5", "params", "macs")
        return _first(one for one in numbers_of("paddleclas", model, *names) if one.cell)
    return {}


def _first(numbers: Iterable[Printed]) -> dict[str, Value]:
    """Where two documents print a figure, the first."""
    figures: dict[str, Value] = {}
    for number in numbers:
        figures.setdefault(number.metric, _figure(number))
    return figures


def _row(document: str, numbers: Sequence[Printed]) -> Row:
    """A cell; what it does not print of params and MACs is counted, for a known architecture."""
    first = numbers[0]
    known = _id_of(document, first)
    device = None if first.device is None else _DEVICES[first.device]
    figures = {**_borrowed(document, first.model), **_first(numbers)}
    return Row(
        id=known,
        name=first.model,
        library=document,
        family=family_of(first.model),
        device=device.slug if device else "",
        device_name=device.name if device else "",
        dtype=first.dtype,
        batch_size=first.batch_size,
        run=document,
        values=with_derived({**counted_figures(known), **figures}, first.batch_size),
    )


PUBLISHED = tuple(DOCUMENTS)
"""Names of the packaged tables."""


def published_table(name: str) -> list[Row]:
    """The rows of a packaged table, in its order.

    An architecture that is in the catalogue has its id, and its counts where the table prints
    none; any other is ``published/NAME``.

    Raises:
        UsageError: there is no table of that name.
    """
    if name not in DOCUMENTS:
        raise UsageError(
            f"published:{name}",
            "there is no published table of that name",
            f"Use published:NAME with one of {', '.join(PUBLISHED)}",
        )
    cells: dict[object, list[Printed]] = {}
    for number in printed_numbers(name):
        if number.cell is not None:
            cells.setdefault(number.cell, []).append(number)
    return [_row(name, numbers) for numbers in cells.values()]
