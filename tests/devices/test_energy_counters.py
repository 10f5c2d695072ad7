"""Counters of energy, over a directory as Linux makes it and a library that follows a script."""

from __future__ import annotations

from pathlib import Path

import pytest

from archbench.core.errors import AbsentError
from archbench.devices.energy import DriverEnergy, RaplEnergy
from archbench.devices.mps import Mps
from archbench.devices.nvml import Nvml
from tests.devices.test_nvml import UUID, Library


def zone(root: Path, directory: str, name: str, energy: int, span: int = 1_000_000) -> Path:
    path = root / directory
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n", encoding="ascii")
    (path / "energy_uj").write_text(f"{energy}\n", encoding="ascii")
    (path / "max_energy_range_uj").write_text(f"{span}\n", encoding="ascii")
    return path


def test_packages_are_added_up_and_may_begin_anew(tmp_path: Path) -> None:
    first = zone(tmp_path, "intel-rapl:0", "package-0", 100)
    second = zone(tmp_path, "intel-rapl:1", "package-1", 999_990)
    zone(tmp_path, "intel-rapl:0:0", "core", 50)  # a part of the first
    zone(tmp_path, "intel-rapl:2", "psys", 70)  # holds both once more
    counter = RaplEnergy(tmp_path)
    assert counter.joules() == 0
    (first / "energy_uj").write_text("350\n", encoding="ascii")
    (second / "energy_uj").write_text("40\n", encoding="ascii")
    # 250 uJ; and 10 uJ to the end of the range, 40 from there on.
    assert counter.joules() == pytest.approx(300e-6)
    assert counter.joules() == pytest.approx(300e-6)


def test_a_machine_without_counters(tmp_path: Path) -> None:
    with pytest.raises(AbsentError, match="this processor shows no energy counter in"):
        RaplEnergy(tmp_path / "none")


def test_counters_kept_from_this_user(tmp_path: Path) -> None:
    path = zone(tmp_path, "intel-rapl:0", "package-0", 100)
    (path / "energy_uj").unlink()
    (path / "energy_uj").mkdir()  # cannot be read, whoever asks
    with pytest.raises(AbsentError, match=r"cannot be read .*without privileges"):
        RaplEnergy(tmp_path)


def test_nvml() -> None:
    counter = DriverEnergy(UUID, Nvml(Library()))
    assert counter.joules() == 123.456


def test_an_older_device_has_none() -> None:
    def refuse(handle: str) -> int:
        raise Library.NVMLError_NotSupported("Not Supported")

    library = Library(nvmlDeviceGetTotalEnergyConsumption=refuse)
    with pytest.raises(AbsentError, match=r"NVML does not report its energy \(Not Supported\)"):
        DriverEnergy(UUID, Nvml(library))


def test_other_kinds_have_none() -> None:
    with pytest.raises(AbsentError, match="no energy counter of mps devices is known here"):
        Mps("mps:0").energy()
