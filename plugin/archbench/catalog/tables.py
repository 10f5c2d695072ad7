"""The packaged published tables as points: figures in SI units, each with its source."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from archbench.catalog.catalog import load_catalog
from archbench.catalog.counts import counted_figures
from archbench.catalog.families import family_of
from archbench.catalog.published import published_accuracies, published_rows
from archbench.catalog.seeds import read_seeds
from archbench.core.conventions import CONVENTIONS
from archbench.core.errors import UsageError
from archbench.core.points import Figure, Point, with_derived

__all__ = ["PUBLISHED", "published_points"]


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

_Row = Mapping[str, str]


@cache
def _seed_ids(document: str) -> dict[str, str]:
    return {
        row.row: seed.id
        for seed in read_seeds()
        for row in seed.published
        if row.document == document
    }


def _id_of(document: str, model: str) -> str:
    return _seed_ids(document).get(model, f"published/{model}")


def _catalogued(id: str, name: str) -> str:
    """The id where the catalogue has it, else that of a published row."""
    try:
        return load_catalog().get(id).id
    except UsageError:
        return f"published/{name}"


def _figure(printed: str, row: _Row, scale: str = "1", note: str = "") -> Figure:
    """A printed number, rounded once; a comma in it groups thousands."""
    value = float(Decimal(printed.replace(",", "")) * Decimal(scale))
    return Figure(value, "published", f"{_source(row)}{note}")


def _source(row: _Row) -> str:
    return f"{row['source'].rpartition(' = ')[2]}: {row['model']}"


def _point(
    document: str,
    model: str,
    figures: Mapping[str, Figure],
    *,
    id: str | None = None,
    device: _Device | None = None,
    dtype: str | None = None,
    batch_size: int | None = None,
) -> Point:
    """A row; what it does not print of params and MACs is counted, for a known architecture."""
    known = _id_of(document, model) if id is None else id
    whole = with_derived({**counted_figures(known), **figures}, batch_size)
    return Point(
        id=known,
        name=model,
        library=document,
        family=family_of(model),
        device=device.slug if device else "",
        device_name=device.name if device else "",
        dtype=dtype,
        batch_size=batch_size,
        run=document,
        figures=whole,
    )


def _bertmoons() -> Iterable[Point]:
    convention = CONVENTIONS["bertmoons"]
    for row in published_rows("bertmoons2018"):
        if row["commented_out"] != "no":
            continue
        macs = str(convention.to_macs(row["ops_mops"]))
        figures = {
            "macs": _figure(macs, row, note=", operations halved"),
            "top1": _figure(row["top1"], row),
        }
        if row["params_m"]:
            figures["params"] = _figure(row["params_m"], row, "1e6")
        yield _point("bertmoons2018", row["model"], figures)


def _canziani() -> Iterable[Point]:
    for row in published_rows("canziani2016"):
        if row["metric"] == "top1" and row["value"]:
            yield _point("canziani2016", row["model"], {"top1": _figure(row["value"], row)})


_PORTED = {"squeezenetv10": "squeezenet10", "squeezenetv11": "squeezenet11"}


def _key(model: str) -> str:
    """What Bianco et al. and the list of the ports they measured have in common in a name."""
    key = re.sub(r"[^a-z0-9]", "", re.sub(r"\(k=\d+\)", "", model.lower()))
    key = key.replace("dualpathnet", "dpn")
    return _PORTED.get(key, key)


@cache
def _ports() -> dict[str, Figure]:
    """The top-1 of Cadene's ports by :func:`_key`: weights that Bianco et al. ran."""
    version = "Our porting"
    return {
        _key(row["model"]): _figure(row["top1"], row, note=f" ({version}), the weights that ran")
        for row in published_rows("cadene_pretrained")
        if row["version"] == version
    }


def _bianco_top1(model: str) -> Figure | None:
    """As the paper prints it, for 26 of its 44 architectures; else as published with the weights.

    Those are Cadene's ports and what torchvision had. Of the latter the library's own figure is
    taken and not Cadene's copy of older ones: DenseNet-121 has 74.47 % in the paper, 74.43 % in
    torchvision's list, 74.65 % in that copy.
    """
    for row in published_rows("bianco2018"):
        if row["model"] == model and row["metric"] == "top1":
            return _figure(row["value"], row)
    id = _seed_ids("bianco2018")[model]
    return _ports().get(_key(model)) or published_accuracies(load_catalog().get(id)).get("top1")


def _bianco() -> Iterable[Point]:
    cells: dict[tuple[str, str, int], dict[str, Figure]] = {}
    for row in published_rows("bianco2018"):
        if row["metric"] not in ("inference_time_per_image", "gpu_memory"):
            continue
        batch_size = int(row["batch_size"])
        cell = cells.setdefault((row["model"], row["device"], batch_size), {})
        if row["metric"] == "gpu_memory":
            cell["peak_memory"] = _figure(row["value"], row, "1e9", ", of the whole device")
        else:
            cell["latency_per_image"] = _figure(row["value"], row, "1e-3")
            cell["latency"] = _figure(
                row["value"], row, f"{batch_size}e-3", ", per image times the batch"
            )
    top1 = {model: _bianco_top1(model) for model, _, _ in cells}
    for (model, device, batch_size), figures in cells.items():
        accuracy = top1[model]
        if accuracy is not None:
            figures["top1"] = accuracy
        yield _point("bianco2018", model, figures, device=_DEVICES[device], batch_size=batch_size)


def _lightweight() -> Iterable[Point]:
    for row in published_rows("lightweight2020"):
        figures = {
            "params": _figure(row["params_m"], row, "1e6"),
            "max_channels": _figure(row["max_channel"], row),
            "top1": _figure(row["top1"], row),
        }
        yield _point("lightweight2020", row["model"], figures)


def _paddleclas_figures(row: _Row) -> dict[str, Figure]:
    figures = {
        metric: _figure(row[column], row, scale)
        for metric, column, scale in (
            ("top1", "top1_pct", "1"),
            ("top5", "top5_pct", "1"),
            ("params", "params_m", "1e6"),
        )
        if row[column]
    }
    weight = row["flops_convention"][:1]
    if row["flops_g"] and weight:
        # What else Paddle counts, BatchNorm above all, stays in: a few per mille to percent.
        halved = weight == "2"
        note = ", operations halved" if halved else ""
        figures["macs"] = _figure(row["flops_g"], row, "0.5e9" if halved else "1e9", note)
    return figures


@cache
def _paddleclas_rows() -> dict[str, dict[str, Figure]]:
    """Figures by model; where two documents print a model, the first, filled from the second."""
    rows: dict[str, dict[str, Figure]] = {}
    for row in published_rows("paddleclas"):
        rows[row["model"]] = {**_paddleclas_figures(row), **rows.get(row["model"], {})}
    return rows


def _paddleclas() -> Iterable[Point]:
    for model, figures in _paddleclas_rows().items():
        yield _point("paddleclas", model, figures, id=_id_of("paddleclas", model))


def _paddleclas_latency() -> Iterable[Point]:
    for row in published_rows("paddleclas_latency"):
        model = row["model"]
        yield _point(
            "paddleclas_latency",
            model,
            {
                **_paddleclas_rows().get(model, {}),
                "latency": _figure(row["latency_ms"], row, "1e-3"),
            },
            id=_id_of("paddleclas", model),
            device=_DEVICES[row["gpu"]],
            dtype=row["dtype"].lower(),
            batch_size=int(row["batch_size"]) if row["batch_size"] else None,
        )


def _cadene() -> Iterable[Point]:
    ids = {_key(model): id for model, id in _seed_ids("bianco2018").items()}
    for row in published_rows("cadene_pretrained"):
        figures = {metric: _figure(row[metric], row) for metric in ("top1", "top5") if row[metric]}
        model = row["model"]
        known = ids.get(_key(model)) or _id_of("cadene_pretrained", model)
        if row["version"] in ("Our porting", "Pytorch"):
            yield _point("cadene_pretrained", model, figures, id=known)


def _timm() -> Iterable[Point]:
    for row in published_rows("timm_imagenet"):
        name, size = row["model"], row["img_size"]
        figures = {
            "top1": _figure(row["top1"], row),
            "top5": _figure(row["top5"], row),
            "params": _figure(row["param_count_m"], row, "1e6"),
        }
        known = _catalogued(f"timm/{name.partition('.')[0]}@{size}", name)
        yield _point("timm_imagenet", name, figures, id=known)


def _pytorchcv() -> Iterable[Point]:
    for row in published_rows("pytorchcv_imagenet"):
        figures = {
            metric: Figure(
                float(100 - Decimal(row[f"{metric}_err"])),
                "published",
                _source(row),
            )
            for metric in ("top1", "top5")
            if row[f"{metric}_err"]
        }
        known = _catalogued(f"pytorchcv/{row['code_name']}", row["model"])
        yield _point("pytorchcv_imagenet", row["model"], figures, id=known)


_TABLES: dict[str, Callable[[], Iterable[Point]]] = {
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

PUBLISHED = tuple(_TABLES)
"""Names of the packaged tables."""


def published_points(name: str) -> list[Point]:
    """The rows of a packaged table, in its order.

    An architecture that is in the catalogue has its id, and its counts where the table prints
    none; any other is ``published/NAME``.

    Raises:
        UsageError: there is no table of that name.
    """
    if name not in _TABLES:
        raise UsageError(
            f"published:{name}",
            "there is no published table of that name",
            f"Use published:NAME with one of {', '.join(PUBLISHED)}",
        )
    return list(_TABLES[name]())
