"""Preprocessing against the libraries' own, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from archbench.catalog import load_catalog
from archbench.core.errors import NotMeasuredError
from archbench.core.spec import ModelSpec
from archbench.measure.fingerprints import synthetic_picture
from archbench.models.preprocessing import ImageTransform, normalized, transform_of

SIZES = [(500, 375), (333, 500), (120, 97), (224, 224), (1000, 301)]


def spec_of(id: str) -> ModelSpec:
    return load_catalog().get(id)


def ours(spec: ModelSpec, image: Any) -> torch.Tensor:
    transform = transform_of(spec)
    pixels = ImageTransform(transform)(image)
    return normalized(pixels[None], transform, torch.float32)[0]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "id",
    [
        "timm/resnet50",  # bicubic, 0.95
        "timm/inception_v4",  # 299, another mean
        "timm/convnext_tiny",
        "timm/vit_base_patch16_clip_224",
        "timm/beitv2_base_patch16_224",
        "timm/mobilenetv1_100",
    ],
)
def test_timms(id: str, size: tuple[int, int]) -> None:
    import timm
    from timm.data import create_transform, resolve_data_config

    spec, image = spec_of(id), synthetic_picture(*size, seed=1)
    if not timm.is_model(spec.name):
        pytest.skip(f"timm {timm.__version__} has no {spec.name}")
    tag = f".{spec.weights}" if spec.weights and hasattr(timm.models, "PretrainedCfg") else ""
    model = timm.create_model(spec.name + tag)
    theirs = create_transform(**resolve_data_config({}, model=model))
    assert torch.equal(ours(spec, image), theirs(image))


@pytest.mark.requires("timm>=1.0.31")  # 1.0.15 rounds crops that are not square otherwise
@pytest.mark.parametrize("crop", [(224, 224), (224, 160), (96, 224)])
@pytest.mark.parametrize("mode", ["center", "squash", "border"])
def test_timms_modes(mode: str, crop: tuple[int, int]) -> None:
    from dataclasses import replace

    from timm.data import create_transform

    from archbench.core.preprocessing import Transform
    from archbench.core.spec import Preprocessing

    mean, std = (0.5, 0.4, 0.3), (0.5, 0.6, 0.7)
    transform = Transform.of(
        (3, *crop), Preprocessing(mean, std, 0.9, "bicubic", "here", crop_mode=mode)
    )
    for size in SIZES:
        image = synthetic_picture(*size, seed=2)
        theirs = create_transform(
            (3, *crop), crop_pct=0.9, crop_mode=mode, interpolation="bicubic", mean=mean, std=std
        )
        found = normalized(ImageTransform(transform)(image)[None], transform, torch.float32)[0]
        assert torch.equal(found, theirs(image))
    with pytest.raises(ValueError, match="unknown crop mode"):
        replace(transform, mode="corner")


@pytest.mark.requires("timm>=0.9")  # older ones have other weights
def test_the_test_time_size_has_its_own_crop() -> None:
    # timm's resnet50.a1_in1k: 224 of 235 pixels in training, 288 of 288 in testing.
    assert transform_of(spec_of("timm/resnet50")).resize == 235
    at_test = transform_of(spec_of("timm/resnet50@288"))
    assert (at_test.resize, at_test.crop) == (288, (288, 288))
    assert at_test.source == "timm's data configuration at its test-time size"
    # At any other size the fraction of training counts.
    assert transform_of(spec_of("timm/resnet50@160")).resize == 168


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("id", ["torchvision/resnet50", "torchvision/inception_v3"])
def test_torchvisions(id: str, size: tuple[int, int]) -> None:
    from torchvision import models

    spec, image = spec_of(id), synthetic_picture(*size, seed=3)
    theirs = models.get_model_weights(spec.name)[str(spec.weights)].transforms()
    assert torch.equal(ours(spec, image), theirs(image))


def test_an_image_smaller_than_the_crop_lies_on_black_as_with_torchvision() -> None:
    from torchvision import transforms

    from archbench.core.preprocessing import Transform

    transform = Transform.of((3, 131, 140), None, resize=90)
    theirs = transforms.Compose([transforms.Resize(90), transforms.CenterCrop((131, 140))])
    for size in SIZES:
        image = synthetic_picture(*size, seed=5)
        found = ImageTransform(transform)(image).permute(1, 2, 0).numpy()
        assert np.array_equal(found, np.asarray(theirs(image)))


def test_every_size_of_torchvision_is_the_stated_one() -> None:
    from torchvision import models

    for spec in load_catalog().suite("torchvision"):
        stated = models.get_model_weights(spec.name)[str(spec.weights)].transforms()
        assert transform_of(spec).resize == stated.resize_size[0], spec.id


def test_pytorchcvs() -> None:
    from torchvision import transforms

    # 224 of 256, bilinear, ImageNet's mean and standard deviation.
    theirs = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    image = synthetic_picture(500, 333, seed=4)
    assert torch.equal(ours(spec_of("pytorchcv/resnet50"), image), theirs(image))
    # Its table says 0.875 of NASNet-A at 331 pixels: 378.29, which it rounds up.
    assert transform_of(spec_of("pytorchcv/nasnet_6a4032")).resize == 379


def test_the_crop_of_the_command_line() -> None:
    """Seeds 002 and 004: the shorter side to 256, the middle 224."""
    transform = transform_of(spec_of("timm/resnet50"), resize=256, crop=224)
    assert (transform.resize, transform.crop, transform.mode) == (256, (224, 224), "center")
    assert transform.interpolation == "bicubic"
    with pytest.raises(NotMeasuredError, match=r"--crop=192: .* Select it as timm/resnet50@192"):
        transform_of(spec_of("timm/resnet50"), crop=192)


def test_the_picture_is_the_same_everywhere() -> None:
    """Whole numbers of numpy's PCG64, whose stream numpy promises to keep."""
    import hashlib

    pixels = np.asarray(synthetic_picture(40, 30, seed=0))
    assert pixels.shape == (30, 40, 3)
    generator = np.random.Generator(np.random.PCG64(0))
    grain = generator.integers(0, 60, (30, 40))
    # Row 12, column 20, first channel: (12 * 1 + 20 * 3) // 4 + ((12 // 9 + 20 // 13) % 2) * 90.
    assert pixels[12, 20, 0] == (72 // 4 + (2 % 2) * 90 + grain[12, 20]) % 256
    assert len(hashlib.sha256(pixels.tobytes()).hexdigest()) == 64
