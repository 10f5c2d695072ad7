"""A table in the forms that people and programs read."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape

from archbench.core.foreign import plain

TABLE_FORMATS = ("text", "markdown", "csv")
"""What a table can be printed as."""

ABSENT = "-"
"""Stands in a table for people where there is no value; in CSV the field is empty."""

PUBLISHED_MARK = "*"
"""Behind a figure that was published and not measured here."""

NOISY_MARK = "~"
"""Before a time that is not to be trusted, since the machine was too busy."""

BLANK = " "
"""A cell that stays empty for people too."""


class Strong(str):
    """A cell that is printed in bold where that can be."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of figures under headers.

    Attributes:
        headers: one for each column.
        rows: cells; texts as they are printed, anything else as :class:`str` makes it. None and an
            empty text are absent.
        words: headers of the columns that hold words; the others are aligned to the right.
    """

    headers: Sequence[str]
    rows: Sequence[Sequence[object]]
    words: Collection[str] = ()

    def print_as(self, format: str) -> str:
        """The table without a line break at its end.

        Args:
            format: one of :data:`TABLE_FORMATS`.
        """
        if format == "csv":
            return self._csv()
        return "\n".join(self.markdown_lines()) if format == "markdown" else self._text()

    def markdown_lines(self) -> list[str]:
        """Header, rule, and a line for each row."""
        rule = "|".join("---" if header in self.words else "---:" for header in self.headers)
        lines = [f"| {' | '.join(map(_cell, line))} |" for line in (self.headers, *self._said())]
        return [lines[0], f"|{rule}|", *lines[1:]]

    def _said(self) -> list[list[str]]:
        return [
            [cell if isinstance(cell, Strong) else _text(cell) or ABSENT for cell in row]
            for row in self.rows
        ]

    def _text(self) -> str:
        import tabulate

        alignment = ["left" if header in self.words else "right" for header in self.headers]
        # Numbers keep the digits they were given: tabulate must not read them again.
        return str(
            tabulate.tabulate(
                self._said(), self.headers, disable_numparse=True, colalign=alignment or None
            )
        )

    def _csv(self) -> str:
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(self.headers)
        writer.writerows(
            [
                cell if cell is None or isinstance(cell, (int, float)) else _field(str(cell))
                for cell in row
            ]
            for row in self.rows
        )
        return file.getvalue().removesuffix("\n")


def _text(cell: object) -> str:
    return "" if cell is None else str(cell)


def _cell(text: str) -> str:
    return f"**{markdown(text)}**" if isinstance(text, Strong) else markdown(text)


@lru_cache(maxsize=10_000)
def _field(text: str) -> str:
    """What a spreadsheet would compute is a text there, as OWASP's "CSV injection" has it."""
    text = plain(text)
    if not text.lstrip().startswith(("=", "+", "-", "@")):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def markdown(text: str) -> str:
    """Text that Markdown and the HTML in it show as it is, on one line, inside a table too."""
    line = escape(" ".join(plain(text).split()) or text, quote=False)
    # An underscore within a word marks nothing.
    return re.sub(r"[\\`*|~]|\](?=[(\[:])|(?<!\w)_|_(?!\w)|^[#+-](?=\s)|##", _escaped, line)


def _escaped(match: re.Match[str]) -> str:
    return "".join(f"\\{sign}" for sign in match[0])


def json_text(document: Mapping[str, object]) -> str:
    """A document for programs.

    Raises:
        ValueError: a number in it is not finite.
    """
    return json.dumps(document, allow_nan=False, indent=1)
