"""The stored lists of what the model libraries offer, and the architectures in them.

Reading them imports none of the libraries: 0.03 s instead of 9.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from msgspec import Struct
from msgspec.json import decode
from msgspec.structs import asdict

from archbench.core.spec import ModelSpec, Preprocessing

LISTED_LIBRARIES = ("timm", "torchvision", "pytorchcv")
"""The libraries that have a stored list."""

DATA = Path(__file__).parent / "data"

SCHEMA = 1
"""Version of the lists' format.

1: ``schema``, ``library``, ``version``, ``torch``, ``models`` and ``skipped``. A model has
``name``, ``input_size``, ``kwargs``, ``weights``, ``preprocessing``, and ``top1`` and ``top5`` in
percent where the library ships them with its weights.
"""


class StatedPreprocessing(Struct, frozen=True, gc=False):
    """What a library says about its images; a field is None where it is silent."""

    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    crop_fraction: float | None
    crop_mode: str | None
    interpolation: str | None

    def of(self, source: str) -> Preprocessing:
        """With who was asked, and about what that is silent."""
        stated = asdict(self)
        silent = [name.replace("_", " ") for name, value in stated.items() if value is None]
        said = f"{source}, which states no {', '.join(silent)}" if silent else source
        return Preprocessing(**stated, source=said)


class StoredModel(Struct, frozen=True, omit_defaults=True):
    """One architecture of a list; accuracies in percent, where the library ships them."""

    name: str
    input_size: tuple[int, int, int]
    kwargs: dict[str, object]
    weights: str | None
    preprocessing: StatedPreprocessing | None
    top1: float | None = None
    top5: float | None = None


class StoredList(Struct, frozen=True):
    """One library's list, as stored.

    Attributes:
        schema: see :data:`SCHEMA`.
        library: whose list it is.
        version: of the library that was asked.
        torch: version of torch that the library ran on.
        models: sorted by name.
        skipped: names that are no ImageNet-1k classifiers, each with the reason.
    """

    schema: int
    library: str
    version: str
    torch: str
    models: tuple[StoredModel, ...]
    skipped: dict[str, str]

    @property
    def names(self) -> frozenset[str]:
        """Every name of the library, listed or skipped."""
        return frozenset(model.name for model in self.models) | self.skipped.keys()

    def specs(self) -> list[ModelSpec]:
        """The architectures, in the list's order."""
        source = f"{self.library} {self.version}"
        stated = {model.preprocessing for model in self.models}
        shared = {one: None if one is None else one.of(source) for one in stated}
        architectures = read_architectures()
        return [
            ModelSpec(
                library=self.library,
                name=model.name,
                input_size=model.input_size,
                kwargs=tuple(model.kwargs.items()),
                architecture=architectures.get(f"{self.library}/{model.name}", model.name),
                weights=model.weights,
                preprocessing=shared[model.preprocessing],
            )
            for model in self.models
        ]


@cache
def read_list(library: str) -> StoredList:
    """The stored list of one of :data:`LISTED_LIBRARIES`.

    Raises:
        ValueError: the file has a format that this version cannot read.
    """
    text = (DATA / f"{library}.json").read_bytes()
    schema = decode(text, type=_Version).schema
    if schema != SCHEMA:
        raise ValueError(f"{library}.json has format {schema}, this archbench reads {SCHEMA}")
    return decode(text, type=StoredList)


class _Version(Struct):
    schema: int


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
