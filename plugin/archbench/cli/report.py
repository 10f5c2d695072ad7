"""``archbench report``: stored runs as a page, pictures, a table or data."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from archbench.cli.printing import say
from archbench.cli.sources import SOURCES, Loaded, rows_from, title_of, without_collector
from archbench.cli.stores import add_store, store_of
from archbench.core.errors import UsageError
from archbench.core.forms import Json
from archbench.core.history import Cell
from archbench.core.rows import Row
from archbench.report.listing import noise_note, published_note, rows_csv, rows_json, rows_table
from archbench.report.live_line import LiveLine, Stream
from archbench.store.atomic import write_text
from archbench.store.directory import as_typed, make_directory
from archbench.store.objects import Objects

FORMATS = ("text", "markdown", "csv", "json", "html", "png", "svg")

_PICTURES = ("png", "svg")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "report",
        help="stored runs and published tables as a page, pictures, a table or data",
        description="Without --format, write one page that opens without a network; with "
        "--pictures every chart as PNG and SVG beside it.",
    )
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help=SOURCES)
    parser.add_argument(
        "--format", choices=FORMATS, help="only this (default: html, a page in a directory)"
    )
    parser.add_argument(
        "--pictures", action="store_true", help="every chart as PNG and SVG beside the page"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="PATH",
        help="file of a page, table or data, directory of pictures (default: report; tables and "
        "data are printed)",
    )
    add_store(parser, "runs of a shared store; without SOURCE the latest of each of its devices")
    parser.add_argument("--charts", metavar="LIST", help="pictures of these, separated by commas")
    parser.set_defaults(run=run, empty=_empty)


@without_collector()
def run(options: argparse.Namespace) -> int:
    """Write or print what was asked for."""
    charts = [name.strip() for name in options.charts.split(",")] if options.charts else None
    wanted = _wanted(options, charts)
    store = None if options.store is None else store_of(options.store)
    loaded = rows_from(options.sources, Path.cwd(), store)
    say(loaded.remarks if wanted != "json" else ())
    if wanted in (None, "html", *_PICTURES):
        if wanted is None and not options.pictures and charts is None:
            wanted = "html"
        title = title_of(options.sources)
        for path in _draw(wanted, options.output, loaded, title, charts, store):
            print(path)
        return 0
    text = _text(wanted, loaded)
    if options.output is None:
        print(text)
        return 0
    try:
        _write(options.output, f"{text}\n")
    except OSError as error:
        raise UsageError(
            f"--output={options.output}",
            f"it cannot be written ({error.strerror})",
            "Name a file in a directory that exists",
        ) from error
    print(options.output)
    return 0


def _wanted(options: argparse.Namespace, charts: list[str] | None) -> str | None:
    """The only format that is asked for; None for a page with pictures beside it.

    Raises:
        UsageError: options that do not go together.
    """
    if options.charts is not None and not options.charts.strip(" ,"):
        raise UsageError("--charts=", "it names no chart", "Name one, or leave it out for all")
    if options.output is not None:
        _refuse_output(options.output, options.sources)
    if charts is not None and options.format not in (None, *_PICTURES):
        raise UsageError(
            f"--charts={options.charts} with --format={options.format}",
            "charts are named for pictures",
            "Leave --charts out, or write --format=png or --format=svg",
        )
    is_page = options.output is not None and options.output.suffix == ".html"
    wanted: str | None = options.format or ("html" if is_page else None)
    if options.pictures and wanted is not None:
        raise UsageError(
            "--pictures with one format alone",
            "it writes pictures beside the page, in a directory",
            "Leave --format out, and name a directory with --output",
        )
    return wanted


def _empty(options: argparse.Namespace, reason: str) -> str:
    return _text(options.format, Loaded([], [reason]))


def _refuse_output(output: Path, sources: Sequence[str]) -> None:
    if not output.name:
        raise UsageError(f"--output={output}", "it names no file", "Name one, or leave it out")
    if any(
        Path(source).exists() and output.resolve() == Path(source).resolve() for source in sources
    ):
        raise UsageError(
            f"--output={output}", "it is what the report is made from", "Name another file"
        )


def _write(path: Path, text: str) -> None:
    """A link stays one, and what is no file (a pipe, a device) is written into."""
    path = path.resolve()
    if path.exists() and not path.is_file() and not path.is_dir():
        with path.open("w", encoding="utf-8") as stream:
            stream.write(text)
    else:
        write_text(path, text)


def _text(format: str, loaded: Loaded) -> str:
    rows = loaded.rows
    if format == "csv":
        return rows_csv(rows)
    if format == "json":
        return rows_json(rows, loaded.remarks)
    table = rows_table(rows, format)
    note = published_note(figure for row in rows for figure in row.values.values())
    return "\n\n".join([table, *note, *noise_note(rows)])


MOST_ENTRIES = 20_000
"""Of history on a page: with more it takes seconds to open."""


def _history(
    rows: Sequence[Row], store: Objects | None
) -> tuple[dict[str, list[dict[str, Json]]] | None, list[str]]:
    """The latency of the cells that are shown, over all stored runs, or None where there is none;
    and what is left out."""
    from archbench.cli.history import stored_history
    from archbench.report.history import history_data

    shown = {Cell.of_row(row).title for row in rows if row.device and row.when}
    if not shown:
        return None, []
    try:
        series, _ = stored_history(Path.cwd(), metrics=["latency"], store=store)
    except UsageError:
        return None, []
    kept = [line for line in series if line.cell.title in shown and len(line.entries) > 1]
    most = max(1, MOST_ENTRIES // max(1, len(kept)))
    is_cut = any(len(line.entries) > most for line in kept)
    said = f"Of the history of each cell the page has the last {most}: archbench history shows all."
    return history_data(kept, most) or None, [said] * is_cut


def _draw(
    wanted: str | None,
    output: Path | None,
    loaded: Loaded,
    title: str,
    charts: list[str] | None,
    store: Objects | None,
) -> list[Path]:
    target = output or Path("report")
    made = partial(make_directory, own=target if output is None else None)
    line = LiveLine(Stream(sys.stderr))
    written: list[Path] = []
    try:
        if wanted in (None, "html"):
            from archbench.report.page import write_page

            page = target if target.suffix == ".html" else target / "index.html"
            made(page.parent)
            line.keep(f"writing {page} ...")
            history, said = _history(loaded.rows, store)
            remarks = [*loaded.remarks, *said]
            spelled = partial(as_typed, root=Path.cwd())
            write_page(
                loaded.rows, page, title=title, remarks=remarks, history=history, spelled=spelled
            )
            written.append(page)
        if wanted != "html":
            from archbench.report.charts import PICTURES, draw_charts, why_not

            made(target)
            formats = _PICTURES if wanted is None else (wanted,)
            line.keep("importing matplotlib ...")
            written += draw_charts(
                loaded.rows, target, names=charts, formats=formats, show=line.keep
            )
            line.clear()
            for name in PICTURES if charts is None else ():
                reason = why_not(name, loaded.rows)
                if reason is not None:
                    say([f"chart {name} is left out: {reason}"])
    except OSError as error:
        raise UsageError(
            f"--output={target}",
            f"it cannot be written ({error.strerror})",
            "Name a directory that can be written",
        ) from error
    finally:
        line.clear()
    return written
