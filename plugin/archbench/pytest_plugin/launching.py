"""Fresh processes that measure the same tests again: the launches behind a verdict about time.

A launch is a pytest of its own, started by the process that reports to the person, over the same
files with the same options of ours. It runs the tests that it is told, measures in this one
process, and writes what each measured to a file. So a person's own fixtures, hooks and
architectures are the same there.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archbench.core.verdicts import POISONED
from archbench.pytest_plugin import MODEL_ARGUMENT, runs_again
from archbench.pytest_plugin.options import destination, is_launch
from archbench.pytest_plugin.settings import settings_of

if TYPE_CHECKING:
    from archbench.core.records import Record

__all__ = [
    "LaunchOrder",
    "LaunchedTests",
    "Launching",
    "command_of",
    "launch",
    "launch_environment",
    "measures_only",
    "measuring_order",
    "order_of",
    "passed_on",
    "python_pytest",
]

AS_FREE = 20.0
"""Percent of a quarter of a second by which a core may be busier than the freest: the kernel counts
in steps of 4 %."""

_PASSED_ON = (
    "suite",
    "models",
    "gpu",
    "dtype",
    "batch-size",
    "memory-format",
    "runtime",
    "cold-cache",
    "threads",
    "time-budget",
)
_TUNABLES = "glibc.malloc.hugetlb=1"
"""Asks glibc for huge pages. Where small ones lie in the cache is chance: with them one process in
five was slow by 40 % from its first pass of MobileNetV2 to its last, with huge ones none of ten."""

_PADDING = 4096
"""Most bytes by which a launch's environment is longer: a longer one was seen to move times by
0.9 % alone."""


@dataclass(frozen=True, slots=True)
class LaunchOrder:
    """What a launch is told.

    Attributes:
        nodeids: tests to run.
        output: file to write to, one JSON object a line.
        seed: of the order in which architectures come.
        time_budget: seconds of warm-up and samples for each.
        core: of the CPU to stay on; None to stay free, as several threads have to.
        rescue: whether the process takes over whole tests, their verdicts included, from one that
            can use its device no more; see :mod:`archbench.pytest_plugin.rescue`.
    """

    nodeids: tuple[str, ...]
    output: str
    seed: int
    time_budget: float
    core: int | None
    rescue: bool = False


_ORDER: pytest.StashKey[LaunchOrder] = pytest.StashKey()


def order_of(config: pytest.Config) -> LaunchOrder | None:
    """The order that this process is a launch for; None where it is none."""
    path = getattr(config.option, "archbench_launch", None)
    if path is None:
        return None
    if _ORDER not in config.stash:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        config.stash[_ORDER] = LaunchOrder(**{**data, "nodeids": tuple(data["nodeids"])})
    return config.stash[_ORDER]


def measuring_order(config: pytest.Config) -> LaunchOrder | None:
    """The order of a launch that measures and judges nothing; None in every other process."""
    order = order_of(config)
    return None if order is None or order.rescue else order


def measures_only(config: pytest.Config) -> bool:
    """Whether this process measures for another one that judges: a launch, or a side of a duet."""
    order = order_of(config)
    return is_launch(config) and not (order is not None and order.rescue)


class Launching:
    """The plugin of a process that is a launch."""

    def __init__(self, order: LaunchOrder) -> None:
        self._order = order
        if order.core is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {order.core})

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Keep what is wanted, architecture by architecture in random order."""
        wanted = set(self._order.nodeids)
        kept = [item for item in items if item.nodeid in wanted]
        groups: dict[str, list[pytest.Item]] = {}
        for item in kept:
            params = getattr(getattr(item, "callspec", None), "params", {})
            model = params.get(MODEL_ARGUMENT)
            groups.setdefault(getattr(model, "id", item.nodeid), []).append(item)
        names = list(groups)
        random.Random(self._order.seed).shuffle(names)
        items[:] = [item for name in names for item in groups[name]]

    def _write(self, line: Mapping[str, Any]) -> None:
        with Path(self._order.output).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        """End where this process is of no use any more; another launch measures the rest."""
        from archbench.pytest_plugin.rescue import why_leave

        why = why_leave(item)
        if why is not None:
            self._write({"leaves": why})
            pytest.exit(f"a fresh process is needed, since {why}", returncode=1)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Note which test runs, so that a process that dies says over which."""
        self._write({"nodeid": nodeid})

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write what a test measured."""
        record = getattr(report, "archbench", None)
        if record is not None and report.when in ("setup", "call") and not runs_again(report):
            self._write({"nodeid": report.nodeid, "record": record})


@dataclass(slots=True)
class LaunchedTests:
    """What one launch brought.

    Attributes:
        records: of each test that measured or failed to.
        died_in: the test that was running when the process died; None where it ended.
        status: its exit status.
        output: the last lines that it printed.
        seconds: that it took.
    """

    records: dict[str, Record]
    died_in: str | None
    status: int
    output: str
    seconds: float


def launch(
    config: pytest.Config,
    nodeids: Sequence[str],
    time_budget: float,
    directory: Path,
    seed: int,
    run: Callable[..., Any] = subprocess.run,
) -> LaunchedTests:
    """Start one launch and wait for it.

    Args:
        config: of this run.
        nodeids: tests to run there.
        time_budget: seconds for each.
        directory: for its files.
        seed: what is random about it: core, padding, order.
        run: starts the process.
    """
    from archbench.core.records import Record

    chance = random.Random(seed)
    directory.mkdir(parents=True, exist_ok=True)
    order_path, output = directory / f"launch-{seed}.json", directory / f"launch-{seed}.jsonl"
    order = LaunchOrder(
        nodeids=tuple(nodeids),
        output=str(output),
        seed=seed,
        time_budget=time_budget,
        core=_free_core(chance) if settings_of(config).threads == 1 else None,
    )
    order_path.write_text(json.dumps(asdict(order)), encoding="utf-8")
    output.unlink(missing_ok=True)
    start = time.monotonic()
    done = run(
        [*command_of(config), f"--archbench-launch={order_path}"],
        cwd=config.invocation_params.dir,
        env=launch_environment(chance),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    records: dict[str, Record] = {}
    running, leaves = None, False
    if output.exists():
        for line in output.read_text(encoding="utf-8").splitlines():
            data = json.loads(line)
            if "leaves" in data:
                leaves = True
                continue
            running = data["nodeid"]
            if "record" in data:
                records[running] = Record.from_dict(data["record"])
    died = done.returncode < 0 or done.returncode >= 128
    left = [nodeid for nodeid in nodeids if nodeid not in records]
    if left and (leaves or any(_is_poisoned(record) for record in records.values())):
        # The process ended when it was of no use any more: another measures the rest.
        rest = launch(config, left, time_budget, directory, seed + 1, run)
        rest.records = {**records, **rest.records}
        rest.seconds += time.monotonic() - start
        return rest
    return LaunchedTests(
        records,
        running if died and running not in records else None,
        done.returncode,
        "\n".join(done.stdout.strip().splitlines()[-12:]),
        time.monotonic() - start,
    )


def _is_poisoned(record: Record) -> bool:
    return any(verdict.reason == POISONED for verdict in record.verdicts)


def _free_core(chance: random.Random) -> int | None:
    """A core to stay on: by chance among those that are as free as the freest.

    A launch that shares its core with another program loses half of its time, and is not judged.
    None where the system has no way to stay on one.
    """
    if not hasattr(os, "sched_getaffinity"):
        return None
    import psutil

    cores = sorted(os.sched_getaffinity(0))
    busy = psutil.cpu_percent(interval=0.25, percpu=True)
    if max(cores) >= len(busy):
        return chance.choice(cores)
    freest = min(busy[core] for core in cores)
    return chance.choice([core for core in cores if busy[core] <= freest + AS_FREE])


def launch_environment(chance: random.Random) -> dict[str, str]:
    """The variables of a fresh process, what is random about them drawn from ``chance``."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    given = environment.get("GLIBC_TUNABLES")
    return {
        **environment,
        "GLIBC_TUNABLES": f"{given}:{_TUNABLES}" if given else _TUNABLES,
        "OPENBLAS_NUM_THREADS": "1",  # of the yardstick
        "ARCHBENCH_PADDING": "x" * chance.randrange(_PADDING),
    }


def command_of(config: pytest.Config, more: Sequence[str] = ()) -> list[str]:
    """A pytest over the same files with our options, and nothing of what others do at the end.

    Args:
        config: of this run.
        more: names of options to pass on beside those of a measurement.
    """
    given = passed_on(config, more)
    inifile = ["-c", str(config.inipath)] if config.inipath else []
    return [
        *python_pytest(config.invocation_params.dir),
        *("-q", "--tb=short", "-p", "no:cacheprovider"),
        *("-o", "addopts=", "--rootdir", str(config.rootpath), *inifile),
        *(["--pyargs"] if config.option.pyargs else []),
        *("-p", "archbench.pytest_plugin"),
        *given,
        *config.args,
    ]


def python_pytest(directory: Path) -> list[str]:
    """A pytest that imports what this one does: ``python -m pytest`` finds the packages of the
    directory that it is started in before the installed ones, ``pytest`` does not.

    Args:
        directory: that this process was started in.
    """
    if {str(directory), ""} & {*sys.path}:
        return [sys.executable, "-m", "pytest"]
    without = "import sys; sys.path[:] = filter(None, sys.path)"
    return [sys.executable, "-c", f"{without}; import pytest; sys.exit(pytest.main())"]


def passed_on(config: pytest.Config, more: Sequence[str] = ()) -> list[str]:
    """Our options as fresh processes are given them, and ``more`` beside those of a measurement.

    With them goes what gives a test other ids: pytest-repeat's options.
    """
    repeats = config.pluginmanager.has_plugin("repeat") and config.getoption("count", 1) > 1
    names = ("count", "repeat_scope") if repeats else ()
    foreign = [f"--{name.replace('_', '-')}={config.getoption(name)}" for name in names]
    return foreign + [
        f"--archbench-{name}" + ("" if value is True else f"={value}")
        for name in (*_PASSED_ON, *more)
        for value in _values(getattr(config.option, destination(name), None))
    ]


def _values(value: Any) -> list[Any]:
    if value is None:
        return []
    # A worker of pytest-xdist and a repeated option gather; each value once.
    return list(dict.fromkeys(value)) if isinstance(value, list) else [value]
