"""Sizes before and after the crop, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from archbench.core.errors import UsageError
from archbench.core.preprocessing import Transform
from archbench.core.spec import Preprocessing


def stated(**fields: Any) -> Preprocessing:
    silent = dict.fromkeys(("mean", "std", "crop_fraction", "interpolation", "crop_mode"))
    return Preprocessing(**{**silent, "source": "here", **fields})


def test_silence_means_the_fields_habits() -> None:
    transform = Transform.of((3, 224, 224), None)
    assert transform.text == "short side 256 bilinear, centre 224x224"
    assert transform.mean == (0.485, 0.456, 0.406)
    assert transform.std == (0.229, 0.224, 0.225)


@pytest.mark.parametrize(
    ("pixels", "fraction", "down", "up"),
    [
        (224, 0.875, 256, 256),  # 256 exactly
        (224, 0.95, 235, 236),  # 235.79
        (288, 1.0, 288, 288),
        (299, 0.875, 341, 342),  # 341.71
    ],
)
def test_sizes_before_the_crop(pixels: int, fraction: float, down: int, up: int) -> None:
    given = stated(crop_fraction=fraction)
    assert Transform.of((3, pixels, pixels), given).resize == down
    assert Transform.of((3, pixels, pixels), given, round_up=True).resize == up


def test_other_modes_have_both_sides() -> None:
    squash = Transform.of((3, 224, 224), stated(crop_mode="squash", crop_fraction=1.0))
    assert squash.resize == (224, 224)
    assert squash.text == "squash 224x224 bilinear, centre 224x224"
    assert Transform.of((3, 192, 256), stated(crop_fraction=0.5)).resize == (384, 512)
    with pytest.raises(ValueError, match="unknown crop mode 'corner'"):
        Transform.of((3, 224, 224), stated(crop_mode="corner"))


def test_the_single_central_crop_of_the_command_line() -> None:
    squash = Transform.of((3, 224, 224), stated(crop_mode="squash", crop_fraction=1.0))
    assert squash.with_sizes(None, None) is squash
    given = squash.with_sizes(256, 224)
    assert (given.resize, given.crop, given.mode) == (256, (224, 224), "center")
    assert given.source == "here; sizes of the command line"
    # A crop alone keeps the share.
    assert Transform.of((3, 224, 224), None).with_sizes(None, 448).resize == 512


def test_as_builtin_types() -> None:
    assert Transform.of((3, 32, 32), stated(crop_fraction=1.0)).as_dict() == {
        "resize": 32,
        "crop": [32, 32],
        "mode": "center",
        "interpolation": "bilinear",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "source": "here",
    }


def test_a_crop_larger_than_the_image_is_refused() -> None:
    stated = Transform.of((3, 224, 224), None)
    assert stated.with_sizes(224, None).resize == 224
    with pytest.raises(UsageError, match="the crop of these weights is 224 pixels"):
        stated.with_sizes(100, None)
    assert stated.with_sizes(100, 96).crop == (96, 96)
