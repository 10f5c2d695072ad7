"""``archbench merge``: the runs of shards and machines, joined to one."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from archbench.catalog import published_top1
from archbench.catalog.catalog import load_catalog
from archbench.catalog.published import PublishedFigure
from archbench.cli.printing import say
from archbench.cli.sources import path_of
from archbench.core.errors import ArchbenchError, UsageError
from archbench.core.records import Record
from archbench.report.summary_lines import note_lines, summary_lines
from archbench.report.table import doubts, run_table
from archbench.store.directory import runs_directory
from archbench.store.merging import merge_runs, store_merged
from archbench.store.output_files import problem_of
from archbench.store.results import results_document, write_results


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "merge",
        help="join the runs of shards and machines to one",
        description="Join runs that are parts of one (--shard=1/4 and so on), store the result as "
        "a run, and print its table. The exit status is that of one run over all of it.",
    )
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="ids of stored runs, or directories of runs"
    )
    parser.add_argument(
        "--take", metavar="RUN", help="whose result counts where two runs have a cell"
    )
    parser.add_argument(
        "--partial", action="store_true", help="also where parts are missing or were not ended"
    )
    parser.add_argument("--results", type=Path, metavar="FILE", help="write everything as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Join them, and print what one run would have printed."""
    root = Path.cwd()
    if options.results is not None and (problem := problem_of("results", options.results)):
        raise UsageError(f"--results={options.results}", problem, "Name another file")
    paths = [path for source in options.runs for path in _journals(source, root)]
    try:
        merged = merge_runs(paths, take=options.take, partial=options.partial)
    except OSError as error:
        raise UsageError(
            str(error.filename), f"it cannot be read ({error.strerror})", "Name readable runs"
        ) from error
    say(merged.remarks)
    published = _published(merged.cells)
    try:
        stored = store_merged(merged, runs_directory(root), paths)
        if options.results is not None:
            figures = {model: one.as_top1() for model, one in published.items()}
            document = results_document(merged.header, merged.cells, figures)
            write_results(options.results, document)
    except OSError as error:
        raise UsageError(
            str(error.filename), f"it cannot be written ({error.strerror})", "Make room for it"
        ) from error
    print("\n".join(_lines(merged.cells, published)))
    print(f"Stored in {stored.relative_to(root) if stored.is_relative_to(root) else stored}")
    return merged.exit_status


def _journals(source: str, root: Path) -> list[Path]:
    """The journal of a run, or those of a directory of runs."""
    place = root / source
    if place.is_dir() and not (place / "journal.jsonl").is_file():
        found = sorted(place.rglob("journal.jsonl"))
        if found:
            return found
    return [path_of(source, root)]


def _published(cells: Sequence[Record]) -> dict[str, PublishedFigure]:
    found = {}
    for cell in cells:
        try:
            figure = published_top1(load_catalog().get(cell.id))
        except ArchbenchError:
            continue  # one of a person's own
        if figure is not None:
            found[cell.id] = figure
    return found


def _lines(cells: Sequence[Record], published: Mapping[str, PublishedFigure]) -> list[str]:
    top1 = {model: one.value for model, one in published.items()}
    targets = {cell.key[1] for cell in cells if cell.target}
    return [
        run_table(cells, top1, with_target=len(targets) > 1),
        "",
        *doubts(cells),
        *note_lines(cells),
        *summary_lines(cells, accepting=True),  # "the same command" accepts nothing
    ]
