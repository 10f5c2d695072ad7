"""Network in Network with batch normalisation."""

from __future__ import annotations

from torch import nn

_EPS = 1e-3


def bn_nin(num_classes: int = 1000) -> nn.Module:
    """Network in Network for ImageNet with BatchNorm after every convolution.

    Source: Lin et al. 2013 (arXiv:1312.4400) in the layout of ``ninbn`` in
    soumith/imagenet-multiGPU.torch; it costs what the plot of Canziani et al. 2016
    (arXiv:1605.07678) shows for BN-NIN, 8.75 M parameters and 2.5 G operations as read off.
    Twelve convolutions in four blocks of a spatial one and two 1x1, then global average pooling
    and a linear layer. Unlike Lin's network, the last 1x1 convolution keeps 1024 channels, so
    that a linear layer makes the classes, and there is no dropout. All layers keep their biases;
    BatchNorm's epsilon is 1e-3. The output is logits: the original's log-softmax belongs to its
    loss.

    Shapes at 224: 96x56x56 (11x11/4, padding 5), pool 28, 256x28x28 (5x5), pool 14, 384x14x14
    (3x3), pool 7, 1024x7x7 (3x3), 1024 -> 1000. The pools are 3x3/2 with padding 1.

    Parameters: 7,619,776 (convolutions) + 10,560 (BatchNorm) + 1,025,000 (linear layer)
    = 8,655,336.
    MACs at 224: 167,086,080 + 584,450,048 + 231,211,008 + 276,168,704 (the four blocks)
    + 1,024,000 (linear layer) = 1,259,939,840.
    """
    return nn.Sequential(
        *_block(3, 96, 11, stride=4),
        nn.MaxPool2d(3, 2, padding=1),
        *_block(96, 256, 5),
        nn.MaxPool2d(3, 2, padding=1),
        *_block(256, 384, 3),
        nn.MaxPool2d(3, 2, padding=1),
        *_block(384, 1024, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(1024, num_classes),
    )


def _block(
    in_channels: int, out_channels: int, kernel: int, *, stride: int = 1
) -> tuple[nn.Module, ...]:
    return (
        *_convolution(in_channels, out_channels, kernel, stride),
        *_convolution(out_channels, out_channels, 1),
        *_convolution(out_channels, out_channels, 1),
    )


def _convolution(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1
) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2),
        nn.BatchNorm2d(out_channels, eps=_EPS),
        nn.ReLU(inplace=True),
    )
