"""A hue for each family of networks, shades within it, a marker: the same in every chart.

After Canziani et al. 2016: networks of one group share the hue. Hue, lightness and the shape of the
marker differ between families, so that they can be distinguished with colour-blind eyes as well.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from archbench.core.rows import Row

# Around the wheel, 15 degrees each, beginning at ResNet's pink: what the classic comparisons hold.
# Families that stand in one comparison most often lie far apart; neighbours differ in lightness
# and in their marker.
_WHEEL = (
    "ResNet", "DPN", "EfficientNet", "DenseNet", "SENet", "MixNet", "AlexNet", "NIN", "MNASNet",
    "Inception", "ENet", "MSDNet", "SqueezeNet", "Xception", "ShuffleNet", "DarkNet", "ViT", "VGG",
    "NASNet", "ConvNeXt", "MobileNet", "RegNet", "ResNeXt", "HarDNet",
)  # fmt: skip
# Between them, in the same order.
_BETWEEN = (
    "Res2Net", "MLP", "DLA", "FastViT", "VoVNet", "GhostNet", "Hybrid ViT", "MaxViT", "EVA",
    "RepVGG", "PVT", "NFNet", "XCiT", "MetaFormer", "MobileViT", "HRNet", "Swin", "MViT", "DeiT",
    "EfficientViT", "ResNeSt",
)  # fmt: skip
_OTHER = "other"
_SLOTS = 48
_FIRST_HUE = 355.0
_MARKERS = ("o", "s", "^", "D", "v", "P", "p", "X")
_LIGHTNESS = (0.56, 0.68, 0.48)
_CHROMA = 0.15
_SPREAD = 0.11
DARK = 0.1
"""By so much lighter are colours on dark paper."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a family is drawn.

    Attributes:
        hue: degrees in OKLCH; None for grey.
        lightness: of its middle shade, 0 to 1.
        marker: matplotlib's name of its shape.
    """

    hue: float | None
    lightness: float
    marker: str

    @property
    def colour(self) -> str:
        """``#rrggbb`` of its middle shade."""
        return self.shade(0.5)

    def shade(self, place: float) -> str:
        """``#rrggbb``: the lightest for ``place`` 0, the darkest for 1."""
        lightness = self.lightness + _SPREAD * (1 - 2 * place)
        return hex_colour(lightness, 0.0 if self.hue is None else _CHROMA, self.hue or 0.0)


def _plain(family: str) -> str:
    return re.sub(r"[\W_]+", "", family.casefold())


_SLOT_OF = {_plain(family): 2 * n for n, family in enumerate(_WHEEL)} | {
    _plain(family): 2 * n + 1 for n, family in enumerate(_BETWEEN)
}


def family_look(family: str, lift: float = 0.0) -> Look:
    """The look of a family, which depends on its name alone.

    Known families have a place of their own; ``Other`` is grey; an unknown one is given a place by
    a checksum of its name, so that it may share a hue. All are lighter by ``lift``.
    """
    name = _plain(family)
    if name == _OTHER:
        return Look(None, 0.55 + lift, "o")
    slot = _SLOT_OF.get(name)
    if slot is None:
        slot = zlib.crc32(family.encode("utf-8", "replace")) % _SLOTS
    number = slot // 2
    return Look(
        (_FIRST_HUE + slot * 360 / _SLOTS) % 360,
        _LIGHTNESS[number % 3] + lift,
        _MARKERS[(number + slot % 2) % len(_MARKERS)],
    )


def natural_key(name: str) -> tuple[tuple[bool, int, str], ...]:
    """Sorts ``resnet18`` before ``resnet101``."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name.casefold())
    return tuple((part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts)


def shades(points: Iterable[Row], lift: float = 0.0) -> dict[tuple[str, str], str]:
    """``#rrggbb`` of each architecture, by its id and name: one hue per family.

    Within a family the network with the most params is the darkest; where params are unknown the
    order is that of the names.
    """
    families: dict[str, dict[tuple[str, str], float]] = {}
    for point in points:
        members = families.setdefault(point.family, {})
        size = point.value("params")
        members.setdefault((point.id, point.name), math.inf)
        if size is not None:
            members[point.id, point.name] = min(size, members[point.id, point.name])
    colours = {}
    for family, members in families.items():
        look = family_look(family, lift)
        order = sorted(members, key=lambda key: (members[key], natural_key(key[1]), key[0]))
        for n, key in enumerate(order):
            colours[key] = look.shade(n / (len(order) - 1)) if len(order) > 1 else look.colour
    return colours


@cache
def hex_colour(lightness: float, chroma: float, hue: float) -> str:
    """``#rrggbb`` of a colour in OKLCH; the chroma is lowered until the screen can show it.

    Source of the matrices: B. Ottosson, "A perceptual color space for image processing", 2020.

    Args:
        lightness: 0 to 1.
        chroma: 0 to about 0.3.
        hue: degrees.
    """
    while True:
        rgb = _linear_rgb(lightness, chroma, math.radians(hue))
        if chroma <= 0 or all(-1e-3 <= part <= 1 + 1e-3 for part in rgb):
            break
        chroma -= 0.005
    return "#" + "".join(f"{round(255 * _gamma(part)):02x}" for part in rgb)


def _linear_rgb(lightness: float, chroma: float, angle: float) -> Sequence[float]:
    a, b = chroma * math.cos(angle), chroma * math.sin(angle)
    l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3  # noqa: E741
    m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    s = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
        -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
        -0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s,
    )


def _gamma(part: float) -> float:
    """The transfer function of sRGB, IEC 61966-2-1."""
    part = min(max(part, 0.0), 1.0)
    return 12.92 * part if part <= 0.0031308 else 1.055 * part ** (1 / 2.4) - 0.055
