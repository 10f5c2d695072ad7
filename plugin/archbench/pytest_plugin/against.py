"""``--against``: two versions measured side by side before the tests run, which then report it."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import msgspec
import pytest

from archbench.core.errors import ArchbenchError
from archbench.core.forms import Json, value_of
from archbench.core.rounds import ClockRule
from archbench.core.side_facts import SideFacts
from archbench.pytest_plugin.compared import Comparison, comparison
from archbench.pytest_plugin.compared_lines import comparison_lines
from archbench.pytest_plugin.configuration import configuration_of
from archbench.pytest_plugin.manifest import cell_of, is_batchless
from archbench.pytest_plugin.node_ids import file_of
from archbench.pytest_plugin.options import spelled
from archbench.pytest_plugin.settings import settings_of
from archbench.pytest_plugin.sides import Side, make_sides
from archbench.pytest_plugin.starting import (
    artefacts_of,
    chance_environment,
    files_of,
    hand_on,
    handed_on,
    is_prepared,
    make_files,
    start,
)
from archbench.pytest_plugin.targets import leased, targets_of
from archbench.workers.messages import Failure
from archbench.workers.orders import Order
from archbench.workers.pairs import (
    CANDIDATE,
    REFERENCE,
    SIDES,
    Holder,
    NoPairError,
    Pair,
)
from archbench.workers.process import Patience
from archbench.workers.references import Reference
from archbench.workers.schedule import PairedCell, Plan, run_schedule


@dataclass(slots=True)
class _Comparisons:
    """Those of all tests of this run, and what is said of them at its end."""

    by_test: dict[str, Comparison] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)


_COMPARISONS: pytest.StashKey[_Comparisons] = pytest.StashKey()


_FILE = "paired.json"


def comparison_of(config: pytest.Config, nodeid: str) -> Comparison | None:
    """What the comparison says about a test; None where it was not part of one."""
    if _COMPARISONS not in config.stash:
        data = handed_on(config, _FILE, dict[str, Comparison]) if is_prepared(config) else None
        config.stash[_COMPARISONS] = _Comparisons(data or {})
    return config.stash[_COMPARISONS].by_test.get(nodeid)


def against_lines(config: pytest.Config) -> list[str]:
    """What is said below the table about the comparison as a whole."""
    return list(config.stash[_COMPARISONS].lines) if _COMPARISONS in config.stash else []


def _did_not_come_up(reference: Reference, sides: Mapping[str, Side], error: NoPairError) -> str:
    label = sides[error.side].label if error.side in sides else error.side
    other = sides.get(REFERENCE)
    text = (
        f"--against={reference.text}: the process of {label} did not come up: "
        f"{error.sentence}. This is what it printed:\n{_in_revision(other, error.output)}"
    )
    if error.side != REFERENCE or not (commit := _commit(other)):
        return text
    return (
        f"{text}\nIf that is about a file of the revision itself, compare with another one, as "
        f"--against={commit}~1."
    )


def _commit(other: Side | None) -> str:
    """The start of the name of the commit that the other side is; empty where it is none."""
    return "" if other is None else Path(other.imports.theirs).name[:9]


def _in_revision(other: Side | None, text: str) -> str:
    """What a side said, with the files of a revision named as git does: ``1a2b3c4d5:net.py``."""
    commit = _commit(other)
    if other is None or not commit:
        return text
    return text.replace(f"{other.imports.theirs}{os.sep}", f"{commit}:")


def compare(
    config: pytest.Config,
    nodeids: Sequence[str],
    say: Callable[[str], None],
    *,
    show: Callable[[str], object] = lambda _: None,
    kept: PairsKept | None = None,
    plan: Plan | None = None,
    patience: Patience | None = None,
) -> None:
    """Compare all tests that are about time with the other version, before the first one runs.

    Args:
        say: given a sentence for each process run.
        show: given a line that stands until the next one, about what is going on.
        kept: what is on the disk of this run.

    Raises:
        pytest.UsageError: what ``--against`` names is not there, a side does not come up, or no
            test is about time.
    """
    reference = settings_of(config).against
    assert reference is not None
    found = config.stash[_COMPARISONS] = _Comparisons()
    cells = [nodeid for nodeid in nodeids if _is_timed(nodeid)]
    if not cells:
        raise pytest.UsageError(spelled(config, _nothing_timed(reference, len(nodeids))))
    kept = kept or PairsKept()
    try:
        sides = make_sides(config, reference, show)
        labels = {side: one.label for side, one in sides.items()}
        say(f"paired comparison: {labels[CANDIDATE]}, against {labels[REFERENCE]}")
        if sides[REFERENCE].arguments:
            pairs = _Pairs(config, reference, sides, patience or Patience())
            # The accelerators of this run are for both sides, and for nobody else.
            targets = [] if settings_of(config).gpu == "cpu" else targets_of(config)
            with leased(targets, say):
                paired = run_schedule(
                    cells, pairs.start, pairs.rules_of,
                    plan=plan, say=say, show=show, known=kept.known, keep=kept.add,
                )  # fmt: skip
        else:
            paired = {nodeid: PairedCell(failures=(_without_file(nodeid),)) for nodeid in cells}
    except NoPairError as error:
        message = _did_not_come_up(reference, sides, error)
        raise pytest.UsageError(spelled(config, message)) from None
    except ArchbenchError as error:
        raise pytest.UsageError(spelled(config, str(error))) from None
    told = partial(_in_revision, sides[REFERENCE])
    for nodeid, one in paired.items():
        one.failures = tuple(
            msgspec.structs.replace(
                failure, sentence=told(failure.sentence), details=told(failure.details)
            )
            for failure in one.failures
        )
        found.by_test[nodeid] = comparison(config, nodeid, one, reference, labels)
    found.lines = comparison_lines(config, paired, reference, labels, set(cells), found.by_test)
    hand_on(config, _FILE, found.by_test)


def _nothing_timed(reference: Reference, selected: int) -> str:
    """What to say where no selected test is about time."""
    count = "the one selected test measures no time"
    if selected > 1:
        count = f"none of the {selected:,} selected tests measures a time"
    return (
        f"--against={reference.text}: {count}, so nothing would be compared. Select tests "
        "that do, as by pytest benchmarks/test_latency.py, or leave --against out"
    )


class PairsKept:
    """What pairs of processes have brought, on the disk of a run.

    Args:
        before: by test, what the run that this one goes on with has of it.
        add: puts it there.
    """

    def __init__(
        self,
        before: Mapping[str, Json] | None = None,
        add: Callable[[str, PairedCell], object] = lambda *_: None,
    ) -> None:
        self._before = before or {}
        self.add = add

    def known(self, test: str) -> PairedCell:
        """What there is of a test."""
        before = self._before.get(test)
        return PairedCell() if before is None else value_of(PairedCell, before)


def _is_timed(nodeid: str) -> bool:
    """Whether a test may be about time: it has a batch size, or is no cell of ours by its id."""
    cell = cell_of(nodeid)
    return cell is None or (bool(cell[1]) and not is_batchless(cell[1]))


def _without_file(nodeid: str) -> Failure:
    """What is said of a test where the reference has no file of those that are to be run."""
    sentence = f"it has no {file_of(nodeid)}"
    return Failure(REFERENCE, "not-measured", "only-on-one-side", sentence)


class _Pairs:
    """Starts pairs, and knows the rules of a cell."""

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

    def rules_of(self, facts: SideFacts) -> tuple[ClockRule, ...]:
        """The rules of a cell, from what the candidate says about its model."""
        target = facts.target
        rules = configuration_of(self._config).rules.paired_rules(
            facts.id, target.slug, target.dtype, target.kind, target.threads
        )
        # An accelerator without a clock of its own has the host's alone.
        return tuple(one for one in rules if one.clock != "device" or facts.has_clock)

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
            artefacts=str(artefacts_of(self._config)),
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
