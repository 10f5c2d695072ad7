"""Samples and names of sets of images."""

from __future__ import annotations

from collections import Counter

import pytest

from archbench.core.errors import UsageError
from archbench.core.images import Image, ImageSet, apart, digest_of, sampled


def image_set(*sizes: int) -> ImageSet:
    """So many images of each class."""
    images = tuple(
        Image(f"{label}/{label}-{number}.png", label)
        for label, size in enumerate(sizes)
        for number in range(size)
    )
    classes = tuple(map(str, range(len(sizes))))
    return ImageSet("x", images, classes, "folder", False, len(images))


def counts(images: ImageSet) -> dict[int, int]:
    return dict(Counter(image.label for image in images.images))


def test_each_class_has_its_share() -> None:
    # Of 40, 40 and 20 images 10: 4, 4, 2.
    found = sampled(image_set(40, 40, 20), 10)
    assert counts(found) == {0: 4, 1: 4, 2: 2}
    assert (found.of, found.seed) == (100, 20120926)


def test_what_is_lacking_goes_to_the_largest_remainders() -> None:
    # Of 10, 10 and 1 images 10: 4.76, 4.76 and 0.48, so 4, 4, 0 and two more for the first two.
    assert counts(sampled(image_set(10, 10, 1), 10)) == {0: 5, 1: 5}


@pytest.mark.parametrize("number", [1, 7, 299, 300])
def test_as_many_as_asked_for(number: int) -> None:
    found = sampled(image_set(100, 100, 100), number)
    assert len({image.name for image in found.images}) == number


def test_the_order_of_files_does_not_matter() -> None:
    whole = image_set(30, 30)
    shuffled = ImageSet("x", whole.images[::-1], whole.classes, "folder", False, 60)
    one, other = sampled(whole, 11), sampled(shuffled, 11)
    assert {i.name for i in one.images} == {i.name for i in other.images}
    assert {i.name for i in one.images} != {i.name for i in sampled(whole, 11, seed=1).images}


def test_all_are_no_sample() -> None:
    assert sampled(image_set(2, 2), 4).seed is None


def test_more_than_there_are() -> None:
    with pytest.raises(UsageError, match="--accuracy-samples=5: x has 4 images"):
        sampled(image_set(2, 2), 5)


def test_a_digest_names_images_labels_and_order() -> None:
    one, two = Image("a/1.png", 0), Image("b/2.png", 1)
    first = digest_of([one, two])
    assert len(first) == 32
    # Where a file lies does not matter, the flat set and one in folders are the same.
    assert digest_of([Image("1.png", 0, 512, 9), Image("2.png", 1)]) == first
    assert digest_of([two, one]) != first
    assert digest_of([one, Image("b/2.png", 0)]) != first
    assert digest_of([one]) != first


def test_images_that_are_not_evaluated() -> None:
    whole = image_set(100, 100)
    some = sampled(whole, 150)
    kept, others = apart(some, whole, 20)
    assert kept is some
    assert counts(others) == {0: 10, 1: 10}
    assert not {one.name for one in others.images} & {one.name for one in some.images}


def test_all_images_are_evaluated_but_those_that_something_else_needs() -> None:
    whole = image_set(100, 100)
    kept, others = apart(whole, whole, 20)
    assert (counts(kept), counts(others)) == ({0: 90, 1: 90}, {0: 10, 1: 10})
    assert (kept.of, kept.seed is None) == (200, False)
    assert not {one.name for one in others.images} & {one.name for one in kept.images}
    assert apart(whole, whole, 20) == (kept, others)
