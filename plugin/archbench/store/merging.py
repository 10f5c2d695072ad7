"""Journals of shards and machines, joined to that of one run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import cast

from archbench.core.errors import UsageError
from archbench.core.headers import OF_ACCEPTING, OF_THE_MOMENT, RunHeader, Selection
from archbench.core.records import Record
from archbench.store.journal import SCHEMA, Journal, Kept, Report, read_kept

MAY_DIFFER = ("shard", "shard_times", "gpu", "shared_ok", "cell_timeout")
"""Settings that may be others in each part of one run."""


@dataclass(slots=True)
class Merged:
    """What the parts come to together.

    Attributes:
        header: of the run that they are parts of.
        cells: of all of them, in the order in which their architectures were selected.
        tests: the reports of each test.
        exit_status: of the run: the worst of its parts.
        remarks: sentences on what is to be known about it.
    """

    header: RunHeader
    cells: list[Record] = field(default_factory=list)
    tests: dict[str, list[Report]] = field(default_factory=dict)
    exit_status: int = 0
    remarks: list[str] = field(default_factory=list)


def _name(part: Kept) -> str:
    return part.run.path.parent.name


def merge_runs(paths: Sequence[Path], *, take: str | None = None, partial: bool = False) -> Merged:
    """Join runs.

    Args:
        paths: their journals.
        take: name of the run whose result counts where two have a cell.
        partial: whether parts may be missing.

    Raises:
        UsageError: they are no parts of one run, or have two results for a cell.
    """
    parts = [read_kept(path) for path in dict.fromkeys(path.resolve() for path in paths)]
    if take is not None and take not in map(_name, parts):
        names = ", ".join(map(_name, parts))
        raise UsageError(f"--take={take}", f"the runs are {names}", "Name one of them")
    for part in parts:
        _refuse_other(parts[0], part)
    if not partial:
        _refuse_missing(parts)
    merged = Merged(_header(parts))
    cells: dict[tuple[str, str], tuple[Record, str]] = {}
    # The run that counts comes last.
    for part in sorted(parts, key=lambda one: _name(one) == take):
        name = _name(part)
        for cell in part.run.cells:
            before = cells.get(cell.key)
            if before is not None and before[0] != cell and take not in (name, before[1]):
                raise UsageError(
                    f"{cell.id} {cell.suffix}".strip(),
                    f"{before[1]} and {name} have different results for it",
                    f"Say which counts: --take={before[1]} or --take={name}",
                )
            cells[cell.key] = cell, name
        merged.tests.update(part.tests)
        merged.remarks += [
            f"{part.run.path}:{number}: left out: {cause}" for number, cause in part.run.damaged
        ]
    order = _order(parts)
    found = [cell for cell, _ in cells.values()]
    merged.cells = sorted(found, key=lambda cell: order.get(cell.id, len(order)))
    merged.exit_status = max(int(str(part.run.end.get("exit_status", 1))) for part in parts)
    merged.remarks += _machines(parts)
    return merged


def _refuse_other(first: Kept, part: Kept) -> None:
    """See that two are parts of one run.

    Raises:
        UsageError: they are not.
    """
    if not part.run.header:
        raise UsageError(
            str(part.run.path), "its first line is not that of a journal", "Name another run"
        )
    schema = part.run.header.get("schema")
    if schema != SCHEMA:
        raise UsageError(
            _name(part),
            f"its journal has schema {schema}, and runs are joined from schema {SCHEMA} on",
            "Measure it again",
        )
    pairs = (
        ("settings", first.run.header.get("settings"), part.run.header.get("settings")),
        ("whole", _whole(first), _whole(part)),
    )
    for place, one, other in pairs:
        for name in sorted({*(one or {}), *(other or {})} - set(MAY_DIFFER)):
            then, now = (one or {}).get(name), (other or {}).get(name)
            if then != now:
                what = "they are of other selections" if place == "whole" else f"{place}.{name}"
                raise UsageError(
                    f"{_name(first)} and {_name(part)}",
                    f"{what}: {then!r} and {now!r}",
                    "Join parts of one run: the same options and tests, with "
                    "pytest benchmarks --shard=1/4 and so on",
                )
    ours, others = first.run.header.get("sources", {}), part.run.header.get("sources", {})
    accepts = (first.run.header.get("settings") or {}).get("baseline_update") is not None
    for name in sorted(ours.keys() & others.keys()):
        if ours[name] != others[name] and not (accepts and name.startswith(OF_ACCEPTING)):
            raise UsageError(
                f"{_name(first)} and {_name(part)}",
                f"they are of different contents of {name}",
                "Measure both at one revision, with the same baselines",
            )


def _whole(part: Kept) -> Selection:
    header = part.run.header
    found = header.get("whole") or header["tests"]
    return {"number": found["number"], "digest": found["digest"]}


def _refuse_missing(parts: Sequence[Kept]) -> None:
    """See that the parts are the whole.

    Raises:
        UsageError: one is missing, or did not reach its end.
    """
    for part in parts:
        if not part.run.is_complete:
            raise UsageError(
                _name(part),
                "it did not reach its end",
                f"Go on with it: pytest benchmarks --resume={_name(part)}. Or join what there is: "
                "--partial",
            )
        if lost := _lost(part):
            raise UsageError(
                _name(part),
                f"its line of {lost} is damaged",
                f"Write it again: pytest benchmarks --resume={_name(part)}. Or join what there is: "
                "--partial",
            )
    shards = {str(part.run.header["settings"].get("shard")) for part in parts}
    numbered = [shard for shard in shards if "/" in shard]
    if numbered:
        counts = {shard.partition("/")[2] for shard in numbered}
        wanted = [f"{number}/{of}" for of in sorted(counts) for number in range(1, int(of) + 1)]
        missing = [shard for shard in wanted if shard not in shards]
        if missing:
            raise UsageError(
                "archbench merge",
                f"shard {', '.join(missing)} is missing beside {', '.join(sorted(numbered))}",
                "Name its run too, or join what there is: --partial",
            )
    tests = {test for part in parts for test in part.tests}
    number = _whole(parts[0])["number"]
    if len(tests) < number:
        damaged = [_name(part) for part in parts if part.run.damaged]
        todo = "Shard with the same times everywhere: pytest benchmarks --shard-times=RUN"
        if damaged:
            todo = f"Go on with what is damaged: pytest benchmarks --resume={damaged[0]}"
        raise UsageError(
            "archbench merge",
            f"{number} tests were selected, and {len(tests)} have ended in these runs",
            f"{todo}. Or join what there is: --partial",
        )


def _lost(part: Kept) -> str:
    """The first cell that a test has measured and no line has; empty where there is none."""
    keys = {cell.key for cell in part.run.cells}
    ids = {cell.id for cell in part.run.cells}
    for report in chain.from_iterable(part.tests.values()):
        data = report.get("archbench")
        if data is None:
            continue
        record = Record.from_dict(data)
        # What has no batch size joins the cells of its architecture.
        is_part = record.target is None or record.target.batch_size is None
        if not (record.id in ids if is_part else record.key in keys):
            return f"{record.id} {record.suffix}".strip()
    return ""


def _header(parts: Sequence[Kept]) -> RunHeader:
    first = parts[0].run.header
    left_out = ("schema", "kind", "run", "whole", "tests")
    header = cast(
        "RunHeader", {name: value for name, value in first.items() if name not in left_out}
    )
    devices = dict.fromkeys(str(part.run.header["settings"]["gpu"]) for part in parts)
    header["settings"] = {
        **first["settings"], "shard": None, "shard_times": None, "gpu": ",".join(devices)
    }  # fmt: skip
    header["tests"] = _whole(parts[0])
    header["merged"] = [
        {"run": _name(part), "environment": part.run.header["environment"]} for part in parts
    ]
    return header


def _order(parts: Sequence[Kept]) -> dict[str, int]:
    models = [
        model for part in parts for model in (part.run.header.get("whole") or {}).get("models", ())
    ] + [cell.id for part in parts for cell in part.run.cells]
    return {model: place for place, model in enumerate(dict.fromkeys(models))}


def _machines(parts: Sequence[Kept]) -> Iterator[str]:
    """In what the machines of the parts differ."""
    first = dict(parts[0].run.header["environment"])
    for part in parts[1:]:
        other = dict(part.run.header["environment"])
        names = [
            name for name in first if name not in OF_THE_MOMENT and first[name] != other.get(name)
        ]
        if names:
            yield f"{_name(part)} was measured with other {', '.join(names)} than {_name(parts[0])}"


def store_merged(merged: Merged, runs: Path, sources: Sequence[Path]) -> Path:
    """Write the journal of the joined run, and put outcomes of images beside it.

    Returns:
        The journal.

    Raises:
        OSError: it cannot be written.
    """
    journal = Journal(runs, merged.header)
    for test, reports in merged.tests.items():
        journal.append_test(test, reports)
    for cell in merged.cells:
        journal.append(cell)
    journal.close(merged.exit_status, 0.0)
    for source in sources:
        outcomes = source.parent / "outcomes"
        if outcomes.is_dir():
            shutil.copytree(outcomes, journal.path.parent / "outcomes", dirs_exist_ok=True)
    return journal.path
