"""Points as a table, CSV and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from archbench.core.points import Figure, Point
from archbench.core.run_config import StatedConfig
from archbench.metrics import METRICS
from archbench.report.tables import PUBLISHED_MARK, Table, json_text

SCHEMA = 1
"""Of the JSON document. 1: first version."""


_NAMED = ("id", "name", "library", "family", "device", "device_name")
_RUN = ("asked", "run", "when", "commit", "status")
_FIGURE = {"": "value", "_low": "low", "_high": "high", "_kind": "kind", "_source": "source"}
"""What of a figure stands in the column with its metric's name and such an end."""


def figure_text(point: Point, metric: str) -> str:
    """The figure as it is printed, marked where it is published; empty where there is none.

    Params and MACs are the same everywhere and carry no mark.
    """
    figure = point.figures.get(metric)
    if figure is None:
        return ""
    text = METRICS[metric].column(figure.value)
    return f"{text}{PUBLISHED_MARK}" if figure.kind == "published" else text


def published_note(figures: Iterable[Figure]) -> list[str]:
    """What the mark means, where one of the figures has it."""
    is_marked = any(figure.kind == "published" for figure in figures)
    return [f"{PUBLISHED_MARK} published, not measured here."] if is_marked else []


def points_table(points: Sequence[Point], format: str) -> str:
    """A table for people, one line for each point.

    Args:
        points: in the order in which they are listed.
        format: ``text`` or ``markdown``.
    """
    listed = sorted(METRICS.values(), key=lambda metric: metric.place)
    shown = [
        metric.name
        for metric in listed
        if "list" in metric.tables and any(metric.name in point.figures for point in points)
    ]
    has_target = len({point.target for point in points}) > 1
    has_run = len({point.run for point in points}) > 1
    varying = [*(["target"] if has_target else []), *(["run"] if has_run else [])]
    words = ["architecture", "library", *varying]
    headers = [*words, *(METRICS[metric].title for metric in shown)]
    rows = [
        [
            point.name,
            point.library,
            *(getattr(point, name) for name in varying),
            *(figure_text(point, metric) for metric in shown),
        ]
        for point in points
    ]
    return Table(headers, rows, words).print_as(format)


def points_csv(points: Sequence[Point]) -> str:
    """Every field and figure, unrounded, in SI units; accuracies in percent.

    A figure has five columns: its value under the metric's name, ``_low`` and ``_high`` for the
    interval, ``_kind`` and ``_source``. What is absent is empty.
    """
    metrics = [name for name in METRICS if any(name in point.figures for point in points)]
    ends = [f"{metric}{end}" for metric in metrics for end in _FIGURE]
    headers = [*_NAMED, *StatedConfig().as_columns(), *_RUN, *ends]
    rows = []
    for point in points:
        row = [getattr(point, name) for name in _NAMED]
        row += point.as_columns().values()
        row += [getattr(point, name) for name in _RUN]
        for metric in metrics:
            figure = point.figures.get(metric)
            row += [getattr(figure, name, None) for name in _FIGURE.values()]
        rows.append(row)
    return Table(headers, rows).print_as("csv")


def points_json(points: Sequence[Point], remarks: Sequence[str]) -> str:
    """One document: every field and figure, and what was left out."""
    document = {
        "schema": SCHEMA,
        "remarks": list(remarks),
        "points": [point.as_dict() for point in points],
    }
    return json_text(document)
