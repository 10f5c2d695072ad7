from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from pytorchcv.models.msdnet import MSDNet
from torch import nn

from archbench.zoo import constructor

# Exit, layers before it and GMACs that BertMoons/Comparing-CNN-Architectures plots (2 operations
# for each MAC).
POINTS = {
    "msdnet_a": (1, 7, 1000 / 2000),
    "msdnet_b": (2, 14, 2500 / 2000),
    "msdnet_c": (3, 21, 4200 / 2000),
    "msdnet_d": (5, 35, 6400 / 2000),
}
FACTORS = (1, 2, 4, 4)  # width of the four scales, and how far their bottlenecks widen
SIDES = (56, 28, 14, 7)
# Width of the finest scale in front of each of the 35 layers: from 32, each layer adds 16. Layers
# 10, 19 and 28 read one scale more than they write and halve what they have: (176 + 16) / 2 = 96.
WIDTHS = [*range(32, 177, 16), *range(96, 225, 16), *range(120, 249, 16), *range(132, 229, 16)]
HALVING = (10, 19, 28)


def closed_form(layers: int) -> tuple[int, int]:
    """Parameters and MACs at 224 of everything that the classifier behind a layer needs.

    A new map of scale s costs a 1x1 bottleneck and a 3x3 convolution from scale s of the layer
    before, and from scale s - 1 with stride 2, where there is one. Every convolution is followed
    by a BatchNorm.
    """
    parameters = macs = 0

    def convolution(in_channels: int, out_channels: int, kernel: int, side: int) -> None:
        nonlocal parameters, macs
        weights = in_channels * out_channels * kernel**2
        parameters += weights + 2 * out_channels
        macs += weights * side**2

    def grow(scale: int, width: int, new: int, out_side: int) -> None:
        inner = min(FACTORS[scale] * width, FACTORS[scale] * new)
        convolution(FACTORS[scale] * width, inner, 1, SIDES[scale])
        convolution(inner, new, 3, out_side)

    convolution(3, 32, 7, 112)
    for scale in (1, 2, 3):
        convolution(32 * FACTORS[scale - 1], 32 * FACTORS[scale], 3, SIDES[scale])
    finest = 0
    for layer in range(1, layers + 1):
        width = WIDTHS[layer - 1]
        finest_read = finest
        finest = max(sum(layer >= cut for cut in HALVING), 3 - (layers - layer))
        for scale in range(finest, 4):
            new = 16 * FACTORS[scale]
            if scale > finest_read:
                grow(scale - 1, width, new // 2, SIDES[scale])
                grow(scale, width, new // 2, SIDES[scale])
            else:
                grow(scale, width, new, SIDES[scale])
            if layer in HALVING:
                wide = (width + 16) * FACTORS[scale]
                convolution(wide, wide // 2, 1, SIDES[scale])
    channels = 4 * (WIDTHS[layers] if layers < 35 else 244)
    convolution(channels, channels, 3, 4)
    convolution(channels, channels, 3, 2)
    return parameters + (channels + 1) * 1000, macs + channels * 1000


@pytest.mark.parametrize("name", POINTS)
def test_parameters(
    name: str, on_meta: Callable[[str], nn.Module], count_parameters: Callable[[nn.Module], int]
) -> None:
    assert count_parameters(on_meta(name)) == closed_form(POINTS[name][1])[0]


def test_macs_are_near_the_budgets_and_in_their_order(
    on_meta: Callable[[str], nn.Module], count_macs: Callable[[nn.Module], int]
) -> None:
    macs = {name: count_macs(on_meta(name)) for name in POINTS}

    assert macs == {name: closed_form(layers)[1] for name, (_, layers, _) in POINTS.items()}
    budgets = {name: gmacs * 1e9 for name, (_, _, gmacs) in POINTS.items()}
    assert macs == pytest.approx(budgets, rel=0.07)
    assert list(macs.values()) == sorted(set(macs.values()))


def with_all_exits() -> MSDNet:
    """The whole network of the paper, all five exits and all scales, in pytorchcv's class."""
    channels, bottlenecks = [], []
    for layer, width in enumerate(WIDTHS, start=1):
        cut = sum(layer >= boundary for boundary in HALVING)
        read = sum(layer - 1 >= boundary for boundary in HALVING)
        channels.append([(width + 16) * factor for factor in FACTORS[cut:]])
        bottlenecks.append(list(FACTORS[read:]))
        if layer in HALVING:
            channels.append([(width + 16) // 2 * factor for factor in FACTORS[cut:]])
            bottlenecks.append([])
    ends = [7, 15, 23, 31, 38]  # after 7, 14, ... layers and the transitions among them
    starts = [0, *ends[:-1]]
    return MSDNet(
        channels=[channels[a:b] for a, b in zip(starts, ends, strict=True)],
        init_layer_channels=[32 * factor for factor in FACTORS],
        num_feature_blocks=5,
        use_bottleneck=True,
        bottleneck_factors=[bottlenecks[a:b] for a, b in zip(starts, ends, strict=True)],
    )


def test_each_point_computes_what_that_exit_of_the_whole_network_computes() -> None:
    torch.manual_seed(0)
    whole = with_all_exits().eval()
    image = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        exits = whole(image, only_last=False)

    for name, (number, _, _) in POINTS.items():
        model = constructor(name)().eval()
        copy_weights(whole, model, number)
        with torch.inference_mode():
            torch.testing.assert_close(model(image), exits[number - 1], rtol=1e-4, atol=1e-4)


def copy_weights(whole: nn.Module, model: nn.Module, number: int) -> None:
    """Fill a point's layers from the same layers of the whole network, matched from the coarsest
    scale up, so that every weight of the point has to find its counterpart."""
    copy(whole.get_submodule("init_layer"), model.get_submodule("init_layer"))
    copy(
        whole.get_submodule(f"classifiers.classifier{number}"),
        model.get_submodule("classifiers.classifier1"),
    )
    theirs = [
        layer
        for block in range(1, number + 1)
        for layer in whole.get_submodule(f"feature_blocks.block{block}.blocks").children()
    ]
    ours = list(model.get_submodule("feature_blocks.block1.blocks").children())
    for source, target in zip(theirs, ours, strict=True):
        sources = list(source.get_submodule("scale_blocks").children())
        targets = list(target.get_submodule("scale_blocks").children())
        for one, other in zip(sources[-len(targets) :], targets, strict=True):
            copy(one, other)


def copy(source: nn.Module, target: nn.Module) -> None:
    target.load_state_dict(source.state_dict(), strict=True)
