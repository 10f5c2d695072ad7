"""Accepted measurements as text: what they say, and how two versions of them differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from archbench.core.gate import COUNTS, difference_text, scales_of, share_text, time_sentence
from archbench.core.lines import (
    AccuracyLine,
    CountLine,
    FingerprintLine,
    Hits,
    Line,
    StampedLine,
    TimeLine,
)
from archbench.core.process_runs import ProcessRun, Scale, spread
from archbench.core.run_config import dtype_of
from archbench.core.tolerances import Rules
from archbench.metrics import METRICS
from archbench.report.tables import ABSENT, BLANK, Table


def lines_table(lines: Mapping[str, Line], slug: str | None, rules: Rules) -> str:
    """One row for each line of a file.

    Args:
        lines: by key.
        slug: of the device that times are of; None for counts.
        rules: of the project, for the smallest change that a baseline of times finds.
    """
    headers: tuple[str, ...] = _COUNTS
    rows = []
    for line in lines.values():
        if isinstance(line, CountLine):
            rows.append(_count_row(line))
        elif isinstance(line, TimeLine):
            headers = _TIMES
            rows += _time_rows(line, slug or "", rules)
        elif isinstance(line, (AccuracyLine, FingerprintLine)):
            headers = _ACCURACIES
            rows.append(_accuracy_row(line))
    return Table(headers, rows, _WORDS).print_as("text")


_ACCEPTED = ("accepted", "commit", "reason")
_ACCURACIES = ("cell", "top-1 %", "top-5 %", "images", "weights", *_ACCEPTED)
_WORDS = ("cell", "architecture", "counted with", "weights", *_ACCEPTED)
_COUNTS = ("architecture", "params M", "GMACs", "activations M", "counted with")
_TIMES = ("cell", "p10 ms", "process runs", "spread", "finds", *_ACCEPTED)


def _accepted(line: StampedLine) -> list[str]:
    """When, on which commit and why."""
    return [line.when[:10], (line.commit or ABSENT)[:9], line.reason or BLANK]


def _count_row(line: CountLine) -> list[str]:
    return [
        line.id,
        *(METRICS[name].text(getattr(line, name)) for name in ("params", "macs", "activations")),
        f"{line.library}, torch {line.torch}",
    ]


def _percent(entry: Hits | None) -> str:
    return f"{entry.right * 100 / entry.images:.3f}" if entry else ABSENT


def _accuracy_row(line: AccuracyLine | FingerprintLine) -> list[str]:
    """Of outcomes or of a fingerprint, which has no accuracy."""
    if isinstance(line, FingerprintLine):
        return [line.key, ABSENT, ABSENT, ABSENT, line.weights, *_accepted(line)]
    return [
        line.key,
        _percent(line.top1),
        _percent(line.top5),
        f"{line.top1.images:,}",
        line.weights["source"] if line.weights else "none",
        *_accepted(line),
    ]


def _accuracy_change(before: AccuracyLine, after: AccuracyLine) -> list[str]:
    return [
        f"{name.replace('top', 'top-')} {_percent(old)} % -> {_percent(new)} %"
        for name in ("top1", "top5")
        for old, new in [(getattr(before, name), getattr(after, name))]
        if old != new
    ]


def _fingerprint_change(before: FingerprintLine, after: FingerprintLine) -> list[str]:
    parts = ["fingerprint"] if before.outputs != after.outputs else []
    return parts + (["fingerprint of the input"] if before.inputs != after.inputs else [])


def _time_rows(line: TimeLine, slug: str, rules: Rules) -> list[list[str]]:
    """Of a line's latency, and below it of the device's time where that was accepted as well."""
    rows = []
    process_runs = line.runs
    for metric, scale in scales_of(process_runs, line.environment).items():
        deviation, finds = ABSENT, ABSENT
        if len(process_runs) > 1:
            known = spread(process_runs, scale)
            rule = rules.time_rule(line.id, slug, dtype_of(line.cell), scale)
            deviation = f"{known.deviation:.1%}"
            if known.slow:
                deviation += f", {known.slow} slow"
            finds = share_text(math.expm1(known.threshold(rule.relative, rule.confidence)))
        rows.append(
            [
                line.key if metric == "latency" else f"{line.key} {metric.replace('_', ' ')}",
                METRICS[metric].text(_typical(process_runs, scale)),
                str(len(process_runs)),
                deviation,
                finds,
                *_accepted(line),
            ]
        )
    return rows


def difference_lines(old: Mapping[str, Line], new: Mapping[str, Line]) -> list[str]:
    """What was added, removed and changed, one line for each.

    Args:
        old: lines by key.
        new: of the same file, later.
    """
    result = [f"+ {key}" for key in sorted(new.keys() - old.keys())]
    result += [f"- {key}" for key in sorted(old.keys() - new.keys())]
    for key in sorted(old.keys() & new.keys()):
        change = _change_of(old[key], new[key])
        if change:
            result.append(f"~ {key}: {change}")
    return result


def _change_of(before: Line, after: Line) -> str | None:
    """What a review has to see of two lines about one cell; None or nothing where none changed."""
    if isinstance(before, TimeLine) and isinstance(after, TimeLine):
        return None if before.process_runs == after.process_runs else _time_change(before, after)
    if isinstance(before, AccuracyLine) and isinstance(after, AccuracyLine):
        parts = _accuracy_change(before, after)
    elif isinstance(before, FingerprintLine) and isinstance(after, FingerprintLine):
        parts = _fingerprint_change(before, after)
    else:
        pairs = [(name, getattr(before, name), getattr(after, name)) for name in COUNTS]
        return "; ".join(difference_text(*pair) for pair in pairs if pair[1] != pair[2])
    parts += [
        name
        for name in ("weights", "preprocessing")
        if getattr(before, name) != getattr(after, name)
    ]
    return _with_reason(parts, after) if parts else None


def _typical(process_runs: Sequence[ProcessRun], scale: Scale) -> float:
    """The geometric mean of what process runs are compared by, in seconds."""
    levels = [run.level(Scale(scale.clock)) for run in process_runs]
    return math.exp(math.fsum(levels) / len(levels))


def _time_change(before: TimeLine, after: TimeLine) -> str:
    old, new = before.runs, after.runs
    # A time that only one of them has is compared with nothing.
    known = scales_of(old, before.environment)
    changes = [
        time_sentence(
            metric, METRICS[metric].changed(_typical(old, known[metric]), _typical(new, scale))
        )
        for metric, scale in scales_of(new, after.environment).items()
        if metric in known
    ]
    return _with_reason(changes, after)


def _with_reason(changes: Sequence[str], line: StampedLine) -> str:
    return "; ".join(changes) + (f", {line.reason}" if line.reason else "")
