"""Docstrings as Markdown: their references, written for Sphinx, become code."""

from __future__ import annotations

import re
from typing import Any

import griffe

_REFERENCE = re.compile(r":\w+:`~?([^`]+)`")


class References(griffe.Extension):  # type: ignore[misc]
    """``:class:`Target``` becomes ```Target```."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = _REFERENCE.sub(r"`\1`", obj.docstring.value)
