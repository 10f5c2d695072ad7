"""What the lines of files of baselines hold, and which values a field of them can have."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec
from msgspec import Meta

from archbench.core.fingerprints import Fingerprint
from archbench.core.process_runs import STORED_QUANTILES, ProcessRun
from archbench.metrics import METRICS, compared_by

Text = Annotated[str, Meta(min_length=1, pattern=r"^[^\ud800-\udfff]*$")]
Whole = Annotated[int, Meta(ge=0)]
LARGEST = sys.float_info.max
Finite = (
    Annotated[int, Meta(ge=-(2**62), le=2**62)] | Annotated[float, Meta(ge=-LARGEST, le=LARGEST)]
)
Share = Annotated[float, Meta(ge=0, le=1)]
Duration = Annotated[float, Meta(ge=1e-9, le=1e6)]
"""Seconds that a pass can take: between a step of the clock and eleven days."""

_NUMBER = len(STORED_QUANTILES)
Quantiles = Annotated[tuple[Duration, ...], Meta(min_length=_NUMBER, max_length=_NUMBER)]
Amount = Whole | Annotated[float, Meta(ge=0, le=LARGEST)]
"""A whole one stays so: a line that nobody touches is written as it was read."""

Layer = tuple[Text, Whole, Whole, Annotated[int, Meta(ge=1)]]
"""Type, parameters, multiply-adds and number of equal layers."""

Environment = Mapping[str, str | int | None]
"""What something was measured with, by what it says: ``{"torch": "2.6.0", "cuda": None}``."""


SCHEMA = 4
"""Version of the format.

1: first version; files of kind ``complexity`` and ``latency``.
2: a process run of ``latency`` has the time of its reference workload; a line has the counts of
   what was timed.
3: a line of ``latency`` has peak memory, and energy per image where there was a counter;
   a process run on an accelerator has the time by the device's own clock.
4: fields of ``latency`` have the names of today: ``process_runs``, ``reference_workload``,
   ``memory_and_energy``.
"""


class _Strict(msgspec.Struct, forbid_unknown_fields=True):
    """A part of a line, every field of which is known."""


class StoredProcessRun(_Strict):
    """One process run, see :class:`archbench.core.process_runs.ProcessRun`."""

    wall: Quantiles
    cpu: Quantiles
    samples: Whole
    lost: Share
    others: Share | None
    reference_workload: Duration | None
    device: Quantiles | None
    queue_full: bool | None

    def __post_init__(self) -> None:
        for series in (self.wall, self.cpu, self.device or ()):
            if list(series) != sorted(series):
                raise ValueError("quantiles fall")


class TimedCounts(_Strict):
    """Counts of what was timed."""

    params: Whole
    macs: Whole


class Hits(_Strict):
    """Outcomes of images, packed."""

    images: Annotated[int, Meta(ge=1)]
    right: Whole
    digest: Text
    bits: Text

    def __post_init__(self) -> None:
        if self.right > self.images:
            raise ValueError("more right than there are")


class Line(_Strict):
    """One line; fields in the order of the file.

    Attributes:
        kind: of its file, as the header of that names it.
    """

    kind: ClassVar[str] = ""
    id: Text

    @property
    def key(self) -> str:
        """What it is about: ``timm/resnet50``, or ``timm/resnet50 fp32-b1`` of one cell."""
        return self.id


class CellLine(Line):
    """A line about one cell."""

    cell: Text

    @property
    def key(self) -> str:
        """With the name of the cell, or the precision alone."""
        return f"{self.id} {self.cell}"


class CountLine(Line):
    """What a file of counts says about an architecture."""

    kind = "complexity"
    input_shape: list[Whole]
    output_shape: list[Whole]
    params: Whole
    trainable_params: Whole
    buffers: Whole
    macs: Whole
    activations: Whole
    max_channels: Whole
    operator_calls: Whole
    torch: Text
    library: Text
    layers: list[Layer]


class TimeLine(CellLine):
    """What a file of times says about a cell."""

    kind = "latency"
    process_runs: Annotated[list[StoredProcessRun], Meta(min_length=1)]
    counts: TimedCounts | None
    memory_and_energy: dict[Text, Amount]
    environment: dict[Text, str | int | None]
    when: Text
    commit: Text | None
    reason: Text | None

    def __post_init__(self) -> None:
        # Those of a distribution that is not installed here stay as they are.
        others = METRICS.keys() - compared_by("tolerance")
        if wrong := sorted(self.memory_and_energy.keys() & others):
            raise ValueError(f"memory_and_energy is of {wrong[0]}, which it cannot be")
        is_named = self.environment.get("reference_workload") is not None
        if is_named and any(run.reference_workload is None for run in self.process_runs):
            raise ValueError(
                "the environment names a reference workload, and not every process run has its time"
            )
        if len({run.device is None for run in self.process_runs}) > 1:
            raise ValueError("some of its process runs have the device's time and some have not")

    @property
    def runs(self) -> list[ProcessRun]:
        """Its process runs as values."""
        return [ProcessRun(*msgspec.structs.astuple(one)) for one in self.process_runs]


class AccuracyLine(CellLine):
    """What a file of accuracies says about an architecture in a precision."""

    kind = "accuracy"
    top1: Hits
    top5: Hits | None
    weights: dict[Text, Any] | None
    preprocessing: dict[Text, Any]
    sample: Whole | None
    seed: Whole | None
    environment: dict[Text, str | int | None]
    when: Text
    commit: Text | None
    reason: Text | None


class FingerprintLine(CellLine):
    """What a file of fingerprints says about an architecture in a precision."""

    kind = "fingerprint"
    inputs: tuple[Finite, ...]
    outputs: tuple[Finite, ...]
    top: tuple[Whole, ...]
    weights: Text
    preprocessing: dict[Text, Any]
    asked: Text
    environment: dict[Text, str | int | None]
    when: Text
    commit: Text | None
    reason: Text | None

    @property
    def value(self) -> Fingerprint:
        """What is compared of it."""
        return Fingerprint(self.inputs, self.outputs, self.top, self.weights)


StampedLine = TimeLine | AccuracyLine | FingerprintLine
"""Those that say when, at which commit and why they were accepted."""

LINES: tuple[type[Line], ...] = (CountLine, TimeLine, AccuracyLine, FingerprintLine)

_Line = TypeVar("_Line", bound=Line)


def line_of(kind: type[_Line], content: Mapping[str, object]) -> _Line:
    """A line from its JSON form.

    Raises:
        ValueError: a field is missing or unknown, or cannot be what it is; says which.
    """
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise ValueError(_cause(kind, content) or str(error)) from None


def _cause(kind: type[Line], content: Mapping[str, object]) -> str | None:
    """The first field that is at fault, in the words of whoever looks at the file."""
    fields = {one.name: one.type for one in msgspec.structs.fields(kind)}
    for name, of in fields.items():
        if name not in content:
            return f"it has no field {name!r}"
        try:
            msgspec.convert(content[name], of)
        except msgspec.ValidationError:
            return f"{name} is {json.dumps(content[name])}, which it cannot be"
    unknown = min(content.keys() - fields.keys(), default=None)
    return unknown and f"it has a field {unknown!r} that schema {SCHEMA} does not know"
