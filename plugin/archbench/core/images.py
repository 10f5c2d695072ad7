"""A set of labelled images as values: which ones, in what order, and a sample of them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from archbench.core.errors import UsageError

SAMPLE_SEED = 20120926
"""Of every sample: the same images in every run."""


@dataclass(frozen=True, slots=True)
class Image:
    """One image.

    Attributes:
        name: relative to the set, with ``/``: ``n01440764/ILSVRC2012_val_00000293.JPEG``.
        label: index of its class in the set's label space.
        offset, size: where its bytes lie in the archive; None where it is a file of its own.
    """

    name: str
    label: int
    offset: int | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Labelled images of one place.

    Attributes:
        path: of the directory or archive.
        images: in the order in which they are evaluated.
        classes: names by label; synsets of ImageNet-1k in their own order where all are such.
        layout: ``folder``, ``flat``, and with an archive ``tar of folder``, ``tar of flat``.
        is_imagenet: whether labels are those of ImageNet-1k.
        of: how many images there are, of which these may be a sample.
        seed: of the sample; None where these are all.
    """

    path: str
    images: tuple[Image, ...]
    classes: tuple[str, ...]
    layout: str
    is_imagenet: bool
    of: int
    seed: int | None = None

    @property
    def digest(self) -> str:
        """Names the images, their labels and their order."""
        return digest_of(self.images)


def digest_of(images: Iterable[Image]) -> str:
    """32 hexadecimal digits over names and labels in their order; where they lie is left out."""
    digest = hashlib.sha256()
    for image in images:
        # What comes before the last separator differs between a flat set and one in folders.
        name = image.name.rpartition("/")[2]
        digest.update(f"{name}\t{image.label}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]


def sampled(images: ImageSet, number: int, seed: int = SAMPLE_SEED) -> ImageSet:
    """A sample in which each class has its share, the same for the same images and seed.

    Each class gives ``floor(number * n / N)`` of its n images; what is lacking to ``number`` comes
    from the classes with the largest remainders, ties broken by chance with the seed.

    Raises:
        UsageError: there are fewer images.
    """
    total = len(images.images)
    if number > total:
        raise UsageError(
            f"--accuracy-samples={number}",
            f"{images.path} has {total:,} images",
            "Ask for fewer, or leave it out to evaluate all",
        )
    if number == total:
        return images
    groups: dict[int, list[Image]] = {}
    for image in images.images:
        groups.setdefault(image.label, []).append(image)
    chance = random.Random(seed)
    quotas = _quotas({label: len(group) for label, group in groups.items()}, number, chance)
    chosen: set[str] = set()
    for label in sorted(groups):
        # The order of files must not matter.
        group: Sequence[Image] = sorted(groups[label], key=lambda image: image.name)
        chosen |= {image.name for image in chance.sample(group, quotas[label])}
    kept = tuple(image for image in images.images if image.name in chosen)
    return replace(images, images=kept, of=total, seed=seed)


def apart(images: ImageSet, of: ImageSet, number: int) -> tuple[ImageSet, ImageSet]:
    """Images to be evaluated, and as many others as are asked for, the same in every run.

    Args:
        images: to be evaluated; where there are too few others they lose a sample to them.
        of: all that there are.
        number: of the others.
    """
    taken = {image.name for image in images.images}
    rest = tuple(image for image in of.images if image.name not in taken)
    if len(rest) >= number:
        return images, sampled(replace(of, images=rest), number)
    others = sampled(images, number)
    names = {image.name for image in others.images}
    kept = tuple(image for image in images.images if image.name not in names)
    return replace(images, images=kept, of=images.of, seed=SAMPLE_SEED), others


def _quotas(sizes: dict[int, int], number: int, chance: random.Random) -> dict[int, int]:
    total = sum(sizes.values())
    quotas = {label: number * size // total for label, size in sizes.items()}
    labels = sorted(sizes)
    chance.shuffle(labels)
    labels.sort(key=lambda label: -(number * sizes[label] % total))
    for label in labels[: number - sum(quotas.values())]:
        quotas[label] += 1
    return quotas
