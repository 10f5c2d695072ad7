"""What a run says to CI systems: Markdown, annotations, code quality, OpenMetrics, properties."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from archbench.core.foreign import plain
from archbench.core.gate import COUNTS, METRIC
from archbench.core.records import Record, derived, target_key
from archbench.core.run_config import further_axes
from archbench.core.spec import Target
from archbench.core.verdicts import FAILING, NEWS, TOLD, Verdict
from archbench.metrics import METRICS, format_significant
from archbench.report.table import NOISE, NOISY_MARK
from archbench.report.tables import ABSENT, BLANK, Strong, Table, markdown

__all__ = [
    "SUMMARY_LIMIT",
    "Finding",
    "Locate",
    "annotation_lines",
    "code_quality",
    "findings",
    "junit_properties",
    "metrics_text",
    "step_summary",
]

SUMMARY_LIMIT = 1024 * 1024
"""Bytes of a step summary: GitHub refuses more, and shows none of it then."""

SHOWN_ANNOTATIONS = 10
"""Of each level: GitHub drops the others of a step."""

LONGEST_SENTENCE = 1000
"""Characters of a sentence; a model's own error can be a page."""

_SHARED = (METRIC, *COUNTS)
"""Metrics that do not depend on a device: every cell of an architecture has the same verdicts."""

_WORDS = ("verdict", "architecture", "target", "metric", "why")
_WARNING = ("inconclusive", "not-comparable")
_SEVERITIES = {"regressed": "major", "changed": "major", "no-baseline": "major"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One verdict, once: the counts of an architecture are not said again for each of its cells.

    Attributes:
        id: of the architecture.
        target: ``cpu-amd-epyc/fp32-b1``; empty where the verdict does not depend on it.
        metric, status, reason, sentence, baseline, value, budget: of the verdict.
        level: ``error`` where it fails a test, ``warning`` where nothing could be told, ``notice``
            where it is better or accepted; None for what needs nobody's attention.
    """

    id: str
    target: str
    metric: str
    status: str
    reason: str
    sentence: str
    baseline: Any
    value: Any
    level: str | None
    budget: str | None = None

    @property
    def cell(self) -> str:
        """``timm/resnet50 fp32-b1``."""
        return f"{self.id} {self.target.rpartition('/')[2]}".strip()

    @property
    def fingerprint(self) -> str:
        """The same in every run in which the same is wrong with the same cell, whatever the values.

        64 hexadecimal digits.
        """
        # A metric may have a baseline and several budgets.
        about = () if self.budget is None else (self.budget,)
        parts = "\0".join((self.id, self.target, self.metric, self.status, *about))
        return hashlib.sha256(parts.encode("utf-8", "backslashreplace")).hexdigest()


Locate = Callable[[Finding], "tuple[str, int] | None"]
"""To a path from the repository's root and a line; None where nothing in a file is meant."""


def findings(cells: Iterable[Record], *, failing: Sequence[str] = FAILING) -> list[Finding]:
    """Every verdict once, those that fail first, then by how much they say.

    Args:
        cells: merged records.
        failing: statuses that fail a test in this run; a change that is being accepted does not.
    """
    found: dict[Finding, None] = {}
    for cell in cells:
        for verdict in cell.verdicts:
            shared = verdict.metric in _SHARED
            finding = Finding(
                cell.id,
                "" if shared else target_key(cell.target),
                verdict.metric,
                verdict.status,
                verdict.reason,
                _clean(verdict.sentence) or verdict.reason,
                _hashable(verdict.baseline),
                _hashable(verdict.value),
                _level(verdict, failing),
                verdict.budget,
            )
            found.setdefault(finding)
    levels = ("error", "warning", "notice", None)
    return sorted(found, key=lambda f: (levels.index(f.level), NEWS.index(f.status)))


def _level(verdict: Verdict, failing: Sequence[str]) -> str | None:
    status = verdict.status
    if verdict.reason in TOLD or (status == "improved" and status not in failing):
        return "notice"
    if status in failing:
        return "error"
    return "warning" if status in _WARNING else None


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _clean(text: str) -> str:
    """Text that every encoding and every CI system takes: plain, and not a page."""
    text = plain(text).strip()
    return text if len(text) <= LONGEST_SENTENCE else f"{text[:LONGEST_SENTENCE]} ..."


# GitHub: step summary.


def step_summary(
    cells: Sequence[Record],
    title: str,
    *,
    problems: Sequence[str] = (),
    failing: Sequence[str] = FAILING,
    limit: int = SUMMARY_LIMIT,
) -> str:
    """Markdown for ``GITHUB_STEP_SUMMARY``: what fails first, what is unchanged folded away.

    Args:
        cells: merged records.
        title: device and settings of the run.
        problems: what went wrong with the run as a whole.
        failing: see :func:`findings`.
        limit: bytes that the text may have in UTF-8; rows beyond it are left out, and a sentence
            says how many.

    Raises:
        ValueError: the limit has no room for more than the headline.
    """
    told = [finding for finding in findings(cells, failing=failing) if finding.level]
    quiet = [cell for cell in cells if not any(_level(v, failing) for v in cell.verdicts)]
    head = [f"## archbench: {markdown(_clean(title))}", _headline(cells, failing)]
    head += ["\n".join(f"- {markdown(_clean(problem))}" for problem in problems)]
    columns = ("verdict", "architecture", "target", "metric", "before", "now", "change", "why")
    shown = Table(columns, [_finding_row(finding) for finding in told], _WORDS)
    blocks = [("", shown.markdown_lines(), "")]
    if quiet:
        figures = ("architecture", "target", "params M", "GMACs", "p50 ms", "p95 ms", "images/s")
        summary = f"{len(quiet):,} {'cell needs' if len(quiet) == 1 else 'cells need'} no attention"
        start = f"<details><summary>{summary}</summary>\n\n"
        table = Table((*figures, "verdict"), [_cell_row(cell) for cell in quiet], _WORDS)
        blocks.append((start, table.markdown_lines(), "\n</details>\n"))
    text = "\n\n".join(part for part in head if part) + "\n"
    left_out = (
        "\n{:,} more rows are left out: GitHub shows 1 MiB. The results file has everything.\n"
    )
    # What is certain to be written comes off the limit first, then rows in the order they are read.
    certain = len((text + left_out.format(10**9)).encode())
    frames = [f"\n{start}{lines[0]}\n{lines[1]}\n" for start, lines, _ in blocks]
    certain += sum(
        len((frame + end).encode()) for frame, (_, _, end) in zip(frames, blocks, strict=True)
    )
    if certain > limit:
        raise ValueError(f"a step summary of {limit} bytes has no room for a table")
    budget, omitted = limit - certain, 0
    for frame, (_, lines, end) in zip(frames, blocks, strict=True):
        rows, budget = _fitting([f"{line}\n" for line in lines[2:]], budget)
        omitted += len(lines) - 2 - len(rows)
        if rows:
            text += f"{frame}{''.join(rows)}{end}"
    return text + (left_out.format(omitted) if omitted else "")


def _fitting(rows: Sequence[str], budget: int) -> tuple[list[str], int]:
    taken: list[str] = []
    for row in rows:
        size = len(row.encode())
        if size > budget:
            return taken, 0
        budget -= size
        taken.append(row)
    return taken, budget


def _headline(cells: Sequence[Record], failing: Sequence[str]) -> str:
    """``**2 of 71 cells fail**: 1 regressed, 1 crashed. 68 unchanged, 1 inconclusive.``"""
    bad: Counter[str] = Counter()
    good: Counter[str] = Counter()
    for cell in cells:
        own = findings([cell], failing=failing)
        if not own:
            good["without a verdict"] += 1
        elif own[0].level == "error":
            bad[own[0].status] += 1
        else:
            good[_status(own[0])] += 1
    total = f"{len(cells):,} {'cell' if len(cells) == 1 else 'cells'}"
    if not bad:
        return f"**None of {total} fails**: {_numbers(good)}." if cells else "**No cell.**"
    number = bad.total()
    start = f"**{number:,} of {total} {'fails' if number == 1 else 'fail'}**: {_numbers(bad)}."
    return f"{start} {_numbers(good)}." if good else start


def _numbers(states: Counter[str]) -> str:
    return ", ".join(f"{number:,} {state}" for state, number in states.most_common())


def _status(finding: Finding) -> str:
    return f"{finding.status}, {finding.reason}" if finding.reason in TOLD else finding.status


def _finding_row(finding: Finding) -> list[object]:
    return [
        Strong(_status(finding)) if finding.level == "error" else _status(finding),
        finding.id,
        finding.target,
        finding.metric.replace("_", " "),
        _value_text(finding.metric, finding.baseline),
        _value_text(finding.metric, finding.value),
        _change_text(finding.baseline, finding.value),
        # A count's sentence is its old and its new value, which stand here already.
        BLANK if finding.metric in COUNTS and finding.budget is None else finding.sentence,
    ]


def _cell_row(cell: Record) -> list[object]:
    statistics = derived(cell)
    noisy = any(note.code in NOISE for note in cell.notes)
    p50 = _figure("latency", statistics.get("p50"))
    return [
        cell.id,
        target_key(cell.target),
        *(_figure(name, cell.metrics.get(name, {}).get("value")) for name in ("params", "macs")),
        f"{NOISY_MARK}{p50}" if noisy else p50,
        _figure("latency", statistics.get("p95")),
        _figure("throughput", statistics.get("throughput")),
        ", ".join(sorted({verdict.status for verdict in cell.verdicts}, key=NEWS.index)),
    ]


def _figure(metric: str, value: float | None) -> str:
    return ABSENT if value is None else METRICS[metric].text(value)


def _value_text(metric: str, value: Any) -> str:
    """``5,572,200``, ``26.1 ms``, ``1x10``: counts exactly, times with a table's digits."""
    if value is None:
        return ABSENT
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if metric not in METRICS:
            return format_significant(value, 4)
        known = METRICS[metric]
        return f"{known.text(value)} {known.printed_unit}"
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _change_text(old: Any, new: Any) -> str:
    numbers = all(isinstance(value, (int, float)) for value in (old, new))
    return f"{(new - old) / old * 100:+.3g} %" if numbers and old else ABSENT


# GitHub: annotations.


def annotation_lines(
    cells: Iterable[Record],
    *,
    problems: Sequence[str] = (),
    failing: Sequence[str] = FAILING,
    locate: Locate | None = None,
) -> list[str]:
    """GitHub's workflow commands, one a line, ready to be printed.

    Errors are what fails, warnings what could not be told, notices what is better or accepted; at
    most ten of each, the tenth saying how many more there are.

    Args:
        cells: merged records.
        problems: what went wrong with the run as a whole.
        failing: see :func:`findings`.
        locate: the file and line to show a finding at.
    """
    lines: dict[str, list[str]] = {"error": [], "warning": [], "notice": []}
    for problem in problems:
        lines["error"].append(_command("error", {"title": "archbench"}, problem))
    for finding in findings(cells, failing=failing):
        if finding.level is None:
            continue
        place = locate(finding) if locate is not None else None
        where = {"file": place[0], "line": str(place[1])} if place is not None else {}
        title = f"{finding.cell}: {finding.metric.replace('_', ' ')} {_status(finding)}"
        command = _command(finding.level, {**where, "title": title}, finding.sentence)
        lines[finding.level].append(command)
    shown: list[str] = []
    for level, commands in lines.items():
        if len(commands) > SHOWN_ANNOTATIONS:
            more = len(commands) - (SHOWN_ANNOTATIONS - 1)
            text = f"{more:,} more; the step summary and the results file have all of them"
            commands[SHOWN_ANNOTATIONS - 1 :] = [_command(level, {"title": "archbench"}, text)]
        shown += commands
    return shown


def _command(level: str, properties: dict[str, str], message: str) -> str:
    """One workflow command, escaped as in GitHub's own toolkit (``@actions/core``, command.ts)."""

    def escaped(text: str) -> str:
        return _clean(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")

    fields = ",".join(
        f"{name}={escaped(value).replace(':', '%3A').replace(',', '%2C')}"
        for name, value in properties.items()
    )
    return f"::{level} {fields}::{escaped(message)}"


# GitLab.


def code_quality(
    cells: Iterable[Record],
    locate: Callable[[Finding], tuple[str, int]],
    *,
    failing: Sequence[str] = FAILING,
) -> list[dict[str, Any]]:
    """GitLab's code-quality report: what fails, and what could not be told.

    GitLab compares the report of a merge request with that of its target branch by fingerprint.

    Args:
        cells: merged records.
        locate: the file and line of a finding; GitLab shows none without.
        failing: see :func:`findings`.
    """
    report: dict[str, dict[str, Any]] = {}
    for finding in findings(cells, failing=failing):
        if finding.level not in ("error", "warning"):
            continue
        path, line = locate(finding)
        severity = _SEVERITIES.get(finding.status, "critical")
        report.setdefault(
            finding.fingerprint,
            {
                "description": f"{finding.cell}: {finding.metric.replace('_', ' ')} "
                f"{finding.status}: {finding.sentence}",
                "check_name": f"archbench-{finding.metric.replace('_', '-')}",
                "fingerprint": finding.fingerprint,
                "severity": severity if finding.level == "error" else "minor",
                "location": {"path": path, "lines": {"begin": line}},
            },
        )
    return list(report.values())


def metrics_text(cells: Iterable[Record]) -> str:
    """OpenMetrics text: figures in SI base units, unrounded, a gauge for each.

    ``archbench_cells`` is the number of cells that have a verdict of a status.

    GitLab's metrics report takes it. Its reader cuts a line at ``#`` even within a label, so that
    sign becomes ``_`` in labels. What is absent or not finite has no line.
    """
    families: dict[str, dict[str, str]] = {}
    states: Counter[str] = Counter()
    for cell in cells:
        states.update({verdict.status for verdict in cell.verdicts})
        for name, value, shared in _figures(cell):
            labels = _labels(cell, shared)
            families.setdefault(f"archbench_{name}", {})[labels] = repr(value)
    for status, number in sorted(states.items(), key=lambda item: NEWS.index(item[0])):
        families.setdefault("archbench_cells", {})[f'status="{status}"'] = str(number)
    lines = []
    for name, samples in families.items():
        lines.append(f"# TYPE {name} gauge")
        lines += [f"{name}{{{labels}}} {value}" for labels, value in samples.items()]
    return "\n".join([*lines, "# EOF", ""])


_UNITS = {
    "1": "",
    "s": "_seconds",
    "B": "_bytes",
    "J": "_joules",
    "W": "_watts",
    "1/s": "_per_second",
    "%": "_percent",
}
"""What a name ends in, by the unit of its values."""


def _figures(cell: Record) -> Iterator[tuple[str, float, bool]]:
    """Name with unit, finite value, and whether it is the same on every target."""
    for name, metric in cell.metrics.items():
        value: Any = metric.get("value")
        unit = _UNITS.get(metric.get("unit", "1"))
        if type(value) in (int, float) and math.isfinite(value) and unit is not None:
            yield f"{name}{unit}", value, metric.get("source") == "counted"
    statistics = derived(cell)
    for name in ("p50", "p90", "p95", "p99"):
        if name in statistics:
            yield f"latency_{name}_seconds", statistics[name], False
    if "throughput" in statistics:
        yield "throughput_images_per_second", statistics["throughput"], False


def _labels(cell: Record, shared: bool) -> str:
    labels = {"architecture": cell.id}
    if cell.target is not None and not shared:
        labels["device"] = cell.target.slug
        labels.update(_target_fields(cell.target))
    return ",".join(f'{name}="{_label(value)}"' for name, value in labels.items())


def _target_fields(target: Target) -> dict[str, str]:
    """What tells the cells of an architecture and a device apart; of the rest what is unusual."""
    fields = {name: str(target[name]) for name in ("dtype", "batch_size", "threads")}
    if target.largest_batch:
        fields["largest_batch"] = "true"
    values = {one: target[one.name] for one in further_axes()}
    return fields | {
        one.name: str(value).lower() for one, value in values.items() if value != one.usual
    }


def _label(value: str) -> str:
    text = _clean(value).replace("#", "_")
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


# JUnit.


def junit_properties(record: Record) -> list[tuple[str, str]]:
    """What one test says about its cell beside passed or failed, in JUnit's ``<properties>``.

    Names and units are those of :func:`metrics_text` without their prefix, figures are unrounded;
    ``verdict_latency`` and so on hold the status of each metric; of one that has several verdicts,
    as from a baseline and a budget, that of the worst.
    """
    properties = [("architecture", record.id)]
    if record.target is not None:
        properties += [(name, getattr(record.target, name)) for name in ("device", "device_name")]
        properties += _target_fields(record.target).items()
    properties += [(name, repr(value)) for name, value, _ in _figures(record)]
    statuses: dict[str, str] = {}
    for verdict in sorted(record.verdicts, key=_weight):
        statuses.setdefault(f"verdict_{verdict.metric}", verdict.status)
    return [(name, _clean(value)) for name, value in (*properties, *statuses.items())]


def _weight(verdict: Verdict) -> tuple[bool, int]:
    """Orders verdicts, what fails a test first."""
    return not verdict.is_bad, NEWS.index(verdict.status)
