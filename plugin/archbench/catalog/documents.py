"""The published documents, each read in one place: every number that they print about a model.

Files are in ``data/published``, in the documents' own words and order.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from archbench.catalog.lists import DATA
from archbench.core.conventions import CONVENTIONS

PORT = "Our porting"
"""What Cadene's list calls weights that were ported: those that Bianco et al. ran."""

_Row = Mapping[str, str]
_ACCURACIES = {"top1": "top1", "top5": "top5", "top5_err_central_crop": "top5"}
"""What documents with a row for each figure call single-crop accuracies; errors among them."""


@dataclass(frozen=True, slots=True)
class Printed:
    """One number of a document.

    Attributes:
        model: as the document names it.
        metric: name of the metric.
        value: in SI, accuracies in percent.
        source: the document.
        cell: what belongs to one row of figures has the same; None for what is no figure of the
            model as the table has it: a reference, an error, a row that was commented out.
        note: what was done to the number.
        remark: what else tells it apart: ``reference``, ``Tensorflow``.
        known: the id of an architecture that the document is a list of, with its input size.
        device, dtype, batch_size: what it was measured on, where it was.
    """

    model: str
    metric: str
    value: float
    source: str
    cell: object = None
    note: str = ""
    remark: str | None = None
    known: str = ""
    device: str | None = None
    dtype: str | None = None
    batch_size: int | None = None


@cache
def published_rows(document: str) -> tuple[dict[str, str], ...]:
    """The rows of a file, in its order and its own words."""
    with (DATA / "published" / f"{document}.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def _scaled(printed: str, scale: str = "1") -> float:
    """A printed number, rounded once; a comma in it groups thousands."""
    return float(Decimal(printed.replace(",", "")) * Decimal(scale))


def _columns(row: _Row, **columns: str) -> Iterator[tuple[str, float]]:
    """Metric and value of each column that holds something; ``metric="column scale"``."""
    for metric, named in columns.items():
        column, _, scale = named.partition(" ")
        if row[column]:
            yield metric, _scaled(row[column], scale or "1")


def _bertmoons() -> Iterator[Printed]:
    convention = CONVENTIONS["bertmoons"]
    for number, row in enumerate(published_rows("bertmoons2018")):
        model, source = row["model"], row["source"]
        cell = number if row["commented_out"] == "no" else None
        if cell is not None:
            macs = float(Decimal(str(convention.to_macs(row["ops_mops"]))))
            yield Printed(model, "macs", macs, source, cell, ", operations halved")
        for metric, value in _columns(row, top1="top1", params="params_m 1e6"):
            yield Printed(model, metric, value, source, cell)


def _canziani() -> Iterator[Printed]:
    for number, row in enumerate(published_rows("canziani2016")):
        yield from _accuracy_of(row, number)


def _accuracy_of(row: _Row, cell: object = None) -> Iterator[Printed]:
    """Of a row that holds one figure, as Canziani's and Bianco's do."""
    metric = _ACCURACIES.get(row["metric"])
    if metric is None or not row["value"]:
        return
    if "_err" not in row["metric"]:
        own = cell if metric == "top1" else None
        yield Printed(row["model"], metric, _scaled(row["value"]), row["source"], own)
        return
    printed = Decimal(row["value"])
    remark = f"printed as an error of {printed} %"
    yield Printed(row["model"], metric, float(100 - printed), row["source"], remark=remark)


def _bianco() -> Iterator[Printed]:
    for row in published_rows("bianco2018"):
        yield from _accuracy_of(row)
        if row["metric"] not in ("inference_time_per_image", "gpu_memory"):
            continue
        batch = row["batch_size"]
        figures = (
            [("peak_memory", "1e9", ", of the whole device")]
            if row["metric"] == "gpu_memory"
            else [
                ("latency_per_image", "1e-3", ""),
                ("latency", f"{batch}e-3", ", per image times the batch"),
            ]
        )
        for metric, scale, note in figures:
            yield Printed(
                row["model"], metric, _scaled(row["value"], scale), row["source"],
                (row["model"], row["device"], batch), note, device=row["device"],
                batch_size=int(batch),
            )  # fmt: skip


def _cadene() -> Iterator[Printed]:
    for number, row in enumerate(published_rows("cadene_pretrained")):
        version = row["version"]
        cell = number if version in (PORT, "Pytorch") else None
        for metric, value in _columns(row, top1="top1", top5="top5"):
            yield Printed(row["model"], metric, value, row["source"], cell, remark=version)


def _lightweight() -> Iterator[Printed]:
    for number, row in enumerate(published_rows("lightweight2020")):
        for metric, value in _columns(
            row, params="params_m 1e6", max_channels="max_channel", top1="top1"
        ):
            yield Printed(row["model"], metric, value, row["source"], number)


def _paddleclas() -> Iterator[Printed]:
    """Two documents print some of the models: they are one cell."""
    for row in published_rows("paddleclas"):
        model, source = row["model"], row["source"]
        for metric in ("top1", "top5"):
            for name, value in _columns(row, **{metric: f"{metric}_pct"}):
                yield Printed(model, name, value, source, model)
            if row[f"ref_{metric}"]:
                # What its authors found: of MixNet and ReXNet in percent, else as a share of one.
                printed = Decimal(row[f"ref_{metric}"])
                value = float(printed if printed > 1 else printed * 100)
                yield Printed(model, metric, value, source, remark="reference")
        for name, value in _columns(row, params="params_m 1e6"):
            yield Printed(model, name, value, source, model)
        weight = row["flops_convention"][:1]
        if row["flops_g"] and weight:
            # What else Paddle counts, BatchNorm above all, stays in: a few per mille to percent.
            halved = weight == "2"
            value = _scaled(row["flops_g"], "0.5e9" if halved else "1e9")
            yield Printed(
                model, "macs", value, source, model, ", operations halved" if halved else ""
            )


def _paddleclas_latency() -> Iterator[Printed]:
    for number, row in enumerate(published_rows("paddleclas_latency")):
        yield Printed(
            row["model"], "latency", _scaled(row["latency_ms"], "1e-3"), row["source"], number,
            device=row["gpu"], dtype=row["dtype"].lower(),
            batch_size=int(row["batch_size"]) if row["batch_size"] else None,
        )  # fmt: skip


def _timm() -> Iterator[Printed]:
    for number, row in enumerate(published_rows("timm_imagenet")):
        known = f"timm/{row['model'].partition('.')[0]}@{row['img_size']}"
        for metric, value in _columns(row, top1="top1", top5="top5", params="param_count_m 1e6"):
            yield Printed(row["model"], metric, value, row["source"], number, known=known)


def _pytorchcv() -> Iterator[Printed]:
    for number, row in enumerate(published_rows("pytorchcv_imagenet")):
        for metric in ("top1", "top5"):
            if error := row[f"{metric}_err"]:
                yield Printed(
                    row["model"], metric, float(100 - Decimal(error)), row["source"], number,
                    known=f"pytorchcv/{row['code_name']}",
                )  # fmt: skip


DOCUMENTS: dict[str, Callable[[], Iterator[Printed]]] = {
    "bertmoons2018": _bertmoons,
    "bianco2018": _bianco,
    "cadene_pretrained": _cadene,
    "canziani2016": _canziani,
    "lightweight2020": _lightweight,
    "paddleclas": _paddleclas,
    "paddleclas_latency": _paddleclas_latency,
    "pytorchcv_imagenet": _pytorchcv,
    "timm_imagenet": _timm,
}
"""The reader of each document."""


@cache
def printed_numbers(document: str) -> tuple[Printed, ...]:
    """Everything that a document prints, in its order."""
    return tuple(DOCUMENTS[document]())


@cache
def _by_model(document: str) -> dict[str, list[Printed]]:
    found: dict[str, list[Printed]] = {}
    for one in printed_numbers(document):
        found.setdefault(one.model, []).append(one)
    return found


def numbers_of(document: str, model: str, *metrics: str) -> list[Printed]:
    """What a document prints about a model, in its order."""
    return [one for one in _by_model(document).get(model, ()) if one.metric in metrics]


def common_key(model: str) -> str:
    """What Bianco et al. and the list of the ports they measured have in common in a name."""
    key = re.sub(r"[^a-z0-9]", "", re.sub(r"\(k=\d+\)", "", model.lower()))
    key = key.replace("dualpathnet", "dpn")
    return {"squeezenetv10": "squeezenet10", "squeezenetv11": "squeezenet11"}.get(key, key)
