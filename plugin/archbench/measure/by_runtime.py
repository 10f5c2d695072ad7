"""A network with its weights, run by the runtime of its target on images from the disk."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from archbench.core.images import ImageSet
from archbench.core.verdicts import Note
from archbench.measure.running import forward_passes
from archbench.models.datasets import read_image_bytes
from archbench.models.outputs import every_exit
from archbench.models.passes import threads
from archbench.models.preprocessing import ImageTransform, decode, normalized
from archbench.models.weights import WeightedModel
from archbench.runtimes.own import runtime_named
from archbench.runtimes.runtime import Job


def by_runtime(
    model: WeightedModel,
    size: int,
    *,
    cores: int = 1,
    ranges: ImageSet | None = None,
    artefacts: Path | None = None,
) -> WeightedModel:
    """The same model, whose passes are those of its target's runtime: nothing of it is eager.

    A runtime runs batches of one size. Where there are fewer images the last of them fills up the
    batch, and its further scores are left out: other images would change the ranges that int8 takes
    anew in each pass.

    Args:
        model: as it is written.
        size: images of a batch.
        cores: threads of a pass on the host.
        ranges: images that an engine takes the ranges of int8 from; None for synthetic ones.
        artefacts: directory of the files that runtimes make of networks.

    Raises:
        NotMeasuredError: the runtime cannot run it; says why.
        ArchitectureError: a pass fails.
        MemoryError, RuntimeError: memory ran out.
    """
    loaded = model.loaded
    runtime = runtime_named(loaded.target.runtime)
    target = replace(loaded.target, batch_size=size, threads=cores)
    batch = torch.zeros(
        (size, 3, *model.transform.crop), dtype=loaded.input_dtype, device=loaded.device.place
    )
    images = None if ranges is None else _pixels(model, ranges)
    job = Job(
        loaded.spec, loaded.module, (batch,), loaded.device, target,
        artefacts=artefacts, ranges=images,
    )  # fmt: skip
    with forward_passes(loaded), threads(cores):
        prepared = runtime.prepare(job)
    run = prepared.run or (lambda inputs: loaded.module(*inputs))

    def part(given: Tensor) -> list[Tensor]:
        filling = given[-1:].expand(size - len(given), *given.shape[1:])
        output = run([torch.cat([given, filling])])
        exits = every_exit(loaded.spec, output, size, any_classes=True)
        return [scores[: len(given)].clone() for scores in exits]

    def all_parts(given: Tensor) -> list[Tensor]:
        with threads(cores):
            parts = [part(one) for one in torch.split(given, size)]
        return [torch.cat(scores) for scores in zip(*parts, strict=True)]

    notes = [one for one in prepared.notes if one.code != "synthetic-ranges" or ranges is None]
    if images is not None:
        number = f"{len(images):,} images that are not among those of the accuracy"
        notes.append(Note("ranges", f"int8 takes its ranges of activations from {number}"))
    return replace(model, run=all_parts, notes=tuple(notes))


def _pixels(model: WeightedModel, images: ImageSet) -> Tensor:
    """Images as the network gets them, in fp32: ``(N, 3, H, W)``; those that can be read."""
    transform, pixels = ImageTransform(model.transform), list[Tensor]()
    for image in images.images:
        with suppress(OSError, ValueError):
            pixels.append(transform(decode(read_image_bytes(Path(images.path), image))))
    return normalized(torch.stack(pixels), model.transform, torch.float32)
