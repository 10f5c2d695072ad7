"""``archbench report``: stored runs as a page, pictures, a table or data."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from archbench.cli.printing import say
from archbench.cli.sources import SOURCES, Loaded, points_from, title_of
from archbench.core.errors import UsageError
from archbench.core.history import Cell
from archbench.core.points import Point
from archbench.report.listing import points_csv, points_json, points_table, published_note
from archbench.report.live_line import LiveLine, Stream
from archbench.store.atomic import write_text

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
    parser.add_argument("--charts", metavar="LIST", help="pictures of these, separated by commas")
    parser.set_defaults(run=run, empty=_empty)


def run(options: argparse.Namespace) -> int:
    """Write or print what was asked for."""
    charts = [name.strip() for name in options.charts.split(",")] if options.charts else None
    wanted = _wanted(options, charts)
    loaded = points_from(options.sources, Path.cwd())
    say(loaded.remarks if wanted != "json" else ())
    if wanted in (None, "html", *_PICTURES):
        if wanted is None and not options.pictures and charts is None:
            wanted = "html"
        for path in _draw(wanted, options.output, loaded, title_of(options.sources), charts):
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
    points = loaded.points
    if format == "csv":
        return points_csv(points)
    if format == "json":
        return points_json(points, loaded.remarks)
    table = points_table(points, format)
    note = published_note(figure for point in points for figure in point.figures.values())
    return "\n\n".join([table, *note])


MOST_LINES = 500
"""Of history on a page: finding change points in one takes some milliseconds."""


def _history(points: Sequence[Point]) -> dict[str, list[dict[str, object]]] | None:
    """The latency of the cells that are shown, over all stored runs; None where there is none."""
    from archbench.cli.history import stored_history
    from archbench.report.history import history_data

    shown = {Cell.of_point(point).title for point in points if point.device and point.when}
    if not shown:
        return None
    try:
        series, _ = stored_history(Path.cwd(), metrics=["latency"])
    except UsageError:
        return None
    kept = [line for line in series if line.cell.title in shown and len(line.entries) > 1]
    return history_data(kept[:MOST_LINES]) or None


def _draw(
    wanted: str | None, output: Path | None, loaded: Loaded, title: str, charts: list[str] | None
) -> list[Path]:
    target = output or Path("report")
    line = LiveLine(Stream(sys.stderr))
    written: list[Path] = []
    try:
        if wanted in (None, "html"):
            from archbench.report.page import write_page

            page = target if target.suffix == ".html" else target / "index.html"
            page.parent.mkdir(parents=True, exist_ok=True)
            line.keep(f"writing {page} ...")
            write_page(
                loaded.points,
                page,
                title=title,
                remarks=loaded.remarks,
                history=_history(loaded.points),
            )
            written.append(page)
        if wanted != "html":
            from archbench.report.charts import PICTURES, draw_charts, why_not

            target.mkdir(parents=True, exist_ok=True)
            formats = _PICTURES if wanted is None else (wanted,)
            line.keep("importing matplotlib ...")
            written += draw_charts(
                loaded.points, target, names=charts, formats=formats, show=line.keep
            )
            line.clear()
            for name in PICTURES if charts is None else ():
                reason = why_not(name, loaded.points)
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
