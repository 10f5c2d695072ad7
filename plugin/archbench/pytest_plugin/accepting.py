"""What a run accepts as the baseline: gathered test by test, written once at its end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from archbench.core.errors import UsageError
from archbench.core.lines import TimeLine
from archbench.core.process_runs import LEAST_BASELINE
from archbench.core.records import Record
from archbench.pytest_plugin.accuracy_gate import write_accuracies
from archbench.pytest_plugin.gate import accepted_of, write_counts, write_times
from archbench.pytest_plugin.settings import settings_of
from archbench.store.baselines import Updated

_EVALUATED = {"top1", "fingerprint"}
"""Metrics that are accepted together."""


class Accepting:
    """Records that a baseline can be made of."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._counted: dict[str, Record] = {}
        self._timed: dict[str, Record] = {}
        self._evaluated: dict[str, Record] = {}

    def add(self, test: str, record: Record, report: pytest.TestReport) -> None:
        """Take what a test measured, unless it failed: then nothing of it is accepted."""
        if not report.passed:
            self._timed.pop(test, None)
            if report.skipped and any(one.status == "inconclusive" for one in record.verdicts):
                self._timed[test] = record
            self._evaluated.pop(test, None)
        elif report.when == "call":
            if "layers" in record.metrics:
                self._counted[record.id] = record
            if "latency" in record.metrics:
                self._timed[test] = record
            if record.metrics.keys() & _EVALUATED:
                self._evaluated[test] = record

    def write(self, *, is_whole: bool, run: Path | None) -> tuple[list[str], list[str]]:
        """Write the baseline from tests that passed, in a run that reached its end.

        Args:
            is_whole: whether the run did.
            run: its directory, where outcomes are; None where nothing is stored.

        Returns:
            What was accepted, and what is wrong, each as sentences.
        """
        if settings_of(self._config).baseline_update is None:
            return [], []
        timed, problems = self._acceptable_times()
        if not (self._counted or timed or self._evaluated):
            return [], problems
        if not is_whole:
            return [], [*problems, "the baseline was not written: the run did not reach its end"]
        root = self._config.rootpath
        try:
            accepted = [
                f"{path.relative_to(root)}: {len(updated.added):,} added, "
                f"{len(updated.changed):,} changed, {updated.unchanged:,} as they were."
                for path, updated in self._updates(timed, run)
            ]
        except (UsageError, OSError) as error:
            return [], [*problems, f"the baseline was not written: {error}"]
        return accepted, problems

    def _updates(self, timed: list[Record], run: Path | None) -> Iterator[tuple[Path, Updated]]:
        if self._counted:
            yield from write_counts(self._config, self._counted)
        if timed:
            yield from write_times(self._config, timed)
        if self._evaluated:
            yield from write_accuracies(self._config, list(self._evaluated.values()), run)

    def _acceptable_times(self) -> tuple[list[Record], list[str]]:
        """Records with process runs enough to be a baseline; says which have too few."""
        good, poor = [], []
        for record in self._timed.values():
            process_runs = record.process_runs
            enough = sum(one.disturbance is None for one in process_runs) >= LEAST_BASELINE
            is_new = settings_of(self._config).baseline_update == "new"
            if enough:
                good.append(record)
            elif not is_new or accepted_of(self._config, TimeLine, record).line is None:
                poor.append(record)
        problems = []
        if poor:
            record = poor[0]
            causes = sorted({one.disturbance for one in record.process_runs if one.disturbance})
            if not record.process_runs:
                causes += [one.sentence for one in record.verdicts if one.status == "inconclusive"]
            were = "1 time was" if len(poor) == 1 else f"{len(poor):,} times were"
            problems.append(
                f"{were} not accepted, {record.id} {record.suffix}"
                f"{' among them' if len(poor) > 1 else ''}: a baseline needs {LEAST_BASELINE} "
                "process runs that can be judged"
                + (f", and {'; '.join(causes[:2])}" if causes else "")
                + (
                    ", and --quick takes one. Leave it out"
                    if settings_of(self._config).quick
                    else ". Run again on a machine without other work"
                )
            )
        return good, problems
