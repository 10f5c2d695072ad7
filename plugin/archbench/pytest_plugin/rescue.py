"""A process that a test made unusable: the rest of the run goes on in fresh ones.

Some errors of an accelerator stay: whatever the process asks of the device from then on fails with
the same error. The cell that met it is ``crashed``. And some of what a network changes in its
process cannot be put back. Every further test that needs the device, or is about another network,
is handed to a pytest of its own, with its reports brought back as if it had run here; so ids,
order, verdicts, ``-x`` and JUnit are what they would have been.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from archbench.core.errors import first_line, text_of
from archbench.pytest_plugin import (
    MODEL_ARGUMENT,
    PRECISION_ARGUMENT,
    TARGET_ARGUMENT,
    uses_archbench,
)
from archbench.pytest_plugin.launched import launched, launched_path
from archbench.pytest_plugin.launching import LaunchOrder, command_of
from archbench.pytest_plugin.settings import settings_of

__all__ = ["Rescue", "Rescuer", "note_poison", "why_leave"]

_POISON: pytest.StashKey[str] = pytest.StashKey()

POLL = 0.05
"""Seconds between two looks at what the other process has written."""

NOT_PASSED = ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT")
"""Variables that make a pytest something else than what it is told to be."""

JUDGING = (
    "baseline-update",
    "baseline-required",
    "strict",
    "quick",
    "energy",
    "launches",
    "shared-ok",
    "imagenet",
    "weights",
    "accuracy-samples",
    "resize",
    "crop",
)
"""Options that a process which takes tests over needs beside those of a launch."""


def note_poison(config: pytest.Config, error: BaseException) -> None:
    """Remember that this process can use its device no more, if that is what an error says."""
    from archbench.devices.registry import is_fatal

    if is_fatal(error):
        config.stash[_POISON] = first_line(error)


def why_leave(item: pytest.Item) -> str | None:
    """Why a test cannot run in this process; None where it can.

    Its device can be used no more, or another network has left something that cannot be put back.
    What a comparison has measured is only told here, and another process would not know of it.
    """
    if _is_told(item):
        return None
    if _POISON in item.config.stash and _needs_device(item):
        return f"this one can use its device no more ({item.config.stash[_POISON]})"
    state = sys.modules.get("archbench.models.process_state")
    left = state.left_behind() if state is not None else {}
    others = {name: what for name, what in left.items() if name != _network_of(item)}
    if not others or not uses_archbench(item):
        return None
    name, what = next(iter(others.items()))
    return f"{name} has changed this one for good ({', '.join(what)})"


def _is_told(item: pytest.Item) -> bool:
    from archbench.pytest_plugin.against import told

    return (
        settings_of(item.config).against is not None and told(item.config, item.nodeid) is not None
    )


def _network_of(item: pytest.Item) -> str | None:
    params = getattr(getattr(item, "callspec", None), "params", {})
    model = params.get(MODEL_ARGUMENT) or params.get("model_spec")
    return getattr(model, "id", None)


class Rescue:
    """The plugin of a process that takes tests over: writes their reports to a file.

    A process that is poisoned in turn ends at once; another takes over what is left.
    """

    def __init__(self, config: pytest.Config, order: LaunchOrder) -> None:
        self._config, self._order = config, order
        self._leaves = False

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep what is wanted, in its order."""
        rank = {nodeid: place for place, nodeid in enumerate(self._order.nodeids)}
        items[:] = sorted(
            (item for item in items if item.nodeid in rank), key=lambda item: rank[item.nodeid]
        )

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write a report, in the form in which pytest-xdist sends them."""
        self._write(
            self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        )

    @pytest.hookimpl
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Say that a test has ended the run, as by ``pytest.exit``: it is to end there too."""
        if not self._leaves:
            status = getattr(excinfo.value, "returncode", None)
            text = text_of(excinfo.value) or type(excinfo.value).__name__
            self._write({"ends": text, "status": status or int(pytest.ExitCode.INTERRUPTED)})

    def _write(self, line: Mapping[str, Any]) -> None:
        with Path(self._order.output).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        """Leave what is left to another process, once this one is poisoned."""
        why = why_leave(item)
        if why is not None:
            self._leaves = True
            pytest.exit(f"a fresh process is needed, since {why}", returncode=1)


class Rescuer:
    """The plugin that hands tests over once this process is poisoned.

    Args:
        config: of this process.
        start: starts a process.
    """

    def __init__(self, config: pytest.Config, start: Callable[..., Any] = subprocess.Popen) -> None:
        self._config, self._start = config, start
        self._items: list[pytest.Item] = []
        self._reports: dict[str, list[pytest.TestReport]] = {}
        self._process: Any = None
        self._files: tempfile.TemporaryDirectory[str] | None = None
        self._number = 0
        self._read = 0
        self._begun: str | None = None

    @pytest.hookimpl
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Remember the tests."""
        self._items = session.items

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Run a test in a fresh process if it needs a device that this one cannot use."""
        if why_leave(item) is None:
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        try:
            reports = self._reports_of(item)
        except pytest.fail.Exception as error:
            # Of another plugin, as a time-out of the test: the process is left alone no longer.
            reports = [self._failed(item, error)]
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    @pytest.hookimpl
    def pytest_sessionfinish(self) -> None:
        """Leave nothing behind."""
        self._end()
        if self._files is not None:
            self._files.cleanup()

    def _end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        self._process = None

    def _reports_of(self, item: pytest.Item) -> list[pytest.TestReport]:
        """Wait for the reports of a test, which a process brings that ran those before it too."""
        while True:
            ended = self._process is None or self._process.poll() is not None
            self._take_reports()
            reports = self._reports.get(item.nodeid, [])
            if _is_whole(reports):
                return self._reports.pop(item.nodeid)
            if not ended:
                time.sleep(POLL)
            elif self._process is not None and self._begun == item.nodeid:
                # The process that was to begin with this test got no further.
                self._begun = None
                said = f"status {self._process.returncode}:\n{self._said()}"
                self._process = None
                return [*self._reports.pop(item.nodeid, []), self._died(item, said)]
            else:
                self._reports.pop(item.nodeid, None)
                self._begin(item)

    def _begin(self, item: pytest.Item) -> None:
        """Start a process for a test and those after it.

        A worker of pytest-xdist hands over the test alone: what it gets next is decided as it goes.
        """
        config = self._config
        after = self._items[self._items.index(item) :]
        left = [item] if hasattr(config, "workerinput") else list(filter(why_leave, after))
        self._files = self._files or tempfile.TemporaryDirectory(prefix="archbench-")
        self._number += 1
        self._read = 0
        order = LaunchOrder(
            nodeids=tuple(one.nodeid for one in left),
            output=str(self._path("jsonl")),
            seed=0,
            time_budget=settings_of(config).time_budget,
            core=None,
            rescue=True,
        )
        self._path("json").write_text(json.dumps(asdict(order)), encoding="utf-8")
        # What launches have measured is not measured again.
        known = {nodeid: one.as_dict() for nodeid, one in launched(config).items()}
        launched_path(self._path("json")).write_text(json.dumps(known), encoding="utf-8")
        self._begun = item.nodeid
        with self._path("txt").open("wb") as said:
            self._process = self._start(
                [*command_of(config, JUDGING), f"--archbench-launch={self._path('json')}"],
                cwd=config.invocation_params.dir,
                env={name: value for name, value in os.environ.items() if name not in NOT_PASSED},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )

    def _path(self, suffix: str) -> Path:
        assert self._files is not None
        return Path(self._files.name) / f"rescue-{self._number}.{suffix}"

    def _take_reports(self) -> None:
        if self._process is None or not self._path("jsonl").exists():
            return
        text = self._path("jsonl").read_text(encoding="utf-8")
        lines = text[: text.rfind("\n") + 1].splitlines()
        for line in lines[self._read :]:
            data = json.loads(line)
            if "ends" in data:
                pytest.exit(data["ends"], returncode=data["status"])
            if isinstance(data["longrepr"], list):  # a skip's; JSON has no tuples
                data["longrepr"] = tuple(data["longrepr"])
            report = self._config.hook.pytest_report_from_serializable(
                config=self._config, data=data
            )
            self._reports.setdefault(report.nodeid, []).append(report)
        self._read = len(lines)

    def _said(self) -> str:
        text = self._path("txt").read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.strip().splitlines()[-12:])

    def _died(self, item: pytest.Item, said: str) -> pytest.TestReport:
        """The report of a test over which the process that took it over ended."""
        sentence = f"a fresh process, started since {why_leave(item)}, ended over it with {said}"
        return self._crashed(item, "process-died", sentence)

    def _failed(self, item: pytest.Item, error: BaseException) -> pytest.TestReport:
        """The report of a test that another plugin failed while a process had it."""
        self._end()
        self._reports.pop(item.nodeid, None)
        return self._crashed(item, "test-failed", f"its test failed: {error}")

    @staticmethod
    def _crashed(item: pytest.Item, reason: str, sentence: str) -> pytest.TestReport:
        from archbench.core.records import Record
        from archbench.core.verdicts import Verdict
        from archbench.pytest_plugin.recording import known_of, metric_of

        report = pytest.TestReport(
            item.nodeid, item.location, dict.fromkeys(item.keywords, 1), "failed",
            f"crashed: {sentence}", "call",
        )  # fmt: skip
        spec, _ = known_of(item)
        if spec is not None:
            verdict = Verdict(metric_of(item), "crashed", reason, sentence)
            record = Record(spec.id, None, verdicts=[verdict])
            report.archbench = record.as_dict()  # type: ignore[attr-defined]
        return report


def _needs_device(item: pytest.Item) -> bool:
    names = getattr(item, "fixturenames", ())
    return TARGET_ARGUMENT in names or PRECISION_ARGUMENT in names


def _is_whole(reports: Sequence[pytest.TestReport]) -> bool:
    return any(report.when == "teardown" for report in reports)
