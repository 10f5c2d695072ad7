"""What a network makes of fixed images, short enough to be stored and compared with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from archbench.core.forms import Stored
from archbench.core.verdicts import Verdict

FINGERPRINT = "fingerprint"

INPUT_TOLERANCE = 0.02
"""Of what preprocessing makes of the images. Pixels are whole numbers of 0 to 255: one step is
0.018 of a channel's usual standard deviation, by which decoders and resizers may differ."""

OUTPUT_TOLERANCES: Mapping[str, float] = {
    "fp32": 1e-4,
    "tf32": 3e-3,
    "fp16": 3e-3,
    "bf16": 3e-2,
    "amp-fp16": 3e-3,
    "amp-bf16": 3e-2,
    "int8": 3e-2,
}
"""Of scores, by precision. Another memory layout moved those of 13 networks by at most 2.4e-7 of
their spread in fp32, 1.3e-3 in fp16 and 3.7e-3 in bf16; computing in fp16 what is said to be fp32
moved them by 3.7e-4 at least, in bf16 by 3.4e-3. TF32 has the digits of fp16, and int8 those of
bf16."""

OTHER_DEVICE_TOLERANCES: Mapping[str, float] = {**OUTPUT_TOLERANCES, "fp32": 3e-3}
"""Where the baseline is of another device: accelerators multiply fp32 in TF32 by default, with as
many digits as fp16 has."""


@dataclass(frozen=True, slots=True)
class Fingerprint(Stored):
    """Numbers of a fixed choice of inputs and scores.

    Attributes:
        inputs: pixels after preprocessing, and mean and standard deviation of each channel.
        outputs: scores of some classes, and mean and standard deviation of all, for each image.
        top: the class with the highest score of each image.
        weights: what was loaded: the start of the file's SHA-256, or ``none`` for filled ones.
    """

    inputs: tuple[float, ...]
    outputs: tuple[float, ...]
    top: tuple[int, ...]
    weights: str

    @property
    def short(self) -> Fingerprint:
        """The same with seven significant digits, which is what fp32 holds."""
        inputs, outputs = (
            tuple(float(f"{value:.7g}") for value in series)
            for series in (self.inputs, self.outputs)
        )
        return replace(self, inputs=inputs, outputs=outputs)


def _difference(old: Sequence[float], new: Sequence[float]) -> float:
    """Root mean square of the differences over the standard deviation of the old values."""
    mean = math.fsum(old) / len(old)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in old) / len(old))
    distance = math.sqrt(math.fsum((a - b) ** 2 for a, b in zip(old, new, strict=True)) / len(old))
    if spread == 0:
        return 0.0 if distance == 0 else math.inf
    return distance / spread


def unsteady(once: Fingerprint, again: Fingerprint, dtype: str) -> str | None:
    """Why a network has no fingerprint, where two passes over the same images do not agree.

    Args:
        once, again: of the same network, one pass after the other.
        dtype: precision, which chooses the tolerance.
    """
    distance, tolerance = _difference(once.outputs, again.outputs), OUTPUT_TOLERANCES[dtype]
    if distance <= tolerance:
        return None
    return (
        f"its scores differ by {distance:.2g} of their spread when it gets the same images again, "
        f"and {tolerance:g} is tolerated in {dtype}: a network that draws random numbers or keeps "
        "state in eval mode has no fingerprint. Let it draw none there, or seed its generator in "
        "each pass, or leave test_fingerprint out for it"
    )


def fingerprint_verdict(
    baseline: Fingerprint | None,
    now: Fingerprint,
    dtype: str,
    *,
    same_device: bool = True,
    accept: bool = False,
) -> Verdict:
    """Whether preprocessing and network still make the same of the same images.

    Args:
        baseline: what was accepted; None where nothing was.
        now: of this run.
        dtype: precision, which chooses the tolerance.
        same_device: whether the baseline is of the same device.
        accept: whether what is now is to be the baseline.
    """
    verdict = partial(Verdict, FINGERPRINT)
    if baseline is None:
        sentence = "no output fingerprint has been accepted for it, so it was not run"
        return verdict("no-baseline", "no-fingerprint", sentence)
    if baseline.weights != now.weights:
        sentence = f"the baseline is of weights {baseline.weights}, this is of {now.weights}"
        return verdict("not-comparable", "other-weights", sentence)
    accepted = "accepted" if accept else "differs"
    output_tolerance = (OUTPUT_TOLERANCES if same_device else OTHER_DEVICE_TOLERANCES)[dtype]
    parts = (
        ("input", baseline.inputs, now.inputs, INPUT_TOLERANCE, "preprocessing has changed"),
        ("output", baseline.outputs, now.outputs, output_tolerance, "scores have changed"),
    )
    parts_within = []
    for name, old, new, tolerance, meaning in parts:
        if len(old) != len(new):
            sentence = f"{meaning}: {len(new)} numbers of its {name} instead of {len(old)}"
            return verdict("changed", accepted, sentence)
        distance = _difference(old, new)
        if not distance <= tolerance:
            sentence = (
                f"{meaning}: its {name} differs by {distance:.2g} of its spread, "
                f"and {tolerance:g} is tolerated in {dtype}"
            )
            return verdict("changed", accepted, sentence, 0.0, distance, tolerance)
        parts_within.append(f"{name} by {distance:.1g}")
    sentence = f"differs in its {' and '.join(parts_within)} of its spread"
    return verdict("unchanged", "within-tolerance", sentence, 0.0, 0.0)
