"""``archbench select``: the best architectures within limits."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from archbench.cli.filters import add_filters, filtered
from archbench.cli.sources import SOURCES, points_from
from archbench.core.choosing import (
    FRAME_RATES,
    MEMORY_LIMITS,
    Limit,
    best_by_limits,
    borrow_memory,
    choose,
    limit_options,
    parse_limit,
)
from archbench.core.errors import UsageError
from archbench.core.points import Point
from archbench.core.units import parse_quantity
from archbench.report.choosing import (
    choice_json,
    choice_remarks,
    choice_table,
    limit_tables_csv,
    limit_tables_json,
    limit_tables_text,
    table_remarks,
)
from archbench.report.listing import points_csv

__all__ = ["FORMATS", "add_parser", "run"]

FORMATS = ("text", "markdown", "csv", "json")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "select",
        help="the best architectures within limits",
        description="Show the best architectures by top-1 among those within all limits. Figures "
        "that were published and not measured here are marked.",
    )
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help=SOURCES)
    for name, metric in limit_options().items():
        parser.add_argument(f"--{name}", metavar="LIMIT", help=metric.option_help)
    add_filters(parser)
    parser.add_argument(
        "--top", type=int, default=5, metavar="N", help="how many to show (default: 5)"
    )
    parser.add_argument(
        "--table",
        action="store_true",
        help="the table of Bianco et al. 2018: the best for each pair of memory limit and frame "
        "rate at batch size 1",
    )
    parser.add_argument(
        "--memory-limits",
        metavar="LIST",
        help="of --table, separated by commas (default: "
        f"{','.join(f'{value / 1e9:g}GB' for value in MEMORY_LIMITS)})",
    )
    parser.add_argument(
        "--frame-rates",
        metavar="LIST",
        help="of --table, in images/s (default: "
        f"{','.join(f'{value:g}' for value in FRAME_RATES)})",
    )
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Choose and print; 1 where nothing is within the limits."""
    if options.top < 1:
        raise UsageError(f"--top={options.top}", "nothing would be shown", "Write --top=5")
    limits = [
        parse_limit(name, text)
        for name in limit_options()
        if (text := getattr(options, name.replace("-", "_"))) is not None
    ]
    _refuse_idle(options, limits)
    memory_limits = _list(options.memory_limits, "memory-limits", "a size", MEMORY_LIMITS)
    frame_rates = _list(options.frame_rates, "frame-rates", "a rate", FRAME_RATES)
    loaded = points_from(options.sources, Path.cwd())
    points = filtered(loaded.points, vars(options))
    _refuse_without_top1(points, options.sources)
    if options.table:
        return _show_tables(options, points, loaded.remarks, memory_limits, frame_rates)
    choice = choose(points, limits, count=options.top)
    remarks = [*loaded.remarks, *choice_remarks(choice, limits)]
    devices = sorted({point.device for point in points if point.device})
    if len(devices) > 1:
        remarks.append(f"Cells of {len(devices)} devices; --device chooses: {', '.join(devices)}.")
    if options.format == "json":
        print(choice_json(choice, limits, remarks))
    elif options.format == "csv":
        print(points_csv(choice.best))
        _to_stderr(remarks)
    else:
        if choice.best:
            print(f"{choice_table(choice, limits, options.format)}\n")
        print("\n".join(remarks))
    return 0 if choice.best else 1


def _refuse_idle(options: argparse.Namespace, limits: list[Limit]) -> None:
    if options.table and (limits or options.batch_size is not None):
        given = f"--{limits[0].name}" if limits else "--batch-size"
        raise UsageError(
            f"--table with {given}",
            "the table has its own limits, at batch size 1",
            "Write --memory-limits=0.7GB,1GB and --frame-rates=15,30, or leave out --table",
        )
    for name in ("memory_limits", "frame_rates"):
        if getattr(options, name) is not None and not options.table:
            raise UsageError(
                f"--{name.replace('_', '-')}",
                "these are the limits of --table",
                "Write --table as well, or --max-memory and --min-throughput",
            )


def _list(text: str | None, name: str, kind: str, default: tuple[float, ...]) -> list[float]:
    if text is None:
        return list(default)
    found = []
    for part in text.split(","):
        written = part.strip()
        is_rate = kind == "a rate" and written.replace(".", "", 1).isdecimal()
        try:
            found.append(parse_quantity(f"{written} images/s" if is_rate else written, kind).value)
        except UsageError as error:
            raise UsageError(f"--{name}={text}", error.found, error.todo) from error
    return sorted(set(found))


def _refuse_without_top1(points: list[Point], sources: list[str]) -> None:
    if not any("top1" in point.figures for point in points):
        raise UsageError(
            f"archbench select {' '.join(sources) or 'latest'}",
            f"none of its {len(points)} cells has a top-1 accuracy, measured or published",
            "Measure architectures of the catalogue, whose accuracy is published: "
            "pytest benchmarks",
        )


def _show_tables(
    options: argparse.Namespace,
    points: list[Point],
    said: list[str],
    memory_limits: list[float],
    frame_rates: list[float],
) -> int:
    points, lent = borrow_memory(points)
    tables = best_by_limits(
        points, memory_limits=memory_limits, frame_rates=frame_rates, count=options.top
    )
    if not tables:
        raise UsageError(
            "archbench select --table",
            "no cell was timed at batch size 1",
            "Measure some: pytest benchmarks --batch-size=1",
        )
    remarks = [
        *said,
        *(
            f"{device}: no peak memory is known; that on {lender} stands for it."
            for device, lender in lent.items()
        ),
        *table_remarks(tables),
    ]
    if options.format == "json":
        print(limit_tables_json(tables, remarks))
    elif options.format == "csv":
        print(limit_tables_csv(tables))
        _to_stderr(remarks)
    else:
        print(limit_tables_text(tables, options.format))
        print("\n".join(["", *remarks]))
    return 0 if any(choice.best for table in tables for choice in table.cells.values()) else 1


def _to_stderr(remarks: list[str]) -> None:
    if remarks:
        print("\n".join(remarks), file=sys.stderr)
