"""``archbench summary``: an architecture layer by layer and module by module."""

from __future__ import annotations

import argparse

from archbench.cli.architectures import architecture, whole_number
from archbench.core.errors import UsageError
from archbench.core.summary import PARTS, TREE_CONVENTIONS
from archbench.models.requiring import require_torch
from archbench.report.streams import foreign_code
from archbench.report.summary import FORMATS


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    summary = commands.add_parser(
        "summary",
        help="show an architecture layer by layer and module by module",
        description="Show an architecture's layers with their outputs and parameters, and its "
        "modules with their shares of parameters and multiply-adds. Nothing is downloaded and no "
        "arithmetic is done.",
    )
    summary.add_argument(
        "id", metavar="ID", help="timm/resnet50, timm/resnet50@192, path/to/file.py:constructor"
    )
    summary.add_argument(
        "--part", choices=PARTS, help="one of the two (default: both; csv: layers)"
    )
    summary.add_argument("--format", choices=tuple(FORMATS), default="text", help="default: text")
    summary.add_argument(
        "--depth", type=whole_number, metavar="N", help="list modules nested at most N deep"
    )
    summary.add_argument(
        "--input-size", type=whole_number, metavar="N", help="images of N by N pixels"
    )
    summary.add_argument(
        "--batch-size", type=whole_number, metavar="N", help="images of the layer table's batch"
    )
    summary.add_argument(
        "--convention",
        choices=TREE_CONVENTIONS,
        help="what the tree counts: multiply-adds, or as ptflops does (default: macs)",
    )
    summary.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print its layers and modules."""
    # CSV is one table.
    part = options.part or ("layers" if options.format == "csv" else None)
    _refuse_idle(options, part)
    spec = architecture("summary", options.id, options.input_size)

    require_torch()
    from archbench.measure.summary import summarize

    # What a network's own code prints would end up in the document.
    with foreign_code():
        summary = summarize(
            spec,
            parts=PARTS if part is None else (part,),
            convention=options.convention or "macs",
            depth=options.depth,
            batch_size=options.batch_size,
        )
    print(FORMATS[options.format](summary))
    return 0


def _refuse_idle(options: argparse.Namespace, part: str | None) -> None:
    """Refuse an option that says something about the part that is not shown."""
    shown = f"--part={part}" if options.part else "--format=csv, which holds the layer table alone"
    if part == "layers" and options.convention is not None:
        raise UsageError(
            f"--convention={options.convention} with {shown}",
            "the convention is about the MACs of the module tree",
            "Leave it out, or write --part=tree",
        )
    if part == "tree" and options.batch_size is not None:
        raise UsageError(
            f"--batch-size={options.batch_size} with {shown}",
            "the module tree is about one image",
            "Leave it out, or write --part=layers",
        )
