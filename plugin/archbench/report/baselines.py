"""Accepted measurements as text: what they say, and how two versions of them differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from archbench.core.gate import COUNTS, difference_text, scales_of, share_text, time_sentence
from archbench.core.process_runs import ProcessRun, Scale, spread
from archbench.core.run_config import dtype_of
from archbench.core.tolerances import Rules
from archbench.metrics import METRICS
from archbench.report.tables import ABSENT, BLANK, Table

Line = Mapping[str, Any]
"""Of a file of baselines, as :mod:`archbench.store.baselines` has checked it."""

Lines = Mapping[str, Line]


def lines_table(lines: Lines, slug: str | None, rules: Rules) -> str:
    """One row for each line of a file.

    Args:
        lines: by key.
        slug: of the device that times are of; None for counts.
        rules: of the project, for the smallest change that a baseline of times finds.
    """
    first = next(iter(lines.values()))
    if "top1" in first or "outputs" in first:
        table = Table(_ACCURACIES, _accuracy_rows(lines), _WORDS)
    elif slug is None:
        table = Table(_COUNTS, _count_rows(lines), _WORDS)
    else:
        table = Table(_TIMES, _time_rows(lines, slug, rules), _WORDS)
    return table.print_as("text")


_ACCEPTED = ("accepted", "commit", "reason")
_ACCURACIES = ("cell", "top-1 %", "top-5 %", "images", "weights", *_ACCEPTED)
_WORDS = ("cell", "architecture", "counted with", "weights", *_ACCEPTED)
_COUNTS = ("architecture", "params M", "GMACs", "activations M", "counted with")
_TIMES = ("cell", "p10 ms", "process runs", "spread", "finds", *_ACCEPTED)


def _accepted(line: Line) -> list[str]:
    """When, on which commit and why."""
    return [line["when"][:10], (line["commit"] or ABSENT)[:9], line["reason"] or BLANK]


def _count_rows(lines: Lines) -> list[list[str]]:
    return [
        [
            line["id"],
            *(METRICS[name].text(line[name]) for name in ("params", "macs", "activations")),
            f"{line['library']}, torch {line['torch']}",
        ]
        for line in lines.values()
    ]


def _percent(entry: Line | None) -> str:
    return f"{entry['right'] * 100 / entry['images']:.3f}" if entry else ABSENT


def _accuracy_rows(lines: Lines) -> list[list[str]]:
    """Of outcomes and of fingerprints, which have no accuracy."""
    rows = []
    for key, line in lines.items():
        weights = line["weights"]
        name = weights["source"] if isinstance(weights, Mapping) else str(weights or "none")
        top1 = line.get("top1")
        rows.append(
            [
                key,
                _percent(top1),
                _percent(line.get("top5")),
                f"{top1['images']:,}" if top1 else ABSENT,
                name,
                *_accepted(line),
            ]
        )
    return rows


def _accuracy_change(before: Line, after: Line) -> str | None:
    if "top1" in after:
        parts = [
            f"{name.replace('top', 'top-')} {_percent(before[name])} % -> {_percent(after[name])} %"
            for name in ("top1", "top5")
            if before[name] != after[name]
        ]
    else:
        parts = ["fingerprint"] if before["outputs"] != after["outputs"] else []
        parts += ["fingerprint of the input"] if before["inputs"] != after["inputs"] else []
    parts += [name for name in ("weights", "preprocessing") if before[name] != after[name]]
    return _with_reason(parts, after) if parts else None


def _time_rows(lines: Lines, slug: str, rules: Rules) -> list[list[str]]:
    """Of a line's latency, and below it of the device's time where that was accepted as well."""
    rows = []
    for key, line in lines.items():
        process_runs = _process_runs(line)
        for metric, scale in scales_of(process_runs, line["environment"]).items():
            deviation, finds = ABSENT, ABSENT
            if len(process_runs) > 1:
                known = spread(process_runs, scale)
                rule = rules.time_rule(line["id"], slug, dtype_of(line["cell"]), scale)
                deviation = f"{known.deviation:.1%}"
                if known.slow:
                    deviation += f", {known.slow} slow"
                finds = share_text(math.expm1(known.threshold(rule.relative, rule.confidence)))
            rows.append(
                [
                    key if metric == "latency" else f"{key} {metric.replace('_', ' ')}",
                    METRICS[metric].text(_typical(process_runs, scale)),
                    str(len(process_runs)),
                    deviation,
                    finds,
                    *_accepted(line),
                ]
            )
    return rows


def difference_lines(old: Lines, new: Lines) -> list[str]:
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
    if "preprocessing" in after:
        return _accuracy_change(before, after)
    if "process_runs" in after:
        return (
            None if before["process_runs"] == after["process_runs"] else _time_change(before, after)
        )
    return "; ".join(
        difference_text(name, before[name], after[name])
        for name in COUNTS
        if before[name] != after[name]
    )


def _process_runs(line: Line) -> list[ProcessRun]:
    return [ProcessRun.from_dict(one) for one in line["process_runs"]]


def _typical(process_runs: Sequence[ProcessRun], scale: Scale) -> float:
    """The geometric mean of what process runs are compared by, in seconds."""
    levels = [run.level(Scale(scale.clock)) for run in process_runs]
    return math.exp(math.fsum(levels) / len(levels))


def _time_change(before: Line, after: Line) -> str:
    old, new = _process_runs(before), _process_runs(after)
    # A time that only one of them has is compared with nothing.
    known = scales_of(old, before["environment"])
    changes = [
        time_sentence(
            metric, METRICS[metric].changed(_typical(old, known[metric]), _typical(new, scale))
        )
        for metric, scale in scales_of(new, after["environment"]).items()
        if metric in known
    ]
    return _with_reason(changes, after)


def _with_reason(changes: Sequence[str], line: Line) -> str:
    return "; ".join(changes) + (f", {line['reason']}" if line["reason"] else "")
