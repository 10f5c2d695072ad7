"""``archbench doctor``: what this machine can measure, and what to do where something is amiss."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import tempfile
import textwrap
import time
import webbrowser
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.catalog.lists import LISTED_LIBRARIES
from archbench.cli.printing import say
from archbench.core.errors import AbsentError, ArchbenchError, UsageError
from archbench.core.gate import TOO_NOISY, share_text
from archbench.core.process_runs import MOST_LOST, MOST_OTHERS
from archbench.core.rounds import default_rules
from archbench.core.run_config import DTYPES, RunConfig
from archbench.core.telemetry import Reading, throttled_by
from archbench.models.requiring import require_torch
from archbench.report.tables import BLANK, TABLE_FORMATS, Table
from archbench.store.directory import own_directory
from archbench.store.git import git_text

if TYPE_CHECKING:
    from archbench.devices.backend import Backend
    from archbench.devices.choosing import Device

OK, NOTE, FAULT = "ok", "note", "fault"

LEAST_SPACE = 2**30
"""Bytes that have to be free: a revision or packages that a paired comparison lays out take more
than journals and reports do."""

NOISE_CELLS = 3
"""Networks of the self-test: ten processes for their baselines take about a minute."""

WIDTH = 72
"""Columns of what was found, in the text."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        check: what was looked at.
        state: ``ok``; ``note``: something cannot be measured here, or not well; ``fault``: a run
            would fail.
        found: what is there.
        todo: what to do about it; empty where nothing is to be done.
    """

    check: str
    state: str
    found: str
    todo: str = ""


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
    findings = list(examine(Path.cwd(), environment, noise=options.noise))
    if options.format == "json":
        document = {"findings": [asdict(one) for one in findings], "environment": environment}
        print(json.dumps(document, indent=1))
    elif options.format == "text":
        print(_text(findings))
    else:
        rows = [(one.check, one.state, one.found, one.todo or BLANK) for one in findings]
        headers = ("check", "state", "found", "what to do")
        print(Table(headers, rows, headers).print_as(options.format))
    return int(any(one.state == FAULT for one in findings))


def _text(findings: Iterable[Finding]) -> str:
    """In short lines: what is too long goes on below, and so does what is to be done."""
    rows = []
    for one in findings:
        lines = textwrap.wrap(one.found, WIDTH)
        if one.todo:
            lines += textwrap.wrap(one.todo, WIDTH, initial_indent="-> ", subsequent_indent="   ")
        rows.append((one.check, one.state, lines[0]))
        rows += [(BLANK, BLANK, line) for line in lines[1:]]
    headers = ("check", "state", "found")
    return Table(headers, rows, headers).print_as("text")


def examine(root: Path, environment: dict[str, Any], *, noise: bool = True) -> Iterator[Finding]:
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
        yield Finding("torch", FAULT, error.found, error.todo)
    else:
        yield from _devices()
    yield from _project(root)
    yield from _space(root)
    if noise and "torch" in environment["packages"]:
        yield from _noise(busy)


def _busy_share() -> float:
    """Share of the cores that other programs keep busy."""
    from archbench.measure.background_load import BackgroundLoad

    load = BackgroundLoad()
    time.sleep(0.5)  # the kernel counts a core's time in hundredths of a second
    return load.share()


def _machine(environment: dict[str, Any], share: float) -> Iterator[Finding]:
    versions = "archbench {archbench}, Python {python}, {system} {kernel} {machine}"
    yield Finding("versions", OK, versions.format(**environment))
    cores = environment["usable_cores"] or environment["logical_cores"]
    memory = environment["memory_bytes"] / 2**30
    yield Finding("machine", OK, f"{environment['cpu']}, {cores} cores, {memory:.1f} GiB")
    busy = share > MOST_OTHERS
    yield Finding(
        "other work",
        NOTE if busy else OK,
        f"other programs keep {share:.0%} of the cores busy",
        "Stop them before times are accepted, or compare side by side: --archbench-against"
        if busy
        else "",
    )


def _libraries(packages: dict[str, str]) -> Iterator[Finding]:
    there = ", ".join(f"{name} {version}" for name, version in packages.items())
    yield Finding("libraries", OK, there)
    for name in LISTED_LIBRARIES:
        if name not in packages:
            found = "not installed; its architectures are not-measured"
            yield Finding(name, NOTE, found, f"python -m pip install {name}")


def _devices() -> Iterator[Finding]:
    from archbench.devices.kinds import kinds
    from archbench.measure.hardware import absence, check_torchvision, list_devices

    try:
        check_torchvision()
    except UsageError as error:
        yield Finding("torchvision", FAULT, f"{error.asked}: {error.found}", error.todo)
    try:
        devices = list_devices()
    except UsageError as error:
        yield Finding("devices", FAULT, f"{error.asked}: {error.found}", error.todo)
        devices = [device for kind in kinds() if kind.is_host for device in kind.found()]
    else:
        if all(device.kind == "cpu" for device in devices):
            todo = "Where there is one, install the torch for it: pytorch.org/get-started"
            yield Finding("accelerator", NOTE, f"none: {absence()}", todo)
    for device in devices:
        yield from _device(device, devices)


def _device(device: Device, devices: Sequence[Device]) -> Iterator[Finding]:
    from archbench.devices.kinds import backend_of
    from archbench.measure.hardware import make_target, refuse_shared

    backend = backend_of(device.name, device.uuid)
    versions = ", ".join(f"{name} {version}" for name, version in backend.versions().items())
    about = "; ".join(filter(None, (device.vendor_name, versions, backend.build())))
    try:
        make_target(device.name, devices=devices)
    except UsageError as error:
        yield Finding(device.name, FAULT, f"{about}: {error.found}", error.todo)
        return
    yield Finding(device.name, OK, about)
    sharing = refuse_shared(device.name, shared_ok=True, devices=devices)
    for others in sharing.others.values():
        yield Finding(
            f"{device.name} users",
            NOTE,
            f"in use by {others}",
            "Wait, or measure with --archbench-shared-ok",
        )
    for reason in sharing.unknown.values():
        yield Finding(f"{device.name} users", NOTE, f"not known: {reason}")
    yield from _configurations(device, backend)
    yield from _counters(device, backend)


def _configurations(device: Device, backend: Backend) -> Iterator[Finding]:
    """Precisions, and runtimes with what they lack."""
    from archbench.runtimes.own import runtime_named
    from archbench.runtimes.registry import runtime_names

    refused = [dtype for dtype in DTYPES if _refuses(device, dtype)]
    runs = ", ".join(dtype for dtype in DTYPES if dtype not in refused)
    but = f"; not {', '.join(refused)}" if refused else ""
    yield Finding(f"{device.name} precisions", OK, runs + but)
    there, todo = [], []
    for name in runtime_names():
        refusal = runtime_named(name).refuse(device, backend, RunConfig(runtime=name))
        there.append(name if refusal is None else f"not {name}: {refusal.found}")
        # What another runtime is to be used for instead is nothing that this machine lacks.
        if refusal is not None and refusal.todo.startswith("Install"):
            todo.append(refusal.todo)
    state = NOTE if todo else OK
    yield Finding(f"{device.name} runtimes", state, "; ".join(there), ". ".join(todo))


def _refuses(device: Device, dtype: str) -> bool:
    from archbench.measure.precision import check_dtype

    try:
        check_dtype(device, dtype)
    except UsageError:
        return True
    return False


def _counters(device: Device, backend: Backend) -> Iterator[Finding]:
    """Clock, throttling and energy."""
    clock = backend.clock()
    if clock is not None:
        held = "" if clock.can_hold else "; its queue cannot be held, so the host may slow it"
        yield Finding(f"{device.name} clock", OK, f"times passes by its own clock{held}")
    try:
        reading = backend.telemetry()()
    except AbsentError as error:
        yield Finding(f"{device.name} telemetry", NOTE, f"clock and throttling are hidden: {error}")
    else:
        yield _telemetry(device, reading)
    try:
        counter = backend.energy()
    except AbsentError as error:
        is_kept = isinstance(error.__cause__, PermissionError)
        todo = (
            "For --archbench-energy let this user read /sys/class/powercap/*/energy_uj"
            if is_kept
            else ""
        )
        yield Finding(f"{device.name} energy", NOTE, str(error), todo)
    else:
        yield Finding(f"{device.name} energy", OK, f"{counter.name}, of the {counter.scope}")


def _telemetry(device: Device, reading: Reading) -> Finding:
    parts = {
        "clock": reading.clock and f"{reading.clock / 1e6:.0f} MHz",
        "temperature": reading.temperature and f"{reading.temperature:.0f} °C",
        "power": reading.power and f"{reading.power:.0f} W",
    }
    seen = [f"{name} {text}" for name, text in parts.items() if text]
    hidden = [name for name, text in parts.items() if not text]
    reasons = throttled_by(reading)
    found = ", ".join([*seen, *(f"{name} hidden" for name in hidden)])
    if reasons:
        todo = "Find out what slows it, as by heat or a limit; times taken now are refused"
        found = f"{found}; slowed: {', '.join(reasons)}"
        return Finding(f"{device.name} telemetry", NOTE, found, todo)
    return Finding(f"{device.name} telemetry", NOTE if hidden else OK, f"{found}; not slowed")


def _project(root: Path) -> Iterator[Finding]:
    """The suite, git and a browser."""
    from archbench.measure.environment import git_state

    if importlib.util.find_spec("archbench.benchmarks") is not None:
        yield Finding("suite", OK, "pytest --pyargs archbench.benchmarks")
    else:
        found = "not in this installation, which is editable"
        yield Finding("suite", NOTE, found, "pytest benchmarks, in archbench's checkout")
    version = git_text(root, "--version", timeout=10)
    state = git_state(root)
    if version is None:
        todo = "Install git; until then --archbench-against compares packages and flags only"
        yield Finding("git", NOTE, "it cannot be run", todo)
    elif state is None:
        todo = "git init and a commit, for --archbench-against=HEAD to compare with"
        yield Finding("git", NOTE, f"{version}; no commit of {root} is there", todo)
    else:
        dirty = ", with uncommitted changes" if state["dirty"] else ""
        yield Finding("git", OK, f"{version}; commit {state['commit'][:9]}{dirty}")
    try:
        browser = getattr(webbrowser.get(), "name", "there")
    except webbrowser.Error:
        todo = "Open report/index.html on another machine: it is one file"
        yield Finding("browser", NOTE, "none for the report's page", todo)
    else:
        yield Finding("browser", OK, str(browser))


def _space(root: Path) -> Iterator[Finding]:
    import psutil

    own = own_directory(root)
    existing = next(place for place in (own, *own.parents) if place.exists())
    for check, place in (("runs", existing), ("temporary files", Path(tempfile.gettempdir()))):
        if not os.access(place, os.W_OK):
            todo = "Make it writable" + (
                ", or give --archbench-directory=PATH" if check == "runs" else ""
            )
            yield Finding(check, FAULT, f"nothing can be written in {place}", todo)
            continue
        free = psutil.disk_usage(str(place)).free
        short = free < LEAST_SPACE
        todo = f"Free some: {LEAST_SPACE / 2**30:.0f} GiB is the least" if short else ""
        found = f"{free / 2**30:.1f} GiB free in {place}"
        yield Finding(check, FAULT if short else OK, found, todo)


def _noise(busy: float) -> Iterator[Finding]:
    """What the gates find here, by the baselines of a few small networks."""
    from archbench.measure.hardware import list_devices
    from archbench.selftest import smallest_changes

    quieter = "Stop other work, or compare side by side: --archbench-against"
    if busy > MOST_LOST:
        # A minute becomes a quarter of an hour, and no baseline is accepted then.
        found = f"not measured, since other programs keep {busy:.0%} of the cores busy"
        yield Finding("noise", NOTE, found, quieter)
        return
    try:
        device = list_devices()[0]
        say([f"measuring noise on {device.name} for about a minute; --quick leaves it out"])
        changes = smallest_changes(NOISE_CELLS, device.name)
    except ArchbenchError as error:
        say([str(error)])
        todo = "Read what it printed, on standard error; archbench selftest --stored repeats it"
        yield Finding("noise", FAULT, "the self-test failed", todo)
        return
    if not changes:
        found = f"no baseline was accepted of {NOISE_CELLS} small networks: the machine is too busy"
        yield Finding("noise", NOTE, found, quieter)
    for metric, shares in changes.items():
        worst, middle = max(shares), statistics.median(shares)
        noisy = worst > TOO_NOISY
        yield Finding(
            f"{metric.replace('_', ' ')} noise",
            NOTE if noisy else OK,
            f"a stored baseline finds changes from {share_text(min(shares))} to "
            f"{share_text(worst)} on, {share_text(middle)} for the middle one of "
            f"{len(shares)} small networks, on {device.name}",
            quieter if noisy else "",
        )
    rule = default_rules(device.kind, 1)[0]
    yield Finding(
        "side by side",
        OK,
        f"--archbench-against is made to find changes from {share_text(rule.rule.excluded)} on, "
        "whatever the noise: it measures until it can tell",
    )
