"""What `archbench doctor` says of a machine, and when it ends with 1."""

from __future__ import annotations

import json
import math
import os
import statistics
import webbrowser
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from scipy import stats

from archbench import cli, selftest
from archbench.cli import doctor, doctor_of_devices
from archbench.cli.checks import Checked
from archbench.core.errors import AbsentError, ArchbenchError, UsageError
from archbench.core.process_runs import ProcessRun
from archbench.core.records import Record
from archbench.core.spec import Target
from archbench.core.telemetry import TelemetrySample
from archbench.devices import registry
from archbench.devices.backend import Backend, Telemetry
from archbench.devices.choosing import Device
from archbench.devices.energy import EnergyCounter
from archbench.devices.nvml import Process
from archbench.measure import hardware
from archbench.store.results import SCHEMA
from tests.core.lines import time_line

ENVIRONMENT = {
    "archbench": "0.1.0",
    "python": "3.12.1",
    "system": "Linux",
    "kernel": "6.1",
    "machine": "x86_64",
    "cpu": "AMD EPYC",
    "usable_cores": 2,
    "logical_cores": 8,
    "memory_bytes": 8 * 2**30,
    "packages": {"torch": "2.9.1", "torchvision": "0.24.1", "timm": "1.0.31"},
}


class Imagined(Backend):
    """A device whose tensors lie with the processor's."""

    kind = "imagined"
    place = "cpu"
    trouble: str | None = None
    sample = TelemetrySample(1.98e9, 35.0, 70.4)

    @classmethod
    def found(cls) -> list[Device]:
        if cls.trouble is not None:
            raise RuntimeError(cls.trouble)
        return [Device("imagined:0", "Imagined 9000", "0-1")]

    def build(self) -> str:
        return "compute capability 9.0"

    def versions(self) -> dict[str, str]:
        return {"driver": "550.1"}

    def clock(self) -> Any:
        return SimpleNamespace(can_hold=False)

    def telemetry(self) -> Telemetry:
        return lambda: self.sample

    def energy(self) -> EnergyCounter:
        raise AbsentError("the counter cannot be read") from PermissionError(13, "denied")

    def processes(self) -> list[Process]:
        return [Process(2**22 + 1, 1_500_000_000)]


@pytest.fixture
def imagined(monkeypatch: pytest.MonkeyPatch) -> Generator[type[Imagined]]:
    monkeypatch.setattr(registry, "_KINDS", dict(registry._KINDS))
    registry.register(Imagined)
    yield Imagined
    Imagined.trouble, Imagined.sample = None, TelemetrySample(1.98e9, 35.0, 70.4)


def checked(root: Path, **changes: Any) -> dict[str, tuple[str, str, str]]:
    environment: Any = {**ENVIRONMENT, **changes}
    return {
        one.check: (one.state, one.found, one.todo)
        for one in doctor.examine(root, environment, noise=False)
    }


def test_the_text_has_short_lines_with_what_to_do_below() -> None:
    found = "a long line of words " * 9
    both = [Checked("a", "ok", "b"), Checked("c", "note", found, "do d")]
    lines = doctor._text(both).splitlines()
    assert lines[2].split() == ["a", "ok", "b"]
    assert lines[-1].split() == ["->", "do", "d"]
    assert max(map(len, lines)) <= 2 + 5 + 2 + 5 + 2 + doctor.WIDTH


def test_every_format_says_the_same(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["doctor", "--quick", "--format=json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["environment"]["packages"]["torch"]
    checks = [one["check"] for one in document["checks"]]
    assert checks[:3] == ["versions", "machine", "other work"]
    assert {"cpu", "cpu precisions", "cpu runtimes", "git", "runs"} <= set(checks)
    assert all("noise" not in check for check in checks)
    assert cli.main(["doctor", "--no-noise", "--format=markdown"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0] == "| check | state | found | what to do |"
    assert [row.split(" | ")[0] for row in rows[2:]] == [f"| {check}" for check in checks]


def test_what_a_device_is_and_shows(imagined: type[Imagined], tmp_path: Path) -> None:
    found = checked(tmp_path)
    assert found["imagined:0"] == (
        "ok", "Imagined 9000; driver 550.1; compute capability 9.0", ""
    )  # fmt: skip
    assert found["imagined:0 users"] == (
        "note", "in use by process 4194305, 1,500 MB", "Wait, or measure with --archbench-shared-ok"
    )  # fmt: skip
    precisions = found["imagined:0 precisions"]
    assert precisions[:2] == ("ok", "fp32, fp16, bf16, amp-fp16, amp-bf16; not tf32, int8")
    assert found["imagined:0 telemetry"] == (
        "ok", "clock 1980 MHz, temperature 35 °C, power 70 W; not slowed", ""
    )  # fmt: skip
    assert "its queue cannot be held" in found["imagined:0 clock"][1]
    assert found["imagined:0 energy"] == (
        "note", "the counter cannot be read",
        "For --archbench-energy let this user read /sys/class/powercap/*/energy_uj",
    )  # fmt: skip
    assert "accelerator" not in found


def test_a_device_that_is_slowed(imagined: type[Imagined], tmp_path: Path) -> None:
    imagined.sample = TelemetrySample(clock=1e9, throttle=("thermal",))
    state, found, todo = checked(tmp_path)["imagined:0 telemetry"]
    assert (state, found) == (
        "note",
        "clock 1000 MHz, temperature hidden, power hidden; slowed: thermal",
    )
    assert todo.startswith("Find out what slows it")


def test_a_driver_that_cannot_be_used_is_a_fault(
    imagined: type[Imagined], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    imagined.trouble = "driver too old\nmore"
    found = checked(tmp_path)
    assert found["devices"][:2] == (
        "fault",
        "the imagined devices of this machine: their driver cannot use them: driver too old",
    )
    assert found["cpu"][0] == "ok"
    monkeypatch.chdir(tmp_path)
    assert cli.main(["doctor", "--quick"]) == 1
    assert "driver too old" in capsys.readouterr().out


def test_a_device_that_nothing_can_be_put_on(
    imagined: type[Imagined], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hardware._refuse_unusable.cache_clear()
    monkeypatch.setattr(imagined, "place", "imagined")
    state, found, todo = checked(tmp_path)["imagined:0"]
    assert state == "fault"
    assert "nothing can be put on imagined:0 (Imagined 9000)" in found
    assert todo == "Look at what its driver says, or use --gpu=cpu"


def test_without_an_accelerator_the_reason_stands_there(tmp_path: Path) -> None:
    found = checked(tmp_path)
    if "accelerator" not in found:
        pytest.skip("this machine has one")
    assert found["accelerator"][0] == "note"
    assert found["accelerator"][1].startswith("none: ")


def test_a_library_that_is_absent(tmp_path: Path) -> None:
    assert checked(tmp_path)["pytorchcv"] == (
        "note",
        "not installed; its architectures are not-measured",
        "python -m pip install pytorchcv",
    )


def test_a_torch_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise UsageError("torch", "it cannot be imported: no libc", "Install one that fits")

    monkeypatch.setattr(doctor, "require_torch", refuse)
    found = checked(tmp_path)
    assert found["torch"] == ("fault", "it cannot be imported: no libc", "Install one that fits")
    assert "cpu" not in found
    assert "runs" in found


def test_little_space_and_a_directory_that_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "disk_usage", lambda _: SimpleNamespace(free=2**29))
    found = checked(tmp_path)
    assert found["runs"] == (
        "fault",
        f"0.5 GiB free in {tmp_path}",
        "Free some: 1 GiB is the least",
    )
    monkeypatch.setattr(os, "access", lambda *_: False)
    found = checked(tmp_path)
    assert found["runs"] == (
        "fault",
        f"nothing can be written in {tmp_path}",
        "Make it writable, or give --archbench-directory=PATH",
    )


def test_a_browser_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(webbrowser, "get", none)
    assert checked(tmp_path)["browser"][0] == "note"
    monkeypatch.setattr(webbrowser, "get", lambda: SimpleNamespace(name="firefox"))
    assert checked(tmp_path)["browser"] == ("ok", "firefox", "")


@pytest.mark.parametrize(
    ("changes", "state", "text"),
    [
        ([0.104, 0.27, 0.1], "ok", "from 10% to 27% on, 10% for the middle one of 3 small"),
        ([0.1, 0.6, 0.2], "note", "from 10% to 60% on, 20% for the middle one of 3 small"),
        ([0.1, 0.1, 0.1], "ok", "from 10% on, with each of 3 small networks, on cpu"),
    ],
)
def test_noise(
    changes: list[float], state: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_of_devices, "smallest_changes", lambda *_: {"latency": changes})
    noise, paired = doctor_of_devices.noise(0.2)
    assert (noise.check, noise.state) == ("latency noise", state)
    assert text in noise.found
    assert bool(noise.todo) == (state == "note")
    assert "from 3.5% on" in paired.found


def test_no_noise_is_measured_beside_other_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_of_devices, "smallest_changes", lambda *_: {})
    (busy,) = doctor_of_devices.noise(0.97)
    assert busy.found == "not measured, since other programs keep 97% of the cores busy"
    refused, _ = doctor_of_devices.noise(0.2)
    assert refused.state == "note"
    assert refused.found.startswith("no baseline was accepted of 3 small networks")


@pytest.mark.parametrize(
    ("results", "found"),
    [
        (None, None),
        ({}, None),
        ({"latency": {"samples": [0.01], "unit": "s", "source": "measured"}}, {}),
    ],
)
def test_a_run_whose_baselines_were_refused(
    results: Any, found: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(root: Path, *_: Any) -> None:
        if results is not None:
            cell = Record("timm/net", Target("cpu", "a CPU", "a-cpu"), results)
            document = {"schema": SCHEMA, "cells": [cell.as_dict()]}
            (root / "results.json").write_text(json.dumps(document), encoding="utf-8")
        raise ArchbenchError("a run of the self-test ended with status 1")

    monkeypatch.setattr(selftest, "_run", refuse)
    if found is None:
        with pytest.raises(ArchbenchError, match="status 1"):
            selftest.smallest_changes(3)
    else:
        assert selftest.smallest_changes(3) == found


def test_a_self_test_that_fails_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise ArchbenchError("a run of the self-test ended with status 3; it printed:\nwhy")

    monkeypatch.setattr(doctor_of_devices, "smallest_changes", fail)
    (only,) = doctor_of_devices.noise(0.2)
    assert only.state == "fault"
    assert "it printed:\nwhy" in capsys.readouterr().err


def test_the_smallest_change_is_the_gates_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {
        "quiet": [0.01 * (1 + 0.001 * i) for i in range(10)],
        "noisy": [0.01 * (1 + 0.03 * i) for i in range(10)],
    }
    lines = {
        f"local/{name}": time_line(
            f"local/{name}",
            process_runs=[ProcessRun((s,) * 9, (s,) * 9, 5, 0.0, 0.0).as_dict() for s in values],
        )
        for name, values in seconds.items()
    }
    (tmp_path / "baselines" / "cpu").mkdir(parents=True)
    (tmp_path / "baselines" / "cpu" / "fp32.jsonl").write_text("", encoding="utf-8")
    monkeypatch.setattr(selftest, "read_baselines", lambda *_: SimpleNamespace(lines=lines))
    # The prediction limit of one more value, by scipy's quantile of Student's t.
    deviation = statistics.stdev(map(math.log, seconds["noisy"]))
    noisy = math.expm1(stats.t.ppf(0.999, 9) * deviation * math.sqrt(1.1))
    found = selftest._found_by_baselines(tmp_path)
    assert found == {"latency": [pytest.approx(0.10), pytest.approx(noisy)]}
    assert noisy > 0.3
