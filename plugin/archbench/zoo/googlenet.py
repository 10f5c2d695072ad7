"""GoogLeNet as first published: local response normalisation instead of batch normalisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def googlenet_lrn(num_classes: int = 1000) -> nn.Module:
    """GoogLeNet with local response normalisation, 5x5 convolutions and no auxiliary classifiers.

    Source: Szegedy et al. 2014 (arXiv:1409.4842), Table 1 for the layers and Figure 3 for the
    places of the two normalisations. The paper leaves out their constants; these are Caffe's
    ``bvlc_googlenet``: 5 channels, alpha 1e-4, beta 0.75, k 1. Every convolution has a bias and a
    ReLU; the poolings with stride 2 round up. Bianco et al. 2018 measured this network;
    torchvision's has BatchNorm and replaces 5x5 by 3x3. The output is logits.

    Shapes at 224: 64x112x112, pool 56, 192x56x56, pool 28, 480x28x28, pool 14, 832x14x14, pool 7,
    1024x7x7, 1024 -> 1000.

    Parameters: 6,998,552 = 124,416 (the first three convolutions) + 5,849,136 (the nine
    inceptions) + 1,025,000 (linear layer).
    MACs at 224: 118,013,952 + 359,661,568 + 1,103,972,352 + 1,024,000 (in the same order, the
    first convolution by itself) = 1,582,671,872. Table 1 prints 34 M for the first convolution,
    whose 112^2 * 64 * 7^2 * 3 are 118 M, and 54 M for inception 5a, which has 51 M; its other rows
    agree.
    """
    return nn.Sequential(
        *_convolution(3, 64, 7, stride=2),
        _halving_pool(),
        _normalisation(),
        *_convolution(64, 64, 1),
        *_convolution(64, 192, 3),
        _normalisation(),
        _halving_pool(),
        _Inception(192, 64, (96, 128), (16, 32), 32),  # 3a
        _Inception(256, 128, (128, 192), (32, 96), 64),  # 3b
        _halving_pool(),
        _Inception(480, 192, (96, 208), (16, 48), 64),  # 4a
        _Inception(512, 160, (112, 224), (24, 64), 64),  # 4b
        _Inception(512, 128, (128, 256), (24, 64), 64),  # 4c
        _Inception(512, 112, (144, 288), (32, 64), 64),  # 4d
        _Inception(528, 256, (160, 320), (32, 128), 128),  # 4e
        _halving_pool(),
        _Inception(832, 256, (160, 320), (32, 128), 128),  # 5a
        _Inception(832, 384, (192, 384), (48, 128), 128),  # 5b
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.4),
        nn.Linear(1024, num_classes),
    )


class _Inception(nn.Module):
    """Four branches side by side, (N, C, H, W) -> (N, sum of the branches, H, W).

    Args:
        in_channels: C.
        one: channels of the 1x1 branch.
        three: channels of the reduction and of the convolution in the 3x3 branch.
        five: the same in the 5x5 branch.
        pooled: channels of the projection after the pooling.
    """

    def __init__(
        self, in_channels: int, one: int, three: tuple[int, int], five: tuple[int, int], pooled: int
    ) -> None:
        super().__init__()
        self.one = nn.Sequential(*_convolution(in_channels, one, 1))
        self.three = nn.Sequential(
            *_convolution(in_channels, three[0], 1), *_convolution(*three, 3)
        )
        self.five = nn.Sequential(*_convolution(in_channels, five[0], 1), *_convolution(*five, 5))
        self.pooled = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1), *_convolution(in_channels, pooled, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((self.one(x), self.three(x), self.five(x), self.pooled(x)), dim=1)


def _convolution(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1
) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2),
        nn.ReLU(inplace=True),
    )


def _halving_pool() -> nn.Module:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def _normalisation() -> nn.Module:
    return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)
