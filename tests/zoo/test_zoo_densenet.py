from __future__ import annotations

from collections.abc import Callable

from torch import nn

GROWTH = 32
BLOCKS = (6, 12, 64, 48)  # Huang et al. 2017, Table 1, DenseNet-264


def closed_form() -> tuple[int, int]:
    """Parameters and MACs at 224 of the layers in the paper's Table 1."""
    convolutions = [(112, 7 * 7 * 3 * 64)]  # side, weights
    normalised = 64
    channels, side = 64, 56
    for block, layers in enumerate(BLOCKS):
        for _ in range(layers):
            convolutions += [(side, channels * 4 * GROWTH), (side, 9 * 4 * GROWTH * GROWTH)]
            normalised += channels + 4 * GROWTH
            channels += GROWTH
        normalised += channels  # of the transition, or after the last block
        if block < len(BLOCKS) - 1:
            convolutions.append((side, channels * channels // 2))
            channels, side = channels // 2, side // 2
    assert (channels, side) == (2688, 7)
    parameters = sum(weights for _, weights in convolutions) + 2 * normalised
    macs = sum(side**2 * weights for side, weights in convolutions)
    return parameters + (channels + 1) * 1000, macs + channels * 1000


def test_parameters(
    on_meta: Callable[[str], nn.Module], count_parameters: Callable[[nn.Module], int]
) -> None:
    assert count_parameters(on_meta("densenet264")) == closed_form()[0]


def test_macs(on_meta: Callable[[str], nn.Module], count_macs: Callable[[nn.Module], int]) -> None:
    assert count_macs(on_meta("densenet264")) == closed_form()[1]
