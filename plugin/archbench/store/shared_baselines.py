"""Baselines of a team in a shared store: each file as it was pushed, by its time and digest."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from archbench.core.errors import UsageError, some
from archbench.core.lines import Line, TimeLine
from archbench.store.baselines import NAMES, parse_baselines, read_baselines, update_baselines
from archbench.store.directory import own_directory
from archbench.store.objects import Objects
from archbench.store.sharing import digest_of

_NAME = re.compile(r"baselines/(?P<path>(?:\w[\w.+-]*/)?\w[\w.+-]*)/\d{8}T\d{12}Z\.\w{64}\.jsonl")


def push_baselines(store: Objects, root: Path) -> tuple[list[Path], list[Path]]:
    """Add the files of baselines of a project.

    Returns:
        Those that were added, and those whose latest content was there.

    Raises:
        UsageError: one of them is damaged.
    """
    stored = _stored(store)
    added, same = [], []
    ours = [path for name in NAMES.values() if (path := root / name).exists()]
    for path in sorted([*ours, *root.glob("*/*.jsonl")]):
        relative = path.relative_to(root)
        read_baselines(path, _kind_of(relative))
        content, key = path.read_bytes(), relative.with_suffix("").as_posix()
        if digest_of(content) in stored.get(key, [""])[-1]:
            same.append(path)
            continue
        now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S%fZ")
        store.write(f"baselines/{key}/{now}.{digest_of(content)}.jsonl", content)
        added.append(path)
    return added, same


def pull_baselines(store: Objects, root: Path) -> Iterator[tuple[Path, int, list[str]]]:
    """Add lines that a project does not have; none that it has is changed.

    Of a line that was pushed several times the latest counts.

    Yields:
        A file, how many lines were added, and sentences on what was not.
    """
    for key, names in _stored(store).items():
        relative = Path(f"{key}.jsonl")
        kind = _kind_of(relative)
        lines: dict[str, Line] = {}
        remarks = []
        for name, content in zip(names, store.read(names), strict=True):
            try:
                if isinstance(content, str):
                    raise ValueError(content)
                if digest_of(content) not in name:
                    raise ValueError("it was written by half, or is damaged")
                lines |= parse_baselines(content, Path(name), kind).lines
            except (ValueError, UsageError) as error:  # noqa: PERF203
                remarks.append(f"{store.name}/{name}: left out: {error}")
        lock = own_directory(root.parent) / "baselines.lock"
        done = update_baselines(root / relative, kind, lines.values(), lock, only_new=True)
        if done.kept:
            remarks.append(
                f"{root / relative}: lines that differ from those of {store.name} stay as they "
                f"are: {some(done.kept)}"
            )
        yield root / relative, len(done.added), remarks


def _stored(store: Objects) -> dict[str, list[str]]:
    """The names of all contents of each file, the oldest first."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in store.names("baselines"):
        if match := _NAME.fullmatch(name):
            found[match["path"]].append(name)
    return found


def _kind_of(relative: Path) -> type[Line]:
    """What the lines of a file of baselines are."""
    return next((kind for kind, name in NAMES.items() if name == relative.as_posix()), TimeLine)
