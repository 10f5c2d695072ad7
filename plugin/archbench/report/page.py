"""One HTML file with every chart and the table of figures: opens from disk, asks no host."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from archbench.core.foreign import plain
from archbench.core.forms import Json
from archbench.core.rows import KINDS, Row, Value
from archbench.core.run_config import Axis, axes, further_axes
from archbench.metrics import METRICS, Metric
from archbench.report.charts.colours import DARK, family_look, shades
from archbench.report.charts.declared import charts_of_page, how_to_get, noun_of, title_of
from archbench.report.listing import noise_note

_ASSETS = Path(__file__).parent / "assets"
_SCRIPTS = (
    "figures.js", "judging.js", "marks.js", "frame.js", "names.js", "scatter.js", "lines.js",
    "drawing.js", "filters.js", "picture.js", "tables.js", "page.js",
)  # fmt: skip
_NONE = -1

_OF_METRIC = ("title", "scale", "digits", "decimals", "of", "error", "place")
_OF_HISTORY = (
    "when", "commit", "metric", "value", "low", "high", "change_point", "events", "noisy",
)  # fmt: skip


def page_html(
    rows: Sequence[Row],
    *,
    title: str,
    remarks: Sequence[str] = (),
    history: Mapping[str, Sequence[Mapping[str, Json]]] | None = None,
    spelled: Callable[[str], str] = str,
) -> str:
    """The page's text.

    Scripts run by their hashes only (a content security policy in the page), so that a name that
    holds HTML is text wherever it turns up, and no host can be asked for anything.

    Args:
        rows: what is drawn and listed.
        title: heading of the page.
        remarks: what a reader of the figures must know, such as lines that were left out.
        history: for each cell its values over time, oldest first: ``when`` (ISO date),
            ``commit``, ``metric``, ``value`` in SI, ``low`` and ``high`` of its interval,
            ``change_point`` (whether a new level begins here) and ``events`` (texts); all but
            ``metric`` and ``value`` may be absent.
        spelled: makes of commands of the suite those of the project that the page is for.
    """
    own = spelled("".join(_asset(name) for name in _SCRIPTS))
    data = page_data(rows, title=title, remarks=remarks, history=history, spelled=spelled)
    scripts = {
        "plotly": _asset("plotly-basic.min.js"),
        "script": f'(() => {{\n"use strict";\n{own}}})();\n',
    }
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts.values())
    parts = {
        **scripts,
        "policy": f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'",
        "title": html.escape(title),
        "style": _asset("page.css"),
        "data": _json_in_html(data),
    }
    text = re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _asset("page.html"))
    # A lone surrogate, as a file name may hold, has no form in UTF-8.
    return text.encode("utf-8", "replace").decode("utf-8")


def write_page(
    rows: Sequence[Row],
    path: Path,
    *,
    title: str,
    remarks: Sequence[str] = (),
    history: Mapping[str, Sequence[Mapping[str, Json]]] | None = None,
    spelled: Callable[[str], str] = str,
) -> None:
    """Write :func:`page_html` in one step: a reader finds the old page or the new one.

    Raises:
        OSError: the directory cannot be written, or the disk is full.
    """
    text = page_html(rows, title=title, remarks=remarks, history=history, spelled=spelled)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def page_data(
    rows: Sequence[Row],
    *,
    title: str,
    remarks: Sequence[str] = (),
    history: Mapping[str, Sequence[Mapping[str, Json]]] | None = None,
    spelled: Callable[[str], str] = str,
) -> dict[str, Json]:
    """What the page's script reads, in builtin types.

    Columns rather than rows, and each text and each figure once: an architecture's params stand in
    every one of its cells.

    Returns:
        ``columns``: for each field of a row its different ``values`` and, ``at`` each row,
        which of them; ``looks``: the same of what is drawn and not stored; ``values``: ``[value,
        kind, source]`` or ``[value, kind, source, low, high]``, kind and source as places in
        ``kinds`` and ``sources``; ``at``: for each metric which value each row has, -1 for none.
    """
    sources, figures = _Places(), _Places()
    left_out = 0
    at: dict[str, list[int]] = {name: [] for name in METRICS}
    for row in rows:
        given = {name: figure for name, figure in row.values.items() if _is_finite(figure)}
        left_out += len(row.values) - len(given)
        for name, places in at.items():
            figure = given.get(name)
            places.append(_NONE if figure is None else figures.place(_entry(figure, sources)))
    said = [f"{left_out} figures are not finite numbers and were left out."] if left_out else []
    return {
        "title": title,
        "remarks": [*remarks, *said, *noise_note(rows)],
        "metrics": {metric.name: _of_metric(metric, spelled) for metric in METRICS.values()},
        "axes": {axis.name: _of_axis(axis) for axis in axes()},
        "charts": [chart.on_page() for chart in charts_of_page(with_history=history is not None)],
        "kinds": KINDS,
        "families": {
            plain(family): [family_look(family).colour, family_look(family, DARK).colour]
            for family in sorted({row.family for row in rows})
        },
        "columns": _columns(rows),
        "looks": _looks(rows),
        "sources": sources.values,
        "values": figures.values,
        "at": {name: places for name, places in at.items() if any(p != _NONE for p in places)},
        "history": None
        if history is None
        else {cell: [_of_history(entry) for entry in entries] for cell, entries in history.items()},
    }


def _of_metric(metric: Metric, spelled: Callable[[str], str]) -> dict[str, Json]:
    return {
        **{name: getattr(metric, name) for name in _OF_METRIC},
        "axis": title_of(metric.name),
        "noun": noun_of(metric.name),
        "unit": metric.printed_unit if " " in metric.title else "",
        "how": spelled(how_to_get(metric.name)),
        "isLower": metric.better == "lower",
        "isLimit": bool(metric.option) and "list" in metric.tables,
    }


def _of_axis(axis: Axis) -> dict[str, Json]:
    return {
        "title": axis.noun or axis.name.replace("_", " "),
        "texts": {"true": axis.own_text(True), "false": axis.own_text(False)}
        if axis.is_flag
        else {},
        "isFurther": axis in further_axes(),
    }


def _columns(rows: Sequence[Row]) -> dict[str, Json]:
    """Every field of rows as a column; the fields are there where no row is."""
    forms = [row.as_dict() for row in rows]
    fields = [name for name in Row("", "", "", "").as_dict() if name != "values"]
    return {name: _column(form[name] for form in forms) for name in fields}


def _looks(rows: Sequence[Row]) -> dict[str, Json]:
    light, dark = shades(rows), shades(rows, DARK)
    keys = [(row.id, row.name) for row in rows]
    return {
        "target": _column(row.target for row in rows),
        "unusual": _column(row.unusual for row in rows),
        "shade": _column((light[key], dark[key]) for key in keys),
    }


class _Places:
    """Different values in the order in which they first appear."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._found: dict[Any, int] = {}

    def place(self, value: Any) -> int:
        place = self._found.setdefault(value, len(self.values))
        if place == len(self.values):
            self.values.append(plain(value) if isinstance(value, str) else value)
        return place


def _entry(figure: Value, sources: _Places) -> tuple[float | int, ...]:
    entry = (figure.value, KINDS.index(figure.kind), sources.place(figure.source))
    if figure.low is None or figure.high is None:
        return entry
    return (*entry, figure.low, figure.high)


def _of_history(entry: Mapping[str, Json]) -> dict[str, Json]:
    """What the page shows of an entry, without what is empty: there are many."""
    return {
        name: entry[name] for name in _OF_HISTORY if entry.get(name) or name in ("metric", "value")
    }


def _is_finite(figure: Value) -> bool:
    return all(
        math.isfinite(value)
        for value in (figure.value, figure.low, figure.high)
        if value is not None
    )


def _column(values: Iterable[Any]) -> dict[str, Json]:
    places = _Places()
    at = [places.place(value) for value in values]
    return {"values": places.values, "at": at}


def _json_in_html(data: Mapping[str, Json]) -> str:
    """JSON that no HTML parser takes for the end of its script, or for a comment."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
