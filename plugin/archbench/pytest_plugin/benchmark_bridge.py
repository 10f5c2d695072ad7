"""Our samples as entries of pytest-benchmark, so that its storage and tables go on working.

pytest-benchmark gathers its results from its own fixture in the process that runs the test, and
switches itself off under pytest-xdist. Our records arrive on the controller with the test reports
in both cases; each becomes an entry there before pytest-benchmark saves and compares.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from archbench.core.forms import Json
from archbench.core.records import Record, derived, target_of
from archbench.pytest_plugin.options import has_workers, is_child, is_worker


@dataclass(slots=True)
class _Deferred:
    """What was taken out of pytest-benchmark's options before it read them."""

    only: bool = False
    compare: Any = None


_DEFERRED: pytest.StashKey[_Deferred] = pytest.StashKey()

# Options that only say which tests run or where results go: no reason to print a second table.
_SILENT = ("--benchmark-only", "--benchmark-skip", "--benchmark-disable", "--benchmark-storage")


def _benchmark_session(config: pytest.Config) -> Any:
    """None under ``-p no:benchmark`` and with plugins that replace it."""
    return getattr(config, "_benchmarksession", None)


class Bridge:
    """Puts off what pytest-benchmark would refuse or look up too early; made before it configures
    itself.

    Under workers it takes ``--benchmark-only`` for a contradiction, since it disables itself; with
    us there are benchmarks to run. And it loads the run to compare with before anyone knows the
    device, whose directory that run is in.
    """

    def __init__(self, config: pytest.Config) -> None:
        option = config.option
        deferred = config.stash[_DEFERRED] = _Deferred(
            compare=getattr(option, "benchmark_compare", None)
        )
        if (is_worker(config) or has_workers(config)) and getattr(option, "benchmark_only", False):
            deferred.only = True
            option.benchmark_only = False
        option.benchmark_compare = None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Let pytest-benchmark compare a run in which nothing of ours is measured."""
        config = session.config
        if not (has_workers(config) or is_child(config)):
            self._load(config)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        """The same, where workers were to measure."""
        self._load(session.config)
        return (yield)

    @staticmethod
    def _load(config: pytest.Config) -> None:
        if not (is_worker(config) or config.pluginmanager.has_plugin("archbench-session")):
            load_comparison(config)


@contextmanager
def counted_as_benchmarks(
    config: pytest.Config, items: Sequence[pytest.Item], ours: Sequence[pytest.Item]
) -> Iterator[None]:
    """While pytest-benchmark or pytest-codspeed marks what to skip, our tests look like its own.

    Raises:
        pytest.UsageError: ``--benchmark-only`` was put off, and there is no test of ours.
    """
    session = _benchmark_session(config)
    deferred = config.stash.get(_DEFERRED, _Deferred())
    mine: list[Any] = list(ours)
    if _under_codspeed(config):
        with _with_fixture(mine):
            yield
        return
    if session is None or not (deferred.only or session.only or session.skip):
        yield
        return
    if deferred.only:
        if not mine:
            raise pytest.UsageError(
                "--benchmark-only: pytest-benchmark disables itself under pytest-xdist, and no "
                "test here measures through archbench. Run without -n"
            )
        session.only, session.skip = True, False
    warning = session.xdist_warning
    # Our measurements are not disabled under workers: no warning on their account.
    session.xdist_warning = warning and any(
        "benchmark" in getattr(item, "fixturenames", ()) for item in items if item not in ours
    )
    try:
        with _with_fixture(mine):
            yield
    finally:
        session.xdist_warning = warning


def _under_codspeed(config: pytest.Config) -> bool:
    """Whether pytest-codspeed measures, which then leaves out every test that is no benchmark."""
    plugin = config.pluginmanager.get_plugin("codspeed_plugin")
    return bool(getattr(plugin, "is_codspeed_enabled", False))


@contextmanager
def _with_fixture(items: Sequence[Any]) -> Iterator[None]:
    for item in items:
        item.fixturenames = [*item.fixturenames, "benchmark"]
    try:
        yield
    finally:
        for item in items:
            item.fixturenames = item.fixturenames[:-1]


def add_benchmark(config: pytest.Config, report: pytest.TestReport, record: Record) -> None:
    """Add one latency to pytest-benchmark's results; a failed test's counts as an error there."""
    session = _benchmark_session(config)
    latency = record.metrics.get("latency")
    if session is None or latency is None or record.target is None or not latency["samples"]:
        return
    from pytest_benchmark.stats import Metadata

    target = record.target
    params = {
        "model_spec": record.id,
        "dtype": target.dtype,
        "batch_size": target.batch_size,
        "threads": target.threads,
    }
    entry = Metadata(
        SimpleNamespace(
            name=report.nodeid.rpartition("::")[2],
            fullname=report.nodeid,
            group=None,
            param=record.id,
            params=params,
            extra_info=_extra_info(record),
            cprofile_stats=None,
            has_error=not report.passed,
        ),
        iterations=1,
        options={
            "disable_gc": True,
            "timer": "perf_counter_ns",
            "min_rounds": 3,
            "max_time": None,
            "min_time": None,
            "warmup": True,
        },
    )
    entry.stats.data.extend(latency["samples"])
    session.benchmarks.append(entry)


def _extra_info(record: Record) -> dict[str, Json]:
    info: dict[str, Json] = {
        "archbench": record.id,
        **(asdict(record.target) if record.target is not None else {}),
    }
    for name, metric in record.metrics.items():
        if metric.get("value") is not None:
            info[name] = metric["value"]
    statistics = derived(record)
    info.update({k: v for k, v in statistics.items() if k not in ("absent", "samples")})
    return info


def load_comparison(config: pytest.Config) -> None:
    """Let pytest-benchmark load the run to compare with, once, from the storage as it is now."""
    session = _benchmark_session(config)
    if session is None:
        return
    deferred = config.stash.get(_DEFERRED, _Deferred())
    if deferred.compare:
        session.compare, deferred.compare = deferred.compare, None
        session.handle_loading()


def prepare_benchmark_session(config: pytest.Config, cells: Sequence[Record]) -> None:
    """Complete the entries, keep devices apart, and stay silent unless asked.

    pytest-benchmark keys its storage by operating system, Python and word size: two accelerators
    would overwrite each other, so each device gets a directory of its own.
    """
    session = _benchmark_session(config)
    if session is None:
        return
    by_key = {cell.key: cell for cell in cells}
    ours = 0
    for entry in session.benchmarks:
        info = getattr(entry, "extra_info", None) or {}
        if "archbench" not in info:
            continue
        ours += 1
        cell = by_key.get((info["archbench"], target_of(info).key))
        if cell is not None:
            # Counts come from another test of the same cell.
            info.update(_extra_info(cell))
    slugs = {cell.target.slug for cell in cells if cell.target}
    path = getattr(session.storage, "path", None)
    if isinstance(path, Path) and len(slugs) == 1:
        session.storage.path = path / slugs.pop()
    load_comparison(config)
    asked = [
        argument
        for argument in config.invocation_params.args
        if str(argument).startswith("--benchmark-") and not str(argument).startswith(_SILENT)
    ]
    if ours == len(session.benchmarks) and not asked:
        session.quiet = True
