"""ResNet-152 in the Torch7 layout."""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models import resnet152


def fbresnet152(num_classes: int = 1000) -> nn.Module:
    """ResNet-152 whose convolutions have biases.

    Source: He et al. 2015 (arXiv:1512.03385), Table 1, as trained by Facebook in Torch7
    (fb.resnet.torch) and converted to PyTorch in Cadene/pretrained-models.pytorch, where Bianco et
    al. 2018 took it from. Like torchvision's network, it has the stride in the 3x3 convolution;
    the biases are all that differs, so torchvision builds it.

    Shapes at 224: 64x112x112, pool 56, 256x56x56, 512x28x28, 1024x14x14, 2048x7x7, 2048 -> 1000.

    Parameters: 60,268,520 = torchvision's 60,192,808 + 75,712 biases, one for each output channel
    of the 155 convolutions.
    MACs at 224: 11,513,626,624, as torchvision's.
    """
    model: nn.Module = resnet152(num_classes=num_classes)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.bias = nn.Parameter(torch.zeros(module.out_channels))
    return model
