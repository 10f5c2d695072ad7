"""``archbench artefacts``: what is kept of networks for engines."""

from __future__ import annotations

import argparse
from datetime import datetime, timezone
from pathlib import Path

from archbench.core.errors import NothingFoundError
from archbench.core.units import parse_quantity
from archbench.report.tables import TABLE_FORMATS, Table
from archbench.store.artefacts import IN_USE, Artefact, Artefacts, limit_of
from archbench.store.directory import own_directory


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    artefacts = commands.add_parser(
        "artefacts",
        help="show and remove what is kept of networks for engines",
        description="Graphs that were exported for --runtime=onnxruntime and others, of the "
        "project in this directory (.archbench/artefacts).",
    )
    actions = artefacts.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser("show", help="what there is, the one that was used last first")
    show.add_argument("--format", choices=TABLE_FORMATS, default="text", help="default: text")
    show.set_defaults(run=_show)
    prune = actions.add_parser(
        "prune", help="remove all, or those that were not used for longest until the rest fits"
    )
    prune.add_argument(
        "--max-size", metavar="SIZE", default="0B", help="that stays: 2GB (default: nothing)"
    )
    prune.set_defaults(run=_prune)


def _show(options: argparse.Namespace) -> int:
    store = _store()
    found = store.entries()
    table = Table(_HEADERS, [_row(one) for one in found], _HEADERS[:4])
    print(table.print_as(options.format))
    if options.format == "text":
        total, limit = sum(one.size for one in found), limit_of(store.directory)
        print(f"{len(found)} take {total / 1e6:,.0f} MB; {limit / 1e9:,.1f} GB are allowed.")
    return 0


def _prune(options: argparse.Namespace) -> int:
    most = parse_quantity(options.max_size, "a size").value
    store = _store()
    removed = store.prune(int(most), in_use=0 if not most else IN_USE)
    freed, left = sum(one.size for one in removed), len(store.entries())
    print(f"Removed {len(removed)}, {freed / 1e6:,.0f} MB; {left} stay.")
    return 0


_HEADERS = ("architecture", "artefact", "last used", "made with", "batch", "MB", "export s")


def _row(one: Artefact) -> list[object]:
    facts = one.facts
    used = datetime.fromtimestamp(one.used, timezone.utc)
    versions = facts.get("versions", {})
    batch, seconds = facts.get("batch"), facts.get("seconds")
    return [
        facts.get("id", ""),
        one.path.name,
        used.strftime("%Y-%m-%d %H:%M"),
        ", ".join(f"{name} {version}" for name, version in versions.items()),
        "any" if batch is None else batch,
        f"{one.size / 1e6:.1f}",
        "" if seconds is None else f"{seconds:.1f}",
    ]


def _store() -> Artefacts:
    directory = own_directory(Path.cwd()) / "artefacts"
    if not directory.is_dir() or not Artefacts(directory).entries():
        raise NothingFoundError(
            "archbench artefacts",
            f"there are none in {directory}",
            "Measure with an engine: pytest benchmarks --runtime=onnxruntime",
        )
    return Artefacts(directory)
