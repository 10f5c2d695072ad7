"""From what a person types (``--gpu=v100``) to one of the devices that are there."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from archbench.core.errors import UsageError

__all__ = ["Device", "choose", "cpu_model", "cpu_name", "device_slug"]

_VENDOR_WORDS = {"nvidia", "tesla", "geforce", "quadro", "amd", "radeon", "intel", "instinct"}
_CPU_NOISE = re.compile(
    r"\((?:r|tm)\)|@.*$|\b(?:cpu|processor|with .*|\d+-core(?: processor)?)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Device:
    """A device that models can run on.

    Attributes:
        name: torch's name for it: ``cpu``, ``cuda:0``.
        vendor_name: what its maker calls it: ``Tesla V100-SXM2-16GB``.
    """

    name: str
    vendor_name: str

    @property
    def kind(self) -> str:
        """``cpu`` or ``cuda``."""
        return self.name.partition(":")[0]

    @property
    def slug(self) -> str:
        """Short name for files and tables: ``v100``, ``cpu-amd-epyc``."""
        return device_slug(self.kind, self.vendor_name)

    def __str__(self) -> str:
        return f"{self.name} ({self.vendor_name})"


def device_slug(kind: str, vendor_name: str) -> str:
    """A short, stable name: ``Tesla V100-SXM2-16GB`` is ``v100``, ``NVIDIA GeForce RTX 4090`` is
    ``rtx4090``, an ``AMD EPYC 7763 64-Core Processor`` is ``cpu-amd-epyc-7763``."""
    if kind == "cpu":
        words: list[str] = re.findall(r"[a-z0-9.]+", _CPU_NOISE.sub(" ", vendor_name).lower())
        return "-".join(["cpu", *words]) if words else "cpu"
    words = [w for w in re.findall(r"[a-z0-9]+", vendor_name.lower()) if w not in _VENDOR_WORDS]
    if not words:
        return kind
    # "rtx 4090", "a 100": letters alone belong to the number that follows.
    if words[0].isalpha() and len(words) > 1 and words[1][0].isdigit():
        return words[0] + words[1]
    return words[0]


def cpu_name() -> str:
    """The maker's name of this machine's processor."""
    return _cpuinfo().get("model name") or (
        platform.processor() or platform.machine() or "unknown processor"
    )


def cpu_model() -> str | None:
    """Family and model of the processor, ``26.2``: virtual machines hide the maker's name of it.

    None where the system does not say.
    """
    found = _cpuinfo()
    parts = [found.get("cpu family"), found.get("model")]
    return ".".join(part for part in parts if part) or None


def _cpuinfo() -> dict[str, str]:
    """What Linux says about the first processor; empty elsewhere."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    first = path.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    fields = (line.partition(":") for line in first.splitlines())
    return {name.strip().lower(): value.strip() for name, _, value in fields}


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _matches(device: Device, request: str) -> bool:
    name = _letters(device.vendor_name)
    return all(_letters(part) in name for part in re.split(r"[-\s]+", request) if _letters(part))


def choose(request: str, devices: Sequence[Device]) -> Device:
    """The device that a request names.

    Args:
        request: ``auto`` (the first accelerator, else the CPU), ``cpu``, ``cuda``, ``cuda:1``, or
            any part of the maker's name in any case (``v100``, ``a100-40gb``).
        devices: what is there, accelerators in their own order.

    Raises:
        UsageError: nothing, or several different devices, answer to the request. There is no
            fall-back: whoever asks for a V100 gets a V100.
    """
    there = ", ".join(str(device) for device in devices)
    asked = f"--gpu={request}"
    wanted = request.strip().lower()
    accelerators = [device for device in devices if device.kind != "cpu"]
    if wanted == "auto":
        return (accelerators or list(devices))[0]
    if wanted == "cpu" or re.fullmatch(r"(cuda|mps|xpu)(:\d+)?", wanted):
        for device in devices:
            if wanted in (device.name, device.kind):
                return device
    else:
        found = [device for device in accelerators if _letters(wanted) and _matches(device, wanted)]
        if len({device.vendor_name for device in found}) > 1:
            names = ", ".join(str(device) for device in found)
            raise UsageError(
                asked, f"matches several devices: {names}", "Name one of them, as --gpu=cuda:N"
            )
        if found:
            return found[0]
    todo = "Use --gpu=auto for the best device here"
    if not accelerators:
        todo += ", which is the CPU; no accelerator is visible to torch"
    raise UsageError(asked, f"no such device; this machine has {there}", todo)
