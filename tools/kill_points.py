"""Runs that are killed at random points, and whether the next one goes on with them at once.

    python -m tools.kill_points --points=100 --seed=1
    python -m tools.kill_points --points=100 --seed=1 --kind=paired

Each point starts a run of small networks in a project of its own and ends it after a random time by
SIGKILL, SIGTERM or SIGINT; or it cuts the journal of a run at a random byte as a power cut does.
Then it sees that

- every cell that the run had shown as finished is in its journal (after a cut: every whole line),
- no process of it is there after three seconds,
- the same command with ``--resume`` comes to the results, JUnit cases, baselines and exit status of
  a run that nothing has ended, and leaves nothing in its directories. (Where times are measured,
  that is: to the same cells, each of them measured or crashed.)

Processes begin as forks of one that has imported torch, the libraries and archbench, which saves
four fifths of the time; ``--plain`` starts each anew. Points that fail are named; ``--only=N`` runs
one of them again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from archbench.store.journal import read_kept, read_run
from archbench.store.waiting import waited_for_a_core
from tests.preloaded import preloaded

HOW = ("KILL", "TERM", "INT", "CUT")
GONE = 3.0
"""Seconds after which no process of a run is to be there, but for those in which others had its
core."""

WITHOUT = "-p no:hypothesispytest -p no:anyio"
"""Plugins that take time and have no part in this."""

NAMES = ("One", "Two", "Bad", "Four", "Five", "Six")
NETS = """
import torch
from torch import nn

class One(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 10)

    def forward(self, x):
        return self.fc(torch.relu(self.conv(x)).mean((2, 3)))

class Bad(One):
    def forward(self, x):
        raise ValueError("it is bad")

class Two(One): pass
class Four(One): pass
class Five(One): pass
class Six(One): pass
"""
COUNTED = "def test_it(bench, model_spec): bench.complexity(model_spec)\n"
TIMED = "def test_it(bench, loaded_model): bench.latency(loaded_model)\n"
UPDATE = "--archbench-baseline-update=new"
CONFTEST = """
import os, sys
from pathlib import Path

def pytest_configure(config):
    is_child = any("archbench-order" in one for one in sys.argv)
    if not (is_child or hasattr(config, "workerinput")):
        Path("pid").write_text(str(os.getpid()))
"""
ARGUMENTS = (
    "-m", "pytest", "test_it.py", "-p", "no:cacheprovider", "--archbench-gpu=cpu",
    "--archbench-time-budget=0.02", "--archbench-results=r.json", "--junitxml=j.xml",
)  # fmt: skip
IMPORTED = (
    "timm", "torchvision", "ptflops", "torch.utils.flop_counter", "torch._dynamo", "pytest",
    "pytest_benchmark.plugin", "xdist.plugin", "xdist.dsession",
    *(f"archbench.pytest_plugin.{name}" for name in ("session", "handover", "measuring", "turns")),
)  # fmt: skip
"""What the Python has imported whose forks are the processes of a trial."""


@dataclass(frozen=True)
class Kind:
    """A kind of run: its test, its arguments, its networks, and whether figures are the same each
    time."""

    test: str
    arguments: tuple[str, ...]
    names: tuple[str, ...] = ("One", "Bad", "Six")
    is_exact: bool = False


KINDS = {
    "count": Kind(COUNTED, (UPDATE,), NAMES, is_exact=True),
    "workers": Kind(COUNTED, (UPDATE, "-n", "2"), NAMES, is_exact=True),
    "time": Kind(TIMED, ()),
    "processes": Kind(TIMED, ("--archbench-processes=2",)),
    "paired": Kind(TIMED, ("--archbench-against=HEAD",)),
}


def make_project(place: Path, test: str) -> None:
    """A project of small networks, one of which fails, as a repository of git."""
    place.mkdir()
    for name, text in (("nets.py", NETS), ("test_it.py", test), ("conftest.py", CONFTEST)):
        (place / name).write_text(text, encoding="utf-8")
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b")
    files = ("nets.py", "test_it.py", "conftest.py")
    for words in (("init", "-q"), ("add", *files), ("commit", "-qm", "all")):
        subprocess.run([*git, *words], cwd=place, check=True)


def journal_of(place: Path) -> Path | None:
    """The journal of a project's only run."""
    return next(iter((place / ".archbench" / "runs").glob("*/journal.jsonl")), None)


def came_to(place: Path, kind: Kind) -> dict[str, Any]:
    """What a run has left, without times."""
    document = json.loads((place / "r.json").read_text(encoding="utf-8"))
    cases = ElementTree.parse(place / "j.xml").iter("testcase")
    stored = [path.read_text(encoding="utf-8") for path in (place / "baselines").rglob("*.jsonl")]
    cells = {cell["id"]: {**cell, "seconds": 0} for cell in document["cells"]}
    left = [
        path.name
        for name in ("processes", "against")
        for path in (place / ".archbench" / name).glob("*")
    ]
    return {
        "cells": cells
        if kind.is_exact
        else {name: sorted(cells[name]["metrics"]) for name in cells},
        "junit": {case.get("name"): [child.tag for child in case] for case in cases},
        "baselines": stored if kind.is_exact else [text.count("\n") for text in stored],
        "files left": left,
    }


def processes_of(place: Path) -> list[psutil.Process]:
    """The processes that work in a project."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(place):
                found.append(process)
    return found


def left_of(place: Path) -> list[psutil.Process]:
    """The processes that work in a project and are there after a while in which they had a core."""
    began = time.monotonic()
    waited: dict[int, float] = {}
    while left := processes_of(place):
        spent = []
        for process in left:
            so_far = waited_for_a_core(process.pid) or 0.0
            before = waited.setdefault(process.pid, so_far)
            spent.append(time.monotonic() - began - (so_far - before))
        if min(spent) > GONE:
            return left
        time.sleep(0.05)
    return []


class Trial:
    """The runs of one trial.

    Args:
        place: for projects.
        kind: of the runs.
        python: that they start with.

    Attributes:
        found: how many of its tests were in the journal of each run that a signal ended.
    """

    def __init__(self, place: Path, kind: Kind, python: str) -> None:
        self._place, self._kind, self._python = place, kind, python
        self._whole, self._kept = place / "whole", place / "kept"
        self.found: Counter[str] = Counter()
        make_project(self._whole, kind.test)
        began = time.monotonic()
        status = self._start(self._whole).wait(600)
        self._seconds = time.monotonic() - began
        if status != 1:
            raise SystemExit(f"the unbroken run ended with {status}: {self._out_of(self._whole)}")
        self._expected = came_to(self._whole, kind)
        shutil.copytree(self._whole, self._kept, symlinks=True)

    @staticmethod
    def _out_of(place: Path) -> str:
        return (place / "out.txt").read_text(encoding="utf-8")

    def _start(self, place: Path, *more: str) -> subprocess.Popen[str]:
        models = (f"--archbench-models=nets.py:{name}" for name in self._kind.names)
        words = [self._python, *ARGUMENTS, *models, *self._kind.arguments, *more]
        with (place / "out.txt").open("a") as out:
            return subprocess.Popen(
                words, cwd=place, stdout=out, stderr=subprocess.STDOUT, text=True,
                start_new_session=True, env={**os.environ, "PYTEST_ADDOPTS": WITHOUT},
            )  # fmt: skip

    def point(self, number: int, how: str, chance: random.Random) -> Iterator[str]:
        """End a run and go on with it; sentences on what is wrong."""
        if how == "CUT":
            # Its journal names its directory.
            shutil.rmtree(self._whole)
            shutil.copytree(self._kept, self._whole, symlinks=True)
            yield from self._cut(self._whole, chance)
            yield from self._resumed(self._whole)
            return
        place = self._place / f"point-{number}"
        make_project(place, self._kind.test)
        run = self._start(place)
        try:
            run.wait(chance.uniform(0, self._seconds))
        except subprocess.TimeoutExpired:
            has_ended = False
            self._seconds *= 1.02  # as busy as the machine is: one of fifteen ends by itself
        else:
            has_ended = True
            self._seconds *= 0.75
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((place / "pid").read_text()), getattr(signal, f"SIG{how}"))
        if not (place / "pid").exists():
            run.kill()
        run.wait(60)
        yield from self._after(place)
        journal = journal_of(place)
        kept = 0 if journal is None else len(read_kept(journal).tests)
        self.found["all, by itself" if has_ended else str(kept)] += 1
        yield from self._resumed(place)
        shutil.rmtree(place)

    def _after(self, place: Path) -> Iterator[str]:
        for process in left_of(place):
            yield f"process {process.pid} is there after {GONE:g} s"
            process.kill()
        shown = len(re.findall(r"^\[\d/\d\]", self._out_of(place), re.MULTILINE))
        journal = journal_of(place)
        kept = len(read_kept(journal).tests) if journal is not None else 0
        if kept < shown:
            yield f"{shown} cells were shown as finished, and {kept} are in the journal"

    def _cut(self, place: Path, chance: random.Random) -> Iterator[str]:
        journal = journal_of(place)
        assert journal is not None
        content = journal.read_bytes()
        cut = chance.randrange(len(content))
        journal.write_bytes(content[:cut])
        # What is written when all tests are on the disk.
        shutil.rmtree(place / "baselines", ignore_errors=True)
        for name in ("r.json", "j.xml", "out.txt"):
            (place / name).unlink()
        whole = content[:cut].count(b'\n{"kind":"test"') - (not content[:cut].endswith(b"\n"))
        if len(read_kept(journal).tests) < whole:
            yield f"cut at byte {cut}, {whole} tests were whole and fewer are read"

    def _resumed(self, place: Path) -> Iterator[str]:
        journal = journal_of(place)
        goes_on = journal is not None and bool(read_run(journal).header)
        if journal is not None and not goes_on:
            shutil.rmtree(journal.parent)  # cut within its first line: there is nothing of a run
        complete = goes_on and journal is not None and read_run(journal).is_complete
        named = f"--archbench-resume={journal.parent.name}" if complete and journal else None
        run = self._start(place, *([named or "--archbench-resume"] if goes_on else []))
        status, text = run.wait(600), self._out_of(place)
        if status != 1:
            yield f"the next run ended with {status}: {text[-500:]}"
        elif (now := came_to(place, self._kind)) != self._expected:
            names = [name for name in now if now[name] != self._expected[name]]
            yield f"the next run came to other {', '.join(names)}"
        yield from (f"a traceback was shown: {one[-2000:]}" for one in tracebacks_of(text))


def tracebacks_of(text: str) -> list[str]:
    """The tracebacks that a run has shown, but for those of Ctrl-C while Python or pytest start and
    end, and of a worker of xdist that execnet starts when nobody reads it any more, where nothing
    of archbench runs."""
    found = re.findall(
        r"^INTERNALERROR.*|^Traceback \(most.*?^\S[^\n]*", text, re.DOTALL | re.MULTILINE
    )
    starting = re.compile(r"\nKeyboardInterrupt:?\s*$|\nSyntaxError: invalid syntax$")
    return [one for one in found if "archbench/" in one or not starting.search(one)]


def main() -> int:
    """Run the trial; 1 where a point failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the number of the first one")
    parser.add_argument("--only", type=int, help="one point of these")
    parser.add_argument("--how", default=",".join(HOW), help="of KILL, TERM, INT, CUT")
    parser.add_argument("--kind", choices=KINDS, default="count", help="of the runs")
    parser.add_argument("--plain", action="store_true", help="fork nothing: start interpreters")
    options = parser.parse_args()
    hows = options.how.split(",")
    # Shells start what runs in the background deaf to it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    done: Counter[str] = Counter()
    failed = 0
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        python = sys.executable
        if not options.plain:
            python = stack.enter_context(preloaded(os.environ, IMPORTED))
        trial = Trial(Path(directory), KINDS[options.kind], python)
        for number in range(options.first, options.points):
            chance = random.Random(f"{options.seed}:{number}")
            how = chance.choice(hows)
            if options.only not in (None, number):
                continue
            wrong = list(trial.point(number, how, chance))
            done[how] += 1
            failed += bool(wrong)
            for sentence in wrong:
                print(f"point {number} ({how}): {sentence}", flush=True)
            if number % 10 == 9:
                print(f"{number + 1} points, {failed} failed", flush=True)
    for title, some in (
        ("points", done),
        ("tests in the journal of a run that was ended", trial.found),
    ):
        print(f"{title}: {', '.join(f'{name} {count}' for name, count in sorted(some.items()))}")
    print(f"{options.kind}, seed {options.seed}: {done.total()} points, {failed} failed")
    return int(bool(failed))


if __name__ == "__main__":
    raise SystemExit(main())
