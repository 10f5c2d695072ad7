"""``--against``: two versions measured side by side before the tests run, which then tell of it."""

from __future__ import annotations

import base64
import json
import os
import random
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from archbench.core.errors import ArchbenchError, UsageError
from archbench.core.gate import COUNTS
from archbench.core.readings import device_doubts
from archbench.core.records import Record
from archbench.core.rounds import ClockRule
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
from archbench.core.spec import Target, Wish
from archbench.core.verdicts import TOLD, Verdict
from archbench.duet.children import (
    CANDIDATE,
    REFERENCE,
    SIDES,
    Child,
    Failure,
    NoPairError,
    Pair,
    Patience,
)
from archbench.duet.conducting import Plan, Played, conduct
from archbench.duet.environments import harness, interpreter, overlay
from archbench.duet.references import Reference
from archbench.duet.revisions import check_out, describe_work_tree
from archbench.pytest_plugin.budgets import configuration_of
from archbench.pytest_plugin.dueting import DuetOrder
from archbench.pytest_plugin.gate import (
    accepted_counts,
    accepted_line,
    counts_path,
    fails,
    times_path,
)
from archbench.pytest_plugin.launched import where_launched
from archbench.pytest_plugin.launching import launch_environment, passed_on
from archbench.pytest_plugin.manifest import cell_of
from archbench.pytest_plugin.options import is_worker, spelled
from archbench.pytest_plugin.settings import settings_of
from archbench.report.findings import shortened
from archbench.store.directory import OWN, make_directory

__all__ = ["Told", "against_lines", "not_compared", "play", "told"]


@dataclass(frozen=True, slots=True)
class Side:
    """Where one side's code is, and what runs it.

    Attributes:
        label: for people.
        executable: the interpreter.
        directory: that it runs in.
        root: pytest's root directory there.
        inifile: pytest's configuration file there; None for none.
        arguments: files and tests.
        path: directories that come first on its path.
        foreign, tree: see :class:`archbench.pytest_plugin.dueting.DuetOrder`.
    """

    label: str
    executable: str
    directory: Path
    root: Path
    inifile: Path | None
    arguments: tuple[str, ...]
    path: tuple[Path, ...]
    foreign: str = ""
    tree: str = ""


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


def _path(config: pytest.Config) -> Path:
    """The file by which workers of pytest-xdist learn what was told."""
    return where_launched(config).with_name("duet.json")


def told(config: pytest.Config, nodeid: str) -> Told | None:
    """What the duet says about a test; None where it was not part of one."""
    if _DUET not in config.stash:
        duet = _Duet()
        if is_worker(config) and _path(config).exists():
            data = json.loads(_path(config).read_text(encoding="utf-8"))
            duet.told = {
                name: Told(Record.from_dict(one["record"]), one["failure"])
                for name, one in data.items()
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
    cells = [nodeid for nodeid in nodeids if (cell := cell_of(nodeid)) is None or cell[1]]
    if not cells:
        return
    try:
        sides = _sides(config, reference)
        labels = {side: one.label for side, one in sides.items()}
        say(f"duet: {labels[CANDIDATE]}, against {labels[REFERENCE]}")
        players = _Players(config, reference, sides, patience or Patience())
        with _devices(config, say):
            played = conduct(cells, players.start, players.rules_of, plan=plan, say=say)
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
    _path(config).parent.mkdir(parents=True, exist_ok=True)
    _path(config).write_text(
        json.dumps(
            {
                nodeid: {"record": one.record.as_dict(), "failure": one.failure}
                for nodeid, one in duet.told.items()
            }
        ),
        encoding="utf-8",
    )


def _targets(config: pytest.Config) -> list[Target]:
    """What this run asks for, looked up on this machine."""
    from archbench.measure.hardware import make_target

    settings = settings_of(config)
    return [make_target(settings.gpu, wish=wish) for wish in settings.wishes]


@contextmanager
def _devices(config: pytest.Config, say: Callable[[str], None]) -> Iterator[None]:
    """The accelerators of this run for both sides, and for nobody else."""
    if settings_of(config).gpu == "cpu":
        yield
        return
    from archbench.devices.lease import lease

    held = {one.uuid or one.device_name for one in _targets(config) if one.kind != "cpu"}
    with ExitStack() as stack:
        for identity in sorted(held):
            stack.enter_context(lease(identity, say))
        yield


# The sides.


def _sides(config: pytest.Config, reference: Reference) -> dict[str, Side]:
    """Both sides, made ready on disk.

    Raises:
        UsageError: the reference is not to be had.
    """
    asked = f"--against={reference.text}"
    if os.name != "posix":
        raise UsageError(
            asked, "processes inherit a socket, which only POSIX systems do", "Run it on Linux"
        )
    store = make_directory(config.rootpath / OWN / "against")
    ours = harness(store)
    candidate = Side(
        describe_work_tree(config.rootpath),
        sys.executable,
        config.invocation_params.dir,
        config.rootpath,
        config.inipath,
        tuple(config.args),
        (ours,),
    )
    if reference.kind == "flags":
        _check_flags(config, reference)
        flags = ", ".join(f"{name}={value}" for name, value in reference.flags)
        return {REFERENCE: _labelled(candidate, flags), CANDIDATE: candidate}
    if reference.kind == "interpreter":
        executable = interpreter(reference.value, config.invocation_params.dir, asked)
        label = f"the same project with {executable}"
        other = _labelled(candidate, label, executable=executable)
        return {REFERENCE: other, CANDIDATE: candidate}
    if reference.kind == "packages":
        place, packages = overlay(reference.requirements, store, asked)
        names = ", ".join(f"{name} {version}" for name, version in sorted(packages.items()))
        other = _labelled(candidate, f"the same project with {names}", path=(ours, place))
        return {REFERENCE: other, CANDIDATE: candidate}
    return {REFERENCE: _revision_side(config, reference, candidate, store), CANDIDATE: candidate}


def _labelled(side: Side, label: str, **changes: Any) -> Side:
    return replace(side, label=label, **changes)


def _check_flags(config: pytest.Config, reference: Reference) -> None:
    """Refuse flags that no side can be run with, before anything is measured.

    Raises:
        UsageError: there is no such model, or the device cannot run it like that.
    """
    from archbench.pytest_plugin.selection import one_model

    flags = dict(reference.flags)
    if "model" in flags:
        one_model(config, flags["model"], "--against=model=")
    from archbench.measure.partner import varied

    targets = _targets(config)
    try:
        others = [varied(target, flags) for target in targets]
    except UsageError as error:
        # What is to be typed instead is typed here.
        todo = error.todo.replace("--", "--against=")
        raise UsageError(f"--against={reference.text}", error.found, todo) from None
    if "model" not in flags and others == targets:
        raise UsageError(
            f"--against={reference.text}",
            "the candidate has these flags already, so both sides would be the same",
            "Name what differs",
        )


def _revision_side(
    config: pytest.Config, reference: Reference, candidate: Side, store: Path
) -> Side:
    revision = check_out(config.rootpath, reference.value, store / "revisions")
    top = revision.top.resolve()

    def there(path: Path) -> Path:
        """The same place in the other work tree; outside of ours, the place itself."""
        full = path.resolve()
        is_inside = full.is_relative_to(top) and not full.is_relative_to(store.resolve())
        return revision.tree / full.relative_to(top) if is_inside else path

    arguments = []
    for argument in config.args:
        file, colons, test = argument.partition("::")
        if config.option.pyargs and not (candidate.directory / file).exists():
            arguments.append(argument)
            continue
        place = there(candidate.directory / file)
        if place.exists():
            arguments.append(f"{place}{colons}{test}")
    if not arguments:
        raise UsageError(
            f"--against={reference.text}",
            f"{revision.label} has none of {', '.join(config.args)}",
            "Name tests that are there too, or a later revision",
        )
    root = there(config.rootpath)
    inifile = there(config.inipath) if config.inipath is not None else None
    entries = [Path(entry) for entry in sys.path if entry and "site-packages" not in entry]
    prefix = Path(sys.prefix).resolve()
    entries = [entry for entry in entries if not entry.resolve().is_relative_to(prefix)]
    mapped = [there(entry) for entry in entries if there(entry) != entry]
    path = [*candidate.path, root, root / "src", *mapped]
    directory = there(candidate.directory)
    return Side(
        revision.label,
        candidate.executable,
        directory if directory.is_dir() else root,
        root,
        inifile if inifile is not None and inifile.is_file() else None,
        tuple(arguments),
        tuple(dict.fromkeys(one for one in path if one.is_dir())),
        foreign=str(top),
        tree=str(revision.tree),
    )


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
        runtimes = (*settings_of(config).runtimes, dict(reference.flags).get("runtime"))
        if "compiled" in runtimes:
            patience = replace(patience, ready=patience.ready + patience.compiling)
        self._patience = patience
        self._number = 0

    def rules_of(self, facts: Mapping[str, Any]) -> tuple[ClockRule, ...]:
        """The rules of a cell, from what the candidate says about its model."""
        target = facts["target"]
        return configuration_of(self._config).rules.duet_rules(
            facts["id"], target["slug"], target["dtype"], facts["kind"], target["threads"]
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
        shares = self._reference.shares_process(settings_of(self._config).runtimes)
        groups = [SIDES] if shares else [(REFERENCE,), (CANDIDATE,)]
        self._number += 1
        children: list[Child] = []
        try:
            # Each is in the list as soon as it runs, whatever becomes of the next.
            children.extend(self._child(names, cells, chance, core) for names in groups)
            for child in children:
                child.greet()
        except BaseException:
            for child in children:
                child.kill()
            raise
        return Pair(children, core, self._patience)

    def _child(
        self, names: Sequence[str], cells: Sequence[str], chance: random.Random, core: int | None
    ) -> Child:
        side = self._sides[names[-1]]
        order = DuetOrder(
            connection=-1,
            sides=tuple(names),
            cells=tuple(cells),
            seed=chance.randrange(2**31),
            core=core,
            flags=dict(self._reference.flags) if REFERENCE in names else {},
            foreign=side.foreign,
            tree=side.tree,
        )
        files = where_launched(self._config).parent / f"duet-{self._number}"
        files.mkdir(parents=True, exist_ok=True)
        environment = launch_environment(chance)
        environment.pop("PYTHONHOME", None)
        given = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
        environment["PYTHONPATH"] = os.pathsep.join([*map(str, side.path), *given])
        return Child.start(
            names,
            [*self._command(side, files), "--archbench-duet={order}"],
            environment,
            side.directory,
            asdict(order),
            files,
            self._patience,
        )

    def _command(self, side: Side, files: Path) -> list[str]:
        inifile = side.inifile
        if inifile is None:
            # Without one pytest would look for it upwards, in the other side's tree.
            inifile = files / "pytest.ini"
            inifile.write_text("[pytest]\n", encoding="utf-8")
        option = self._config.option
        return [
            side.executable,
            *("-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", "-o", "addopts="),
            *("--rootdir", str(side.root), "-c", str(inifile), "--confcutdir", str(side.root)),
            *(["--pyargs"] if option.pyargs else []),
            *("-p", "archbench.pytest_plugin"),
            *passed_on(self._config),
            *side.arguments,
        ]


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
                "no_telemetry": facts[side].get("no_telemetry"),
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
    settings = settings_of(config)
    bad = [item for item in verdicts if item.reason not in TOLD and fails(settings, item)]
    if not bad:
        return Told(record)
    lines = [f"{item.status}: {name}: {item.sentence}" for item in bad]
    lines.append(f"Compared: {labels[CANDIDATE]}, against {labels[REFERENCE]}.")
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
    target = facts["target"]
    if not changes:
        return []
    counts = accepted_counts(config).lines.get(facts["id"])
    times, _ = accepted_line(config, Record(facts["id"], target))
    peak = ((times or {}).get("amounts") or {}).get("peak_memory")
    changes = accept_changes(changes, facts["counts"], counts, peak)
    rules = configuration_of(config).rules
    if not rules.tells("counts", facts["id"], target["slug"], target["dtype"]):
        return changes
    return [
        change if change.reason in TOLD else replace(change, reason="told") for change in changes
    ]


def _how_to_accept(config: pytest.Config, facts: Mapping[str, Any], bad: Sequence[Verdict]) -> str:
    """What to do where other counts are meant."""
    instead = "with --baseline-update in place of --against"
    if any(item.metric in COUNTS for item in bad):
        path = counts_path(config)
        number = accepted_counts(config).numbers.get(facts["id"])
        what = f"run a test that calls bench.complexity {instead}"
        has = f"has others in line {number}" if number else f"has none of {facts['id']}"
    else:
        path = times_path(config, facts["target"]["slug"], facts["target"]["dtype"])
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
    target = make_target(settings_of(config).gpu, wish=Wish.parse(cell[1]))
    return rules.tells("new", cell[0], target.slug, target.dtype)


def _record(one: Played, verdicts: Sequence[Verdict], name: str = "") -> Record:
    """What the candidate's bursts say, in the form of a measurement of its own."""
    facts = one.facts.get(CANDIDATE, {})
    record = Record(
        facts.get("id", name),
        facts.get("target"),
        verdicts=[verdict.as_dict() for verdict in verdicts],
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
    packages = _versions(one, side)
    named = {
        name: value
        for name, value in environment.items()
        if name not in (*_HARDWARE, "torch", "library") and value is not None
    }
    return {**packages, **named, **_target_fields(one.facts[side]["target"])}


def _target_fields(target: Mapping[str, Any]) -> dict[str, Any]:
    return {name: target[name] for name in ("dtype", "batch_size", "memory_format", "runtime")}


def _versions(one: Played, side: str) -> dict[str, Any]:
    return dict(one.hellos.get(side, {}).get("versions", {}))


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


def _passed(told: Mapping[str, Told]) -> list[str]:
    """How the times of tests that pass compare, what improved first: a failure tells by itself."""
    times = [
        (verdict["status"], f"  {verdict['status']}: {_name(nodeid)}: {verdict['sentence']}")
        for nodeid, one in told.items()
        if one.failure is None
        for verdict in one.record.verdicts
        if verdict["metric"] == "latency" and verdict["reason"] not in TOLD
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
        f"  {_TOLD_OF[verdict['reason']]}: {_name(nodeid)}: {verdict['sentence']}"
        for nodeid, one in told.items()
        for verdict in one.record.verdicts
        if verdict["reason"] in TOLD
    ]
