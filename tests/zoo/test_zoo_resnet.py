from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torchvision.models import resnet152

# He et al. 2015, Table 1: blocks in a stage, width of the first two convolutions of each block.
STAGES = [(3, 64), (8, 128), (36, 256), (3, 512)]


def test_parameters_are_torchvision_s_plus_a_bias_for_each_output_channel(
    on_meta: Callable[[str], nn.Module], count_parameters: Callable[[nn.Module], int]
) -> None:
    biases = 64  # the first convolution
    for blocks, width in STAGES:
        biases += blocks * (width + width + 4 * width)
        biases += 4 * width  # the projection of the first block's input

    assert count_parameters(on_meta("fbresnet152")) == 60_192_808 + biases


def test_macs_are_those_without_biases(
    on_meta: Callable[[str], nn.Module], count_macs: Callable[[nn.Module], int]
) -> None:
    with torch.device("meta"):
        plain = resnet152().eval()

    assert count_macs(on_meta("fbresnet152")) == count_macs(plain)


def test_stride_is_in_the_3x3_convolution(on_meta: Callable[[str], nn.Module]) -> None:
    model = on_meta("fbresnet152")

    for stage in ("layer2", "layer3", "layer4"):
        first = model.get_submodule(f"{stage}.0.conv1")
        second = model.get_submodule(f"{stage}.0.conv2")
        assert isinstance(first, nn.Conv2d)
        assert isinstance(second, nn.Conv2d)
        assert (first.kernel_size, first.stride) == ((1, 1), (1, 1))
        assert (second.kernel_size, second.stride) == ((3, 3), (2, 2))
