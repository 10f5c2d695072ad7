"""``archbench compare``: two runs, devices or precisions side by side."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import cycle
from pathlib import Path

from archbench.cli.filters import filtered
from archbench.cli.printing import print_found
from archbench.cli.sources import SOURCES, rows_from
from archbench.core.comparing import Comparison, compare
from archbench.core.errors import NothingFoundError, UsageError
from archbench.core.run_config import axes, axis
from archbench.core.selectors import refuse_unknown
from archbench.metrics import METRICS
from archbench.report.comparing import comparison_json, comparison_remarks, comparison_table
from archbench.runtimes.registry import runtime_names

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
    asked = f"archbench compare {' '.join(options.sources)}".rstrip()
    by, titles = _sides(options, asked)
    if by is not None and by != "device":
        for title in titles:
            _refuse_no_value(by, title)
    # Two sources, or what the same sources hold of two devices, precisions, ...
    asked_for = [[title] for title in titles] if by is None else [options.sources]
    loads = [rows_from(sources, Path.cwd()) for sources in asked_for]
    remarks = [remark for loaded in loads for remark in loaded.remarks]
    sides = []
    for title, loaded in zip(titles, cycle(loads), strict=False):
        wanted = {} if by is None else {by: title}
        sides.append(filtered(loaded.rows, {**wanted, "batch_size": options.batch_size}))
    comparison = compare(sides[0], sides[1], options.metric)
    if not comparison.changes:
        raise NothingFoundError(
            asked,
            f"no architecture has {options.metric} on both sides at one batch size, run alike",
            "Compare runs of the same architectures, or another --metric",
        )
    remarks += comparison_remarks(comparison, titles)
    document = _document(comparison, titles, remarks, options.format)
    return print_found(document, remarks, options.format)


def _sides(options: argparse.Namespace, asked: str) -> tuple[str | None, tuple[str, str]]:
    """By what two sides are chosen, None where they are two sources; and what each is called."""
    chosen = [name for name in _SIDES if getattr(options, name)]
    if len(chosen) > 1:
        raise UsageError(
            f"{asked} {' '.join(f'--{name}'.replace('_', '-') for name in chosen)}",
            "two sides are compared, and each option makes two",
            f"Choose one of the {_NUMBERS[len(chosen)]}; the other cells stay apart",
        )
    if not chosen and len(options.sources) != 2:
        raise UsageError(
            asked,
            f"two sides are needed, {len(options.sources)} given",
            "Name two runs, or one and --devices A B, --dtypes A B, --runtimes A B or "
            "--memory-formats A B",
        )
    first, second = getattr(options, chosen[0]) if chosen else options.sources
    return _SIDES[chosen[0]] if chosen else None, (first, second)


def _refuse_no_value(name: str, value: str) -> None:
    """See that a value is one that an axis can have, or a glob of such.

    Raises:
        UsageError: it is not.
    """
    known = runtime_names() if name == "runtime" else axis(name).values
    if not any(fnmatchcase(one, value) for one in known):
        option = axis(name).option
        refuse_unknown(f"--{option}s {value}", value, known, axis(name).noun or option)


def _document(
    comparison: Comparison, titles: tuple[str, str], remarks: Sequence[str], format: str
) -> str:
    if format == "json":
        return comparison_json(comparison, titles, remarks)
    return comparison_table(comparison, titles, format)


def _empty(options: argparse.Namespace, reason: str) -> str:
    _, titles = _sides(options, "")
    return _document(compare((), (), options.metric), titles, [reason], options.format)
