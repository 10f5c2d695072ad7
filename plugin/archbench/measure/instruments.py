"""What measures beside the host's clocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from archbench.core.errors import AbsentError
from archbench.core.telemetry import TelemetrySample
from archbench.devices.backend import Backend, DeviceClock, Telemetry
from archbench.measure.cold_cache import flusher


@dataclass(frozen=True, slots=True)
class Instruments:
    """What measures beside the host's clocks.

    Attributes:
        synchronize: waits until the device has done its work; None where nothing runs behind.
        clock: of the device; None for a CPU, whose clocks are the host's.
        telemetry: reads the state of the device.
        no_telemetry: why it reads nothing; None where it does.
        flush: empties the caches; None where they are to stay as a pass leaves them.
    """

    synchronize: Callable[[], object] | None = None
    clock: DeviceClock | None = None
    telemetry: Telemetry = TelemetrySample
    no_telemetry: str | None = None
    flush: Callable[[], object] | None = None

    @classmethod
    def of(cls, device: Backend, *, cold_cache: bool = False) -> Instruments:
        """Those of a device, which is current."""
        flush = flusher(device) if cold_cache else None
        if device.is_host:
            return cls(flush=flush)
        telemetry: Telemetry = TelemetrySample
        reason = None
        try:
            telemetry = device.telemetry()
        except AbsentError as error:
            reason = str(error)
        return cls(device.wait, device.clock(), telemetry, reason, flush)
