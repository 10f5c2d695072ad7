"""Our samples as entries of pytest-benchmark, so that its storage and tables go on working.

pytest-benchmark gathers its results from its own fixture in the process that runs the test, and
switches itself off under pytest-xdist. Our records arrive on the controller with the test reports
in both cases; each becomes an entry there before pytest-benchmark saves and compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from archbench.core.records import Record, derived

__all__ = ["add_benchmark", "prepare_benchmark_session"]

# Options that only say which tests run or where results go: no reason to print a second table.
_SILENT = ("--benchmark-only", "--benchmark-skip", "--benchmark-disable", "--benchmark-storage")


def _benchmark_session(config: pytest.Config) -> Any:
    """None under ``-p no:benchmark`` and with plugins that replace it."""
    return getattr(config, "_benchmarksession", None)


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
        "dtype": target["dtype"],
        "batch_size": target["batch_size"],
        "threads": target["threads"],
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


def _extra_info(record: Record) -> dict[str, Any]:
    info: dict[str, Any] = {"archbench": record.id, **(record.target or {})}
    for name, metric in record.metrics.items():
        if "value" in metric:
            info[name] = metric["value"]
    statistics = derived(record)
    info.update({k: v for k, v in statistics.items() if k not in ("absent", "samples")})
    return info


def prepare_benchmark_session(config: pytest.Config, cells: Sequence[Record]) -> None:
    """Complete the entries, keep devices apart, and stay silent unless asked.

    pytest-benchmark keys its storage by operating system, Python and word size: two accelerators
    would overwrite each other, so each device gets a directory of its own.
    """
    session = _benchmark_session(config)
    if session is None:
        return
    by_test: dict[tuple[str, str], Record] = {cell.key: cell for cell in cells}
    ours = 0
    for entry in session.benchmarks:
        info = getattr(entry, "extra_info", None) or {}
        if "archbench" not in info:
            continue
        ours += 1
        cell = by_test.get(
            Record(info["archbench"], {k: info[k] for k in _TARGET_FIELDS}).key
        )
        if cell is not None:
            # Counts come from another test of the same cell.
            info.update(_extra_info(cell))
    slugs = {cell.target["slug"] for cell in cells if cell.target}
    path = getattr(session.storage, "path", None)
    if isinstance(path, Path) and len(slugs) == 1:
        session.storage.path = path / slugs.pop()
    asked = [
        argument
        for argument in config.invocation_params.args
        if str(argument).startswith("--benchmark-") and not str(argument).startswith(_SILENT)
    ]
    if ours == len(session.benchmarks) and not asked:
        session.quiet = True


_TARGET_FIELDS = (
    "device", "device_name", "slug", "dtype", "batch_size", "threads", "memory_format", "runtime",
)  # fmt: skip
