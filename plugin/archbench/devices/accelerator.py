"""What torch can do with any accelerator that it has a module for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from archbench.core.errors import AbsentError, first_line
from archbench.devices.backend import Backend, DeviceClock, MemoryCounters
from archbench.devices.choosing import Device


class Accelerator(Backend):
    """An accelerator through ``torch.<kind>``, the module that every kind has in torch."""

    def __init__(self, name: str, uuid: str | None = None) -> None:
        super().__init__(name, uuid)
        self.device = torch.device(name)

    @staticmethod
    def of_torch() -> str | None:
        """The kind of accelerator that this torch is for; None where there is none."""
        found = torch.accelerator.current_accelerator()
        return found.type if found is not None and found.type.isalnum() else None

    @classmethod
    def module(cls) -> Any:
        """torch's module of the kind.

        Raises:
            AbsentError: this torch has none.
        """
        module = getattr(torch, cls.kind, None)
        if module is None:
            raise AbsentError(f"torch {torch.__version__} has no torch.{cls.kind}")
        return module

    @classmethod
    def found(cls) -> list[Device]:
        try:
            module = cls.module()
        except AbsentError:
            return []
        if not module.is_available():
            return []
        count = module.device_count()
        return [
            Device(f"{cls.kind}:{index}", cls.vendor_name(index), cls.uuid_of(index))
            for index in range(count)
        ]

    @classmethod
    def vendor_name(cls, index: int) -> str:
        """The maker's name of one."""
        name = getattr(cls.module(), "get_device_name", None)
        return f"{cls.kind} device {index}" if name is None else str(name(index))

    @classmethod
    def uuid_of(cls, index: int) -> str | None:
        """Its UUID without prefix; None where it has none."""
        properties = getattr(cls.module(), "get_device_properties", None)
        found = None if properties is None else getattr(properties(index), "uuid", None)
        return None if found is None else str(found)

    @contextmanager
    def current(self) -> Iterator[None]:
        module, index = self.module(), self.device.index or 0
        before = module.current_device()
        if before == index:
            yield
            return
        module.set_device(index)
        try:
            yield
        finally:
            module.set_device(before)

    def synchronize(self) -> None:
        self.module().synchronize(self.device)

    def empty_cache(self) -> None:
        give_back = getattr(self.module(), "empty_cache", None)
        if give_back is not None:
            give_back()

    def clock(self) -> DeviceClock:
        return TorchClock(self)

    def memory(self) -> MemoryCounters:
        if not hasattr(self.module(), "max_memory_allocated"):
            return super().memory()
        return TorchMemory(self)

    @classmethod
    def spin(cls) -> Callable[[int], object] | None:
        """What keeps the current device busy for so many cycles; None where nothing does."""
        return getattr(cls.module(), "_sleep", None)

    def record(self) -> Any:
        """An event with a time on the current stream."""
        event = torch.Event(self.device, enable_timing=True)
        event.record(torch.accelerator.current_stream(self.device))
        return event

    def memory_info(self) -> tuple[int, int]:
        """Bytes of the whole device that are free, and all of them.

        Raises:
            AbsentError: nothing reports it.
        """
        ask = getattr(self.module(), "mem_get_info", None)
        if ask is None:
            raise AbsentError("torch does not report the memory of the whole device")
        try:
            free, total = ask(self.device)
        except RuntimeError as error:
            # Of Intel's devices some drivers do not report it.
            raise AbsentError(
                f"the driver does not report its memory: {first_line(error)}"
            ) from error
        return int(free), int(total)

    def memory_used(self) -> int:
        """Bytes of the whole device that are in use.

        Raises:
            AbsentError: nothing reports it.
        """
        free, total = self.memory_info()
        return total - free


class TorchStamp:
    """An event of torch as a moment in a device's queue."""

    __slots__ = ("event",)

    def __init__(self, event: Any) -> None:
        self.event = event

    def is_reached(self) -> bool:
        return bool(self.event.query())

    def seconds_since(self, earlier: TorchStamp) -> float:
        return float(earlier.event.elapsed_time(self.event)) / 1e3


class TorchClock:
    """Events of torch on a device's current stream.

    Args:
        device: is current while the clock is used.
    """

    CALIBRATION = 10_000_000
    """Cycles of the first hold, about 6 ms, from which the length of a cycle is known."""

    def __init__(self, device: Accelerator) -> None:
        self._device = device
        self._spin = device.spin()
        self.can_hold = self._spin is not None
        self._cycle: float | None = None

    def stamp(self) -> TorchStamp:
        return TorchStamp(self._device.record())

    def hold(self, seconds: float) -> None:
        """See :class:`archbench.devices.backend.DeviceClock`. The device spins, and its clock
        stays up."""
        spin = self._spin
        if spin is None:
            return
        # It takes no device: it spins on the current one.
        with self._device.current():
            if self._cycle is None:
                spin(self.CALIBRATION // 10)  # loads the kernel
                start = self.stamp()
                spin(self.CALIBRATION)
                end = self.stamp()
                self.synchronize()
                self._cycle = end.seconds_since(start) / self.CALIBRATION
            spin(round(seconds / self._cycle))

    def synchronize(self) -> None:
        self._device.synchronize()


class TorchMemory:
    """Of torch's allocator, and of the driver for the device as a whole.

    Args:
        device: whose memory.
    """

    def __init__(self, device: Accelerator) -> None:
        self._device, self._module = device, device.module()

    def reset(self) -> None:
        self._device.synchronize()
        self._device.empty_cache()
        self._module.reset_peak_memory_stats(self._device.device)

    def allocated(self) -> int:
        return int(self._module.memory_allocated(self._device.device))

    def free(self) -> int:
        return self._device.memory_info()[0]

    def peak_allocated(self) -> int:
        self._device.synchronize()
        return int(self._module.max_memory_allocated(self._device.device))

    def peak_reserved(self) -> int:
        return int(self._module.max_memory_reserved(self._device.device))

    def device_used(self) -> int:
        return self._device.memory_used()
