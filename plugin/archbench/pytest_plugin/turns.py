"""A worker that is a side of a paired comparison: it runs the tests of its order, turn by turn.

In it ``bench.latency(loaded_model)`` does not measure by itself: it says that it is ready, and lets
time pass whenever it is its turn (:mod:`archbench.workers.schedule`). So a project's own fixtures,
hooks and architectures are the same there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from archbench.core.errors import UsageError
from archbench.core.records import Record
from archbench.core.spec import Target
from archbench.measure.environment import package_versions, provenance
from archbench.models.requiring import importing
from archbench.pytest_plugin.ending import end_run
from archbench.pytest_plugin.leaving import left_behind, why_leave
from archbench.pytest_plugin.manifest import cell_of
from archbench.pytest_plugin.node_ids import file_of, importable_name
from archbench.pytest_plugin.options import ORDER_OPTION
from archbench.pytest_plugin.refusing import refuse_broken_libraries
from archbench.pytest_plugin.selection import select_models
from archbench.pytest_plugin.settings import settings_of
from archbench.pytest_plugin.shared import MODEL_ARGUMENT, runs_again
from archbench.workers.inside import Inside, follow, inside_of
from archbench.workers.messages import VERSION, Ask, Ended, Failure, Hello
from archbench.workers.orders import Order

_Result = TypeVar("_Result")


def become_worker(config: pytest.Config) -> None:
    """Do in this process what its order says."""
    path = Path(getattr(config.option, ORDER_OPTION))
    order = Order.read(path)
    follow(config, (TakingTurns if order.sides else Inside)(order, path, why_leave))


def taking_turns(config: pytest.Config) -> TakingTurns | None:
    """What this process is a side by; None where it is none."""
    inside = inside_of(config)
    return inside if isinstance(inside, TakingTurns) else None


class TakingTurns(Inside):
    """The plugin of a process that is a side, or both."""

    def __init__(
        self, order: Order, path: Path, why_leave: Callable[[pytest.Item], str | None]
    ) -> None:
        super().__init__(order, path, why_leave)
        self.exact = False
        self.timed = False
        self.failure: Failure | None = None
        self._blamed = ""
        self._only_here: list[str] = []
        self._tests: set[str] = set()
        self._uncollected: dict[str, str] = {}
        self._cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()

    def pytest_pycollect_makemodule(
        self, module_path: Path, parent: pytest.Collector
    ) -> pytest.Module | None:
        """Name a file as the process does that asks for its tests.

        A project's tests may be installed there and lie in the project's root here.
        """
        config = parent.config
        name = importable_name(config.args, module_path) if config.option.pyargs else None
        if name is None or not any(file_of(cell) == name for cell in self.order.cells):
            return None
        module: pytest.Module = pytest.Module.from_parent(parent, path=module_path, nodeid=name)
        return module

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note why a file has no tests."""
        if report.failed:
            self._uncollected[report.nodeid] = report.longreprtext

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep what may be asked for; note what only this side has."""
        wanted = set(self.order.cells)
        self._tests = {_test_of(item.nodeid) for item in items}
        self._only_here = [
            item.nodeid for item in items if item.nodeid not in wanted and _is_timed(item)
        ]
        items[:] = [item for item in items if item.nodeid in wanted]

    def about(self, target: Target) -> None:
        """Nobody asks: it is among what is said about a model that is ready."""

    def greeting(self, session: pytest.Session) -> Hello:
        """What is said at the start."""
        self._import()
        return Hello(
            version=VERSION,
            stacks=self.stacks is not None,
            only_here=tuple(self._only_here),
            versions=package_versions(),
        )

    def _leave_core(self) -> None:
        """Go wherever there is room: both sides import and load side by side, on their own."""
        if self.order.core is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, self._cores)

    def blaming(self, side: str, work: Callable[..., _Result], *given: Any) -> _Result:
        """Do something for a side; what fails is that side's."""
        try:
            return work(*given)
        except Exception:
            self._blamed = side
            raise

    def _import(self) -> None:
        """What every cell needs, before the time of the first one starts."""
        with importing():
            try:
                refuse_broken_libraries(self.config)
            except UsageError as error:
                end_run(self.config, str(error), pytest.ExitCode.USAGE_ERROR)
            from archbench.measure import cells, side_network  # noqa: F401

    def run(self, message: Ask, items: Mapping[str, pytest.Item]) -> Ended:
        """Run one test, which waits for its turns; what comes of it does not matter any more."""
        cell = message.test
        self.exact, self.timed, self.failure, self._blamed = message.facts, False, None, ""
        item = items.get(cell)
        if item is None:
            self.failure = self._absent(cell)
        else:
            self._leave_core()
            # Without a next one all fixtures are torn down: what the next cell has is its own.
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        # What this network has left behind would move the times of the next one.
        return Ended(leaves=", ".join(left_behind()) or None, failure=self.failure)

    def _absent(self, cell: str) -> Failure:
        """Why there is no test of an id here."""
        file = file_of(cell)
        if file in self._uncollected:
            text = self._uncollected[file]
            lines = [line for line in text.strip().splitlines() if line.strip()] or [file]
            sentence = f"the tests of {file} cannot be collected: {lines[-1]}"
            return Failure("", "crashed", "not-collected", sentence, text)
        name = _test_of(cell).partition("::")[2]
        found = cell_of(cell)
        if _test_of(cell) in self._tests and found is not None:
            why = _unselected(self.config)
            sentence = f"it has no architecture {found[0]}" + (f" ({why})" if why else "")
        elif any(file_of(test) == file for test in self._tests) or self._has(file):
            sentence = f"it has no test {name} in {file}"
        else:
            sentence = f"it has no {file}"
        return Failure("", "not-measured", "only-on-one-side", sentence)

    def _has(self, file: str) -> bool:
        return (self.config.rootpath / file).is_file()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note why a test ended before it was timed."""
        if self.timed or self.failure is not None or report.passed or runs_again(report):
            return
        record = getattr(report, "archbench", None)
        verdicts = Record.from_dict(record).verdicts if record is not None else []
        text = report.longreprtext
        if report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else text
            self._failed("not-measured", "skipped", f"it is skipped: {reason}")
        elif record is not None and report.when == "setup" and (lacking := _lacking(record["id"])):
            self._failed("not-measured", "only-on-one-side", lacking)
        elif verdicts:
            last, details = verdicts[-1], text.partition("\n\n")[2]
            self._failed(last.status, last.reason, last.sentence, details)
        else:
            lines = text.strip().splitlines() or ["its test failed"]
            self._failed("crashed", "test-failed", f"its test failed: {lines[-1]}", text)

    def _failed(self, status: str, reason: str, sentence: str, details: str = "") -> None:
        self.failure = Failure(self._blamed, status, reason, sentence, details)


def _test_of(nodeid: str) -> str:
    """A test's id without its parameters."""
    return nodeid.partition("[")[0]


def _is_timed(item: pytest.Item) -> bool:
    """Whether a test is about the time of an architecture that is there: without any pytest makes
    one test that is skipped."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    is_empty = MODEL_ARGUMENT in params and not hasattr(params[MODEL_ARGUMENT], "id")
    return "loaded_model" in getattr(item, "fixturenames", ()) and not is_empty


def _unselected(config: pytest.Config) -> str:
    """Why what was asked for by ``--models`` cannot be had here; empty where it can."""
    settings = settings_of(config)

    def why(request: str) -> str:
        try:
            select_models(config, replace(settings, models=(request,)))
        except UsageError as error:
            return error.found
        return ""

    return "; ".join(dict.fromkeys(filter(None, map(why, settings.models))))


def _lacking(model: str) -> str | None:
    """What to say of an architecture that the library here does not have; None where it does."""
    library, _, name = model.partition("/")
    if library in ("local", "archbench"):
        return None
    from archbench.models.libraries import names

    try:
        is_there = name.partition("@")[0] in names(library)
    except ImportError:
        return f"{library} is not installed there"
    return None if is_there else f"{provenance(library)} has no {name}"
