"""What AMD's management library says about a device: who uses it, its clocks, its energy.

Like :class:`archbench.devices.nvml.Nvml`, by the same names. Everything here is read.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from archbench.core.errors import AbsentError, first_line
from archbench.core.telemetry import CAPPED, TelemetrySample
from archbench.devices.nvml import Process

_VIOLATIONS = {
    "active_ppt_pwr": CAPPED,
    "active_socket_thrm": "thermal-slowdown",
    "active_vr_thrm": "thermal-slowdown",
    "active_hbm_thrm": "thermal-slowdown",
    "active_prochot_thrm": "hardware-thermal-slowdown",
}
"""Of amdsmi_get_violation_status, what lowers the clock."""


class AmdSmi:
    """AMD SMI, opened.

    Args:
        library: the module ``amdsmi`` or one with the same functions. A value that a device does
            not tell is the text ``N/A`` there.

    Raises:
        AbsentError: it cannot be used here; says why.
    """

    name = "AMD SMI"

    def __init__(self, library: Any) -> None:
        self._library = library
        try:
            library.amdsmi_init()
        except library.AmdSmiException as error:
            raise AbsentError(
                f"AMD SMI cannot be read: the driver amdgpu does not answer ({first_line(error)})"
            ) from error

    @classmethod
    def open(cls, load: Callable[[str], Any] = importlib.import_module) -> AmdSmi:
        """AMD SMI of this machine.

        Args:
            load: imports a module by name.

        Raises:
            AbsentError: there is none, or it finds no library of ROCm.
        """
        try:
            library = load("amdsmi")
        except ImportError as error:
            raise AbsentError(
                "AMD SMI cannot be read: the package amdsmi is not installed. Install that of "
                "your ROCm, python -m pip install /opt/rocm/share/amd_smi, or "
                "pytest-archbench[rocm]"
            ) from error
        except (AttributeError, KeyError, OSError) as error:
            # What it raises where it finds no library depends on its version.
            raise AbsentError(
                "AMD SMI cannot be read: the package amdsmi does not find ROCm's libamd_smi.so"
            ) from error
        return cls(library)

    def _ask(self, what: str, function: str, *arguments: Any) -> Any:
        """Call one function; its refusal is an :class:`AbsentError`."""
        try:
            return getattr(self._library, function)(*arguments)
        except AttributeError as error:
            raise AbsentError(f"this version of amdsmi cannot read {what}") from error
        except self._library.AmdSmiException as error:
            raise AbsentError(f"AMD SMI does not tell {what} ({first_line(error)})") from error

    def _number(self, what: str, uuid: str, function: str, *names: str, of: Any = ()) -> float:
        """A value of an answer, by the first of its names that has one."""
        answer = self._ask(what, function, self.handle(uuid), *of)
        found = _first(answer, names)
        if found is None:
            raise AbsentError(f"AMD SMI does not tell {what}")
        return found

    def names(self) -> list[str]:
        """What AMD SMI calls the devices of the machine, whether a process may see them or not."""
        asked = [
            self._ask("a device's name", "amdsmi_get_gpu_asic_info", handle)
            for handle in self._handles()
        ]
        return [str(one["market_name"]) for one in asked]

    def driver_version(self) -> str:
        """Of the driver."""
        handle, *_ = self._handles()
        answer = self._ask("the driver's version", "amdsmi_get_gpu_driver_info", handle)
        return str(answer["driver_version"])

    def _handles(self) -> list[Any]:
        handles = list(self._ask("the devices", "amdsmi_get_processor_handles"))
        if not handles:
            raise AbsentError("AMD SMI has no devices")
        return handles

    def handle(self, uuid: str) -> Any:
        """The handle of a device.

        Devices go by UUID: torch's numbers count what ``HIP_VISIBLE_DEVICES`` leaves, in an order
        of its own, AMD SMI's count all.

        Args:
            uuid: as HIP has it, ``GPU-`` and 16 digits, or as torch has it, which takes these
                digits for the bytes of a UUID.
        """
        wanted = _serials(uuid)
        for handle in self._handles():
            if _serials(self._serial(handle)) & wanted:
                return handle
        raise AbsentError(f"AMD SMI does not tell the device {uuid}")

    def _serial(self, handle: Any) -> str:
        """``0x`` and 16 digits, which are those of HIP's UUID."""
        answer = self._ask("a device's serial number", "amdsmi_get_gpu_asic_info", handle)
        return str(answer["asic_serial"])

    def processes(self, uuid: str) -> list[Process]:
        """Processes that use a device."""
        listed = self._ask("the processes on it", "amdsmi_get_gpu_process_list", self.handle(uuid))
        return [
            Process(int(one["pid"]), _whole(_first(one.get("memory_usage", {}), ["vram_mem"])))
            for one in listed
        ]

    def compute_mode(self, uuid: str) -> int:
        """Any number of processes can use a device of AMD's: 0, as NVML counts the modes."""
        return 0

    def memory_used(self, uuid: str) -> int:
        """Bytes of a device's memory that are in use, by everybody and for everything."""
        used = self._number("its memory", uuid, "amdsmi_get_gpu_vram_usage", "vram_used")
        return int(used) * 2**20

    def read(self, uuid: str) -> TelemetrySample:
        """The state of a device now."""
        library, handle = self._library, self.handle(uuid)

        def number(function: str, *names: str, of: tuple[Any, ...] = ()) -> float | None:
            try:
                answer = self._ask("a value", function, handle, *of)
            except AbsentError:
                return None
            return _first(answer if isinstance(answer, Mapping) else {"": answer}, names or [""])

        graphics = (library.AmdSmiClkType.GFX,)
        hottest = (
            library.AmdSmiTemperatureType.JUNCTION,
            library.AmdSmiTemperatureMetric.CURRENT,
        )
        clock = number("amdsmi_get_clock_info", "clk", "cur_clk", of=graphics)
        highest = number("amdsmi_get_clock_info", "max_clk", of=graphics)
        throttle = self._throttle(handle)
        return TelemetrySample(
            clock=None if clock is None else clock * 1e6,
            temperature=number("amdsmi_get_temp_metric", of=hottest),
            power=number(
                "amdsmi_get_power_info",
                *("average_socket_power", "current_socket_power", "socket_power"),
            ),
            throttle=throttle or (),
            # Where a device does not tell that its power limits it, a low clock is how it works.
            default_clock=None if highest is None or throttle is None else highest * 1e6,
        )

    def _throttle(self, handle: Any) -> tuple[str, ...] | None:
        """None where the device does not tell."""
        try:
            answer = self._ask("why it throttles", "amdsmi_get_violation_status", handle)
        except AbsentError:
            return None
        known = [name for name in _VIOLATIONS if isinstance(answer.get(name), bool)]
        found = [_VIOLATIONS[name] for name in known if answer[name]]
        return tuple(dict.fromkeys(found)) if known else None

    def energy(self, uuid: str) -> float:
        """Joules that a device has used since its driver was loaded.

        The counter is in steps of its ``counter_resolution`` in microjoules.

        Raises:
            AbsentError: it has no counter, or is given to a virtual machine.
        """
        answer = self._ask("its energy", "amdsmi_get_energy_count", self.handle(uuid))
        # It had the name of a power before ROCm 6.1.
        count = _first(answer, ["energy_accumulator", "power"])
        step = _first(answer, ["counter_resolution"])
        if not count or not step:
            raise AbsentError("AMD SMI does not tell its energy: the counter stands at 0")
        return count * step / 1e6


def _first(answer: Mapping[str, Any], names: Any) -> float | None:
    """The first of some values that is a number."""
    values = (answer.get(name) for name in names)
    found = (value for value in values if isinstance(value, (int, float)))
    return next((float(value) for value in found if not isinstance(value, bool)), None)


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def _serials(uuid: str) -> set[str]:
    """The digits of a serial number, in each way that a text may have them."""
    digits = re.sub(r"^(0x|gpu-)", "", uuid.lower()).replace("-", "")
    found = {digits.lstrip("0")}
    if len(digits) == 32:
        inside = bytes.fromhex(digits).decode("ascii", "replace").lower()
        if re.fullmatch(r"[0-9a-f]{16}", inside):
            found.add(inside.lstrip("0"))
    return found
