"""Keeps a run's records: progress, journal, results file, table, and the check at the end."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import pytest

from archbench.catalog import published_top1
from archbench.core.errors import AbsentError, UsageError
from archbench.core.foreign import plain
from archbench.core.launches import LEAST_BASELINE, Launch
from archbench.core.records import Record, SinceLastRun, merge_records
from archbench.core.run_config import further_axes
from archbench.core.spec import LIBRARIES
from archbench.core.verdicts import Note, Verdict
from archbench.gates.informal import since_last_run
from archbench.metrics import format_seconds
from archbench.models.requiring import require_torch
from archbench.pytest_plugin.accuracy import forget_evaluations, images_of, keep_outcomes
from archbench.pytest_plugin.accuracy_gate import write_accuracies
from archbench.pytest_plugin.against import against_lines, play
from archbench.pytest_plugin.benchmark_bridge import add_benchmark, prepare_benchmark_session
from archbench.pytest_plugin.budgets import configuration_of, unjudged_lines
from archbench.pytest_plugin.ci import report_to_ci
from archbench.pytest_plugin.gate import (
    accepted_counts,
    gate_of,
    unasked_lines,
    write_counts,
    write_times,
)
from archbench.pytest_plugin.launched import prepare
from archbench.pytest_plugin.manifest import Manifest
from archbench.pytest_plugin.options import has_workers, is_launch, spelled
from archbench.pytest_plugin.progress import Progress
from archbench.pytest_plugin.selection import selected_models
from archbench.pytest_plugin.settings import settings_of
from archbench.pytest_plugin.shared import MODEL_ARGUMENT, runs_again
from archbench.pytest_plugin.starting import files_of
from archbench.pytest_plugin.terminal import write_command
from archbench.report.provenance import provenance_lines
from archbench.report.summary_lines import last_run_lines, network_lines, summary_lines
from archbench.report.table import doubts, has_accepted_counts, is_bad, run_table
from archbench.store.directory import make_directory
from archbench.store.journal import Journal
from archbench.store.results import results_document, write_results

if TYPE_CHECKING:
    from archbench.measure.hardware import Sharing

__all__ = ["ArchbenchSession"]

_EVALUATED = {"top1", "fingerprint"}
"""Metrics that are accepted together."""

CRASHED_WORKER = "???"
"""What pytest-xdist gives as the phase of a test whose worker died."""


DISTRIBUTIONS = ("pytest-archbench", "pytest-archbench-core")
"""Both hold the same files."""


def refuse_mixed_files() -> None:
    """See that the files of archbench are of one version.

    Raises:
        pytest.UsageError: two distributions of other versions lie over one another.
    """
    found = {}
    for name in DISTRIBUTIONS:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    if len(set(found.values())) > 1:
        raise pytest.UsageError(
            f"{' and '.join(f'{name} {one}' for name, one in found.items())} are both installed, "
            "and the files of one lie over those of the other. Keep one: "
            f"python -m pip uninstall {' '.join(found)}, then install it"
        )


def refuse_absent_devices(config: pytest.Config) -> None:
    """Check what was asked for by name: one thread of ``auto`` in fp32 exists everywhere, and
    finding out would import torch into runs that measure nothing.

    Raises:
        pytest.UsageError: there is no such device, or it cannot run the precision; or there are no
            images where they were said to be.
    """
    settings = settings_of(config)
    if settings.imagenet is not None:
        try:
            images_of(config)
        except UsageError as error:
            raise pytest.UsageError(spelled(config, str(error))) from None
    run_in = {(one.dtype, one.threads, one.runtime) for one in settings.configs}
    if settings.gpu in ("auto", "cpu") and run_in == {("fp32", 1, "eager")}:
        return

    try:
        require_torch()
        from archbench.measure.hardware import make_target

        sharing_of(config)
        for run_config in settings.configs:
            make_target(settings.gpu, config=run_config, measures=False)
    except UsageError as error:
        raise pytest.UsageError(spelled(config, str(error))) from None


_SHARING: pytest.StashKey[Sharing | None] = pytest.StashKey()


def sharing_of(config: pytest.Config) -> Sharing | None:
    """Who else uses the devices of this run, found out once, before it puts anything on them.

    Returns:
        None where no device is one that others could use.

    Raises:
        pytest.UsageError: others use one of them, and ``--shared-ok`` is not given.
    """
    if _SHARING not in config.stash:
        config.stash[_SHARING] = _look_for_others(config)
    return config.stash[_SHARING]


def _look_for_others(config: pytest.Config) -> Sharing | None:
    from archbench.devices.nvml import Nvml

    settings = settings_of(config)
    if settings.gpu == "cpu" or is_launch(config):
        return None
    if settings.gpu == "auto":
        try:
            # Importing torch for a machine without a device of this kind takes too long.
            Nvml.open()
        except AbsentError:
            return None
    from archbench.measure.hardware import refuse_shared

    try:
        workers = getattr(config.option, "numprocesses", None) or 1
        return refuse_shared(settings.gpu, shared_ok=settings.shared_ok, workers=workers)
    except UsageError as error:
        raise pytest.UsageError(spelled(config, str(error))) from None


def group_by_model(items: list[pytest.Item]) -> None:
    """Bring the tests of one architecture together, so that each model is loaded once.

    pytest orders by the parameters of session-scoped fixtures too, but with two of them
    (architecture, target) it may come back to an architecture that it has left.
    """
    places = []
    first_seen: dict[str, int] = {}
    for place, item in enumerate(items):
        params = getattr(getattr(item, "callspec", None), "params", {})
        if MODEL_ARGUMENT in params:
            places.append(place)
            first_seen.setdefault(params[MODEL_ARGUMENT].id, place)
    ours = [items[place] for place in places]
    ours.sort(key=lambda item: first_seen[item.callspec.params[MODEL_ARGUMENT].id])  # type: ignore[attr-defined]
    for place, item in zip(places, ours, strict=True):
        items[place] = item


def _name(model: str, suffix: str) -> str:
    """A cell in a line of text: ``timm/resnet50 fp32-b1``."""
    return f"{model} {suffix}".strip()


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
        self._counted: dict[str, Record] = {}
        self._timed: dict[str, Record] = {}
        self._evaluated: dict[str, Record] = {}
        self._accepted: list[str] = []
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
                self._header["devices"] = sharing.as_dict()
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        self._launch(nodeids, terminal)
        self._progress = Progress(terminal, [_name(*cell) for cell in self._manifest.cells])

    def _launch(self, nodeids: Sequence[str], terminal: Any) -> None:
        def say(text: str) -> None:
            if terminal is not None and terminal.verbosity >= 0:
                terminal.ensure_newline()
                terminal.write_line(text)

        if settings_of(self._config).against is not None:
            play(self._config, nodeids, say)
            return

        prepare(self._config, nodeids, say)

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
                self._progress.started(_name(*cells[0]), self._manifest.done)

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
        sharing = self._config.stash.get(_SHARING, None)
        others = sharing.others if sharing is not None else {}
        if record.target is not None and record.target.device in others:
            text = f"others used the device: {others[record.target.device]}"
            record.notes.append(Note("shared-device", text))
        self._by_model.setdefault(record.id, {})[test] = record
        self._merged.pop(record.id, None)
        if not report.passed:
            self._timed.pop(test, None)
            self._evaluated.pop(test, None)
        if report.when == "call" and report.passed and "layers" in record.metrics:
            self._counted[record.id] = record
        if report.when == "call" and report.passed and "latency" in record.metrics:
            self._timed[test] = record
        if "top1" in record.metrics:
            keep_outcomes(self._config, record, self._the_journal().path.parent)
        if report.when == "call" and report.passed and record.metrics.keys() & _EVALUATED:
            self._evaluated[test] = record
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
                self._progress.finished(_name(model, suffix), cell, manifest.done)

    def _cells_of(self, model: str) -> list[Record]:
        """The cells of an architecture, merged once for all who ask until another test ends."""
        if model not in self._merged:
            self._merged[model] = merge_records(self._by_model.get(model, {}).values())
        return self._merged[model]

    def _cells(self) -> list[Record]:
        return [cell for model in self._by_model for cell in self._cells_of(model)]

    def _run_header(self) -> dict[str, Any]:
        if not self._header:
            from archbench.measure.environment import describe_environment

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
        self._accept(session)
        self._check(session, cells)
        self._tell_ci(cells)
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

    def _accept(self, session: pytest.Session) -> None:
        """Write the baseline, once and at the end, from tests that passed in a run that ended."""
        if settings_of(self._config).baseline_update is None:
            return
        timed = self._acceptable_times()
        if not (self._counted or timed or self._evaluated):
            return
        if self._is_stopped(session) or (self._manifest is not None and self._manifest.missing()):
            self._problems.append("the baseline was not written: the run did not reach its end")
            return

        try:
            updates = []
            if self._counted:
                updates = write_counts(self._config, self._counted)
            if timed:
                updates += write_times(self._config, timed)
            run = None if self._journal is None else self._journal.path.parent
            if self._evaluated:
                updates += write_accuracies(self._config, list(self._evaluated.values()), run)
        except (UsageError, OSError) as error:
            self._problems.append(f"the baseline was not written: {error}")
            return
        self._accepted += [
            f"{path.relative_to(self._config.rootpath)}: {len(updated.added):,} added, "
            f"{len(updated.changed):,} changed, {updated.unchanged:,} as they were."
            for path, updated in updates
        ]

    def _acceptable_times(self) -> list[Record]:
        """Records with launches enough to be a baseline; says which have too few."""
        good, poor = [], []
        for record in self._timed.values():
            launches = [Launch.from_dict(one) for one in record.metrics["latency"]["launches"]]
            enough = sum(one.disturbance is None for one in launches) >= LEAST_BASELINE
            is_new = settings_of(self._config).baseline_update == "new"
            if enough:
                good.append(record)
            elif not is_new or any(v.status == "no-baseline" for v in record.verdicts):
                poor.append((record, launches))
        if poor:
            record, launches = poor[0]
            causes = sorted({one.disturbance for one in launches if one.disturbance})
            self._problems.append(
                f"{len(poor)} times were not accepted, {_name(record.id, record.suffix)} among "
                f"them: a baseline needs {LEAST_BASELINE} launches that can be judged"
                + (f", and {'; '.join(causes[:2])}" if causes else "")
                + (
                    ", and --quick takes one. Leave it out"
                    if settings_of(self._config).quick
                    else ". Run again on a machine without other work"
                )
            )
        return good

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
            for model, figure in self._published(cells).items()
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

    def _tell_ci(self, cells: Sequence[Record]) -> None:
        if is_launch(self._config) or not (cells or self._problems):
            return
        settings = settings_of(self._config)
        told = report_to_ci(
            self._config,
            self._in_order(list(cells)),
            self._records,
            title=self._title(cells),
            problems=self._problems,
            failing=gate_of(self._config).failing,
            code_quality_path=settings.code_quality,
            openmetrics_path=settings.openmetrics,
        )
        self._annotations = told.lines
        self._problems += told.problems

    def _published(self, cells: Sequence[Record]) -> dict[str, Any]:
        models = {}
        specs = {model.id: model for model in selected_models(self._config)}
        for cell in cells:
            spec = specs.get(cell.id)
            figure = published_top1(spec) if spec is not None else None
            if figure is not None:
                models[cell.id] = figure
        return models

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the table, doubts about it, and where the run is stored."""
        if self._records:
            self._print_table(terminalreporter)
        for problem in self._problems:
            message = spelled(self._config, f"archbench: {problem}")
            terminalreporter.write_line(message, red=True, bold=True)
        for line in self._annotations:
            write_command(self._config, line)
        if self._records or self._problems:
            terminalreporter.write_line("")

    def _print_table(self, terminalreporter: Any) -> None:
        cells = self._in_order(self._cells())
        targets = {cell.key[1] for cell in cells if cell.target}
        published = self._published(cells)
        terminalreporter.section(f"archbench: {self._title(cells)}", sep="-")
        counts, last = accepted_counts(self._config).lines, self._since_last_run(cells)
        terminalreporter.write_line(
            run_table(
                cells,
                {model: figure.value for model, figure in published.items()},
                with_target=len(targets) > 1,
                counts=counts,
                changes={key: one.change for key, one in last.items()},
            )
        )
        terminalreporter.write_line("")
        remarks = ["* published, not measured here."] if published else []
        if has_accepted_counts(cells, counts):
            remarks.append("^ accepted, not counted in this run.")
        if any("latency" in cell.metrics for cell in cells):
            remarks.append(
                "p95 needs 130 samples, so it is absent (-) where the time budget allowed fewer."
            )
        if remarks:
            terminalreporter.write_line(" ".join(remarks))
        for sentence in doubts(cells, workers=has_workers(self._config)):
            terminalreporter.write_line(spelled(self._config, sentence), yellow=True)
        for sentence in provenance_lines(cells, self._own_libraries()):
            terminalreporter.write_line(sentence, yellow=True)
        sharing = self._config.stash.get(_SHARING, None)
        for device, others in (sharing.others if sharing is not None else {}).items():
            terminalreporter.write_line(f"{device} was shared: {others}.", yellow=True)
        load = sum(cell.seconds.get("load", 0.0) for cell in cells)
        forward = sum(cell.seconds.get("forward", 0.0) for cell in cells)
        elapsed = time.monotonic() - self._start
        if forward:
            terminalreporter.write_line(
                f"{self._how_many(cells)} in {format_seconds(elapsed)}: {format_seconds(forward)} "
                f"in forward passes, {format_seconds(load)} loading."
            )
        for line in unjudged_lines(self._config, cells):
            terminalreporter.write_line(spelled(self._config, line), yellow=True)
        settings = settings_of(self._config)
        # Beside another version no stored baseline has a part, that could be accepted.
        accepting = settings.baseline_update is not None or settings.against is not None
        for line in (
            *network_lines(cells),
            *self._against_lines(),
            *summary_lines(cells, accepting=accepting),
            *last_run_lines(last),
            *unasked_lines(self._config, cells),
        ):
            terminalreporter.write_line(spelled(self._config, line))
        for line in self._accepted:
            terminalreporter.write_line(line)
        if self._journal is not None:
            path = self._journal.path
            if path.is_relative_to(self._config.rootpath):
                path = path.relative_to(self._config.rootpath)
            terminalreporter.write_line(f"Stored in {path}")

    def _since_last_run(self, cells: Sequence[Record]) -> dict[tuple[str, str], SinceLastRun]:
        settings = settings_of(self._config)
        if self._journal is None or settings.quick or settings.against is not None:
            return {}
        return since_last_run(cells, self._journal.path)

    def _own_libraries(self) -> dict[str, str]:
        """Model libraries that the project itself holds, with their paths from its root."""
        root = self._config.rootpath
        return {
            library: f"./{path}"
            for library in LIBRARIES
            for path in (f"src/{library}", library)
            if library != "archbench" and (root / path / "__init__.py").is_file()
        }

    def _against_lines(self) -> list[str]:
        if settings_of(self._config).against is None:
            return []

        return against_lines(self._config)

    def _how_many(self, cells: Sequence[Record]) -> str:
        expected = len(self._manifest) if self._manifest is not None else 0
        if expected > len(cells):
            return f"{len(cells)} of {expected} cells"
        return f"{len(cells)} cell{'' if len(cells) == 1 else 's'}"

    def _title(self, cells: Sequence[Record]) -> str:
        targets = [cell.target for cell in cells if cell.target]
        if not targets:
            return "counted"
        first = targets[0]
        parts = [f"{first.device} ({first.device_name})"]
        threads, dtype, batch = (
            value.pop()
            if len(value := {getattr(target, field) for target in targets}) == 1
            else None
            for field in ("threads", "dtype", "batch_size")
        )
        if threads:
            parts.append(f"{threads} thread{'s' if threads > 1 else ''}")
        if dtype:
            parts.append(dtype)
        if batch:
            parts.append(f"batch size {batch}")
        for axis in further_axes():
            values = {target[axis.name] for target in targets}
            if len(values) == 1:
                parts.append(axis.text(values.pop()))
        if settings_of(self._config).quick:
            parts.append("quick: not for comparing")
        return ", ".join(filter(None, parts))

    def _in_order(self, cells: list[Record]) -> list[Record]:
        rank = {model.id: i for i, model in enumerate(selected_models(self._config))}
        return sorted(cells, key=lambda cell: rank.get(cell.id, len(rank)))
