"""What a device can do, as one protocol: a kind of device is one class in one file.

Nobody outside of this package asks for the kind of a device. Whoever adds one derives from
:class:`archbench.devices.accelerator.Accelerator`, where torch knows it, or from :class:`Backend`,
and registers the class (:mod:`archbench.devices.registry`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Protocol

from archbench.core.errors import AbsentError
from archbench.core.telemetry import TelemetrySample
from archbench.devices.choosing import Device
from archbench.devices.energy import EnergyCounter
from archbench.devices.nvml import Process

UNKNOWN_CACHE = 128 * 2**20
"""Bytes of a last-level cache whose size nothing reports: more than most have."""


class Stamp(Protocol):
    """A moment in a device's queue."""

    def is_reached(self) -> bool:
        """Whether the device has got there."""

    def seconds_since(self, earlier: Any) -> float:
        """Seconds of the device's clock from another stamp; both have been reached."""


class DeviceClock(Protocol):
    """The queue of a device, and its clock."""

    can_hold: bool

    def stamp(self) -> Stamp:
        """Put a stamp into the queue."""

    def hold(self, seconds: float) -> None:
        """Put work into the queue that takes about so long and touches no memory."""

    def synchronize(self) -> None:
        """Wait until the queue is empty."""


class MemoryCounters(Protocol):
    """What a framework and a driver count of a device's memory, in bytes."""

    def reset(self) -> None:
        """Forget earlier peaks; what the framework holds without using it goes back first."""

    def allocated(self) -> int:
        """Bytes of tensors now."""

    def free(self) -> int:
        """Bytes that are free of the whole device.

        Raises:
            AbsentError: nothing reports it.
        """

    def peak_allocated(self) -> int:
        """Most bytes of tensors since the reset."""

    def peak_reserved(self) -> int:
        """Most bytes that the framework held of the device since."""

    def device_used(self) -> int:
        """Bytes of the device that are in use now, by everybody and for everything.

        Raises:
            AbsentError: nothing reports it.
        """


Telemetry = Callable[[], TelemetrySample]
"""Reads the state of a device."""

Batch = tuple[Any, ...]
"""What an evaluation is fed: pixels first, which go to the device."""


class Backend:
    """One device, and what can be done with it.

    What stands here is what a device answers that has no such thing.

    Args:
        name: torch's name of it: ``cuda:1``.
        uuid: of the device, where it has one.

    Attributes:
        kind: its name in options and targets, which is torch's where torch knows it: ``cuda``.
        is_host: whether it is the processor that this program runs on: nothing runs behind it, and
            its memory is the program's.
        precision_remedy: precisions to use instead of one that it lacks, beside fp32.
        trouble_remedy: what to look at where its driver does not let it be used.
        place: torch's name of where its tensors lie; its own name where this is left empty.
        pins_memory: whether images reach it faster from memory that is pinned.
        can_capture: whether passes can be captured as a graph.
        fatal_speakers, fatal_words: a message that has one of each, in lower case, says that a
            process can use its device no more.
    """

    kind: ClassVar[str]
    is_host: ClassVar[bool] = False
    precision_remedy: ClassVar[str] = ""
    trouble_remedy: ClassVar[str] = "Look at what its driver says"
    place: str = ""
    pins_memory: ClassVar[bool] = False
    can_capture: ClassVar[bool] = False
    fatal_speakers: ClassVar[tuple[str, ...]] = ()
    fatal_words: ClassVar[tuple[str, ...]] = ()

    def __init__(self, name: str, uuid: str | None = None) -> None:
        self.name, self.uuid = name, uuid
        self.place = self.place or name

    @classmethod
    def found(cls) -> list[Device]:
        """The devices of this kind that can be seen, in their own order.

        Raises:
            RuntimeError, AssertionError: the driver lists some and cannot use them.
        """
        return []

    @classmethod
    def absence(cls) -> str | None:
        """Why there is none, where that is known."""
        return None

    @classmethod
    def hidden(cls) -> str | None:
        """Why there may be more than are seen."""
        return None

    def unusable(self) -> tuple[str, str] | None:
        """Why nothing can run on it, as far as that is known without trying, and what to do."""
        return None

    def is_exclusive(self) -> bool:
        """Whether one process at a time can use it."""
        return False

    def current(self) -> AbstractContextManager[Any]:
        """Inside, it is its framework's current device."""
        return nullcontext()

    def synchronize(self) -> None:
        """Wait until it has done all its work."""

    @property
    def wait(self) -> Callable[[], None] | None:
        """What waits for it; None where nothing runs behind."""
        return None if self.is_host else self.synchronize

    def empty_cache(self) -> None:
        """Give back what the framework keeps of its memory without using it."""

    def clock(self) -> DeviceClock | None:
        """Its clock and queue; None where the host's clock is all there is."""
        return None

    def within_memory(self) -> AbstractContextManager[Any]:
        """Inside, what does not fit into its memory fails."""
        return nullcontext()

    def memory(self) -> MemoryCounters:
        """Counters of its memory.

        Raises:
            AbsentError: there are none.
        """
        raise AbsentError(f"torch keeps no peak of the memory of {self.kind} devices")

    def telemetry(self) -> Telemetry:
        """What reads its clock, temperature and power.

        Raises:
            AbsentError: nothing does.
        """
        raise AbsentError(f"nothing here reads the state of {self.kind} devices")

    def energy(self) -> EnergyCounter:
        """Its energy counter.

        Raises:
            AbsentError: there is none.
        """
        raise AbsentError(f"no energy counter of {self.kind} devices is known here")

    def processes(self) -> list[Process]:
        """Processes that use it, this run's own included.

        Raises:
            AbsentError: nothing lists them.
        """
        raise AbsentError(f"nothing here lists the processes on {self.kind} devices")

    def cache_bytes(self) -> int:
        """Size of its largest cache; a generous guess where it is not known."""
        return UNKNOWN_CACHE

    def versions(self) -> dict[str, str]:
        """Versions of its ``driver``, of ``cuda`` and of ``cudnn``, of those that it has."""
        return {}

    def build(self) -> str:
        """What it is to its framework and what that was built for, for people; empty for nothing
        to say."""
        return ""

    def capability(self) -> tuple[int, int] | None:
        """Compute capability of an NVIDIA device; None of others."""
        return None

    def on_a_stream(self) -> AbstractContextManager[Any]:
        """Inside, what is started goes to a stream of the device that is not its default one, and
        always the same; where devices have no streams nothing changes."""
        return nullcontext()

    def stream_handle(self) -> int:
        """Of its current stream, for a library that takes one."""
        raise NotImplementedError(f"{self.kind} devices have no handles of streams")

    def refuse_dtype(self, dtype: str) -> str | None:
        """Why a precision makes no sense on it, as far as that is known without trying."""
        if dtype == "tf32":
            return "TF32 is a mode of NVIDIA devices from Ampere on"
        if dtype == "int8":
            return "torch's own int8 operators run on CPUs only"
        return None

    def lacks_compiler(
        self, which: Callable[[str], str | None], find: Callable[[str], object]
    ) -> tuple[str, str] | None:
        """What torch's compiler lacks here, and what to install; None where it has all.

        Args:
            which: finds a program.
            find: finds a Python module.
        """
        return None

    def capture(self, run: Callable[[], object]) -> tuple[Callable[[], object], object]:
        """Capture a pass as a graph: what replays it, and what the pass returned.

        Args:
            run: starts a pass.

        Raises:
            RuntimeError: it cannot be captured, or memory ran out.
        """
        raise NotImplementedError(f"{self.kind} devices have no graphs")

    def fed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Batches whose pixels are on the device."""
        for pixels, *rest in batches:
            yield (pixels.to(self.place), *rest)
