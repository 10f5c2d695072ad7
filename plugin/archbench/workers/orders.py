"""The order that a worker receives at its start."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from archbench.core.forms import value_of
from archbench.workers.imports import Imports

OptionValue = str | int | float | bool | list[str] | None
"""Of an option of pytest's or ours, as its plugin has parsed it."""

TURNED_OFF: Mapping[str, OptionValue] = {
    # Workers of pytest-xdist, and what ends a run: the process decides that a person speaks to.
    "numprocesses": 0,
    "dist": "no",
    "tx": [],
    "distload": False,
    "looponfail": False,
    "maxfail": 0,
    "collectonly": False,
    "stepwise": False,
    "lf": False,
    "failedfirst": False,
    "newfirst": False,
    "cacheclear": False,
    "basetemp": None,
    # Reports about a run are written where all of it is known.
    "xmlpath": None,
    "htmlpath": None,
    "report_log": None,
    "json_report": False,
    "json_report_file": None,
    "csvpath": None,
    "mdpath": None,
    "ctrf": None,
    "pastebin": None,
    "durations": None,
    "benchmark_json": None,
    "benchmark_save": None,
    "benchmark_autosave": None,
    "benchmark_compare": None,
    "benchmark_compare_fail": None,
    "benchmark_histogram": None,
    # Nobody sits before a worker.
    "usepdb": False,
    "trace": False,
    "cov_source": [],
    "no_cov": True,
}
"""Options of pytest and its plugins, by where they are stored, that a worker does not follow."""

OF_THE_REPORTER = ("results", "code-quality", "openmetrics", "resume", "shard", "shard-times")
"""Options of ours that a worker does not follow."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is to do.

    Attributes:
        purpose: ``cells``: it runs tests as the process would that started it; ``times``: it
            measures times that another process judges; ``side``: of a paired comparison.
        arguments: of its pytest.
        options: ours, by where they are stored, as the process has them that started it.
        foreign: the same of other plugins whose value that process has drawn.
        imports: where it imports its code from, see :class:`archbench.workers.imports.Imports`.
        files: directory of what has been measured for the tests of this run; empty for none.
        artefacts: directory of what runtimes make of networks, one for both sides of a comparison.
        number: of the worker of pytest-xdist that it works for; 0 where it is none.
        beside: how many of those there are; 1 where it works for none.
        names: what that worker's fixtures of pytest-xdist return, by their name: ``worker_id``,
            ``testrun_uid``; empty where it works for none.
        seed: of what is random in it.
        time_budget: seconds of warm-up and samples for each cell, for ``times``.
        core: of the CPU to stay on; None to stay free, as several threads have to.
        sides: that it holds: one, or both within one process.
        cells: ids of the tests that may be asked of a side.
        flags: in which the reference differs, where this process holds it; empty where its code or
            its environment does.
        connection: file descriptor of its end of the connection.
    """

    purpose: str
    arguments: tuple[str, ...]
    options: dict[str, OptionValue]
    imports: Imports
    foreign: dict[str, OptionValue] = field(default_factory=dict)
    files: str = ""
    artefacts: str = ""
    number: int = 0
    beside: int = 1
    names: dict[str, str] = field(default_factory=dict)
    seed: int = 0
    time_budget: float = 0.0
    core: int | None = None
    sides: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()
    flags: dict[str, str] = field(default_factory=dict)
    connection: int = -1

    @classmethod
    def read(cls, path: Path) -> Order:
        """From the file that the command line names."""
        return value_of(cls, json.loads(path.read_text(encoding="utf-8")))
