"""ENet's encoder as a classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_EPS = 1e-3


def enet_classifier(num_classes: int = 1000) -> nn.Module:
    """ENet's encoder, global average pooling and a linear layer. **A stand-in.**

    Canziani et al. 2016 (arXiv:1605.07678) plot a classifier named ENet, at 5.86 M parameters and
    1.6 G operations (0.8 GMACs) by the figures read off the plot. It was never published. This is
    the encoder of the segmentation network of the same authors with the smallest classifier
    behind it; its cost is not the plotted one, nor is its accuracy known.

    Source: Paszke et al. 2016 (arXiv:1606.02147), Table 1 and section 3, up to the end of stage 3.
    Where the paper is silent, as the authors' release (e-lab/ENet-training) has it: BatchNorm and
    PReLU behind the initial block, biases in the convolutions that are no projections, one PReLU
    slope for each channel, BatchNorm's epsilon 1e-3.

    Shapes at 224: 16x112x112, stage 1 64x56x56, stages 2 and 3 128x28x28, 128 -> 1000.

    Parameters: 412 (initial block) + 23,280 + 168,288 + 146,176 (stages 1 to 3) + 129,000
    (linear layer) = 467,156.
    MACs at 224: 4,402,944 + 68,239,360 + 127,647,744 + 110,788,608 + 128,000 (in the same order)
    = 311,206,656.
    """
    return nn.Sequential(
        _Initial(),
        _Bottleneck(16, 64, dropout=0.01, halve=True),  # 1.0
        *(_Bottleneck(64, 64, dropout=0.01) for _ in range(4)),  # 1.1 to 1.4
        _Bottleneck(64, 128, dropout=0.1, halve=True),  # 2.0
        *_section(),  # 2.1 to 2.8
        *_section(),  # 3.1 to 3.8
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(128, num_classes),
    )


def _section() -> tuple[nn.Module, ...]:
    """The eight bottlenecks at 128x28x28 that stages 2 and 3 share."""
    return (
        _Bottleneck(128, 128, dropout=0.1),
        _Bottleneck(128, 128, dropout=0.1, dilation=2),
        _Bottleneck(128, 128, dropout=0.1, asymmetric=True),
        _Bottleneck(128, 128, dropout=0.1, dilation=4),
        _Bottleneck(128, 128, dropout=0.1),
        _Bottleneck(128, 128, dropout=0.1, dilation=8),
        _Bottleneck(128, 128, dropout=0.1, asymmetric=True),
        _Bottleneck(128, 128, dropout=0.1, dilation=16),
    )


class _Initial(nn.Module):
    """(N, 3, H, W) -> (N, 16, H/2, W/2): 13 channels convolved, 3 pooled."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 13, 3, stride=2, padding=1)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.activation = nn.Sequential(nn.BatchNorm2d(16, eps=_EPS), nn.PReLU(16))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.activation(torch.cat((self.convolution(x), self.pool(x)), dim=1))
        return y


class _Bottleneck(nn.Module):
    """Projection to a quarter of the output channels, main convolution, expansion; plus the input.

    (N, C, H, W) -> (N, ``out_channels``, H, W), or half the height and width with ``halve``. The
    input is max-pooled and padded with channels of zeros to fit.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dropout: float,
        dilation: int = 1,
        asymmetric: bool = False,
        halve: bool = False,
    ) -> None:
        super().__init__()
        inner = out_channels // 4
        stride = 2 if halve else 1
        if asymmetric:
            main: tuple[nn.Module, ...] = (
                nn.Conv2d(inner, inner, (5, 1), padding=(2, 0), bias=False),
                nn.Conv2d(inner, inner, (1, 5), padding=(0, 2)),
            )
        else:
            main = (nn.Conv2d(inner, inner, 3, padding=dilation, dilation=dilation),)
        self.residual = nn.Sequential(
            nn.Conv2d(in_channels, inner, kernel_size=stride, stride=stride, bias=False),
            nn.BatchNorm2d(inner, eps=_EPS),
            nn.PReLU(inner),
            *main,
            nn.BatchNorm2d(inner, eps=_EPS),
            nn.PReLU(inner),
            nn.Conv2d(inner, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels, eps=_EPS),
            nn.Dropout2d(dropout),
        )
        self.shortcut = nn.MaxPool2d(2) if halve else nn.Identity()
        self.zero_channels = out_channels - in_channels
        self.activation = nn.PReLU(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.shortcut(x)
        if self.zero_channels:
            shortcut = functional.pad(shortcut, (0, 0, 0, 0, 0, self.zero_channels))
        y: Tensor = self.activation(self.residual(x) + shortcut)
        return y
