"""Synthetic inputs: normalised noise, which is what images look like after mean and std."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from archbench.core.errors import ArchitectureError
from archbench.core.spec import ModelSpec

BLOCK = 64
"""Images that are made; larger batches repeat them. One of 224 x 224 takes a millisecond."""


def synthetic_inputs(
    spec: ModelSpec,
    batch_size: int,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    memory_format: torch.memory_format = torch.contiguous_format,
    seed: int = 0,
) -> tuple[Tensor, ...]:
    """What a network gets: images ``(batch_size, C, H, W)``, and further inputs where it has some.

    The same seed gives the same numbers on every device. A batch of more than :data:`BLOCK` repeats
    the first ones, which are put together where they are to be: nothing of its size is made on the
    host.

    Args:
        spec: the architecture.
        batch_size: images.
        device: where they are; on meta they have no numbers.
        dtype: of those that are floating-point numbers.
        memory_format: of those that have four dimensions.
        seed: of the numbers.

    Raises:
        ArchitectureError: the spec's own ``inputs`` gave something else than tensors.
    """
    if torch.device(device).type == "meta" and not callable(spec.inputs):
        shapes = spec.inputs or (spec.input_size,)
        return tuple(
            torch.empty((batch_size, *shape), device="meta", dtype=dtype) for shape in shapes
        )
    if callable(spec.inputs):
        made = _by_spec(spec, spec.inputs, batch_size, seed)
    else:
        generator = torch.Generator(device="cpu").manual_seed(seed)
        kind: dict[str, Any] = {"generator": generator, "dtype": torch.float32, "device": "cpu"}
        shapes = spec.inputs or (spec.input_size,)
        made = tuple(torch.randn((min(batch_size, BLOCK), *shape), **kind) for shape in shapes)

    def place(tensor: Tensor) -> Tensor:
        kind = dtype if tensor.is_floating_point() else tensor.dtype
        placed = tensor.to(device=device, dtype=kind)
        if placed.dim() == 4 or memory_format is torch.contiguous_format:
            placed = placed.to(memory_format=memory_format)
        return placed if callable(spec.inputs) else _repeated(placed, batch_size)

    return tuple(map(place, made))


def _repeated(block: Tensor, batch_size: int) -> Tensor:
    """The rows of a block again and again, in its layout."""
    if len(block) == batch_size:
        return block
    whole = torch.empty_strided(
        (batch_size, *block.shape[1:]), block.stride(), dtype=block.dtype, device=block.device
    )
    for part in torch.split(whole, len(block)):
        part.copy_(block[: len(part)])
    return whole


def _by_spec(
    spec: ModelSpec, make: Callable[[int], Any], batch_size: int, seed: int
) -> tuple[Tensor, ...]:
    """What the spec's own ``inputs`` makes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = make(batch_size)
    made = (made,) if isinstance(made, Tensor) else made
    if not isinstance(made, (tuple, list)) or not all(isinstance(one, Tensor) for one in made):
        raise ArchitectureError(
            f"{spec.id}: its inputs({batch_size}) returned {type(made).__name__}, expected the "
            "images, or a tensor for each input"
        )
    return tuple(made)
