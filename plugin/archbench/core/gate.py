"""From an accepted measurement and one of now to verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archbench.core.verdicts import Verdict

__all__ = ["COUNTS", "METRIC", "count_verdicts", "difference_text"]

COUNTS = (
    "input_shape",
    "output_shape",
    "params",
    "trainable_params",
    "buffers",
    "macs",
    "activations",
    "max_channels",
    "operator_calls",
)
"""Metrics without noise, compared by equality."""

METRIC = "complexity"
"""What a verdict about all counts together is about."""


def count_verdicts(
    baseline: Mapping[str, Any] | None, counts: Mapping[str, Any], *, accept: bool = False
) -> list[Verdict]:
    """Compare counts by equality: there is no noise, and no excuse.

    Args:
        baseline: the accepted values of :data:`COUNTS`, and under ``torch`` the version of torch
            that they were counted with; None where nothing has been accepted.
        counts: the values now, in the same form.
        accept: whether the values now are to be the baseline, so that a change is no failure.

    Returns:
        One verdict for each metric that changed, or a single one about all of them.
    """
    if baseline is None:
        return [
            Verdict(METRIC, "no-baseline", "not-in-file", "no counts have been accepted for it")
        ]
    # How torch takes an operator apart is its own affair and differs between its versions; what
    # the operators multiply, read and write does not.
    same_torch = baseline["torch"] == counts["torch"]
    compared = [name for name in COUNTS if same_torch or name != "operator_calls"]
    reason = "accepted" if accept else "differs"
    changed = [
        Verdict(
            name,
            "changed",
            reason,
            difference_text(name, baseline[name], counts[name]),
            baseline[name],
            counts[name],
        )
        for name in compared
        if baseline[name] != counts[name]
    ]
    if changed:
        return changed
    sentence = f"{', '.join(compared)} are equal to the baseline's"
    if not same_torch:
        sentence += (
            f"; operator_calls are not compared, since the baseline is of torch "
            f"{baseline['torch']} and this is {counts['torch']}"
        )
    return [Verdict(METRIC, "unchanged", "equal", sentence)]


def difference_text(name: str, old: Any, new: Any) -> str:
    """``params 200 -> 204 (+4, +2 %)``; for shapes ``output shape 1x10 -> 1x9``."""
    name = "MACs" if name == "macs" else name.replace("_", " ")
    if not isinstance(old, int):
        return f"{name} {'x'.join(map(str, old))} -> {'x'.join(map(str, new))}"
    relative = f", {(new - old) / old * 100:+.3g} %" if old else ""
    return f"{name} {old:,} -> {new:,} ({new - old:+,}{relative})"
