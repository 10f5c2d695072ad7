"""Apple's GPUs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from archbench.devices.accelerator import Accelerator
from archbench.devices.choosing import Device, cpu_name
from archbench.devices.registry import register

__all__ = ["Mps"]


@register
class Mps(Accelerator):
    """See :class:`archbench.devices.backend.Backend`. There is one in a machine, and it has the
    name of the processor."""

    kind = "mps"
    fatal_speakers = ("mps", "metal", "mtlcommandbuffer")
    fatal_words = ("device_lost", "device lost", "device was removed", "deviceremoved")

    @classmethod
    def found(cls) -> list[Device]:
        return [Device("mps:0", cpu_name())] if torch.backends.mps.is_available() else []

    @contextmanager
    def current(self) -> Iterator[None]:
        yield

    def synchronize(self) -> None:
        torch.mps.synchronize()

    def record(self) -> Any:
        event = torch.mps.event.Event(enable_timing=True)
        event.record()
        return event
