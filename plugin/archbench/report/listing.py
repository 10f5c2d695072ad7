"""Points as a table, CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from archbench.core.points import Point
from archbench.core.run_config import StatedConfig
from archbench.metrics import METRICS
from archbench.report.tables import Table

__all__ = ["PUBLISHED_NOTE", "SCHEMA", "points_csv", "points_json", "points_table", "top1_text"]

SCHEMA = 1
"""Of the JSON document. 1: first version."""

PUBLISHED_MARK = "*"
PUBLISHED_NOTE = f"{PUBLISHED_MARK} published, not measured here."


def _fields() -> tuple[str, ...]:
    """Columns beside the figures."""
    return (
        "id",
        "name",
        "library",
        "family",
        "device",
        "device_name",
        *StatedConfig().as_columns(),
        "asked",
        "run",
        "when",
        "commit",
        "status",
    )


def figure_text(point: Point, metric: str) -> str:
    """The figure as it is printed, marked where it is published; empty where there is none.

    Params and MACs are the same everywhere and carry no mark.
    """
    figure = point.figures.get(metric)
    if figure is None:
        return ""
    text = METRICS[metric].column(figure.value)
    return f"{text}{PUBLISHED_MARK}" if figure.kind == "published" else text


def top1_text(point: Point) -> str:
    """Top-1 with two decimals, marked where it is published."""
    return figure_text(point, "top1")


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
    words = [
        "architecture",
        "library",
        *(["target"] if has_target else []),
        *(["run"] if has_run else []),
    ]
    headers = [*words, *(METRICS[metric].title for metric in shown)]
    rows = [
        [
            point.name,
            point.library,
            *([point.target] if has_target else []),
            *([point.run] if has_run else []),
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
    headers = [
        *_fields(),
        *(
            f"{metric}{suffix}"
            for metric in metrics
            for suffix in ("", "_low", "_high", "_kind", "_source")
        ),
    ]
    rows = []
    for point in points:
        stated = point.as_dict()
        row = [stated[name] for name in _fields()]
        for metric in metrics:
            figure = point.figures.get(metric)
            row += (
                [None] * 5
                if figure is None
                else [figure.value, figure.low, figure.high, figure.kind, figure.source]
            )
        rows.append(row)
    return Table(headers, rows).print_as("csv")


def points_json(points: Sequence[Point], remarks: Sequence[str]) -> str:
    """One document: every field and figure, and what was left out."""
    document = {
        "schema": SCHEMA,
        "remarks": list(remarks),
        "points": [point.as_dict() for point in points],
    }
    return json.dumps(document, allow_nan=False, indent=1)
