"""What was chosen within limits, as text."""

from __future__ import annotations

from collections.abc import Sequence

from archbench.core.choosing import Choice, Limit, LimitTable, limit_options
from archbench.core.errors import some
from archbench.core.run_config import further_axes
from archbench.metrics import METRICS
from archbench.report.listing import figure_text, noise_note, published_note
from archbench.report.tables import BLANK, Table, json_text, markdown

SCHEMA = 1
"""Of the JSON documents. 1: first version."""

DOUBT_MARK = "~"


def choice_table(choice: Choice, limits: Sequence[Limit], format: str) -> str:
    """The chosen cells, the best first."""
    limited = [limit.kind.name for limit in limits]
    metrics = [
        metric
        for metric in METRICS
        if metric in limited
        or ("select" in METRICS[metric].tables and any(metric in row.values for row in choice.best))
    ]
    metrics.sort(key=lambda metric: metric != "top1")
    lines = []
    for place, row in enumerate(choice.best):
        doubtful = {limit_options()[name].name for name in choice.doubtful.get(place, ())}
        lines.append(
            [
                str(place + 1),
                row.name,
                row.library,
                row.target,
                *(
                    f"{DOUBT_MARK if metric in doubtful - {*row.noisy} else ''}"
                    f"{figure_text(row, metric)}"
                    for metric in metrics
                ),
            ]
        )
    titles = (METRICS[metric].title for metric in metrics)
    words = ["", "architecture", "library", "target"]
    return Table([*words, *titles], lines, words).print_as(format)


def choice_remarks(choice: Choice, limits: Sequence[Limit]) -> list[str]:
    """What a reader of the table should know: how many were left out, and why."""
    texts = {limit.name: limit.text for limit in limits}
    remarks = [
        f"{choice.within} architecture{'' if choice.within == 1 else 's'} within the limits, "
        f"of {choice.considered} cell{'' if choice.considered == 1 else 's'}."
    ]
    remarks += [
        f"Beyond --{name}={texts[name]}: {number}." for name, number in choice.outside.items()
    ]
    remarks += [
        f"Left out, no {METRICS[metric].title}: {len(cells)} ({some(cells)})."
        for metric, cells in choice.without.items()
    ]
    remarks += published_note(figure for row in choice.best for figure in row.values.values())
    if choice.doubtful:
        remarks.append(f"{DOUBT_MARK} the limit lies within the measuring error.")
    return remarks + noise_note(choice.best)


def _choice_dict(choice: Choice) -> dict[str, object]:
    return {
        "within": choice.within,
        "considered": choice.considered,
        "outside": dict(choice.outside),
        "without": {metric: list(cells) for metric, cells in choice.without.items()},
        "best": [
            {**row.as_dict(), "doubtful": list(choice.doubtful.get(place, ()))}
            for place, row in enumerate(choice.best)
        ],
    }


def choice_json(choice: Choice, limits: Sequence[Limit], remarks: Sequence[str]) -> str:
    """One document: limits in SI, the chosen cells with all figures, what was left out."""
    document = {
        "schema": SCHEMA,
        "limits": {limit.name: limit.value for limit in limits},
        **_choice_dict(choice),
        "remarks": list(remarks),
    }
    return json_text(document)


def _heading(table: LimitTable) -> str:
    names = dict.fromkeys(part for part in (table.device_name, table.dtype) if part)
    unusual = f", {table.unusual}" if table.unusual else ""
    return f"{table.device}: {', '.join(names)}, batch 1{unusual}"


def _run_in(table: LimitTable) -> dict[str, object]:
    return {one.name: table[one.name] for one in further_axes()}


def _memory(value: float) -> str:
    return f"{value / 1e9:g} GB"


def limit_tables_text(tables: Sequence[LimitTable], format: str) -> str:
    """One block for each device: a row for each memory limit and place, a column for each rate."""
    blocks = []
    for table in tables:
        lines = []
        for memory in table.memory_limits:
            choices = [table.cells[memory, rate] for rate in table.frame_rates]
            for place in range(max(1, *(len(choice.best) for choice in choices))):
                line = [f"<= {_memory(memory)}" if place == 0 else BLANK]
                for choice in choices:
                    row = choice.best[place] if place < len(choice.best) else None
                    line += [row.name, figure_text(row, "top1")] if row else [BLANK, BLANK]
                lines.append(line)
        headers = ["memory"]
        for rate in table.frame_rates:
            headers += [f">= {rate:g} images/s", METRICS["top1"].title]
        title = f"**{markdown(_heading(table))}**\n" if format == "markdown" else _heading(table)
        blocks.append(f"{title}\n{Table(headers, lines, headers).print_as(format)}")
    return "\n\n".join(blocks)


def limit_tables_csv(tables: Sequence[LimitTable]) -> str:
    """A line for each architecture in each cell of each table."""
    metrics = ("top1", "peak_memory", "throughput")
    found = ("memory_limit", "frame_rate", "place", "id", "name", *metrics)
    headers = ["device", "dtype", *(one.name for one in further_axes()), *found]
    lines = [
        [
            *(table.device, table.dtype, *_run_in(table).values()),
            *(memory, rate, place, row.id, row.name, *map(row.value, metrics)),
        ]
        for table in tables
        for (memory, rate), choice in table.cells.items()
        for place, row in enumerate(choice.best, 1)
    ]
    return Table(headers, lines).print_as("csv")


def limit_tables_json(tables: Sequence[LimitTable], remarks: Sequence[str]) -> str:
    """One document with every table."""
    document = {
        "schema": SCHEMA,
        "tables": [
            {
                "device": table.device,
                "device_name": table.device_name,
                "dtype": table.dtype,
                **_run_in(table),
                "cells": [
                    {"memory_limit": memory, "frame_rate": rate, **_choice_dict(choice)}
                    for (memory, rate), choice in table.cells.items()
                ],
            }
            for table in tables
        ],
        "remarks": list(remarks),
    }
    return json_text(document)


def table_remarks(tables: Sequence[LimitTable]) -> list[str]:
    """Why cells of the tables may be empty."""
    remarks = []
    for table in tables:
        choice = next(iter(table.cells.values()))
        where = f"{table.device} {table.unusual}".rstrip()
        remarks += [
            f"{where}: left out, no {METRICS[metric].title}: {len(cells)} ({some(cells)})."
            for metric, cells in choice.without.items()
        ]
    best = [row for table in tables for cell in table.cells.values() for row in cell.best]
    return remarks + published_note(row.values["top1"] for row in best)
