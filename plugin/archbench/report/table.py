"""The table of a run in the terminal."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from archbench.core.agreement import METRIC as OUTPUT
from archbench.core.entries import half_interval
from archbench.core.gate import COMPLEXITY
from archbench.core.lines import CountLine
from archbench.core.records import OTHER_COUNTS, Record, derived
from archbench.core.spec import ModelSpec
from archbench.core.verdicts import FAILING, NEWS
from archbench.metrics import METRICS
from archbench.report.tables import ABSENT, BLANK, NOISY_MARK, PUBLISHED_MARK, Table

ACCEPTED_MARK = "^"
AT_MOST_MARK = "<"


def _figure(metric: str, value: float | None) -> str:
    return ABSENT if value is None else METRICS[metric].text(value)


def counted(
    cell: Record, *names: str, accepted: Mapping[str, CountLine] = MappingProxyType({})
) -> list[str]:
    """What was counted, or what was accepted of an architecture that this run did not count, unless
    that was seen to be of another network."""
    texts = []
    is_other = any(note.code == OTHER_COUNTS for note in cell.notes)
    line = None if is_other else accepted.get(cell.id)
    for name in names:
        value = getattr(line, name, None)
        if name in cell.metrics or value is None:
            texts.append(_figure(name, cell.number(name)))
        else:
            texts.append(f"{METRICS[name].text(value)}{ACCEPTED_MARK}")
    return texts


def times(cell: Record) -> list[str]:
    """p50, with a mark where it is noisy, p95 and throughput of a cell."""
    statistics = derived(cell)
    p50, p95 = (_figure("latency", statistics.get(name)) for name in ("p50", "p95"))
    mark = NOISY_MARK if cell.is_noisy and "p50" in statistics else ""
    return [f"{mark}{p50}", p95, _figure("throughput", statistics.get("throughput"))]


def _waited(cell: Record) -> bool:
    """Whether its device time holds waits for the host."""
    return cell.metrics.get("device_time", {}).get("queue_full") is False


def _device_time(cell: Record) -> str:
    """Median device time of a batch in ms, with a mark where it holds waits for the host."""
    series = cell.metrics.get("device_time")
    if not series or not series["samples"]:
        return ABSENT
    mark = AT_MOST_MARK if _waited(cell) else ""
    return f"{mark}{_figure('device_time', statistics.median(series['samples']))}"


def has_accepted_counts(cells: Sequence[Record], counts: Mapping[str, CountLine]) -> bool:
    """Whether the table shows counts that were accepted and not made by the run."""
    return any(ACCEPTED_MARK in counted(cell, "params", accepted=counts)[0] for cell in cells)


def _change(cell: Record, changes: Mapping[tuple[str, str], float]) -> str:
    share = changes.get(cell.key)
    mark = NOISY_MARK if cell.is_noisy else ""
    return ABSENT if share is None else f"{mark}{share * 100:+.1f} %"


def _status(cell: Record, *, is_accepted: bool = False) -> str:
    """What failed; where nothing did, the verdict that says most: ``counts unchanged`` where
    counts were compared and there was nothing to compare times with, ``outputs agree`` where
    nothing but a runtime's outputs was compared."""
    statuses = list(dict.fromkeys(verdict.status for verdict in cell.verdicts))
    if statuses == ["unchanged"] and {verdict.metric for verdict in cell.verdicts} == {OUTPUT}:
        return "outputs agree"
    failing = [status for status in statuses if status in FAILING]
    shown = ", ".join(failing or sorted(statuses, key=NEWS.index)[:1])
    if shown == "no-baseline" and is_accepted:
        return "accepted"
    if shown == "no-baseline" and any(
        verdict.metric == COMPLEXITY and verdict.status == "unchanged" for verdict in cell.verdicts
    ):
        return "counts unchanged"
    return shown


def run_table(
    cells: Sequence[Record],
    published_top1: Mapping[str, float],
    *,
    with_target: bool,
    counts: Mapping[str, CountLine] | None = None,
    changes: Mapping[tuple[str, str], float] | None = None,
    is_accepted: bool = False,
) -> str:
    """One line for each cell.

    Args:
        cells: merged records.
        published_top1: percent by architecture id; printed with a mark, since it was not measured.
        with_target: whether precision, batch size and threads differ and need a column.
        counts: accepted ones by architecture id, shown with a mark where the run did not count.
        changes: of a cell's median since the last run, as a share of it, by the cell's key.
        is_accepted: whether the run has accepted what had no baseline.
    """
    counts, changes = counts or {}, changes or {}
    is_timed = any(cell.target and cell.target.batch_size for cell in cells)
    is_evaluated = any("top1" in cell.metrics for cell in cells)
    more = [
        name
        for name, metric in METRICS.items()
        if "run" in metric.tables and any(cell.number(name) is not None for cell in cells)
    ]
    timed = ("p50 ms", "p95 ms", "images/s") if is_timed else ("activations M", "max channels")
    has_clock = any(cell.metrics.get("device_time") for cell in cells)
    headers = [
        *("architecture", "library", *(["target"] if with_target else [])),
        *(["top-1 %", "±", "top-5 %"] if is_evaluated else []),
        *(f"top-1 %{PUBLISHED_MARK}", "params M", "GMACs", *timed),
        *(["device ms"] if has_clock else []),
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
                *([_device_time(cell)] if has_clock else []),
                *counted(cell, *more),
                *([_change(cell, changes)] if changes else []),
                _status(cell, is_accepted=is_accepted) or BLANK,
            ]
        )
    return Table(headers, rows, ("architecture", "library", "target", "verdict")).print_as("text")


def _accuracies(cell: Record) -> list[str]:
    """Top-1, half of its 95 % interval, and top-5, measured here."""
    top1 = cell.metrics.get("top1")
    if top1 is None:
        return [ABSENT] * 3
    values = (cell.number("top1"), half_interval(top1), cell.number("top5"))
    return [ABSENT if value is None else f"{value:.2f}" for value in values]


def is_bad(cell: Record) -> bool:
    """Whether a verdict about the cell is one that fails a test."""
    return any(verdict.is_bad for verdict in cell.verdicts)


def cell_line(cell: Record) -> str:
    """What is said about a cell as it ends: ``18.2 ms  54.9 images/s``."""
    statistics = derived(cell)
    if is_bad(cell):
        return _status(cell)
    if not statistics and "top1" in cell.metrics:
        named = {"top-1": cell.number("top1"), "top-5": cell.number("top5")}
        parts = [f"{name} {value:.2f} %" for name, value in named.items() if value is not None]
        rate = cell.metrics["top1"]["images_per_second"]
        return "  ".join([*parts, f"{rate:,.0f} images/s"])
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
    """What the marks of times mean, and what to do about noisy ones.

    Args:
        cells: merged records.
        workers: whether several processes measured side by side.
    """
    waited = sum(map(_waited, cells))
    doubtful = sum(times(cell)[0].startswith(NOISY_MARK) for cell in cells)
    remedy = "measure without -n" if workers else "give each cell more time, as --time-budget=10"
    about_waits = (
        f"{AT_MOST_MARK} at most, {waited} of {len(cells)}: the device waited for the host during "
        "passes of more kernels than its queue takes.",
    )
    about_noise = (
        f"{NOISY_MARK} too noisy to trust, {doubtful} of {len(cells)}: the median is known to 5 % "
        "or worse, or the process did not run for more than 10 % of the time.",
        f"  Stop other work on this machine, or {remedy}.",
    )
    return [*(about_waits if waited else ()), *(about_noise if doubtful else ())]


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
