"""Keeps a run's records: progress, journal, results file, table, and the check at the end."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import pytest

from archbench.core.foreign import plain
from archbench.core.records import Record, merge_records
from archbench.core.verdicts import Note, Verdict
from archbench.measure.environment import describe_environment
from archbench.pytest_plugin.accepting import Accepting
from archbench.pytest_plugin.against import compare
from archbench.pytest_plugin.benchmark_bridge import add_benchmark, prepare_benchmark_session
from archbench.pytest_plugin.ci import report_to_ci
from archbench.pytest_plugin.configuration import configuration_of
from archbench.pytest_plugin.evaluations import forget_evaluations, keep_outcomes
from archbench.pytest_plugin.gate import (
    accepted_counts,
    gate_of,
)
from archbench.pytest_plugin.manifest import Manifest, cell_name
from archbench.pytest_plugin.options import is_child, spelled
from archbench.pytest_plugin.progress import Progress, expected_of
from archbench.pytest_plugin.refusing import sharing_of
from archbench.pytest_plugin.repeated import prepare
from archbench.pytest_plugin.settings import settings_of
from archbench.pytest_plugin.shared import runs_again
from archbench.pytest_plugin.starting import files_of
from archbench.pytest_plugin.summary import in_order, print_summary, published_of, title_of
from archbench.pytest_plugin.terminal import write_command
from archbench.report.live_line import LiveLine
from archbench.report.table import is_bad
from archbench.store.directory import make_directory
from archbench.store.journal import Journal
from archbench.store.results import results_document, write_results

CRASHED_WORKER = "???"
"""What pytest-xdist gives as the phase of a test whose worker died."""


class ArchbenchSession:
    """One run, as the process sees it that reports to the person."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._manifest: Manifest | None = None
        self._records: dict[str, Record] = {}
        self._by_model: dict[str, dict[str, Record]] = {}
        self._merged: dict[str, list[Record]] = {}
        self._progress: Progress | None = None
        self._journal: Journal | None = None
        self._written: dict[tuple[str, str], Record] = {}
        self._header: dict[str, Any] = {}
        self._start = time.monotonic()
        self._problems: list[str] = []
        self._accepting = Accepting(config)
        self._accepted: list[str] = []
        self._others: Mapping[str, str] = {}
        self._annotations: tuple[str, ...] = ()

    # Collection

    def expect(self, nodeids: Sequence[str]) -> None:
        """Note which tests are to come; every worker reports the same ones."""
        if self._manifest is not None:
            return

        self._manifest = Manifest(nodeids)
        if not len(self._manifest) or self._config.option.collectonly:
            return

        self._run_header()  # the machine's load before the run, not during it
        self._refuse_unwritable_journal()

        # What is damaged is refused before anything is measured.
        configuration_of(self._config)
        accepted_counts(self._config)
        if any(suffix for _, suffix in self._manifest.cells):
            sharing = sharing_of(self._config)
            if sharing is not None and (sharing.others or sharing.unknown):
                self._others = sharing.others
                self._header["devices"] = sharing.as_dict()
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        self._measure_before(nodeids, LiveLine(terminal))
        self._progress = Progress(terminal, expected_of(self._config, self._manifest.cells))

    def _measure_before(self, nodeids: Sequence[str], line: LiveLine) -> None:
        """Measure what is measured before the tests run."""
        if settings_of(self._config).against is not None:
            compare(self._config, nodeids, line.leave, show=line.keep)
        else:
            prepare(self._config, nodeids, line.leave, show=line.keep)
        line.clear()

    def doing(self, what: str) -> None:
        """Show what is being done about the cell that is measured."""
        if self._progress is not None:
            self._progress.doing(what)

    def _refuse_unwritable_journal(self) -> None:
        directory = settings_of(self._config).directory
        runs = directory / "runs"
        try:
            make_directory(runs, directory)
            with tempfile.NamedTemporaryFile(dir=runs):
                pass
        except OSError as error:
            text = (
                f"{runs}: runs are stored there, and nothing can be written ({error.strerror}). "
                "Move what is in the way, or keep them elsewhere: --directory=PATH"
            )
            raise pytest.UsageError(spelled(self._config, text)) from None

    # Running

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Show what is being measured."""
        if self._progress is not None and self._manifest is not None:
            cells = self._manifest.cells_with(nodeid)
            if cells:
                self._progress.started(cell_name(*cells[0]), self._manifest.done)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(
        self, report: pytest.TestReport | pytest.CollectReport
    ) -> tuple[str, str, str] | None:
        """No dots between our lines: each says what became of its cell."""
        if (
            self._progress is None
            or not self._progress.replaces_dots
            or self._manifest is None
            or not self._manifest.cells_with(report.nodeid)
        ):
            return None
        if report.when in ("call", CRASHED_WORKER) and report.outcome in ("passed", "failed"):
            return report.outcome, "", ""
        if runs_again(report):
            return report.outcome, "", ""
        if report.skipped and hasattr(report, "archbench"):
            # What is not measured says so below the table.
            return "skipped", "", ""
        if report.failed:
            return "error", "", ""
        return None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the record off a test's report; of several attempts the last one counts."""
        if runs_again(report):
            return
        data = getattr(report, "archbench", None)
        if report.when == CRASHED_WORKER and report.failed:
            data = self._crashed(report.nodeid)
        if data is None:
            return

        report.sections = [(title, plain(content)) for title, content in report.sections]
        record = Record.from_dict(data)
        if report.when == "call":
            add_benchmark(self._config, report, record)
        test = self._test_of(report.nodeid)
        if test != report.nodeid and self._failed_before(test, record):
            return
        self._records[test] = record
        others = self._others
        if record.target is not None and record.target.device in others:
            text = f"others used the device: {others[record.target.device]}"
            record.notes.append(Note("shared-device", text))
        self._by_model.setdefault(record.id, {})[test] = record
        self._merged.pop(record.id, None)
        self._accepting.add(test, record, report)
        if "top1" in record.metrics:
            keep_outcomes(self._config, record, self._the_journal().path.parent)
        if report.when == CRASHED_WORKER:
            # No further report comes from a worker that died.
            self.pytest_runtest_logfinish(report.nodeid)

    def _test_of(self, nodeid: str) -> str:
        return self._manifest.test_of(nodeid) if self._manifest is not None else nodeid

    def _failed_before(self, test: str, record: Record) -> bool:
        """Whether an earlier repetition of a test failed by its verdict and this one does not: the
        failure stands."""
        before = self._records.get(test)
        return before is not None and is_bad(before) and not is_bad(record)

    def _crashed(self, nodeid: str) -> dict[str, Any] | None:
        """The record of a cell whose worker died while it was being measured."""
        cells = self._manifest.cells_with(nodeid) if self._manifest is not None else []
        if not cells:
            return None

        model = cells[0][0]
        sentence = f"the worker process died while it was measuring {model}"
        metric = "latency" if any(suffix for _, suffix in cells) else "complexity"
        verdict = Verdict(metric, "crashed", "worker-died", sentence)
        return Record(model, verdicts=[verdict]).as_dict()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Write each cell that has ended to the journal, then say so."""
        manifest = self._manifest
        if manifest is not None and manifest.cells_with(nodeid):
            ended = manifest.finish(nodeid)
        elif (test := self._test_of(nodeid)) in self._records:
            # A test of a person's own, outside the parametrization.
            record = self._records[test]
            ended = [(record.id, record.suffix)]
        else:
            return
        for model, suffix in ended:
            merged = self._cells_of(model)
            cell = next((c for c in merged if suffix in (c.suffix, c.test_suffix)), None)
            if cell is None and merged and not merged[0].target:
                # Nothing but its count or its failure to load is known.
                cell = merged[0]
            if cell is not None:
                self._write(cell)
            if self._progress is not None and manifest is not None:
                self._progress.finished(cell_name(model, suffix), cell, manifest.done)

    def _cells_of(self, model: str) -> list[Record]:
        """The cells of an architecture, merged once for all who ask until another test ends."""
        if model not in self._merged:
            self._merged[model] = merge_records(self._by_model.get(model, {}).values())
        return self._merged[model]

    def _cells(self) -> list[Record]:
        return [cell for model in self._by_model for cell in self._cells_of(model)]

    def _run_header(self) -> dict[str, Any]:
        if not self._header:
            self._header = {
                "environment": describe_environment(self._config.rootpath),
                "settings": settings_of(self._config).as_dict(),
            }
        return self._header

    def _the_journal(self) -> Journal:
        if self._journal is None:
            self._journal = Journal(
                settings_of(self._config).directory / "runs", self._run_header()
            )
        return self._journal

    def _write(self, cell: Record) -> None:
        if self._written.get(cell.key) == cell:
            return
        self._the_journal().append(cell)
        self._written[cell.key] = cell

    # The end

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(
        self, session: pytest.Session, exitstatus: int
    ) -> Generator[None, None, None]:
        """Keep what was measured, whatever ended the run; a run without a figure is red."""
        if self._progress is not None:
            # From here on pytest's own words for outcomes are wanted, in its summary.
            self._progress.close()
        cells = self._cells() if self._records else []
        for cell in cells:
            self._write(cell)
        if cells:
            prepare_benchmark_session(self._config, cells)
            self._write_results(cells)
        lacks = self._manifest is not None and bool(self._manifest.missing())
        run = None if self._journal is None else self._journal.path.parent
        self._accepted, problems = self._accepting.write(
            is_whole=not (self._is_stopped(session) or lacks), run=run
        )
        self._problems += problems
        self._check(session, cells)
        self._report_to_ci(cells)
        if any("top1" in cell.metrics for cell in cells) and not self._is_stopped(session):
            forget_evaluations(self._config, cells)
        if self._problems and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self._journal is not None:
            self._journal.close(int(session.exitstatus), time.monotonic() - self._start)

        result = yield
        # What workers left is in the records by now, and they have ended.
        shutil.rmtree(files_of(self._config), ignore_errors=True)
        return result

    @staticmethod
    def _is_stopped(session: pytest.Session) -> bool:
        """Whether the run ended before its end."""
        return (
            bool(session.shouldstop)
            or bool(session.shouldfail)
            or session.exitstatus
            in (
                pytest.ExitCode.INTERRUPTED,
                pytest.ExitCode.USAGE_ERROR,
                pytest.ExitCode.INTERNAL_ERROR,
            )
        )

    def _check(self, session: pytest.Session, cells: Sequence[Record]) -> None:
        manifest = self._manifest
        if manifest is None or not len(manifest) or self._config.option.collectonly:
            return
        stopped = self._is_stopped(session)
        if not stopped and manifest.missing():
            missing = manifest.missing()
            self._problems.append(
                f"{len(missing)} tests were collected and never reported, {missing[0]} among "
                "them. A worker may have died; run them again"
            )
        if (
            not any(cell.is_measured for cell in cells)
            and not getattr(self._config.option, "benchmark_skip", False)
            and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        ):
            self._problems.append(
                f"no cell was measured of {len(manifest)} selected. "
                "See the failures or the reasons of the skips above (-rs)"
            )

    def _write_results(self, cells: Sequence[Record]) -> None:
        settings = settings_of(self._config)
        if settings.results is None:
            return

        published = {
            model: {"top1": {"value": figure.value, "unit": "%", "source": figure.source}}
            for model, figure in published_of(self._config, cells).items()
        }
        document = results_document(self._run_header(), cells, published)
        try:
            write_results(settings.results, document)
        except OSError as error:
            journal = self._journal.path if self._journal else "nowhere"
            self._problems.append(
                f"--results={settings.results} could not be written: {error}. "
                f"Everything measured is in {journal}"
            )

    def _report_to_ci(self, cells: Sequence[Record]) -> None:
        if is_child(self._config) or not (cells or self._problems):
            return
        settings = settings_of(self._config)
        report = report_to_ci(
            self._config,
            in_order(self._config, cells),
            self._records,
            title=title_of(self._config, cells),
            problems=self._problems,
            failing=gate_of(self._config).failing,
            code_quality_path=settings.code_quality,
            openmetrics_path=settings.openmetrics,
        )
        self._annotations = report.lines
        self._problems += report.problems

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the table, doubts about it, and where the run is stored."""
        if self._records:
            cells = in_order(self._config, self._cells())
            title = title_of(self._config, cells)
            terminalreporter.section(f"archbench: {title}", sep="-")
            print_summary(
                self._config,
                cells,
                terminalreporter.write_line,
                expected=len(self._manifest) if self._manifest is not None else 0,
                elapsed=time.monotonic() - self._start,
                sharing=self._others,
                journal=None if self._journal is None else self._journal.path,
            )
            for line in self._accepted:
                terminalreporter.write_line(line)
            if self._journal is not None:
                path = self._journal.path
                if path.is_relative_to(self._config.rootpath):
                    path = path.relative_to(self._config.rootpath)
                terminalreporter.write_line(f"Stored in {path}")
        for problem in self._problems:
            message = spelled(self._config, f"archbench: {problem}")
            terminalreporter.write_line(message, red=True, bold=True)
        for line in self._annotations:
            write_command(self._config, line)
        if self._records or self._problems:
            terminalreporter.write_line("")
