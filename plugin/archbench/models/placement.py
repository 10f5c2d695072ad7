"""Where a model lies in memory: by chance, and worth up to a tenth of its time."""

from __future__ import annotations

import random
from collections.abc import Iterator

import torch
from torch import Tensor, nn

__all__ = ["relocate"]

MOST_PADDING = 1 << 16
"""Bytes of a gap between two tensors, at most: several pages."""


def relocate(module: nn.Module, seed: int) -> None:
    """Move every parameter and buffer of a model to other memory, with gaps of random size between.

    Values, strides and sharing of parameters stay as they are. No more than one tensor is there
    twice at a time.

    Args:
        module: on the CPU.
        seed: of the gaps.
    """
    chance = random.Random(seed)
    gaps: list[Tensor] = []
    with torch.no_grad():
        for tensor in _tensors(module):
            gaps.append(torch.empty(chance.randrange(1, MOST_PADDING), dtype=torch.uint8))
            tensor.data = tensor.data.clone()


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()
