"""Storing a library's list anew, and seeing how far it has drifted."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from msgspec import to_builtins

from archbench.catalog.lists import DATA, StoredList, read_list


def render_list(discovered: StoredList) -> str:
    """The text of a stored list: one architecture per line, sorted by name.

    Args:
        discovered: what ``archbench.models.libraries.discover`` returned.

    Raises:
        ValueError: a number that JSON cannot hold.
    """

    def compact(value: object) -> str:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    models = sorted(discovered.models, key=lambda model: model.name)
    skipped = sorted(discovered.skipped.items())
    head = "".join(
        f"{compact(key)}:{compact(getattr(discovered, key))},\n"
        for key in ("schema", "library", "version", "torch")
    )
    listed = ",\n".join(compact(to_builtins(model)) for model in models)
    refused = ",\n".join(f"{compact(name)}:{compact(reason)}" for name, reason in skipped)
    return f'{{{head}"models":[\n{listed}\n],\n"skipped":{{\n{refused}\n}}}}\n'


def write_list(library: str, discovered: StoredList, directory: Path = DATA) -> Path:
    """Store a library's list in place of the one that was there.

    Returns:
        The file that was written.

    Raises:
        ValueError: the list is of another library, or holds no architecture at all.
    """
    if discovered.library != library:
        raise ValueError(f"expected the list of {library}, got that of {discovered.library}")
    if not discovered.models:
        raise ValueError(f"a list of {library} without any architecture is not stored")
    path = directory / f"{library}.json"
    path.write_text(render_list(discovered), encoding="utf-8", newline="\n")
    read_list.cache_clear()
    return path


@dataclass(frozen=True, slots=True)
class Drift:
    """How an installed library differs from its stored list.

    Attributes:
        added: names that the installed library has and the list has not, sorted.
        removed: names that the list has and the installed library has not, sorted.
        version_stored: of the library when it was listed.
        version_installed: of the library that was asked now.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    version_stored: str
    version_installed: str

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)

    def __str__(self) -> str:
        versions = f"listed at {self.version_stored}, installed is {self.version_installed}"
        names = [f"+{name}" for name in self.added] + [f"-{name}" for name in self.removed]
        return f"{versions}: {' '.join(names) or 'no name added or removed'}"


def drift(library: str, names: Collection[str], version_installed: str) -> Drift:
    """Compare the stored list with all names that the installed library has.

    Args:
        library: ``timm``, ``torchvision`` or ``pytorchcv``.
        names: from ``archbench.models.libraries.names``, classifiers or not.
        version_installed: of the library that gave the names.
    """
    stored = read_list(library)
    present = frozenset(names)
    return Drift(
        added=tuple(sorted(present - stored.names)),
        removed=tuple(sorted(stored.names - present)),
        version_stored=stored.version,
        version_installed=version_installed,
    )
