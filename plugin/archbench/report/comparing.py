"""Two sides of a comparison as a table."""

from __future__ import annotations

from collections.abc import Sequence

from archbench.core.comparing import ComparedRows, Comparison
from archbench.core.errors import some
from archbench.core.gate import difference_text
from archbench.core.run_config import axis
from archbench.metrics import METRICS
from archbench.report.listing import figure_text, noise_note, published_note
from archbench.report.tables import Table, json_text

SCHEMA = 1
"""Of the JSON document. 1: first version."""

ERROR_MARK = "~"


def _percent(relative: float | None) -> str:
    return "" if relative is None else f"{relative * 100:+.1f} %"


def _shared_target(change: ComparedRows, comparison: Comparison) -> str:
    """What both cells of a pair were timed on and how, as far as it is one."""
    left, shared, apart = change.left, comparison.shared, comparison.apart
    differing = [name for name in ("dtype", "batch_size", "threads") if name not in shared]
    setting = left.setting_without(*differing, *apart)
    return f"{left.device if 'device' in shared else ''} {setting}".strip()


def _run_in(name: str, value: str | int | bool) -> str:
    if name == "largest_batch":
        return "the largest batch" if value else "a batch size that was asked"
    return axis(name).own_text(value)


def _runs(comparison: Comparison, side: int) -> str:
    return ", ".join(_run_in(name, pair[side]) for name, pair in comparison.apart.items())


def comparison_table(comparison: Comparison, titles: tuple[str, str], format: str) -> str:
    """One line for each pair, what grew most first.

    Args:
        comparison: what is shown.
        titles: names of the left and the right side.
        format: one of :data:`archbench.report.tables.TABLE_FORMATS`; ``csv`` holds SI values.
    """
    metric = comparison.metric
    if format == "csv":
        headers = ["id", "target", metric, f"{metric}_compared", "change", "within_error"]
        raw = [
            [
                change.left.id,
                _shared_target(change, comparison),
                str(change.left.values[metric].value),
                str(change.right.values[metric].value),
                "" if change.relative is None else str(change.relative),
                str(change.within_error).lower(),
            ]
            for change in comparison.changes
        ]
        return Table(headers, raw).print_as(format)
    title = METRICS[metric].title
    rows = [
        [
            change.left.name,
            change.left.library,
            _shared_target(change, comparison),
            figure_text(change.left, metric),
            figure_text(change.right, metric),
            f"{ERROR_MARK if change.within_error else ''}{_percent(change.relative)}",
        ]
        for change in comparison.changes
    ]
    words = ["architecture", "library", "target"]
    headers = [*words, *(f"{title} {side}" for side in titles), "change"]
    return Table(headers, rows, words).print_as(format)


def _other(change: ComparedRows) -> str:
    """What was counted of both cells of a pair and differs; empty where nothing does."""
    pairs = [
        (name, change.left.values.get(name), change.right.values.get(name))
        for name in ("params", "macs")
    ]
    return ", ".join(
        difference_text(name, int(then.value), int(now.value))
        for name, then, now in pairs
        if then is not None and now is not None and then.value != now.value
        and then.kind == now.kind == "counted"
    )  # fmt: skip


def comparison_remarks(comparison: Comparison, titles: tuple[str, str]) -> list[str]:
    """What a reader of the table should know."""
    metric = comparison.metric
    changes = comparison.changes
    better = sum(change.is_better and not change.within_error for change in changes)
    unclear = sum(change.within_error for change in changes)
    equal = sum(change.relative == 0 for change in changes)
    worse = len(changes) - better - unclear - equal
    remarks = [
        f"{len(changes)} compared: {better} better, {worse} worse, {unclear} within the measuring "
        f"error, {equal} equal."
    ]
    others = [f"{change.left.name} ({text})" for change in changes if (text := _other(change))]
    if others:
        named = "; ".join(dict.fromkeys(others))
        remarks.append(f"Other networks under the same name, by their counts: {named}.")
    if comparison.apart:
        differences = (f"{_runs(comparison, side)} ({titles[side]})" for side in (0, 1))
        remarks.append(f"Run differently: {' against '.join(differences)}.")
    if comparison.mean is not None and len(changes) > 1:
        remarks.append(f"Geometric mean of the ratios: {comparison.mean:.3f}.")
    for side, rows in zip(titles, (comparison.only_left, comparison.only_right), strict=True):
        names = list(dict.fromkeys(row.name for row in rows))
        if rows:
            remarks.append(f"Only in {side}: {len(rows)} ({some(names)}).")
    if unclear:
        remarks.append(f"{ERROR_MARK} may be no change: the intervals of the two touch.")
    sides = [row for change in changes for row in (change.left, change.right)]
    remarks += published_note(row.values[metric] for row in sides)
    return remarks + noise_note(sides, metric)


def comparison_json(comparison: Comparison, titles: tuple[str, str], remarks: Sequence[str]) -> str:
    """One document: both cells of each pair with all figures, and the change."""
    document = {
        "schema": SCHEMA,
        "metric": comparison.metric,
        "sides": list(titles),
        "shared": list(comparison.shared),
        "apart": {name: list(pair) for name, pair in comparison.apart.items()},
        "mean_ratio": comparison.mean,
        "changes": [
            {
                "id": change.left.id,
                "change": change.relative,
                "within_error": change.within_error,
                "is_better": change.is_better,
                "left": change.left.as_dict(),
                "right": change.right.as_dict(),
            }
            for change in comparison.changes
        ],
        "only_left": [row.as_dict() for row in comparison.only_left],
        "only_right": [row.as_dict() for row in comparison.only_right],
        "remarks": list(remarks),
    }
    return json_text(document)
