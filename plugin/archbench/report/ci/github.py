"""What GitHub shows of a run: a step summary in Markdown, and annotations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from archbench.core.gate import COUNTS
from archbench.core.records import Record, target_key
from archbench.core.verdicts import FAILING, NEWS
from archbench.metrics import METRICS, format_significant
from archbench.report.ci.diagnostics import Diagnostic, Locate, clean, diagnostics, level_of
from archbench.report.table import counted, times
from archbench.report.tables import ABSENT, BLANK, Strong, Table, markdown

SUMMARY_LIMIT = 1024 * 1024
"""Bytes of a step summary: GitHub refuses more, and shows none of it then."""

SHOWN_ANNOTATIONS = 10
"""Of each level: GitHub drops the others of a step."""

_WORDS = ("verdict", "architecture", "target", "metric", "why")


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
        failing: see :func:`diagnostics`.
        limit: bytes that the text may have in UTF-8; rows beyond it are left out, and a sentence
            says how many.

    Raises:
        ValueError: the limit has no room for more than the headline.
    """
    reported = [
        diagnostic for diagnostic in diagnostics(cells, failing=failing) if diagnostic.level
    ]
    quiet = [cell for cell in cells if not any(level_of(v, failing) for v in cell.verdicts)]
    head = [f"## archbench: {markdown(clean(title))}", _headline(cells, failing)]
    head += ["\n".join(f"- {markdown(clean(problem))}" for problem in problems)]
    columns = ("verdict", "architecture", "target", "metric", "before", "now", "change", "why")
    shown = Table(columns, [_diagnostic_row(diagnostic) for diagnostic in reported], _WORDS)
    blocks = [("", shown.markdown_lines(), "")]
    if quiet:
        figures = ("architecture", "target", "params M", "GMACs", "p50 ms", "p95 ms", "images/s")
        summary = f"{len(quiet):,} {'cell needs' if len(quiet) == 1 else 'cells need'} no attention"
        start = f"<details><summary>{summary}</summary>\n\n"
        table = Table((*figures, "verdict"), [_cell_row(cell) for cell in quiet], _WORDS)
        blocks.append((start, table.markdown_lines(), "\n</details>\n"))
    text = "\n\n".join(part for part in head if part) + "\n"
    return _fitted(text, blocks, limit)


def _fitted(text: str, blocks: Sequence[tuple[str, Sequence[str], str]], limit: int) -> str:
    """A text and the tables below it, without the rows that a limit in bytes has no room for.

    Args:
        blocks: of each table what stands before it, its lines and what stands behind it.
    """
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
        own = diagnostics([cell], failing=failing)
        if not own:
            good["without a verdict"] += 1
        elif own[0].level == "error":
            bad[own[0].status] += 1
        else:
            good[own[0].spoken] += 1
    total = f"{len(cells):,} {'cell' if len(cells) == 1 else 'cells'}"
    if not bad:
        return f"**None of {total} fails**: {_numbers(good)}." if cells else "**No cell.**"
    number = bad.total()
    start = f"**{number:,} of {total} {'fails' if number == 1 else 'fail'}**: {_numbers(bad)}."
    return f"{start} {_numbers(good)}." if good else start


def _numbers(states: Counter[str]) -> str:
    return ", ".join(f"{number:,} {state}" for state, number in states.most_common())


def _diagnostic_row(diagnostic: Diagnostic) -> list[object]:
    return [
        Strong(diagnostic.spoken) if diagnostic.level == "error" else diagnostic.spoken,
        diagnostic.id,
        diagnostic.target,
        diagnostic.metric.replace("_", " "),
        _value_text(diagnostic.metric, diagnostic.baseline),
        _value_text(diagnostic.metric, diagnostic.value),
        _change_text(diagnostic.baseline, diagnostic.value),
        # A count's sentence is its old and its new value, which stand here already.
        BLANK if diagnostic.metric in COUNTS and diagnostic.budget is None else diagnostic.sentence,
    ]


def _cell_row(cell: Record) -> list[object]:
    statuses = sorted({verdict.status for verdict in cell.verdicts}, key=NEWS.index)
    figures = (*counted(cell, "params", "macs"), *times(cell))
    return [cell.id, target_key(cell.target), *figures, ", ".join(statuses)]


def _value_text(metric: str, value: Any) -> str:
    """``5,572,200``, ``26.1 ms``, ``1x10``: counts exactly, times with a table's digits."""
    if value is None:
        return ABSENT
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if metric not in METRICS:
            return format_significant(value, 4)
        return METRICS[metric].said(value)
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _change_text(old: Any, new: Any) -> str:
    numbers = all(isinstance(value, (int, float)) for value in (old, new))
    return f"{(new - old) / old * 100:+.3g} %" if numbers and old else ABSENT


# Annotations.


def annotation_lines(
    cells: Iterable[Record],
    *,
    problems: Sequence[str] = (),
    failing: Sequence[str] = FAILING,
    locate: Locate | None = None,
) -> list[str]:
    """GitHub's workflow commands, one a line, ready to be printed.

    Errors are what fails, warnings what could not be decided, notices what is better or accepted;
    at most ten of each, the tenth saying how many more there are.

    Args:
        cells: merged records.
        problems: what went wrong with the run as a whole.
        failing: see :func:`diagnostics`.
        locate: the file and line to show a diagnostic at.
    """
    lines: dict[str, list[str]] = {"error": [], "warning": [], "notice": []}
    for problem in problems:
        lines["error"].append(_command("error", {"title": "archbench"}, problem))
    for diagnostic in diagnostics(cells, failing=failing):
        if diagnostic.level is None:
            continue
        place = locate(diagnostic) if locate is not None else None
        where = {"file": place[0], "line": str(place[1])} if place is not None else {}
        title = f"{diagnostic.cell}: {diagnostic.metric.replace('_', ' ')} {diagnostic.spoken}"
        command = _command(diagnostic.level, {**where, "title": title}, diagnostic.sentence)
        lines[diagnostic.level].append(command)
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
        return clean(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")

    fields = ",".join(
        f"{name}={escaped(value).replace(':', '%3A').replace(',', '%2C')}"
        for name, value in properties.items()
    )
    return f"::{level} {fields}::{escaped(message)}"
