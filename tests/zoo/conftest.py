"""What the tests of the zoo count, and how."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from archbench.zoo import constructor


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other on a busy machine make a forward pass take minutes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def on_meta() -> Callable[[str], nn.Module]:
    """Builds an architecture once, without memory for its weights, in evaluation mode."""

    @cache
    def build(name: str) -> nn.Module:
        with torch.device("meta"):
            return constructor(name)().eval()

    return build


@pytest.fixture
def count_parameters() -> Callable[[nn.Module], int]:
    return lambda model: sum(parameter.numel() for parameter in model.parameters())


@pytest.fixture
def count_macs() -> Callable[[nn.Module], int]:
    """MACs of a model on ``meta`` for one image at 224; torch counts two FLOPs for each."""

    def count(model: nn.Module) -> int:
        image = torch.zeros(1, 3, 224, 224, device="meta")
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(image)
        flops: int = counter.get_total_flops()
        assert flops % 2 == 0
        return flops // 2

    return count
