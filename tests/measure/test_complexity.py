"""Counts against arithmetic done by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from archbench import ModelSpec
from archbench.core.errors import NotMeasuredError
from archbench.measure.complexity import build_on_meta, count, count_parameters


def spec_of(model: type[nn.Module] | nn.Module, pixels: int = 8) -> ModelSpec:
    return ModelSpec.of(lambda: model() if isinstance(model, type) else model, name="tiny",
                        input_size=pixels)  # fmt: skip


class Tiny(nn.Module):
    """Convolutions plain, grouped, strided; a linear layer; a functional product; attention."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.grouped = nn.Conv2d(8, 16, 3, padding=1, stride=2, groups=4, bias=False)
        self.fc = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.grouped(torch.relu(self.conv(x)))
        tokens = x.flatten(2).transpose(1, 2)
        tokens = functional.scaled_dot_product_attention(tokens, tokens, tokens)
        mixed = torch.einsum("bnc,bnd->bcd", tokens, tokens)
        return self.fc(mixed.mean(-1))


def test_tiny_network_by_hand() -> None:
    complexity = count(spec_of(Tiny))
    # Parameters: 3*8*9 + 8; 8*16*9/4; 16*5 + 5.
    assert complexity.params == 216 + 8 + 288 + 85
    assert complexity.trainable_params == complexity.params
    convolution = 8 * 8 * 8 * (3 * 9)  # 8x8 outputs of 8 channels, 27 products each
    grouped = 4 * 4 * 16 * (2 * 9)  # 4x4 outputs of 16 channels, 2 channels of 9 taps each
    attention = 16 * 16 * 16 * 2  # 16 tokens of 16: scores and weighted sum
    einsum = 16 * 16 * 16
    linear = 16 * 5
    assert complexity.macs == convolution + grouped + attention + einsum + linear
    assert complexity.output_shape == (1, 5)


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(192, 192, bias=False)
        self.b = nn.Linear(192, 192, bias=False)
        self.b.weight = self.a.weight
        self.a.weight.requires_grad_(False)
        self.out = nn.Linear(192, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.b(self.a(x.flatten(1))))


def test_shared_parameters_count_once_and_their_work_twice() -> None:
    complexity = count(spec_of(Shared))
    assert complexity.params == 192 * 192 + 192 * 2 + 2
    assert complexity.trainable_params == 192 * 2 + 2
    assert complexity.macs == 2 * 192 * 192 + 192 * 2


@pytest.mark.parametrize(
    # Parameters as torchvision's own weights metadata prints them; MACs worked out below.
    ("name", "params"),
    [("resnet18", 11_689_512), ("squeezenet1_1", 1_235_496), ("regnet_x_400mf", 5_495_976)],
)
def test_parameters_of_known_networks(name: str, params: int) -> None:
    assert count(ModelSpec("torchvision", name)).params == params


def test_resnet18_macs_by_hand() -> None:
    # He et al. 2016, table 1; no biases in convolutions, 1x1 projections where the width doubles.
    stem = 112 * 112 * 64 * 3 * 49
    stages = 4 * 56 * 56 * 64 * 64 * 9
    for size, width in ((28, 128), (14, 256), (7, 512)):
        stages += size * size * width * (width // 2) * 9
        stages += size * size * width * (width // 2)
        stages += 3 * size * size * width * width * 9
    assert count(ModelSpec("torchvision", "resnet18")).macs == stem + stages + 512 * 1000


def test_regnets_that_compute_while_constructing_are_counted() -> None:
    model = build_on_meta(ModelSpec("torchvision", "regnet_y_400mf"))
    assert all(parameter.is_meta for parameter in model.parameters())
    assert count_parameters(model)[0] == 4_344_144  # torchvision's weights metadata


def test_a_network_that_cannot_run_says_why() -> None:
    class Broken(Tiny):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x)

    with pytest.raises(NotMeasuredError, match="local/tiny cannot be counted: RuntimeError"):
        count(spec_of(Broken))


def test_a_network_that_makes_tensors_elsewhere_is_told_what_to_do() -> None:
    class Elsewhere(Tiny):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x + torch.zeros(1))

    class Right(Tiny):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x + torch.zeros(1, device=x.device))

    with pytest.raises(NotMeasuredError, match=r"create tensors with device=x\.device"):
        count(spec_of(Elsewhere, pixels=9))
    assert count(spec_of(Right)).macs == count(spec_of(Tiny)).macs
