"""The objects of a store that a team shares: the one door to ``fsspec``.

An object is named by its content and written once. There is no index, so any number of processes
may add objects at the same time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote
from uuid import uuid4

from archbench.core.errors import ArchbenchError, UsageError, first_line, named, some

URLS = "s3://bucket/archbench, file:///directory, or another URL of fsspec"
"""Places that a store can have."""

MARK = "archbench-store-1"
"""Name of the object that says that a place is a store, and of which version."""

_MARKS = "archbench-store-"
_UNFINISHED = ".part"
_TEXT = b"Runs and baselines of archbench. No object here is ever changed.\n"

_DIRECTORIES = {"file", "local", "sftp", "ssh", "smb", "ftp", "hdfs", "arrow_hdfs", "webhdfs"}
"""Protocols of file systems: a reader may see half of a file there, so that an object gets its name
when it is whole. Elsewhere an object appears at once."""

_USER = re.compile(r"//([^/@]*:.*|[^/@]*)@")
"""User and password in a URL. A password may hold a slash."""


def shown(url: str) -> str:
    """A URL as it may be printed: without user, password and parameters."""
    return _USER.sub("//", url).partition("?")[0]


@dataclass(frozen=True, slots=True)
class Objects:
    """What lies in a place.

    Attributes:
        url: as it was given, with whatever is secret in it.
        fs: of fsspec.
        base: of the place, as ``fs`` names it.
    """

    url: str
    fs: Any
    base: str

    @classmethod
    def open(cls, url: str) -> Objects:
        """A place, whether or not there is a store.

        Args:
            url: of any protocol of fsspec, or the path of a directory.

        Raises:
            UsageError: nobody knows the protocol, or a package for it is missing.
        """
        scheme = url.partition("://")[0] if "://" in url else "file"
        asked = f"--store={shown(url)}"
        try:
            from fsspec.core import url_to_fs

            fs, base = url_to_fs(url, skip_instance_cache=True)
        except ImportError as error:
            package = re.search(r"[Ii]nstall (?:the )?([\w-]+)", str(error))
            is_door = (error.name or "").partition(".")[0] == "fsspec"
            named_so = "'pytest-archbench[store]'" if is_door else None
            raise UsageError(
                asked,
                f"a package for {scheme}:// is not installed",
                f"pip install {named_so or (package[1] if package else scheme)}",
            ) from None
        except ValueError as error:
            if "Protocol not known" not in str(error):
                raise _refusal(url, error, "be opened") from None
            raise UsageError(
                asked,
                f"nothing is known about {scheme}://",
                f"Write {URLS}",
            ) from None
        except Exception as error:
            raise _refusal(url, error, "be opened") from None
        # A bucket has other objects behind two slashes, and lists none of them as behind one.
        return cls(url, fs, re.sub(r"(?<=[^:/])/{2,}", "/", base).rstrip("/"))

    @property
    def name(self) -> str:
        """The URL as it may be printed."""
        return shown(self.url)

    @contextmanager
    def _asked_to(self, what: str) -> Iterator[None]:
        """Have any error of the driver say what could not be done; secrets are taken out of it."""
        try:
            yield
        except ArchbenchError:
            raise
        except Exception as error:
            raise _refusal(self.url, error, what) from None

    def require(self, *, make: bool = False) -> None:
        """See that there is a store.

        Args:
            make: begin one where there is nothing yet.

        Raises:
            UsageError: there is none, or one of another version, or it is not to be reached.
        """
        with self._asked_to("be read"):
            there = [name for name, _ in self._entries("")]
        marks = [name for name in there if name.startswith(_MARKS)]
        if MARK in marks:
            return
        asked = f"--store={self.name}"
        if marks:
            raise UsageError(
                asked, f"it is a store of another version ({marks[0]})", "Update pytest-archbench"
            )
        if there:
            raise UsageError(
                asked,
                f"it is not a store; it holds {some(sorted(there))}",
                "Name the place of a store, or an empty place to begin one with archbench push",
            )
        if not make:
            raise UsageError(
                asked, "there is no store", f"Begin one: archbench push --store={self.name}"
            )
        self.write(MARK, _TEXT)

    def _entries(self, under: str) -> list[tuple[str, bool]]:
        """Names of what lies directly in a directory, and whether each is one itself; none where
        there is no such directory."""
        path = f"{self.base}/{under}".rstrip("/")
        try:
            found = self.fs.ls(path or "/", detail=True)
        except FileNotFoundError:
            return []
        return [
            (name.rpartition("/")[2], entry["type"] == "directory")
            for entry in found
            if (name := entry["name"].rstrip("/")) != path and not name.endswith(_UNFINISHED)
        ]

    def names(self, under: str) -> list[str]:
        """The names of all objects in a directory and below it, sorted.

        Raises:
            UsageError: some of it cannot be read.
        """
        found, left = list[str](), [under]
        with self._asked_to("be read"):
            self.fs.invalidate_cache()
            while left:
                place = left.pop()
                for name, is_directory in self._entries(place):
                    (left if is_directory else found).append(f"{place}/{name}")
        return sorted(found)

    def read(self, names: Sequence[str]) -> list[bytes | str]:
        """The contents of objects, in order; of one that cannot be read the reason.

        A network's are read side by side.
        """
        paths = [f"{self.base}/{name}" for name in names]
        found: Mapping[str, bytes | Exception] = {}
        # fsspec takes a path with one of these for a pattern.
        if self.fs.async_impl and paths and not set("*?[") & set("".join(paths)):
            with suppress(Exception):  # none of them is there
                found = self.fs.cat(paths, on_error="return")
        contents = [found.get(path) or self._read(path) for path in paths]
        return [
            one if isinstance(one, bytes) else _without_secrets(named(one), self.url)
            for one in contents
        ]

    def _read(self, path: str) -> bytes | Exception:
        try:
            return bytes(self.fs.cat_file(path))
        except Exception as error:
            return error

    def write(self, name: str, content: bytes) -> None:
        """Write an object, which others see whole or not at all.

        Raises:
            UsageError: it cannot be written.
        """
        path = f"{self.base}/{name}"
        protocol = self.fs.protocol
        with self._asked_to("be written to"):
            if not _DIRECTORIES & {*([protocol] if isinstance(protocol, str) else protocol)}:
                self.fs.pipe_file(path, content)
                return
            unfinished = f"{path}.{uuid4().hex}{_UNFINISHED}"
            try:
                self.fs.makedirs(path.rpartition("/")[0], exist_ok=True)
                self.fs.pipe_file(unfinished, content)
                self.fs.mv(unfinished, path)
            except BaseException:
                with suppress(Exception):
                    self.fs.rm_file(unfinished)
                raise


def _refusal(url: str, error: Exception, what: str) -> UsageError:
    cause = _without_secrets(first_line(error), url)
    if isinstance(error, PermissionError) or "Credentials" in type(error).__name__:
        todo = "Ask its owner for access, or set the credentials that its driver reads"
        return UsageError(f"--store={shown(url)}", f"it may not {what} ({cause})", todo)
    kind = type(error).__name__
    return UsageError(
        f"--store={shown(url)}",
        f"it cannot {what} ({cause if cause == kind else f'{kind}: {cause}'})",
        "Check the URL, and that the place exists and can be reached",
    )


def _without_secrets(text: str, url: str) -> str:
    """What a driver says, without what the URL must not show."""
    user = _USER.search(url)
    query = url.partition("?")[2]
    secrets = [query, *(value for _, value in parse_qsl(query))]
    secrets += user[1].partition(":")[::2] if user else ()
    for secret in filter(None, (*secrets, *map(unquote, secrets))):
        text = text.replace(secret, "***")
    return text
