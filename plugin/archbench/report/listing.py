"""Rows as a table, CSV and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from archbench.core.rows import Row, Value
from archbench.core.run_config import StatedConfig
from archbench.metrics import METRICS
from archbench.report.tables import NOISY_MARK, PUBLISHED_MARK, Table, json_text

SCHEMA = 1
"""Of the JSON document. 1: first version."""


_NAMED = ("id", "name", "library", "family", "device", "device_name")
_RUN = ("asked", "run", "when", "commit", "status")
_FIGURE = {"": "value", "_low": "low", "_high": "high", "_kind": "kind", "_source": "source"}
"""What of a figure stands in the column with its metric's name and such an end."""


def figure_text(row: Row, metric: str) -> str:
    """The figure as it is printed, marked where it is published or too noisy to trust; empty where
    there is none.

    Params and MACs are the same everywhere and carry no mark.
    """
    figure = row.values.get(metric)
    if figure is None:
        return ""
    text = METRICS[metric].column(figure.value)
    mark = NOISY_MARK if metric in row.noisy else ""
    return f"{mark}{text}{PUBLISHED_MARK if figure.kind == 'published' else ''}"


def published_note(figures: Iterable[Value]) -> list[str]:
    """What the mark means, where one of the figures has it."""
    is_marked = any(figure.kind == "published" for figure in figures)
    return [f"{PUBLISHED_MARK} published, not measured here."] if is_marked else []


def noise_note(rows: Sequence[Row], metric: str | None = None) -> list[str]:
    """What the mark of noisy figures means, where a row has one, of any metric or of one."""
    noisy = sum(bool(row.noisy) if metric is None else metric in row.noisy for row in rows)
    if not noisy:
        return []
    return [f"{NOISY_MARK} too noisy to trust, {noisy} of {len(rows)}: other work ran beside it."]


def rows_table(rows: Sequence[Row], format: str) -> str:
    """A table for people, one line for each row.

    Args:
        rows: in the order in which they are listed.
        format: ``text`` or ``markdown``.
    """
    listed = sorted(METRICS.values(), key=lambda metric: metric.place)
    shown = [
        metric.name
        for metric in listed
        if "list" in metric.tables and any(metric.name in row.values for row in rows)
    ]
    has_target = len({row.target for row in rows}) > 1
    has_run = len({row.run for row in rows}) > 1
    varying = [*(["target"] if has_target else []), *(["run"] if has_run else [])]
    words = ["architecture", "library", *varying]
    headers = [*words, *(METRICS[metric].title for metric in shown)]
    lines = [
        [
            row.name,
            row.library,
            *(getattr(row, name) for name in varying),
            *(figure_text(row, metric) for metric in shown),
        ]
        for row in rows
    ]
    return Table(headers, lines, words).print_as(format)


def rows_csv(rows: Sequence[Row]) -> str:
    """Every field and figure, unrounded, in SI units; accuracies in percent.

    A figure has five columns: its value under the metric's name, ``_low`` and ``_high`` for the
    interval, ``_kind`` and ``_source``. What is absent is empty.
    """
    metrics = [name for name in METRICS if any(name in row.values for row in rows)]
    ends = [f"{metric}{end}" for metric in metrics for end in _FIGURE]
    headers = [*_NAMED, *StatedConfig().as_columns(), *_RUN, "noisy", *ends]
    lines = []
    for row in rows:
        line = [getattr(row, name) for name in _NAMED]
        line += row.as_columns().values()
        line += [*(getattr(row, name) for name in _RUN), " ".join(row.noisy)]
        for metric in metrics:
            figure = row.values.get(metric)
            line += [getattr(figure, name, None) for name in _FIGURE.values()]
        lines.append(line)
    return Table(headers, lines).print_as("csv")


def rows_json(rows: Sequence[Row], remarks: Sequence[str]) -> str:
    """One document: every field and figure, and what was left out."""
    document = {
        "schema": SCHEMA,
        "remarks": list(remarks),
        "rows": [row.as_dict() for row in rows],
    }
    return json_text(document)
