"""What a network with its weights makes of fixed images, and the name of an evaluation."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy
import torch
from PIL import Image as PilImage
from torch import Tensor

from archbench.core.errors import NotMeasuredError
from archbench.core.fingerprints import Fingerprint, unsteady
from archbench.core.images import ImageSet
from archbench.measure.running import forward_passes, refuse_not_finite
from archbench.models.preprocessing import ImageTransform, normalized
from archbench.models.weights import WeightedModel

FINGERPRINT_IMAGES = ((500, 375), (333, 500))
"""Width and height of the images: as most of ImageNet's are, lying and standing."""

POINTS, SCORES = 48, 24
"""Numbers that are kept of the pixels and of the scores of an image."""


def synthetic_picture(width: int, height: int, seed: int) -> Any:
    """A picture with edges, slopes and grain, the same everywhere: whole numbers all along."""
    chance = numpy.random.Generator(numpy.random.PCG64(seed))
    rows, columns = numpy.mgrid[0:height, 0:width]
    channels = []
    for channel in range(3):
        period = 9 + 7 * channel
        slope = (rows * (channel + 1) + columns * (3 - channel)) // 4 % 256
        edges = ((rows // period + columns // (period + 4)) % 2) * 90
        grain = chance.integers(0, 60, (height, width))
        channels.append(((slope + edges + grain) % 256).astype(numpy.uint8))
    return PilImage.fromarray(numpy.stack(channels, axis=-1))


def fingerprint_of(model: WeightedModel, *, passes: int = 1) -> tuple[Fingerprint, str]:
    """The model's fingerprint, and a digest of all its scores to the last bit.

    Args:
        model: with its weights.
        passes: over the same images, which have to agree.

    Raises:
        NotMeasuredError: scores are not finite, or another pass returns others.
        ArchitectureError: the forward pass fails.
    """
    transform = ImageTransform(model.transform)
    pixels = torch.stack(
        [
            transform(synthetic_picture(width, height, seed))
            for seed, (width, height) in enumerate(FINGERPRINT_IMAGES)
        ]
    ).to(model.loaded.device.place)
    inputs = normalized(pixels, model.transform, torch.float32).cpu()
    dtype = model.loaded.input_dtype
    with forward_passes(model.loaded):
        scores, *others = [
            model.scores(normalized(pixels, model.transform, dtype)).float().cpu().clone()
            for _ in range(passes)
        ]
    refuse_not_finite(model.loaded, scores)
    found = _fingerprint(model, inputs, scores)
    for other in others:
        doubt = unsteady(found, _fingerprint(model, inputs, other), model.target.dtype)
        if doubt is not None:
            raise NotMeasuredError("scores-not-repeatable", f"{model.spec.id}: {doubt}")
    return found, hashlib.sha256(scores.numpy().tobytes()).hexdigest()


def _fingerprint(model: WeightedModel, inputs: Tensor, scores: Tensor) -> Fingerprint:
    kept_inputs: list[float] = []
    kept_outputs: list[float] = []
    for image, row in zip(inputs, scores, strict=True):
        flat = image.flatten()
        places = torch.linspace(0, len(flat) - 1, POINTS).long()
        kept_inputs += flat[places].tolist()
        kept_inputs += image.mean(dim=(1, 2)).tolist() + image.std(dim=(1, 2)).tolist()
        places = torch.linspace(0, len(row) - 1, min(SCORES, len(row))).long()
        kept_outputs += [*row[places].tolist(), float(row.mean()), float(row.std())]
    top = tuple(int(value) for value in scores.argmax(dim=1))
    return Fingerprint(tuple(kept_inputs), tuple(kept_outputs), top, model.weights_name)


def evaluation_key(model: WeightedModel, images: ImageSet, scores_digest: str) -> str:
    """Names an evaluation by all that its outcomes depend on, so that it can be taken up again.

    The digest of the scores stands for code, weights, device, precision and libraries.

    Args:
        model: that is evaluated.
        images: that it is evaluated on.
        scores_digest: from :func:`fingerprint_of`.
    """
    parts = (
        model.spec.id,
        model.target.device,
        model.target.precision,
        str(model.transform.as_dict()),
        model.weights_name,
        images.path,
        images.digest,
        scores_digest,
    )
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]
