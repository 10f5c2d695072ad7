"""``archbench doctor``: what this machine can measure, and what to do where something is amiss."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import tempfile
import textwrap
import time
import webbrowser
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from archbench.catalog.lists import LISTED_LIBRARIES
from archbench.cli.checks import FAULT, NOTE, OK, Checked
from archbench.core.errors import UsageError
from archbench.core.headers import RunEnvironment
from archbench.core.process_runs import MOST_OTHERS
from archbench.models.requiring import require_torch
from archbench.report.tables import BLANK, TABLE_FORMATS, Table
from archbench.store.directory import own_directory
from archbench.store.git import git_text

if TYPE_CHECKING:
    pass

LEAST_SPACE = 2**30
"""Bytes that have to be free: a revision or packages that a paired comparison lays out take more
than journals and reports do."""

WIDTH = 72
"""Columns of what was found, in the text."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "doctor",
        help="say what this machine can measure",
        description="Say what this machine can measure: devices, precisions, runtimes, counters, "
        "noise, space, and what to do where something is amiss. The exit status is 0 unless a "
        "line is a fault, which a run here would fail by.",
    )
    parser.add_argument(
        "--no-noise",
        "--quick",
        dest="noise",
        action="store_false",
        help="leave out the self-test of about one minute that finds the smallest change that the "
        "gate finds here",
    )
    parser.add_argument("--format", choices=(*TABLE_FORMATS, "json"), default="text")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the report; 1 where a line of it is a fault."""
    from archbench.measure.environment import describe_environment

    environment = describe_environment(Path.cwd())
    checks = list(examine(Path.cwd(), environment, noise=options.noise))
    if options.format == "json":
        document = {"checks": [asdict(one) for one in checks], "environment": environment}
        print(json.dumps(document, indent=1))
    elif options.format == "text":
        print(_text(checks))
    else:
        rows = [(one.check, one.state, one.found, one.todo or BLANK) for one in checks]
        headers = ("check", "state", "found", "what to do")
        print(Table(headers, rows, headers).print_as(options.format))
    return int(any(one.state == FAULT for one in checks))


def _text(checks: Iterable[Checked]) -> str:
    """In short lines: what is too long goes on below, and so does what is to be done."""
    rows = []
    for one in checks:
        lines = textwrap.wrap(one.found, WIDTH)
        if one.todo:
            lines += textwrap.wrap(one.todo, WIDTH, initial_indent="-> ", subsequent_indent="   ")
        rows.append((one.check, one.state, lines[0]))
        rows += [(BLANK, BLANK, line) for line in lines[1:]]
    headers = ("check", "state", "found")
    return Table(headers, rows, headers).print_as("text")


def examine(root: Path, environment: RunEnvironment, *, noise: bool = True) -> Iterator[Checked]:
    """Everything that is looked at, one after another.

    Args:
        root: of the project.
        environment: see :func:`archbench.measure.environment.describe_environment`.
        noise: whether the smallest change that the gates find is found out, in about a minute.
    """
    busy = _busy_share()
    yield from _machine(environment, busy)
    yield from _libraries(environment["packages"])
    try:
        require_torch()
    except UsageError as error:
        yield Checked("torch", FAULT, error.found, error.todo)
        yield from _project(root)
        yield from _space(root)
        return
    from archbench.cli import doctor_of_devices

    yield from doctor_of_devices.devices()
    yield from _project(root)
    yield from _space(root)
    if noise:
        yield from doctor_of_devices.noise(busy)


def _busy_share() -> float:
    """Share of the cores that other programs keep busy."""
    from archbench.measure.background_load import BackgroundLoad

    load = BackgroundLoad()
    time.sleep(0.5)  # the kernel counts a core's time in hundredths of a second
    return load.share()


def _machine(environment: RunEnvironment, share: float) -> Iterator[Checked]:
    versions = "archbench {archbench}, Python {python}, {system} {kernel} {machine}"
    yield Checked("versions", OK, versions.format(**environment))
    cores = environment["usable_cores"] or environment["logical_cores"]
    memory = environment["memory_bytes"] / 2**30
    yield Checked("machine", OK, f"{environment['cpu']}, {cores} cores, {memory:.1f} GiB")
    busy = share > MOST_OTHERS
    yield Checked(
        "other work",
        NOTE if busy else OK,
        f"other programs keep {share:.0%} of the cores busy",
        "Stop them before times are accepted, or compare side by side: --archbench-against"
        if busy
        else "",
    )


def _libraries(packages: dict[str, str]) -> Iterator[Checked]:
    there = ", ".join(f"{name} {version}" for name, version in packages.items())
    yield Checked("libraries", OK, there)
    for name in LISTED_LIBRARIES:
        if name not in packages:
            found = "not installed; its architectures are not-measured"
            yield Checked(name, NOTE, found, f"python -m pip install {name}")


def _project(root: Path) -> Iterator[Checked]:
    """The suite, git and a browser."""
    from archbench.measure.environment import git_state

    if importlib.util.find_spec("archbench.benchmarks") is not None:
        yield Checked("suite", OK, "pytest --pyargs archbench.benchmarks")
    else:
        found = "not in this installation, which is editable"
        yield Checked("suite", NOTE, found, "pytest benchmarks, in archbench's checkout")
    version = git_text(root, "--version", timeout=10)
    state = git_state(root)
    if version is None:
        todo = "Install git; until then --archbench-against compares packages and flags only"
        yield Checked("git", NOTE, "it cannot be run", todo)
    elif state is None:
        todo = "git init and a commit, for --archbench-against=HEAD to compare with"
        yield Checked("git", NOTE, f"{version}; no commit of {root} is there", todo)
    else:
        dirty = ", with uncommitted changes" if state["dirty"] else ""
        yield Checked("git", OK, f"{version}; commit {state['commit'][:9]}{dirty}")
    try:
        browser = getattr(webbrowser.get(), "name", "there")
    except webbrowser.Error:
        todo = "Open report/index.html on another machine: it is one file"
        yield Checked("browser", NOTE, "none for the report's page", todo)
    else:
        yield Checked("browser", OK, str(browser))


def _space(root: Path) -> Iterator[Checked]:
    import psutil

    own = own_directory(root)
    existing = next(place for place in (own, *own.parents) if place.exists())
    for check, place in (("runs", existing), ("temporary files", Path(tempfile.gettempdir()))):
        if not os.access(place, os.W_OK):
            todo = "Make it writable" + (
                ", or give --archbench-directory=PATH" if check == "runs" else ""
            )
            yield Checked(check, FAULT, f"nothing can be written in {place}", todo)
            continue
        free = psutil.disk_usage(str(place)).free
        short = free < LEAST_SPACE
        todo = f"Free some: {LEAST_SPACE / 2**30:.0f} GiB is the least" if short else ""
        found = f"{free / 2**30:.1f} GiB free in {place}"
        yield Checked(check, FAULT if short else OK, found, todo)
