"""From a decoded image to a model's input, as values: what is resized, cut out and normalised."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from archbench.core.errors import UsageError
from archbench.core.forms import Stored
from archbench.core.spec import Preprocessing

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of the training images' channels in [0, 1]: what stands in where a library states none."""

DEFAULT_CROP_FRACTION = 0.875
"""224 of 256 pixels (Krizhevsky et al. 2012, section 4.1)."""

MODES = ("center", "squash", "border")
"""See :attr:`archbench.core.spec.Preprocessing.crop_mode`."""


@dataclass(frozen=True, slots=True)
class Transform(Stored):
    """How an RGB image becomes a model's input.

    Attributes:
        resize: pixels of the shorter side (``center`` and a square crop), else height and width.
        crop: height and width of what is cut out of the middle.
        mode: one of :data:`MODES`.
        interpolation: the filter's name: ``bilinear``, ``bicubic``.
        mean, std: of each channel of pixels in [0, 1].
        source: who states it.
    """

    resize: int | tuple[int, int]
    crop: tuple[int, int]
    mode: str
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"unknown crop mode {self.mode!r}; modes are {', '.join(MODES)}")

    @classmethod
    def of(
        cls,
        input_size: tuple[int, ...],
        stated: Preprocessing | None,
        *,
        round_up: bool = False,
        resize: int | None = None,
    ) -> Transform:
        """What a library states, with the field's habits where it is silent.

        Args:
            input_size: channels, height, width.
            stated: by the library; None where it states nothing.
            round_up: whether the size before the crop is rounded up, as pytorchcv does, or down,
                as timm does.
            resize: pixels of the shorter side, where they are stated rather than a fraction.
        """
        height, width = input_size[1:]
        fraction = (stated.crop_fraction if stated else None) or DEFAULT_CROP_FRACTION
        whole = math.ceil if round_up else math.floor
        scaled = (whole(height / fraction), whole(width / fraction))
        mode = (stated.crop_mode if stated else None) or "center"
        if resize is None:
            size: int | tuple[int, int] = (
                scaled[0] if mode == "center" and scaled[0] == scaled[1] else scaled
            )
        else:
            size = resize
        return cls(
            resize=size,
            crop=(height, width),
            mode=mode,
            interpolation=(stated.interpolation if stated else None) or "bilinear",
            mean=(stated.mean if stated else None) or IMAGENET_MEAN,
            std=(stated.std if stated else None) or IMAGENET_STD,
            source=stated.source if stated else "nothing is stated; as torchvision's first models",
        )

    def with_sizes(self, resize: int | None, crop: int | None) -> Transform:
        """The single central crop of a person's own sizes: the shorter side resized, the middle
        cut out. What is None stays, or keeps its share of the other.

        Args:
            resize: pixels of the shorter side before the crop.
            crop: pixels of a side after it.

        Raises:
            UsageError: the crop is larger than what it is cut out of.
        """
        if resize is None and crop is None:
            return self
        new_crop = self.crop if crop is None else (crop, crop)
        if resize is None:
            before = self.resize if isinstance(self.resize, int) else min(self.resize)
            resize = round(before * min(new_crop) / min(self.crop))
        if resize < min(new_crop):
            raise UsageError(
                f"--resize={resize}",
                f"the crop of these weights is {min(new_crop)} pixels, larger than what it is cut "
                "out of",
                f"Give a --crop as well, or at least --resize={min(new_crop)}",
            )
        return replace(
            self,
            resize=resize,
            crop=new_crop,
            mode="center",
            source=f"{self.source}; sizes of the command line",
        )

    @property
    def text(self) -> str:
        """``short side 256 bilinear, centre 224x224``."""
        side = (
            f"short side {self.resize}"
            if isinstance(self.resize, int)
            else f"{self.mode} {self.resize[0]}x{self.resize[1]}"
        )
        return f"{side} {self.interpolation}, centre {self.crop[0]}x{self.crop[1]}"
