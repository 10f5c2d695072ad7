"""The rounds that a self-test of paired comparisons has stored, judged again by other rules."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from archbench.core.errors import UsageError
from archbench.core.rounds import ClockRule, PairedRun, default_rules, has_said_enough, judge_rounds
from archbench.selftest import SCHEMA, Outcome, Tried


def replay(path: Path, rules: Sequence[ClockRule] | None = None) -> list[Outcome]:
    """Feed stored rounds to the rule, one after another, as if they were measured now.

    Args:
        rules: of all cells; by default those of one thread of a CPU, or of an accelerator where the
            rounds have its times.

    Raises:
        UsageError: there is no such file, or it is damaged or newer.
    """
    outcomes: dict[float, Outcome] = {}
    for one in _read(path):
        process_runs = one.process_runs
        outcome = outcomes.setdefault(one.extra, Outcome(one.extra))
        has_device = any(both.candidate.device for run in process_runs for both in run.rounds)
        status, used = rejudged(
            process_runs, rules or default_rules("cuda" if has_device else "cpu", threads=1)
        )
        seconds = sum(run.seconds for run in used)
        outcome.add(replace(one, status=status, process_runs=tuple(used), seconds=seconds))
    if not outcomes:
        raise UsageError(f"--replay={path}", "it holds no rounds", "Make it with --store=FILE")
    return [outcomes[extra] for extra in sorted(outcomes)]


def rejudged(
    process_runs: Sequence[PairedRun], rules: Sequence[ClockRule]
) -> tuple[str, list[PairedRun]]:
    """The status that the rounds lead to, and the part of them that it takes.

    Rounds end where a verdict once stood, so a rule that asks for more may run out of them:
    ``inconclusive``.
    """
    used: list[PairedRun] = []
    for run in process_runs:
        part = PairedRun([], run.stolen, run.others, run.images)
        used.append(part)
        for one in run.rounds:
            part.rounds.append(one)
            status = judge_rounds(used, rules).status
            if status not in (None, "inconclusive"):
                return str(status), used
            if has_said_enough(used, rules):
                break
    return "inconclusive", used


def _read(path: Path) -> Iterable[Tried]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(
            f"--replay={path}", f"it cannot be read ({error.strerror})", "Make it with --store=FILE"
        ) from None
    for number, text in enumerate(lines, 1):
        try:
            line = json.loads(text)
            known = line["schema"] in (1, SCHEMA)
            if line["schema"] == 1:
                line["process_runs"] = line.pop("launches")
            tried = Tried.from_dict(line) if known else None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"--replay={path}", f"line {number} is damaged ({error})", "Delete it"
            ) from None
        if tried is None:
            raise UsageError(
                f"--replay={path}",
                f"line {number} is of schema {line['schema']}, this archbench reads {SCHEMA}",
                "Use the archbench that wrote it",
            )
        yield tried
