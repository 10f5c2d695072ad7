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
from archbench.core.verdicts import FAILING, Verdict
from archbench.pytest_plugin.manifest import cell_of
from archbench.pytest_plugin.options import spelled
from archbench.pytest_plugin.settings import Settings, settings_of
from archbench.store.baselines import (
    Baselines,
    Updated,
    key_of,
    read_baselines,
    update_baselines,
)

if TYPE_CHECKING:
    from archbench.models.loading import LoadedModel

__all__ = [
    "accepted_counts",
    "accepted_line",
    "accepted_times",
    "counts_path",
    "fails",
    "how_to_accept",
    "judge_counts",
    "judge_time",
    "not_comparable",
    "time_rules",
    "times_path",
    "unasked_lines",
    "write_counts",
    "write_times",
]

_ACCEPTED: pytest.StashKey[Baselines] = pytest.StashKey()


def counts_path(config: pytest.Config) -> Path:
    """The file that holds the accepted counts."""
    return config.rootpath / "baselines" / "complexity.jsonl"


def accepted_counts(config: pytest.Config) -> Baselines:
    """The accepted counts, read once.

    Raises:
        pytest.UsageError: the file is damaged or newer.
    """
    if _ACCEPTED not in config.stash:
        try:
            config.stash[_ACCEPTED] = read_baselines(counts_path(config), "complexity")
        except UsageError as error:
            raise pytest.UsageError(spelled(config, str(error))) from None
    return config.stash[_ACCEPTED]


_TIMES: pytest.StashKey[dict[Path, Baselines]] = pytest.StashKey()
_TARGETS: pytest.StashKey[dict[str, Target]] = pytest.StashKey()


def times_path(config: pytest.Config, slug: str, dtype: str) -> Path:
    """The file that holds the accepted times of a device and precision."""
    return config.rootpath / "baselines" / slug / f"{dtype}.jsonl"


def _times(config: pytest.Config, path: Path) -> Baselines:
    files = config.stash.setdefault(_TIMES, {})
    if path not in files:
        try:
            files[path] = read_baselines(path, "latency")
        except UsageError as error:
            raise pytest.UsageError(spelled(config, str(error))) from None
    return files[path]


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
            )
        except UsageError as error:
            raise pytest.UsageError(spelled(config, str(error))) from None
    path = times_path(config, targets[wanted].slug, dtype)
    return _times(config, path).lines.get(f"{cell[0]} {asked.suffix}")


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
    from archbench.pytest_plugin.budgets import configuration_of

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


def accepted_line(config: pytest.Config, record: Record) -> tuple[dict[str, Any] | None, str]:
    """The accepted line of a measured cell, or None; and where it stands, for people."""
    assert record.target is not None
    path = times_path(config, record.target.slug, record.target.dtype)
    baselines = _times(config, path)
    key = f"{record.id} {record.suffix}"
    return baselines.lines.get(
        key
    ), f"{path.relative_to(config.rootpath)}:{baselines.numbers.get(key)}"


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
    config = node.config
    settings = settings_of(config)
    if record.target is None or settings.quick:
        return None
    line, where = accepted_line(config, record)
    latency = record.metrics["latency"]
    now = latency["environment"]
    then = line["environment"] if line is not None else now
    accepted = None if line is None else [Launch.from_dict(one) for one in line["launches"]]
    launches = [Launch.from_dict(one) for one in latency["launches"]]
    verdicts = [
        not_comparable(then, now, metric)
        or time_verdict(
            accepted,
            launches,
            confirmations,
            rule,
            metric=metric,
            accept=settings.baseline_update == "all",
        )
        for metric, rule in time_rules(config, record, accepted or (), then, now).items()
    ]
    record.verdicts += verdicts
    bad = [verdict for verdict in verdicts if fails(settings, verdict)]
    if settings.baseline_update == "all" or not bad:
        return None
    cell = f"{record.id} {record.suffix} on {record.target.slug}"
    lines = [f"{one.status}: {cell}: {time_sentence(one.metric, one.sentence)}" for one in bad]
    if line is not None:
        lines.append(f"Baseline: {where}, {_accepted(line)}.")
        changed = [*_counts_changed(line["counts"], loaded), *_environment_changed(then, now)]
        if changed:
            lines.append(f"Since then: {', '.join(changed)}.")
    if all(verdict.status == "inconclusive" for verdict in bad):
        lines += [f"{note.text}." for note in record.notes if note.code == LOST]
        lines.append("Run it again while less else runs on this machine.")
    else:
        lines.append(how_to_accept(node, record.id))
    return spelled(config, "\n".join(lines))


def _counts_changed(then: Mapping[str, int] | None, loaded: LoadedModel) -> list[str]:
    """A slower network may have more to do: that is not for the machine to answer."""
    from archbench.measure.cells import timed_counts

    now = timed_counts(loaded) if then is not None else None
    if then is None or now is None:
        return []
    return [difference_text(name, then[name], now[name]) for name in now if then[name] != now[name]]


def _environment_changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [
        f"{name.replace('_', ' ')} {then.get(name)} -> {now[name]}"
        for name in now
        if then.get(name) != now[name] and not (name == "yardstick" and now[name] is None)
    ]


def fails(settings: Settings, verdict: Verdict) -> bool:
    """Whether a verdict fails its test."""
    if verdict.status in FAILING:
        return True
    if verdict.status == "no-baseline":
        return settings.needs_baseline
    if verdict.status in ("inconclusive", "not-comparable"):
        return settings.strict
    return False


def _accepted(line: Mapping[str, Any]) -> str:
    commit = f" on commit {line['commit'][:9]}" if line["commit"] else ""
    reason = f": {line['reason']}" if line["reason"] else ""
    return f"accepted {line['when']}{commit}{reason}"


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
    from archbench.pytest_plugin.selection import known_architecture

    files = [accepted_counts(config)]
    targets = {(cell.target.slug, cell.target.dtype) for cell in cells if cell.target}
    files += [_times(config, times_path(config, *target)) for target in sorted(targets)]
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


def write_times(config: pytest.Config, timed: Sequence[Record]) -> list[tuple[Path, Updated]]:
    """Accept times as the baseline.

    Args:
        config: of the run.
        timed: records of tests that passed, with at least ten launches that can be judged.

    Raises:
        UsageError: a file was damaged in the meantime.
        OSError: it cannot be written.
    """
    from datetime import datetime, timezone

    from archbench.measure.environment import git_state
    from archbench.pytest_plugin.amounts import amounts_of

    settings = settings_of(config)
    git = git_state(config.rootpath)
    commit = None
    if git is not None:
        commit = git["commit"] + ("-dirty" if git["dirty"] else "")
    files: dict[Path, dict[str, dict[str, Any]]] = {}
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
            "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "commit": commit,
            "reason": settings.baseline_reason,
        }
        path = times_path(config, record.target.slug, record.target.dtype)
        files.setdefault(path, {})[key_of(line)] = line
    lock = settings.directory / "baselines.lock"
    only_new = settings.baseline_update == "new"
    return [
        (path, update_baselines(path, "latency", lines, lock, only_new=only_new))
        for path, lines in sorted(files.items())
    ]


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
    config = node.config
    baselines = accepted_counts(config)
    baseline = baselines.lines.get(record.id)
    accept = settings_of(config).baseline_update == "all"
    line = _line(record)
    verdicts = count_verdicts(baseline, line, accept=accept)
    record.verdicts += verdicts
    if baseline is None and settings_of(config).needs_baseline:
        return spelled(
            config,
            f"no-baseline: {record.id} has no line in {counts_path(config).name}\n"
            f"{how_to_accept(node, record.id)}",
        )
    if baseline is None or accept or verdicts[0].status != "changed":
        return None
    from archbench.report.counts import changed_text

    path = baselines.path.relative_to(config.rootpath)
    text = (
        f"changed: {record.id} differs from {path}:{baselines.numbers[record.id]}\n"
        f"{changed_text(record.verdicts, baseline, complexity.layers)}\n"
        f"{_versions(baseline, line)}\n{how_to_accept(node, record.id)}"
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


def write_counts(config: pytest.Config, counted: Mapping[str, Record]) -> Updated:
    """Accept counts as the baseline.

    Args:
        config: of the run.
        counted: records of tests that passed, by architecture.

    Raises:
        UsageError: the file was damaged in the meantime.
        OSError: it cannot be written.
    """
    return update_baselines(
        counts_path(config),
        "complexity",
        {model: _line(record) for model, record in counted.items()},
        settings_of(config).directory / "baselines.lock",
        only_new=settings_of(config).baseline_update == "new",
    )
