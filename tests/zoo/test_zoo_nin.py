from __future__ import annotations

from collections.abc import Callable

from torch import nn

# Input channels, output channels, kernel of the first convolution, side of the output at 224.
BLOCKS = [(3, 96, 11, 56), (96, 256, 5, 28), (256, 384, 3, 14), (384, 1024, 3, 7)]
LINEAR = 1024 * 1000


def test_parameters(
    on_meta: Callable[[str], nn.Module], count_parameters: Callable[[nn.Module], int]
) -> None:
    weights = sum(k * k * i * o + 2 * o * o for i, o, k, _ in BLOCKS)
    biases = sum(3 * o for _, o, _, _ in BLOCKS)
    batch_norm = 2 * biases

    parameters = count_parameters(on_meta("bn_nin"))

    assert parameters == weights + biases + batch_norm + LINEAR + 1000
    assert round(parameters / 8.75e6, 1) == 1.0  # read off the plot of Canziani et al. 2016


def test_macs(on_meta: Callable[[str], nn.Module], count_macs: Callable[[nn.Module], int]) -> None:
    expected = sum((k * k * i * o + 2 * o * o) * side**2 for i, o, k, side in BLOCKS) + LINEAR

    macs = count_macs(on_meta("bn_nin"))

    assert macs == expected
    assert round(2 * macs / 2500e6, 1) == 1.0  # read off the plot of Canziani et al. 2016


def test_twelve_convolutions_are_normalised_and_rectified(
    on_meta: Callable[[str], nn.Module],
) -> None:
    layers = list(on_meta("bn_nin").children())
    convolutions = [at for at, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]

    assert len(convolutions) == 12
    for at in convolutions:
        assert isinstance(layers[at + 1], nn.BatchNorm2d)
        assert isinstance(layers[at + 2], nn.ReLU)
