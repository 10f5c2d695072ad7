"""What a run puts on the disk while it goes on: its journal."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from archbench.core.forms import form_of
from archbench.core.headers import RunHeader
from archbench.core.records import Record
from archbench.pytest_plugin.options import refusing
from archbench.pytest_plugin.resuming import (
    Resumption,
    going_on,
    header_of,
    resumption_of,
    what_of,
)
from archbench.pytest_plugin.settings import settings_of
from archbench.store.directory import make_directory, writing
from archbench.store.journal import Journal, Report
from archbench.workers.schedule import PairedCell


class Keeping:
    """The journal of a run: a new one, or that of the run that this one goes on with.

    Attributes:
        problem: why nothing can be written any more; empty as long as it can.
        went_on: what is said of the run that this one went on with; empty where it went on with
            none.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._header: RunHeader = {}
        self._identity: RunHeader = {}
        self._journal: Journal | None = None
        self._written: dict[tuple[str, str], Record] = {}
        self._reports: dict[str, list[Report]] = {}
        self._of_cells: set[str] = set()
        self._once: set[str] = set()
        self._pairs: dict[str, int] = {}
        self.problem = ""
        self.went_on = ""

    @property
    def resumption(self) -> Resumption | None:
        """What this run goes on with."""
        return resumption_of(self._config)

    @property
    def header(self) -> RunHeader:
        """Environment and settings of the run, as they were at its start."""
        if not self._header:
            self._header = header_of(self._config)
        return self._header

    @property
    def path(self) -> Path | None:
        """Of the journal; None where nothing is written."""
        return None if self._journal is None else self._journal.path

    @property
    def run(self) -> Path:
        """The run's directory."""
        return self._the_journal().path.parent

    def begin(self, nodeids: Sequence[str], say: Callable[[str], None]) -> None:
        """See that a journal can be written, or go on with one.

        Args:
            nodeids: the tests of the run.
            say: given a sentence about what a run goes on with.

        Raises:
            pytest.UsageError: it cannot be written, or is of another run.
        """
        self._refuse_unwritable()
        self._identity = what_of(self._config, nodeids)
        resumption = self.resumption
        if resumption is None:
            return
        before = resumption.kept.run
        with refusing(self._config):
            resumption.refuse_others({**self.header, **self._identity}, nodeids)
            left_out = ("schema", "kind", "run", *self._identity)
            stated = {one: value for one, value in before.header.items() if one not in left_out}
            header = cast("RunHeader", stated)
            runs = resumption.path.parent.parent
            journal = Journal(runs, header, resumption.path.parent.name)
            try:
                cut = journal.reopen()
            except OSError as error:
                raise pytest.UsageError(
                    f"{resumption.name}: {resumption.path} cannot be written to ({error.strerror})"
                ) from None
        self._header, self._journal = header, journal
        self._written = {cell.key: cell for cell in before.cells}
        self.went_on = going_on(resumption, nodeids, cut)
        say(self.went_on)

    def _refuse_unwritable(self) -> None:
        directory = settings_of(self._config).directory
        runs = directory / "runs"
        with refusing(self._config), writing(runs, "runs are stored there"):
            make_directory(runs, directory)
            with tempfile.NamedTemporaryFile(dir=runs):
                pass

    def _the_journal(self) -> Journal:
        if self._journal is None:
            runs = settings_of(self._config).directory / "runs"
            self._journal = Journal(runs, {**self.header, **self._identity})
        return self._journal

    def add_report(self, report: pytest.TestReport) -> None:
        """Take a report of a test, until the test ends."""
        if hasattr(report, "archbench"):
            self._of_cells.add(report.nodeid)
        if hasattr(report, "archbench_once"):
            self._once.add(report.nodeid)
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        data.pop("node", None)  # of pytest-xdist
        self._reports.setdefault(report.nodeid, []).append(data)

    def test_ended(self, test: str) -> None:
        """Write what a test of a cell has come to, for a run that goes on with this one."""
        reports = self._reports.pop(test, [])
        is_known = self.resumption is not None and test in self.resumption.kept.tests
        if test in self._of_cells and test not in self._once and not is_known:
            self._keep(lambda journal: journal.append_test(test, reports))

    def write(self, cell: Record) -> None:
        """Write a cell, unless it stands there already."""
        if self._written.get(cell.key) != cell:
            self._keep(lambda journal: journal.append(cell))
            self._written[cell.key] = cell

    def process_run(self, test: str, into: str, brought: object) -> None:
        """Write what a process has brought of a test."""
        self._keep(lambda journal: journal.append_process_run(test, into, form_of(brought)))
        self._end_at_once()

    def pair(self, test: str, paired: PairedCell) -> None:
        """Write what a pair of processes has brought of a test."""
        if test not in self._pairs:
            kept = None if self.resumption is None else self.resumption.kept
            self._pairs[test] = 0 if kept is None else len(kept.pair_runs(test))
        before = self._pairs[test]
        self._pairs[test] = len(paired.process_runs)
        form = form_of(replace(paired, process_runs=paired.process_runs[before:]))
        self._keep(lambda journal: journal.append_pair(test, form, before))
        self._end_at_once()

    def _end_at_once(self) -> None:
        """End the run before its first test, where nothing can be kept."""
        if self.problem:
            pytest.exit("the journal could not be written", pytest.ExitCode.INTERRUPTED)

    def _keep(self, write: Callable[[Journal], None]) -> None:
        """Write something; where that is impossible the run ends, and says why."""
        if self.problem:
            return
        journal = self._the_journal()
        try:
            write(journal)
        except OSError as error:
            self.problem = (
                f"{journal.path} could not be written: {error.strerror}. What was measured before "
                "is in it. Make room, and go on with --resume"
            )
            for name in ("session", "dsession"):
                session = self._config.pluginmanager.get_plugin(name)
                if session is not None:
                    session.shouldstop = "the journal could not be written"

    def close(self, exit_status: int, seconds: float, *, complete: bool) -> None:
        """Mark the run as having reached its end."""
        journal = self._journal
        if journal is not None:
            self._keep(lambda one: one.close(exit_status, seconds, complete=complete))
            journal.let_go()
