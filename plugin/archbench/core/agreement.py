"""Whether an engine returns what the network returns: compared with eager torch in fp32."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from archbench.core.entries import MetricEntry
from archbench.core.verdicts import Verdict

METRIC = "output_difference"
REASON = "output-differs"
"""Of a cell whose times mean nothing, since its runtime computes something else."""

UNSTEADY = "output-not-repeatable"
"""Of one whose runtime cannot be compared, since the network itself returns other scores again."""

TOLERANCES: Mapping[str, float] = {
    "fp32": 1e-4,
    "tf32": 1e-2,
    "fp16": 2e-2,
    "bf16": 1e-1,
    "amp-fp16": 2e-2,
    "amp-bf16": 1e-1,
    "int8": 3e-1,
}
"""Largest difference of a score, as a share of the largest score, by precision. The precisions
below fp32 carry 2^-11 (fp16, tf32) and 2^-8 (bf16) in each operation, which the layers of a network
multiply; int8 is judged by its accuracy, and here for not being another network."""

ROUNDINGS = 4
"""How many times as far as eager torch's own rounding an engine's scores may lie: both are rounded,
and each rounding is one of many."""

MOST_WIDENED = 100
"""How many times the tolerance that may be: an engine that computes something else is further."""


def widened(tolerance: float, rounding: float) -> float:
    """The tolerance for a network whose own rounding is large beside the usual one.

    Args:
        tolerance: of its precision.
        rounding: how far eager torch's own scores move where only its rounding is another one, as a
            share of the largest score.
    """
    if not math.isfinite(rounding):
        return tolerance
    return max(tolerance, min(ROUNDINGS * rounding, MOST_WIDENED * tolerance, TOLERANCES["int8"]))


@dataclass(frozen=True, slots=True)
class OutputAgreement:
    """How far the scores of a runtime are from those of eager torch in fp32, on the same images.

    Attributes:
        images: that were compared.
        largest: the largest absolute score of eager torch.
        absolute: the largest absolute difference; infinite where a score is not finite.
        agreeing: images whose best class is the same, or is as good but for the tolerance.
        tolerance: as a share of the largest score.
        unsteady: the largest difference between two passes of eager torch over the same images, as
            a share of the largest score; None where they were not compared.
        rounding: how far the scores of eager torch move where only its rounding is another one, as
            a share of the largest score, where the tolerance is wider for that.
    """

    images: int
    largest: float
    absolute: float
    agreeing: int
    tolerance: float
    unsteady: float | None = None
    rounding: float | None = None

    @property
    def relative(self) -> float:
        """The largest difference as a share of the largest score."""
        if self.absolute == 0:
            return 0.0
        return self.absolute / self.largest if self.largest > 0 else math.inf

    @property
    def is_good(self) -> bool:
        """Whether it is within the tolerance."""
        return self.relative <= self.tolerance and self.agreeing == self.images

    def metrics(self) -> dict[str, MetricEntry]:
        """As a record has them; what is not finite has no value."""
        shared: MetricEntry = {
            "images": self.images,
            "largest": self.largest,
            "tolerance": self.tolerance,
        }
        if self.unsteady is not None:
            shared["unsteady"] = self.unsteady
        if self.rounding is not None:
            shared["rounding"] = self.rounding

        def entry(value: float) -> MetricEntry:
            if math.isfinite(value):
                return {"value": value}
            return {"absent": "a score is not finite"}

        return {
            METRIC: {**entry(self.relative), **shared, "agreeing": self.agreeing},
            "output_absolute_difference": entry(self.absolute),
            "top1_agreement": {"value": 100 * self.agreeing / self.images},
        }


def output_verdict(metric: MetricEntry, dtype: str, runtime: str) -> Verdict:
    """Whether a runtime returns what the network returns.

    It holds whatever is being accepted, as a budget does: an engine that computes something else
    has no time that could be a baseline.

    Args:
        metric: :data:`METRIC` of a record.
        dtype: the precision.
        runtime: that it is about.
    """
    value, tolerance, images = metric.get("value"), metric["tolerance"], metric["images"]
    agreeing = metric["agreeing"]
    budget = f"{METRIC} <= {tolerance:.2g}"
    rounding = metric.get("rounding")
    moves = "" if rounding is None else f", which other rounding alone moves by {rounding:.2g}"
    if value is not None and value <= tolerance and agreeing == images:
        sentence = f"its scores are within {value:.1g} of the largest of eager fp32{moves}"
        return Verdict(METRIC, "unchanged", "within-tolerance", sentence, 0.0, value, budget=budget)
    distance = "are not finite" if value is None else f"differ by {value:.2g} of the largest score"
    sentence = (
        f"the scores of {runtime} {distance} from those of eager fp32{moves}, and {tolerance:.2g} "
        f"is tolerated in {dtype}; the best class is the same for {agreeing} of {images} images. "
    )
    unsteady = metric.get("unsteady")
    if unsteady is None:
        sentence += "What was timed is not this network"
        return Verdict(METRIC, "regressed", REASON, sentence, 0.0, value, budget=budget)
    sentence += (
        f"Eager fp32 itself differs by {unsteady:.2g} when it gets the same images again: a "
        "network that draws random numbers or keeps state cannot be compared, and has times in "
        "eager torch alone"
    )
    return Verdict(METRIC, "not-measured", UNSTEADY, sentence, 0.0, value, budget=budget)
