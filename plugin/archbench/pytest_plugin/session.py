"""Keeps a run's records: progress, journal, results file, table, and the check at the end."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import pytest

from archbench.core.foreign import plain
from archbench.core.records import Record, merge_records
from archbench.core.verdicts import Note, Verdict
from archbench.pytest_plugin.accepting import Accepting
from archbench.pytest_plugin.against import PairsKept, compare
from archbench.pytest_plugin.benchmark_bridge import add_benchmark, prepare_benchmark_session
from archbench.pytest_plugin.brought import ProcessRunsKept
from archbench.pytest_plugin.ci import report_to_ci
from archbench.pytest_plugin.configuration import configuration_of
from archbench.pytest_plugin.ending import Ending, ended_by
from archbench.pytest_plugin.evaluations import forget_evaluations, keep_outcomes
from archbench.pytest_plugin.gate import accepted_counts, gate_of
from archbench.pytest_plugin.hosts import hosts_of
from archbench.pytest_plugin.keeping import Keeping
from archbench.pytest_plugin.manifest import Manifest, cell_name
from archbench.pytest_plugin.options import has_workers, is_child, shows_only, spelled
from archbench.pytest_plugin.progress import Progress, expected_of
from archbench.pytest_plugin.refusing import sharing_of
from archbench.pytest_plugin.repeated import prepare
from archbench.pytest_plugin.resuming import done_tests, report_again
from archbench.pytest_plugin.settings import settings_of
from archbench.pytest_plugin.shared import runs_again
from archbench.pytest_plugin.starting import ending_on_full_disk, remove_files
from archbench.pytest_plugin.summary import in_order, print_summary, published_of, title_of
from archbench.pytest_plugin.terminal import write_command
from archbench.report.live_line import LiveLine
from archbench.report.table import is_bad
from archbench.store.results import results_document, write_results

CRASHED_WORKER = "???"
"""What pytest-xdist gives as the phase of a test whose worker died."""

_TO_THE_END = (
    pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED
)  # fmt: skip
"""Exit statuses of a run that has reached its end."""


class ArchbenchSession:
    """One run, as the process sees it that reports to the person."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._manifest: Manifest | None = None
        self._records: dict[str, Record] = {}
        self._by_model: dict[str, dict[str, Record]] = {}
        self._merged: dict[str, list[Record]] = {}
        self._progress: Progress | None = None
        self._keeping = Keeping(config)
        self._ending = Ending(config)
        self._hosts = hosts_of(config)
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

        done = done_tests(self._config)
        self._manifest = Manifest(nodeids)
        if not len(self._manifest) or shows_only(self._config):
            return

        header = self._keeping.header  # the machine's load before the run, not during it
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        line = LiveLine(terminal)
        self._keeping.begin(nodeids, line.leave)
        self._ending.begin()

        # What is damaged is refused before anything is measured.
        configuration_of(self._config)
        accepted_counts(self._config)
        if any(suffix for _, suffix in self._manifest.cells):
            sharing = sharing_of(self._config) if self._hosts is None else self._hosts.sharing
            if sharing is not None and (sharing.others or sharing.unknown):
                self._others = sharing.others
                header["devices"] = sharing.as_dict()
        if self._hosts is None:
            self._measure_before(nodeids, line)
        expected = expected_of(self._config, self._manifest.cells_but(done))
        cells = map(cell_name, *zip(*self._manifest.cells, strict=True))
        self._progress = Progress(terminal, dict.fromkeys(cells, 0.0) | expected)
        if has_workers(self._config):
            for test in nodeids:
                if test in done:
                    report_again(self._config, test)

    def _measure_before(self, nodeids: Sequence[str], line: LiveLine) -> None:
        """Measure what is measured before the tests run."""
        keeping, before = self._keeping, self._keeping.resumption
        if settings_of(self._config).against is not None:
            kept = before.kept.pairs if before is not None else {}
            journal = PairsKept(kept, keeping.pair)
            compare(self._config, nodeids, line.leave, show=line.keep, kept=journal)
        else:
            done = done_tests(self._config)
            runs = before.kept.process_runs if before is not None else {}
            prepare(
                self._config,
                [one for one in nodeids if one not in done],
                line.leave,
                show=line.keep,
                kept=ProcessRunsKept(runs, keeping.process_run),
            )
        line.clear()

    def doing(self, what: str) -> None:
        """Show what is being done about the cell that is measured."""
        if self._progress is not None:
            self._progress.doing(what)

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
        self._keeping.add_report(report)
        if runs_again(report):
            return
        data = getattr(report, "archbench", None)
        record = None if data is None else Record.from_dict(data)
        if report.when == CRASHED_WORKER and report.failed:
            record = self._crashed(report.nodeid)
        if record is None:
            return

        report.sections = [(title, plain(content)) for title, content in report.sections]
        if report.when == "call":
            add_benchmark(self._config, report, record)
        test = self._test_of(report.nodeid)
        if test != report.nodeid and self._failed_before(test, record):
            return
        self._records[test] = record
        device = record.target.device if record.target is not None else ""
        if device and hasattr(report, "node") and self._hosts is not None:
            device = f"{device} of {report.node.workerinput['archbench_host']}"
        if device in self._others:
            text = f"others used the device: {self._others[device]}"
            record.notes.append(Note("shared-device", text))
        self._by_model.setdefault(record.id, {})[test] = record
        self._merged.pop(record.id, None)
        self._accepting.add(test, record, report)
        if "top1" in record.metrics:
            with ending_on_full_disk(self._config, self._keeping.run):
                keep_outcomes(self._config, record, self._keeping.run)
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

    def _crashed(self, nodeid: str) -> Record | None:
        """The record of a cell whose worker died while it was being measured."""
        cells = self._manifest.cells_with(nodeid) if self._manifest is not None else []
        if not cells:
            return None

        model = cells[0][0]
        sentence = f"the worker process died while it was measuring {model}"
        metric = "latency" if any(suffix for _, suffix in cells) else "complexity"
        verdict = Verdict(metric, "crashed", "worker-died", sentence)
        if self._hosts is not None and nodeid in self._hosts.unmeasured:
            sentence = self._hosts.unmeasured[nodeid]
            verdict = Verdict(metric, "not-measured", "host-lost", sentence)
        return Record(model, verdicts=[verdict])

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Write each cell that has ended to the journal, then say so."""
        self._keeping.test_ended(nodeid)
        manifest = self._manifest
        if manifest is not None and manifest.cells_with(nodeid):
            ended = manifest.finish(nodeid)
        elif (test := self._test_of(nodeid)) in self._records:
            # A test of a person's own, outside the parametrization.
            record = self._records[test]
            ended = [(record.id, record.suffix)]
        else:
            return
        for later, (model, suffix) in enumerate(ended, 1 - len(ended)):
            merged = self._cells_of(model)
            cell = next((c for c in merged if suffix in (c.suffix, c.test_suffix)), None)
            if cell is None and merged and not merged[0].target:
                # Nothing but its count or its failure to load is known.
                cell = merged[0]
            if cell is not None:
                self._keeping.write(cell)
            if self._progress is not None and manifest is not None:
                self._progress.finished(cell_name(model, suffix), cell, manifest.done + later)

    def _cells_of(self, model: str) -> list[Record]:
        """The cells of an architecture, merged once for all who ask until another test ends."""
        if model not in self._merged:
            self._merged[model] = merge_records(self._by_model.get(model, {}).values())
        return self._merged[model]

    def _cells(self) -> list[Record]:
        return [cell for model in self._by_model for cell in self._cells_of(model)]

    # The end

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Say of Ctrl-C how the run goes on; whatever else has stopped it has said so."""
        if excinfo.type is KeyboardInterrupt and self._keeping.path is not None:
            self._problems.append(ended_by())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(
        self, session: pytest.Session, exitstatus: int
    ) -> Generator[None, None, None]:
        """Keep what was measured, whatever ended the run; a run without a figure is red."""
        self._ending.finish()
        if self._progress is not None:
            # From here on pytest's own words for outcomes are wanted, in its summary.
            self._progress.close()
        cells = self._cells() if self._records else []
        for cell in cells:
            self._keeping.write(cell)
        if cells:
            prepare_benchmark_session(self._config, cells)
            self._write_results(cells)
        unmeasured = () if self._hosts is None else self._hosts.unmeasured
        if unmeasured:
            self._problems.append(
                f"{len(unmeasured)} tests were not measured: hosts were lost. --resume goes on"
            )
        lacks = bool(unmeasured) or (self._manifest is not None and bool(self._manifest.missing()))
        run = None if self._keeping.path is None else self._keeping.path.parent
        self._accepted, problems = self._accepting.write(
            is_whole=not (self._is_stopped(session) or lacks), run=run
        )
        self._problems += problems
        self._check(session, cells)
        self._problems += filter(None, [self._keeping.problem])
        self._report_to_ci(cells)
        if any("top1" in cell.metrics for cell in cells) and not self._is_stopped(session):
            forget_evaluations(self._config, cells)
        if self._problems and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        self._keeping.close(
            int(session.exitstatus),
            time.monotonic() - self._start,
            complete=not (self._is_stopped(session) or lacks),
        )

        result = yield
        # What workers left is in the records by now, and they have ended.
        remove_files(self._config)
        self._ending.end()
        return result

    @staticmethod
    def _is_stopped(session: pytest.Session) -> bool:
        """Whether the run ended before its end."""
        return (
            bool(session.shouldstop)
            or bool(session.shouldfail)
            or session.exitstatus not in _TO_THE_END
        )

    def _check(self, session: pytest.Session, cells: Sequence[Record]) -> None:
        manifest = self._manifest
        if manifest is None or not len(manifest) or shows_only(self._config):
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
            model: figure.as_top1() for model, figure in published_of(self._config, cells).items()
        }
        document = results_document(self._keeping.header, cells, published)
        try:
            write_results(settings.results, document)
        except OSError as error:
            journal = self._keeping.path or "nowhere"
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
            terminalreporter.section(f"archbench: {title_of(self._config, cells)}", sep="-")
            print_summary(
                self._config,
                cells,
                terminalreporter.write_line,
                expected=len(self._manifest) if self._manifest is not None else 0,
                elapsed=time.monotonic() - self._start,
                sharing=self._others,
                journal=self._keeping.path,
                is_accepted=bool(self._accepted) and not self._problems,
            )
            for line in (*self._accepted, *filter(None, [self._keeping.went_on])):
                terminalreporter.write_line(line)
            if self._keeping.path is not None:
                path = self._keeping.path
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
