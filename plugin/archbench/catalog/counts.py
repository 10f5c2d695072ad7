"""The accepted counts of every architecture in the catalogue, for reports about stored figures."""

from __future__ import annotations

import json
from functools import cache

from archbench.catalog.lists import DATA
from archbench.core.rows import Value

FILE = DATA / "counts.json"
"""Made from ``baselines/complexity.jsonl`` by ``tools/packaged_counts.py``; a test holds them
equal."""

SCHEMA = 1
"""Version of the file's format.

1: ``schema`` and ``counts``: for each id the numbers of :data:`COUNTED`.
"""

COUNTED = ("params", "macs", "activations", "max_channels")
"""What the file holds, in the order of its numbers."""


@cache
def _counts() -> dict[str, list[int]]:
    counts: dict[str, list[int]] = json.loads(FILE.read_bytes())["counts"]
    return counts


def counted_figures(id: str) -> dict[str, Value]:
    """Params, MACs, activations and widest layer as archbench counts them.

    Args:
        id: of an architecture in the catalogue.

    Returns:
        Figures of kind ``counted`` by metric; none for an id that has no accepted count.
    """
    return {
        name: Value(value, "counted", "archbench, accepted counts")
        for name, value in zip(COUNTED, _counts().get(id, ()), strict=False)
    }
