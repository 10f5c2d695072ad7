"""A network that tests of what is measured share."""

from __future__ import annotations

import torch
from torch import nn


class Small(nn.Module):
    """A convolution and a linear layer: ``(N, 3, H, W)`` to ten scores for each image."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 10)
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.relu(self.conv(x)).mean((2, 3))) * self.scale
