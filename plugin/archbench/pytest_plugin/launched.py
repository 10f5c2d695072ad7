"""What launches have measured for the tests of this run, in the process that runs them."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from archbench.core.gate import needs_confirmation
from archbench.core.launches import LEAST_BASELINE, LEAST_LAUNCHES, LOST, Launch
from archbench.core.records import Record
from archbench.core.verdicts import Note, Verdict
from archbench.metrics import format_seconds
from archbench.pytest_plugin.gate import accepted_times, time_rules
from archbench.pytest_plugin.launching import LaunchedTests, launch, order_of
from archbench.pytest_plugin.manifest import cell_of, is_batchless
from archbench.pytest_plugin.options import is_worker
from archbench.pytest_plugin.settings import Settings, settings_of
from archbench.store.atomic import write_text

__all__ = [
    "Launched",
    "launched",
    "launched_path",
    "launches_of",
    "merged",
    "prepare",
    "read_collected",
    "where_launched",
    "write_collected",
]

LEAST_SECONDS = 0.3
"""Of a launch for a cell: below, the first passes and the kernel's clock weigh too much."""

MOST_CONFIRMATIONS = 8
"""Fresh launches after a suspicion, at most; each is of those cells only that all fresh ones so far
have confirmed."""

MORE = {LEAST_LAUNCHES: 4, LEAST_BASELINE: 5}
"""Launches that may be added for cells of which too many were disturbed or lost."""


@dataclass(slots=True)
class Launched:
    """What launches say about one test.

    Attributes:
        launches: its records, one for each process.
        confirmations: those of processes started after a suspicion.
        died: what is known of a process that died over it.
        lost: reason and sentence of each launch that was disturbed throughout, as by a device that
            throttled, so that it has no figures. That says nothing against the cell.
    """

    launches: list[Record] = field(default_factory=list)
    confirmations: list[Record] = field(default_factory=list)
    died: str | None = None
    lost: list[tuple[str, str]] = field(default_factory=list)

    @property
    def note(self) -> Note | None:
        """What a record of the others says of those that were lost; None where none was."""
        if not self.lost:
            return None
        number = len(self.lost)
        are = "launch was" if number == 1 else "launches were"
        return Note(LOST, f"{number} {are} lost, the last since {self.lost[-1][1]}")

    def fail(self, verdict: Verdict) -> None:
        """Take in that a launch measured nothing, with the verdict that it gave."""
        if verdict.status == "inconclusive":
            self.lost.append((verdict.reason, verdict.sentence))
        else:
            self.died = f"it failed in a process of its own: {verdict.sentence}"

    def as_dict(self) -> dict[str, Any]:
        """Builtin types only."""
        return {
            "launches": [record.as_dict() for record in self.launches],
            "confirmations": [record.as_dict() for record in self.confirmations],
            "died": self.died,
            "lost": [list(one) for one in self.lost],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Launched:
        """The inverse of :meth:`as_dict`."""
        return cls(
            [Record.from_dict(record) for record in data["launches"]],
            [Record.from_dict(record) for record in data["confirmations"]],
            data["died"],
            [(reason, sentence) for reason, sentence in data["lost"]],
        )


_LAUNCHED: pytest.StashKey[dict[str, Launched]] = pytest.StashKey()


def where_launched(config: pytest.Config) -> Path:
    """The file by which workers of pytest-xdist learn what was launched."""
    if is_worker(config):
        return Path(config.workerinput["archbench_launched"])  # type: ignore[attr-defined]
    return settings_of(config).directory / "launches" / str(os.getpid()) / "launched.json"


def write_collected(config: pytest.Config, nodeids: Sequence[str]) -> None:
    """Let the process that reports to the person know which of a worker's tests measure."""
    path = _collected_path(config)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(nodeids))


def read_collected(config: pytest.Config) -> frozenset[str]:
    """The tests that measure, once a worker on this machine has collected; empty for none."""
    path = _collected_path(config)
    return frozenset(json.loads(path.read_text(encoding="utf-8")) if path.exists() else ())


def _collected_path(config: pytest.Config) -> Path:
    return where_launched(config).with_name("collected.json")


def launched(config: pytest.Config) -> dict[str, Launched]:
    """What launches have measured, by the id of the test."""
    if _LAUNCHED not in config.stash:
        found: dict[str, Launched] = {}
        path = where_launched(config) if is_worker(config) else None
        order = order_of(config)
        if order is not None and order.rescue:
            path = launched_path(Path(config.option.archbench_launch))
        if path is not None and path.exists():
            data = json.loads(path.read_text(encoding="utf-8"))
            found = {nodeid: Launched.from_dict(item) for nodeid, item in data.items()}
        config.stash[_LAUNCHED] = found
    return config.stash[_LAUNCHED]


def launched_path(order: Path) -> Path:
    """The file by which a process that takes tests over learns what was launched.

    Args:
        order: its own.
    """
    return order.with_suffix(".launched")


def launches_of(records: Sequence[Record]) -> list[Launch]:
    """The launches in records, in their order."""
    return [
        Launch.from_dict(one)
        for record in records
        for one in record.metrics.get("latency", {}).get("launches", ())
    ]


def merged(records: Sequence[Record]) -> Record:
    """One record of a cell that several processes measured; samples in the order of processes.

    A doubt stays where most of the processes had it. Where the largest batch that fits was asked
    for, and not all found the same, those that differ from the first are left out.
    """
    first = records[0]
    records = [one for one in records if one.target == first.target]
    latency, cpu_time = dict(first.metrics["latency"]), dict(first.metrics["cpu_time"])
    for metric, series in (
        (latency, "samples"), (latency, "warmup"), (latency, "launches"), (cpu_time, "samples")
    ):  # fmt: skip
        name = "latency" if metric is latency else "cpu_time"
        metric[series] = [value for record in records for value in record.metrics[name][series]]
    notes = {note.code: note for record in records for note in record.notes}
    often = [
        note
        for code, note in notes.items()
        if 2 * sum(any(n.code == code for n in record.notes) for record in records) > len(records)
    ]
    seconds = {
        name: sum(record.seconds.get(name, 0.0) for record in records) for name in first.seconds
    }
    metrics = {**first.metrics, "latency": latency, "cpu_time": cpu_time}
    if "device_time" in first.metrics:
        metrics["device_time"] = _merged_device_time(
            [record.metrics["device_time"] for record in records]
        )
    return Record(first.id, first.target, metrics, [], often, seconds)


def _merged_device_time(series: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        **series[0],
        "samples": [value for one in series for value in one["samples"]],
        "bursts": sum(one["bursts"] for one in series),
        "discarded": [reasons for one in series for reasons in one["discarded"]],
        # The worst: None where the device cannot be held back, in all of them.
        "queue_full": series[0]["queue_full"] and all(one["queue_full"] for one in series),
    }


def prepare(
    config: pytest.Config,
    nodeids: Sequence[str],
    say: Callable[[str], None],
    start: Callable[..., LaunchedTests] = launch,
) -> None:
    """Measure in fresh processes what needs them, before the first test runs.

    Args:
        config: of the process that reports to the person.
        nodeids: tests of this run.
        say: tells the person how far it is.
        start: starts one launch.
    """
    settings = settings_of(config)
    groups = _plan(config, settings, nodeids)
    found = {nodeid: Launched() for _, wanted in groups for nodeid in wanted}
    config.stash[_LAUNCHED] = found
    if not found:
        return
    session = _Session(config, settings, say, start)
    for number, wanted in groups:
        session.measure(found, wanted, number, "launches", "launch")
        needed = min(number, LEAST_BASELINE)
        for _ in range(MORE.get(needed, 0)):
            lacking = [n for n in wanted if _judgeable(found[n].launches) < needed]
            lacking = [n for n in lacking if found[n].launches and found[n].died is None]
            if not lacking:
                break
            session.measure(
                found, lacking, 1, "launches", "a launch more, since too few can be judged"
            )
    if settings.baseline_update != "all":
        for index in range(MOST_CONFIRMATIONS):
            suspects = [
                nodeid for nodeid in found if _needs_confirmation(config, nodeid, found[nodeid])
            ]
            what = f"confirming a change, launch {index + 1}"
            session.measure(found, suspects, 1, "confirmations", what)
    path = where_launched(config)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({nodeid: item.as_dict() for nodeid, item in found.items()}), encoding="utf-8"
    )


def _plan(
    config: pytest.Config, settings: Settings, nodeids: Sequence[str]
) -> list[tuple[int, list[str]]]:
    """How many launches, of which tests each."""
    suffixes = {nodeid: (cell_of(nodeid) or ("", ""))[1] for nodeid in nodeids}
    # What chooses its batch size by itself is no time: an accuracy does not differ by process.
    timed = [nodeid for nodeid, suffix in suffixes.items() if suffix and not is_batchless(suffix)]
    if not timed or settings.quick or settings.launches == 1:
        return []
    if settings.baseline_update == "all":
        return [(settings.launches or LEAST_BASELINE, timed)]
    has_baseline = [nodeid for nodeid in timed if accepted_times(config, nodeid) is not None]
    if settings.baseline_update == "new":
        new = [nodeid for nodeid in timed if nodeid not in set(has_baseline)]
        return [(settings.launches or LEAST_BASELINE, new), (LEAST_LAUNCHES, has_baseline)]
    if settings.launches is not None:
        return [(settings.launches, timed)]
    return [(LEAST_LAUNCHES, has_baseline)]


def _judgeable(records: Sequence[Record]) -> int:
    return sum(one.disturbance is None for one in launches_of(records))


def _needs_confirmation(config: pytest.Config, nodeid: str, item: Launched) -> bool:
    line = accepted_times(config, nodeid)
    if line is None or not item.launches or item.died is not None:
        return False
    first = item.launches[0]
    environment = first.metrics["latency"]["environment"]
    baseline = [Launch.from_dict(one) for one in line["launches"]]
    launches, confirmations = launches_of(item.launches), launches_of(item.confirmations)
    rules = time_rules(config, first, baseline, line["environment"], environment)
    return any(
        needs_confirmation(baseline, launches, confirmations, rule) for rule in rules.values()
    )


@dataclass(slots=True)
class _Session:
    config: pytest.Config
    settings: Settings
    say: Callable[[str], None]
    start: Callable[..., LaunchedTests]

    def measure(
        self,
        found: dict[str, Launched],
        nodeids: Sequence[str],
        number: int,
        into: str,
        what: str,
    ) -> None:
        if not nodeids:
            return
        # A baseline's launches measure as long as those that are compared with it.
        share = self.settings.time_budget / LEAST_LAUNCHES
        for index in range(number):
            alive = [nodeid for nodeid in nodeids if found[nodeid].died is None]
            if not alive:
                break
            count = f"{len(alive)} cell{'' if len(alive) == 1 else 's'}"
            of = f" {index + 1} of {number}" if number > 1 else ""
            done = self.start(
                self.config,
                alive,
                max(share, LEAST_SECONDS),
                where_launched(self.config).parent,
                random.SystemRandom().randrange(2**31),
            )
            self.say(f"{what}{of}: {count} in {format_seconds(done.seconds)}")
            for nodeid, record in done.records.items():
                if nodeid in found and "latency" in record.metrics:
                    getattr(found[nodeid], into).append(record)
                elif nodeid in found and record.verdicts:
                    found[nodeid].fail(record.verdicts[0])
            if done.died_in in found:
                found[
                    str(done.died_in)
                ].died = f"a process of its own died over it with status {done.status}"
            elif not done.records:
                raise pytest.UsageError(
                    f"a launch of {count} measured nothing and ended with status {done.status}. "
                    f"This is what it printed:\n{done.output}"
                )
