"""Reports to the CI system of a run: GitHub's summary and annotations, GitLab's files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import pytest

from archbench.core.gate import COMPLEXITY, COUNTS
from archbench.core.lines import CountLine
from archbench.core.records import Record
from archbench.core.verdicts import FAILING
from archbench.pytest_plugin.gate import accepted_counts, gate_of
from archbench.pytest_plugin.options import spelled
from archbench.report.ci import (
    SUMMARY_LIMIT,
    Diagnostic,
    annotation_lines,
    code_quality,
    junit_properties,
    metrics_text,
    step_summary,
)
from archbench.store.atomic import write_text


@dataclass(frozen=True, slots=True)
class CiReport:
    """What is left to do after the files are written.

    Attributes:
        lines: to print, each at the start of a line.
        problems: files that were asked for and could not be written.
    """

    lines: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def report_to_ci(
    config: pytest.Config,
    cells: Sequence[Record],
    records: Mapping[str, Record],
    *,
    title: str,
    problems: Sequence[str] = (),
    failing: Sequence[str] = FAILING,
    code_quality_path: Path | None = None,
    openmetrics_path: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> CiReport:
    """Write what CI systems read; outside CI, and with no file asked for, nothing.

    GitHub is recognised by its own variables: ``GITHUB_STEP_SUMMARY`` names a file that Markdown is
    appended to, ``GITHUB_ACTIONS=true`` makes it read annotations from the output. A summary that
    cannot be written is said and fails nothing: nobody asked for it.

    Args:
        cells: merged records, in the order of the table.
        records: those that ``cells`` were merged from, by the id of their test.
        title: device and settings of the run.
        problems: what went wrong with the run as a whole.
        failing: statuses that fail a test in this run.
        code_quality_path: where to write GitLab's code-quality report.
        openmetrics_path: where to write figures as OpenMetrics text.
    """
    unwritten: list[str] = []
    cells = [_spelled_cell(config, cell) for cell in cells]
    locate = _locator(config, records)

    def write(option: str, path: Path, text: str) -> None:
        try:
            write_text(path, text)
        except OSError as error:
            unwritten.append(f"{option}={path} could not be written: {error}")

    if code_quality_path is not None:
        report = code_quality(cells, locate, failing=failing)
        write("--code-quality", code_quality_path, json.dumps(report, indent=1) + "\n")
    if openmetrics_path is not None:
        write("--openmetrics", openmetrics_path, metrics_text(cells))
    shown = [spelled(config, problem) for problem in (*problems, *unwritten)]
    on_github = environ.get("GITHUB_ACTIONS") == "true"
    lines = (
        annotation_lines(cells, problems=shown, failing=failing, locate=locate) if on_github else []
    )
    summary = environ.get("GITHUB_STEP_SUMMARY")
    failure = _append_summary(Path(summary), cells, title, shown, failing) if summary else ""
    warning = "::warning title=archbench::" if on_github else ""
    said = [f"{warning}{failure}"] if failure else []
    return CiReport((*lines, *said), tuple(unwritten))


def _spelled_cell(config: pytest.Config, cell: Record) -> Record:
    """With our options spelled as they exist in this project."""
    verdicts = [replace(v, sentence=spelled(config, v.sentence)) for v in cell.verdicts]
    return replace(cell, verdicts=verdicts)


def _append_summary(
    path: Path,
    cells: Sequence[Record],
    title: str,
    problems: Sequence[str],
    failing: Sequence[str],
) -> str | None:
    """The sentence to say where it could not be written."""
    try:
        # Steps and runs before this one have written to it: all of it counts.
        written = path.stat().st_size if path.exists() else 0
        text = step_summary(
            cells, title, problems=problems, failing=failing, limit=SUMMARY_LIMIT - written - 1
        )
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write("\n" + text if written else text)
    except (OSError, ValueError) as error:
        return f"the step summary was not written: {error}"
    return None


def _locator(
    config: pytest.Config, records: Mapping[str, Record]
) -> Callable[[Diagnostic], tuple[str, int]]:
    """The accepted line that a count is compared with; for the rest the file of its test."""
    baselines = gate_of(config).path(CountLine).relative_to(config.rootpath).as_posix()
    tests = {
        (record.id, verdict.metric): nodeid.partition("::")[0]
        for nodeid, record in records.items()
        for verdict in record.verdicts
    }

    def locate(diagnostic: Diagnostic) -> tuple[str, int]:
        if diagnostic.metric in (COMPLEXITY, *COUNTS):
            number = accepted_counts(config).numbers.get(diagnostic.id)
            if number is not None:
                return baselines, number
        test = tests.get((diagnostic.id, diagnostic.metric), "")
        # The tests of an installed wheel lie outside the repository, and have names of modules.
        path = PurePosixPath(test)
        is_here = (config.rootpath / path).is_file()
        if not is_here or path.is_absolute() or ".." in path.parts:
            return baselines, 1
        return test, 1

    return locate


def set_junit_properties(item: pytest.Item, record: Record) -> None:
    """Put a record's figures on a test, in place of those of an earlier record of the same test."""
    drop_junit_properties(item, record)
    item.user_properties += junit_properties(record)


def drop_junit_properties(item: pytest.Item, record: Record) -> None:
    """Take a record's figures off a test, as where it runs again."""
    names = {name for name, _ in junit_properties(record)}
    item.user_properties[:] = [given for given in item.user_properties if given[0] not in names]
