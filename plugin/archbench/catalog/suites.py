"""The suites: named groups of architectures."""

from __future__ import annotations

from collections.abc import Iterable

from archbench.catalog.lists import LISTED_LIBRARIES
from archbench.catalog.seeds import SeedRow

DEFAULT_SUITE = "seeds"

SUITES: dict[str, str] = {
    "seeds": "the architectures of the five published comparisons below",
    "bertmoons": "Moons 2018, Comparing CNN Architectures",
    "canziani": "Canziani et al. 2016 (arXiv:1605.07678), with Culurciello's update of 2018",
    "bianco": "Bianco et al. 2018 (arXiv:1810.00736), the 44 architectures of its benchmark",
    "lightweight": "Latest LightWeight Neural Network survey, 2020: 10 backbones of 3 to 7M params",
    "paddleclas": "PaddleClas, Other networks: AlexNet, SqueezeNet, VGG, DarkNet",
    "timm": "all ImageNet-1k classifiers of timm",
    "torchvision": "all ImageNet-1k classifiers of torchvision",
    "pytorchcv": "all ImageNet-1k classifiers of pytorchcv",
    "all": "every architecture of the catalogue",
}
"""Name -> one line about it, in the order in which they are listed."""


def suite_ids(seeds: Iterable[SeedRow], catalogued: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The ids of each suite's architectures: comparisons in their own order, the rest sorted."""
    rows = tuple(seeds)
    ids = sorted(catalogued)
    members = {
        suite: tuple(row.id for row in rows if suite in row.suites)
        for suite in ("bertmoons", "canziani", "bianco", "lightweight", "paddleclas")
    }
    members["seeds"] = tuple(row.id for row in rows)
    for library in LISTED_LIBRARIES:
        members[library] = tuple(id for id in ids if id.startswith(f"{library}/") and "@" not in id)
    members["all"] = tuple(ids)
    return {suite: members[suite] for suite in SUITES}
