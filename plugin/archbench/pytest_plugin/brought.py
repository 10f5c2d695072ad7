"""What one process brings of the tests that it measures, and what is kept of it on the disk."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pytest

from archbench.core.forms import Json, Stored
from archbench.core.records import Record
from archbench.core.verdicts import Verdict
from archbench.pytest_plugin.ending import end_as_worker
from archbench.pytest_plugin.manifest import cell_of
from archbench.pytest_plugin.starting import (
    cell_timeout,
    chance_environment,
    free_core,
    make_order,
    start,
    tests_of,
)
from archbench.workers.messages import Said
from archbench.workers.pool import Pool
from archbench.workers.process import Worker, WorkerLostError


@dataclass(frozen=True, slots=True)
class Brought(Stored):
    """What one process brought of a test.

    Attributes:
        record: None where it measured nothing, and failed in no way.
        died: the verdict where the process was lost over it.
    """

    record: Record | None = None
    died: Verdict | None = None


Once = Callable[[pytest.Config, Sequence[str], float, Callable[[str, Brought], object]], object]
"""Measures each of some tests in one process, with so many seconds for each, and hands over what
each has brought."""


class ProcessRunsKept:
    """What processes have brought, on the disk of a run.

    Args:
        before: by test and by what it is for, what the run that this one goes on with has of it.
        add: puts it there.
    """

    def __init__(
        self,
        before: Mapping[tuple[str, str], Sequence[Json]] | None = None,
        add: Callable[[str, str, Brought], object] = lambda *_: None,
    ) -> None:
        self._before = {key: list(some) for key, some in (before or {}).items()}
        self.add = add

    def next(self, nodeid: str, into: str) -> Brought | None:
        """What the next process has brought; None where it is to be measured."""
        some = self._before.get((nodeid, into))
        return Brought.from_dict(some.pop(0)) if some else None


def measure_once(
    config: pytest.Config,
    nodeids: Sequence[str],
    time_budget: float,
    take: Callable[[str, Brought], object],
    began: Callable[[Sequence[str], int], object] = lambda tests, index: None,
) -> None:
    """Measure each of some tests in one process, architecture by architecture in random order.

    Another one takes over where the first is of no use any more.

    Args:
        nodeids: tests to run there.
        time_budget: seconds for each.
        take: given what it has brought of each as soon as that has ended.
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

    tests = _shuffled(nodeids, chance)
    pool = Pool(begin)
    try:
        for index, (test, following) in enumerate(zip(tests, [*tests[1:], None], strict=True)):
            if test in tests_of(config, pool, "measure"):
                began(tests, index)
                take(test, _measured(config, pool, test, following))
    finally:
        pool.close()


def _shuffled(nodeids: Sequence[str], chance: random.Random) -> list[str]:
    """The tests of each architecture together, architectures in random order."""
    groups: dict[str, list[str]] = {}
    for nodeid in nodeids:
        groups.setdefault((cell_of(nodeid) or (nodeid, ""))[0], []).append(nodeid)
    names = list(groups)
    chance.shuffle(names)
    return [nodeid for name in names for nodeid in groups[name]]


def _measured(config: pytest.Config, pool: Pool, test: str, following: str | None) -> Brought:
    """What one test measures."""
    found: list[Record] = []

    def take(message: Said) -> None:
        data = message.report or {}
        record = data.get("archbench")
        is_last = data.get("outcome") in ("passed", "failed", "skipped")
        if record is not None and data["when"] in ("setup", "call") and is_last:
            found.append(Record.from_dict(record))

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
        sentence = f"a process of its own {how}{printed}"
        return Brought(died=Verdict("latency", lost.status, lost.reason, sentence))
    end_as_worker(config, ended)
    return Brought(found[-1] if found else None)
