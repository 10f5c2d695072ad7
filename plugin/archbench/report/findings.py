"""What the lines below a run's table have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from archbench.core.records import ABOUT_NETWORKS, Record
from archbench.core.verdicts import NEWS

__all__ = ["SHOWN", "network_findings", "shortened", "states_text"]

SHOWN = 8
"""Lines about one thing, at most."""


def states_text(states: Mapping[str, int]) -> str:
    """How many are in which state, the one that says least first: ``70 unchanged, 1 regressed``.

    Args:
        states: of :data:`archbench.core.verdicts.NEWS`, with how many are in each; one with none,
            or that is missing, is not named.
    """
    return ", ".join(f"{states[state]:,} {state}" for state in NEWS[::-1] if states.get(state))


def shortened(lines: Sequence[str], most: int = SHOWN) -> list[str]:
    """The first of the lines, ``most`` at most, and how many there are more."""
    more = [f"  and {len(lines) - most:,} more, in the journal and in --results"]
    return [*lines[:most], *(more if len(lines) > most else [])]


def network_findings(cells: Sequence[Record]) -> list[str]:
    """How networks of a person's own were run, where that has to be said beside their figures.

    Args:
        cells: merged records.
    """
    lines = [
        f"  {cell.id}: {note.text}."
        for cell in cells
        for note in cell.notes
        if note.code in ABOUT_NETWORKS
    ]
    lines = list(dict.fromkeys(lines))
    return ["Networks:", *shortened(lines)] if lines else []
