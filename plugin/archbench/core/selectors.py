"""Which cells a rule is about: architecture, device and precision, each by a glob."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase

from archbench.core.errors import UsageError
from archbench.core.run_config import DTYPES
from archbench.core.spec import LIBRARIES

_SPECIAL = frozenset("*?[")
_DEVICE = re.compile(r"[a-z0-9.*?\[\]!-]+")
_ARCHITECTURE = re.compile(r"[\w.+@/*?\[\]!-]+(\(.*)?")
"""An id or a glob over ids, with arguments behind it or without."""


@dataclass(frozen=True, slots=True)
class Selector:
    """Globs that a cell has to match, all of them. ``*`` matches everything.

    Attributes:
        architecture: over ids, ``timm/resnet*``; without a slash over the names behind it, as
            ``--models`` reads them. An id with an input size ends in it: ``timm/resnet50@160``.
        device: over the devices' short names: ``cpu*``, ``h200``.
        dtype: over precisions: ``fp32``, ``*16``.

    Raises:
        UsageError: a glob that can match nothing; ``asked`` is ``architecture = 'tim/resnet*'``.
    """

    architecture: str = "*"
    device: str = "*"
    dtype: str = "*"

    def __post_init__(self) -> None:
        for key in ("architecture", "device", "dtype"):
            pattern = getattr(self, key)
            asked = f"{key} = {pattern!r}"
            if not pattern:
                raise UsageError(asked, "the glob is empty", "Leave the key out to match every one")
            if re.search(r"\[(?![!]?.[^]]*\])", pattern):
                raise UsageError(asked, "a bracket is open", "Close it, as in [ab]")
        self._check_architecture()
        self._check_device()
        self._check_dtype()

    def _check_architecture(self) -> None:
        asked = f"architecture = {self.architecture!r}"
        if (
            not _ARCHITECTURE.fullmatch(self.architecture)
            or self.architecture.partition("(")[0].count("/") > 1
        ):
            raise UsageError(
                asked,
                "no id looks like that",
                "Write one id or one glob over ids, such as 'timm/resnet*'",
            )
        library, slash, _ = self.architecture.partition("/")
        if slash and not _SPECIAL & set(library):
            refuse_unknown(asked, library, LIBRARIES, "library", "libraries")
        elif slash and not any(fnmatchcase(name, library) for name in LIBRARIES):
            raise UsageError(
                asked,
                f"{library!r} matches no library",
                f"Libraries are {', '.join(LIBRARIES)}",
            )

    def _check_device(self) -> None:
        if not _DEVICE.fullmatch(self.device):
            raise UsageError(
                f"device = {self.device!r}",
                "no device is called that",
                "Write a glob over the short names of devices, in lower case: 'cpu*', 'h200'",
            )

    def _check_dtype(self) -> None:
        asked = f"dtype = {self.dtype!r}"
        if not _SPECIAL & set(self.dtype):
            refuse_unknown(asked, self.dtype, DTYPES, "precision")
        elif not any(fnmatchcase(name, self.dtype) for name in DTYPES):
            raise UsageError(
                asked, "it matches no precision", f"Precisions are {', '.join(DTYPES)}"
            )

    def matches(
        self, architecture: str, device: str | None = None, dtype: str | None = None
    ) -> bool:
        """Whether a cell is meant.

        Args:
            architecture: its id.
            device: its device's short name; None for what does not depend on one.
            dtype: its precision; None likewise.
        """
        name = architecture if "/" in self.architecture else architecture.partition("/")[2]
        return (
            # Brackets of arguments are no glob's.
            (name == self.architecture or fnmatchcase(name, self.architecture))
            and (device is None or fnmatchcase(device, self.device))
            and (dtype is None or fnmatchcase(dtype, self.dtype))
        )


def refuse_unknown(
    asked: str, name: str, names: Iterable[str], what: str, whats: str | None = None
) -> None:
    """Refuse a name that is none of the known ones, and point to the nearest of them.

    Args:
        asked: how the name was given.
        name: the name.
        names: the known ones.
        what: what they are names of: ``metric``.
        whats: the plural, where it takes more than an ``s``.

    Raises:
        UsageError: the name is unknown.
    """
    known = list(names)
    if name in known:
        return
    nearest = get_close_matches(name.lower(), known, n=1)
    listed = f"{whats or f'{what}s'} are {', '.join(known)}"
    raise UsageError(
        asked,
        f"there is no {what} {name!r}",
        f"Write {nearest[0]!r}; {listed}" if nearest else listed[0].upper() + listed[1:],
    )
