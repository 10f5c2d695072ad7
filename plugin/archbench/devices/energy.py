"""Counters of energy: accelerators through their drivers, processors through Linux."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from archbench.core.errors import AbsentError
from archbench.devices.amd_smi import AmdSmi
from archbench.devices.nvml import Nvml

POWERCAP = Path("/sys/class/powercap")


class EnergyCounter(Protocol):
    """Joules that a device has used, from some moment on.

    Attributes:
        name: of the counter.
        scope: what it counts the energy of.
    """

    name: str
    scope: str

    def joules(self) -> float:
        """The counter now; it never falls.

        Raises:
            AbsentError: it cannot be read.
        """


class DriverEnergy:
    """The counter of an accelerator: of NVIDIA's from Volta on in steps of a millijoule.

    Args:
        uuid: of the device.
        driver: its maker's management library, opened.

    Raises:
        AbsentError: the device has none.
    """

    scope = "device"

    def __init__(self, uuid: str, driver: Nvml | AmdSmi) -> None:
        self._uuid, self._driver, self.name = uuid, driver, driver.name
        self.joules()

    def joules(self) -> float:
        return self._driver.energy(self._uuid)


class RaplEnergy:
    """The counters of a machine's processor packages, added up.

    Each counts microjoules, and begins anew at ``max_energy_range_uj``, which is some minutes
    of full load: it is to be read more often than that.

    Args:
        root: where Linux has them.

    Raises:
        AbsentError: there are none, or this user may not read them.
    """

    name = "RAPL"
    scope = "processor packages"

    def __init__(self, root: Path = POWERCAP) -> None:
        zones = sorted(root.glob("intel-rapl:*")) if root.is_dir() else []
        self._zones = [zone for zone in zones if zone.name.count(":") == 1 and _is_package(zone)]
        if not self._zones:
            raise AbsentError(f"this processor shows no energy counter in {root}")
        try:
            self._last = [_number(zone / "energy_uj") for zone in self._zones]
            self._range = [_number(zone / "max_energy_range_uj") for zone in self._zones]
        except OSError as error:
            raise AbsentError(
                f"the processor's energy counter cannot be read ({error.strerror}); most systems "
                "keep it from users without privileges"
            ) from error
        self._total = 0

    def joules(self) -> float:
        try:
            now = [_number(zone / "energy_uj") for zone in self._zones]
        except OSError as error:
            raise AbsentError(
                f"the processor's energy counter is gone ({error.strerror})"
            ) from error
        for last, value, span in zip(self._last, now, self._range, strict=True):
            self._total += value - last if value >= last else value - last + span
        self._last = now
        return self._total / 1e6


def _is_package(zone: Path) -> bool:
    """The platform's zone (psys) holds the packages once more."""
    try:
        return (zone / "name").read_text(encoding="ascii").startswith("package")
    except OSError:
        return False


def _number(path: Path) -> int:
    return int(path.read_text(encoding="ascii"))
