"""The architectures of the comparisons that the project starts from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

from archbench.catalog.lists import DATA


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """What one document prints about an architecture, in the document's own words.

    Attributes:
        document: the file of ``data/published`` that holds it: ``bertmoons2018``.
        row: the document's name of the architecture.
        params: ``60.56M``; None where it prints none.
        operations: ``2500 Mops``; None where it prints none.
        convention: what one multiply-add counts in ``operations``.
    """

    document: str
    row: str
    params: str | None = None
    operations: str | None = None
    convention: str | None = None


@dataclass(frozen=True, slots=True)
class SeedRow:
    """One architecture of the seed suite, and the documents that it comes from.

    Attributes:
        label: the name printed in tables.
        library: where it is constructed.
        name: the library's constructor name.
        pixels: side of the image where it is not the library's own, else None.
        suites: the published comparisons that it belongs to.
        published: one row per document that lists it.
        top1: the document whose top-1 accuracy is the architecture's published one, where the
            library itself publishes none.
        note: what a reader of its figures should know.
    """

    label: str
    library: str
    name: str
    pixels: int | None
    suites: tuple[str, ...]
    published: tuple[PublishedRow, ...]
    top1: str | None
    note: str | None

    @property
    def native_id(self) -> str:
        """``timm/mobilenetv1_100``: the architecture at its library's own input size."""
        return f"{self.library}/{self.name}"

    @property
    def id(self) -> str:
        """The id of its :class:`ModelSpec`."""
        return self.native_id if self.pixels is None else f"{self.native_id}@{self.pixels}"


@cache
def read_seeds() -> tuple[SeedRow, ...]:
    """All seed rows in the order of the documents."""
    content = json.loads((DATA / "seeds.json").read_bytes())
    return tuple(
        SeedRow(
            label=row["label"],
            library=row["library"],
            name=row["name"],
            pixels=row.get("pixels"),
            suites=tuple(row["suites"]),
            published=tuple(
                PublishedRow(document, **printed) for document, printed in row["published"].items()
            ),
            top1=row.get("top1"),
            note=row.get("note"),
        )
        for row in content["rows"]
    )
