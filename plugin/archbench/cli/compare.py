"""``archbench compare``: two runs, devices or precisions side by side."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from archbench.cli.filters import filtered
from archbench.cli.printing import print_found
from archbench.cli.sources import SOURCES, points_from
from archbench.core.comparing import Comparison, compare
from archbench.core.errors import NothingFoundError, UsageError
from archbench.core.points import Point
from archbench.core.run_config import axes
from archbench.metrics import METRICS
from archbench.report.comparing import comparison_json, comparison_remarks, comparison_table

__all__ = ["FORMATS", "add_parser", "run"]

FORMATS = ("text", "markdown", "csv", "json")

_SIDES = {"devices": "device", **{f"{one.name}s": one.name for one in axes() if one.values}}
"""Options that make two sides, with what they choose by."""

_NUMBERS = {2: "two", 3: "three", 4: "four"}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "compare",
        help="two runs, devices or precisions side by side, sorted by change",
        description="Compare two sources, or two devices, precisions, runtimes or memory formats, "
        "cell by cell. What grew most stands first.",
    )
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help=SOURCES)
    parser.add_argument("--devices", nargs=2, metavar="GLOB", help="short names: v100 t4")
    for one in axes():
        if one.values:
            help = f"two of {', '.join(one.values)}"
            parser.add_argument(f"--{one.option}s", nargs=2, metavar="NAME", help=help)
    parser.add_argument("--batch-size", metavar="N", help="images of a batch")
    parser.add_argument(
        "--metric",
        choices=sorted(METRICS),
        default="latency",
        metavar="METRIC",
        help=f"default: latency; {', '.join(sorted(METRICS))}",
    )
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    parser.set_defaults(run=run, empty=_empty)


def run(options: argparse.Namespace) -> int:
    """Compare and print."""
    root = Path.cwd()
    asked = f"archbench compare {' '.join(options.sources)}".rstrip()
    chosen = [name for name in _SIDES if getattr(options, name)]
    if len(chosen) > 1:
        raise UsageError(
            f"{asked} {' '.join(f'--{name}'.replace('_', '-') for name in chosen)}",
            "two sides are compared, and each option makes two",
            f"Choose one of the {_NUMBERS[len(chosen)]}; the other cells stay apart",
        )
    remarks: list[str] = []
    sides: list[list[Point]] = []
    if chosen:
        first, second = getattr(options, chosen[0])
        loaded = points_from(options.sources, root)
        remarks = loaded.remarks
        for name in (first, second):
            wanted = {_SIDES[chosen[0]]: name}
            sides.append(filtered(loaded.points, {**wanted, "batch_size": options.batch_size}))
        titles = (first, second)
    elif len(options.sources) == 2:
        for source in options.sources:
            loaded = points_from([source], root)
            remarks += loaded.remarks
            sides.append(filtered(loaded.points, {"batch_size": options.batch_size}))
        titles = (options.sources[0], options.sources[1])
    else:
        raise UsageError(
            asked,
            f"two sides are needed, {len(options.sources)} given",
            "Name two runs, or one and --devices A B, --dtypes A B, --runtimes A B or "
            "--memory-formats A B",
        )
    comparison = compare(sides[0], sides[1], options.metric)
    if not comparison.changes:
        raise NothingFoundError(
            asked,
            f"no architecture has {options.metric} on both sides at one batch size, run alike",
            "Compare runs of the same architectures, or another --metric",
        )
    remarks = [*remarks, *comparison_remarks(comparison, titles)]
    return print_found(
        _document(comparison, titles, remarks, options.format), remarks, options.format
    )


def _document(
    comparison: Comparison, titles: tuple[str, str], remarks: Sequence[str], format: str
) -> str:
    if format == "json":
        return comparison_json(comparison, titles, remarks)
    return comparison_table(comparison, titles, format)


def _empty(options: argparse.Namespace, reason: str) -> str:
    titles = next((getattr(options, name) for name in _SIDES if getattr(options, name)), None)
    first, second = titles or options.sources
    nothing = compare((), (), options.metric)
    return _document(nothing, (first, second), [reason], options.format)
