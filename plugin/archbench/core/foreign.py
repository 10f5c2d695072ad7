"""Text from elsewhere, made harmless for whoever shows it: the one place that does.

Names of architectures and devices, reasons, messages of git, and whatever a network prints end in
terminals, in logs that CI systems read for commands, and in files. A terminal obeys escape
sequences; GitHub obeys a line that begins with ``::`` and ``##[`` anywhere in one, Azure
``##vso[``, TeamCity ``##teamcity[``, and GitLab's sections need an escape sequence.
"""

from __future__ import annotations

import re

_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # of the terminal's state: colours, cursor, clearing
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\x9c|$)"  # with a text: titles, links, the clipboard
    r"|\x1b[ -/]*[0-~]",
    re.DOTALL,
)
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_CONTROLS = re.compile(
    r"\x1b(?!\[[\d;]*m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f"
    # Marks that turn the direction of what follows, ends of lines, and what nobody sees.
    "\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)
_SURROGATES = re.compile("[\ud800-\udfff]")
_LONGEST_COMMAND = 200
_BLANK = r"(?:[^\S\n]|\x1b\[[\d;]*m)*"


def plain(text: str) -> str:
    """Text without escape sequences, control characters and commands, on as many lines.

    A return ends a line, another control character becomes a space, and half a surrogate pair, as
    a file's name may hold one, becomes its code.
    """
    kept = shown(text)
    bare = _COLOUR.sub("", kept)
    # Without the colours between them two signs may make a command.
    return kept if bare == kept else shown(bare)


def shown(text: str) -> str:
    """:func:`plain` text that keeps its colours, for a terminal."""
    return Pieces()(text, is_last=True)


class Pieces:
    """:func:`shown` for text that is written piece by piece."""

    def __init__(self) -> None:
        self._begins_line = True
        self._marks = ""  # what may become ##[ with the next piece

    def __call__(self, text: str, *, is_last: bool = False) -> str:
        """What to write of the next piece.

        Args:
            text: of any origin.
            is_last: whether no later piece can make a command of what this one ends with.
        """
        if not text:
            return text
        kept = text.replace("\r\n", "\n").replace("\r", "\n")
        if not text.isprintable():
            kept = _SEQUENCES.sub(lambda m: m[0] if _COLOUR.fullmatch(m[0]) else "", kept)
            # What is left of a sequence once another one was cut out of it goes with the rest.
            kept = _CONTROLS.sub(" ", kept)
            kept = _SURROGATES.sub(lambda m: f"\\u{ord(m[0]):04x}", kept)
        last = "" if is_last else r"|\Z"
        kept = re.sub(r"##(?=\w*\[)", "## ", kept)
        if self._marks and re.match(r"[#\w]*\[", kept):
            kept = f" {kept}"
        marks = re.search(r"#[#\w]*\Z", (self._marks + kept)[-_LONGEST_COMMAND:])
        self._marks = marks[0] if marks else ""
        before = "" if self._begins_line else "."
        kept = re.sub(rf"(?m)^({_BLANK}):(?=:{last})", r"\1: ", before + kept)[len(before) :]
        _, newline, line = kept.rpartition("\n")
        is_blank = not _COLOUR.sub("", line).strip()
        self._begins_line = is_blank and (self._begins_line or bool(newline))
        return kept
