"""GitLab's code-quality report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypedDict

from archbench.core.records import Record
from archbench.core.verdicts import FAILING
from archbench.report.ci.diagnostics import Diagnostic, diagnostics


class Lines(TypedDict):
    """The first line that an entry is about."""

    begin: int


class Location(TypedDict):
    """Where an entry is shown."""

    path: str
    lines: Lines


class Entry(TypedDict):
    """One entry of the report, in the fields of Code Climate that GitLab reads."""

    description: str
    check_name: str
    fingerprint: str
    severity: str
    location: Location


_SEVERITIES = {"regressed": "major", "changed": "major", "no-baseline": "major"}


def code_quality(
    cells: Iterable[Record],
    locate: Callable[[Diagnostic], tuple[str, int]],
    *,
    failing: Sequence[str] = FAILING,
) -> list[Entry]:
    """GitLab's code-quality report: what fails, and what could not be decided.

    GitLab compares the report of a merge request with that of its target branch by fingerprint.

    Args:
        cells: merged records.
        locate: the file and line of a diagnostic; GitLab shows none without.
        failing: see :func:`diagnostics`.
    """
    report: dict[str, Entry] = {}
    for diagnostic in diagnostics(cells, failing=failing):
        if diagnostic.level not in ("error", "warning"):
            continue
        path, line = locate(diagnostic)
        severity = _SEVERITIES.get(diagnostic.status, "critical")
        report.setdefault(
            diagnostic.identity,
            {
                "description": f"{diagnostic.cell}: {diagnostic.metric.replace('_', ' ')} "
                f"{diagnostic.status}: {diagnostic.sentence}",
                "check_name": f"archbench-{diagnostic.metric.replace('_', '-')}",
                "fingerprint": diagnostic.identity,
                "severity": severity if diagnostic.level == "error" else "minor",
                "location": {"path": path, "lines": {"begin": line}},
            },
        )
    return list(report.values())
