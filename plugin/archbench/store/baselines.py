"""Accepted measurements as text: a header, then one line for each cell, sorted by its key."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from archbench.core.errors import UsageError
from archbench.store.atomic import write_text
from archbench.store.directory import make_directory
from archbench.store.lines import fields_of, is_good

NAMES = {
    "complexity": "complexity.jsonl",
    "accuracy": "accuracy.jsonl",
    "fingerprint": "fingerprints.jsonl",
}
"""Files by their kind; those of times are called by what was timed, in a directory for a device."""

FORMAT = "archbench-baseline"
SCHEMA = 4
"""Version of the format.

1: first version; files of kind ``complexity`` and ``latency``.
2: a process run of ``latency`` has the time of its reference workload; a line has the counts of
   what was timed.
3: a line of ``latency`` has peak memory, and energy per image where there was a counter;
   a process run on an accelerator has the time by the device's own clock.
4: fields of ``latency`` have the names of today: ``process_runs``, ``reference_workload``,
   ``memory_and_energy``.
"""


def _lacks_references(line: Mapping[str, Any]) -> bool:
    is_named = line["environment"].get("reference_workload") is not None
    return is_named and any(run["reference_workload"] is None for run in line["process_runs"])


def _mixes_clocks(line: Mapping[str, Any]) -> bool:
    return len({run["device"] is None for run in line["process_runs"]}) > 1


def _from_schema_1(kind: str, line: dict[str, Any]) -> dict[str, Any]:
    """A line of schema 1 as one of 2: there were neither reference workloads nor counts."""
    if kind != "latency":
        return line
    process_runs = _each_with(line.get("launches"), {"yardstick": None})
    return {**line, "launches": process_runs, "counts": None}


def _from_schema_2(kind: str, line: dict[str, Any]) -> dict[str, Any]:
    """A line of schema 2 as one of 3: nothing was known of memory and energy and of the device's
    time."""
    if kind != "latency":
        return line
    unknown = {"device": None, "queue_full": None}
    return {**line, "launches": _each_with(line.get("launches"), unknown), "amounts": {}}


def _each_with(process_runs: Any, fields: Mapping[str, Any]) -> Any:
    """Process runs with further fields; what is no list of process runs stays, to be refused as it
    is."""
    if not isinstance(process_runs, list):
        return process_runs
    return [{**run, **fields} if isinstance(run, dict) else run for run in process_runs]


def _from_schema_3(kind: str, line: dict[str, Any]) -> dict[str, Any]:
    """A line of schema 3 as one of 4, with the names of fields of today."""
    renamed: dict[str, Any] = _renamed(line) if kind == "latency" else line
    return renamed


def _renamed(value: Any) -> Any:
    if isinstance(value, dict):
        return {_RENAMED.get(name, name): _renamed(one) for name, one in value.items()}
    return [_renamed(one) for one in value] if isinstance(value, list) else value


_RENAMED = {
    "launches": "process_runs",
    "yardstick": "reference_workload",
    "amounts": "memory_and_energy",
}
"""Names of fields before schema 4."""

_UPGRADES = {1: _from_schema_1, 2: _from_schema_2, 3: _from_schema_3}
"""From a schema to the next one, by the older."""


def key_of(line: Mapping[str, Any]) -> str:
    """What a line is about: ``timm/resnet50`` for counts, ``timm/resnet50 fp32-b1`` for times."""
    return f"{line['id']} {line['cell']}" if "cell" in line else str(line["id"])


_PROVENANCE = {"torch", "library"}
"""Fields of counts that say what they were counted with."""


@dataclass(slots=True)
class Baselines:
    """A file of baselines as read.

    Attributes:
        path: of the file.
        lines: the content of each line by :func:`key_of` it; empty where there is no file.
        numbers: of the lines, counted from 1.
    """

    path: Path
    lines: dict[str, dict[str, Any]] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Updated:
    """What an update did: ids of lines that were added and changed, and how many stayed."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: int


def read_baselines(path: Path, kind: str) -> Baselines:
    """Read a file of baselines.

    Args:
        path: of the file; there need not be one.
        kind: of baselines: ``complexity``.

    Raises:
        UsageError: the file is damaged or newer than this archbench; names line and cause. Such a
            file is never overwritten.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return Baselines(path)
    except OSError as error:
        raise UsageError(
            str(path), f"it cannot be read ({error.strerror})", "Make it a readable file"
        ) from error
    return parse_baselines(text, path, kind)


def parse_baselines(text: bytes, path: Path, kind: str) -> Baselines:
    """Read the content of a file of baselines, as a version control system may have it.

    Raises:
        UsageError: as :func:`read_baselines`.
    """
    baselines = Baselines(path)
    schema = SCHEMA
    refuse = partial(_refuse, path)
    if not text:
        refuse(1, "the file is empty")
    if not text.endswith(b"\n"):
        refuse(text.count(b"\n") + 1, "the line has no end: the file was cut off")
    for number, raw in enumerate(text[:-1].split(b"\n"), 1):
        line = _object(raw, partial(refuse, number))
        if number == 1:
            schema = _check_header(line, kind, refuse)
            continue
        for older in range(schema, SCHEMA):
            line = _UPGRADES[older](kind, line)
        _check_line(line, kind, partial(refuse, number))
        key = key_of(line)
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


def _object(raw: bytes, refuse: Callable[..., NoReturn]) -> dict[str, Any]:
    """A line as JSON says it, each field once."""
    if raw.startswith((b"<<<<<<<", b"=======", b">>>>>>>", b"|||||||")):
        refuse(
            "a mark of a merge conflict",
            "Keep either side's lines and accept again with --baseline-update",
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


def _check_line(line: Mapping[str, Any], kind: str, refuse: Callable[..., NoReturn]) -> None:
    """Refuse a line of the present schema that is not what its kind says."""
    fields = fields_of(kind)
    for name, of in fields.items():
        if name not in line:
            refuse(f"it has no field {name!r}")
        if not is_good(name, line[name], of):
            refuse(f"{name} is {json.dumps(line[name])}, which it cannot be")
    if kind == "latency" and _lacks_references(line):
        refuse("the environment names a reference workload, and not every process run has its time")
    if kind == "latency" and _mixes_clocks(line):
        refuse("some of its process runs have the device's time and some have not")
    if unknown := line.keys() - fields.keys():
        refuse(f"it has a field {min(unknown)!r} that schema {SCHEMA} does not know")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field stands in it twice")
    return fields


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _check_header(line: dict[str, Any], kind: str, refuse: Callable[..., NoReturn]) -> int:
    if line.get("format") != FORMAT or type(line.get("schema")) is not int or (line["schema"] < 1):
        refuse(1, f"the header is not that of a file of format {FORMAT!r}")
    if line["schema"] > SCHEMA:
        refuse(
            1,
            f"it has schema {line['schema']}, this archbench reads up to {SCHEMA}",
            "Install a newer pytest-archbench",
        )
    if line.get("kind") != kind:
        refuse(1, f"it holds baselines of kind {line.get('kind')!r}, expected {kind!r}")
    return int(line["schema"])


def _dumped(value: Mapping[str, Any]) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)


def update_baselines(
    path: Path, kind: str, lines: Mapping[str, Mapping[str, Any]], lock: Path, *, only_new: bool
) -> Updated:
    """Put lines into a file of baselines; every other line stays as it is.

    Args:
        path: of the file, made if there is none.
        lines: the new content by :func:`key_of` it.
        lock: a file to wait on, so that two runs that update at once keep both their lines.
        only_new: leave lines alone that exist.

    Raises:
        UsageError: the file is damaged or newer; it stays as it is.
        OSError: it cannot be written; it stays as it is.
    """
    path = path.resolve()  # a link stays one
    with _locked(lock):
        old = read_baselines(path, kind).lines
        added = tuple(sorted(lines.keys() - old.keys()))
        changed = tuple(
            sorted(key for key, line in lines.items() if key in old and not _same(old[key], line))
        )
        replaced = () if only_new else changed
        merged = {**lines, **old, **{key: lines[key] for key in replaced}}
        if added or replaced:
            _write(path, kind, merged)
    return Updated(added, replaced, len(lines) - len(added) - len(replaced))


def remove_lines(path: Path, kind: str, keys: Collection[str], lock: Path) -> int:
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


def _write(path: Path, kind: str, lines: Mapping[str, Mapping[str, Any]]) -> None:
    header = {"format": FORMAT, "kind": kind, "schema": SCHEMA}
    ordered = [{name: lines[key][name] for name in fields_of(kind)} for key in sorted(lines)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "".join(f"{_dumped(line)}\n" for line in [header, *ordered]))


def _same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether two lines say the same but for what they were measured with.

    A line that a newer library or torch only confirms stays as it is, so that a review shows what
    has changed and nothing else.
    """
    return all(old[name] == new[name] for name in old.keys() - _PROVENANCE)
