"""How often the gate is wrong on this machine: unchanged networks, and ones made slower on purpose.

A project of small networks is made in a directory of its own. Its baseline is accepted, then whole
runs are repeated: with nothing changed, every change that is reported is a false alarm; with more
layers than were accepted, whose cost is known exactly, every change that is not is a miss.
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from archbench.core.errors import ArchbenchError
from archbench.core.gate import scale_of
from archbench.core.launches import Launch, spread
from archbench.core.metrics import format_seconds
from archbench.core.statistics import clopper_pearson
from archbench.core.tolerances import Rules
from archbench.store.baselines import read_baselines

__all__ = ["Outcome", "stored_selftest"]

_NETS = '''
"""Stacks of equal convolutions; the environment adds some of them."""

import os

from torch import nn

LAYERS = 20


def stack(channels):
    layers = round(LAYERS * (1 + float(os.environ.get("ARCHBENCH_SELFTEST_EXTRA", "0"))))
    equal = [nn.Conv2d(channels, channels, 3, padding=1) for _ in range(layers)]
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
        ModelSpec.of(partial(stack, 16 + 8 * i), name=f"stack{i}", input_size=32)
        for i in range(CELLS)
    ]
"""

_TEST = """
def test_latency(bench, loaded_model):
    bench.latency(loaded_model)
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Verdicts of one kind of run.

    Attributes:
        extra: share of layers that were added; 0 for an unchanged network.
        statuses: how many verdicts had each status.
    """

    extra: float
    statuses: Counter[str]

    @property
    def verdicts(self) -> int:
        """How many there are."""
        return sum(self.statuses.values())

    @property
    def alarms(self) -> int:
        """How many report a change: false without one, and found with one."""
        if self.extra:
            return self.statuses["regressed"]
        return self.statuses["regressed"] + self.statuses["improved"]

    def text(self) -> str:
        """One line, with the Clopper-Pearson interval of 95 %."""
        low, high = clopper_pearson(self.alarms, self.verdicts)
        others = ", ".join(f"{number} {status}" for status, number in sorted(self.statuses.items()))
        what = f"{self.extra:+.0%} layers, found" if self.extra else "unchanged, false alarms"
        return (
            f"{what}: {self.alarms} of {self.verdicts} ({low:.1%} to {high:.1%} at 95 %)   {others}"
        )


def stored_selftest(
    *,
    cells: int,
    rounds: int,
    injected_rounds: int,
    extras: Sequence[float],
    say: Callable[[str], None],
    directory: Path | None = None,
) -> list[Outcome]:
    """Try the gate of stored baselines on this machine.

    Args:
        cells: networks.
        rounds: runs with nothing changed, of ``cells`` verdicts each.
        injected_rounds: runs with each of ``extras``.
        extras: shares of layers to add: 0.2 for a fifth more.
        say: tells the person how far it is.
        directory: for the project; a temporary one by default.

    Raises:
        ArchbenchError: a run fails for another reason than its verdicts.
    """
    with tempfile.TemporaryDirectory() as name:
        root = directory or Path(name)
        root.mkdir(parents=True, exist_ok=True)
        for file, text in (
            ("nets.py", _NETS),
            ("conftest.py", f"CELLS = {cells}\n{_CONFTEST}"),
            ("test_time.py", _TEST),
            ("pytest.ini", "[pytest]\npythonpath = .\n"),
        ):
            (root / file).write_text(text, encoding="utf-8")
        _run(root, 0.0, "--archbench-baseline-update")
        say(_smallest_change(root))
        outcomes = []
        for extra, number in [(0.0, rounds), *((extra, injected_rounds) for extra in extras)]:
            statuses: Counter[str] = Counter()
            for index in range(number):
                seconds, found = _run(root, extra)
                statuses += found
                alarms = Outcome(extra, found).alarms
                say(
                    f"{extra:+.0%}, run {index + 1} of {number}: {alarms} of {cells} changed, "
                    f"{format_seconds(seconds)}"
                )
            outcomes.append(Outcome(extra, statuses))
        return outcomes


def _smallest_change(root: Path) -> str:
    """What the accepted baselines find, by their own spread."""
    found = []
    for path in (root / "baselines").glob("*/*.jsonl"):
        for line in read_baselines(path, "latency").lines.values():
            launches = [Launch.from_dict(one) for one in line["launches"]]
            scale = scale_of(line["environment"])
            rule = Rules().time_rule(line["id"], path.parent.name, path.stem, scale)
            threshold = spread(launches, scale).threshold(rule.relative, rule.confidence)
            found.append(math.expm1(threshold))
    return (
        f"{len(found)} baselines: the smallest change that they find is {min(found):.0%} to "
        f"{max(found):.0%}, {statistics.median(found):.0%} for the middle one"
    )


def _run(root: Path, extra: float, *arguments: str) -> tuple[float, Counter[str]]:
    """One pytest run of the project; seconds, and how many verdicts had each status."""
    results = root / "results.json"
    results.unlink(missing_ok=True)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")
    }
    environment["ARCHBENCH_SELFTEST_EXTRA"] = str(extra)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "archbench.pytest_plugin"),
            *("test_time.py", "--archbench-models=local/*", "--archbench-gpu=cpu"),
            f"--archbench-results={results}",
            *arguments,
        ],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    accepting = bool(arguments)
    if done.returncode not in (0, 1) or not results.exists() or (accepting and done.returncode):
        tail = "\n".join(done.stdout.strip().splitlines()[-15:])
        raise ArchbenchError(
            f"a run of the self-test ended with status {done.returncode}; it printed:\n{tail}"
        )
    document = json.loads(results.read_text(encoding="utf-8"))
    statuses = Counter(
        verdict["status"]
        for cell in document["cells"]
        for verdict in cell["verdicts"]
        if verdict["metric"] == "latency"
    )
    return sum(cell["seconds"].get("forward", 0.0) for cell in document["cells"]), statuses
