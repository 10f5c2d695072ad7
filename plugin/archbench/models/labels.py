"""From the classes that a network knows to those of the images."""

from __future__ import annotations

import torch
from torch import Tensor

from archbench.core.errors import NotMeasuredError
from archbench.core.images import ImageSet
from archbench.models.datasets import imagenet_synsets

BACKGROUND = 1001
"""Classes of heads whose first one is none of ImageNet's (TensorFlow's slim models)."""

SUBSETS = {
    11221: "imagenet-21k-miil",
    11821: "imagenet-12k",
    21841: "imagenet-22k",
    21842: "imagenet-22k-ms",
    21843: "imagenet-21k-goog",
}
"""Larger label spaces by their number of classes, as timm names them."""


def columns_for(classes: int, images: ImageSet, model: str) -> Tensor | None:
    """Which scores of a network are those of the images' classes, in their order.

    The right class is then sought among these scores alone: a 21k head is asked which of the 1,000
    it would rather say. A few classes that the larger space lacks cannot be said at all: images of
    theirs count as wrong.

    Args:
        classes: that the network returns scores for.
        images: that are shown to it.
        model: its id, for messages.

    Returns:
        Indices ``(classes of the images,)``, -1 for a class that it lacks; None where all scores
        count as they are.

    Raises:
        NotMeasuredError: the network does not know the classes of the images.
    """
    wanted = len(images.classes)
    if classes == wanted and not (images.is_imagenet and wanted != 1000):
        return None
    if not images.is_imagenet:
        raise NotMeasuredError(
            "other-classes",
            f"{model} returns scores of {classes:,} classes, and the images of {images.path} are "
            f"of {wanted:,}, which are not ImageNet-1k's. Use weights for these classes",
        )
    if classes == BACKGROUND:
        return torch.arange(1, BACKGROUND)
    if classes not in SUBSETS:
        raise NotMeasuredError(
            "other-classes",
            f"{model} returns scores of {classes:,} classes: no label space that is known to hold "
            f"ImageNet-1k ({', '.join(f'{number:,}' for number in (1000, BACKGROUND, *SUBSETS))})",
        )
    place = {synset: index for index, synset in enumerate(imagenet_synsets(SUBSETS[classes]))}
    return torch.tensor([place.get(synset, -1) for synset in imagenet_synsets()])


def in_columns(scores: Tensor, columns: Tensor | None) -> Tensor:
    """Scores ``(N, classes of the images)`` of those that a network returned ``(N, classes)``."""
    if columns is None:
        return scores
    columns = columns.to(scores.device)
    return scores[:, columns.clamp(min=0)].masked_fill(columns < 0, -torch.inf)
