"""The table of a run in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from archbench.core.gate import METRIC as COMPLEXITY
from archbench.core.records import Record, derived
from archbench.core.spec import ModelSpec
from archbench.core.verdicts import FAILING, NEWS
from archbench.metrics import METRICS
from archbench.report.tables import ABSENT, BLANK, PUBLISHED_MARK, Table

ACCEPTED_MARK = "^"
NOISY_MARK = "~"


def _figure(metric: str, value: float | None) -> str:
    return ABSENT if value is None else METRICS[metric].text(value)


def counted(
    cell: Record, *names: str, accepted: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
) -> list[str]:
    """What was counted, or what was accepted of an architecture that this run did not count."""
    texts = []
    for name in names:
        value = accepted.get(cell.id, {}).get(name)
        if name in cell.metrics or value is None:
            texts.append(_figure(name, cell.metrics.get(name, {}).get("value")))
        else:
            texts.append(f"{METRICS[name].text(value)}{ACCEPTED_MARK}")
    return texts


def times(cell: Record) -> list[str]:
    """p50, with a mark where it is noisy, p95 and throughput of a cell."""
    statistics = derived(cell)
    p50, p95 = (_figure("latency", statistics.get(name)) for name in ("p50", "p95"))
    mark = NOISY_MARK if cell.is_noisy else ""
    return [f"{mark}{p50}", p95, _figure("throughput", statistics.get("throughput"))]


def has_accepted_counts(cells: Sequence[Record], counts: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the table shows counts that were accepted and not made by the run."""
    return any(ACCEPTED_MARK in counted(cell, "params", accepted=counts)[0] for cell in cells)


def _change(cell: Record, changes: Mapping[tuple[str, str], float]) -> str:
    share = changes.get(cell.key)
    mark = NOISY_MARK if cell.is_noisy else ""
    return ABSENT if share is None else f"{mark}{share * 100:+.1f} %"


def _status(cell: Record) -> str:
    """What failed; where nothing did, the verdict that says most: ``counts unchanged`` where
    counts were compared and there was nothing to compare times with."""
    statuses = list(dict.fromkeys(verdict.status for verdict in cell.verdicts))
    failing = [status for status in statuses if status in FAILING]
    told = ", ".join(failing or sorted(statuses, key=NEWS.index)[:1])
    if told == "no-baseline" and any(
        verdict.metric == COMPLEXITY and verdict.status == "unchanged" for verdict in cell.verdicts
    ):
        return "counts unchanged"
    return told


def run_table(
    cells: Sequence[Record],
    published_top1: Mapping[str, float],
    *,
    with_target: bool,
    counts: Mapping[str, Mapping[str, Any]] | None = None,
    changes: Mapping[tuple[str, str], float] | None = None,
) -> str:
    """One line for each cell.

    Args:
        cells: merged records.
        published_top1: percent by architecture id; printed with a mark, since it was not measured.
        with_target: whether precision, batch size and threads differ and need a column.
        counts: accepted ones by architecture id, shown with a mark where the run did not count.
        changes: of a cell's median since the last run, as a share of it, by the cell's key.
    """
    counts, changes = counts or {}, changes or {}
    is_timed = any(cell.target and cell.target.batch_size for cell in cells)
    is_evaluated = any("top1" in cell.metrics for cell in cells)
    more = [
        name
        for name, metric in METRICS.items()
        if "run" in metric.tables
        and any(cell.metrics.get(name, {}).get("value") is not None for cell in cells)
    ]
    timed = ("p50 ms", "p95 ms", "images/s") if is_timed else ("activations M", "max channels")
    headers = [
        *("architecture", "library", *(["target"] if with_target else [])),
        *(["top-1 %", "±", "top-5 %"] if is_evaluated else []),
        *(f"top-1 %{PUBLISHED_MARK}", "params M", "GMACs", *timed),
        *(METRICS[name].title for name in more),
        *(["since last run"] if changes else []),
        "verdict",
    ]
    rows = []
    for cell in cells:
        library, _, name = cell.id.partition("/")
        top1 = None if cell.is_quantised else published_top1.get(cell.id)
        rows.append(
            [
                *(name, library, *([cell.suffix or ABSENT] if with_target else [])),
                *(_accuracies(cell) if is_evaluated else []),
                ABSENT if top1 is None else f"{top1:.2f}{PUBLISHED_MARK}",
                *counted(cell, "params", "macs", accepted=counts),
                *(times(cell) if is_timed else counted(cell, "activations", "max_channels")),
                *counted(cell, *more),
                *([_change(cell, changes)] if changes else []),
                _status(cell) or BLANK,
            ]
        )
    return Table(headers, rows, ("architecture", "library", "target", "verdict")).print_as("text")


def _accuracies(cell: Record) -> list[str]:
    """Top-1, half of its 95 % interval, and top-5, measured here."""
    top1, top5 = cell.metrics.get("top1"), cell.metrics.get("top5")
    if top1 is None:
        return [ABSENT] * 3
    half = (top1["high"] - top1["low"]) / 2
    return [f"{top1['value']:.2f}", f"{half:.2f}", f"{top5['value']:.2f}" if top5 else ABSENT]


def is_bad(cell: Record) -> bool:
    """Whether a verdict about the cell is one that fails a test."""
    return any(verdict.is_bad for verdict in cell.verdicts)


def cell_line(cell: Record) -> str:
    """What is said about a cell as it ends: ``18.2 ms  54.9 images/s``."""
    statistics = derived(cell)
    if is_bad(cell):
        return _status(cell)
    if not statistics and "top1" in cell.metrics:
        top1, top5 = cell.metrics["top1"], cell.metrics.get("top5")
        parts = [
            f"top-1 {top1['value']:.2f} %",
            *([f"top-5 {top5['value']:.2f} %"] if top5 else []),
        ]
        return "  ".join([*parts, f"{top1['images_per_second']:,.0f} images/s"])
    if not statistics and not cell.metrics:
        return _status(cell)
    if not statistics and "params" not in cell.metrics:
        return _status(cell) or "fingerprint"
    if not statistics:
        params, macs = counted(cell, "params", "macs")
        return f"{params} M params  {macs} GMACs"
    p50, throughput = _figure("latency", statistics["p50"]), statistics["throughput"]
    parts = [f"{p50} ms", f"{_figure('throughput', throughput)} images/s"]
    if "precision" in statistics:
        parts.append(f"±{statistics['precision'] * 100:.1f} %")
    return "  ".join(parts)


def doubts(cells: Sequence[Record], *, workers: bool = False) -> list[str]:
    """What the mark of a noisy cell means, and what to do about it.

    Args:
        cells: merged records.
        workers: whether several processes measured side by side.
    """
    doubtful = sum(cell.is_noisy for cell in cells)
    if not doubtful:
        return []
    remedy = "measure without -n" if workers else "give each cell more time, as --time-budget=10"
    return [
        f"{NOISY_MARK} too noisy to trust, {doubtful} of {len(cells)}: the median is known to 5 % "
        "or worse, or the process did not run for more than 10 % of the time.",
        f"  Stop other work on this machine, or {remedy}.",
    ]


def catalogue_table(models: Sequence[ModelSpec], published_top1: Mapping[str, float | None]) -> str:
    """One line for each architecture of a selection.

    Args:
        models: the selection.
        published_top1: percent by architecture id, None where nothing is published.
    """
    rows = [
        [
            model.id,
            model.label or BLANK,
            "x".join(map(str, model.input_size)),
            None if (top1 := published_top1.get(model.id)) is None else f"{top1:.2f}",
        ]
        for model in models
    ]
    words = ["id", "in the seed documents", "input"]
    return Table([*words, f"top-1 %{PUBLISHED_MARK}"], rows, words).print_as("text")
