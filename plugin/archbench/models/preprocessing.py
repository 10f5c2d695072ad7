"""Preprocessing as each library does it, on PIL images and on the device."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy
import torch
from PIL import Image
from torch import Tensor

from archbench.core.errors import NotMeasuredError
from archbench.core.preprocessing import Transform
from archbench.core.spec import ModelSpec, Preprocessing
from archbench.models.installed import constructors, require
from archbench.models.timm_configs import TimmConfig, data_config, timm_config


def transform_of(
    spec: ModelSpec,
    *,
    resize: int | None = None,
    crop: int | None = None,
    config: TimmConfig | None = None,
) -> Transform:
    """What the weights' own library does with an image, or the sizes that a person asks for.

    timm: its data configuration, at the test-time size where the architecture has that size.
    torchvision: the transforms of the weights. pytorchcv: the shorter side to the input size over
    the table's scale, rounded up, bilinear, ImageNet's mean and standard deviation, which its
    evaluation does. Others: what their spec states.

    Args:
        spec: the architecture.
        resize: pixels of the shorter side before the crop.
        crop: pixels of a side after it.
        config: timm's configuration of weights that are not the architecture's own.

    Raises:
        NotMeasuredError: the crop is not what the architecture takes, or it takes no RGB images.
    """
    if spec.other_inputs is not None:
        raise NotMeasuredError(
            "other-input-size", f"{spec.id} takes {spec.other_inputs}, and images on disk are RGB"
        )
    if crop is not None and (crop, crop) != spec.input_size[1:]:
        raise NotMeasuredError(
            "other-input-size",
            f"--crop={crop}: {spec.id} takes images of {spec.input_size[1]}x{spec.input_size[2]}. "
            f"Select it as {spec.library}/{spec.name}@{crop}, or leave --crop out",
        )
    stated = _STATED.get(spec.library, _of_spec)(spec, config)
    return stated.with_sizes(resize, crop)


def _of_timm(spec: ModelSpec, config: TimmConfig | None) -> Transform:
    require(spec)
    if config is None:
        try:
            config = timm_config(spec.name, spec.weights)
        except NotMeasuredError:
            # An older timm, and other weights than those it has no configuration of.
            config = timm_config(spec.name)
    test_size = config.get("test_input_size")
    is_test_size = test_size is not None and tuple(test_size) == spec.input_size
    data = data_config(config, use_test_size=is_test_size)
    stated = Preprocessing(
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
        crop_fraction=data["crop_pct"],
        interpolation=data["interpolation"],
        crop_mode=data["crop_mode"],
        source="timm's data configuration" + (" at its test-time size" if is_test_size else ""),
    )
    return Transform.of(spec.input_size, stated)


def _of_torchvision(spec: ModelSpec, config: TimmConfig | None) -> Transform:
    del config
    require(spec)
    models = constructors("torchvision")
    weights = models.get_model_weights(spec.name)
    transforms = (weights[spec.weights] if spec.weights else weights.DEFAULT).transforms()
    (crop,), (resized,) = transforms.crop_size, transforms.resize_size
    stated = Preprocessing(
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        crop_fraction=crop / resized,
        interpolation=transforms.interpolation.value,
        crop_mode="center",
        source=f"torchvision's transforms of {spec.weights or weights.DEFAULT.name}",
    )
    # A fraction would lose a pixel of what is stated in pixels.
    is_native = (crop, crop) == spec.input_size[1:]
    return Transform.of(spec.input_size, stated, resize=resized if is_native else None)


def _of_pytorchcv(spec: ModelSpec, config: TimmConfig | None) -> Transform:
    del config
    fraction = spec.preprocessing.crop_fraction if spec.preprocessing else None
    stated = Preprocessing(
        mean=None,
        std=None,
        crop_fraction=fraction,
        interpolation=None,
        source="pytorchcv's table of weights and its evaluation",
    )
    return Transform.of(spec.input_size, stated, round_up=True)


def _of_spec(spec: ModelSpec, config: TimmConfig | None) -> Transform:
    del config
    return Transform.of(spec.input_size, spec.preprocessing)


_STATED: dict[str, Callable[[ModelSpec, TimmConfig | None], Transform]] = {
    "timm": _of_timm,
    "torchvision": _of_torchvision,
    "pytorchcv": _of_pytorchcv,
}


def decode(data: bytes) -> Any:
    """An RGB image, as PIL decodes and converts it.

    Raises:
        OSError: it is no image, or cut off.
        ValueError: it has more pixels than PIL takes for an attack (179 million).
    """
    with warnings.catch_warnings():
        # Large but below the limit; transparency of a palette, which RGB has no place for.
        warnings.simplefilter("ignore")
        try:
            with Image.open(BytesIO(data)) as image:
                return image.convert("RGB")
        except Image.DecompressionBombError as error:
            raise ValueError(str(error)) from error
        except (SyntaxError, EOFError, TypeError) as error:
            # What PIL's plug-ins raise on some damaged headers.
            raise OSError(f"damaged: {error}") from error


class ImageTransform:
    """A PIL image to pixels ``(3, height, width)`` of 0 to 255.

    By PIL alone, bit for bit as torchvision and timm do it, neither of which need be installed.
    Pixels are normalised on the device, in batches: as bytes they are a fourth of the data that
    worker processes hand over.
    """

    def __init__(self, transform: Transform) -> None:
        self._transform = transform
        self._filter = Image.Resampling[transform.interpolation.upper()]
        # What lies beside a padded image is the mean, and black where the crop is too large.
        is_filled = transform.mode == "border"
        self._fill = tuple(round(255 * value) if is_filled else 0 for value in transform.mean)

    def __call__(self, image: Any) -> Tensor:
        """Resize and cut out."""
        size = _resized_size(self._transform, image.size)
        if size != image.size:
            image = image.resize(size, self._filter)
        image = _centre(image, self._transform.crop, self._fill)
        pixels = torch.from_numpy(numpy.array(image, dtype=numpy.uint8))
        return pixels.permute(2, 0, 1).contiguous()


def _resized_size(transform: Transform, size: tuple[int, int]) -> tuple[int, int]:
    """Width and height before the crop of an image of this width and height."""
    width, height = size
    wanted = transform.resize
    if isinstance(wanted, int):
        # torchvision's Resize: the longer side is cut to whole pixels.
        if width <= height:
            return wanted, int(wanted * height / width)
        return int(wanted * width / height), wanted
    if transform.mode == "squash":
        return wanted[1], wanted[0]
    # timm's ResizeKeepRatio: both sides are rounded.
    ratios = height / wanted[0], width / wanted[1]
    ratio = max(ratios) if transform.mode == "border" else min(ratios)
    return round(width / ratio), round(height / ratio)


def _centre(image: Any, crop: tuple[int, int], fill: tuple[int, ...]) -> Any:
    """The middle of an image, ``crop`` high and wide, with ``fill`` around one that is smaller."""
    height, width = crop
    lacking = max(width - image.width, 0), max(height - image.height, 0)
    if any(lacking):
        padded = Image.new(image.mode, (image.width + lacking[0], image.height + lacking[1]), fill)
        padded.paste(image, (lacking[0] // 2, lacking[1] // 2))
        image = padded
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def normalized(pixels: Tensor, transform: Transform, dtype: torch.dtype) -> Tensor:
    """Pixels of 0 to 255 ``(N, 3, H, W)`` as a model's input, computed in fp32."""
    mean, std = (
        torch.tensor(values, dtype=torch.float32, device=pixels.device).view(1, -1, 1, 1)
        for values in (transform.mean, transform.std)
    )
    return pixels.to(torch.float32).div_(255).sub_(mean).div_(std).to(dtype)
