"""The processor that this program runs on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch

from archbench.devices.backend import UNKNOWN_CACHE, Backend, Batch
from archbench.devices.choosing import Device, cpu_name
from archbench.devices.energy import EnergyCounter, RaplEnergy
from archbench.devices.registry import register

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
"""Where Linux describes the caches of a core."""


@register
class Cpu(Backend):
    """See :class:`Backend`."""

    kind = "cpu"
    is_host = True

    @classmethod
    def found(cls) -> list[Device]:
        return [Device("cpu", cpu_name())]

    def energy(self) -> EnergyCounter:
        return RaplEnergy()

    def cache_bytes(self, caches: Path = CACHES) -> int:
        sizes = [_size(path.read_text(encoding="ascii")) for path in caches.glob("index*/size")]
        return max(sizes, default=0) or UNKNOWN_CACHE

    def build(self) -> str:
        return f"torch computes with {torch.backends.cpu.get_cpu_capability()}"

    def refuse_dtype(self, dtype: str) -> str | None:
        return None if dtype == "int8" else super().refuse_dtype(dtype)

    def lacks_compiler(
        self, which: Callable[[str], str | None], find: Callable[[str], object]
    ) -> tuple[str, str] | None:
        compilers = [os.environ.get("CXX", ""), "g++", "clang++", "c++", "cl"]
        if any(name and which(name) for name in compilers):
            return None
        return "torch compiles for a CPU with a C++ compiler, and there is none", "g++"

    def fed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        return iter(batches)


def _size(text: str) -> int:
    """Bytes in ``32768K`` or ``32M``."""
    number = text.strip()
    scale = {"K": 2**10, "M": 2**20, "G": 2**30}.get(number[-1:], 1)
    digits = number.rstrip("KMG")
    return int(digits) * scale if digits.isdigit() else 0
