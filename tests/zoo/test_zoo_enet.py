from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

# Paszke et al. 2016, Table 1: side of the output at 224, input and output channels, and the weights
# of the main convolution for one pair of channels: 3x3, dilated 3x3, or 5x1 and 1x5.
REGULAR, ASYMMETRIC = 9, 10
SECTION = [REGULAR, REGULAR, ASYMMETRIC, REGULAR, REGULAR, REGULAR, ASYMMETRIC, REGULAR]
BOTTLENECKS = [
    (56, 16, 64, REGULAR),  # 1.0
    *[(56, 64, 64, REGULAR)] * 4,  # 1.1 to 1.4
    (28, 64, 128, REGULAR),  # 2.0
    *[(28, 128, 128, main) for main in SECTION],  # 2.1 to 2.8
    *[(28, 128, 128, main) for main in SECTION],  # 3.1 to 3.8
]
INITIAL = 3 * 3 * 3 * 13


def weights(in_channels: int, out_channels: int, main: int) -> int:
    """Of a bottleneck's convolutions; the projection is 2x2 where the channels grow."""
    inner = out_channels // 4
    projection = in_channels * inner * (1 if in_channels == out_channels else 4)
    return projection + inner * inner * main + inner * out_channels


def test_parameters(
    on_meta: Callable[[str], nn.Module], count_parameters: Callable[[nn.Module], int]
) -> None:
    expected = INITIAL + 13 + 3 * 16  # biases; BatchNorm and PReLU
    for _, in_channels, out_channels, main in BOTTLENECKS:
        inner = out_channels // 4
        expected += weights(in_channels, out_channels, main)
        expected += inner  # biases of the main convolution
        expected += 3 * inner + 3 * inner  # BatchNorm and PReLU before and after it
        expected += 2 * out_channels + out_channels  # BatchNorm at the end, PReLU after the sum
    expected += (128 + 1) * 1000

    assert count_parameters(on_meta("enet_classifier")) == expected


def test_macs(on_meta: Callable[[str], nn.Module], count_macs: Callable[[nn.Module], int]) -> None:
    expected = 112**2 * INITIAL + 128 * 1000
    expected += sum(side**2 * weights(i, o, main) for side, i, o, main in BOTTLENECKS)

    assert count_macs(on_meta("enet_classifier")) == expected


def test_dilations_and_dropout_follow_the_table(on_meta: Callable[[str], nn.Module]) -> None:
    layers = list(on_meta("enet_classifier").modules())
    dilated = [x.dilation[0] for x in layers if isinstance(x, nn.Conv2d) and x.dilation[0] > 1]
    dropped = [x.p for x in layers if isinstance(x, nn.Dropout2d)]

    assert dilated == [2, 4, 8, 16, 2, 4, 8, 16]
    assert dropped == [0.01] * 5 + [0.1] * 17


def test_stages_have_the_shapes_of_the_table(on_meta: Callable[[str], nn.Module]) -> None:
    x = torch.zeros(1, 3, 512, 512, device="meta")  # the size of the paper's table
    shapes = []
    for stage in list(on_meta("enet_classifier").children())[: 1 + len(BOTTLENECKS)]:
        x = stage(x)
        shapes.append(tuple(x.shape[1:]))

    assert shapes == [(16, 256, 256)] + [(64, 128, 128)] * 5 + [(128, 64, 64)] * 17


def test_downsampling_keeps_the_pooled_input() -> None:
    from archbench.zoo.enet import enet_classifier

    halving = list(enet_classifier().eval().children())[1]
    for layer in halving.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.zeros_(layer.weight)  # silences the residual branch
    image = torch.rand(1, 16, 4, 4)

    with torch.no_grad():
        out = halving(image)

    assert torch.equal(out[:, :16], nn.functional.max_pool2d(image, 2))
    assert torch.equal(out[:, 16:], torch.zeros(1, 48, 2, 2))
