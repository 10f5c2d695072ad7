"""Lines of JSON that end in a checksum, added to a file that only grows."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from zlib import crc32

from archbench.core.errors import UsageError
from archbench.core.locks import lock
from archbench.store.atomic import regular

_SEAL = re.compile(rb',"crc":"([0-9a-f]{8})"\}$')


def sealed(line: Mapping[str, object], *, allow_nan: bool = False) -> bytes:
    """A line with its checksum: the CRC-32 of the object without it, as its last field.

    Raises:
        ValueError: it holds a number that JSON has no form for.
    """
    text = json.dumps(line, allow_nan=allow_nan, separators=(",", ":"), default=str).encode()
    return text[:-1] + b',"crc":"%08x"}\n' % crc32(text)


def is_whole(line: bytes) -> bool | None:
    """Whether a line is what was written; None where it has no checksum."""
    match = _SEAL.search(line)
    if match is None:
        return None
    return crc32(line[: match.start()] + b"}") == int(match[1], 16)


def lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file by their numbers, without their ends.

    Raises:
        OSError: it cannot be read.
    """
    with regular(path).open("rb") as file:
        for number, line in enumerate(file, 1):
            yield number, line.rstrip(b"\r\n")


class SealedFile:
    """A file that one process at a time adds lines to; each is on the disk once it is added.

    The operating system lets it go when the process dies.

    Raises:
        UsageError: another process adds to it.
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab", buffering=0)
        if not lock(self._file.fileno(), alone=True):
            self._file.close()
            raise UsageError(
                str(path), "another process is writing to it", "Wait until that run has ended"
            )

    def add(self, line: bytes) -> None:
        """Write one line and wait until it is on the disk; what of it cannot be written is cut off.

        Raises:
            OSError: the disk is full, or the file may not grow.
        """
        before = os.fstat(self._file.fileno()).st_size
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file.fileno(), before)
            raise

    def cut(self) -> int:
        """Cut off a last line that was torn; how many bytes it had."""
        content = self._path.read_bytes()
        start = content.rstrip(b"\n").rfind(b"\n") + 1
        last = content[start:]
        if not last or (last.endswith(b"\n") and is_whole(last[:-1])):
            return 0
        os.ftruncate(self._file.fileno(), start)
        os.fsync(self._file.fileno())
        return len(last)

    def close(self) -> None:
        """Let the file go."""
        self._file.close()
