"""``archbench conventions``: an architecture's cost as published tables count it."""

from __future__ import annotations

import argparse

from archbench.cli.architectures import architecture
from archbench.core.errors import UsageError
from archbench.models.requiring import require_torch
from archbench.report.conventions import conventions_dict, conventions_list, conventions_table
from archbench.report.streams import foreign_code
from archbench.report.tables import json_text


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    conventions = commands.add_parser(
        "conventions",
        help="show an architecture's cost as published tables count it",
        description="Show operations and params of an architecture as each published table "
        "counts and prints them; without one, what each counts.",
    )
    conventions.add_argument(
        "id", nargs="?", metavar="ID", help="timm/resnet50, path/to/file.py:constructor"
    )
    conventions.add_argument("--format", choices=("text", "json"), default="text")
    conventions.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print what a table would print."""
    if options.id is None:
        if options.format == "json":
            raise UsageError(
                "archbench conventions --format=json",
                "there is no architecture to count",
                "Name one: archbench conventions timm/resnet50 --format=json",
            )
        print(conventions_list())
        return 0
    spec = architecture("conventions", options.id)

    require_torch()
    from archbench.measure.summary import counts_by_convention

    with foreign_code():
        complexity, elements, own = counts_by_convention(spec)
    if options.format == "json":
        print(json_text(conventions_dict(complexity, elements, ptflops=own)))
    else:
        print(f"{spec.id}, input {'x'.join(map(str, spec.input_size))}\n")
        print(conventions_table(complexity, elements, ptflops=own))
    return 0
