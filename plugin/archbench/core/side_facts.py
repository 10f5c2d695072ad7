"""What a side of a paired comparison says of its network before it is timed."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from archbench.core.entries import Count, Imported, MetricEntry
from archbench.core.forms import Stored
from archbench.core.spec import Target
from archbench.core.verdicts import Note


@dataclass(frozen=True, slots=True)
class Scores(Stored):
    """Class scores of some images.

    Attributes:
        shape: ``(images, classes)``.
        fp32: their bytes, little-endian, in base 64.
    """

    shape: tuple[int, int]
    fp32: str

    @classmethod
    def of(cls, shape: Sequence[int], raw: bytes) -> Scores:
        """From their bytes in fp32."""
        images, classes = shape
        return cls((images, classes), base64.b64encode(raw).decode())

    @property
    def rows(self) -> list[list[float]]:
        """A list of each image's."""
        images, classes = self.shape
        values = struct.unpack(f"<{images * classes}f", base64.b64decode(self.fp32))
        return [list(values[i * classes : (i + 1) * classes]) for i in range(images)]


@dataclass(frozen=True, slots=True)
class SideFacts(Stored):
    """What a side says of its network; but for the first three only where it was asked to.

    Attributes:
        id: of the architecture.
        target: that it runs on.
        has_clock: whether its device's own clock is read.
        no_telemetry: why the state of its device is not; None where it is, and on a CPU.
        notes: on the network.
        counts: exact figures, see :data:`archbench.core.sides.COUNTS_OF_SIDES`.
        metrics: what running it took beside its time.
        scores: of the same images as the other side's.
        environment: as :func:`archbench.measure.conditions.timing_environment` has it.
        imported: packages and files that the network's code is from.
    """

    id: str
    target: Target
    has_clock: bool = False
    no_telemetry: str | None = None
    notes: tuple[Note, ...] = ()
    counts: dict[str, Count] = field(default_factory=dict)
    metrics: dict[str, MetricEntry] = field(default_factory=dict)
    scores: Scores | None = None
    environment: dict[str, str | int | None] | None = None
    imported: tuple[Imported, ...] = ()
