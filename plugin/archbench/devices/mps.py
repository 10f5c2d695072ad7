"""Apple's GPUs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from archbench.core.errors import AbsentError
from archbench.devices.accelerator import Accelerator, TorchMemory
from archbench.devices.backend import MemoryCounters
from archbench.devices.choosing import Device, cpu_name
from archbench.devices.registry import register


@register
class Mps(Accelerator):
    """See :class:`archbench.devices.backend.Backend`. There is one in a machine, and it has the
    name of the chip."""

    kind = "mps"
    fatal_speakers = ("mps", "metal", "mtlcommandbuffer")
    fatal_words = ("device_lost", "device lost", "device was removed", "deviceremoved")

    @classmethod
    def found(cls) -> list[Device]:
        return [Device("mps:0", cls.chip())] if torch.backends.mps.is_available() else []

    @classmethod
    def chip(cls, run: Callable[..., Any] = subprocess.run) -> str:
        """``Apple M2 Pro``.

        Args:
            run: starts a program, as :func:`subprocess.run`.
        """
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        try:
            done = run(command, capture_output=True, text=True, timeout=10, check=True)
        except (OSError, subprocess.SubprocessError):
            return cpu_name()
        return str(done.stdout).strip() or cpu_name()

    @contextmanager
    def current(self) -> Iterator[None]:
        yield

    def synchronize(self) -> None:
        torch.mps.synchronize()

    def memory(self) -> MemoryCounters:
        return _MpsMemory(self)

    def record(self) -> Any:
        event = torch.mps.event.Event(enable_timing=True)
        event.record()
        return event


class _MpsMemory(TorchMemory):
    """torch keeps no peak of tensors there. Its allocator keeps what it has taken of the system's
    memory until it is asked to free it, so that after a pass this is the most that was taken."""

    def reset(self) -> None:
        self._device.synchronize()
        self._device.empty_cache()

    def allocated(self) -> int:
        return int(torch.mps.current_allocated_memory())

    def free(self) -> int:
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())

    def peak_allocated(self) -> int:
        raise AbsentError("torch keeps no peak of the memory of mps devices")

    def peak_reserved(self) -> int:
        self._device.synchronize()
        return int(torch.mps.driver_allocated_memory())

    def device_used(self) -> int:
        raise AbsentError("a GPU that shares the memory of its machine has none of its own")
