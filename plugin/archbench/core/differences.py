"""What differs between the two sides of a paired comparison beside their times: how far their
class scores agree, and which modules grew."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from archbench.core.forms import Stored
from archbench.metrics import METRICS


@dataclass(frozen=True, slots=True)
class ScoreAgreement(Stored):
    """How far the class scores of both sides agree on the same images.

    Attributes:
        absolute: largest difference of two scores.
        relative: the same over the largest score of the reference.
        same_top1: images that both sides give the same class.
        images: how many there are.
    """

    absolute: float
    relative: float
    same_top1: int
    images: int

    @property
    def text(self) -> str:
        """``outputs differ by at most 1.2e-06 (3e-07 of the largest), the same top-1 ...``."""
        if self.absolute == 0:
            return f"outputs are equal on {_images(self.images)}"
        return (
            f"outputs differ by at most {self.absolute:.2g} ({self.relative:.2g} of the largest), "
            f"the same top-1 in {self.same_top1} of {_images(self.images)}"
        )


def _images(number: int) -> str:
    return f"{number} image{'' if number == 1 else 's'}"


def agreement(
    reference: Sequence[Sequence[float]], candidate: Sequence[Sequence[float]]
) -> ScoreAgreement | None:
    """Compare class scores ``(images, classes)`` of the images that both sides were given.

    None where the numbers of classes differ: then there is nothing to compare.
    """
    pairs = list(zip(reference, candidate, strict=False))
    if not pairs or any(len(one) != len(other) or not one for one, other in pairs):
        return None
    absolute = max(abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=True))
    largest = max(abs(a) for one, _ in pairs for a in one)
    same = sum(_top1(one) == _top1(other) for one, other in pairs)
    relative = absolute / largest if largest else (math.inf if absolute else 0.0)
    return ScoreAgreement(absolute, relative, same, len(pairs))


def _top1(scores: Sequence[float]) -> int:
    return max(range(len(scores)), key=scores.__getitem__)


@dataclass(frozen=True, slots=True)
class ModuleTime:
    """One module of a network: its type, and the seconds of its own code in one pass."""

    type: str
    seconds: float


ModuleTimes = Mapping[str, ModuleTime]
"""By the name of the module."""


@dataclass(frozen=True, slots=True)
class Growth(Stored):
    """One module whose own code takes longer.

    Attributes:
        name: in the model; the model itself is empty.
        type: of the module on the candidate's side, or on the reference's where it is gone.
        reference, candidate: seconds; None where it does not exist.
    """

    name: str
    type: str
    reference: float | None
    candidate: float | None

    @property
    def seconds(self) -> float:
        """More than before."""
        return (self.candidate or 0.0) - (self.reference or 0.0)

    def text(self, total: float) -> str:
        """``layer3.0.conv2 (Conv2d): 1.200 ms -> 1.310 ms, +0.110 ms, 83 % of the growth``."""
        said = METRICS["latency"].said
        then = "new" if self.reference is None else said(self.reference)
        now = "gone" if self.candidate is None else said(self.candidate)
        share = f", {self.seconds / total:.0%} of the growth" if total > 0 else ""
        name = self.name or "the model's own forward"
        return f"{name} ({self.type}): {then} -> {now}, {self.seconds * 1e3:+.3f} ms{share}"


def attribution(
    modules: Mapping[str, Sequence[ModuleTimes]], most: int = 5
) -> tuple[list[Growth], float]:
    """The modules that grew most, the most first, and what all of them grew together in seconds.

    Args:
        modules: of each side, by its name, the turns of
            :meth:`archbench.measure.side_network.SideNetwork.modules`.
        most: how many to name.
    """
    sides = {side: _typical_modules(turns) for side, turns in modules.items()}
    reference, candidate = sides.get("reference", {}), sides.get("candidate", {})
    # Of a sequence that got longer the names move on: what has another type is another module.
    grown = [
        Growth(*key, reference.get(key), candidate.get(key))
        for key in dict.fromkeys([*candidate, *reference])
    ]
    grown.sort(key=lambda one: -one.seconds)
    total = sum(one.seconds for one in grown)
    return [one for one in grown if one.seconds > 0][:most], total


def _typical_modules(turns: Sequence[ModuleTimes]) -> dict[tuple[str, str], float]:
    series: dict[tuple[str, str], list[float]] = {}
    for turn in turns:
        for name, module in turn.items():
            series.setdefault((name, module.type), []).append(module.seconds)
    return {key: statistics.median(values) for key, values in series.items()}
