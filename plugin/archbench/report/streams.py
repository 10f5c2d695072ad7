"""Standard output and error, with foreign text made harmless on its way."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Generator
from typing import TextIO

from archbench.core.foreign import Pieces, shown

_FOREIGN: list[bool] = []
"""Whether a network's own code has run, which may print as late as when the interpreter ends."""


class ShownStream(io.TextIOBase):
    """A stream of text that passes on what :func:`shown` leaves of it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._pieces = Pieces()
        self.flush = stream.flush  # type: ignore[method-assign]
        self.fileno = stream.fileno  # type: ignore[method-assign]
        self.isatty = stream.isatty  # type: ignore[method-assign]

    def write(self, text: str) -> int:
        """Write what is left of the text; returns how many characters were given."""
        made = self._pieces(text)
        try:
            self._stream.write(made)
        except UnicodeEncodeError:
            # Some signs are beyond some terminals; better a question mark than nothing at all.
            coding = self._stream.encoding
            self._stream.write(made.encode(coding, "replace").decode(coding))
        return len(text)


@contextlib.contextmanager
def held_back(*names: str) -> Generator[None]:
    """Hold back what foreign code prints, by whichever way it does, and show it afterwards on
    standard error, made harmless.

    Args:
        names: ``stdout`` and ``stderr``, or one of them.
    """
    import tempfile  # it takes longer to import than all of this module

    text = io.StringIO()
    with tempfile.TemporaryFile() as file:
        try:
            with contextlib.ExitStack() as undo:
                for name in names:
                    _hold(name, file.fileno(), text, undo)
                yield
        finally:
            file.seek(0)
            printed = file.read().decode("utf-8", "backslashreplace") + text.getvalue()
            sys.stderr.write(shown(printed))
            sys.stderr.flush()


def _hold(name: str, descriptor: int, text: TextIO, undo: contextlib.ExitStack) -> None:
    stream = getattr(sys, name)
    own = {1 if name == "stdout" else 2}
    try:
        own.add(stream.fileno())
    except (OSError, ValueError):  # it is no file of the system's
        undo.callback(setattr, sys, name, stream)
        setattr(sys, name, text)
    # The object stays: a logger that is made now writes to it when this has ended.
    stream.flush()
    for one in own:
        kept = os.dup(one)
        undo.callback(os.close, kept)
        undo.callback(os.dup2, kept, one)
        os.dup2(descriptor, one)
    undo.callback(stream.flush)


@contextlib.contextmanager
def foreign_code() -> Generator[None]:
    """What a network's own code prints goes to standard error; the other is the document's."""
    _FOREIGN.append(True)
    with held_back("stdout"):
        yield


def end_foreign_output() -> None:
    """Keep what a network prints from now on out of the document, which is complete."""
    if _FOREIGN:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
