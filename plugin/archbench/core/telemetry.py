"""The state of an accelerator around what is timed on it, and what makes such a time worthless."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from archbench.core.forms import Stored
from archbench.core.verdicts import Note

CAPPED = "power-cap"
"""Throttle reason of a device at its power limit. A large network keeps it there for good: this is
the state in which the device works, and no disturbance."""

LOW_CLOCK = "low-clock"
"""Reason of a device that runs below :data:`LEAST_CLOCK` and does not say why: it was idle, or its
clock has been set."""

LEAST_CLOCK = 0.75
"""Share of its default clock below which a device is not in the state in which it works, as in
NVBench's throttle threshold."""


@dataclass(frozen=True, slots=True)
class TelemetrySample(Stored):
    """The state of a device at one moment; what it does not report is None.

    Attributes:
        clock: of its multiprocessors, in Hz.
        temperature: in degrees Celsius.
        power: in watts.
        throttle: why the clock is lower than it could be; empty where it is not.
        default_clock: that its maker has it run applications at, in Hz; the highest it has where
            there is none such.
    """

    clock: float | None = None
    temperature: float | None = None
    power: float | None = None
    throttle: tuple[str, ...] = ()
    default_clock: float | None = None

    @property
    def is_low(self) -> bool:
        """Whether the clock is below :data:`LEAST_CLOCK`, and not by the power limit."""
        if self.clock is None or self.default_clock is None or CAPPED in self.throttle:
            return False
        return self.clock < LEAST_CLOCK * self.default_clock


def throttled_by(*samples: TelemetrySample) -> tuple[str, ...]:
    """Reasons that make what was measured between samples worthless.

    A device at its power limit is not among them: that is how it works under load.
    """
    return tuple(
        dict.fromkeys(
            reason for sample in samples for reason in sample.throttle if reason != CAPPED
        )
    )


def slowed_by(*samples: TelemetrySample) -> tuple[str, ...]:
    """The same, for samples between which the device was never idle: a low clock is one more."""
    low = (LOW_CLOCK,) if any(sample.is_low for sample in samples) else ()
    return (*throttled_by(*samples), *low)


def mean_clock(samples: Sequence[TelemetrySample]) -> float | None:
    """Of the multiprocessors, in Hz; None where a sample lacks it, or where there is none."""
    clocks = [sample.clock for sample in samples if sample.clock]
    return sum(clocks) / len(clocks) if clocks and len(clocks) == len(samples) else None


def device_doubts(samples: Sequence[TelemetrySample], is_full: bool | None) -> list[Note]:
    """Notes on times of a device that were kept.

    Args:
        samples: around all of them.
        is_full: whether its queue was kept full; None where it is not known.
    """
    notes = []
    if is_full is False:
        text = "the host was slower than the device, so the device's time has gaps in it"
        notes.append(Note("queue-not-full", text))
    capped = sum(CAPPED in sample.throttle for sample in samples)
    if 2 * capped > len(samples):
        notes.append(Note("power-capped", "the device was at its power limit"))
    return notes
