from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import nn

# Szegedy et al. 2014, Table 1: side, input channels, #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5,
# pool proj; and the column "ops", in millions.
INCEPTIONS = {
    "3a": ((28, 192, 64, 96, 128, 16, 32, 32), 128),
    "3b": ((28, 256, 128, 128, 192, 32, 96, 64), 304),
    "4a": ((14, 480, 192, 96, 208, 16, 48, 64), 73),
    "4b": ((14, 512, 160, 112, 224, 24, 64, 64), 88),
    "4c": ((14, 512, 128, 128, 256, 24, 64, 64), 100),
    "4d": ((14, 512, 112, 144, 288, 32, 64, 64), 119),
    "4e": ((14, 528, 256, 160, 320, 32, 128, 128), 170),
    "5a": ((7, 832, 256, 160, 320, 32, 128, 128), 54),
    "5b": ((7, 832, 384, 192, 384, 48, 128, 128), 71),
}
# Side, input channels, output channels, kernel.
STEM = [(112, 3, 64, 7), (56, 64, 64, 1), (56, 64, 192, 3)]


def convolutions() -> list[tuple[int, int, int, int]]:
    """Side, input channels, output channels and kernel of all 57, from the table."""
    return STEM + [row for name in INCEPTIONS for row in inception(name)]


def inception(name: str) -> list[tuple[int, int, int, int]]:
    side, channels, one, reduce3, three, reduce5, five, pooled = INCEPTIONS[name][0]
    return [
        (side, channels, one, 1),
        (side, channels, reduce3, 1),
        (side, reduce3, three, 3),
        (side, channels, reduce5, 1),
        (side, reduce5, five, 5),
        (side, channels, pooled, 1),
    ]


def macs_of(rows: list[tuple[int, int, int, int]]) -> int:
    return sum(side**2 * i * o * k * k for side, i, o, k in rows)


@pytest.mark.parametrize("name", sorted(INCEPTIONS.keys() - {"5a"}))
def test_table_agrees_with_the_operations_printed_beside_it(name: str) -> None:
    assert macs_of(inception(name)) == pytest.approx(INCEPTIONS[name][1] * 1e6, abs=1e6)


def test_parameters(
    on_meta: Callable[[str], nn.Module], count_parameters: Callable[[nn.Module], int]
) -> None:
    expected = sum((k * k * i + 1) * o for _, i, o, k in convolutions()) + 1024 * 1000 + 1000

    assert count_parameters(on_meta("googlenet_lrn")) == expected == 6_998_552


def test_macs(on_meta: Callable[[str], nn.Module], count_macs: Callable[[nn.Module], int]) -> None:
    assert count_macs(on_meta("googlenet_lrn")) == macs_of(convolutions()) + 1024 * 1000


def test_convolutions_come_in_the_order_of_the_table(on_meta: Callable[[str], nn.Module]) -> None:
    built = [
        (layer.in_channels, layer.out_channels, layer.kernel_size[0])
        for layer in on_meta("googlenet_lrn").modules()
        if isinstance(layer, nn.Conv2d)
    ]

    assert built == [(i, o, k) for _, i, o, k in convolutions()]


def test_normalised_locally_twice_and_by_no_batch(on_meta: Callable[[str], nn.Module]) -> None:
    layers = list(on_meta("googlenet_lrn").modules())

    assert sum(isinstance(layer, nn.LocalResponseNorm) for layer in layers) == 2
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in layers)
