"""What fresh processes have measured for the tests of this run: the times behind a verdict.

Each is a worker that measures the tests it is asked for and judges nothing; the process that runs
the tests, or a worker of its own, reads what they measured and judges.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from archbench.core.forms import Stored
from archbench.core.gate import needs_confirmation
from archbench.core.pace import STARTING, TimeLeft
from archbench.core.process_runs import LEAST_BASELINE, LEAST_PROCESS_RUNS, LOST, ProcessRun
from archbench.core.records import Record
from archbench.core.verdicts import Note, Verdict
from archbench.metrics import format_seconds
from archbench.pytest_plugin.gate import accepted_times
from archbench.pytest_plugin.judging import time_rules
from archbench.pytest_plugin.manifest import cell_of, is_batchless, name_of
from archbench.pytest_plugin.progress import expected_seconds
from archbench.pytest_plugin.settings import Settings, settings_of
from archbench.pytest_plugin.starting import (
    cell_timeout,
    chance_environment,
    free_core,
    hand_on,
    handed_on,
    is_prepared,
    make_order,
    start,
    tests_of,
)
from archbench.workers.pool import Pool
from archbench.workers.process import Worker, WorkerLostError

LEAST_SECONDS = 0.3
"""Of a process run for a cell: below, the first passes and the kernel's clock weigh too much."""

MOST_CONFIRMATIONS = 8
"""Fresh process runs after a suspicion, at most; each is of those cells only that all fresh ones so
far have confirmed."""

MORE = {LEAST_PROCESS_RUNS: 4, LEAST_BASELINE: 5}
"""Process runs that may be added for cells of which too many were disturbed or lost."""


@dataclass(slots=True)
class Repeated(Stored):
    """What process runs say about one test.

    Attributes:
        process_runs: its records, one for each process.
        confirmations: those of processes started after a suspicion.
        died: what is known of a process that died over it.
        lost: reason and sentence of each process run that was disturbed throughout, as by a device
            that throttled, so that it has no figures. That says nothing against the cell.
    """

    process_runs: list[Record] = field(default_factory=list)
    confirmations: list[Record] = field(default_factory=list)
    died: str | None = None
    lost: list[tuple[str, str]] = field(default_factory=list)

    @property
    def note(self) -> Note | None:
        """What a record of the others says of those that were lost; None where none was."""
        if not self.lost:
            return None
        number = len(self.lost)
        are = "process run was" if number == 1 else "process runs were"
        return Note(LOST, f"{number} {are} lost, the last since {self.lost[-1][1]}")

    def fail(self, verdict: Verdict) -> None:
        """Take in that a process run measured nothing, with the verdict that it gave."""
        if verdict.status == "inconclusive":
            self.lost.append((verdict.reason, verdict.sentence))
        else:
            self.died = f"it failed in a process of its own: {verdict.sentence}"


_FILE = "repeated.json"
_REPEATED: pytest.StashKey[dict[str, Repeated]] = pytest.StashKey()


def repeated(config: pytest.Config) -> dict[str, Repeated]:
    """What process runs have measured, by the id of the test."""
    if _REPEATED not in config.stash:
        data = handed_on(config, _FILE, dict[str, Repeated]) if is_prepared(config) else None
        config.stash[_REPEATED] = data or {}
    return config.stash[_REPEATED]


def process_runs_of(records: Sequence[Record]) -> list[ProcessRun]:
    """The process runs in records, in their order."""
    return [
        ProcessRun.from_dict(one)
        for record in records
        for one in record.metrics.get("latency", {}).get("process_runs", ())
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
        (latency, "samples"), (latency, "warmup"), (latency, "process_runs"), (cpu_time, "samples")
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
    once: Callable[[pytest.Config, Sequence[str], float], Brought] | None = None,
    *,
    show: Callable[[str], object] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Measure in fresh processes what needs them, before the first test runs.

    Args:
        say: given a sentence for each process.
        once: measures each of some tests in one process; :func:`measure_once` by default.
        show: given a line as each test begins, with the time left of all processes.
        clock: seconds that go on.
    """
    settings = settings_of(config)
    groups = _plan(config, settings, nodeids)
    found = {nodeid: Repeated() for _, wanted in groups for nodeid in wanted}
    config.stash[_REPEATED] = found
    if not found:
        return
    session = _Session(config, settings, say, once, show, clock)
    session.expect(groups)
    for number, wanted in groups:
        session.measure(found, wanted, number, "process_runs", "process")
        needed = min(number, LEAST_BASELINE)
        for _ in range(MORE.get(needed, 0)):
            lacking = [n for n in wanted if _judgeable(found[n].process_runs) < needed]
            lacking = [n for n in lacking if found[n].process_runs and found[n].died is None]
            if not lacking:
                break
            session.measure(
                found, lacking, 1, "process_runs", "a process more, since too few can be judged"
            )
    if settings.baseline_update != "all":
        for index in range(MOST_CONFIRMATIONS):
            suspects = [
                nodeid for nodeid in found if _needs_confirmation(config, nodeid, found[nodeid])
            ]
            what = f"confirming a change, process {index + 1}"
            session.measure(found, suspects, 1, "confirmations", what)
    hand_on(config, _FILE, found)


def _plan(
    config: pytest.Config, settings: Settings, nodeids: Sequence[str]
) -> list[tuple[int, list[str]]]:
    """How many process runs, of which tests each."""
    suffixes = {nodeid: (cell_of(nodeid) or ("", ""))[1] for nodeid in nodeids}
    # What chooses its batch size by itself is no time: an accuracy does not differ by process.
    timed = [nodeid for nodeid, suffix in suffixes.items() if suffix and not is_batchless(suffix)]
    if not timed or settings.quick or settings.processes == 1:
        return []
    if settings.baseline_update == "all":
        return [(settings.processes or LEAST_BASELINE, timed)]
    has_baseline = [nodeid for nodeid in timed if accepted_times(config, nodeid) is not None]
    if settings.baseline_update == "new":
        new = [nodeid for nodeid in timed if nodeid not in set(has_baseline)]
        return [(settings.processes or LEAST_BASELINE, new), (LEAST_PROCESS_RUNS, has_baseline)]
    if settings.processes is not None:
        return [(settings.processes, timed)]
    return [(LEAST_PROCESS_RUNS, has_baseline)]


def _judgeable(records: Sequence[Record]) -> int:
    return sum(one.disturbance is None for one in process_runs_of(records))


def _needs_confirmation(config: pytest.Config, nodeid: str, item: Repeated) -> bool:
    line = accepted_times(config, nodeid)
    if line is None or not item.process_runs or item.died is not None:
        return False
    first = item.process_runs[0]
    environment = first.metrics["latency"]["environment"]
    baseline = [ProcessRun.from_dict(one) for one in line["process_runs"]]
    process_runs, confirmations = (
        process_runs_of(item.process_runs),
        process_runs_of(item.confirmations),
    )
    rules = time_rules(config, first, baseline, line["environment"], environment)
    return any(
        needs_confirmation(baseline, process_runs, confirmations, rule) for rule in rules.values()
    )


@dataclass(slots=True)
class _Session:
    """The processes of a run, one after another; for fields see :func:`prepare`."""

    config: pytest.Config
    settings: Settings
    say: Callable[[str], None]
    once: Callable[[pytest.Config, Sequence[str], float], Brought] | None
    show: Callable[[str], object]
    clock: Callable[[], float]
    what: str = ""
    current: float = 0.0
    left: TimeLeft = field(default_factory=lambda: TimeLeft(0.0, 0.0))

    @property
    def share(self) -> float:
        """Seconds for a cell: the same for a baseline as for what is compared with it."""
        return max(self.settings.time_budget / LEAST_PROCESS_RUNS, LEAST_SECONDS)

    def expect(self, groups: Sequence[tuple[int, Sequence[str]]]) -> None:
        """Reckon how long it all takes: processes, and which tests each is about."""
        each = [number * (STARTING + sum(map(self._expected, some))) for number, some in groups]
        self.left = TimeLeft(sum(each), self.clock())

    def _expected(self, nodeid: str) -> float:
        return expected_seconds(self.config, *(cell_of(nodeid) or ("", "")), self.share)

    def _began(self, tests: Sequence[str], index: int) -> None:
        """Show which test of a process begins."""
        self.left.done(self.current, self.clock())
        self.current = self._expected(tests[index]) + (STARTING if index == 0 else 0.0)
        seconds = self.left.seconds(self.clock())
        left = f"  {format_seconds(seconds)} left" if seconds >= 1 else ""
        place = f"[{index + 1}/{len(tests)}] {name_of(tests[index])}"
        self.show(f"{self.what}: {place} ...{left}")

    def measure(
        self,
        found: dict[str, Repeated],
        nodeids: Sequence[str],
        number: int,
        into: str,
        what: str,
    ) -> None:
        """Measure some tests in so many processes."""
        once = self.once or partial(measure_once, began=self._began)
        for index in range(number):
            alive = [nodeid for nodeid in nodeids if found[nodeid].died is None]
            if not alive:
                break
            count = f"{len(alive)} cell{'' if len(alive) == 1 else 's'}"
            self.what = f"{what} {index + 1} of {number}" if number > 1 else what
            began = self.clock()
            self.show(f"{self.what}: starting it")
            brought = once(self.config, alive, self.share)
            self.left.done(self.current, self.clock())
            self.current = 0.0
            self.say(f"{self.what}: {count} in {format_seconds(self.clock() - began)}")
            for nodeid, record in brought.records.items():
                if "latency" in record.metrics:
                    getattr(found[nodeid], into).append(record)
                elif record.verdicts:
                    found[nodeid].fail(record.verdicts[0])
            for nodeid, why in brought.died.items():
                found[nodeid].died = why


@dataclass(frozen=True, slots=True)
class Brought:
    """What one process brought.

    Attributes:
        records: of each test that measured or failed to.
        died: what is to be said of each test over which a process was lost.
    """

    records: dict[str, Record] = field(default_factory=dict)
    died: dict[str, str] = field(default_factory=dict)


def measure_once(
    config: pytest.Config,
    nodeids: Sequence[str],
    time_budget: float,
    began: Callable[[Sequence[str], int], object] = lambda tests, index: None,
) -> Brought:
    """Measure each of some tests in one process, architecture by architecture in random order.

    Another one takes over where the first is of no use any more.

    Args:
        nodeids: tests to run there.
        time_budget: seconds for each.
        began: given the tests in their order and the number of the one that begins.

    Raises:
        pytest.UsageError: no process comes up.
    """
    chance = random.SystemRandom()

    def begin() -> Worker:
        seed = chance.randrange(2**31)
        drawn = random.Random(seed)
        core = free_core(config, drawn)
        order = make_order(config, "times", seed=seed, core=core, time_budget=time_budget)
        return start(config, order, environment=chance_environment(drawn))

    groups: dict[str, list[str]] = {}
    for nodeid in nodeids:
        groups.setdefault((cell_of(nodeid) or (nodeid, ""))[0], []).append(nodeid)
    names = list(groups)
    chance.shuffle(names)
    tests = [nodeid for name in names for nodeid in groups[name]]
    brought = Brought()
    pool = Pool(begin)
    try:
        for index, (test, following) in enumerate(zip(tests, [*tests[1:], None], strict=True)):
            if test in tests_of(config, pool, "measure"):
                began(tests, index)
                _measure(config, pool, brought, test, following)
    finally:
        pool.close()
    return brought


def _measure(
    config: pytest.Config, pool: Pool, brought: Brought, test: str, following: str | None
) -> None:
    """Measure one test."""

    def take(message: Mapping[str, Any]) -> None:
        data = message.get("report", {})
        record = data.get("archbench")
        is_last = data.get("outcome") in ("passed", "failed", "skipped")
        if record is not None and data["when"] in ("setup", "call") and is_last:
            brought.records[data["nodeid"]] = Record.from_dict(record)

    seconds = cell_timeout(config, test)
    try:
        ended = pool.run(test, seconds, take, following)
    except WorkerLostError as error:
        lost = error.lost
        how = (
            f"had not ended after {seconds:,.0f} s, and was taken to hang"
            if lost.reason == "hung"
            else f"was lost over it: {lost.sentence}"
        )
        printed = f".\nThe last lines that it printed:\n{lost.printed}" if lost.printed else ""
        brought.died[test] = f"a process of its own {how}{printed}"
        return
    if "ends" in ended:
        pytest.exit(ended["ends"], returncode=ended["status"])
