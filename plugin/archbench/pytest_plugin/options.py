"""The options that a person can give. Loaded in every pytest run: light."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from archbench.core.run_config import Axis, axes, on_axis

__all__ = [
    "HOST_OPTION",
    "OPTIONS",
    "add_options",
    "destination",
    "given_options",
    "has_workers",
    "is_launch",
    "is_worker",
    "spelled",
    "worker_number",
]

QUICK_TIME_BUDGET = 0.3
DEFAULT_TIME_BUDGET = 2.0


def _axis_option(axis: Axis) -> dict[str, Any]:
    """An option for an axis of the run configuration."""
    help = axis.help.format(values=", ".join(axis.values))
    if axis.is_flag:
        return {"action": "store_true", "default": None, "help": help}
    several = "; several with commas" if axis.several else ""
    return {"metavar": axis.metavar, "help": f"{help}{several} (default: {axis.usual})"}


# Defaults are None throughout, so that "given" can be told from "not given", and so that the long
# and the short spelling of an option, which share a destination, do not overwrite each other.
OPTIONS: dict[str, dict[str, Any]] = {
    "suite": {
        "metavar": "NAME",
        "help": "architectures to run, see `archbench list --suites` (default: seeds)",
    },
    "models": {
        "metavar": "GLOB",
        "action": "append",
        "help": "architectures by id or glob (timm/resnet*, resnet50, timm/resnet50@192), or "
        "path/to/file.py:constructor for one of your own; repeatable",
    },
    "gpu": {
        "metavar": "DEVICE",
        "help": "auto (default: the first accelerator, else the CPU), cpu, cuda:N, mps, xpu, or "
        "part of the device's name (v100); several with commas",
    },
    **{axis.option: _axis_option(axis) for axis in axes()},
    "energy": {
        "action": "store_true",
        "default": None,
        "help": "measure energy per image and power too, where there is a counter: 6 s or more a "
        "cell",
    },
    "measure": {
        "metavar": "NAME",
        "help": "what else to measure of each cell, as energy, or what an installed distribution "
        "brings; several with commas",
    },
    "shared-ok": {
        "action": "store_true",
        "default": None,
        "help": "measure on a device that other processes use",
    },
    "time-budget": {
        "metavar": "SECONDS",
        "help": f"time for warm-up and samples of a cell (default: {DEFAULT_TIME_BUDGET:g})",
    },
    "quick": {
        "action": "store_true",
        "default": None,
        "help": f"a glance: {QUICK_TIME_BUDGET:g} s a cell; not precise enough to compare",
    },
    "baseline-update": {
        "metavar": "WHICH",
        "nargs": "?",
        "const": "all",
        "help": "accept what this selection measures as the baseline: all (default) or new, which "
        "adds cells and changes none",
    },
    "baseline-reason": {
        "metavar": "TEXT",
        "help": "why the baseline is accepted; stands in its lines",
    },
    "baseline-required": {
        "action": "store_true",
        "default": None,
        "help": "fail where there is no baseline to compare with",
    },
    "strict": {
        "action": "store_true",
        "default": None,
        "help": "fail where a comparison cannot tell",
    },
    "launches": {
        "metavar": "N",
        "help": "processes that measure each cell, one after another (default: 3 where there is a "
        "baseline to compare with, 10 to make one, else 1)",
    },
    "imagenet": {
        "metavar": "PATH",
        "help": "labelled images to measure top-1 and top-5 on: directories of classes, the flat "
        "validation set with its ground truth, or a tar of either",
    },
    "weights": {
        "metavar": "WEIGHTS",
        "help": "for accuracies and fingerprints: pretrained (default of accuracies), none, a "
        "file (safetensors or a state dict), or an id of the hub",
    },
    "accuracy-samples": {
        "metavar": "N",
        "help": "images of a stratified sample, the same in every run (default: all)",
    },
    "resize": {
        "metavar": "PIXELS",
        "help": "shorter side of an image before the single central crop (default: what the "
        "weights' library does)",
    },
    "crop": {"metavar": "PIXELS", "help": "side of the single central crop"},
    "against": {
        "metavar": "REF",
        "nargs": "?",
        "const": "merge-base",
        "help": "compare with another version, side by side and now: a git revision (without a "
        "value: the merge base with the main branch), python:/path/to/venv/bin/python, "
        "'pip:timm==1.0.20', or other flags (dtype=bf16, model=timm/resnet50d, batch-size=4)",
    },
    "directory": {
        "metavar": "PATH",
        "help": "where runs, and what they need meanwhile, are kept (default: .archbench in the "
        "project, or $ARCHBENCH_DIRECTORY)",
    },
    "results": {"metavar": "FILE", "help": "write everything about the run as JSON"},
    "code-quality": {
        "metavar": "FILE",
        "help": "write what fails and what could not be told as a code-quality report for GitLab",
    },
    "openmetrics": {"metavar": "FILE", "help": "write all figures as OpenMetrics text"},
}


PYTESTS_OWN = ("--strict",)
"""Short spellings that pytest has taken, with a sense near enough to ours to mean both."""

_CHILDREN = ("launch", "duet")
"""Options by which this plugin starts processes of its own, each with the path of an order."""

HOST_OPTION = "archbench_host"
"""True in a project that has given our options short names: its runs are about benchmarks."""


def destination(name: str) -> str:
    """The attribute of ``config.option`` that an option is stored in."""
    return "archbench_" + name.replace("-", "_")


_PARSERS: list[tuple[pytest.Parser, str]] = []
"""Of this run, with the prefix of our options in each."""


def _add_option(parser: pytest.Parser, prefix: str, name: str) -> None:
    group = parser.getgroup("archbench")
    declaration = OPTIONS[name]
    if prefix + name not in PYTESTS_OWN:
        # Repeated options are gathered, so that none is dropped silently; settings judge them.
        gathered = declaration if "action" in declaration else {"action": "append", **declaration}
        group.addoption(prefix + name, dest=destination(name), **gathered)


def _add_axis(axis: Axis) -> None:
    is_known = axis.option in OPTIONS
    OPTIONS[axis.option] = _axis_option(axis)
    for parser, prefix in () if is_known else _PARSERS:
        _add_option(parser, prefix, axis.option)


on_axis(_add_axis)


def add_options(parser: pytest.Parser, prefix: str = "--archbench-") -> None:
    """Declare the options under a prefix.

    The installed plugin takes ``--archbench-``. A project whose short names are free calls this
    from its root conftest with ``--``.
    """
    group = parser.getgroup("archbench", "benchmarks of image-classification architectures")
    if prefix != "--":
        # Each run of pytest has a parser of its own.
        _PARSERS.clear()
    _PARSERS.append((parser, prefix))
    for name in OPTIONS:
        _add_option(parser, prefix, name)
    if prefix != "--":
        for name in _CHILDREN:
            group.addoption(f"--archbench-{name}", dest=destination(name), help=argparse.SUPPRESS)
    else:
        group.addoption(
            "--archbench-host",
            dest=HOST_OPTION,
            action="store_true",
            default=True,
            help=argparse.SUPPRESS,
        )


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is a worker of pytest-xdist."""
    return hasattr(config, "workerinput")


def worker_number(config: pytest.Config) -> int:
    """Which of pytest-xdist's workers this process is, counted from 0; 0 where it is none."""
    name = config.workerinput["workerid"] if is_worker(config) else "gw0"  # type: ignore[attr-defined]
    return int(name.removeprefix("gw")) if name.removeprefix("gw").isdigit() else 0


def has_workers(config: pytest.Config) -> bool:
    """Whether this process hands its tests out to workers of pytest-xdist."""
    return bool(getattr(config.option, "tx", None))


def is_launch(config: pytest.Config) -> bool:
    """Whether this process measures for another one."""
    return any(getattr(config.option, destination(name), None) is not None for name in _CHILDREN)


def given_options(config: pytest.Config) -> bool:
    """Whether any option of archbench is on the command line."""
    return any(getattr(config.option, destination(name), None) is not None for name in OPTIONS)


def spelled(config: pytest.Config, text: str) -> str:
    """A message with our options spelled as they exist in this project."""
    if config.getoption(HOST_OPTION, False):
        return text
    for name in OPTIONS:
        text = text.replace(f"--{name}", f"--archbench-{name}")
    return text
