"""Baselines of this run: reading them, judging by them, writing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archbench.core.complexity import Complexity
from archbench.core.errors import UsageError
from archbench.core.gate import (
    COUNTS,
    TimeRule,
    count_verdicts,
    difference_text,
    scales_of,
    time_sentence,
    time_verdict,
)
from archbench.core.launches import LOST, Launch
from archbench.core.records import Record
from archbench.core.run_config import RunConfig
from archbench.core.spec import Target
from archbench.core.verdicts import Verdict
from archbench.gates.gate import Accepted, Gate, changes
from archbench.metrics import compared_by
from archbench.pytest_plugin.budgets import configuration_of
from archbench.pytest_plugin.manifest import cell_of
from archbench.pytest_plugin.options import spelled
from archbench.pytest_plugin.selection import known_architecture
from archbench.pytest_plugin.settings import settings_of
from archbench.report.counts import changed_text
from archbench.store.baselines import Baselines, Updated

if TYPE_CHECKING:
    from archbench.models.loading import LoadedModel

__all__ = [
    "accepted_counts",
    "accepted_file",
    "accepted_of",
    "accepted_times",
    "gate_of",
    "how_to_accept",
    "judge_counts",
    "judge_time",
    "not_comparable",
    "stamp_of",
    "time_rules",
    "unasked_lines",
    "write_counts",
    "write_times",
]

_GATE: pytest.StashKey[Gate] = pytest.StashKey()
_TARGETS: pytest.StashKey[dict[str, Target]] = pytest.StashKey()


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


def accepted_file(config: pytest.Config, kind: str, slug: str = "", dtype: str = "") -> Baselines:
    """What was accepted, read once.

    Args:
        config: of the run.
        kind: ``complexity``, ``latency``, ``accuracy`` or ``fingerprint``.
        slug, dtype: of times: device and precision.

    Raises:
        pytest.UsageError: the file is damaged or newer.
    """
    try:
        return gate_of(config).file(kind, slug, dtype)
    except UsageError as error:
        raise pytest.UsageError(spelled(config, str(error))) from None


def accepted_counts(config: pytest.Config) -> Baselines:
    """The accepted counts, see :func:`accepted_file`."""
    return accepted_file(config, "complexity")


def accepted_of(config: pytest.Config, kind: str, record: Record) -> Accepted:
    """The accepted line of a measured cell, see :func:`accepted_file`."""
    target = record.target
    key = " ".join(filter(None, (record.id, cell_name(kind, record))))
    place = (target.slug, target.dtype) if kind == "latency" and target is not None else ()
    accepted_file(config, kind, *place)
    return gate_of(config).accepted(kind, key, *place)


def cell_name(kind: str, record: Record) -> str:
    """What tells the lines of an architecture apart: the whole suffix, or the precision alone."""
    if kind == "latency":
        return record.suffix
    return record.target.dtype if record.target is not None else ""


def accepted_times(config: pytest.Config, nodeid: str) -> dict[str, Any] | None:
    """The accepted launches of the cell that a test is about; None where there are none.

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
        from archbench.measure.hardware import make_target

        settings = settings_of(config)
        try:
            targets[wanted] = make_target(
                settings.gpu,
                config=RunConfig(dtype=dtype, threads=asked.threads, asked=asked.asked),
                measures=False,
            )
        except UsageError as error:
            raise pytest.UsageError(spelled(config, str(error))) from None
    file = accepted_file(config, "latency", targets[wanted].slug, dtype)
    return file.lines.get(f"{cell[0]} {asked.suffix}")


def time_rules(
    config: pytest.Config,
    record: Record,
    baseline: Sequence[Launch],
    then: Mapping[str, Any],
    now: Mapping[str, Any],
) -> dict[str, TimeRule]:
    """How the project compares the times of a cell, by metric: its latency, and the device's time.

    Args:
        config: of the run.
        record: of the cell.
        baseline: launches that were accepted.
        then: environment of the baseline.
        now: environment of this run.
    """
    assert record.target is not None
    rules = configuration_of(config).rules
    slug, dtype = record.target.slug, record.target.dtype
    return {
        metric: rules.time_rule(record.id, slug, dtype, scale)
        for metric, scale in scales_of(baseline, then, now).items()
    }


_HARDWARE = ("device_name", "processor", "machine", "logical_cores", "clock", "batch_size")
"""Fields of an environment that make two runs not comparable where they differ."""


def not_comparable(then: Mapping[str, Any], now: Mapping[str, Any], metric: str) -> Verdict | None:
    """The verdict where a baseline is of other hardware; None where it can be compared with.

    Args:
        then: environment of the baseline.
        now: of this run.
        metric: that is compared.
    """
    differing = [name for name in _HARDWARE if then.get(name) != now.get(name)]
    if not differing:
        return None
    name = differing[0]
    return Verdict(
        metric,
        "not-comparable",
        f"other-{name.replace('_', '-')}",
        f"the baseline is of {name} {then.get(name)!r}, this is {now.get(name)!r}",
    )


def judge_time(
    node: pytest.Item, record: Record, confirmations: Sequence[Launch], loaded: LoadedModel
) -> str | None:
    """Compare launches with the accepted ones, and note the verdicts in the cell's record.

    There is one on the latency and, where the baseline has times by the device's own clock, one on
    the device's time.

    Args:
        node: the test.
        record: what was measured.
        confirmations: launches after a suspicion.
        loaded: the network.

    Returns:
        The text of the failure where the test is to fail.
    """
    config, gate = node.config, gate_of(node.config)
    if record.target is None or settings_of(config).quick:
        return None
    accepted = accepted_of(config, "latency", record)
    line, latency = accepted.line, record.metrics["latency"]
    now = latency["environment"]
    then = line["environment"] if line is not None else now
    before = None if line is None else [Launch.from_dict(one) for one in line["launches"]]
    launches = [Launch.from_dict(one) for one in latency["launches"]]
    rules = time_rules(config, record, before or (), then, now)
    bad = gate.noted(
        record,
        [
            not_comparable(then, now, metric)
            or time_verdict(
                before, launches, confirmations, rule, metric=metric, accept=gate.replaces
            )
            for metric, rule in rules.items()
        ],
    )
    if not bad:
        return None
    cell = f"{record.id} {record.suffix} on {record.target.slug}"
    told = [f"{one.status}: {cell}: {time_sentence(one.metric, one.sentence)}" for one in bad]
    since = [] if line is None else _counts_changed(line["counts"], loaded)
    # What has no yardstick says nothing about one.
    unknown = ["yardstick"] if now.get("yardstick") is None else []
    since += changes(then, now, without=unknown)
    todo = [how_to_accept(node, record.id)]
    if all(verdict.status == "inconclusive" for verdict in bad):
        lost = [f"{note.text}." for note in record.notes if note.code == LOST]
        todo = [*lost, "Run it again while less else runs on this machine."]
    return spelled(config, gate.explanation(told, accepted, since, todo))


def _counts_changed(then: Mapping[str, int] | None, loaded: LoadedModel) -> list[str]:
    """A slower network may have more to do: that is not for the machine to answer."""
    from archbench.measure.cells import timed_counts

    now = timed_counts(loaded) if then is not None else None
    if then is None or now is None:
        return []
    return [difference_text(name, then[name], now[name]) for name in now if then[name] != now[name]]


def unasked_lines(config: pytest.Config, cells: Sequence[Record]) -> list[str]:
    """What is said about accepted lines that no selection of this project can ask for any more.

    A run asks for a part of what there is, so a line that it did not touch is no finding; one of
    an architecture that neither the catalogue nor the project has is. Architectures that a file on
    the command line names (``--models=net.py:small``) are known to that command alone, and lines
    of such are left out where the project lists none of its own.

    Args:
        config: of the run.
        cells: merged records; files of their devices and precisions are looked at.
    """
    files = [accepted_counts(config)]
    targets = {(cell.target.slug, cell.target.dtype) for cell in cells if cell.target}
    files += [accepted_file(config, "latency", *target) for target in sorted(targets)]
    is_known = known_architecture(config)
    lines = []
    for file in files:
        gone = sorted({line["id"] for line in file.lines.values() if not is_known(line["id"])})
        if gone:
            more = f" and {len(gone) - 3:,} more" if len(gone) > 3 else ""
            lines.append(
                f"No test asks any more for {', '.join(gone[:3])}{more} of "
                f"{file.path.relative_to(config.rootpath)}. Delete their lines: "
                f"archbench baselines prune {' '.join(gone[:3])}{' ...' if more else ''}"
            )
    return lines


def amounts_of(record: Record) -> dict[str, float]:
    """What a line of baselines holds of a record's memory and energy: bytes and joules by
    metric."""
    return {
        name: record.metrics[name]["value"]
        for name in compared_by("tolerance")
        if record.metrics.get(name, {}).get("value") is not None
    }


def write_times(config: pytest.Config, timed: Sequence[Record]) -> list[tuple[Path, Updated]]:
    """Accept times as the baseline.

    Args:
        config: of the run.
        timed: records of tests that passed, with at least ten launches that can be judged.

    Raises:
        UsageError: a file was damaged in the meantime.
        OSError: it cannot be written.
    """

    stamp, gate = stamp_of(config), gate_of(config)
    lines = []
    for record in timed:
        assert record.target is not None
        latency = record.metrics["latency"]
        line = {
            "id": record.id,
            "cell": record.suffix,
            "launches": [
                one for one in latency["launches"] if Launch.from_dict(one).disturbance is None
            ],
            "counts": latency.get("counts"),
            "amounts": amounts_of(record),
            "environment": latency["environment"],
            **stamp,
        }
        lines.append((gate.path("latency", record.target.slug, record.target.dtype), line))
    return gate.accept("latency", lines)


def stamp_of(config: pytest.Config) -> dict[str, str | None]:
    """When, at which commit and why this run accepts something."""
    from archbench.measure.environment import git_state

    git = git_state(config.rootpath)
    commit = None if git is None else git["commit"] + ("-dirty" if git["dirty"] else "")
    return gate_of(config).stamp(commit)


def _line(record: Record) -> dict[str, Any]:
    """What a file of baselines says about a counted architecture."""
    metrics = record.metrics
    return {
        "id": record.id,
        **{name: metrics[name]["value"] for name in COUNTS},
        **metrics["macs"]["counted_with"],
        "layers": metrics["layers"]["value"],
    }


def judge_counts(node: pytest.Item, record: Record, complexity: Complexity) -> str | None:
    """Compare a count with the accepted one, and note the verdicts in its record.

    Returns:
        The text of the failure where anything changed and is not being accepted.
    """
    config, gate = node.config, gate_of(node.config)
    accepted = accepted_of(config, "complexity", record)
    baseline, line = accepted.line, _line(record)
    bad = gate.noted(record, count_verdicts(baseline, line, accept=gate.replaces))
    if not bad:
        return None
    todo = how_to_accept(node, record.id)
    if baseline is None:
        name = gate.path("complexity").name
        return spelled(config, f"no-baseline: {record.id} has no line in {name}\n{todo}")

    text = (
        f"changed: {record.id} differs from {accepted.where}\n"
        f"{changed_text(bad, baseline, complexity.layers)}\n{_versions(baseline, line)}\n{todo}"
    )
    return spelled(config, text)


def _versions(baseline: Mapping[str, Any], line: Mapping[str, Any]) -> str:
    def text(side: Mapping[str, Any]) -> str:
        # Of a network of one's own this is the file, and older lines do not name it.
        library = "" if side["library"] == "local" else f"{side['library']}, "
        return f"{library}torch {side['torch']}"

    then, now = text(baseline), text(line)
    return f"Both with {now}." if then == now else f"Accepted with {then}; now {now}."


def how_to_accept(node: pytest.Item, model: str) -> str:
    """What to type where a change is meant."""
    path = node.nodeid.partition("::")[0]
    config = node.config
    # The id of a test is relative to the root, and names no file where that lies elsewhere.
    is_here = config.invocation_params.dir == config.rootpath and (config.rootpath / path).is_file()
    if model.startswith("local/") or not is_here:
        return "If this is meant, run the same command with --baseline-update."
    return f"If this is meant: pytest {path} --models={model} --baseline-update"


def write_counts(
    config: pytest.Config, counted: Mapping[str, Record]
) -> list[tuple[Path, Updated]]:
    """Accept counts as the baseline.

    Args:
        config: of the run.
        counted: records of tests that passed, by architecture.

    Raises:
        UsageError: the file was damaged in the meantime.
        OSError: it cannot be written.
    """
    gate = gate_of(config)
    return gate.accept(
        "complexity", [(gate.path("complexity"), _line(record)) for record in counted.values()]
    )
