"""What is made of a network for an engine, kept on the disk: made once, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from archbench.store.directory import make_directory

MANIFEST = "manifest.json"
VERSION = 1
"""Of the manifest. An artefact with another one is made anew."""

LARGEST = 20 * 10**9
"""Bytes that all artefacts of a project may take, see :func:`limit_of`."""

IN_USE = 600.0
"""Seconds after its last use in which an artefact is not removed to make room."""

_CHUNK = 2**22


class Structure(TypedDict):
    """What a network returns: which of its leaves are tensors, and how torch writes the nesting."""

    leaves: list[bool]
    nested: str


class Facts(TypedDict, total=False):
    """What is known of an artefact, in its manifest; which of it depends on the runtime.

    ``batch`` is None where any batch size fits; ``symbol`` names that dimension then, and
    ``not_symbolic`` says why it does not, where that was tried. Seconds are of its making.
    ``quantised`` says how it was brought to int8, ``ranges`` from how many images (0: synthetic
    ones), and ``file`` which one is opened then.
    """

    id: str
    versions: dict[str, str]
    batch: int | None
    symbol: str
    not_symbolic: str
    nodes: int
    opset: int
    structure: Structure | None
    seconds: float
    compile_seconds: float
    file: str
    quantised: str
    ranges: int


@dataclass(frozen=True, slots=True)
class Artefact:
    """Files that were made of a network.

    Attributes:
        path: the directory that they lie in.
        facts: what was found out when they were made, builtin types.
        files: bytes of each file by its name.
    """

    path: Path
    facts: Facts = field(default_factory=Facts)
    files: Mapping[str, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())

    @property
    def used(self) -> float:
        """When it was last used, in seconds since the epoch."""
        return (self.path / MANIFEST).stat().st_mtime


@dataclass(frozen=True, slots=True)
class Found:
    """An artefact that was asked for.

    Attributes:
        artefact: it.
        is_new: whether it was made for this.
        damage: what was wrong with the one that lay there before; None where nothing was.
    """

    artefact: Artefact
    is_new: bool
    damage: str | None = None


def key_of(parts: Mapping[str, object]) -> str:
    """Names an artefact by all that it depends on."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def checksum(path: Path) -> int:
    """CRC-32 of a file: of damage, not of malice; SHA-256 takes three times as long."""
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            value = zlib.crc32(chunk, value)
    return value


def limit_of(directory: Path) -> int:
    """Bytes that artefacts may take: a quarter of what they and free disk have, and no more than
    :data:`LARGEST`."""
    used = sum(one.size for one in Artefacts(directory).entries())
    return min(LARGEST, (shutil.disk_usage(directory).free + used) // 4)


@dataclass(frozen=True, slots=True)
class Artefacts:
    """The artefacts of a project.

    Each is a directory with a manifest, which is written last: its version, files with their
    checksums, and facts. It comes into being by being renamed.

    Attributes:
        directory: that they lie in.
    """

    directory: Path

    def get(self, name: str) -> tuple[Artefact | None, str | None]:
        """An artefact as it was made, or why it cannot be used; neither where there is none.

        Args:
            name: its directory's.
        """
        path = self.directory / name
        if not path.is_dir():
            return None, None
        try:
            manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
            if manifest["version"] != VERSION:
                return None, None
            files = manifest["files"]
            for file, (size, crc) in files.items():
                found = (path / file).stat().st_size
                if found != size:
                    return None, f"{file} has {found:,} bytes and had {size:,}"
                if checksum(path / file) != crc:
                    return None, f"{file} has another checksum than when it was made"
            os.utime(path / MANIFEST)
            sizes = {file: size for file, (size, _) in files.items()}
            return Artefact(path, manifest["facts"], sizes), None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return None, f"its {MANIFEST} cannot be used: {type(error).__name__}: {error}"

    def made(self, name: str, build: Callable[[Path], Facts], timeout: float = -1) -> Found:
        """An artefact, which is made where there is none that can be used.

        Two processes that ask for the same at once make it once.

        Args:
            name: of its directory.
            build: writes its files into a directory and returns its facts.
            timeout: seconds to wait for another process that makes it.

        Raises:
            TimeoutError: that one takes longer.
            OSError: it cannot be written.
            Exception: whatever ``build`` raises; nothing of it stays then.
        """
        from filelock import FileLock, Timeout

        make_directory(self.directory)
        try:
            with FileLock(self.directory / f".{name}.lock", timeout=timeout):
                artefact, damage = self.get(name)
                if artefact is not None:
                    return Found(artefact, is_new=False)
                artefact = self._build(name, build)
        except Timeout as error:
            raise TimeoutError(
                f"another process has been making {name} for {timeout:g} s"
            ) from error
        self.prune(limit_of(self.directory), keep=name)
        return Found(artefact, is_new=True, damage=damage)

    def _build(self, name: str, build: Callable[[Path], Facts]) -> Artefact:
        unfinished = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=self.directory))
        try:
            facts = build(unfinished)
            files: dict[str, tuple[int, int]] = {}
            for path in sorted(unfinished.rglob("*")):
                if path.is_file():
                    _sync(path)
                    relative = path.relative_to(unfinished).as_posix()
                    files[relative] = path.stat().st_size, checksum(path)
            manifest = {"version": VERSION, "files": files, "facts": facts}
            with (unfinished / MANIFEST).open("w", encoding="utf-8") as file:
                json.dump(manifest, file)
                file.flush()
                os.fsync(file.fileno())
            place = self.directory / name
            shutil.rmtree(place, ignore_errors=True)
            unfinished.rename(place)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return Artefact(place, facts, {file: size for file, (size, _) in files.items()})

    def entries(self) -> list[Artefact]:
        """All that are whole, the one that was used last first; their files are not read."""
        found = []
        for path in self.directory.glob(f"[!.]*/{MANIFEST}"):
            with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                manifest = json.loads(path.read_text(encoding="utf-8"))
                files = {file: size for file, (size, _) in manifest["files"].items()}
                found.append(Artefact(path.parent, manifest["facts"], files))
        return sorted(found, key=lambda one: one.used, reverse=True)

    def prune(self, most: int, keep: str = "", in_use: float = IN_USE) -> list[Artefact]:
        """Remove those that were not used for longest until the rest takes no more than so many
        bytes, and what interrupted processes have left.

        Args:
            most: bytes.
            keep: the name of one that stays.
            in_use: seconds after its last use in which one stays.

        Returns:
            What was removed.
        """
        removed, total, now = [], 0, time.time()
        for one in self.entries():
            total += one.size
            if total > most and one.path.name != keep and now - one.used >= in_use:
                shutil.rmtree(one.path, ignore_errors=True)
                total -= one.size
                removed.append(one)
        for path in self._left(now - max(in_use, IN_USE)):
            shutil.rmtree(path, ignore_errors=True)
        return removed

    def _left(self, before: float) -> Iterator[Path]:
        """Directories without a manifest that nobody has written to for a while."""
        for path in self.directory.glob("*"):
            with suppress(OSError):
                whole = (path / MANIFEST).is_file() and not path.name.startswith(".")
                if path.is_dir() and not whole and path.stat().st_mtime < before:
                    yield path


def file_name(*parts: str) -> str:
    """Text that can be the name of a directory anywhere: ``timm-resnet50-onnx-fp32``."""
    return "-".join(
        re.sub(r"[^A-Za-z0-9_.]+", "_", part).strip("._")[:60] for part in parts if part
    )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
