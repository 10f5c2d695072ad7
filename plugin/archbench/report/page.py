"""One HTML file with every chart and the table of figures: opens from disk, asks no host."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from archbench.core.foreign import plain
from archbench.core.points import KINDS, Figure, Point, with_derived
from archbench.core.run_config import StatedConfig
from archbench.metrics import METRICS
from archbench.report.charts.colours import family_look
from archbench.report.charts.declared import HOW_TO_GET, charts_of_page, title_of

__all__ = ["page_data", "page_html", "write_page"]

_ASSETS = Path(__file__).parent / "assets"
_SCRIPTS = ("figures.js", "judging.js", "drawing.js", "page.js")
_COLUMNS = (
    "id", "name", "library", "family", "device", "device_name", "asked", "run", "when", "commit",
    "status", "unusual",
)  # fmt: skip

# What the page's script derives by itself, as core.points.with_derived does: a third of the file.
_DERIVED = ("density", "top1_per_gmac", "latency_per_image", "throughput")
_NONE = -1
_FOLLOWS = -2

_OF_HISTORY = (
    "when", "commit", "metric", "value", "low", "high", "change_point", "events",
)  # fmt: skip


def page_html(
    points: Sequence[Point],
    *,
    title: str,
    remarks: Sequence[str] = (),
    history: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> str:
    """The page's text.

    Scripts run by their hashes only (a content security policy in the page), so that a name that
    holds HTML is text wherever it turns up, and no host can be asked for anything.

    Args:
        points: what is drawn and listed.
        title: heading of the page.
        remarks: what a reader of the figures must know, such as lines that were left out.
        history: for each cell its values over time, oldest first: ``when`` (ISO date),
            ``commit``, ``metric``, ``value`` in SI, ``low`` and ``high`` of its interval,
            ``change_point`` (whether a new level begins here) and ``events`` (texts); all but
            ``metric`` and ``value`` may be absent.
    """
    own = "".join(_asset(name) for name in _SCRIPTS)
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
        "data": _json_in_html(page_data(points, title=title, remarks=remarks, history=history)),
    }
    text = re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _asset("page.html"))
    # A lone surrogate, as a file name may hold, has no form in UTF-8.
    return text.encode("utf-8", "replace").decode("utf-8")


def write_page(
    points: Sequence[Point],
    path: Path,
    *,
    title: str,
    remarks: Sequence[str] = (),
    history: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> None:
    """Write :func:`page_html` in one step: a reader finds the old page or the new one.

    Raises:
        OSError: the directory cannot be written, or the disk is full.
    """
    text = page_html(points, title=title, remarks=remarks, history=history)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def page_data(
    points: Sequence[Point],
    *,
    title: str,
    remarks: Sequence[str] = (),
    history: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> dict[str, Any]:
    """What the page's script reads, in builtin types.

    Columns rather than rows, and each text and each figure once: an architecture's params stand in
    every one of its cells.

    Returns:
        ``columns``: for each attribute of a point its different ``values`` and, ``at`` each
        point, which of them; ``figures``: ``[value, kind, source]`` or ``[value, kind, source,
        low, high]``, kind and source as places in ``kinds`` and ``sources``; ``at``: for each
        metric which figure each point has, -1 for none, -2 for what
        :func:`archbench.core.points.with_derived` makes of the others.
    """
    run_columns = StatedConfig().as_columns()
    sources = _Places()
    figures = _Places()
    left_out = 0
    at: dict[str, list[int]] = {name: [] for name in METRICS}
    for point in points:
        given = {name: figure for name, figure in point.figures.items() if _is_finite(figure)}
        left_out += len(point.figures) - len(given)
        stated = {name: figure for name, figure in given.items() if name not in _DERIVED}
        again = with_derived(stated, point.batch_size)
        for name, places in at.items():
            figure = given.get(name)
            if figure is None:
                places.append(_NONE)
            elif name in _DERIVED and again.get(name) == figure:
                places.append(_FOLLOWS)
            else:
                places.append(figures.place(_entry(figure, sources)))
    at = {name: places for name, places in at.items() if any(p != _NONE for p in places)}
    said = [f"{left_out} figures are not finite numbers and were left out."] if left_out else []
    return {
        "title": title,
        "remarks": [*remarks, *said],
        "metrics": {
            metric.name: {
                "title": metric.title,
                "axis": title_of(metric.name),
                "scale": metric.scale,
                "digits": metric.digits,
                "unit": metric.unit,
            }
            for metric in METRICS.values()
        },
        "charts": [chart.on_page() for chart in charts_of_page(with_history=history is not None)],
        "how_to_get": HOW_TO_GET,
        "kinds": list(KINDS),
        "families": {
            plain(family): {"hue": look.hue, "lightness": look.lightness}
            for family in sorted({point.family for point in points})
            for look in [family_look(family)]
        },
        "lower_is_better": sorted(n for n, one in METRICS.items() if one.better == "lower"),
        "measuring_error": {n: one.error for n, one in METRICS.items() if one.error},
        "columns": {
            **{name: _column(getattr(point, name) for point in points) for name in _COLUMNS},
            **{name: _column(point[name] for point in points) for name in run_columns},
        },
        "sources": sources.values,
        "figures": figures.values,
        "at": at,
        "history": None
        if history is None
        else {cell: [_of_history(entry) for entry in entries] for cell, entries in history.items()},
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


def _entry(figure: Figure, sources: _Places) -> tuple[float | int, ...]:
    entry = (figure.value, KINDS.index(figure.kind), sources.place(figure.source))
    if figure.low is None or figure.high is None:
        return entry
    return (*entry, figure.low, figure.high)


def _of_history(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What the page shows of an entry, without what is empty: there are many."""
    return {
        name: entry[name] for name in _OF_HISTORY if entry.get(name) or name in ("metric", "value")
    }


def _is_finite(figure: Figure) -> bool:
    return all(
        math.isfinite(value)
        for value in (figure.value, figure.low, figure.high)
        if value is not None
    )


def _column(values: Iterable[Any]) -> dict[str, Any]:
    places = _Places()
    at = [places.place(value) for value in values]
    return {"values": places.values, "at": at}


def _json_in_html(data: Mapping[str, Any]) -> str:
    """JSON that no HTML parser takes for the end of its script, or for a comment."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
