"""The stored lists of what the model libraries offer, and the architectures in them.

Reading them imports none of the libraries: 0.03 s instead of 9.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from archbench.core.spec import ModelSpec, Preprocessing

__all__ = ["DATA", "LISTED_LIBRARIES", "SCHEMA", "StoredList", "read_architectures", "read_list"]

LISTED_LIBRARIES = ("timm", "torchvision", "pytorchcv")
"""The libraries that have a stored list."""

DATA = Path(__file__).parent / "data"

SCHEMA = 1
"""Version of the lists' format.

1: ``schema``, ``library``, ``version``, ``torch``, ``models`` and ``skipped``. A model has
``name``, ``input_size``, ``kwargs``, ``weights``, ``preprocessing``, and ``top1`` and ``top5`` in
percent where the library ships them with its weights.
"""


@dataclass(frozen=True, slots=True)
class StoredList:
    """One library's list, as stored.

    Attributes:
        library: whose list it is.
        version: of the library that was asked.
        torch: version of torch that the library ran on.
        models: one mapping per architecture, sorted by name.
        skipped: names that are no ImageNet-1k classifiers, each with the reason.
    """

    library: str
    version: str
    torch: str
    models: tuple[dict[str, Any], ...]
    skipped: dict[str, str]

    @property
    def names(self) -> frozenset[str]:
        """Every name of the library, listed or skipped."""
        return frozenset(model["name"] for model in self.models) | self.skipped.keys()

    def specs(self) -> list[ModelSpec]:
        """The architectures, in the list's order."""
        shared: dict[str, Preprocessing | None] = {}
        architectures = read_architectures()
        specs = []
        for model in self.models:
            stated = repr(model["preprocessing"])
            if stated not in shared:
                shared[stated] = self._preprocessing(model["preprocessing"])
            name = model["name"]
            channels, height, width = model["input_size"]
            specs.append(
                ModelSpec(
                    library=self.library,
                    name=name,
                    input_size=(channels, height, width),
                    kwargs=tuple(model["kwargs"].items()),
                    architecture=architectures.get(f"{self.library}/{name}", name),
                    weights=model["weights"],
                    preprocessing=shared[stated],
                )
            )
        return specs

    def _preprocessing(self, stated: dict[str, Any] | None) -> Preprocessing | None:
        if stated is None:
            return None
        silent = [field.replace("_", " ") for field, value in stated.items() if value is None]
        source = f"{self.library} {self.version}"
        return Preprocessing(
            mean=None if stated["mean"] is None else tuple(stated["mean"]),
            std=None if stated["std"] is None else tuple(stated["std"]),
            crop_fraction=stated["crop_fraction"],
            interpolation=stated["interpolation"],
            crop_mode=stated["crop_mode"],
            source=f"{source}, which states no {', '.join(silent)}" if silent else source,
        )


@cache
def read_list(library: str) -> StoredList:
    """The stored list of one of :data:`LISTED_LIBRARIES`.

    Raises:
        ValueError: the file has a format that this version cannot read.
    """
    content = json.loads((DATA / f"{library}.json").read_bytes())
    if content["schema"] != SCHEMA:
        raise ValueError(
            f"{library}.json has format {content['schema']}, this archbench reads {SCHEMA}"
        )
    return StoredList(
        library=content["library"],
        version=content["version"],
        torch=content["torch"],
        models=tuple(content["models"]),
        skipped=content["skipped"],
    )


@cache
def read_architectures() -> dict[str, str]:
    """What an architecture is called across the libraries, by id, where not as in its own.

    The same network has the same parameters and the same multiply-adds at the same input size in
    both libraries, and the same author. Libraries also use one name for two networks: pytorchcv's
    ``resnet50`` has its stride in another convolution than torchvision's. Such an architecture is
    called by its id.
    """
    content = json.loads((DATA / "architectures.json").read_bytes())
    return {
        **{id: name for name, ids in content["shared"].items() for id in ids},
        **{id: id for id in content["distinct"]},
    }
