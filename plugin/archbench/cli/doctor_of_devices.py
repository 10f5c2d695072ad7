"""What ``archbench doctor`` says of devices and their noise: the part that needs torch."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from archbench.cli.checks import FAULT, NOTE, OK, Checked
from archbench.cli.printing import say
from archbench.core.errors import AbsentError, ArchbenchError, UsageError
from archbench.core.gate import TOO_NOISY, share_text
from archbench.core.process_runs import MOST_LOST
from archbench.core.rounds import default_rules
from archbench.core.run_config import DTYPES, RunConfig
from archbench.core.telemetry import TelemetrySample, throttled_by
from archbench.devices.backend import Backend
from archbench.devices.choosing import Device
from archbench.devices.kinds import backend_of, kinds
from archbench.measure.hardware import (
    absence,
    check_torchvision,
    list_devices,
    make_target,
    refuse_shared,
)
from archbench.measure.precision import check_dtype
from archbench.runtimes.own import runtime_named
from archbench.runtimes.registry import runtime_names
from archbench.selftest import smallest_changes

NOISE_CELLS = 3
"""Networks of the self-test: ten processes for their baselines take about a minute."""


def devices() -> Iterator[Checked]:
    """Devices with their precisions, runtimes and counters."""
    try:
        check_torchvision()
    except UsageError as error:
        yield Checked("torchvision", FAULT, f"{error.asked}: {error.found}", error.todo)
    try:
        devices = list_devices()
    except UsageError as error:
        yield Checked("devices", FAULT, f"{error.asked}: {error.found}", error.todo)
        devices = [device for kind in kinds() if kind.is_host for device in kind.found()]
    else:
        if all(device.kind == "cpu" for device in devices):
            todo = "Where there is one, install the torch for it: pytorch.org/get-started"
            yield Checked("accelerator", NOTE, f"none: {absence()}", todo)
    for device in devices:
        yield from _device(device, devices)


def _device(device: Device, devices: Sequence[Device]) -> Iterator[Checked]:
    backend = backend_of(device.name, device.uuid)
    versions = ", ".join(f"{name} {version}" for name, version in backend.versions().items())
    about = "; ".join(filter(None, (device.vendor_name, versions, backend.build())))
    try:
        make_target(device.name, devices=devices)
    except UsageError as error:
        yield Checked(device.name, FAULT, f"{about}: {error.found}", error.todo)
        return
    yield Checked(device.name, OK, about)
    sharing = refuse_shared(device.name, shared_ok=True, devices=devices)
    for others in sharing.others.values():
        yield Checked(
            f"{device.name} users",
            NOTE,
            f"in use by {others}",
            "Wait, or measure with --archbench-shared-ok",
        )
    for reason in sharing.unknown.values():
        yield Checked(f"{device.name} users", NOTE, f"not known: {reason}")
    yield from _configurations(device, backend)
    yield from _counters(device, backend)


def _configurations(device: Device, backend: Backend) -> Iterator[Checked]:
    """Precisions, and runtimes with what they lack."""
    refused = [dtype for dtype in DTYPES if _refuses(device, dtype)]
    runs = ", ".join(dtype for dtype in DTYPES if dtype not in refused)
    but = f"; not {', '.join(refused)}" if refused else ""
    yield Checked(f"{device.name} precisions", OK, runs + but)
    there, todo = [], []
    for name in runtime_names():
        refusal = runtime_named(name).refuse(device, backend, RunConfig(runtime=name))
        there.append(name if refusal is None else f"not {name}: {refusal.found}")
        # What another runtime is to be used for instead is nothing that this machine lacks.
        if refusal is not None and refusal.todo.startswith("Install"):
            todo.append(refusal.todo)
    state = NOTE if todo else OK
    yield Checked(f"{device.name} runtimes", state, "; ".join(there), ". ".join(todo))


def _refuses(device: Device, dtype: str) -> bool:
    try:
        check_dtype(device, dtype)
    except UsageError:
        return True
    return False


def _counters(device: Device, backend: Backend) -> Iterator[Checked]:
    """Clock, throttling and energy."""
    clock = backend.clock()
    if clock is not None:
        held = "" if clock.can_hold else "; its queue cannot be held, so the host may slow it"
        yield Checked(f"{device.name} clock", OK, f"times passes by its own clock{held}")
    try:
        sample = backend.telemetry()()
    except AbsentError as error:
        yield Checked(f"{device.name} telemetry", NOTE, f"clock and throttling are hidden: {error}")
    else:
        yield _telemetry(device, sample)
    try:
        counter = backend.energy()
    except AbsentError as error:
        is_kept = isinstance(error.__cause__, PermissionError)
        todo = (
            "For --archbench-energy let this user read /sys/class/powercap/*/energy_uj"
            if is_kept
            else ""
        )
        yield Checked(f"{device.name} energy", NOTE, str(error), todo)
    else:
        yield Checked(f"{device.name} energy", OK, f"{counter.name}, of the {counter.scope}")


def _telemetry(device: Device, sample: TelemetrySample) -> Checked:
    parts = {
        "clock": sample.clock and f"{sample.clock / 1e6:.0f} MHz",
        "temperature": sample.temperature and f"{sample.temperature:.0f} °C",
        "power": sample.power and f"{sample.power:.0f} W",
    }
    seen = [f"{name} {text}" for name, text in parts.items() if text]
    hidden = [name for name, text in parts.items() if not text]
    reasons = throttled_by(sample)
    found = ", ".join([*seen, *(f"{name} hidden" for name in hidden)])
    if reasons:
        todo = "Find out what slows it, as by heat or a limit; times taken now are refused"
        found = f"{found}; slowed: {', '.join(reasons)}"
        return Checked(f"{device.name} telemetry", NOTE, found, todo)
    return Checked(f"{device.name} telemetry", NOTE if hidden else OK, f"{found}; not slowed")


def noise(busy: float) -> Iterator[Checked]:
    """What the gates find here, by the baselines of a few small networks."""
    quieter = "Stop other work, or compare side by side: --archbench-against"
    if busy > MOST_LOST:
        # A minute becomes a quarter of an hour, and no baseline is accepted then.
        found = f"not measured, since other programs keep {busy:.0%} of the cores busy"
        yield Checked("noise", NOTE, found, quieter)
        return
    try:
        device = list_devices()[0]
        say([f"measuring noise on {device.name} for about a minute; --quick leaves it out"])
        changes = smallest_changes(NOISE_CELLS, device.name)
    except ArchbenchError as error:
        say([str(error)])
        todo = "Read what it printed, on standard error; archbench selftest --stored repeats it"
        yield Checked("noise", FAULT, "the self-test failed", todo)
        return
    if not changes:
        found = f"no baseline was accepted of {NOISE_CELLS} small networks: the machine is too busy"
        yield Checked("noise", NOTE, found, quieter)
    for metric, shares in changes.items():
        worst = max(shares)
        least, most, middle = map(share_text, (min(shares), worst, statistics.median(shares)))
        changes_found = f"from {least} to {most} on, {middle} for the middle one"
        if least == most:
            changes_found = f"from {least} on, with each"
        noisy = worst > TOO_NOISY
        yield Checked(
            f"{metric.replace('_', ' ')} noise",
            NOTE if noisy else OK,
            f"a stored baseline finds changes {changes_found} of {len(shares)} small networks, "
            f"on {device.name}",
            quieter if noisy else "",
        )
    rule = default_rules(device.kind, 1)[0]
    yield Checked(
        "side by side",
        OK,
        "--archbench-against is made to find changes from "
        f"{share_text(rule.rule.equivalence_margin)} on, and measures until it can tell; where "
        "others take more than half of the time it says that it cannot",
    )
