"""Files that end, and that are either the old one or the new one, never a part."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def regular(path: Path) -> Path:
    """A path that is to be read as a whole, if it is one of a file that ends: a device would fill
    the memory, and a pipe would wait.

    Raises:
        OSError: it is none, or not there.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # of a directory reading says so itself
        raise OSError(errno.EINVAL, "it is a device or a pipe, and no regular file", str(path))
    return path


def write_text(path: Path, text: str) -> None:
    """Replace a file's content at once; whatever interrupts the writing, the old file survives.

    Raises:
        OSError: the directory cannot be written, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
