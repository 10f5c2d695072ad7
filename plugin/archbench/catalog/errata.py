"""Figures of the published documents that are wrong, each with the right one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

from archbench.catalog.lists import DATA

SCHEMA = 1
"""Version of the file's format.

1: ``schema`` and ``rows``. A row has every field of :class:`Erratum`, all of them strings but
``right``, a whole number.
"""

_UNITS = {
    "params_m": lambda right: f"{right / 1e6:.6f}",
    # Two operations for a multiply-add, in millions.
    "ops_mops": lambda right: f"{2 * right / 1e6:.0f}",
}


@dataclass(frozen=True, slots=True)
class Erratum:
    """One figure that a document prints and should not.

    Attributes:
        document: the file of ``data/published`` that holds the document's rows.
        row: the document's name of the architecture.
        column: of that file.
        printed: the figure as that file has it.
        architecture: id of the architecture that the row is about.
        quantity: what of its :class:`~archbench.core.complexity.Complexity` the column prints.
        right: that quantity, in plain numbers.
        why: how the figure came about, as far as it is known.
        source: who else has the right figure.
    """

    document: str
    row: str
    column: str
    printed: str
    architecture: str
    quantity: str
    right: int
    why: str
    source: str

    @property
    def corrected(self) -> str:
        """The right figure in the unit and convention of the column."""
        return _UNITS[self.column](self.right)


@cache
def read_errata() -> tuple[Erratum, ...]:
    """All known errata, by document in its order.

    Raises:
        ValueError: the file has a format that this version cannot read.
    """
    content = json.loads((DATA / "errata.json").read_bytes())
    if content["schema"] != SCHEMA:
        raise ValueError(
            f"errata.json has format {content['schema']}, this archbench reads {SCHEMA}"
        )
    return tuple(Erratum(**row) for row in content["rows"])
