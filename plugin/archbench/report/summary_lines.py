"""What is said below a run's table, a few lines about each thing that was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from statistics import median

from archbench.core.complexity import BIASES
from archbench.core.entries import half_interval
from archbench.core.errors import some
from archbench.core.fingerprints import FINGERPRINT
from archbench.core.gate import COMPLEXITY, COUNTS, share_text, time_sentence
from archbench.core.records import (
    NOT_MEASURED,
    OF_ACCURACY,
    OTHER_COUNTS,
    SAID_ELSEWHERE,
    Record,
    SinceLastRun,
)
from archbench.core.verdicts import NEWS, Verdict
from archbench.metrics import METRICS, compared_by

SHOWN = 8
"""Lines about one thing, at most."""

SHOWN_OPINIONS = 12
BARELY = 1.005
"""A threshold that exceeds the tolerance by less is no news."""

_INSTEAD = {"peak_memory": "process_memory"}
"""Metrics that an engine has instead of others."""

ACCEPT_NEW = "  Accept what has no baseline: the same command with --baseline-update=new"


def summary_lines(cells: Sequence[Record], *, accepting: bool) -> list[str]:
    """In which state everything is that the run has measured, why some is not, and what to type.

    Args:
        cells: merged records.
        accepting: whether this run writes the baseline.
    """
    about = (count_lines, time_lines, memory_and_energy_lines, accuracy_lines)
    return [line for lines in about for line in lines(cells, accepting=accepting)]


def states_text(states: Mapping[str, int]) -> str:
    """How many are in which state, the one that says least first: ``70 unchanged, 1 regressed``.

    Args:
        states: of :data:`archbench.core.verdicts.NEWS`, with how many are in each; one with none,
            or that is missing, is not named.
    """
    return ", ".join(f"{states[state]:,} {state}" for state in NEWS[::-1] if states.get(state))


def shortened(lines: Sequence[str], most: int = SHOWN) -> list[str]:
    """The first of the lines, ``most`` at most, and how many there are more."""
    more = [f"  and {len(lines) - most:,} more, in the journal and in --results"]
    return [*lines[:most], *(more if len(lines) > most else [])]


def note_lines(cells: Sequence[Record]) -> list[str]:
    """What has to be said beside figures: how a network was run, what an engine or a device did.

    Args:
        cells: merged records.
    """
    ids: dict[str, list[str]] = {}
    for cell in cells:
        for note in cell.notes:
            is_counted = note.code == OTHER_COUNTS and "params" in cell.metrics
            if note.code not in SAID_ELSEWHERE and not is_counted:
                ids.setdefault(note.text, []).append(cell.id)
    lines = [f"  {some(list(dict.fromkeys(of)))}: {text}." for text, of in ids.items()]
    return ["Notes:", *shortened(lines)] if lines else []


def _judged(cells: Sequence[Record], metrics: Collection[str]) -> list[tuple[Record, Verdict]]:
    """Each cell with what a gate, and no budget, said about one of the metrics."""
    return [
        (cell, verdict)
        for cell in cells
        for verdict in cell.verdicts
        if verdict.metric in metrics and verdict.budget is None
    ]


# Counts.


def count_lines(cells: Sequence[Record], *, accepting: bool) -> list[str]:
    """How many counts are in which state, and where a second counter is of another opinion."""
    states: dict[str, str] = {}
    opinions: dict[str, str] = {}
    for cell in cells:
        for verdict in cell.verdicts:
            if verdict.metric in (COMPLEXITY, "layers", *COUNTS) and verdict.budget is None:
                states[cell.id] = verdict.status
        for note in cell.notes:
            if note.code == "second-opinion":
                opinions[cell.id] = note.text
    lines = []
    if states:
        lines.append(f"Counts: {states_text(Counter(states.values()))}.")
    if "no-baseline" in states.values() and not accepting:
        lines.append(ACCEPT_NEW)
    if opinions:
        shown = {id: text for id, text in opinions.items() if not _is_about_biases(text)}
        by_biases = len(opinions) - len(shown)
        why = f", {by_biases:,} of them by biases that ptflops takes for multiply-adds"
        lines.append(
            f"Second opinion: {len(opinions):,} of {len(states):,} differ by more than 0.5 %"
            f"{why if by_biases else ''}."
        )
        lines += shortened([f"  {model}: {text}" for model, text in shown.items()], SHOWN_OPINIONS)
    return lines


def _is_about_biases(text: str) -> bool:
    """Whether each operator of another counter differs by the biases that it adds, and only so."""
    return text.endswith(f": {BIASES})") and "; " not in text


# Times.


_WAYS_OUT = {
    "inconclusive": "  Run it again while less else runs on this machine. A baseline of which that "
    "stays so is accepted anew: the same command with --baseline-update",
    "not-comparable": "  Accept a baseline of this machine: the same command with "
    "--baseline-update",
}


def time_lines(cells: Sequence[Record], *, accepting: bool) -> list[str]:
    """How many times are in which state, how many could not be decided, and what to type next."""
    judged = _judged(cells, compared_by("statistics"))
    # What a runtime that computes something else takes is no time, whether it is compared or not.
    others = sum(cell.is_other_network for cell in cells)
    if not (judged or others):
        return []
    judged = [pair for pair in judged if not pair[0].is_other_network]
    states = Counter(verdict.status for _, verdict in judged)
    states["not-measured"] += others
    lines = [f"Times: {states_text(states)}."]
    improved = [cell.id for cell, verdict in judged if verdict.status == "improved"]
    if improved and not accepting:
        lines.append(f"  Accept what improved: {_accepting(improved)}")
    new = [cell for cell, verdict in judged if verdict.status == "no-baseline"]
    if new and not accepting:
        lines.append(ACCEPT_NEW)
    unclear = [
        f"  {cell.id} {cell.suffix}: {time_sentence(verdict.metric, verdict.sentence)}"
        for cell, verdict in judged
        if verdict.status in ("inconclusive", "not-comparable")
    ]
    lines += shortened(unclear)
    if not accepting:
        lines += [todo for status, todo in _WAYS_OUT.items() if states[status]]
    for metric in compared_by("statistics"):  # each has a tolerance of its own
        of_metric = [(cell, verdict) for cell, verdict in judged if verdict.metric == metric]
        coarse = [
            (cell, one.tolerance, one.threshold)
            for cell, one in of_metric
            if one.threshold is not None
            and one.tolerance is not None
            and one.threshold > one.tolerance * BARELY
        ]
        if coarse:
            lines.append(_coarse_text(metric, coarse, len(of_metric)))
    return lines


def last_run_lines(last: Mapping[tuple[str, str], SinceLastRun]) -> list[str]:
    """How far times that have no baseline are from those of the last run. Nothing judges it.

    Args:
        last: run and change by cell.
    """
    if not last:
        return []
    changes = sorted((one.change, key[0]) for key, one in last.items())
    (low, least), (high, most) = changes[0], changes[-1]
    ends = f"{low * 100:+.1f} %"
    if len(changes) > 1:
        middle = median(change for change, _ in changes)
        ends += f" ({least}) to {high * 100:+.1f} % ({most}), median {middle * 100:+.1f} %"
    runs = ", ".join(sorted({one.run for one in last.values()}, reverse=True)[:3])
    return [f"Since the last run in this environment ({runs}): {ends}. Only baselines are judged."]


def _accepting(models: Sequence[str]) -> str:
    names = list(dict.fromkeys(models))
    # What a file on the command line names cannot be named by its id.
    if len(names) > 5 or any(name.startswith("local/") for name in names):
        return "the same command with --baseline-update"
    return f"the same command with --models={','.join(names)} --baseline-update"


def _coarse_text(metric: str, coarse: Sequence[tuple[Record, float, float]], number: int) -> str:
    """Of cells with their tolerance and the threshold that their baseline allows."""
    least = min(tolerance for _, tolerance, _ in coarse)
    (_, _, low), *_, (worst, _, high) = sorted([*coarse, coarse[0]], key=lambda one: one[2])
    ends = dict.fromkeys(map(share_text, (low, high)))
    what = "" if metric == "latency" else f" of {METRICS[metric].spoken}"
    return (
        f"  In {len(coarse):,} of {number:,} the tolerance{what}, {share_text(least)}, is below "
        f"what the baseline's spread allows to find: {' to '.join(ends)} "
        f"({worst.id} {worst.suffix}). A baseline made on a quieter machine finds less."
    )


# Memory and energy.


def memory_and_energy_lines(cells: Sequence[Record], *, accepting: bool) -> list[str]:
    """In which state the memory and energy of how many cells are, and why others have none."""
    lines = []
    for name, metric in compared_by("tolerance").items():
        title = metric.label or metric.spoken.capitalize()
        states = Counter(verdict.status for _, verdict in _judged(cells, [name]))
        if states:
            lines.append(f"{title}: {states_text(states)}.")
        if states["improved"] and not accepting:
            lines.append("  Accept what improved: the same command with --baseline-update")
        reasons = Counter(
            cell.metrics[name]["absent"]
            for cell in cells
            if "absent" in cell.metrics.get(name, {})
            and "value" not in cell.metrics.get(_INSTEAD.get(name, ""), {})
        )
        lines += [
            f"{title}: {number:,} not measured: {reason}."
            for reason, number in reasons.most_common()
        ]
    return lines


# Accuracies and fingerprints.


def accuracy_lines(cells: Sequence[Record], *, accepting: bool) -> list[str]:
    """How many accuracies are known, how well, in which state, and why others are not."""
    measured = [cell for cell in cells if "top1" in cell.metrics]
    absent = [cell for cell in cells if any(note.code == NOT_MEASURED for note in cell.notes)]
    lines = []
    if absent:
        reason = next(note.text for note in absent[0].notes if note.code == NOT_MEASURED)
        lines.append(f"Accuracy: {len(absent):,} not measured: {reason}.")
    if measured:
        lines.append(_measured_text(measured))
        for cell in measured:
            lines += [
                f"  {cell.id}: {note.text}." for note in cell.notes if note.code in OF_ACCURACY
            ]
        of_top1 = [
            (cell, verdict)
            for cell in measured
            for verdict in cell.verdicts
            if verdict.metric == "top1"
        ]
        published = [pair for pair in of_top1 if "published" in pair[1].reason]
        has_new = published or any(verdict.status == "no-baseline" for _, verdict in of_top1)
        if has_new and not accepting:
            lines += [f"  {cell.id}: {verdict.sentence}." for cell, verdict in published]
            lines.append(ACCEPT_NEW)
    states = Counter(
        verdict.status
        for cell in cells
        for verdict in cell.verdicts
        if verdict.metric == FINGERPRINT
    )
    if states:
        is_new = "no-baseline" in states and not accepting
        not_run = ", which were not run" if is_new else ""
        lines.append(f"Fingerprints: {states_text(states)}{not_run}.")
        lines += [ACCEPT_NEW] if is_new else []
    lines += _undecided_lines(cells)
    return lines


def _undecided_lines(cells: Sequence[Record]) -> list[str]:
    """Why an accuracy or a fingerprint could not be compared."""
    lines = [
        f"  {cell.id}: {verdict.metric} {verdict.status}: {verdict.sentence}."
        for cell in cells
        for verdict in cell.verdicts
        if verdict.metric in ("top1", FINGERPRINT)
        and verdict.status in ("not-comparable", "inconclusive")
        and "published" not in verdict.reason
    ]
    return shortened(lines)


def _measured_text(measured: Sequence[Record]) -> str:
    states: Counter[str] = Counter()
    for cell in measured:
        statuses = {v.status for v in cell.verdicts if v.metric in compared_by("pairs")}
        states.update(sorted(statuses, key=NEWS.index)[:1])
    said = states_text(states)
    first = measured[0].metrics["top1"]
    text = METRICS["top1"].text
    half = max(half_interval(cell.metrics["top1"]) for cell in measured)
    sample = first["dataset"]["sample"]
    of = f", a sample of {first['dataset']['of']:,}" if sample is not None else ""
    rate = sum(
        (cell.metrics["top1"]["images"] + cell.metrics["top1"]["unreadable"]) for cell in measured
    ) / sum(cell.seconds.get("evaluate", 0.0) or 1e-9 for cell in measured)
    return (
        f"Accuracy: {said}; on {first['images']:,} images{of}, known to {text(half)} points or "
        f"better (95 %), {rate:,.0f} images/s."
    )
