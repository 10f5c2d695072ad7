"""``archbench history``: what was measured of each cell over time."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path

from archbench.cli.filters import add_filters, filters, value_of
from archbench.cli.printing import say
from archbench.cli.sources import without_collector
from archbench.cli.stores import add_store, shared_runs, store_of
from archbench.core.errors import NothingFoundError, UsageError, some
from archbench.core.history import Series, is_exact, moment, series_of
from archbench.core.selectors import refuse_unknown
from archbench.devices.choosing import device_slug
from archbench.metrics import METRICS
from archbench.report import history as report
from archbench.store.directory import runs_directory
from archbench.store.history import (
    BENCHMARKS,
    Found,
    in_baselines,
    in_benchmarks,
    in_runs,
    in_store,
)
from archbench.store.objects import Objects
from archbench.store.sharing import SharedRun

DEFAULT_METRICS = ("latency", "macs", "params")
FORMATS = ("text", "json", "csv", "markdown")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of ``archbench``."""
    history = commands.add_parser(
        "history",
        help="show what was measured over time, with change points",
        description="Show what stored runs (.archbench/runs) and pytest-benchmark's storage hold "
        "of each cell, in the order of time. Change points are hints: no test fails by them.",
    )
    history.add_argument(
        "ids",
        nargs="*",
        metavar="ID",
        help="ids, names or globs: timm/resnet50, resnet50, 'timm/*'; default: an overview of all",
    )
    history.add_argument(
        "--metric",
        action="append",
        metavar="NAME",
        help=f"repeatable; default {', '.join(DEFAULT_METRICS)}. Others: "
        f"{', '.join(name for name in METRICS if name not in DEFAULT_METRICS)}",
    )
    add_filters(history)
    history.add_argument(
        "--since", metavar="DATE", help="show nothing older, as 2026-01-31 (change points stay)"
    )
    history.add_argument(
        "--every-run", action="store_true", help="runs of one commit apart, not as their median"
    )
    history.add_argument(
        "--baselines",
        action="store_true",
        help="also accepted measurements, through the history of baselines/ in git",
    )
    add_store(history, "also the runs of a shared store (default: that of [tool.archbench])")
    storage = "of pytest-benchmark (default: .benchmarks)"
    history.add_argument("--storage", type=Path, metavar="DIR", help=storage)
    history.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    history.set_defaults(run=run, empty=_empty)


@without_collector()
def run(options: argparse.Namespace) -> int:
    """Print the history; what was left out goes to the error stream where a document is printed."""
    metrics = tuple(options.metric or DEFAULT_METRICS)
    for name in metrics:
        refuse_unknown(f"--metric={name}", name, METRICS, "metric")
    since = _since(options.since)
    series, remarks = stored_history(
        Path.cwd(),
        metrics=metrics,
        merge=not options.every_run,
        baselines=options.baselines,
        storage=options.storage,
        store=None if options.store is None else store_of(options.store),
    )
    asked = f"archbench history{''.join(f' {id}' for id in options.ids)}"
    series = _selected(asked, series, options)
    lines = report.judged(series)
    if since is not None:
        lines = report.shown_since(lines, since)
        if not lines:
            raise NothingFoundError(
                f"{asked} --since={options.since}", "nothing is as new", "Go back more"
            )
    print(report.FORMATS[options.format](lines, remarks, bool(options.ids)))
    say(remarks if options.format == "csv" else ())
    return 0


def _empty(options: argparse.Namespace, reason: str) -> str:
    return report.FORMATS[options.format]((), [reason], False)


def stored_history(
    root: Path,
    *,
    metrics: Sequence[str] | None = None,
    merge: bool = True,
    baselines: bool = False,
    storage: Path | None = None,
    store: Objects | None = None,
) -> tuple[list[Series], list[str]]:
    """Every line of a project, and sentences on what was left out.

    Args:
        root: directory of the project.
        metrics: names of those that are wanted; None for all.
        merge: make one entry of the runs of a commit, see :func:`archbench.core.history.series_of`.
        baselines: also accepted measurements, through git's history of them.
        storage: of pytest-benchmark, if elsewhere than ``.benchmarks``.
        store: that a team shares; a run that is here too counts once.

    Raises:
        NothingFoundError: nothing is stored.
        UsageError: there is no such storage.
    """
    benchmarks = root / (storage or BENCHMARKS)
    if storage is not None and not benchmarks.is_dir():
        raise UsageError(
            f"--storage={storage}",
            "there is no such directory",
            "Name pytest-benchmark's storage, .benchmarks by default",
        )
    found, read = Found(), list[SharedRun]()
    if store is not None:
        shared, remarks = shared_runs(store, ())
        found, read = in_store(store, shared, root, metrics)
        found.remarks += remarks
    found.extend(in_runs(root, metrics, read))
    found.extend(in_benchmarks(benchmarks, lambda cpu: device_slug("cpu", cpu), metrics))
    if baselines:
        found.extend(in_baselines(root, metrics))
    if not (found.observations or found.lines):
        absent = f"no run is stored in {runs_directory(root)} or {benchmarks}"
        if found.files:
            named = " or ".join(metrics or ("a figure",))
            absent = f"none of {found.files} stored files holds {named}"
        raise NothingFoundError(
            "archbench history",
            "; ".join([absent, *found.remarks]),
            "Measure something: pytest benchmarks",
        )
    return series_of(found.observations, found.lines, merge=merge), found.remarks


def _since(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return moment(text)
    except ValueError:
        raise UsageError(
            f"--since={text}", "that is no date", "Write it as 2026-01-31 or 2026-01-31T12:00"
        ) from None


def _selected(asked: str, series: Sequence[Series], options: argparse.Namespace) -> list[Series]:
    """The series that are asked for; counts belong to every device.

    Raises:
        NothingFoundError: there is none; names the nearest.
    """
    found = list(series)
    for id in options.ids:
        if not any(_is_meant(one.cell.id, id) for one in series):
            raise NothingFoundError(asked, f"no stored run holds {id!r}", _near(id, series))
    if options.ids:
        found = [one for one in found if any(_is_meant(one.cell.id, id) for id in options.ids)]
    for name in filters():
        option, wanted = f"--{name}".replace("_", "-"), getattr(options, name)
        if wanted is None:
            continue
        timed = [one for one in found if not is_exact(one.metric)]
        values = {value_of(one.cell, name) for one in timed}
        meant = {value for value in values if fnmatchcase(str(value), str(wanted))}
        if not meant and (timed or not found):
            known = ", ".join(sorted(str(value) for value in values if value is not None))
            raise NothingFoundError(
                f"{option}={wanted}",
                f"nothing stored is of that, only of {known or 'none'}",
                "Name one of them, or leave the option out",
            )
        found = [one for one in found if is_exact(one.metric) or value_of(one.cell, name) in meant]
    return found


def _is_meant(id: str, request: str) -> bool:
    """An id, or a glob over ids; without a slash over the names behind it."""
    name = id if "/" in request else id.partition("/")[2]
    return id == request or fnmatchcase(name, request)


def _near(request: str, series: Sequence[Series]) -> str:
    ids = sorted({one.cell.id for one in series})
    names = {id if "/" in request else id.partition("/")[2]: id for id in ids}
    near = get_close_matches(request, names, n=3, cutoff=0.5)
    if near:
        return f"Near it are {', '.join(names[name] for name in near)}"
    return f"Stored are {some(ids, 5)}"
