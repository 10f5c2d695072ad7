"""What fresh processes have measured for the tests of this run: the times behind a verdict.

Each is a worker that measures the tests it is asked for and judges nothing; the process that runs
the tests, or a worker of its own, reads what they measured and judges.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import pytest

from archbench.core.forms import Stored
from archbench.core.gate import needs_confirmation
from archbench.core.joined import process_runs_of
from archbench.core.pace import STARTING, TimeLeft
from archbench.core.process_runs import LEAST_BASELINE, LEAST_PROCESS_RUNS, LOST
from archbench.core.records import Record
from archbench.core.verdicts import Note, Verdict
from archbench.metrics import format_seconds
from archbench.pytest_plugin.brought import Brought, Once, ProcessRunsKept, measure_once
from archbench.pytest_plugin.gate import accepted_times
from archbench.pytest_plugin.judging import time_rules
from archbench.pytest_plugin.manifest import cell_of, is_batchless, name_of
from archbench.pytest_plugin.progress import expected_seconds
from archbench.pytest_plugin.settings import Settings, settings_of
from archbench.pytest_plugin.starting import (
    hand_on,
    handed_on,
    is_prepared,
)

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
        died: the verdict, where a process died over it or measured nothing.
        lost: reason and sentence of each process run that was disturbed throughout, as by a device
            that throttled, so that it has no figures. That says nothing against the cell.
    """

    process_runs: list[Record] = field(default_factory=list)
    confirmations: list[Record] = field(default_factory=list)
    died: Verdict | None = None
    lost: list[tuple[str, str]] = field(default_factory=list)

    @property
    def note(self) -> Note | None:
        """What a record of the others says of those that were lost; None where none was."""
        if not self.lost:
            return None
        number = len(self.lost)
        are = "process run was" if number == 1 else "process runs were"
        return Note(LOST, f"{number} {are} lost, the last since {self.lost[-1][1]}")

    def take(self, brought: Brought, into: str) -> None:
        """Take in what a process has brought.

        Args:
            into: ``process_runs`` or ``confirmations``.
        """
        record = brought.record
        if brought.died is not None:
            self.died = brought.died
        elif record is not None and "latency" in record.metrics:
            getattr(self, into).append(record)
        elif record is not None and record.verdicts:
            self.fail(record.verdicts[0])

    def fail(self, verdict: Verdict) -> None:
        """Take in that a process run measured nothing, with the verdict that it gave."""
        if verdict.status == "inconclusive":
            self.lost.append((verdict.reason, verdict.sentence))
        else:
            sentence = f"it failed in a process of its own: {verdict.sentence}"
            self.died = replace(verdict, sentence=sentence)


_FILE = "repeated.json"
_REPEATED: pytest.StashKey[dict[str, Repeated]] = pytest.StashKey()


def repeated(config: pytest.Config, nodeid: str) -> Repeated | None:
    """What process runs have measured of a test."""
    if _REPEATED not in config.stash:
        data = handed_on(config, _FILE, dict[str, Repeated]) if is_prepared(config) else None
        config.stash[_REPEATED] = data or {}
    found = config.stash[_REPEATED].get(nodeid)
    if found is None and is_prepared(config):
        found = (handed_on(config, _file_of(nodeid), dict[str, Repeated]) or {}).get(nodeid)
    return found


def _file_of(nodeid: str) -> str:
    return f"repeated-{hashlib.sha256(nodeid.encode()).hexdigest()[:16]}.json"


def prepare_on_host(config: pytest.Config, nodeid: str, let_go: Callable[[], object]) -> None:
    """Measure in fresh processes of this host what a test of it needs: what its controller could
    measure before would be of another machine.

    Args:
        let_go: ends the process that runs the tests, which may hold the device.
    """
    if any(tests for _, tests in _plan(config, settings_of(config), [nodeid])):
        let_go()
        prepare(config, [nodeid], lambda _: None, file=_file_of(nodeid))


def prepare(
    config: pytest.Config,
    nodeids: Sequence[str],
    say: Callable[[str], None],
    once: Once | None = None,
    *,
    show: Callable[[str], object] = lambda _: None,
    kept: ProcessRunsKept | None = None,
    clock: Callable[[], float] = time.monotonic,
    file: str = _FILE,
) -> None:
    """Measure in fresh processes what needs them, before the first test runs.

    Args:
        say: given a sentence for each process.
        once: measures each of some tests in one process; :func:`measure_once` by default.
        show: given a line as each test begins, with the time left of all processes.
        kept: what is on the disk of this run.
        clock: seconds that go on.
        file: by which other processes get it.
    """
    settings = settings_of(config)
    groups = _plan(config, settings, nodeids)
    found = {nodeid: Repeated() for _, wanted in groups for nodeid in wanted}
    config.stash[_REPEATED] = found
    if not found:
        return
    session = _Session(config, settings, say, once, show, kept or ProcessRunsKept(), clock)
    session.expect(groups)
    for number, wanted in groups:
        session.measure(found, wanted, number, "process_runs", "process")
        needed = min(number, LEAST_BASELINE)
        most = MORE.get(needed, 0)
        for index in range(most):
            lacking = [n for n in wanted if _judgeable(found[n].process_runs) < needed]
            lacking = [n for n in lacking if found[n].process_runs and found[n].died is None]
            if not lacking:
                break
            if index == 0:
                say(_why_more([found[nodeid] for nodeid in lacking], most))
            what = f"process {index + 1} of at most {most} more"
            session.measure(found, lacking, 1, "process_runs", what)
    if settings.baseline_update != "all":
        for index in range(MOST_CONFIRMATIONS):
            suspects = [
                nodeid for nodeid in found if _needs_confirmation(config, nodeid, found[nodeid])
            ]
            what = f"confirming a change, process {index + 1}"
            session.measure(found, suspects, 1, "confirmations", what)
    hand_on(config, file, found)


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


def _why_more(lacking: Sequence[Repeated], most: int) -> str:
    """Why some tests need further processes, from the last process run that cannot be judged."""
    causes = [
        cause
        for one in lacking
        for cause in (
            *(sentence.partition(". ")[0] for _, sentence in one.lost),
            *(run.disturbance for run in process_runs_of(one.process_runs)),
        )
        if cause
    ]
    why = f" ({causes[-1]})" if causes else ""
    return (
        f"Too few process runs of {_cells(len(lacking))} can be judged{why}: at most {most} "
        "processes more."
    )


def _cells(number: int) -> str:
    return f"{number} cell{'' if number == 1 else 's'}"


def _needs_confirmation(config: pytest.Config, nodeid: str, item: Repeated) -> bool:
    line = accepted_times(config, nodeid)
    if line is None or not item.process_runs or item.died is not None:
        return False
    first = item.process_runs[0]
    baseline = line.runs
    process_runs, confirmations = (
        process_runs_of(item.process_runs),
        process_runs_of(item.confirmations),
    )
    rules = time_rules(config, first, baseline, line.environment, first.environment)
    return any(
        needs_confirmation(baseline, process_runs, confirmations, rule) for rule in rules.values()
    )


@dataclass(slots=True)
class _Session:
    """The processes of a run, one after another; for fields see :func:`prepare`."""

    config: pytest.Config
    settings: Settings
    say: Callable[[str], None]
    once: Once | None
    show: Callable[[str], object]
    kept: ProcessRunsKept
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
        for index in range(number):
            alive = []
            for nodeid in nodeids:
                if found[nodeid].died is None:
                    before = self.kept.next(nodeid, into)
                    if before is None:
                        alive.append(nodeid)
                    else:
                        found[nodeid].take(before, into)
            if not alive:
                continue
            self.what = f"{what} {index + 1} of {number}" if number > 1 else what
            began = self.clock()
            self.show(f"{self.what}: starting it")
            take = partial(self._take, found, into)
            if self.once is not None:
                self.once(self.config, alive, self.share, take)
            else:
                measure_once(self.config, alive, self.share, take, began=self._began)
            self.left.done(self.current, self.clock())
            self.current = 0.0
            self.say(f"{self.what}: {_cells(len(alive))} in {format_seconds(self.clock() - began)}")

    def _take(self, found: dict[str, Repeated], into: str, nodeid: str, brought: Brought) -> None:
        """Take what a process has brought of a test, once it is on the disk."""
        self.kept.add(nodeid, into, brought)
        found[nodeid].take(brought, into)
