"""``archbench compare-implementations``: where the libraries' versions of a network differ."""

from __future__ import annotations

import argparse
import sys

from archbench.catalog import load_catalog
from archbench.catalog.own import is_own_request
from archbench.cli.architectures import architecture, whole_number
from archbench.core.errors import ArchitectureError, NotMeasuredError, UsageError
from archbench.core.requests import parse_request
from archbench.models.requiring import require_torch
from archbench.report.counts import comparison_dict, comparison_text
from archbench.report.streams import foreign_code
from archbench.report.tables import json_text


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    comparison = commands.add_parser(
        "compare-implementations",
        help="show where the libraries' versions of an architecture differ",
        description="Count every implementation of an architecture and show where each differs "
        "from the first in params, MACs, activations and layers.",
    )
    comparison.add_argument(
        "names",
        nargs="+",
        metavar="NAME",
        help="an architecture's name (resnet50), or two or more ids to compare as they stand",
    )
    comparison.add_argument(
        "--input-size", type=whole_number, metavar="N", help="images of N by N pixels for all"
    )
    comparison.add_argument("--format", choices=("text", "json"), default="text")
    comparison.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Count each and print where they differ."""
    asked = f"archbench compare-implementations {' '.join(options.names)}"
    (first, *others), pixels = options.names, options.input_size
    request = parse_request(first, asked)
    if not others and not is_own_request(first) and not request.arguments:
        specs = list(load_catalog().implementations(request.name))
        size = request.size or ((pixels,) if pixels is not None else ())
        specs = [spec.with_input_size(size) for spec in specs] if size else specs
    else:
        specs = [architecture("compare-implementations", name, pixels) for name in options.names]
    ids = [spec.id for spec in specs]
    if len(set(ids)) < len(ids) or len(ids) < 2:
        raise UsageError(
            asked,
            f"{ids[0]} alone stands there"
            if len(set(ids)) == 1
            else f"two of them have one id: {', '.join(sorted(ids))}",
            "Name two or more that differ; give a constructor another name",
        )

    require_torch()
    from archbench.measure.complexity import count

    # What a network's own code prints would end up in the document.
    with foreign_code():
        counted = []
        for spec in specs:
            try:
                counted.append((spec.id, count(spec)))
            except (NotMeasuredError, ArchitectureError) as error:  # noqa: PERF203
                print(f"archbench: left out: {error}", file=sys.stderr)
    if len(counted) < 2:
        raise UsageError(asked, f"{len(counted)} of them can be counted", "Name others")
    if options.format == "json":
        print(json_text(comparison_dict(counted)))
    else:
        print(comparison_text(counted))
    return 0
