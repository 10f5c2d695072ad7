"""Four points on the budget curve of Multi-Scale DenseNets.

A Multi-Scale DenseNet is one network with classifiers along its depth; how much of it runs depends
on the budget. BertMoons/Comparing-CNN-Architectures plots four points of that curve, MSD-A to
MSD-D, at 1000, 2500, 4200 and 6400 M operations: 0.5, 1.25, 2.1 and 3.2 GMACs. Which networks they
are is not said. The four here are exits 1, 2, 3 and 5 of one network, the largest that Huang et al.
2018 (arXiv:1703.09844) trained for ImageNet, with a classifier after every seventh layer. Its
widths are those of the authors' PyTorch release (kalviny/MSDNet-PyTorch, ``run_imagenet.sh``).

===== ==== ====== ========== ============= ========== ==========
point exit layers parameters MACs at 224   budget     difference
===== ==== ====== ========== ============= ========== ==========
A     1    7      8,575,656  502,045,184   0.5 GMACs  +0.4 %
B     2    14     13,383,560 1,274,577,920 1.25 GMACs +2.0 %
C     3    21     16,875,016 2,085,527,296 2.1 GMACs  -0.7 %
D     5    35     34,932,200 2,993,660,544 3.2 GMACs  -6.4 %
===== ==== ====== ========== ============= ========== ==========

Each is built alone: layers, scales and classifiers that its exit does not need do not exist. A
network that stops at exit 5 only after it has tried the four classifiers before costs 252,520,320
MACs more than D, 3.25 GMACs, which may be how the plotted point comes to 3.2.

Images must have 129 to 384 pixels on a side: then the last feature map, a 32nd of that, leaves the
classifier's three halvings as a single pixel.
"""

from __future__ import annotations

import math

from pytorchcv.models.msdnet import MSDNet
from torch import nn

_WIDTHS = (1, 2, 4, 4)
"""Channels of the four scales relative to the finest; bottlenecks widen by the same factors."""

_STEM = 32
"""Channels of the finest scale before the first layer."""

_GROWTH = 16
"""Channels that a layer adds to the finest scale."""

_LAYERS_PER_EXIT = 7
_EXITS = 5


def msdnet_a(num_classes: int = 1000) -> nn.Module:
    """MSD-A, 0.5 GMACs: exit 1, 7 layers.

    Parameters: 8,575,656. MACs at 224: 502,045,184.
    """
    return _up_to_exit(1, num_classes)


def msdnet_b(num_classes: int = 1000) -> nn.Module:
    """MSD-B, 1.25 GMACs: exit 2, 14 layers.

    Parameters: 13,383,560. MACs at 224: 1,274,577,920.
    """
    return _up_to_exit(2, num_classes)


def msdnet_c(num_classes: int = 1000) -> nn.Module:
    """MSD-C, 2.1 GMACs: exit 3, 21 layers.

    Parameters: 16,875,016. MACs at 224: 2,085,527,296.
    """
    return _up_to_exit(3, num_classes)


def msdnet_d(num_classes: int = 1000) -> nn.Module:
    """MSD-D, 3.2 GMACs: exit 5, all 35 layers.

    Parameters: 34,932,200. MACs at 224: 2,993,660,544.
    """
    return _up_to_exit(5, num_classes)


def _up_to_exit(number: int, num_classes: int) -> nn.Module:
    """The network that the classifier at exit ``number`` (1 to 5) needs, and nothing else.

    pytorchcv's class puts a classifier behind each of its feature blocks, so all layers form one.
    """
    channels, bottlenecks = _layers(number * _LAYERS_PER_EXIT)
    model: nn.Module = MSDNet(
        channels=[channels],
        init_layer_channels=[_STEM * width for width in _WIDTHS],
        num_feature_blocks=1,
        use_bottleneck=True,
        bottleneck_factors=[bottlenecks],
        num_classes=num_classes,
    )
    return model


def _layers(last: int) -> tuple[list[list[int]], list[list[int]]]:
    """Layers 1 to ``last`` in the terms of pytorchcv's class.

    Two rules of section 4 take finer scales away. The network is cut into as many equal parts as
    it has scales, each part starts one scale coarser than the one before, and a transition behind
    its first layer halves the channels. And since a classifier reads the coarsest scale, which in
    each layer reads itself and the next finer one of the layer before, the last layers before the
    exit need only the coarsest one, two, three scales (lazy evaluation).

    Returns:
        The output channels of each layer and transition, one number for each scale that it has,
        finest first; and the bottleneck factors of each layer, one for each scale that it reads,
        or an empty list for a transition.
    """
    part = math.ceil(_LAYERS_PER_EXIT * _EXITS / len(_WIDTHS))
    channels: list[list[int]] = []
    bottlenecks: list[list[int]] = []
    width, scales = _STEM, len(_WIDTHS)
    for layer in range(last):
        bottlenecks.append(list(_WIDTHS[-scales:]))
        scales = min(len(_WIDTHS) - layer // part, last - layer)
        width += _GROWTH
        channels.append([width * factor for factor in _WIDTHS[-scales:]])
        if layer and layer % part == 0:
            width //= 2
            channels.append([width * factor for factor in _WIDTHS[-scales:]])
            bottlenecks.append([])
    return channels, bottlenecks
