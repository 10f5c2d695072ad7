"""Baselines of this run: reading them, judging by them, writing them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from archbench.core.errors import UsageError
from archbench.core.gate import COUNTS
from archbench.core.lines import CountLine, Line, TimeLine, line_of
from archbench.core.records import OTHER_COUNTS, Record
from archbench.core.run_config import RunConfig
from archbench.core.spec import Target
from archbench.core.verdicts import Note, Verdict
from archbench.gates.gate import Accepted, Gate
from archbench.measure.environment import git_state
from archbench.metrics import compared_by
from archbench.pytest_plugin.manifest import cell_of
from archbench.pytest_plugin.options import refusing, spelled
from archbench.pytest_plugin.selection import known_architecture
from archbench.pytest_plugin.settings import settings_of
from archbench.pytest_plugin.targets import target_for
from archbench.store.baselines import Baselines, Updated

_GATE: pytest.StashKey[Gate] = pytest.StashKey()
_TARGETS: pytest.StashKey[dict[str, Target]] = pytest.StashKey()

_Line = TypeVar("_Line", bound=Line)


def gate_of(config: pytest.Config) -> Gate:
    """The gate of a run, one in each process."""
    if _GATE not in config.stash:
        settings = settings_of(config)
        config.stash[_GATE] = Gate(
            config.rootpath,
            settings.directory / "baselines.lock",
            settings.baseline_update,
            settings.baseline_required,
            settings.strict,
            settings.baseline_reason,
        )
    return config.stash[_GATE]


def judged(
    config: pytest.Config,
    record: Record,
    verdicts: Sequence[Verdict],
    explain: Callable[[list[Verdict]], Iterable[str]],
) -> str | None:
    """Note verdicts and explain a failure, see :meth:`archbench.gates.gate.Gate.judge`; options
    are spelled as in this project."""
    text = gate_of(config).judge(record, verdicts, explain)
    return None if text is None else spelled(config, text)


def accepted_file(
    config: pytest.Config, kind: type[_Line], slug: str = "", dtype: str = ""
) -> Baselines[_Line]:
    """What was accepted, read once.

    Args:
        kind: what its lines are.
        slug, dtype: of times: device and precision.

    Raises:
        pytest.UsageError: the file is damaged or newer.
    """
    with refusing(config):
        return gate_of(config).file(kind, slug, dtype)


def accepted_counts(config: pytest.Config) -> Baselines[CountLine]:
    """The accepted counts, see :func:`accepted_file`."""
    return accepted_file(config, CountLine)


def other_counts(
    config: pytest.Config, id: str, is_of_network: Callable[[CountLine], bool]
) -> list[Note]:
    """What is to be said where the accepted counts of an architecture are of another network.

    Args:
        is_of_network: whether a line is of the network at hand.
    """
    file = accepted_counts(config)
    line = file.lines.get(id)
    if line is None or is_of_network(line):
        return []
    where = f"{file.path.relative_to(config.rootpath)}:{file.numbers[id]}"
    text = (
        f"its accepted counts ({where}) are of another network than was timed, and are not shown "
        "(to count it: pytest benchmarks/test_complexity.py)"
    )
    return [Note(OTHER_COUNTS, text)]


def accepted_of(config: pytest.Config, kind: type[_Line], record: Record) -> Accepted[_Line]:
    """The accepted line of a measured cell, see :func:`accepted_file`."""
    target = record.target
    key = " ".join(filter(None, (record.id, cell_name(kind, record))))
    place = (target.slug, target.dtype) if kind is TimeLine and target is not None else ()
    accepted_file(config, kind, *place)
    return gate_of(config).accepted(kind, key, *place)


def cell_name(kind: type[Line], record: Record) -> str:
    """What distinguishes the lines of an architecture: the whole suffix, or what an accuracy
    depends on."""
    if kind is TimeLine:
        return record.suffix
    return record.target.precision if record.target is not None else ""


def accepted_times(config: pytest.Config, nodeid: str) -> TimeLine | None:
    """The accepted times of the cell that a test is about; None where there are none.

    Raises:
        pytest.UsageError: their file is damaged or newer.
    """
    cell = cell_of(nodeid)
    if cell is None or not cell[1]:
        return None
    asked = RunConfig.parse(cell[1])
    dtype = asked.dtype
    # Finding out what the device is imports torch: only where some device has a baseline.
    if not any((config.rootpath / "baselines").glob(f"*/{dtype}.jsonl")):
        return None
    targets = config.stash.setdefault(_TARGETS, {})
    wanted = f"{dtype}@{asked.asked}"
    if wanted not in targets:
        with refusing(config):
            config_of_file = RunConfig(dtype=dtype, threads=asked.threads, asked=asked.asked)
            targets[wanted] = target_for(config, config_of_file)
    file = accepted_file(config, TimeLine, targets[wanted].slug, dtype)
    return file.lines.get(f"{cell[0]} {asked.suffix}")


def unasked_lines(config: pytest.Config, cells: Sequence[Record]) -> list[str]:
    """What is said about accepted lines that no selection of this project can ask for any more.

    A run asks for a part of what there is, so a line that it did not touch is not reported; one of
    an architecture that neither the catalogue nor the project has is. Architectures that a file on
    the command line names (``--models=net.py:small``) are known to that command alone, and lines
    of such are left out where the project lists none of its own.

    Args:
        cells: merged records; files of their devices and precisions are looked at.
    """
    files: list[Baselines[CountLine] | Baselines[TimeLine]] = [accepted_counts(config)]
    targets = {(cell.target.slug, cell.target.dtype) for cell in cells if cell.target}
    files += [accepted_file(config, TimeLine, *target) for target in sorted(targets)]
    is_known = known_architecture(config)
    lines = []
    for file in files:
        gone = sorted({line.id for line in file.lines.values() if not is_known(line.id)})
        if gone:
            more = f" and {len(gone) - 3:,} more" if len(gone) > 3 else ""
            lines.append(
                f"No test asks any more for {', '.join(gone[:3])}{more} of "
                f"{file.path.relative_to(config.rootpath)}. Delete their lines: "
                f"archbench baselines prune {' '.join(gone[:3])}{' ...' if more else ''}"
            )
    return lines


def memory_and_energy_of(record: Record) -> dict[str, float]:
    """What a line of baselines holds of a record's memory and energy: bytes and joules by
    metric."""
    return {
        name: value
        for name in compared_by("tolerance")
        if (value := record.number(name)) is not None
    }


def write_times(config: pytest.Config, timed: Sequence[Record]) -> list[tuple[Path, Updated]]:
    """Accept times as the baseline.

    Args:
        timed: records of tests that passed, with at least ten process runs that can be judged.

    Raises:
        UsageError: a file was damaged in the meantime.
        OSError: it cannot be written.
    """
    stamp, gate = stamp_of(config), gate_of(config)
    lines = []
    for record in timed:
        assert record.target is not None
        line = checked_line(
            TimeLine,
            id=record.id,
            cell=record.suffix,
            process_runs=[one.as_dict() for one in record.process_runs if one.disturbance is None],
            counts=record.metrics["latency"].get("counts"),
            memory_and_energy=memory_and_energy_of(record),
            environment=record.environment,
            **stamp,
        )
        lines.append((gate.path(TimeLine, record.target.slug, record.target.dtype), line))
    return gate.accept(TimeLine, lines)


def checked_line(kind: type[_Line], **content: Any) -> _Line:
    """A line of what was measured, which can be read again.

    Raises:
        UsageError: something in it cannot be what it is; says what.
    """
    try:
        return line_of(kind, content)
    except ValueError as error:
        raise UsageError(
            content["id"], f"it cannot be accepted: {error}", "Accept the others without it"
        ) from None


def stamp_of(config: pytest.Config) -> dict[str, str | None]:
    """When, at which commit and why this run accepts something."""
    git = git_state(config.rootpath)
    commit = None if git is None else git["commit"] + ("-dirty" if git["dirty"] else "")
    return gate_of(config).stamp(commit)


def count_line(record: Record) -> CountLine:
    """What a file of baselines says about a counted architecture."""
    metrics = record.metrics
    return checked_line(
        CountLine,
        id=record.id,
        **{name: metrics[name]["value"] for name in COUNTS},
        **metrics["macs"]["counted_with"],
        layers=metrics["layers"]["value"],
    )


def write_counts(
    config: pytest.Config, counted: Mapping[str, Record]
) -> list[tuple[Path, Updated]]:
    """Accept counts as the baseline.

    Raises:
        UsageError: the file was damaged in the meantime.
        OSError: it cannot be written.
    """
    gate = gate_of(config)
    path = gate.path(CountLine)
    return gate.accept(CountLine, [(path, count_line(record)) for record in counted.values()])
