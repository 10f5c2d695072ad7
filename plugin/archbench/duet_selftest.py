"""How often the duet is wrong on this machine: the same networks, and ones slower on purpose.

A project of small networks is made under version control. Whole runs compare its work tree with its
last commit: with nothing changed, every change that is reported is a false alarm; with more layers
in the work tree, whose cost is known exactly, every one that is not is a miss. All of the machinery
has a part: the checked-out revision, two processes, the tokens, the rule, the verdict.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archbench.core.errors import ArchbenchError, UsageError
from archbench.core.metrics import format_seconds
from archbench.core.rounds import ClockRule, DuetLaunch, default_rules, has_told, judge
from archbench.core.statistics import clopper_pearson, quantile

__all__ = ["DuetOutcome", "duet_selftest", "rejudged", "replay"]

SCHEMA = 1
"""Of a line of stored rounds."""

LAYERS = 100

_NETS = f'''
"""Stacks of equal convolutions."""

from torch import nn

EXTRA = 0


def stack(channels):
    equal = [nn.Conv2d(channels, channels, 3, padding=1) for _ in range({LAYERS} + EXTRA)]
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
        ModelSpec.of(
            partial(stack, 8 + 8 * (i % 4)), name=f"stack{i}", input_size=16 + 8 * (i // 4 % 5)
        )
        for i in range(CELLS)
    ]
"""

_TEST = """
def test_latency(bench, loaded_model):
    bench.latency(loaded_model)
"""


@dataclass(slots=True)
class DuetOutcome:
    """Verdicts of one kind of run.

    Attributes:
        extra: share of layers that were added; 0 for an unchanged network.
        statuses: how many verdicts had each status.
        seconds: of bursts for each verdict.
        launches: of each verdict.
        starts: seconds that a pair of processes took to come up.
    """

    extra: float
    statuses: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    launches: list[int] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)

    @property
    def alarms(self) -> int:
        """How many report a change: false without one, and found with one."""
        regressed = self.statuses["regressed"]
        return regressed if self.extra else regressed + self.statuses["improved"]

    def add(self, line: Mapping[str, Any], status: str) -> None:
        """Count one verdict."""
        self.statuses[status] += 1
        self.seconds.append(line["seconds"])
        self.launches.append(len(line["launches"]))
        self.starts += line["start_seconds"]

    def text(self) -> str:
        """Two lines, with the Clopper-Pearson interval of 95 %."""
        number = self.statuses.total()
        low, high = clopper_pearson(self.alarms, number)
        others = ", ".join(f"{count} {status}" for status, count in sorted(self.statuses.items()))
        what = f"{self.extra:+.0%} layers, found" if self.extra else "unchanged, false alarms"
        ordered = sorted(self.seconds)
        return (
            f"{what}: {self.alarms} of {number} ({low:.2%} to {high:.2%} at 95 %)   {others}\n"
            f"  bursts for a verdict: {statistics.median(ordered):.1f} s, "
            f"at most {quantile(ordered, 0.9):.1f} s for 9 of 10; "
            f"launches: {statistics.mean(self.launches):.1f}; "
            f"start of a pair: {statistics.median(self.starts):.1f} s"
        )


def duet_selftest(
    *,
    cells: int,
    rounds: int,
    injected_rounds: int,
    extras: Sequence[float],
    say: Callable[[str], None],
    store: Path | None = None,
    directory: Path | None = None,
    gpu: str = "cpu",
) -> list[DuetOutcome]:
    """Try the duet on this machine.

    Args:
        cells: networks.
        rounds: runs with nothing changed, of ``cells`` verdicts each.
        injected_rounds: runs with each of ``extras``.
        extras: shares of layers to add: 0.05 for 5 in a hundred.
        say: tells the person how far it is.
        store: file that all rounds are appended to.
        directory: for the project; a temporary one by default.
        gpu: the device, as ``--gpu`` names one.

    Raises:
        ArchbenchError: a run fails for another reason than its verdicts.
        UsageError: ``store`` cannot be written.
    """
    if store is not None:
        # Found out before anything is measured.
        try:
            store.open("a", encoding="utf-8").close()
        except OSError as error:
            raise UsageError(
                f"--store={store}",
                f"it cannot be written ({error.strerror})",
                "Name a file in a directory that exists and is writable",
            ) from None
    with tempfile.TemporaryDirectory() as name:
        root = directory or Path(name)
        root.mkdir(parents=True, exist_ok=True)
        for file, text in (
            ("nets.py", _NETS),
            ("conftest.py", f"CELLS = {cells}\n{_CONFTEST}"),
            ("test_time.py", _TEST),
            ("pytest.ini", "[pytest]\npythonpath = .\n"),
            (".gitignore", ".archbench/\n__pycache__/\nresults.json\n"),
        ):
            (root / file).write_text(text, encoding="utf-8")
        _commit(root)
        outcomes = []
        for extra, number in [(0.0, rounds), *((extra, injected_rounds) for extra in extras)]:
            outcome = DuetOutcome(extra)
            for index in range(number):
                before = outcome.alarms
                for line in _run(root, extra, gpu):
                    outcome.add(line, line["status"])
                    if store is not None:
                        with store.open("a", encoding="utf-8") as stored:
                            stored.write(json.dumps(line, allow_nan=False) + "\n")
                say(
                    f"{extra:+.0%}, run {index + 1} of {number}: {outcome.alarms - before} of "
                    f"{cells} changed, {format_seconds(sum(outcome.seconds))} of bursts so far"
                )
            if number:
                outcomes.append(outcome)
        return outcomes


def _commit(root: Path) -> None:
    identity = ("-c", "user.name=archbench", "-c", "user.email=archbench@localhost")
    for command in (
        ("init", "--quiet"),
        ("add", "."),
        (*identity, "commit", "--quiet", "--no-verify", "--no-gpg-sign", "-m", "reference"),
    ):
        done = subprocess.run(
            ["git", *command], cwd=root, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ArchbenchError(f"git {command[0]} failed: {done.stderr.strip()}")


def _run(root: Path, extra: float, gpu: str) -> Iterable[dict[str, Any]]:
    """One run of the project against its commit: for each cell a line of what is stored."""
    text = _NETS.replace("EXTRA = 0", f"EXTRA = {round(LAYERS * extra)}")
    (root / "nets.py").write_text(text, encoding="utf-8")
    results = root / "results.json"
    results.unlink(missing_ok=True)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")
    }
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "archbench.pytest_plugin"),
            *("test_time.py", "--archbench-models=local/*", f"--archbench-gpu={gpu}"),
            *("--archbench-against=HEAD", f"--archbench-results={results}"),
        ],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1) or not results.exists():
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise ArchbenchError(
            f"a run of the self-test ended with status {done.returncode}; it printed:\n{tail}"
        )
    document = json.loads(results.read_text(encoding="utf-8"))
    for cell in document["cells"]:
        status = next(v["status"] for v in cell["verdicts"] if v["metric"] == "latency")
        duet = cell["metrics"].get("duet_ratio", {})
        yield {
            "schema": SCHEMA,
            "extra": extra,
            "cell": cell["id"],
            "status": status,
            "seconds": duet.get("seconds", 0.0),
            "start_seconds": duet.get("start_seconds", []),
            "launches": duet.get("series", []),
        }


def replay(path: Path, rules: Sequence[ClockRule] | None = None) -> list[DuetOutcome]:
    """Feed stored rounds to the rule, one after another, as if they were measured now.

    Args:
        path: that ``--store`` has written.
        rules: of all cells; by default those of one thread of a CPU, or of an accelerator where the
            rounds have its times.

    Raises:
        UsageError: there is no such file, or it is damaged or newer.
    """
    outcomes: dict[float, DuetOutcome] = {}
    for line, launches in _read(path):
        outcome = outcomes.setdefault(line["extra"], DuetOutcome(line["extra"]))
        has_device = any(one.candidate.device for launch in launches for one in launch.rounds)
        status, used = rejudged(
            launches, rules or default_rules("cuda" if has_device else "cpu", threads=1)
        )
        seconds = sum(launch.seconds for launch in used)
        outcome.add({**line, "launches": used, "seconds": seconds}, status)
    if not outcomes:
        raise UsageError(f"--replay={path}", "it holds no rounds", "Make it with --store=FILE")
    return [outcomes[extra] for extra in sorted(outcomes)]


def rejudged(
    launches: Sequence[DuetLaunch], rules: Sequence[ClockRule]
) -> tuple[str, list[DuetLaunch]]:
    """The status that the rounds lead to, and the part of them that it takes.

    Rounds end where a verdict once stood, so a rule that asks for more may run out of them:
    ``inconclusive``.
    """
    used: list[DuetLaunch] = []
    for launch in launches:
        part = DuetLaunch([], launch.stolen, launch.others, launch.images)
        used.append(part)
        for one in launch.rounds:
            part.rounds.append(one)
            status = judge(used, rules).status
            if status not in (None, "inconclusive"):
                return str(status), used
            if has_told(used, rules):
                break
    return "inconclusive", used


def _read(path: Path) -> Iterable[tuple[dict[str, Any], list[DuetLaunch]]]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(
            f"--replay={path}", f"it cannot be read ({error.strerror})", "Make it with --store=FILE"
        ) from None
    for number, text in enumerate(lines, 1):
        try:
            line = json.loads(text)
            known = line["schema"] == SCHEMA
            launches = [DuetLaunch.from_dict(one) for one in line["launches"]] if known else []
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
        yield line, launches
