"""Networks put together by chance: count, time and paired comparison agree on each.

Every block knows its parameters and multiply-adds in closed form. What is counted has to be that;
what is timed has to be the network that its constructor builds, and so has a side of a comparison.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count as numbers
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.fusion import fuse_conv_bn_eval

from archbench import ModelSpec
from archbench.core.spec import Target
from archbench.measure.complexity import count_own
from archbench.measure.latency import Clock
from archbench.measure.side_network import SideNetwork
from archbench.models.loading import load
from archbench.models.networks import construct

SIDE = 8
EXAMPLES = int(os.environ.get("ARCHBENCH_EXAMPLES", "60"))
"""Networks of one run of the tests; more of them take minutes."""

TARGET = Target("cpu", "any", "cpu")


@dataclass(frozen=True)
class Block:
    """A block that keeps the shape ``(N, c, 8, 8)``.

    Attributes:
        build: makes it for ``c`` channels.
        params, macs: by hand, for ``c`` channels.
    """

    build: Callable[[int], nn.Module]
    params: Callable[[int], int]
    macs: Callable[[int], int]


def convolution(c: int, kernel: int = 3, **more: Any) -> nn.Conv2d:
    return nn.Conv2d(c, c, kernel, padding=kernel // 2, **more)


class Tied(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        weight = nn.Parameter(torch.randn(c, c, 3, 3) / c)
        self.a, self.b = convolution(c), convolution(c, bias=False)
        self.a.weight = self.b.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) + self.b(x)


class Reused(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.layer = convolution(c)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.relu(self.layer(torch.relu(self.layer(x)))))


class Threaded(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.a, self.b = convolution(c), convolution(c, 1)

    def forward(self, x: Tensor) -> Tensor:
        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(self.b, x)
            return self.a(x) + other.result()


class Complex(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.layer = convolution(c, dtype=torch.complex64)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.complex(x, x)).abs()


class Attention(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.layer = nn.MultiheadAttention(c, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        return self.layer(tokens, tokens, tokens)[0].transpose(1, 2).reshape(x.shape)


class Functional(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c, c) / c)
        self.register_buffer("copy", self.weight.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        y = torch.einsum("nchw,dc->ndhw", x, self.weight)
        return y + functional.linear(x.transpose(1, 3), self.get_buffer("copy")).transpose(1, 3)


class Marked(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.layer = convolution(c)

    def forward(self, x: Tensor) -> Tensor:
        with torch.profiler.record_function("block"):
            return self.layer(x)


def pruned(c: int) -> nn.Module:
    return prune.l1_unstructured(convolution(c), "weight", amount=0.3)


def deployed(c: int) -> nn.Module:
    """A branch of 3 x 3 and one of 1 x 1 with their normalisations, as one convolution."""
    one = fuse_conv_bn_eval(convolution(c).eval(), nn.BatchNorm2d(c).eval())
    other = fuse_conv_bn_eval(convolution(c, 1).eval(), nn.BatchNorm2d(c).eval())
    one.weight.data += functional.pad(other.weight.data, (1, 1, 1, 1))
    assert one.bias is not None
    assert other.bias is not None
    one.bias.data += other.bias.data
    return one


def quantised(c: int) -> nn.Module:
    linear = torch.ao.quantization.quantize_dynamic(
        nn.Sequential(nn.Linear(SIDE, SIDE)), {nn.Linear}, dtype=torch.qint8
    )
    return nn.Sequential(linear)


PLACES = SIDE * SIDE
BLOCKS = {
    "plain": Block(convolution, lambda c: 9 * c * c + c, lambda c: PLACES * 9 * c * c),
    "of one pixel": Block(
        lambda c: convolution(c, 1, bias=False), lambda c: c * c, lambda c: PLACES * c * c
    ),
    "grouped": Block(
        lambda c: convolution(c, groups=2), lambda c: 9 * c * c // 2 + c,
        lambda c: PLACES * 9 * c * c // 2,
    ),
    "depthwise": Block(
        lambda c: nn.Sequential(convolution(c, 5, groups=c), nn.BatchNorm2d(c), nn.ReLU()),
        lambda c: 25 * c + c + 2 * c, lambda c: PLACES * 25 * c,
    ),
    "dilated": Block(
        lambda c: nn.Conv2d(c, c, 3, padding=2, dilation=2), lambda c: 9 * c * c + c,
        lambda c: PLACES * 9 * c * c,
    ),
    "transposed": Block(
        lambda c: nn.ConvTranspose2d(c, c, 3, padding=1), lambda c: 9 * c * c + c,
        lambda c: PLACES * 9 * c * c,  # every element that is read meets every tap
    ),
    "tied": Block(Tied, lambda c: 9 * c * c + c, lambda c: 2 * PLACES * 9 * c * c),
    "reused": Block(Reused, lambda c: 9 * c * c + c, lambda c: 3 * PLACES * 9 * c * c),
    "threaded": Block(Threaded, lambda c: 10 * c * c + 2 * c, lambda c: PLACES * 10 * c * c),
    "complex": Block(Complex, lambda c: 9 * c * c + c, lambda c: PLACES * 9 * c * c),
    "scripted": Block(
        lambda c: torch.jit.script(convolution(c)), lambda c: 9 * c * c + c,
        lambda c: PLACES * 9 * c * c,
    ),
    "traced": Block(
        lambda c: torch.jit.trace(convolution(c), torch.ones(1, c, SIDE, SIDE)),
        lambda c: 9 * c * c + c, lambda c: PLACES * 9 * c * c,
    ),
    "compiled": Block(
        lambda c: torch.compile(convolution(c), backend="eager"),  # type: ignore[arg-type, return-value]
        lambda c: 9 * c * c + c, lambda c: PLACES * 9 * c * c,
    ),
    "weight normalised": Block(
        lambda c: parametrizations.weight_norm(convolution(c)), lambda c: 9 * c * c + c + c,
        lambda c: PLACES * 9 * c * c,
    ),
    "pruned": Block(pruned, lambda c: 9 * c * c + c, lambda c: PLACES * 9 * c * c),
    "lazy": Block(
        lambda c: nn.LazyConv2d(c, 3, padding=1), lambda c: 9 * c * c + c,
        lambda c: PLACES * 9 * c * c,
    ),
    "deployed": Block(deployed, lambda c: 9 * c * c + c, lambda c: PLACES * 9 * c * c),
    "quantised": Block(
        quantised, lambda c: SIDE * SIDE + SIDE, lambda c: c * SIDE * SIDE * SIDE
    ),
    "attention": Block(
        Attention, lambda c: 4 * c * c + 4 * c,
        lambda c: PLACES * 4 * c * c + 2 * PLACES * PLACES * c,
    ),
    "functional": Block(Functional, lambda c: c * c, lambda c: 2 * PLACES * c * c),
    "marked": Block(Marked, lambda c: 9 * c * c + c, lambda c: PLACES * 9 * c * c),
}  # fmt: skip

CLASSES = 7


class Net(nn.Module):
    def __init__(self, c: int, names: tuple[str, ...]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, c, 1)
        self.blocks = nn.ModuleList(BLOCKS[name].build(c) for name in names)
        self.head = nn.Linear(c, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = torch.tanh(x + block(x))
        return self.head(x.mean((2, 3)))


def fast_clock() -> Clock:
    """Time goes by fast enough for a warm-up to be short."""
    ticks = numbers()
    return Clock(lambda: next(ticks) * 10**8, lambda: next(ticks) * 10**8)


NETWORKS = some.tuples(
    some.sampled_from([4, 6, 8]),
    some.lists(some.sampled_from(sorted(BLOCKS)), min_size=1, max_size=4).map(tuple),
)


@settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
@given(NETWORKS)
def test_count_time_and_comparison_are_of_the_network_that_was_written(
    network: tuple[int, tuple[str, ...]],
) -> None:
    c, names = network
    blocks = [BLOCKS[name] for name in names]
    params = 3 * c + c + c * CLASSES + CLASSES + sum(block.params(c) for block in blocks)
    macs = PLACES * 3 * c + c * CLASSES + sum(block.macs(c) for block in blocks)
    spec = ModelSpec.of(Net, name="net", input_size=SIDE, kwargs={"c": c, "names": names})
    built = construct(spec)
    counts = count_own(built)
    assert (counts.params, counts.macs) == (params, macs)

    torch.manual_seed(0)
    plain = Net(c, names).eval()
    loaded = load(spec, TARGET, built)
    images = loaded.images()
    with torch.no_grad():
        expected = plain(images)
    assert loaded.notes == [] or {note.code for note in loaded.notes} == {"gradients"}
    assert torch.allclose(loaded(images), expected, atol=1e-5)

    side = SideNetwork(loaded, seed=1, clock=fast_clock())
    side.burst(0.1, move=True)
    facts = side.facts(exact=True)
    assert (facts.counts["params"], facts.counts["macs"]) == (params, macs)
    assert facts.scores is not None
    assert np.allclose(facts.scores.rows, expected.numpy(), atol=1e-5)
