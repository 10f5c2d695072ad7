"""Which cells a run is expected to measure, read off the ids of its tests."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import cache

from archbench.core.run_config import RunConfig, config_pattern
from archbench.core.spec import LIBRARIES

_REPEAT = re.compile(r"(?P<test>.+)-(?P<number>\d+)-(?P<of>\d+)\]")


def cell_of(nodeid: str) -> tuple[str, str] | None:
    """Architecture and target suffix that a test's id names; None for other tests.

    ``benchmarks/test_latency.py::test_latency[timm/resnet50-fp32-b1]`` is
    ``("timm/resnet50", "fp32-b1")``; a test that needs no device has an empty suffix, one that
    chooses its batch size by itself ``fp32-bauto``.
    """
    if "/" not in nodeid.partition("[")[2]:
        return None  # of most tests of most projects, whose ids workers of pytest-xdist report too
    alone, among_others = _patterns(config_pattern())
    match = alone.search(nodeid)
    if match is None or not match["target"]:
        match = among_others.search(nodeid) or match
    return None if match is None else (_unescaped(match["model"]), match["target"] or "")


def cell_name(model: str, suffix: str) -> str:
    """A cell in a line of text: ``timm/resnet50 fp32-b1``."""
    return f"{model} {suffix}".strip()


def name_of(nodeid: str) -> str:
    """The cell of a test, for people; the id of the test where that names none."""
    return cell_name(*(cell_of(nodeid) or (nodeid, "")))


@cache
def _patterns(config: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Of ids with our parameters alone, and with a test's own before or behind them, where only a
    target ends a name."""
    target = rf"{config}(?:@[^\]]+?)?"
    model = rf"(?P<model>(?:{'|'.join(LIBRARIES)})/.+?)"
    return (
        re.compile(rf"\[{model}(?:-(?P<target>{target}))?\]$"),
        re.compile(rf"\[(?:.+-)?{model}-(?P<target>{target})(?:-.+)?\]$"),
    )


def _unescaped(name: str) -> str:
    """pytest writes letters beyond ASCII in an id as Python does: ``s\\xfc\\xdf``."""
    return name.encode("ascii", "backslashreplace").decode("unicode_escape")


BATCHLESS = "-bauto"


def is_batchless(suffix: str) -> bool:
    """Whether the suffix of a cell is of a test that chooses its batch size by itself."""
    return BATCHLESS in suffix


@cache
def _batchless(suffix: str) -> str:
    """The suffix of what has the same precision and runtime, and no batch size of its own."""
    return RunConfig.parse(suffix).batchless.suffix if suffix else ""


def _without_repeats(nodeids: Iterable[str]) -> dict[str, str]:
    """What each id would be whose end numbers the repetitions of a test, as pytest-repeat does:
    ``test[net-1-3]``, ``test[net-2-3]`` and ``test[net-3-3]``, all of which there are."""
    repeats: dict[tuple[str, int], set[int]] = {}
    for nodeid in nodeids:
        match = _REPEAT.fullmatch(nodeid)
        if match is not None:
            repeats.setdefault((match["test"], int(match["of"])), set()).add(int(match["number"]))
    return {
        f"{test}-{number}-{of}]": f"{test}]"
        for (test, of), numbers in repeats.items()
        if of > 1 and numbers == set(range(1, of + 1))
        for number in numbers
    }


class Manifest:
    """The expected cells in their order, and which tests of them are still to come.

    A test without a target, such as a count, belongs to every cell of its architecture, and one
    without a batch size, such as an accuracy, to every cell of its precision and runtime; where
    there is no other test it is a cell of its own.
    """

    def __init__(self, nodeids: Iterable[str]) -> None:
        by_model: dict[str, dict[str, set[str]]] = {}
        nodeids = list(nodeids)
        self._unrepeated = _without_repeats(nodeids)
        for nodeid in nodeids:
            cell = cell_of(self.test_of(nodeid))
            if cell is not None:
                by_model.setdefault(cell[0], {}).setdefault(cell[1], set()).add(nodeid)
        self._open: dict[tuple[str, str], set[str]] = {}
        for model, targets in by_model.items():
            shared = targets.pop("", set())
            if not targets:
                targets = {"": set()}
            of_precision = {name: targets[name] for name in targets if is_batchless(name)}
            for target, tests in targets.items():
                precision = _batchless(target)
                own = of_precision.get(precision, set())
                if target == precision and any(
                    name != precision and _batchless(name) == precision for name in targets
                ):
                    continue
                self._open[model, target] = tests | own | shared
        self._tests: dict[str, list[tuple[str, str]]] = {}
        for key, tests in self._open.items():
            for nodeid in tests:
                self._tests.setdefault(nodeid, []).append(key)
        self._finished: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return len(self._open)

    @property
    def cells(self) -> list[tuple[str, str]]:
        """All expected cells."""
        return list(self._open)

    def cells_but(self, tests: Collection[str]) -> list[tuple[str, str]]:
        """Those of which there is more to come than some tests."""
        return [key for key, some in self._open.items() if not some <= set(tests)]

    @property
    def done(self) -> int:
        """How many cells are finished."""
        return len(self._finished)

    def test_of(self, nodeid: str) -> str:
        """The id of the test that an id is a repetition of; the id itself where it is of none."""
        return self._unrepeated.get(nodeid, nodeid)

    def cells_with(self, nodeid: str) -> list[tuple[str, str]]:
        """The cells that a test contributes to."""
        return self._tests.get(nodeid, [])

    def finish(self, nodeid: str) -> list[tuple[str, str]]:
        """Note that a test has ended; the cells that ended with it."""
        ended = []
        for key in self.cells_with(nodeid):
            tests = self._open[key]
            if nodeid in tests:
                tests.remove(nodeid)
                if not tests:
                    ended.append(key)
        self._finished += ended
        return ended

    def missing(self) -> list[str]:
        """Tests that were expected and never ended."""
        return [nodeid for tests in self._open.values() for nodeid in sorted(tests)]
