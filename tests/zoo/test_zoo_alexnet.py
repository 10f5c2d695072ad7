from __future__ import annotations

from collections.abc import Callable

from torch import nn

# Input channels, output channels, kernel, side of the output at 224.
CONVOLUTIONS = [
    (3, 64, 11, (224 + 2 * 2 - 11) // 4 + 1),
    (64, 192, 5, 27),
    (192, 384, 3, 13),
    (384, 256, 3, 13),
    (256, 256, 3, 13),
]
LINEAR = [(256 * 6 * 6, 4096), (4096, 4096), (4096, 1000)]


def test_parameters_are_torchvision_s_alexnet_plus_batch_norm(
    on_meta: Callable[[str], nn.Module], count_parameters: Callable[[nn.Module], int]
) -> None:
    weights_and_biases = sum((k * k * i + 1) * o for i, o, k, _ in CONVOLUTIONS)
    weights_and_biases += sum((i + 1) * o for i, o in LINEAR)
    assert weights_and_biases == 61_100_840  # as torchvision documents its AlexNet
    normalised = [64, 192, 384, 256, 256, 4096, 4096]

    parameters = count_parameters(on_meta("bn_alexnet"))

    assert parameters == weights_and_biases + 2 * sum(normalised)


def test_macs(on_meta: Callable[[str], nn.Module], count_macs: Callable[[nn.Module], int]) -> None:
    expected = sum(k * k * i * o * side**2 for i, o, k, side in CONVOLUTIONS)
    expected += sum(i * o for i, o in LINEAR)

    assert count_macs(on_meta("bn_alexnet")) == expected


def test_every_hidden_layer_is_normalised_and_rectified(
    on_meta: Callable[[str], nn.Module],
) -> None:
    layers = list(on_meta("bn_alexnet").children())
    weighted = [at for at, layer in enumerate(layers) if isinstance(layer, nn.Conv2d | nn.Linear)]

    assert len(weighted) == 5 + 3
    for at in weighted[:-1]:
        assert isinstance(layers[at + 1], nn.BatchNorm2d | nn.BatchNorm1d)
        assert isinstance(layers[at + 2], nn.ReLU)
    assert layers[weighted[-1] + 1 :] == []
