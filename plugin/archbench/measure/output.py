"""What a runtime returns for fixed images, beside what eager torch returns in fp32."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from archbench.core.agreement import TOLERANCES, OutputAgreement, widened
from archbench.core.entries import MetricEntry
from archbench.core.errors import AbsentError
from archbench.measure.running import Runner, forward_passes, within_memory
from archbench.models.loading import LoadedModel
from archbench.models.numerics import numerics
from archbench.models.outputs import every_exit

IMAGES = 2
"""That are compared at least, each of them other noise; of a larger batch its first ones."""

SEEDS = (1, 2)
"""Of the images; those that are timed have seed 0."""


def output_of(loaded: LoadedModel) -> dict[str, MetricEntry]:
    """How far the scores of a loaded model's runtime are from eager fp32; nothing of a runtime that
    runs the network itself.

    Raises:
        AbsentError: eager fp32 gives scores that are not finite.
        MemoryError, RuntimeError: memory ran out.
    """
    with within_memory(loaded.target), forward_passes(loaded):
        run = Runner(loaded, loaded.device.wait).prepared.run
        if run is None:
            return {}
        return agreement_of(loaded, run).metrics()


def agreement_of(loaded: LoadedModel, run: Any) -> OutputAgreement:
    """Compare a way of running a model with eager fp32; to be called inside of
    :func:`archbench.measure.running.forward_passes`.

    Args:
        loaded: the model.
        run: gets inputs and returns what the model would.

    Raises:
        AbsentError: eager fp32 gives scores that are not finite.
    """
    size = loaded.target.images
    kept = min(size, IMAGES)
    # A network may change what it gets, so everyone gets a copy.
    batches = [loaded.inputs(seed) for seed in SEEDS[: max(1, IMAGES // size)]]
    theirs = [
        one[:kept]
        for inputs in batches
        for one in _scores(loaded, run([each.clone() for each in inputs]), size)
    ]
    given: list[Sequence[Tensor]] = [[one[:kept] for one in inputs] for inputs in batches]

    def compared(
        scores: Sequence[Tensor], tolerance: float = TOLERANCES[loaded.target.dtype]
    ) -> OutputAgreement:
        return _compared(list(zip(ours, scores, strict=True)), tolerance)

    ours = _references(loaded, given, kept)
    agreement = compared(theirs)
    if kept < size and not agreement.is_good:
        # Scores may depend on the other images of the batch.
        given = [*batches]
        ours = _references(loaded, given, kept)
        agreement = compared(theirs)
    if agreement.is_good:
        return agreement
    itself = compared(_references(loaded, given, kept))
    if not itself.is_good and math.isfinite(itself.relative):
        return replace(agreement, unsteady=itself.relative)
    if (other := _rounded_otherwise(loaded, given, kept)) is None:
        return agreement
    rounding = compared(other).relative
    tolerance = widened(agreement.tolerance, rounding)
    if tolerance == agreement.tolerance:
        return agreement
    return replace(compared(theirs, tolerance), rounding=rounding)


def _references(
    loaded: LoadedModel, batches: Sequence[Sequence[Tensor]], kept: int, dtype: str = "fp32"
) -> list[Tensor]:
    return [one[:kept] for inputs in batches for one in _reference(loaded, inputs, dtype)]


def _rounded_otherwise(
    loaded: LoadedModel, batches: Sequence[Sequence[Tensor]], kept: int
) -> list[Tensor] | None:
    """Scores of eager torch that differ from those in fp32 by rounding alone: in the cell's
    precision, or for fp32 in double precision; None where torch cannot compute the network so."""
    dtype = loaded.target.dtype
    if dtype == "int8":
        return None
    try:
        return _references(loaded, batches, kept, "fp64" if dtype == "fp32" else dtype)
    except Exception:
        return None


def _scores(loaded: LoadedModel, output: object, images: int) -> list[Tensor]:
    return [one.double().cpu() for one in every_exit(loaded.spec, output, images)]


def _reference(loaded: LoadedModel, inputs: Sequence[Tensor], dtype: str) -> list[Tensor]:
    """Scores of eager torch, with the weights as they were loaded.

    Args:
        dtype: that it computes in: ``fp32``, ``fp64`` or the cell's own precision.
    """
    module = loaded.module
    floats = [one for one in (*module.parameters(), *module.buffers()) if one.is_floating_point()]
    copies = [one.clone() for one in inputs]
    wanted = {"fp32": torch.float32, "fp64": torch.float64}.get(dtype)
    if wanted and any(one.dtype.itemsize < wanted.itemsize for one in floats):
        module = deepcopy(module).to(wanted)
        copies = [one.to(wanted) if one.is_floating_point() else one for one in copies]
    with numerics(loaded.target.dtype if wanted is None else "fp32", loaded.device.place):
        return _scores(loaded, module(*copies), len(inputs[0]))


def _compared(pairs: Sequence[tuple[Tensor, Tensor]], tolerance: float) -> OutputAgreement:
    if not all(bool(torch.isfinite(ours).all()) for ours, _ in pairs):
        raise AbsentError("the scores of eager fp32 are not finite")
    largest = max(float(ours.abs().max()) for ours, _ in pairs)
    absolute, agreeing, images = 0.0, 0, 0
    for ours, theirs in pairs:
        difference = float((ours - theirs).abs().max())
        absolute = max(absolute, difference if math.isfinite(difference) else math.inf)
        best = theirs.nan_to_num(-math.inf).argmax(dim=1, keepdim=True)
        lost = ours.amax(dim=1) - ours.gather(1, best)[:, 0]
        agreeing += int((lost <= 2 * tolerance * largest).sum())
        images += len(ours)
    return OutputAgreement(images, largest, absolute, agreeing, tolerance)
