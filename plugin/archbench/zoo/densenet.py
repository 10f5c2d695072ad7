"""DenseNet-BC in a depth that torchvision has no name for."""

from __future__ import annotations

from torch import nn
from torchvision.models.densenet import DenseNet


def densenet264(num_classes: int = 1000) -> nn.Module:
    """DenseNet-BC-264 with growth rate 32: torchvision's class in the depth that it lacks.

    Source: Huang et al. 2017 (arXiv:1608.06993), Table 1, last column, whose layers are 265.

    Shapes at 224: 64x112x112, pool 56, four dense blocks of 6, 12, 64 and 48 layers that end at
    256x56x56, 512x28x28, 2304x14x14 and 2688x7x7 with transitions to half the channels between
    them, 2688 -> 1000.

    Parameters: 9,408 (first convolution) + 27,422,720 (dense blocks) + 2,818,048 (transitions)
    + 398,528 (BatchNorm) + 2,689,000 (linear layer) = 33,337,704.
    MACs at 224: 118,013,952 + 4,905,205,760 + 725,745,664 + 2,688,000 (in the same order)
    = 5,751,653,376.
    """
    model: nn.Module = DenseNet(
        growth_rate=32, block_config=(6, 12, 64, 48), num_init_features=64, num_classes=num_classes
    )
    return model
