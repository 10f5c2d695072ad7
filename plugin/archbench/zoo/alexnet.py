"""AlexNet with batch normalisation."""

from __future__ import annotations

from torch import nn

_EPS = 1e-3


def bn_alexnet(num_classes: int = 1000) -> nn.Module:
    """One-tower AlexNet with BatchNorm after every hidden convolution and linear layer.

    Source: the one-tower network of Krizhevsky 2014 (arXiv:1404.5997) in the layout of
    ``alexnetowtbn`` in soumith/imagenet-multiGPU.torch, the BN-AlexNet of Canziani et al. 2016
    (arXiv:1605.07678). All layers keep their biases; BatchNorm's epsilon is 1e-3. The output is
    logits: the original's log-softmax belongs to its loss.

    Shapes at 224: 64x55x55, pool 27, 192x27x27, pool 13, 384x13x13, 256x13x13, 256x13x13,
    pool 6, 9216 -> 4096 -> 4096 -> 1000. The pooling to 6x6 in front of the linear layers is the
    identity at 224 and admits other sizes.

    Parameters: 2,469,696 (convolutions) + 58,631,144 (linear layers) + 18,688 (BatchNorm)
    = 61,119,528.
    MACs at 224: 655,566,528 (convolutions) + 58,621,952 (linear layers) = 714,188,480.
    """
    return nn.Sequential(
        *_convolution(3, 64, 11, stride=4, padding=2),
        nn.MaxPool2d(3, 2),
        *_convolution(64, 192, 5, padding=2),
        nn.MaxPool2d(3, 2),
        *_convolution(192, 384, 3, padding=1),
        *_convolution(384, 256, 3, padding=1),
        *_convolution(256, 256, 3, padding=1),
        nn.MaxPool2d(3, 2),
        nn.AdaptiveAvgPool2d(6),
        nn.Flatten(),
        *_linear(256 * 6 * 6, 4096),
        *_linear(4096, 4096),
        nn.Linear(4096, num_classes),
    )


def _convolution(
    in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, padding: int
) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding),
        nn.BatchNorm2d(out_channels, eps=_EPS),
        nn.ReLU(inplace=True),
    )


def _linear(in_features: int, out_features: int) -> tuple[nn.Module, ...]:
    return (
        nn.Dropout(0.5),
        nn.Linear(in_features, out_features),
        nn.BatchNorm1d(out_features, eps=_EPS),
        nn.ReLU(inplace=True),
    )
