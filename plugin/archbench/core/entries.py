"""What a record says of a metric: the one place that names the fields of its JSON form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

from archbench.core.complexity import SecondOpinion
from archbench.core.differences import Growth, ScoreAgreement
from archbench.core.forms import Stored
from archbench.core.process_runs import ProcessRun
from archbench.core.rounds import PairedRun
from archbench.core.telemetry import TelemetrySample
from archbench.core.verdicts import Note

Count = int | list[int]
"""A number, or the extents of a shape."""


@dataclass(frozen=True, slots=True)
class Imported(Stored):
    """A package or a module of its own, as this process has imported it.

    Attributes:
        name: that it is imported by.
        version: of the installation that it belongs to, else what it says of itself; None where it
            says nothing.
        path: of the directory of a package, of the file of a module.
        is_installed: whether it belongs to an installation.
    """

    name: str
    version: str | None
    path: str
    is_installed: bool


class StoredWeights(TypedDict):
    """A file of weights: where it is from, its name, SHA-256 and size in bytes."""

    source: str
    file: str
    sha256: str
    bytes: int


class Dataset(TypedDict):
    """The images of an evaluation; ``sample`` of them and the ``seed`` that chose it, or None."""

    path: str
    layout: str
    classes: int
    is_imagenet: bool
    sample: int | None
    of: int
    seed: int | None


class EagerTop(TypedDict):
    """What eager fp32 says of the images that another runtime saw: percent, how many are right, and
    the evaluation's key."""

    value: float
    right: int
    key: str


class MetricEntry(TypedDict, total=False):
    """One metric of a cell: a value or samples, or the reason for neither, and how it was had.

    Which of the further fields it has is its metric's affair: those of counts, of times, of outputs
    compared, of energy, of accuracies and fingerprints, and of a paired comparison follow one
    another. What a paired comparison has as ``process_runs`` is their number. A value is a number;
    of a shape it is the extents, and of ``layers`` their census. A field that is not among these is
    lost where a record is read, so whoever measures more declares it here.
    """

    value: Any
    absent: str
    unit: str
    basis: str
    source: str
    low: float | None
    high: float | None

    by_dtype: dict[str, int]
    by_kind: dict[str, int]
    by_operator: dict[str, int]
    flops_2_per_mac: int
    uncounted: dict[str, int]
    second_opinion: SecondOpinion | None
    counted_with: dict[str, str]

    samples: list[float]
    clock: str
    warmup: list[float]
    stopped_by: str
    process_runs: list[ProcessRun] | int
    confirmations: list[ProcessRun]
    environment: dict[str, str | int | None] | None
    counts: dict[str, int] | None
    telemetry: str | list[TelemetrySample]
    bursts: int
    discarded: list[list[str]]
    queue_full: bool | None
    parts: int
    engine: dict[str, object]
    is_new: bool

    largest: float
    tolerance: float
    agreeing: int
    unsteady: float
    rounding: float

    counter: str
    scope: str
    images: int
    window: float
    resolution: float

    right: int
    interval: list[float]
    confidence: float
    digest: str
    key: str
    outcomes: str
    taken_up: bool
    dataset: Dataset
    preprocessing: dict[str, object]
    weights: StoredWeights | str | None
    is_published: bool
    unreadable: int
    unreadable_images: list[list[str]]
    images_per_second: float
    waited: float
    batch_size: int
    workers: int
    threads: int
    lacking_classes: int
    exits: list[float]
    eager: EagerTop

    inputs: list[float]
    outputs: list[float]
    top: list[int]
    asked: str

    rounds: int
    seconds: float
    cell_seconds: float
    start_seconds: list[float]
    sides: dict[str, SideEntry]
    different: list[str]
    agreement: ScoreAgreement | None
    growth: list[Growth]
    series: list[PairedRun]


def half_interval(entry: MetricEntry) -> float:
    """Half of the interval of a value; 0 where it has none."""
    low, high = entry.get("low"), entry.get("high")
    return 0.0 if low is None or high is None else (high - low) / 2


class SideEntry(TypedDict):
    """What a paired comparison says of one side, by its name, beside the times."""

    label: str
    counts: dict[str, Count]
    metrics: dict[str, MetricEntry]
    versions: dict[str, str]
    imported: list[Imported]
    no_telemetry: str | None
    notes: list[Note]
