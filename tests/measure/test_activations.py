"""A forward pass of every seed architecture holds normal numbers only.

Every operator's output is looked at. A rectifier clips, and padding inserts zeros: those belong to
the network. So zeros are looked for where nothing but zeros of the weights or vanishing signals
could have made them: in operators whose inputs have none.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from archbench import ModelSpec, Target
from archbench.catalog import load_catalog
from archbench.models.loading import load

TARGET = Target("cpu", "any", "cpu")
TINY = torch.finfo(torch.float32).tiny
CLIPPING = ("relu", "hardtanh", "clamp", "threshold", "hardsigmoid", "hardswish", "pad", "zeros")
# Exact zeros can come out of sums by chance: about one in ten million sums of float32.
CHANCE = 1e-6
FEW = 3


class Watch(TorchDispatchMode):
    """Notes every operator whose output is not made of normal numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.operators = 0
        self.faults: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        before = [t for t in tree_leaves((args, kwargs)) if is_numeric(t)]
        # What is written in place has to be looked at before.
        had_zeros = has_zeros(before) if func._schema.is_mutable else None
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if is_numeric(tensor) and tensor.numel() > 1:
                self._look(str(func), tensor, before, had_zeros)
        return out

    def _look(
        self, operator: str, tensor: Tensor, before: list[Tensor], had_zeros: bool | None
    ) -> None:
        self.operators += 1
        shape = tuple(tensor.shape)
        size = tensor.abs()
        least, most = size.aminmax()
        if not bool(torch.isfinite(most)):  # nor is the largest of what has a NaN
            self.faults.append(f"{operator} {shape}: not finite")
        if least >= TINY:
            return
        count = int((size == 0).sum())
        if int((size < TINY).sum()) > count:
            self.faults.append(f"{operator} {shape}: denormal")
        zeros = count / size.numel()
        if zeros > 0.95:
            self.faults.append(f"{operator} {shape}: dead, {zeros:.1%} zeros")
        by_chance = count <= max(FEW, CHANCE * size.numel())
        if by_chance or any(name in operator for name in CLIPPING):
            return
        if not (has_zeros(before) if had_zeros is None else had_zeros):
            self.faults.append(f"{operator} {shape}: {zeros:.2%} zeros out of nothing")


def has_zeros(tensors: list[Tensor]) -> bool:
    return any(bool((one == 0).any()) for one in tensors)


def is_numeric(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


@pytest.mark.parametrize("spec", load_catalog().suite("seeds"), ids=lambda spec: spec.id)
def test_activations_are_normal_numbers(spec: ModelSpec) -> None:
    loaded = load(spec, TARGET)
    for name, tensor in loaded.module.named_parameters():
        assert bool((tensor != 0).all()), f"{name} has zeros"
    watch = Watch()
    with torch.inference_mode():
        images = loaded.images()
        with watch:
            scores = loaded(images)
    assert watch.operators > 10
    assert watch.faults == []
    assert scores.shape == (1, 1000)
    assert 0.01 < scores.std().item() < 100
