"""Where a model lies in memory: by chance, and worth up to a tenth of its time."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn

from archbench.models.storages import has_memory

MOST_PADDING = 1 << 16
"""Bytes of a gap between two tensors, at most: several pages."""


def relocate(module: nn.Module, seed: int) -> None:
    """Move the parameters and buffers of a model to other memory, with gaps of random size between.

    Values, strides and sharing stay as they are: tensors that lie in the same memory, be it whole
    or in part, move together, and memory that something else holds too stays where it is. No more
    than one piece of memory is there twice at a time.

    Args:
        module: on the CPU.
        seed: of the gaps.
    """
    chance = random.Random(seed)
    gaps: list[Tensor] = []
    with torch.no_grad():
        for tensors in _by_memory(module):
            storage = tensors[0].untyped_storage()
            # One for each tensor, and one for the storage here.
            if torch._C._storage_Use_Count(storage._cdata) > len(tensors) + 1:
                continue
            gaps.append(torch.empty(chance.randrange(1, MOST_PADDING), dtype=torch.uint8))
            moved = storage.clone()  # type: ignore[no-untyped-call]
            for tensor in tensors:
                held = torch.empty(0, dtype=tensor.dtype).set_(
                    moved, tensor.storage_offset(), tensor.size(), tensor.stride()
                )
                tensor.data = held


def _by_memory(module: nn.Module) -> list[list[Tensor]]:
    groups: dict[int, dict[int, Tensor]] = {}
    for tensor in (*module.parameters(), *module.buffers()):
        if has_memory(tensor) and not (tensor.is_quantized or tensor.is_conj() or tensor.is_neg()):
            groups.setdefault(tensor.untyped_storage()._cdata, {})[id(tensor)] = tensor
    return [list(tensors.values()) for tensors in groups.values()]
