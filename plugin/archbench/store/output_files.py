"""Files that reports are written to: whether they can be, and whether that loses anything."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

_WRITTEN = {
    "results": rb'\s*\{\s*"schema":',
    "code-quality": rb"\s*\[",
    "openmetrics": rb"# (TYPE|HELP|UNIT|EOF)",
}
"""How a file begins that each option has written."""


def problem_of(name: str, path: Path) -> str:
    """Why an option cannot write to a path; empty where it can.

    A file that is there is replaced only where it is one that the option has written, or is empty.
    """
    if path.exists() and not path.is_file():
        return "is not a regular file"
    if not path.parent.is_dir():
        return f"{path.parent} does not exist"
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
            pass
        head = b""
        if path.exists():
            with path.open("rb") as file:
                head = file.read(4096)
    except OSError as error:
        return f"nothing can be written in {path.parent} ({error.strerror})"
    if head.strip() and not re.match(_WRITTEN[name], head):
        return f"it is there and was not written by --{name}, so that it would be lost"
    return ""
