"""A table of text in the forms that people and programs read."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from html import escape

__all__ = ["ABSENT", "TABLE_FORMATS", "table_text"]

TABLE_FORMATS = ("text", "markdown", "csv")
"""What :func:`table_text` can make."""

ABSENT = "-"
"""Stands in a table for people where there is no value; in CSV the field is empty."""


def table_text(
    headers: Sequence[str], rows: Sequence[Sequence[str]], format: str, *, left: int
) -> str:
    """A table without a line break at its end.

    Args:
        headers: one for each column.
        rows: cells as they are printed; an empty one is absent.
        format: one of :data:`TABLE_FORMATS`.
        left: number of columns at the left that hold words; the others are aligned to the right.
    """
    if format == "csv":
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(headers)
        writer.writerows(rows)
        return file.getvalue().removesuffix("\n")
    filled = [[cell or ABSENT for cell in row] for row in rows]
    if format == "markdown":
        rule = ["---"] * left + ["---:"] * (len(headers) - left)
        lines = [headers, rule, *filled]
        return "\n".join(
            f"| {' | '.join(map(_marked_down, line))} |" if line is not rule
            else f"|{'|'.join(rule)}|"
            for line in lines
        )  # fmt: skip
    import tabulate

    alignment = ["left"] * left + ["right"] * (len(headers) - left)
    # Numbers keep the digits they were given: tabulate must not read them again.
    return str(tabulate.tabulate(filled, headers, disable_numparse=True, colalign=alignment))


def _marked_down(cell: str) -> str:
    return escape(cell, quote=False).replace("|", "\\|")
