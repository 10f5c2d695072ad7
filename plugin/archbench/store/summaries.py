"""What history and reports show of a run, in a few kilobytes: its figures without its samples.

A summary is derived from a journal and can be derived again at any time. Figures stand in columns,
so that thousands of runs are read in seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import cast

import msgspec

from archbench.core.entries import MetricEntry
from archbench.core.figures import figures_of, status_of
from archbench.core.forms import builtin
from archbench.core.headers import RunEnvironment, RunHeader
from archbench.core.history import Entry, Lines, cell_of, moment, versions_at
from archbench.core.records import Record, merge_records
from archbench.core.rows import NOISY, Value, with_derived
from archbench.core.spec import Target
from archbench.core.verdicts import Note, Verdict
from archbench.metrics import METRICS
from archbench.store.journal import Run

VERSION = 1
"""Of the form of summaries and of how their figures are derived. Those of another version are not
read: they are derived anew."""


class Column(msgspec.Struct):
    """A metric of all cells, in SI; None where a cell has none.

    Attributes:
        kind: how it was obtained, one of :data:`archbench.core.rows.KINDS`.
        low, high: the intervals; None where no cell has one.
    """

    metric: str
    kind: str
    values: list[int | float | None]
    low: list[int | float | None] | None = None
    high: list[int | float | None] | None = None


class Summary(msgspec.Struct):
    """The figures of a run.

    Attributes:
        cells: id, index of the target and status of each; None for what depends on no device.
        names: the metrics of the columns.
        columns: each a :class:`Column`, decoded when it is asked for.
        left_out: sentences on what of the run could not be read.
        noisy: places of the cells whose times are not to be trusted.
    """

    run: str
    environment: object
    targets: list[Target]
    cells: list[tuple[str, int | None, str]]
    names: list[str]
    columns: list[msgspec.Raw]
    left_out: list[str] = []
    noisy: list[int] = []

    def columns_of(self, metrics: Collection[str] | None) -> list[Column]:
        """Those of some metrics; all for None."""
        return [
            _columns.decode(raw)
            for name, raw in zip(self.names, self.columns, strict=True)
            if metrics is None or name in metrics
        ]

    def target(self, place: int | None) -> Target | None:
        """The target of a cell."""
        return None if place is None else self.targets[place]


_columns = msgspec.json.Decoder(Column)
_summaries = msgspec.json.Decoder(Summary)
_encoder = msgspec.json.Encoder(enc_hook=builtin)


def summary_of(run: Run) -> bytes:
    """The summary of a run, as it is stored: one line of JSON.

    A cell that holds what no run writes is named in it and left out.
    """
    name = str(run.header.get("run") or run.path.parent.name)
    left_out = [f"line {number}: {cause}" for number, cause in run.damaged]
    cells: list[tuple[Record, dict[str, Value]]] = []
    for record in merge_records(run.cells):
        batch_size = None if record.target is None else record.target.batch_size
        try:
            cells.append((record, with_derived(figures_of(record, name), batch_size)))
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            left_out.append(f"{record.id}: {error}")
    targets = list(dict.fromkeys(record.target for record, _ in cells if record.target is not None))
    keys = dict.fromkeys((metric, one.kind) for _, found in cells for metric, one in found.items())
    columns = [_column(*key, [found for _, found in cells]) for key in keys]
    places: dict[Target | None, int | None] = {None: None}
    places.update((target, place) for place, target in enumerate(targets))
    return _encoder.encode(
        Summary(
            name,
            run.header.get("environment") or {},
            targets,
            [(record.id, places[record.target], status_of(record)) for record, _ in cells],
            [column.metric for column in columns],
            [msgspec.Raw(_encoder.encode(column)) for column in columns],
            left_out,
            [place for place, (record, _) in enumerate(cells) if record.is_noisy],
        )
    )


def _column(metric: str, kind: str, cells: Sequence[Mapping[str, Value]]) -> Column:
    found = [
        one if (one := figures.get(metric)) is not None and one.kind == kind else None
        for figures in cells
    ]
    series = [
        [None if one is None else getattr(one, name) for one in found]
        for name in ("value", "low", "high")
    ]
    values, *ends = series
    low, high = (end if any(one is not None for one in end) else None for end in ends)
    return Column(metric, kind, values, low, high)


def read_summary(content: bytes) -> Summary:
    """A summary as it was stored.

    Raises:
        ValueError: it is none.
    """
    return _summaries.decode(content)


def run_of(summary: Summary) -> Run:
    """A run whose cells have figures in place of samples."""
    records = [
        Record(
            id,
            summary.target(place),
            verdicts=[Verdict("", status, "", "")] if status else [],
        )
        for id, place, status in summary.cells
    ]
    for place in summary.noisy:
        records[place].notes.append(Note("noisy", ""))
    for column in summary.columns_of(METRICS):
        ends = (column.low or repeat(None), column.high or repeat(None))
        for record, value, low, high in zip(records, column.values, *ends, strict=False):
            if value is not None:
                unit = METRICS[column.metric].unit
                entry: MetricEntry = {"value": value, "unit": unit, "source": column.kind}
                if low is not None:
                    entry["low"], entry["high"] = low, high
                record.metrics[column.metric] = entry
    header: RunHeader = {"run": summary.run, "environment": _environment(summary)}
    return Run(Path(summary.run) / "journal.jsonl", header, records, finished=True)


def _environment(summary: Summary) -> RunEnvironment:
    return cast("RunEnvironment", summary.environment)


class Histories:
    """The lines of many runs, as :func:`archbench.core.history.observations_of` makes them of each
    cell, and several times as fast: what runs have in common is made once.

    Args:
        metrics: names of those that are wanted; None for all.

    Attributes:
        lines: entries by cell and metric.
    """

    def __init__(self, metrics: Collection[str] | None) -> None:
        self.lines: Lines = {}
        self._metrics = metrics
        self._places: dict[object, list[list[Entry] | None]] = {}
        self._versions: dict[object, dict[str, str]] = {}

    def add(self, summary: Summary) -> None:
        """Add the figures of a run.

        Raises:
            ValueError: neither its environment nor its name has a date.
        """
        environment = _environment(summary)
        when = moment(str(environment.get("time") or summary.run))
        git = environment.get("git") or {}
        about = (summary.run,), git.get("commit"), git.get("dirty")
        same = tuple(cell[:2] for cell in summary.cells), tuple(summary.targets)
        for column in summary.columns_of(self._metrics):
            places = self._places.get((same, column.metric))
            if places is None:
                places = self._places_of(summary, column.metric)
                self._places[same, column.metric] = places
            versions = self._versions_of(summary, column.metric)
            ends = column.low or repeat(None), column.high or repeat(None)
            noisy = {*summary.noisy} if column.metric in NOISY else ()
            for place, (entries, value, low, high, version) in enumerate(
                zip(places, column.values, *ends, versions, strict=False)
            ):
                if value is not None and entries is not None:
                    figures = float(value), *about, low, high
                    entries.append(Entry(when, *figures, version, noisy=place in noisy))

    def _places_of(self, summary: Summary, metric: str) -> list[list[Entry] | None]:
        """For each cell the line that its figure stands on; None where it stands on none."""
        cells = [cell_of(id, summary.target(place), metric) for id, place, _ in summary.cells]
        return [
            None if cell is None else self.lines.setdefault((cell, metric), []) for cell in cells
        ]

    def _versions_of(self, summary: Summary, metric: str) -> list[dict[str, str]]:
        """For each cell the versions that its figure depends on; equal ones are one object."""
        found: dict[tuple[str, int | None], dict[str, str]] = {}
        versions = []
        for id, place, _ in summary.cells:
            key = id.partition("/")[0], place
            if key not in found:
                made = versions_at(id, summary.target(place), metric, _environment(summary))
                found[key] = self._versions.setdefault(tuple(made.items()), made)
            versions.append(found[key])
        return versions
