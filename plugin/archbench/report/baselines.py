"""Accepted measurements as text: what they say, and how two versions of them differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from archbench.core.gate import COUNTS, difference_text, scales_of, share_text, time_sentence
from archbench.core.launches import Launch, Scale, spread
from archbench.core.run_config import dtype_of
from archbench.core.tolerances import Rules
from archbench.metrics import METRICS
from archbench.report.tables import ABSENT, BLANK, Table

__all__ = ["difference_lines", "lines_table"]

Lines = Mapping[str, Mapping[str, Any]]


def lines_table(lines: Lines, slug: str | None, rules: Rules) -> str:
    """One row for each line of a file.

    Args:
        lines: by key.
        slug: of the device that times are of; None for counts.
        rules: of the project, for the smallest change that a baseline of times finds.
    """
    first = next(iter(lines.values()))
    if "top1" in first or "outputs" in first:
        headers, rows = _ACCURACIES, _accuracy_rows(lines)
    elif slug is None:
        headers, rows = _COUNTS, _count_rows(lines)
    else:
        headers, rows = _TIMES, _time_rows(lines, slug, rules)
    return Table(headers, rows, _WORDS).print_as("text")


_ACCURACIES = ["cell", "top-1 %", "top-5 %", "images", "weights", "accepted", "commit", "reason"]
_WORDS = ("cell", "architecture", "counted with", "weights", "accepted", "commit", "reason")
_COUNTS = ["architecture", "params M", "GMACs", "activations M", "counted with"]
_TIMES = ["cell", "p10 ms", "launches", "spread", "finds", "accepted", "commit", "reason"]


def _count_rows(lines: Lines) -> list[list[str]]:
    return [
        [
            line["id"],
            *(METRICS[name].text(line[name]) for name in ("params", "macs", "activations")),
            f"{line['library']}, torch {line['torch']}",
        ]
        for line in lines.values()
    ]


def _percent(entry: Mapping[str, Any] | None) -> str:
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
                line["when"][:10],
                (line["commit"] or ABSENT)[:9],
                line["reason"] or BLANK,
            ]
        )
    return rows


def _accuracy_change(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    """What a review has to see of two lines about one cell; None where nothing changed."""
    if "top1" in after:
        parts = [
            f"{name.replace('top', 'top-')} {_percent(before[name])} % -> {_percent(after[name])} %"
            for name in ("top1", "top5")
            if before[name] != after[name]
        ]
    else:
        parts = ["fingerprint"] if before["outputs"] != after["outputs"] else []
        parts += ["fingerprint of the input"] if before["inputs"] != after["inputs"] else []
    if before["weights"] != after["weights"]:
        parts.append("weights")
    if before["preprocessing"] != after["preprocessing"]:
        parts.append("preprocessing")
    reason = f", {after['reason']}" if after["reason"] else ""
    return f"{'; '.join(parts)}{reason}" if parts else None


def _time_rows(lines: Lines, slug: str, rules: Rules) -> list[list[str]]:
    """Of a line's latency, and below it of the device's time where that was accepted as well."""
    rows = []
    for key, line in lines.items():
        launches = _launches(line)
        for metric, scale in scales_of(launches, line["environment"]).items():
            deviation, finds = ABSENT, ABSENT
            if len(launches) > 1:
                known = spread(launches, scale)
                rule = rules.time_rule(line["id"], slug, dtype_of(line["cell"]), scale)
                deviation = f"{known.deviation:.1%}"
                if known.slow:
                    deviation += f", {known.slow} slow"
                finds = share_text(math.expm1(known.threshold(rule.relative, rule.confidence)))
            rows.append(
                [
                    key if metric == "latency" else f"{key} {metric.replace('_', ' ')}",
                    METRICS[metric].text(_typical(launches, scale)),
                    str(len(launches)),
                    deviation,
                    finds,
                    line["when"][:10],
                    (line["commit"] or ABSENT)[:9],
                    line["reason"] or BLANK,
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
        before, after = old[key], new[key]
        if "preprocessing" in after:
            change = _accuracy_change(before, after)
            if change is not None:
                result.append(f"~ {key}: {change}")
            continue
        if "launches" in after:
            if before["launches"] != after["launches"]:
                result.append(f"~ {key}: {_time_change(before, after)}")
            continue
        changes = [
            difference_text(name, before[name], after[name])
            for name in COUNTS
            if before[name] != after[name]
        ]
        if changes:
            result.append(f"~ {key}: {'; '.join(changes)}")
    return result


def _launches(line: Mapping[str, Any]) -> list[Launch]:
    return [Launch.from_dict(one) for one in line["launches"]]


def _typical(launches: Sequence[Launch], scale: Scale) -> float:
    """The geometric mean of what launches are compared by, in seconds."""
    levels = [launch.level(Scale(scale.clock)) for launch in launches]
    return math.exp(math.fsum(levels) / len(levels))


def _time_change(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    old, new = _launches(before), _launches(after)
    # A time that only one of them has is compared with nothing.
    known = scales_of(old, before["environment"])
    changes = [
        time_sentence(metric, _change(_typical(old, known[metric]), _typical(new, scale), metric))
        for metric, scale in scales_of(new, after["environment"]).items()
        if metric in known
    ]
    reason = f", {after['reason']}" if after["reason"] else ""
    return f"{'; '.join(changes)}{reason}"


def _change(old: float, new: float, metric: str) -> str:
    text = METRICS[metric].text
    return f"{text(old)} ms -> {text(new)} ms ({new / old - 1:+.1%})"
