"""Accepted measurements as text: a header, then one line for each cell, sorted by its key."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NoReturn, TypeVar

import msgspec

from archbench.core.errors import UsageError
from archbench.core.forms import Json
from archbench.core.lines import (
    SCHEMA,
    AccuracyLine,
    CountLine,
    FingerprintLine,
    Line,
    TimeLine,
    line_of,
)
from archbench.store.atomic import regular, write_text
from archbench.store.directory import make_directory

NAMES: Mapping[type[Line], str] = {
    CountLine: "complexity.jsonl",
    AccuracyLine: "accuracy.jsonl",
    FingerprintLine: "fingerprints.jsonl",
}
"""Files by what their lines are; those of times are called by what was timed, in a directory for a
device."""

FORMAT = "archbench-baseline"

_Line = TypeVar("_Line", bound=Line)


class _Header(msgspec.Struct):
    format: Literal["archbench-baseline"]
    schema: Annotated[int, msgspec.Meta(ge=1)]
    kind: object = None


_ADDED: Mapping[int, tuple[Mapping[str, Json], Mapping[str, Json]]] = {
    1: ({"counts": None}, {"yardstick": None}),
    2: ({"amounts": {}}, {"device": None, "queue_full": None}),
}
"""What the next schema added to a line of times and to each of its process runs, by the older."""

_RENAMED = {
    "launches": "process_runs",
    "yardstick": "reference_workload",
    "amounts": "memory_and_energy",
}
"""Names of fields before schema 4."""


def _upgraded(line: dict[str, Json], schema: int) -> dict[str, Json]:
    """A line of times of an older schema as one of the present one; what is no list of process
    runs stays, to be refused as it is."""
    for older in range(schema, 3):
        of_line, of_runs = _ADDED[older]
        runs = line.get("launches")
        if isinstance(runs, list):
            runs = [{**run, **of_runs} if isinstance(run, dict) else run for run in runs]
        line = {**line, **of_line, "launches": runs}
    return _renamed(line) if schema < 4 else line


def _renamed(value: Any) -> Any:
    if isinstance(value, dict):
        return {_RENAMED.get(name, name): _renamed(one) for name, one in value.items()}
    return [_renamed(one) for one in value] if isinstance(value, list) else value


_PROVENANCE = {"torch", "library"}
"""Fields of counts that say what they were counted with."""


@dataclass(slots=True)
class Baselines(Generic[_Line]):
    """A file of baselines as read.

    Attributes:
        path: of the file.
        lines: by the key of each; empty where there is no file.
        numbers: of the lines, counted from 1.
    """

    path: Path
    lines: dict[str, _Line] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Updated:
    """What an update did: ids of lines that were added and changed, how many stayed, and which of
    these differ from the new ones."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: int
    kept: tuple[str, ...] = ()


def read_baselines(path: Path, kind: type[_Line]) -> Baselines[_Line]:
    """Read a file of baselines.

    Args:
        path: of the file; there need not be one.
        kind: what its lines are.

    Raises:
        UsageError: the file is damaged or newer than this archbench; names line and cause. Such a
            file is never overwritten.
    """
    try:
        text = regular(path).read_bytes()
    except FileNotFoundError:
        return Baselines(path)
    except OSError as error:
        raise UsageError(
            str(path), f"it cannot be read ({error.strerror})", "Make it a readable file"
        ) from error
    return parse_baselines(text, path, kind)


def parse_baselines(text: bytes, path: Path, kind: type[_Line]) -> Baselines[_Line]:
    """Read the content of a file of baselines, as a version control system may have it.

    Raises:
        UsageError: as :func:`read_baselines`.
    """
    baselines: Baselines[_Line] = Baselines(path)
    schema = SCHEMA
    refuse = partial(_refuse, path)
    if not text:
        refuse(1, "the file is empty")
    if not text.endswith(b"\n"):
        refuse(text.count(b"\n") + 1, "the line has no end: the file was cut off")
    for number, raw in enumerate(text[:-1].split(b"\n"), 1):
        content = _object(raw, partial(refuse, number))
        if number == 1:
            schema = _schema_of(content, kind.kind, refuse)
            continue
        if kind.kind == TimeLine.kind:
            content = _upgraded(content, schema)
        try:
            line = line_of(kind, content)
        except ValueError as error:
            refuse(number, str(error))
        key = line.key
        if key in baselines.lines:
            first = baselines.numbers[key]
            cause = f"a second line for {key}; the first is line {first}"
            refuse(number, cause, "Delete one of them")
        baselines.lines[key] = line
        baselines.numbers[key] = number
    return baselines


def _refuse(path: Path, number: int, cause: str, todo: str = "") -> NoReturn:
    restore = "Restore the file from version control; it has not been touched"
    raise UsageError(f"{path}:{number}", cause, todo or restore)


def _object(raw: bytes, refuse: Callable[..., NoReturn]) -> dict[str, Json]:
    """A line as JSON says it, each field once."""
    if raw.startswith((b"<<<<<<<", b"=======", b">>>>>>>", b"|||||||")):
        refuse(
            "a mark of a merge conflict",
            "Keep either side's lines and accept again: pytest benchmarks --baseline-update",
        )
    try:
        line = json.loads(
            raw.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_each_once
        )
    except (ValueError, RecursionError) as error:
        refuse(f"not a line of JSON ({error})")
    if not isinstance(line, dict):
        refuse(f"an object is expected, found {type(line).__name__}")
    return line


def _each_once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field stands in it twice")
    return fields


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _schema_of(content: object, kind: str, refuse: Callable[..., NoReturn]) -> int:
    """The schema that a file of this kind says it has."""
    try:
        header = msgspec.convert(content, _Header)
    except msgspec.ValidationError:
        refuse(1, f"the header is not that of a file of format {FORMAT!r}")
    if header.schema > SCHEMA:
        refuse(
            1,
            f"it has schema {header.schema}, this archbench reads up to {SCHEMA}",
            "Install a newer pytest-archbench",
        )
    if header.kind != kind:
        refuse(1, f"it holds baselines of kind {header.kind!r}, expected {kind!r}")
    return header.schema


def update_baselines(
    path: Path, kind: type[_Line], lines: Iterable[_Line], lock: Path, *, only_new: bool
) -> Updated:
    """Put lines into a file of baselines; every other line stays as it is.

    Args:
        path: of the file, made if there is none.
        lines: the new ones; of two about the same the last counts.
        lock: a file to wait on, so that two runs that update at once keep both their lines.
        only_new: leave lines alone that exist.

    Raises:
        UsageError: the file is damaged or newer; it stays as it is.
        OSError: it cannot be written; it stays as it is.
    """
    path = path.resolve()  # a link stays one
    with _locked(lock):
        old = read_baselines(path, kind).lines
        new = {line.key: line for line in lines}
        added = tuple(sorted(new.keys() - old.keys()))
        changed = tuple(
            sorted(key for key, line in new.items() if key in old and not _same(old[key], line))
        )
        replaced = () if only_new else changed
        merged = {**new, **old, **{key: new[key] for key in replaced}}
        if added or replaced:
            _write(path, kind, merged)
    kept = changed if only_new else ()
    return Updated(added, replaced, len(new) - len(added) - len(replaced), kept)


def remove_lines(path: Path, kind: type[Line], keys: Collection[str], lock: Path) -> int:
    """Take lines out of a file of baselines; returns how many there were.

    Raises:
        UsageError: the file is damaged or newer; it stays as it is.
        OSError: it cannot be written; it stays as it is.
    """
    with _locked(lock):
        old = read_baselines(path, kind).lines
        kept = {key: line for key, line in old.items() if key not in keys}
        if len(kept) < len(old):
            _write(path, kind, kept)
    return len(old) - len(kept)


@contextmanager
def _locked(lock: Path) -> Iterator[None]:
    from filelock import FileLock

    make_directory(lock.parent)
    with FileLock(lock):
        yield


def _write(path: Path, kind: type[Line], lines: Mapping[str, Line]) -> None:
    header = {"format": FORMAT, "kind": kind.kind, "schema": SCHEMA}
    ordered = (msgspec.to_builtins(lines[key]) for key in sorted(lines))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "".join(f"{_dumped(line)}\n" for line in (header, *ordered)))


def _dumped(value: object) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)


def _same(old: Line, new: Line) -> bool:
    """Whether two lines say the same but for what they were measured with.

    A line that a newer library or torch only confirms stays as it is, so that a review shows what
    has changed and nothing else.
    """
    return all(
        getattr(old, name) == getattr(new, name)
        for name in old.__struct_fields__
        if name not in _PROVENANCE
    )
