"""A library of architectures that archbench does not have: plain networks for small images."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from archbench import ModelSpec

WIDTHS = {"plain_s": (16, 32), "plain_m": (32, 64)}


def plain(widths: tuple[int, ...], classes: int = 10) -> nn.Module:
    """A convolution for each width; takes images ``(N, 3, H, W)``."""
    layers: list[nn.Module] = []
    for before, width in pairwise((3, *widths)):
        layers += [nn.Conv2d(before, width, 3, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))


def pytest_archbench_models() -> list[ModelSpec]:
    """Every architecture of the library; none is built before its test runs."""
    return [
        ModelSpec.of(plain, name=name, input_size=32, kwargs={"widths": widths})
        for name, widths in WIDTHS.items()
    ]
