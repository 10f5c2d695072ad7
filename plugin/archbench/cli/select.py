"""``archbench select``: the best architectures within limits."""

from __future__ import annotations

import argparse
from pathlib import Path

from archbench.cli.filters import add_filters, filtered
from archbench.cli.printing import print_found
from archbench.cli.sources import SOURCES, rows_from
from archbench.core.choosing import (
    FRAME_RATES,
    MEMORY_LIMITS,
    Choice,
    Limit,
    LimitTable,
    best_by_limits,
    best_within_limits,
    borrow_memory,
    limit_options,
    parse_limit,
)
from archbench.core.errors import NothingFoundError, UsageError
from archbench.core.rows import Row, best_runtimes
from archbench.report.choosing import (
    choice_json,
    choice_remarks,
    choice_table,
    limit_tables_csv,
    limit_tables_json,
    limit_tables_text,
    table_remarks,
)
from archbench.report.listing import rows_csv

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
        "--best-runtime",
        action="store_true",
        help="of cells that differ by their runtime alone the fastest",
    )
    top = "how many to show (default: 5)"
    parser.add_argument("--top", type=int, default=5, metavar="N", help=top)
    parser.add_argument(
        "--table",
        action="store_true",
        help="the table of Bianco et al. 2018: the best for each pair of memory limit and frame "
        "rate at batch size 1",
    )
    memory = ",".join(f"{value / 1e9:g}GB" for value in MEMORY_LIMITS)
    rates = ",".join(f"{value:g}" for value in FRAME_RATES)
    parser.add_argument(
        "--memory-limits",
        metavar="LIST",
        help=f"of --table, separated by commas (default: {memory})",
    )
    parser.add_argument(
        "--frame-rates", metavar="LIST", help=f"of --table, in images/s (default: {rates})"
    )
    parser.add_argument(
        "--memory-from",
        metavar="DEVICE",
        help="short name of the device whose peak memory stands for that of devices without any "
        "(default: of published figures with --table any that has one, else none)",
    )
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    parser.set_defaults(run=run, empty=_empty)


def run(options: argparse.Namespace) -> int:
    """Choose and print; 1 where nothing is within the limits."""
    if options.top < 1:
        raise UsageError(f"--top={options.top}", "nothing would be shown", "Write --top=5")
    limits = _limits(options)
    _refuse_idle(options, limits)
    memory_limits = _list(options, "memory-limits", "max-memory", MEMORY_LIMITS)
    frame_rates = _list(options, "frame-rates", "min-throughput", FRAME_RATES)
    loaded = rows_from(options.sources, Path.cwd())
    rows, lent = loaded.rows, dict[str, str]()
    if options.table or options.memory_from:
        # Before cells are chosen by device: what the other one has would be gone.
        rows, lent = _with_memory(rows, options.memory_from)
    rows = filtered(rows, vars(options))
    if options.best_runtime:
        rows = best_runtimes(rows)
    _refuse_without_top1(rows, options.sources)
    remarks = [
        *loaded.remarks,
        *(
            f"{device}: no peak memory is known; that on {lender} stands for it."
            for device, lender in lent.items()
            if any(row.device == device for row in rows)
        ),
    ]
    if options.table:
        return _show_tables(options, rows, remarks, memory_limits, frame_rates)
    choice = best_within_limits(rows, limits, count=options.top)
    remarks += choice_remarks(choice, limits)
    devices = sorted({row.device for row in rows if row.device})
    if len(devices) > 1:
        remarks.append(f"Cells of {len(devices)} devices; --device chooses: {', '.join(devices)}.")
    document = _document(choice, limits, remarks, options.format)
    return print_found(document, remarks, options.format, is_empty=not choice.best)


def _document(choice: Choice, limits: list[Limit], remarks: list[str], format: str) -> str:
    if format == "json":
        return choice_json(choice, limits, remarks)
    return rows_csv(choice.best) if format == "csv" else choice_table(choice, limits, format)


def _tables_document(tables: list[LimitTable], remarks: list[str], format: str) -> str:
    if format == "json":
        return limit_tables_json(tables, remarks)
    return limit_tables_csv(tables) if format == "csv" else limit_tables_text(tables, format)


def _empty(options: argparse.Namespace, reason: str) -> str:
    if options.table:
        return _tables_document([], [reason], options.format)
    limits = _limits(options)
    return _document(best_within_limits((), limits), limits, [reason], options.format)


def _limits(options: argparse.Namespace) -> list[Limit]:
    return [
        parse_limit(name, text)
        for name in limit_options()
        if (text := getattr(options, name.replace("-", "_"))) is not None
    ]


def _with_memory(rows: list[Row], lender: str | None) -> tuple[list[Row], dict[str, str]]:
    known = sorted({row.device for row in rows if "peak_memory" in row.values})
    if lender is not None and lender not in known:
        raise UsageError(
            f"--memory-from={lender}",
            f"no peak memory is known of it, only of {', '.join(known) or 'none'}",
            "Write the short name of one of them, or leave the option out",
        )
    return borrow_memory(rows, lender)


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


def _list(
    options: argparse.Namespace, name: str, limit: str, default: tuple[float, ...]
) -> list[float]:
    text = getattr(options, name.replace("-", "_"))
    if text is None:
        return list(default)
    try:
        return sorted({parse_limit(limit, part).value for part in text.split(",")})
    except UsageError as error:
        raise UsageError(f"--{name}={text}", error.found, error.todo) from error


def _refuse_without_top1(rows: list[Row], sources: list[str]) -> None:
    if not any("top1" in row.values for row in rows):
        raise NothingFoundError(
            f"archbench select {' '.join(sources) or 'latest'}",
            f"none of its {len(rows)} cells has a top-1 accuracy, measured or published",
            "Measure architectures of the catalogue, whose accuracy is published: "
            "pytest benchmarks",
        )


def _show_tables(
    options: argparse.Namespace,
    rows: list[Row],
    said: list[str],
    memory_limits: list[float],
    frame_rates: list[float],
) -> int:
    tables = best_by_limits(
        rows, memory_limits=memory_limits, frame_rates=frame_rates, count=options.top
    )
    if not tables:
        raise NothingFoundError(
            "archbench select --table",
            "no cell was timed at batch size 1",
            "Measure some: pytest benchmarks --batch-size=1",
        )
    remarks = [*said, *table_remarks(tables)]
    document = _tables_document(tables, remarks, options.format)
    found = any(choice.best for table in tables for choice in table.cells.values())
    return print_found(document, remarks, options.format, is_empty=not found)
