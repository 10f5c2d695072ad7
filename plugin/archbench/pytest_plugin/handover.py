"""Tests that measure run in a worker, so that a network that ends its process ends its own test.

Whatever a network does there, the process that reports to the person goes on: it forwards the
reports as if the test had run here, and starts another worker for the next one. Another worker is
needed too once a network has made the device unusable for its process, or has changed the process
for good.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace

import pytest

from archbench.core.records import Record
from archbench.core.spec import Target
from archbench.core.verdicts import Verdict
from archbench.pytest_plugin.ending import end_as_worker
from archbench.pytest_plugin.leaving import why_leave
from archbench.pytest_plugin.options import is_worker, spelled
from archbench.pytest_plugin.progress import EvaluationProgress
from archbench.pytest_plugin.recording import known_of, metric_of
from archbench.pytest_plugin.resuming import done_tests, report_of
from archbench.pytest_plugin.shared import leave_fixtures, uses_archbench
from archbench.pytest_plugin.starting import cell_timeout, make_order, start, tests_of
from archbench.workers.messages import Ended, HowFar, Said, Warned
from archbench.workers.pool import Pool
from archbench.workers.process import Lost, Worker, WorkerLostError


def why_here(config: pytest.Config) -> str | None:
    """Why tests that measure run in the process itself as long as they can; None where they do not.

    Who looks into the process, as a debugger does, is to see them.
    """
    option = config.option
    if option.usepdb or getattr(option, "trace", False):
        return "a debugger is asked for"
    if getattr(option, "setupshow", False):
        return "fixtures are to be shown"
    if config.pluginmanager.has_plugin("_cov") and not getattr(option, "no_cov", False):
        return "coverage is measured"
    if sys.gettrace() is not None:
        return "the process is traced"
    if not all(isinstance(one, str) for one in config.invocation_params.plugins or ()):
        return "plugins are objects of this process"
    return None


class HandOver:
    """The plugin that runs tests in workers."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._here = why_here(config) is not None
        self._items: list[pytest.Item] = []
        self._pool = Pool(self._start)
        self._target: Target | None = None
        self._evaluation: EvaluationProgress | None = None

    def _start(self) -> Worker:
        self._doing("starting a process that measures")
        return start(self._config, make_order(self._config, "cells"))

    @pytest.hookimpl
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Remember the tests."""
        self._items = session.items

    def takes(self, item: pytest.Item) -> bool:
        """Whether a test runs in a worker.

        One that uses pytest-benchmark's fixture as well is to be found in its results.
        """
        if not uses_archbench(item) or "benchmark" in getattr(item, "fixturenames", ()):
            return False
        return not self._here or why_leave(item) is not None

    def runs_elsewhere(self, item: pytest.Item) -> bool:
        """The same, also whether a worker has it.

        Raises:
            pytest.UsageError: no worker comes up.
        """
        return self.takes(item) and self._is_there(item)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> bool | None:
        """Run a test in a worker."""
        if not self.runs_elsewhere(item):
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        self._leave_timeout(item)
        self._target = None
        report: pytest.TestReport | None = None
        ended = Ended()
        try:
            ended = self._pool.run(
                item.nodeid,
                cell_timeout(self._config, item.nodeid),
                lambda message: self._take(item, message),
                self._following(item, nextitem),
            )
        except WorkerLostError as error:
            report = self._lost(item, error.lost)
        except pytest.fail.Exception as error:
            # Of another plugin, as a time-out of the test.
            lost = Lost("crashed", "test-failed", f"its test failed: {error}")
            report = _crashed(item, lost, self._target)
        if report is not None:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        end_as_worker(self._config, ended)
        for name, why in ended.stops.items():
            setattr(item.session, name, why)
        leave_fixtures(item, nextitem)
        return True

    def _is_there(self, item: pytest.Item) -> bool:
        """Whether a worker has a test too: one whose id is another in each process it has not.

        Raises:
            pytest.UsageError: no worker comes up.
        """
        return item.nodeid in tests_of(self._config, self._pool, "run the tests")

    def _leave_timeout(self, item: pytest.Item) -> None:
        """Leave a test's time to the worker: pytest-timeout is there too, and sees where it is."""
        cancel = getattr(item.config.hook, "pytest_timeout_cancel_timer", None)
        if cancel is not None:
            cancel(item=item)

    def _following(self, item: pytest.Item, nextitem: pytest.Item | None) -> str | None:
        """The next test for the worker, so that what both need is kept.

        What a worker of pytest-xdist gets next is decided as it goes.
        """
        done = done_tests(self._config)
        if nextitem is None or (self.takes(nextitem) and nextitem.nodeid not in done):
            return None if nextitem is None else nextitem.nodeid
        if is_worker(self._config):
            return None
        later = self._items[self._items.index(item) + 1 :]
        return next(
            (one.nodeid for one in later if self.takes(one) and one.nodeid not in done), None
        )

    def _take(self, item: pytest.Item, message: Said) -> None:
        """Let this process know what a worker says."""
        if message.report is not None:
            item.ihook.pytest_runtest_logreport(report=report_of(self._config, message.report))
        elif message.warning is not None:
            self._warn(message.warning)
        elif message.target is not None:
            self._target = message.target
        elif message.progress is not None:
            self._show(message.progress)
        elif message.doing is not None:
            self._doing(message.doing)

    def _doing(self, what: str) -> None:
        session = self._config.pluginmanager.get_plugin("archbench-session")
        if session is not None:
            session.doing(what)

    def _show(self, how_far: HowFar) -> None:
        if self._evaluation is None:
            self._evaluation = EvaluationProgress(self._config, how_far.model)
        self._evaluation(how_far.done, how_far.total, how_far.seconds)
        if how_far.done == how_far.total:
            self._evaluation.close()
            self._evaluation = None

    def _warn(self, warned: Warned) -> None:
        # A class of a module that only the worker has imported is not to be had here.
        known = getattr(sys.modules.get(warned.module), warned.category, None)
        text = warned.text if known is not None else f"{warned.category}: {warned.text}"
        warning = warnings.WarningMessage(text, known or UserWarning, warned.file, warned.line)
        self._config.hook.pytest_warning_recorded.call_historic(
            kwargs={
                "warning_message": warning,
                "when": "runtest",
                "nodeid": warned.nodeid,
                "location": None,
            }
        )

    def _lost(self, item: pytest.Item, lost: Lost) -> pytest.TestReport:
        """The report of a test over which a worker was lost."""
        if lost.reason == "hung":
            seconds = cell_timeout(self._config, item.nodeid)
            sentence = (
                f"it had not ended after {seconds:,.0f} s, and was taken to hang. If it needs "
                "longer, say how long: --cell-timeout=SECONDS"
            )
            lost = replace(lost, sentence=sentence)
        return _crashed(item, lost, self._target)

    def let_go(self) -> None:
        """End the worker; the next test gets another one."""
        self._pool.close()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Leave nothing behind."""
        self.let_go()


def _crashed(item: pytest.Item, lost: Lost, target: Target | None) -> pytest.TestReport:
    """The report of a test that did not come to its end."""
    spec, _ = known_of(item)
    text = f"{lost.status}: {spec.id if spec is not None else item.name}: {lost.sentence}"
    if lost.printed:
        text += f"\n\nThe last lines that its process printed:\n{lost.printed}"
    report = pytest.TestReport(
        item.nodeid, item.location, dict.fromkeys(item.keywords, 1), "failed",
        spelled(item.config, text), "call",
    )  # fmt: skip
    if spec is not None:
        metric = metric_of(item)
        verdict = Verdict(metric, lost.status, lost.reason, lost.sentence)
        if metric == "top1" and target is not None:
            target = target.batchless
        record = Record(spec.id, target, verdicts=[verdict])
        report.archbench = record.as_dict()  # type: ignore[attr-defined]
    return report
