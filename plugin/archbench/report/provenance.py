"""What is said below the table about where the libraries were imported from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from archbench.core.records import Record

_ELSEWHERE = re.compile(r"(?P<name>\S+(?: [^\s(]+)?) \((?P<place>.+)\)")
"""What a record names that was imported from elsewhere than an installation."""


def provenance_lines(cells: Sequence[Record], own: Mapping[str, str]) -> list[str]:
    """One line for each library that ran from elsewhere than an installation, and for each that the
    project holds itself while the installed one ran.

    Args:
        cells: merged records.
        own: path, from the project's root, of each library that the project holds.
    """
    ran: dict[str, int] = {}
    for cell in cells:
        for text in dict.fromkeys(_named(cell)):
            ran[text] = ran.get(text, 0) + 1
    lines = []
    for text, number in sorted(ran.items()):
        match = _ELSEWHERE.fullmatch(text)
        cells_text = f"{number:,} cell{'' if number == 1 else 's'}"
        if match is not None:
            lines.append(
                f"{match['name']} was imported from {match['place']}, which is "
                f"no installation ({cells_text})."
            )
        elif text.partition(" ")[0] in own:
            path = own[text.partition(" ")[0]]
            lines.append(
                f"{text} is the installed one ({cells_text}): {path} of this project did not run. "
                "Start with `python -m pytest` in the directory that holds it, or install the "
                "project (pip install --editable .)."
            )
    return lines


def _named(cell: Record) -> Iterator[str]:
    """``timm 1.0.31`` and ``torch 2.9.0``, as a cell's counts and times have them."""
    counted_with = cell.metrics.get("macs", {}).get("counted_with", {})
    for fields in (counted_with, cell.environment):
        library, torch = fields.get("library"), fields.get("torch")
        if isinstance(library, str):
            yield library
        if isinstance(torch, str):
            yield f"torch {torch}"
