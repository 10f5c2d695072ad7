"""The history of cells as text, tables, JSON, CSV and for the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from archbench.core.forms import Json
from archbench.core.history import (
    ChangePoint,
    Entry,
    Series,
    changes_at,
    exact_change_points,
    is_exact,
    relative_change,
)
from archbench.core.run_config import StatedConfig
from archbench.metrics import METRICS
from archbench.report.change_points import change_points_of, why_none
from archbench.report.tables import ABSENT, BLANK, NOISY_MARK, Table, json_text, markdown

CHANGE_MARK = "◆"
_BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Line:
    """A series with what is to be seen in it.

    Attributes:
        changes: its change points.
        absent: why it can have none; None where it can.
        first: of its entries the first that is to be shown.
    """

    series: Series
    changes: tuple[ChangePoint, ...] = ()
    absent: str | None = None
    first: int = 0

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Those that are to be shown."""
        return self.series.entries[self.first :]

    @property
    def is_constant(self) -> bool:
        """Whether it was counted and never differed."""
        return is_exact(self.series.metric) and not self.changes

    def change_at(self, index: int) -> ChangePoint | None:
        """The change point at an entry of the whole series."""
        return next((change for change in self.changes if change.index == index), None)

    def relative_at(self, index: int) -> float | None:
        """The entry's change to the one before; None where there is none to relate to."""
        entries = self.series.entries
        if index == 0:
            return None
        return relative_change(entries[index - 1].value, entries[index].value)

    @property
    def last_change(self) -> ChangePoint | None:
        """The latest change point among what is to be shown."""
        shown = [change for change in self.changes if change.index >= self.first]
        return shown[-1] if shown else None


def judged(series: Sequence[Series]) -> list[Line]:
    """Series with their change points, the one with the latest first.

    Of counts every difference is one. Series without any follow, by how far their last value is
    from the one before.
    """
    timed = [one for one in series if not is_exact(one.metric)]
    found = iter(change_points_of([one.values for one in timed]))
    lines = []
    for one in series:
        values = one.values
        if is_exact(one.metric):
            absent = None if len(values) > 1 else "a change needs 2 entries, there is 1"
            indices = exact_change_points(values)
        else:
            absent, indices = why_none(len(values)), next(found)
        lines.append(Line(one, tuple(changes_at(values, indices)), absent))
    lines.sort(key=_by_name)
    lines.sort(key=_latest_first, reverse=True)
    return lines


def _by_name(line: Line) -> tuple[str, bool, str, int]:
    """An architecture's times before its counts."""
    cell, metric = line.series.cell, line.series.metric
    return cell.id, is_exact(metric), cell.target, list(METRICS).index(metric)


def _latest_first(line: Line) -> tuple[str, float]:
    change = line.last_change
    if change is not None:
        return line.series.entries[change.index].when, abs(change.relative or 0)
    return "", abs(line.relative_at(len(line.series.entries) - 1) or 0)


def shown_since(lines: Sequence[Line], when: str) -> list[Line]:
    """Lines cut to what is not older than ``when``; those of which nothing is left are gone.

    What is hidden still counts: change points are those of the whole series.
    """
    found = []
    for line in lines:
        entries = line.series.entries
        first = next((i for i, entry in enumerate(entries) if entry.when >= when), None)
        if first is not None:
            found.append(Line(line.series, line.changes, line.absent, first))
    return sorted(found, key=_latest_first, reverse=True)


def history_data(
    series: Sequence[Series], most: int | None = None
) -> dict[str, list[dict[str, Json]]]:
    """The history as the page draws it, in builtin types.

    Args:
        most: entries of each, the last ones; all by default. Change points are those of all.

    Returns:
        For each cell (``timm/resnet50 cpu-amd-epyc fp32 batch 1``, without the target for counts)
        its entries in the order of time, of all its metrics: ``when``, ``commit`` or None,
        ``metric``, ``value`` in SI, ``low`` and ``high`` or None, ``change`` to the entry before
        or None, ``change_point`` (whether a new level begins here), ``events``, ``sources``.
    """
    found: dict[str, list[dict[str, Json]]] = {}
    for line in judged(series):
        first = 0 if most is None else max(0, len(line.series.entries) - most)
        line = replace(line, first=first)
        entries = found.setdefault(line.series.cell.title, [])
        for item in _entries(line):
            is_change = item["change_point"] is not None
            entries.append({"metric": line.series.metric, **item, "change_point": is_change})
    return found


def _entries(line: Line) -> list[dict[str, Json]]:
    return [
        {
            **dict(zip(_ENTRY, _figures(line, index, entry), strict=True)),
            "change_point": None
            if (change := line.change_at(index)) is None
            else {"before": change.before, "after": change.after, "change": change.relative},
            "events": list(entry.events),
            "sources": list(entry.sources),
            "noisy": entry.noisy,
        }
        for index, entry in enumerate(line.entries, line.first)
    ]


_ENTRY = ("when", "commit", "dirty", "value", "low", "high", "change")


def _figures(line: Line, index: int, entry: Entry) -> list[Json]:
    return [*(getattr(entry, name) for name in _ENTRY[:-1]), line.relative_at(index)]


def _json(lines: Sequence[Line], remarks: Sequence[str], detailed: bool) -> str:
    document = {
        "lines": [
            {
                "id": line.series.cell.id,
                "device": line.series.cell.device or None,
                **line.series.cell.as_columns(),
                "metric": line.series.metric,
                "unit": METRICS[line.series.metric].unit,
                "entries": _entries(line),
                **({"no_change_points": line.absent} if line.absent else {}),
            }
            for line in lines
        ],
        "remarks": list(remarks),
    }
    return json_text(document)


def _csv(lines: Sequence[Line], remarks: Sequence[str], detailed: bool) -> str:
    remarked = ("change_point", "events", "sources", "noisy")
    columns = ("id", "device", *StatedConfig().as_columns(), "metric", "unit", *_ENTRY, *remarked)
    rows = []
    for line in lines:
        cell, metric = line.series.cell, line.series.metric
        shared = (cell.id, cell.device, *cell.as_columns().values(), metric, METRICS[metric].unit)
        for index, entry in enumerate(line.entries, line.first):
            change = line.change_at(index)
            lists = ("; ".join(entry.events), "; ".join(entry.sources))
            step = None if change is None else change.relative
            rows.append([*shared, *_figures(line, index, entry), step, *lists, entry.noisy])
    return Table(columns, rows).print_as("csv")


def _percent(share: float | None) -> str:
    return ABSENT if share is None else f"{share * 100:+.1f} %"


def _figure(metric: str, value: float) -> str:
    """As elsewhere; a count in full, since the change of a single layer is small."""
    return f"{value:,.0f}" if is_exact(metric) else METRICS[metric].text(value)


def _marked(metric: str, entry: Entry) -> str:
    return f"{NOISY_MARK if entry.noisy else ''}{_figure(metric, entry.value)}"


def _title(metric: str) -> str:
    """The heading of :func:`_figure`."""
    title = METRICS[metric].title
    return {"macs": "MACs"}.get(metric, title.removesuffix(" M")) if is_exact(metric) else title


def _difference(metric: str, before: float, after: float) -> str:
    if is_exact(metric):
        return f"{after - before:+,.0f}" if after != before else "0"
    return _percent(relative_change(before, after))


def _date(when: str) -> str:
    return when[:16].replace("T", " ")


def _commit(entry: Entry) -> str:
    """The beginning of it, with a mark where files differed from it."""
    return ABSENT if entry.commit is None else entry.commit[:9] + ("+" if entry.dirty else "")


def _course(line: Line) -> str:
    """A bar for each of the last 30 values, between the least and the greatest of them.

    Times that differ by less than 1 % are level: that is noise.
    """
    values = [entry.value for entry in line.entries[-30:]]
    low, high = min(values), max(values)
    if high == low or (not is_exact(line.series.metric) and high - low < 0.01 * abs(high)):
        return _BARS[3] * len(values)
    return "".join(_BARS[round((v - low) / (high - low) * (len(_BARS) - 1))] for v in values)


def _change_text(change: ChangePoint, metric: str) -> str:
    before, after = _figure(metric, change.before), _figure(metric, change.after)
    return f"{before} -> {after}, {_difference(metric, change.before, change.after)}"


def _to_one_before(line: Line, index: int) -> str:
    entries = line.series.entries
    if index == 0:
        return ABSENT
    return _difference(line.series.metric, entries[index - 1].value, entries[index].value)


def _overview(lines: Sequence[Line], style: str) -> str:
    rows = []
    for line in lines:
        series, change = line.series, line.last_change
        entries = series.entries
        rows.append(
            [
                series.cell.id,
                series.cell.target or ABSENT,
                _title(series.metric),
                str(len(line.entries)),
                _course(line),
                _marked(series.metric, entries[-1]),
                _to_one_before(line, len(entries) - 1),
                ABSENT if change is None else _change_text(change, series.metric),
                ABSENT if change is None else _date(entries[change.index].when),
                ABSENT if change is None else _commit(entries[change.index]),
            ]
        )
    headers = [
        "cell", "target", "metric", "entries", "course", "last", "to one before",
        "last change point", "since", "commit",
    ]  # fmt: skip
    words = ("cell", "target", "metric", "course", "last change point", "since", "commit")
    return Table(headers, rows, words).print_as(style)


def _detail(line: Line, style: str) -> str:
    series = line.series
    title = _title(series.metric)
    heading = f"{series.cell.title}: {title}"
    if line.is_constant and len(line.entries) > 1:
        entry, last = line.entries[0], line.entries[-1]
        said = f"{_figure(series.metric, entry.value)} in all {len(line.entries)} entries, "
        return f"{_heading(heading, style)}{said}{_date(entry.when)} to {_date(last.when)}."
    rows = []
    for index, entry in enumerate(line.entries, line.first):
        change = line.change_at(index)
        remarks = [f"{CHANGE_MARK} {_change_text(change, series.metric)}"] if change else []
        remarks += entry.events
        if len(entry.sources) > 1:
            remarks.append(f"{len(entry.sources)} runs")
        rows.append(
            [
                _date(entry.when),
                _commit(entry),
                _marked(series.metric, entry),
                _to_one_before(line, index),
                "; ".join(remarks) or BLANK,
            ]
        )
    headers = ["date (UTC)", "commit", title, "to one before", f"{CHANGE_MARK} change point"]
    words = (*headers[:2], headers[-1])
    table = Table(headers, rows, words).print_as(style)
    head = f"{_heading(heading, style)}{_course(line)}\n" + ("\n" if style == "markdown" else "")
    return head + table


def _heading(text: str, style: str) -> str:
    return f"### {markdown(text)}\n\n" if style == "markdown" else f"{text}\n"


def _document(style: str, lines: Sequence[Line], remarks: Sequence[str], detailed: bool) -> str:
    blocks = []
    moving = [line for line in lines if not line.is_constant]
    if detailed:
        blocks += [_detail(line, style) for line in lines]
    elif moving:
        blocks.append(_overview(moving, style))
    if not detailed and (still := len(lines) - len(moving)):
        blocks.append(f"{still} line{'s' if still > 1 else ''} of counts never changed.")
    where = " in some lines" if len(moving) > 1 else ""
    absent = sorted({line.absent for line in moving if line.absent})
    blocks += [f"No change points{where}: {reason}." for reason in absent]
    if any(entry.dirty for line in lines for entry in line.entries):
        blocks.append("+ tracked files differed from the commit.")
    if any(entry.noisy for line in lines for entry in line.entries):
        blocks.append(f"{NOISY_MARK} too noisy to trust: other work ran beside it.")
    if remarks:
        said = map(markdown, remarks) if style == "markdown" else remarks
        blocks.append("\n".join(f"- {remark}" for remark in said))
    return "\n\n".join(blocks)


FORMATS: dict[str, Callable[[Sequence[Line], Sequence[str], bool], str]] = {
    "text": partial(_document, "text"),
    "json": _json,
    "csv": _csv,
    "markdown": partial(_document, "markdown"),
}
"""For each ``--format`` what makes it of lines, remarks on what was left out, and whether each line
is shown entry by entry."""
