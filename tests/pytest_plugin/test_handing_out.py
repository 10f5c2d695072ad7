"""What each worker of ``-n`` gets, and in which order."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from xdist.remote import Producer

from archbench.core.headers import RunHeader
from archbench.core.records import Record
from archbench.pytest_plugin.handing_out import ByArchitecture
from archbench.store.journal import Journal
from tests.pytest_plugin.small_networks import networks

pytestmark = pytest.mark.usefixtures("preloaded_python")


class Node:
    """A worker that runs what it is sent: a test when it knows the next one."""

    shutting_down = False

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.sent: list[list[int]] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        self.sent.append(list(indices))

    def shutdown(self) -> None:
        self.shutting_down = True


def scheduled(
    units: list[list[int]], number: int, workers: int
) -> tuple[ByArchitecture, list[Node]]:
    """A scheduler that has handed out what workers begin with."""
    config: Any = SimpleNamespace(
        getvalue=lambda name: ["popen"] * workers, getoption=lambda name: None
    )
    log = Producer("handing out", enabled=False)
    found = ByArchitecture(config, log, lambda tests, workers: units)
    nodes = [Node(f"gw{place}") for place in range(workers)]
    for node in nodes:
        found.add_node(node)
        found.add_node_collection(node, [f"test_{index}" for index in range(number)])
    found.schedule()
    return found, nodes


def test_each_gets_a_unit_before_anybody_gets_a_second_one() -> None:
    scheduler, (one, two) = scheduled([[3], [1, 2], [4], [0, 5], [6]], 7, 2)
    # The second has two tests and waits; the first needs another one to begin with its first.
    assert (one.sent, two.sent) == ([[3], [4]], [[1, 2]])
    scheduler.mark_test_complete(two, 1)
    assert two.sent == [[1, 2], [0, 5]]
    scheduler.mark_test_complete(one, 3)
    assert one.sent == [[3], [4], [6]]
    assert [one.shutting_down, two.shutting_down] == [False, False]
    for node, index in ((two, 2), (one, 4)):
        scheduler.mark_test_complete(node, index)
    # Nothing is left: each runs the last that it has.
    assert one.shutting_down
    assert two.shutting_down


def test_every_test_is_sent_once_whatever_the_units_are() -> None:
    for units, number in (
        ([], 30), ([[0]], 30), ([[5, 6, 7, 8], [1]], 9), ([[0], [1]], 2), ([[1, 0]], 2), ([[0]], 1)
    ):  # fmt: skip
        for workers in (1, 2, 3):
            scheduler, nodes = scheduled(units, number, workers)
            for _ in range(2 * number):  # each time somebody goes on
                for node in nodes:
                    its = scheduler.node2pending[node]
                    if len(its) >= 2 or (its and node.shutting_down):
                        scheduler.mark_test_complete(node, its[0])
                if scheduler.tests_finished:  # as xdist's controller does
                    for node in nodes:
                        node.shutdown()
            assert not scheduler.has_pending
            sent = [index for node in nodes for some in node.sent for index in some]
            assert sorted(sent) == list(range(number))


NETS = networks(*"ABCDEFGH")
TESTS = """
    def test_plain(): pass
    def test_one(bench, model_spec): bench.complexity(model_spec)
    def test_two(bench, model_spec): bench.complexity(model_spec)
    def test_three(bench, model_spec): bench.complexity(model_spec)
"""
NOTE = """
    def pytest_runtest_logreport(report):
        if report.when == "call" and hasattr(report, "node"):
            with open("order", "a") as file:
                print(report.node.gateway.id, report.nodeid, file=file)
"""


def handed_out(project: pytest.Pytester, names: str, *more: str) -> dict[str, list[str]]:
    """The tests that each worker of a run has run, in their order."""
    (project.path / "order").unlink(missing_ok=True)
    models = [f"--archbench-models=nets.py:{name}" for name in names]
    result = project.runpytest_subprocess("test_it.py", "--archbench-gpu=cpu", *models, *more)
    assert result.ret == pytest.ExitCode.OK
    found = defaultdict(list)
    for line in (project.path / "order").read_text(encoding="utf-8").splitlines():
        worker, _, nodeid = line.partition(" ")
        found[worker].append(nodeid.partition("::test_")[2])
    return found


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(nets=NETS, test_it=TESTS)
    pytester.makeconftest(NOTE)
    return pytester


def test_a_worker_gets_all_tests_of_an_architecture(project: pytest.Pytester) -> None:
    found = handed_out(project, "ABCDEFGH", "-n", "2")
    of = defaultdict(set)
    for worker, tests in found.items():
        ours = [test for test in tests if test != "plain"]
        # One architecture after another.
        models = [test.partition("[")[2] for test in ours]
        assert models == sorted(models)
        for model in models:
            of[model].add(worker)
    assert {model: len(workers) for model, workers in of.items()} == dict.fromkeys(
        (f"local/{name}]" for name in "ABCDEFGH"), 1
    )
    assert sum(map(len, found.values())) == 8 * 3 + 1


def test_what_took_longest_in_an_earlier_run_comes_first(project: pytest.Pytester) -> None:
    journal = Journal(project.path / ".archbench" / "runs", RunHeader(), "20261101T000000Z-1")
    for name, seconds in (("C", 9.0), ("A", 2.0), ("B", 5.0)):
        journal.append(Record(f"local/{name}", seconds={"count": seconds}))
    journal.let_go()
    found = handed_out(project, "ABCD", "-n", "1")
    each = [f"{test}[local/{name}]" for name in "CBAD" for test in ("one", "two", "three")]
    assert found == {"gw0": [*each, "plain"]}
    (path,) = (
        path
        for path in Path(project.path).glob(".archbench/runs/*/journal.jsonl")
        if path != journal.path
    )
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    assert [one["id"] for one in lines if one["kind"] == "cell"] == [
        f"local/{name}" for name in "CBAD"
    ]
    # Another way to hand them out is xdist's.
    assert handed_out(project, "ABCD", "-n", "1", "--dist=worksteal")["gw0"][0] == "plain"
