"""What is said about a paired comparison as a whole, below the table."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from archbench.core.verdicts import INFORMATIONAL
from archbench.pytest_plugin.compared import Comparison, code_of, compiled
from archbench.pytest_plugin.manifest import name_of
from archbench.report.summary_lines import shortened
from archbench.workers.pairs import CANDIDATE, REFERENCE
from archbench.workers.references import Reference
from archbench.workers.schedule import PairedCell


def comparison_lines(
    config: pytest.Config,
    paired: Mapping[str, PairedCell],
    reference: Reference,
    labels: Mapping[str, str],
    cells: set[str],
    compared: Mapping[str, Comparison],
) -> list[str]:
    """What is said about all cells together."""
    measured = sum(run.seconds for one in paired.values() for run in one.process_runs)
    most = max((len(one.process_runs) for one in paired.values()), default=0)
    lines = [
        f"Paired comparison: {labels[CANDIDATE]}, against {labels[REFERENCE]}; "
        f"{measured:.0f} s of bursts in "
        f"{most} process run{'' if most == 1 else 's'}."
    ]
    hello = next((one.hellos[REFERENCE] for one in paired.values() if one.hellos), None)
    narrowed = any(
        getattr(config.option, name, None) for name in ("keyword", "markexpr", "deselect")
    ) or any("::" in argument for argument in config.args)
    only_there = hello.only_here if hello is not None else ()
    gone = [name for name in only_there if name not in cells]
    if gone and not narrowed:
        names = ", ".join(map(name_of, gone[:3]))
        more = f" and {len(gone) - 3} more" if len(gone) > 3 else ""
        lines.append(f"  Only in {labels[REFERENCE]}, and not measured: {names}{more}.")
    lines += _ran_lines(config, paired, reference, labels)
    said = [
        f"  {name_of(nodeid)}: {labels[side]} was {text}."
        for nodeid, one in paired.items()
        for side, text in compiled(one)
    ]
    return [
        *lines,
        *shortened(_passed(compared)),
        *shortened(said),
        *shortened(_informational(compared)),
    ]


def _ran_lines(
    config: pytest.Config,
    paired: Mapping[str, PairedCell],
    reference: Reference,
    labels: Mapping[str, str],
) -> list[str]:
    """Whose code the sides ran, all cells together, and which cells ran none of the revisions."""
    ran = {nodeid: texts for nodeid, one in paired.items() if (texts := code_of(config, one))}
    lines = [
        f"  {labels[side]} ran {place}."
        for side in (CANDIDATE, REFERENCE)
        for place in dict.fromkeys(texts[side] for texts in ran.values())
    ]
    same = [nodeid for nodeid, texts in ran.items() if texts[CANDIDATE] == texts[REFERENCE]]
    if reference.kind != "revision" or not same:
        return shortened(lines)
    names = ", ".join(map(name_of, same[:3])) + (" and others" if len(same) > 3 else "")
    return [
        *shortened(lines),
        f"  {len(same)} of {len(ran)} cells ran no code of the project, so that the revisions do "
        f"not differ in it: {names}.",
    ]


def _passed(compared: Mapping[str, Comparison]) -> list[str]:
    """How the times of tests that pass compare, what improved first."""
    times = [
        (verdict.status, f"  {verdict.status}: {name_of(nodeid)}: {verdict.sentence}")
        for nodeid, one in compared.items()
        if one.failure is None
        for verdict in one.record.verdicts
        if verdict.metric == "latency" and verdict.reason not in INFORMATIONAL
    ]
    return [line for _, line in sorted(times, key=lambda time: time[0] != "improved")]


_INFORMATIONAL = {
    "accepted": "Accepted",
    "reported": "Reported (counts = 'report')",
    "new": "New (new = 'report')",
}
"""What is said of a verdict that fails nothing, by its reason."""


def _informational(compared: Mapping[str, Comparison]) -> list[str]:
    """What changed and fails nothing."""
    return [
        f"  {_INFORMATIONAL[verdict.reason]}: {name_of(nodeid)}: {verdict.sentence}"
        for nodeid, one in compared.items()
        for verdict in one.record.verdicts
        if verdict.reason in INFORMATIONAL
    ]
