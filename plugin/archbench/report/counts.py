"""Counts as text: what changed against a baseline, where two implementations differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from archbench.core.complexity import LayerCost
from archbench.core.gate import COUNTS, METRIC
from archbench.core.records import Record

__all__ = ["changed_layers", "changed_text", "count_findings"]

SHOWN = 12
"""Layers shown at most on either side."""

Cost = tuple[str, int, int]
"""Type, params, MACs of a layer."""


def changed_layers(
    baseline: Iterable[Sequence[Any]], layers: Sequence[LayerCost]
) -> tuple[Counter[Cost], Counter[Cost]]:
    """Which costs went and which came, with how many layers have them.

    Args:
        baseline: ``[type, params, macs, number]``, see ``archbench.core.complexity.layer_census``.
        layers: of now.
    """
    old = Counter({(type, params, macs): number for type, params, macs, number in baseline})
    new = Counter((layer.type, layer.params, layer.macs) for layer in layers)
    return old - new, new - old


def changed_text(
    verdicts: Iterable[Mapping[str, Any]],
    baseline: Mapping[str, Any],
    layers: Sequence[LayerCost],
) -> str:
    """Old and new value of each count that changed, then the layers that did.

    Args:
        verdicts: with the status ``changed``.
        baseline: the accepted line: ``layers`` among its fields.
        layers: of now.
    """
    lines = [f"  {verdict['sentence']}" for verdict in verdicts]
    gone, came = changed_layers(baseline["layers"], layers)
    if gone or came:
        lines.append("layers that changed (- baseline, + now):")
    named: dict[Cost, list[str]] = {}
    for layer in layers:
        named.setdefault((layer.type, layer.params, layer.macs), []).append(layer.name or "(root)")
    lines += _side("-", gone, {})
    lines += _side("+", came, named)
    return "\n".join(lines)


def _side(sign: str, costs: Counter[Cost], named: Mapping[Cost, list[str]]) -> list[str]:
    lines = []
    for (type, params, macs), number in list(costs.items())[:SHOWN]:
        names = named.get((type, params, macs), [])
        # A cost that other layers had before does not tell which of them is new.
        among = "among " if len(names) > number else ""
        shown = f"  {among}{', '.join(names[:4])}{', ...' if len(names) > 4 else ''}"
        lines.append(
            f"  {sign} {number} x {type}: params {params:,}, MACs {macs:,}{shown if names else ''}"
        )
    if len(costs) > SHOWN:
        lines.append(f"  {sign} and {len(costs) - SHOWN} more kinds of layers")
    return lines


def count_findings(cells: Sequence[Record], *, accepting: bool) -> list[str]:
    """What is said below the table about counts: how many are in which state, and why.

    Args:
        cells: merged records.
        accepting: whether this run writes the baseline.
    """
    states: dict[str, str] = {}
    opinions: dict[str, str] = {}
    for cell in cells:
        for verdict in cell.verdicts:
            if verdict["metric"] in (METRIC, *COUNTS):
                states[cell.id] = verdict["status"]
        for note in cell.notes:
            if note["code"] == "second-opinion":
                opinions[cell.id] = note["text"]
    lines = []
    if states:
        counted = ", ".join(
            f"{number:,} {state}" for state, number in Counter(states.values()).items()
        )
        lines.append(f"Counts: {counted}.")
    missing = sum(state == "no-baseline" for state in states.values())
    if missing and not accepting:
        lines.append("  Accept what has no baseline: the same command with --baseline-update=new")
    if opinions:
        lines.append(
            f"Second opinion: {len(opinions):,} of {len(states):,} differ by more than 0.5 %."
        )
        lines += [f"  {model}: {text}" for model, text in list(opinions.items())[:SHOWN]]
        if len(opinions) > SHOWN:
            lines.append(f"  and {len(opinions) - SHOWN:,} more, in the journal and in --results")
    return lines
