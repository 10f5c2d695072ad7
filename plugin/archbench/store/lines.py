"""What the lines of files of baselines hold, and which values a field of them can have."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from archbench.core.process_runs import QUANTILES
from archbench.metrics import METRICS, compared_by

Text = Annotated[str, Meta(min_length=1, pattern=r"^[^\ud800-\udfff]*$")]
Whole = Annotated[int, Meta(ge=0)]
LARGEST = sys.float_info.max
Finite = Annotated[float, Meta(ge=-LARGEST, le=LARGEST)]
Share = Annotated[float, Meta(ge=0, le=1)]
Duration = Annotated[float, Meta(ge=1e-9, le=1e6)]
"""Seconds that a pass can take: between a step of the clock and eleven days."""

Quantiles = Annotated[list[Duration], Meta(min_length=len(QUANTILES), max_length=len(QUANTILES))]
Layer = tuple[Text, Whole, Whole, Annotated[int, Meta(ge=1)]]
"""Type, parameters, multiply-adds and number of equal layers."""


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
        for series in (self.wall, self.cpu, self.device or []):
            if series != sorted(series):
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


class CountLine(_Strict):
    """What a file of counts says about an architecture; fields in the order of the file."""

    id: Text
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


class TimeLine(_Strict):
    """What a file of times says about a cell."""

    id: Text
    cell: Text
    process_runs: Annotated[list[StoredProcessRun], Meta(min_length=1)]
    counts: TimedCounts | None
    memory_and_energy: dict[Text, Annotated[float, Meta(ge=0, le=LARGEST)]]
    environment: dict[Text, str | int | None]
    when: Text
    commit: Text | None
    reason: Text | None


class AccuracyLine(_Strict):
    """What a file of accuracies says about an architecture in a precision."""

    id: Text
    cell: Text
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


class FingerprintLine(_Strict):
    """What a file of fingerprints says about an architecture in a precision."""

    id: Text
    cell: Text
    inputs: list[Finite]
    outputs: list[Finite]
    top: list[Whole]
    weights: Text
    preprocessing: dict[Text, Any]
    asked: Text
    environment: dict[Text, str | int | None]
    when: Text
    commit: Text | None
    reason: Text | None


LINES: Mapping[str, type[_Strict]] = {
    "complexity": CountLine,
    "latency": TimeLine,
    "accuracy": AccuracyLine,
    "fingerprint": FingerprintLine,
}
"""What the lines of each kind of file are."""


@cache
def fields_of(kind: str) -> Mapping[str, Any]:
    """The fields of a line, in their order, with the type of each."""
    return {one.name: one.type for one in msgspec.structs.fields(LINES[kind])}


def is_good(name: str, value: Any, kind: Any) -> bool:
    """Whether a field of a line can be what it is."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    # Those of a distribution that is not installed here stay as they are.
    return name != "memory_and_energy" or not value.keys() & (
        METRICS.keys() - compared_by("tolerance")
    )
