"""How workers of this run are started: with which orders and variables, for how long."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

import archbench
from archbench.catalog.counts import counted_figures
from archbench.core.forms import form_of, value_of
from archbench.core.run_config import RunConfig
from archbench.pytest_plugin.manifest import cell_of, is_batchless
from archbench.pytest_plugin.options import (
    OPTIONS,
    captures,
    destination,
    is_elsewhere,
    is_worker,
    refusing,
    spelled,
    worker_count,
    worker_names,
    worker_number,
)
from archbench.pytest_plugin.settings import settings_of
from archbench.store.atomic import write_text
from archbench.store.directory import make_directory, writing
from archbench.workers import imports
from archbench.workers.inside import order_of
from archbench.workers.orders import OF_THE_REPORTER, OptionValue, Order
from archbench.workers.pool import Pool
from archbench.workers.process import Patience, Worker, WorkerLostError

_Kind = TypeVar("_Kind")

AS_FREE = 20.0
"""Percent of a quarter of a second by which a core may be busier than the freest: the kernel counts
in steps of 4 %."""

_TUNABLES = "glibc.malloc.hugetlb=1"
"""Asks glibc for huge pages. Where small ones lie in the cache is chance: with them one process in
five was slow by 40 % from its first pass of MobileNetV2 to its last, with huge ones none of ten."""

_PADDING = 4096
"""Most bytes by which a process's environment is longer: a longer one was seen to move times by
0.9 % alone."""

_NOT_PASSED = ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT")
"""Variables that make a pytest something else than what is asked for."""

_DRAWN = ("randomly_seed",)
"""Options of other plugins whose value is drawn where it is not given."""


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
"""Errors of a disk that no other run of the same kind would do without."""


@contextmanager
def ending_on_full_disk(config: pytest.Config, place: Path) -> Iterator[None]:
    """End the run where nothing can be written any more, in whichever of its processes."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        text = (
            f"{place} could not be written: {error.strerror}. What was measured before is stored. "
            "Make room, and go on with --resume"
        )
        pytest.exit(spelled(config, text), returncode=pytest.ExitCode.INTERRUPTED)


def hand_on(config: pytest.Config, name: str, data: object) -> None:
    """Let the other processes of this run know something, by a file of JSON."""
    make_files(config)
    with ending_on_full_disk(config, files_of(config)):
        write_text(files_of(config) / name, json.dumps(form_of(data)))


def handed_on(config: pytest.Config, name: str, kind: type[_Kind]) -> _Kind | None:
    """What another process has handed on, of the type that it is of; None where there is
    nothing."""
    path = files_of(config) / name
    if not path.exists():
        return None
    return value_of(kind, json.loads(path.read_text(encoding="utf-8")))


def write_collected(config: pytest.Config, nodeids: Sequence[str]) -> None:
    """Let the process that reports to the person know which of a worker's tests measure."""
    hand_on(config, "collected.json", nodeids)


def read_collected(config: pytest.Config) -> frozenset[str]:
    """The tests that measure, once a worker on this machine has collected; empty for none."""
    return handed_on(config, "collected.json", frozenset[str]) or frozenset()


def is_prepared(config: pytest.Config) -> bool:
    """Whether another process has looked ahead for this one, and handed on what it found."""
    return is_worker(config) or order_of(config) is not None


def tests_of(config: pytest.Config, pool: Pool, todo: str) -> frozenset[str]:
    """The tests that a worker has.

    Raises:
        pytest.UsageError: none comes up.
    """
    try:
        return pool.worker().tests
    except WorkerLostError as error:
        message = (
            f"the process that is to {todo} did not come up: {error.lost.sentence}. "
            f"This is what it printed:\n{error.lost.printed}"
        )
        raise pytest.UsageError(spelled(config, message)) from None


def times_order(config: pytest.Config) -> Order | None:
    """The order of a process that measures times and judges nothing; None in every other one."""
    order = order_of(config)
    return order if order is not None and order.purpose == "times" else None


def measures_only(config: pytest.Config) -> bool:
    """Whether this process measures for another one that judges."""
    order = order_of(config)
    return order is not None and order.purpose != "cells"


def files_of(config: pytest.Config) -> Path:
    """The directory by which workers learn what has been measured for the tests of this run."""
    order = order_of(config)
    if order is not None:
        return Path(order.files)
    if is_elsewhere(config):
        # By the process of the host's connection, whose workers have one directory.
        return settings_of(config).directory / "processes" / str(os.getppid())
    if is_worker(config):
        return Path(config.workerinput["archbench_files"])  # type: ignore[attr-defined]
    return settings_of(config).directory / "processes" / str(os.getpid())


def artefacts_of(config: pytest.Config) -> Path:
    """Where the files lie that runtimes make of networks."""
    order = order_of(config)
    return settings_of(config).directory / "artefacts" if order is None else Path(order.artefacts)


def make_files(config: pytest.Config) -> Path:
    """The same, made; what runs left that were killed is removed.

    Raises:
        pytest.UsageError: nothing can be written there.
    """
    place, directory = files_of(config), settings_of(config).directory
    with refusing(config), writing(place, "messages between processes are kept there"):
        make_directory(place, directory)
    _remove_left_behind(place.parent)
    return place


def remove_files(config: pytest.Config) -> None:
    """Remove the directory of this run, and those that killed ones have left."""
    place = files_of(config)
    shutil.rmtree(place, ignore_errors=True)
    _remove_left_behind(place.parent)


def _remove_left_behind(places: Path) -> None:
    for other in places.glob("*"):
        if other.name.isdigit() and not _runs(int(other.name)):
            shutil.rmtree(other, ignore_errors=True)


def _runs(process: int) -> bool:
    return bool(psutil.pid_exists(process))


def options_of(config: pytest.Config, without: Sequence[str] = ()) -> dict[str, OptionValue]:
    """All options of ours as a worker is to have them: the values that this process has.

    Args:
        without: names of those that are no worker's of this kind.
    """
    left_out = {*OF_THE_REPORTER, *without}
    return {
        destination(name): None
        if name in left_out
        else getattr(config.option, destination(name), None)
        for name in OPTIONS
    }


def imports_of() -> imports.Imports:
    """What a worker imports where it is to import what this process does."""
    return imports.Imports(str(Path(archbench.__file__).parents[1]), path=tuple(sys.path))


def make_order(config: pytest.Config, purpose: str, **more: Any) -> Order:
    """The order of a worker that runs tests as this process would: with the same command line."""
    foreign = {name: getattr(config.option, name, None) for name in _DRAWN}
    return Order(
        purpose=purpose,
        arguments=tuple(map(str, config.invocation_params.args)),
        options=options_of(config),
        foreign={name: value for name, value in foreign.items() if value is not None},
        imports=imports_of(),
        files=str(files_of(config)),
        artefacts=str(artefacts_of(config)),
        number=worker_number(config),
        beside=worker_count(config),
        names=worker_names(config),
        **more,
    )


_NUMBER: pytest.StashKey[int] = pytest.StashKey()


def start(
    config: pytest.Config,
    order: Order,
    *,
    executable: str | None = None,
    directory: Path | None = None,
    environment: dict[str, str] | None = None,
    patience: Patience | None = None,
) -> Worker:
    """Start a worker, which is not up yet.

    Args:
        executable: the interpreter; by default that of this process.
        directory: that it runs in; by default the one that this process was started in.
        environment: its variables; by default those of this process.
    """
    number = config.stash[_NUMBER] = config.stash.get(_NUMBER, 0) + 1
    files = make_files(config)
    environment = dict(os.environ if environment is None else environment)
    for name in _NOT_PASSED:
        environment.pop(name, None)
    environment.setdefault("PYTHONBREAKPOINT", "archbench.workers.inside.no_debugger")
    # What it remembers of tests is no part of the project's memory; without the plugin that
    # remembers, pytest may refuse the name.
    remembers = config.pluginmanager.has_plugin("cacheprovider")
    cache = ("-o", f"cache_dir={files / 'cache'}") if remembers else ()
    more = ("-p", "archbench.pytest_plugin", *cache)
    with ending_on_full_disk(config, files):
        return Worker.start(
            lambda path: [
                executable or sys.executable,
                imports.__file__,
                str(path),
                f"--archbench-order={path}",
                *more,
                *order.arguments,
            ],
            environment,
            directory or config.invocation_params.dir,
            order,
            files,
            patience or Patience(),
            name=f"{order.purpose}-{os.getpid()}-{number}",
            prints_here=order.purpose == "cells" and captures(config) == "no",
        )


def chance_environment(chance: random.Random) -> dict[str, str]:
    """The variables of a process that measures times, what is random about them drawn."""
    given = os.environ.get("GLIBC_TUNABLES")
    return {
        **os.environ,
        "GLIBC_TUNABLES": f"{given}:{_TUNABLES}" if given else _TUNABLES,
        "OPENBLAS_NUM_THREADS": "1",  # of the reference workload
        "ARCHBENCH_PADDING": "x" * chance.randrange(_PADDING),
    }


def free_core(config: pytest.Config, chance: random.Random) -> int | None:
    """A core to stay on: by chance among those that are as free as the freest.

    A process that shares its core with another program loses half of its time, and is not judged.
    None where the system has no way to stay on one, or several threads need several.
    """
    if not hasattr(os, "sched_getaffinity") or settings_of(config).threads != 1:
        return None
    cores = sorted(os.sched_getaffinity(0))
    busy = psutil.cpu_percent(interval=0.25, percpu=True)
    if max(cores) >= len(busy):
        return chance.choice(cores)
    freest = min(busy[core] for core in cores)
    return chance.choice([core for core in cores if busy[core] <= freest + AS_FREE])


# How long a test may take.

LEAST_CELL = 300.0
"""Seconds for a test whatever it measures: building, filling and trying a network, and the memory
pass, took 100 s for the largest ones of the catalogue on a busy core."""

PER_BUDGET = 20.0
"""Seconds for each second of the time budget."""

PASSES, SLOWEST = 30, 2e9
"""Passes of a test whatever its budget, and the multiply-adds in a second that a slow core does."""

UNKNOWN_MACS = 10e9
"""Multiply-adds of a network that is not known, at most."""

LARGEST_BATCH = 1800.0
"""Seconds to find the largest batch."""


def cell_timeout(config: pytest.Config, nodeid: str) -> float:
    """Seconds after which a test is taken to hang: ``--cell-timeout``, or far more than it needs.

    An accuracy says how far it is, and has this time from batch to batch.
    """
    settings = settings_of(config)
    if settings.cell_timeout is not None:
        return settings.cell_timeout
    model, suffix = cell_of(nodeid) or ("", "")
    seconds = LEAST_CELL + PER_BUDGET * settings.time_budget
    if suffix:
        seconds += PASSES * _macs(model) * _batch_size(suffix) / SLOWEST
    if "max" in settings.values("batch_size"):
        seconds += LARGEST_BATCH
    if settings.values("runtime") != ("eager",):
        seconds += Patience().compiling
    return seconds


def _macs(model: str) -> float:
    known = counted_figures(model.partition("@")[0]).get("macs")
    # An input of another size than the usual one may be several times as large.
    times = 16 if "@" in model else 1
    return max(UNKNOWN_MACS, times * known.value if known is not None else 0.0)


OF_IMAGES = 64
"""Images of a batch of an accuracy, about."""


def _batch_size(suffix: str) -> int:
    return OF_IMAGES if is_batchless(suffix) else RunConfig.parse(suffix).batch_size or 1
