"""The rounds that a self-test of paired comparisons has stored, judged again by other rules."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from archbench.core.errors import UsageError
from archbench.core.rounds import ClockRule, PairedRun, default_rules, has_told, judge
from archbench.selftest import SCHEMA, Outcome


def replay(path: Path, rules: Sequence[ClockRule] | None = None) -> list[Outcome]:
    """Feed stored rounds to the rule, one after another, as if they were measured now.

    Args:
        rules: of all cells; by default those of one thread of a CPU, or of an accelerator where the
            rounds have its times.

    Raises:
        UsageError: there is no such file, or it is damaged or newer.
    """
    outcomes: dict[float, Outcome] = {}
    for line, process_runs in _read(path):
        outcome = outcomes.setdefault(line["extra"], Outcome(line["extra"]))
        has_device = any(one.candidate.device for run in process_runs for one in run.rounds)
        status, used = rejudged(
            process_runs, rules or default_rules("cuda" if has_device else "cpu", threads=1)
        )
        seconds = sum(run.seconds for run in used)
        outcome.add({**line, "status": status, "process_runs": used, "seconds": seconds})
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
            status = judge(used, rules).status
            if status not in (None, "inconclusive"):
                return str(status), used
            if has_told(used, rules):
                break
    return "inconclusive", used


def _read(path: Path) -> Iterable[tuple[dict[str, Any], list[PairedRun]]]:
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
            process_runs = (
                [PairedRun.from_dict(one) for one in line["process_runs"]] if known else []
            )
            float(line["extra"] if known else 0)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                f"--replay={path}", f"line {number} is damaged ({error})", "Delete it"
            ) from None
        if not known:
            raise UsageError(
                f"--replay={path}",
                f"line {number} is of schema {line['schema']}, this archbench reads {SCHEMA}",
                "Use the archbench that wrote it",
            )
        yield line, process_runs
