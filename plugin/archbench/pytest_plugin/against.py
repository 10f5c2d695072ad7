"""``--against``: two versions measured side by side before the tests run, which then tell of it."""

from __future__ import annotations

import base64
import os
import random
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from archbench.core.errors import ArchbenchError
from archbench.core.gate import COUNTS
from archbench.core.records import Record, target_of
from archbench.core.rounds import ClockRule
from archbench.core.run_config import RunConfig, axes
from archbench.core.sides import (
    OF_FRAMEWORK,
    Agreement,
    accept_changes,
    agreement,
    attribution,
    breaks_changed,
    compiling_text,
    count_changes,
    duet_verdict,
    run_alike,
    versions_changed,
)
from archbench.core.telemetry import device_doubts
from archbench.core.verdicts import TOLD, Note, Verdict
from archbench.pytest_plugin.budgets import configuration_of
from archbench.pytest_plugin.gate import accepted_counts, accepted_of, gate_of
from archbench.pytest_plugin.manifest import cell_of, is_batchless
from archbench.pytest_plugin.node_ids import file_of
from archbench.pytest_plugin.options import spelled
from archbench.pytest_plugin.settings import settings_of
from archbench.pytest_plugin.sides import Side, make_sides, targets_of
from archbench.pytest_plugin.starting import (
    chance_environment,
    files_of,
    hand_on,
    handed_on,
    is_told,
    make_files,
    start,
)
from archbench.report.summary_lines import shortened
from archbench.workers.orders import Order
from archbench.workers.pairs import (
    CANDIDATE,
    REFERENCE,
    SIDES,
    Failure,
    Holder,
    NoPairError,
    Pair,
)
from archbench.workers.process import Patience
from archbench.workers.references import Reference
from archbench.workers.schedule import Plan, Played, conduct

__all__ = ["Told", "against_lines", "not_compared", "play", "told"]


@dataclass(slots=True)
class Told:
    """What the duet says about one test.

    Attributes:
        record: of its cell.
        failure: the text of the failure where the test is to fail.
    """

    record: Record
    failure: str | None = None


@dataclass(slots=True)
class _Duet:
    """All of it, for the tests of this run and for what is said at its end."""

    told: dict[str, Told] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)


_DUET: pytest.StashKey[_Duet] = pytest.StashKey()


_FILE = "duet.json"


def told(config: pytest.Config, nodeid: str) -> Told | None:
    """What the duet says about a test; None where it was not part of one."""
    if _DUET not in config.stash:
        duet = _Duet()
        data = handed_on(config, _FILE) if is_told(config) else None
        duet.told = {
            name: Told(Record.from_dict(one["record"]), one["failure"])
            for name, one in (data or {}).items()
        }
        config.stash[_DUET] = duet
    return config.stash[_DUET].told.get(nodeid)


def against_lines(config: pytest.Config) -> list[str]:
    """What is said below the table about the comparison as a whole."""
    return list(config.stash[_DUET].lines) if _DUET in config.stash else []


def play(
    config: pytest.Config,
    nodeids: Sequence[str],
    say: Callable[[str], None],
    *,
    plan: Plan | None = None,
    patience: Patience | None = None,
) -> None:
    """Compare all tests that are about time with the other version, before the first one runs.

    Args:
        config: of the process that reports to the person.
        nodeids: tests of this run.
        say: tells the person how far it is.
        plan, patience: see there.

    Raises:
        pytest.UsageError: what ``--against`` names is not there, or a side does not come up.
    """
    reference = settings_of(config).against
    assert reference is not None
    duet = config.stash[_DUET] = _Duet()
    cells = [nodeid for nodeid in nodeids if _is_timed(nodeid)]
    if not cells:
        return
    try:
        sides = make_sides(config, reference)
        labels = {side: one.label for side, one in sides.items()}
        say(f"duet: {labels[CANDIDATE]}, against {labels[REFERENCE]}")
        if sides[REFERENCE].arguments:
            players = _Players(config, reference, sides, patience or Patience())
            with _devices(config, say):
                played = conduct(cells, players.start, players.rules_of, plan=plan, say=say)
        else:
            played = {nodeid: Played(failures=(_without_file(nodeid),)) for nodeid in cells}
    except NoPairError as error:
        label = labels.get(error.side, error.side)
        message = (
            f"--against={reference.text}: the process of {label} did not come up: "
            f"{error.sentence}. This is what it printed:\n{error.output}"
        )
        raise pytest.UsageError(spelled(config, message)) from None
    except ArchbenchError as error:
        raise pytest.UsageError(spelled(config, str(error))) from None
    for nodeid, one in played.items():
        duet.told[nodeid] = _tell(config, nodeid, one, reference, labels)
    duet.lines = _lines(config, played, reference, labels, set(cells), duet.told)
    data = {
        nodeid: {"record": one.record.as_dict(), "failure": one.failure}
        for nodeid, one in duet.told.items()
    }
    hand_on(config, _FILE, data)


def _is_timed(nodeid: str) -> bool:
    """Whether a test may be about time: it has a batch size, or is no cell of ours by its id."""
    cell = cell_of(nodeid)
    return cell is None or (bool(cell[1]) and not is_batchless(cell[1]))


def _without_file(nodeid: str) -> Failure:
    """What is said of a test where the reference has no file of those that are to be run."""
    sentence = f"it has no {file_of(nodeid)}"
    return Failure(REFERENCE, "not-measured", "only-on-one-side", sentence)


@contextmanager
def _devices(config: pytest.Config, say: Callable[[str], None]) -> Iterator[None]:
    """The accelerators of this run for both sides, and for nobody else."""
    if settings_of(config).gpu == "cpu":
        yield
        return
    from archbench.devices.lease import lease

    held = {one.identity for one in targets_of(config) if not one.is_host}
    with ExitStack() as stack:
        for identity in sorted(held):
            stack.enter_context(lease(identity, say))
        yield


class _Players:
    """Starts pairs, and knows the rules of a cell.

    Args:
        config: of this run.
        reference: what is compared with.
        sides: both.
        patience: with a process.
    """

    def __init__(
        self,
        config: pytest.Config,
        reference: Reference,
        sides: Mapping[str, Side],
        patience: Patience,
    ) -> None:
        self._config = config
        self._reference = reference
        self._sides = sides
        runtimes = (*settings_of(config).values("runtime"), dict(reference.flags).get("runtime"))
        limit = settings_of(config).cell_timeout
        if limit is not None:
            patience = replace(patience, ready=limit)
        elif "compiled" in runtimes:
            patience = replace(patience, ready=patience.ready + patience.compiling)
        self._patience = patience

    def rules_of(self, facts: Mapping[str, Any]) -> tuple[ClockRule, ...]:
        """The rules of a cell, from what the candidate says about its model."""
        target = target_of(facts["target"])
        return configuration_of(self._config).rules.duet_rules(
            facts["id"], target.slug, target.dtype, target.kind, target.threads
        )

    def start(self, seed: int, cells: Sequence[str]) -> Pair:
        """Start a pair of processes, or the one that holds both sides, and wait until it is up.

        Raises:
            NoPairError: a process is not.
        """
        chance = random.Random(seed)
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        is_alone = settings_of(self._config).threads == 1
        core = chance.choice(cores) if cores and is_alone else None
        shares = self._reference.shares_process(settings_of(self._config).values("runtime"))
        groups = [SIDES] if shares else [(REFERENCE,), (CANDIDATE,)]
        holders: list[Holder] = []
        try:
            # Each is in the list as soon as it runs, whatever becomes of the next.
            for names in groups:
                holders.append(self._holder(names, cells, chance, core))  # noqa: PERF401
            for holder in holders:
                holder.greet()
        except BaseException:
            for holder in holders:
                holder.worker.kill()
            raise
        return Pair(holders, core, self._patience)

    def _holder(
        self, names: Sequence[str], cells: Sequence[str], chance: random.Random, core: int | None
    ) -> Holder:
        side = self._sides[names[-1]]
        order = Order(
            purpose="side",
            arguments=self._arguments(side),
            options=side.options,
            # A side waits for the other one within its test, and how long the schedule knows.
            foreign={"timeout": 0},
            imports=side.imports,
            files=str(files_of(self._config)),
            seed=chance.randrange(2**31),
            core=core,
            sides=tuple(names),
            cells=tuple(cells),
            flags=dict(self._reference.flags) if REFERENCE in names else {},
        )
        environment = chance_environment(chance)
        environment.pop("PYTHONHOME", None)
        environment["PYTEST_TIMEOUT"] = "0"
        worker = start(
            self._config,
            order,
            executable=side.executable,
            directory=side.directory,
            environment=environment,
            patience=self._patience,
        )
        return Holder(names, worker)

    def _arguments(self, side: Side) -> tuple[str, ...]:
        inifile = side.inifile
        if inifile is None:
            # Without one pytest would look for it upwards, in the other side's tree.
            inifile = make_files(self._config) / "pytest.ini"
            inifile.write_text("[pytest]\n", encoding="utf-8")
        option = self._config.option
        return (
            *("-q", "--tb=short"),
            *("--rootdir", str(side.root), "-c", str(inifile), "--confcutdir", str(side.root)),
            *(["--pyargs"] if option.pyargs else []),
            *side.plugins,
            *side.arguments,
        )


# What is told.


def not_compared() -> Verdict:
    """Of a time that was measured by a test that the duet did not run."""
    return Verdict(
        "latency",
        "not-comparable",
        "not-in-the-duet",
        "the test took no part in the comparison: its id names no architecture and target",
    )


def _tell(
    config: pytest.Config,
    nodeid: str,
    one: Played,
    reference: Reference,
    labels: Mapping[str, str],
) -> Told:
    """The record and the failure of one test."""
    name = _name(nodeid)
    if one.failures:
        return _tell_failure(config, nodeid, one, labels)
    assert one.judgement is not None
    facts = one.facts
    counts = {side: facts[side].get("counts", {}) for side in SIDES}
    changes = count_changes(counts[REFERENCE], counts[CANDIDATE])
    alike = run_alike(facts[REFERENCE], facts[CANDIDATE])
    meant = [
        change
        for change in changes
        if reference.means_difference or (change.metric in OF_FRAMEWORK and not alike)
    ]
    verdict = duet_verdict(one.judgement, one.launches, one.rules)
    judged = _accepted(config, one, [change for change in changes if change not in meant])
    verdicts = [verdict, *judged]
    agreed = _agreement(facts)
    different = [
        *versions_changed(_told_versions(one, REFERENCE), _told_versions(one, CANDIDATE)),
        *breaks_changed(_metrics(one, REFERENCE), _metrics(one, CANDIDATE)),
        *(change.sentence for change in changes),
    ]
    growth, total = attribution(one.modules)
    record = _record(one, verdicts)
    decision = one.judgement.decision
    record.metrics["duet_ratio"] = {
        "unit": "1",
        "source": "measured",
        "clock": one.judgement.clock,
        "low": decision.low,
        "high": decision.high,
        "rounds": decision.rounds,
        "launches": len(one.launches),
        "seconds": sum(launch.seconds for launch in one.launches),
        "cell_seconds": one.seconds,
        "start_seconds": one.starts,
        "sides": {
            side: {
                "label": labels[side],
                "counts": counts[side],
                "metrics": _metrics(one, side),
                "versions": _versions(one, side),
                "imported": _imported(one, side),
                "no_telemetry": facts[side].get("no_telemetry"),
                "notes": facts[side].get("notes", []),
            }
            for side in SIDES
        },
        "different": different,
        "agreement": None if agreed is None else agreed.as_dict(),
        "growth": [item.as_dict() for item in growth],
        "series": [launch.as_dict() for launch in one.launches],
    }
    if decision.ratio is not None:
        record.metrics["duet_ratio"]["value"] = decision.ratio
    gate = gate_of(config)
    bad = [item for item in verdicts if item.reason not in TOLD and gate.fails(item)]
    if not bad:
        return Told(record)
    # What a change of counts has cost is the question, also where the answer is: no time.
    cost = [item for item in verdicts if item.metric == "latency" and item not in bad]
    lines = [f"{item.status}: {name}: {item.sentence}" for item in (*bad, *cost)]
    lines.append(f"Compared: {labels[CANDIDATE]}, against {labels[REFERENCE]}.")
    if ran := _ran(config, one):
        lines.append(f"Code: {ran[CANDIDATE]}, against {ran[REFERENCE]}.")
    if different:
        lines.append(f"What differs: {', '.join(different)}.")
    lines += [f"{labels[side]} was {text}." for side, text in _compiled(one)]
    if agreed is not None:
        lines.append(f"Of the same images the {agreed.text}.")
    elif any(change.metric == "output_shape" for change in changes):
        lines.append("The outputs have different shapes, and are not compared.")
    if growth:
        lines.append("Where the time went, by each module's own code:")
        lines += [f"  {item.text(total)}" for item in growth]
    if any(item.status == "changed" for item in bad):
        lines.append(_how_to_accept(config, facts[CANDIDATE], bad))
    return Told(record, spelled(config, "\n".join(lines)))


def _accepted(config: pytest.Config, one: Played, changes: Sequence[Verdict]) -> list[Verdict]:
    """The same changes, with those that are only told said to be so."""
    facts = one.facts[CANDIDATE]
    target = target_of(facts["target"])
    if not changes:
        return []
    counts = accepted_counts(config).lines.get(facts["id"])
    times = accepted_of(config, "latency", Record(facts["id"], target)).line
    peak = (times or {}).get("amounts", {}).get("peak_memory")
    changes = accept_changes(changes, facts["counts"], counts, peak)
    rules = configuration_of(config).rules
    if not rules.tells("counts", facts["id"], target.slug, target.dtype):
        return changes
    return [
        change if change.reason in TOLD else replace(change, reason="told") for change in changes
    ]


def _how_to_accept(config: pytest.Config, facts: Mapping[str, Any], bad: Sequence[Verdict]) -> str:
    """What to do where other counts are meant."""
    instead = "with --baseline-update in place of --against"
    if any(item.metric in COUNTS for item in bad):
        path = gate_of(config).path("complexity")
        number = accepted_counts(config).numbers.get(facts["id"])
        what = f"run a test that calls bench.complexity {instead}"
        has = f"has others in line {number}" if number else f"has none of {facts['id']}"
    else:
        target = target_of(facts["target"])
        path = gate_of(config).path("latency", target.slug, target.dtype)
        what, has = f"run the same on this device {instead}", "holds what was accepted there"
    return (
        f"If this is meant: {what}, and commit {path.relative_to(config.rootpath)}, which {has}.\n"
        "Or let counts = 'tell' in [[tool.archbench.duet]] tell of such changes: they fail nothing."
    )


def _name(nodeid: str) -> str:
    cell = cell_of(nodeid)
    return nodeid if cell is None else f"{cell[0]} {cell[1]}".strip()


def _tell_failure(
    config: pytest.Config, nodeid: str, one: Played, labels: Mapping[str, str]
) -> Told:
    """A cell that a side has no times for."""
    # What is wrong with the code at hand is said first.
    failures = sorted(one.failures, key=lambda failure: CANDIDATE not in failure.side)
    first = failures[0]
    cell = cell_of(nodeid)
    sentences = [
        f"{labels.get(failure.side, ' and '.join(labels.values()))}: {failure.sentence}"
        for failure in failures
    ]
    is_new = all(_lacks(failure) for failure in failures)
    told = is_new and _tells_of_new(config, nodeid)
    reason = "new" if told else first.reason
    verdict = Verdict("latency", first.status, reason, "; ".join(sentences))
    record = _record(one, [verdict], cell[0] if cell else nodeid)
    if told:
        return Told(record)
    details = "".join(f"\n\n{failure.details}" for failure in failures if failure.details)
    text = f"{verdict.status}: {_name(nodeid)}: {verdict.sentence}{details}"
    if is_new:
        text += (
            "\nIf it is new: let new = 'tell' in [[tool.archbench.duet]] tell of it: it fails "
            "nothing then."
        )
    return Told(record, text)


def _lacks(failure: Failure) -> bool:
    """Whether a side failed because the reference does not have the test or its architecture."""
    return failure.side == REFERENCE and failure.reason == "only-on-one-side"


def _tells_of_new(config: pytest.Config, nodeid: str) -> bool:
    """Whether the project wants to be told of a new cell, and no more."""
    rules = configuration_of(config).rules
    cell = cell_of(nodeid)
    if cell is None or not any("new" in duet.given for duet in rules.duets):
        return False
    from archbench.measure.hardware import make_target

    # No side has said what it runs on.
    wanted = RunConfig.parse(cell[1])
    target = make_target(settings_of(config).gpu, config=wanted, measures=False)
    return rules.tells("new", cell[0], target.slug, target.dtype)


def _record(one: Played, verdicts: Sequence[Verdict], name: str = "") -> Record:
    """What the candidate's bursts say, in the form of a measurement of its own."""
    facts = one.facts.get(CANDIDATE, {})
    record = Record(
        facts.get("id", name),
        target_of(facts["target"]) if "target" in facts else None,
        verdicts=list(verdicts),
        notes=[Note(**note) for note in facts.get("notes", ())],
    )
    bursts = [item.candidate for launch in one.launches for item in launch.rounds]
    if bursts:
        common = {"unit": "s", "basis": "batch", "source": "measured"}
        record.metrics = {
            "latency": {
                **common,
                "samples": [value for burst in bursts for value in burst.wall],
                "clock": "wall",
                "environment": facts.get("environment"),
            },
            "cpu_time": {
                **common,
                "samples": [value for burst in bursts for value in burst.cpu],
                "clock": "process",
            },
            **_metrics(one, CANDIDATE),
        }
        device = [value for burst in bursts for value in burst.device]
        if device:
            record.metrics["device_time"] = {**common, "samples": device, "clock": "device"}
        record.notes += device_doubts(
            [reading for burst in bursts for reading in burst.readings],
            False if any(burst.is_full is False for burst in bursts) else None,
        )
        record.seconds = {"forward": sum(burst.seconds for burst in bursts)}
    return record


_HARDWARE = ("device_name", "processor", "machine", "logical_cores", "clock", "yardstick")
"""Fields of an environment that are the machine's, which both sides share."""


def _told_versions(one: Played, side: str) -> dict[str, Any]:
    """What a side ran with, each thing once."""
    environment = one.facts[side].get("environment") or {}
    libraries = {each["name"]: each["version"] for each in _imported(one, side) if each["version"]}
    packages = {**_versions(one, side), **libraries}
    named = {
        name: value
        for name, value in environment.items()
        if name not in (*_HARDWARE, "torch", "library") and value is not None
    }
    return {**packages, **named, **_target_fields(one.facts[side]["target"])}


def _target_fields(target: Mapping[str, Any]) -> dict[str, Any]:
    stated = target_of(target)
    return {one.name: stated[one.name] for one in axes() if one.several}


def _versions(one: Played, side: str) -> dict[str, Any]:
    return dict(one.hellos.get(side, {}).get("versions", {}))


def _imported(one: Played, side: str) -> list[dict[str, Any]]:
    """Packages and files that the network's code was imported from, see
    :class:`archbench.measure.imports.Imported`."""
    return list(one.facts.get(side, {}).get("imported", ()))


MOST_NAMED = 6
"""Packages and files of one side, in a line."""


def _ran(config: pytest.Config, one: Played) -> dict[str, str]:
    """Whose code each side ran, for people; empty where a side did not say."""
    places = {
        # The file that was asked for may be the package's own.
        side: list(dict.fromkeys(_place(config, each) for each in _imported(one, side)))
        for side in SIDES
    }
    texts = {
        side: ", ".join(names[:MOST_NAMED])
        + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
        for side, names in places.items()
    }
    return texts if all(texts.values()) else {}


def _place(config: pytest.Config, imported: Mapping[str, Any]) -> str:
    """``timm 1.0.31`` where it is installed, else ``timm 1.1.0.dev0 (./timm)``, ``./net.py``."""
    named = " ".join(filter(None, (imported["name"], imported["version"])))
    if imported["is_installed"]:
        return named
    path = Path(imported["path"])
    if path.is_relative_to(config.rootpath):
        path = path.relative_to(config.rootpath)
    text = str(path) if path.is_absolute() else f"./{path.as_posix()}"
    return f"{named} ({text})" if imported["version"] else text


def _metrics(one: Played, side: str) -> dict[str, Any]:
    """What running it took, beside its time."""
    return dict(one.facts[side].get("metrics", {}))


def _compiled(one: Played) -> list[tuple[str, str]]:
    """What to say of each side that is compiled."""
    texts = [(side, compiling_text(_metrics(one, side))) for side in SIDES if side in one.facts]
    return [(side, text) for side, text in texts if text is not None]


def _agreement(facts: Mapping[str, Mapping[str, Any]]) -> Agreement | None:
    reference, candidate = (_scores(facts[side].get("scores")) for side in SIDES)
    return agreement(reference, candidate)


def _scores(data: Mapping[str, Any] | None) -> list[list[float]]:
    if data is None:
        return []
    images, classes = data["shape"]
    values = struct.unpack(f"<{images * classes}f", base64.b64decode(data["fp32"]))
    return [list(values[i * classes : (i + 1) * classes]) for i in range(images)]


def _lines(
    config: pytest.Config,
    played: Mapping[str, Played],
    reference: Reference,
    labels: Mapping[str, str],
    cells: set[str],
    told: Mapping[str, Told],
) -> list[str]:
    """What is said about all cells together."""
    measured = sum(launch.seconds for one in played.values() for launch in one.launches)
    most = max((len(one.launches) for one in played.values()), default=0)
    lines = [
        f"Duet: {labels[CANDIDATE]}, against {labels[REFERENCE]}; {measured:.0f} s of bursts in "
        f"{most} launch{'' if most == 1 else 'es'}."
    ]
    hello = next((one.hellos[REFERENCE] for one in played.values() if one.hellos), {})
    narrowed = any(
        getattr(config.option, name, None) for name in ("keyword", "markexpr", "deselect")
    ) or any("::" in argument for argument in config.args)
    gone = [name for name in hello.get("only_here", ()) if name not in cells]
    if gone and not narrowed:
        names = ", ".join(map(_name, gone[:3]))
        more = f" and {len(gone) - 3} more" if len(gone) > 3 else ""
        lines.append(f"  Only {labels[REFERENCE]} has {names}{more}: not-measured.")
    lines += _ran_lines(config, played, reference, labels)
    compiled = [
        f"  {_name(nodeid)}: {labels[side]} was {text}."
        for nodeid, one in played.items()
        for side, text in _compiled(one)
    ]
    return [
        *lines,
        *shortened(_passed(told)),
        *shortened(compiled),
        *shortened(_told_lines(told)),
    ]


def _ran_lines(
    config: pytest.Config,
    played: Mapping[str, Played],
    reference: Reference,
    labels: Mapping[str, str],
) -> list[str]:
    """Whose code the sides ran, all cells together, and which cells ran none of the revisions."""
    ran = {nodeid: texts for nodeid, one in played.items() if (texts := _ran(config, one))}
    lines = [
        f"  {labels[side]} ran {place}."
        for side in (CANDIDATE, REFERENCE)
        for place in dict.fromkeys(texts[side] for texts in ran.values())
    ]
    same = [nodeid for nodeid, texts in ran.items() if texts[CANDIDATE] == texts[REFERENCE]]
    if reference.kind != "revision" or not same:
        return shortened(lines)
    names = ", ".join(map(_name, same[:3])) + (" and others" if len(same) > 3 else "")
    return [
        *shortened(lines),
        f"  {len(same)} of {len(ran)} cells ran no code of the project, so that the revisions do "
        f"not differ in it: {names}.",
    ]


def _passed(told: Mapping[str, Told]) -> list[str]:
    """How the times of tests that pass compare, what improved first: a failure tells by itself."""
    times = [
        (verdict.status, f"  {verdict.status}: {_name(nodeid)}: {verdict.sentence}")
        for nodeid, one in told.items()
        if one.failure is None
        for verdict in one.record.verdicts
        if verdict.metric == "latency" and verdict.reason not in TOLD
    ]
    return [line for _, line in sorted(times, key=lambda time: time[0] != "improved")]


_TOLD_OF = {
    "accepted": "Accepted",
    "told": "Told (counts = 'tell')",
    "new": "New (new = 'tell')",
}
"""What is said of a verdict that fails nothing, by its reason."""


def _told_lines(told: Mapping[str, Told]) -> list[str]:
    """What changed and fails nothing."""
    return [
        f"  {_TOLD_OF[verdict.reason]}: {_name(nodeid)}: {verdict.sentence}"
        for nodeid, one in told.items()
        for verdict in one.record.verdicts
        if verdict.reason in TOLD
    ]
