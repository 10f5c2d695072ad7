"""How often a gate is wrong on this machine: unchanged networks, and ones made slower on purpose.

A project of small networks is made. For the gate of stored baselines its baseline is accepted; for
the paired comparison ("duet") it is committed, and whole runs compare its work tree with that. With
nothing changed, every change that is reported is a false alarm; with more layers, whose cost is
known exactly, every one that is not is a miss. All of the machinery has a part in it.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from archbench.core.errors import ArchbenchError, UsageError
from archbench.core.forms import Stored
from archbench.core.gate import scales_of
from archbench.core.lines import TimeLine
from archbench.core.process_runs import spread
from archbench.core.records import Record
from archbench.core.rounds import PairedRun
from archbench.core.statistics import clopper_pearson, quantile
from archbench.core.tolerances import Rules
from archbench.metrics import format_seconds
from archbench.store.baselines import read_baselines
from archbench.store.git import git
from archbench.store.results import read_results

SCHEMA = 2
"""Of a line of stored rounds; in schema 1 its process runs were called ``launches``."""

_ACCEPT = "--archbench-baseline-update"

_NETS = '''
"""Stacks of equal convolutions."""

from torch import nn


def stack(channels):
    equal = [nn.Conv2d(channels, channels, 3, padding=1) for _ in range({layers})]
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1), *equal,
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10),
    )
'''

_CONFTEST = """
from functools import partial

from archbench import ModelSpec


def pytest_archbench_models():
    from nets import stack

    return [
        ModelSpec.of(partial(stack, {channels}), name=f"stack{{i}}", input_size={pixels})
        for i in range({cells})
    ]
"""

_TEST = """
def test_latency(bench, loaded_model):
    bench.latency(loaded_model)
"""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a gate is tried on.

    Attributes:
        layers: equal ones of each network.
        channels, pixels: of the network of number ``i``, in Python.
        cells, rounds, injected_rounds: as of :func:`selftest`, where nobody says another number.
        extras: shares of layers to add: 0.05 for 5 in a hundred.
        arguments: of pytest.
    """

    layers: int
    channels: str
    pixels: str
    cells: int
    rounds: int
    injected_rounds: int
    extras: tuple[float, ...]
    arguments: tuple[str, ...] = ()


STORED = Trial(20, "16 + 8 * i", "32", 10, 30, 6, (0.2, 0.5))
"""The gate of stored baselines."""

PAIRED = Trial(
    100, "8 + 8 * (i % 4)", "16 + 8 * (i // 4 % 5)", 20, 3, 1, (0.02, 0.05, 0.1),
    ("--archbench-against=HEAD",),
)  # fmt: skip
"""Two versions side by side."""


@dataclass(frozen=True, slots=True)
class Tried(Stored):
    """One cell of a run, as it is stored of a paired comparison.

    Attributes:
        schema: of the file.
        extra: share of layers that were added.
        cell: id of the architecture.
        status: of the verdict about its time.
        seconds: of bursts, or of forward passes.
        start_seconds: that each pair of processes took to come up.
        process_runs: rounds of a paired comparison; empty for a stored baseline.
    """

    schema: int
    extra: float
    cell: str
    status: str
    seconds: float
    start_seconds: tuple[float, ...] = ()
    process_runs: tuple[PairedRun, ...] = ()


@dataclass(slots=True)
class Outcome:
    """Verdicts of one kind of run.

    Attributes:
        extra: share of layers that were added; 0 for an unchanged network.
        statuses: how many verdicts had each status.
        seconds: of bursts, or of forward passes, for each verdict.
        process_runs: of each verdict of a paired comparison.
        starts: seconds that a pair of processes took to come up.
    """

    extra: float
    statuses: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    process_runs: list[int] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)

    @property
    def alarms(self) -> int:
        """How many report a change: false without one, and found with one."""
        regressed = self.statuses["regressed"]
        return regressed if self.extra else regressed + self.statuses["improved"]

    def add(self, one: Tried) -> None:
        """Count one verdict."""
        self.statuses[one.status] += 1
        self.seconds.append(one.seconds)
        if one.process_runs:
            self.process_runs.append(len(one.process_runs))
        self.starts += one.start_seconds

    def text(self) -> str:
        """One line with the Clopper-Pearson interval of 95 %, and one about a paired comparison's
        cost."""
        number = self.statuses.total()
        low, high = clopper_pearson(self.alarms, number)
        others = ", ".join(f"{count} {status}" for status, count in sorted(self.statuses.items()))
        what = f"{self.extra:+.0%} layers, found" if self.extra else "unchanged, false alarms"
        text = f"{what}: {self.alarms} of {number} ({low:.2%} to {high:.2%} at 95 %)   {others}"
        if not self.process_runs:
            return text
        ordered = sorted(self.seconds)
        return (
            f"{text}\n  bursts for a verdict: {statistics.median(ordered):.1f} s, "
            f"at most {quantile(ordered, 0.9):.1f} s for 9 of 10; "
            f"process runs: {statistics.mean(self.process_runs):.1f}; "
            f"start of a pair: {statistics.median(self.starts):.1f} s"
        )


def selftest(
    trial: Trial,
    *,
    say: Callable[[str], None],
    cells: int | None = None,
    rounds: int | None = None,
    injected_rounds: int | None = None,
    store: Path | None = None,
    directory: Path | None = None,
    gpu: str = "cpu",
    runtime: str = "eager",
) -> list[Outcome]:
    """Try a gate on this machine.

    Args:
        trial: :data:`STORED` or :data:`PAIRED`.
        rounds: runs with nothing changed, of ``cells`` verdicts each.
        injected_rounds: runs with each of the trial's extra layers.
        store: file that all rounds of a paired comparison are appended to.
        directory: for the project; a temporary one by default.
        gpu: the device, as ``--gpu`` names one.
        runtime: as ``--runtime`` names one.

    Raises:
        ArchbenchError: a run fails for another reason than its verdicts.
        UsageError: ``store`` cannot be written.
    """
    cells = trial.cells if cells is None else cells
    rounds = trial.rounds if rounds is None else rounds
    injected = trial.injected_rounds if injected_rounds is None else injected_rounds
    where = (f"--archbench-gpu={gpu}", f"--archbench-runtime={runtime}")
    if store is not None:
        _append(store, "")  # found out before anything is measured
    with tempfile.TemporaryDirectory() as name:
        root = directory or Path(name)
        _make_project(root, trial, cells)
        if trial is PAIRED:
            _commit(root)
        else:
            _run(root, trial, 0.0, *where, _ACCEPT)
            say(_smallest_change(root))
        outcomes = []
        for extra, number in [(0.0, rounds), *((extra, injected) for extra in trial.extras)]:
            outcome = Outcome(extra)
            for index in range(number):
                before = outcome.alarms
                for one in _tried(_run(root, trial, extra, *where), extra):
                    outcome.add(one)
                    if store is not None:
                        _append(store, json.dumps(one.as_dict(), allow_nan=False) + "\n")
                say(
                    f"{extra:+.0%}, run {index + 1} of {number}: {outcome.alarms - before} of "
                    f"{cells} changed, {format_seconds(sum(outcome.seconds))} of measuring so far"
                )
            if number:
                outcomes.append(outcome)
        return outcomes


def _append(store: Path, text: str) -> None:
    try:
        with store.open("a", encoding="utf-8") as stored:
            stored.write(text)
    except OSError as error:
        raise UsageError(
            f"--store={store}",
            f"it cannot be written ({error.strerror})",
            "Name a file in a directory that exists and is writable",
        ) from None


def _make_project(root: Path, trial: Trial, cells: int) -> None:
    root.mkdir(parents=True, exist_ok=True)
    conftest = _CONFTEST.format(channels=trial.channels, pixels=trial.pixels, cells=cells)
    for file, text in (
        ("nets.py", _NETS.format(layers=trial.layers)),
        ("conftest.py", conftest),
        ("test_time.py", _TEST),
        ("pytest.ini", "[pytest]\npythonpath = .\n"),
        (".gitignore", ".archbench/\n__pycache__/\nresults.json\n"),
    ):
        (root / file).write_text(text, encoding="utf-8")


def _commit(root: Path) -> None:
    identity = ("-c", "user.name=archbench", "-c", "user.email=archbench@localhost")
    for command in (
        ("init", "--quiet"),
        ("add", "."),
        (*identity, "commit", "--quiet", "--no-verify", "--no-gpg-sign", "-m", "reference"),
    ):
        done = git(root, *command)
        if done.output is None:
            raise ArchbenchError(f"git {command[0]} failed: {done.complaint}")


def smallest_changes(cells: int, gpu: str = "cpu") -> dict[str, list[float]]:
    """The smallest changes that baselines of this machine find, by their own spread.

    Accepts baselines of small networks, ten processes each, and measures nothing else.

    Args:
        cells: networks.
        gpu: the device, as ``--gpu`` names one.

    Returns:
        By metric, a share for each network whose baseline was accepted: 0.1 for a tenth.

    Raises:
        ArchbenchError: nothing is measured.
    """
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        _make_project(root, STORED, cells)
        try:
            _run(root, STORED, 0.0, f"--archbench-gpu={gpu}", _ACCEPT)
        except ArchbenchError:
            if not _has_times(root):
                raise
            # The machine was too busy for some of the baselines.
        return _found_by_baselines(root)


def _has_times(root: Path) -> bool:
    results = root / "results.json"
    cells = read_results(results).cells if results.exists() else ()
    return any("latency" in cell.metrics for cell in cells)


def _found_by_baselines(root: Path) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for path in (root / "baselines").glob("*/*.jsonl"):
        for line in read_baselines(path, TimeLine).lines.values():
            process_runs = line.runs
            for metric, scale in scales_of(process_runs, line.environment).items():
                rule = Rules().time_rule(line.id, path.parent.name, path.stem, scale)
                threshold = spread(process_runs, scale).threshold(rule.relative, rule.confidence)
                found.setdefault(metric, []).append(math.expm1(threshold))
    return found


def _smallest_change(root: Path) -> str:
    """What the accepted baselines find."""
    found = _found_by_baselines(root)["latency"]
    return (
        f"{len(found)} baselines: the smallest change that they find is {min(found):.0%} to "
        f"{max(found):.0%}, {statistics.median(found):.0%} for the middle one"
    )


def _run(root: Path, trial: Trial, extra: float, *arguments: str) -> list[Record]:
    """One pytest run of the project with more layers than it has; its results."""
    layers = trial.layers + round(trial.layers * extra)
    (root / "nets.py").write_text(_NETS.format(layers=layers), encoding="utf-8")
    results = root / "results.json"
    results.unlink(missing_ok=True)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")
    }
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "archbench.pytest_plugin"),
            *("test_time.py", "--archbench-models=local/*"),
            *(f"--archbench-results={results}", *trial.arguments, *arguments),
        ],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    # Whoever accepts a baseline expects no failure.
    if (
        done.returncode not in (0, 1)
        or not results.exists()
        or (_ACCEPT in arguments and done.returncode)
    ):
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise ArchbenchError(
            f"a run of the self-test ended with status {done.returncode}; it printed:\n{tail}"
        )
    run = read_results(results)
    if run.damaged:
        raise ArchbenchError(f"a run of the self-test stored what cannot be read: {run.damaged[0]}")
    return run.cells


def _tried(cells: Sequence[Record], extra: float) -> Iterator[Tried]:
    """What is counted of each cell, and stored of a paired comparison."""
    for cell in cells:
        paired = cell.metrics.get("paired_ratio", {})
        yield Tried(
            SCHEMA,
            extra,
            cell.id,
            next(verdict.status for verdict in cell.verdicts if verdict.metric == "latency"),
            paired.get("seconds", cell.seconds.get("forward", 0.0)),
            tuple(paired.get("start_seconds", ())),
            tuple(paired.get("series", ())),
        )
