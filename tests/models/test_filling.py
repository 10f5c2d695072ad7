"""Filled weights keep activations normal numbers."""

from __future__ import annotations

import math
from typing import TypeVar

import pytest
import torch
from torch import nn

from archbench.models.filling import fill_weights, parameters_on_meta

CPU = torch.device("cpu")


Module = TypeVar("Module", bound=nn.Module)


def filled(model: Module, dtype: torch.dtype = torch.float32, seed: int = 0) -> Module:
    fill_weights(model, CPU, dtype, seed).eval()
    return model


class Plain(nn.Module):
    """A bit of everything whose role the filling knows."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(64, 128, 3, groups=2)
        self.up = nn.ConvTranspose2d(128, 64, 4, stride=2)
        self.bn = nn.BatchNorm2d(512)
        self.ln = nn.LayerNorm(512)
        self.fc = nn.Linear(4096, 256)
        self.layer_scale = nn.Parameter(torch.full((64,), 1e-6))
        self.zero_gain = nn.Parameter(torch.zeros(()))
        self.temperature = nn.Parameter(torch.tensor(math.log(10)))
        self.table: torch.Tensor
        self.register_buffer("table", torch.arange(10))


def test_variance_is_two_over_fan_in() -> None:
    model = filled(Plain())
    # fan_in: (64 / 2) * 3 * 3 = 288; 128 * 4 * 4 / (2 * 2) = 512; 4096.
    for weight, fan_in in (
        (model.conv.weight, 288),
        (model.up.weight, 512),
        (model.fc.weight, 4096),
    ):
        assert weight.var().item() == pytest.approx(2 / fan_in, rel=0.03)
        assert abs(weight.mean().item()) < 3 * math.sqrt(2 / fan_in / weight.numel())


def test_normalisations() -> None:
    model = filled(Plain())
    bn, ln = model.bn, model.ln
    assert bn.weight.mean().item() == pytest.approx(0.4, rel=0.05)
    assert bn.bias.std().item() == pytest.approx(0.4, rel=0.1)
    assert bn.running_var is not None
    assert 0.5 <= bn.running_var.min().item() <= bn.running_var.max().item() <= 1.5
    assert ln.weight.mean().item() == pytest.approx(1.0, rel=0.05)


def test_small_parameters_keep_their_role() -> None:
    model = filled(Plain())
    assert model.temperature.item() == pytest.approx(math.log(10))
    assert 0.05 <= model.layer_scale.min().item() <= model.layer_scale.max().item() <= 0.151
    assert model.zero_gain.item() > 0.01
    assert model.table.tolist() == list(range(10))


def test_no_zero_and_no_half_precision_denormal_in_any_parameter() -> None:
    for param in filled(Plain(), torch.float16).parameters():
        assert torch.isfinite(param).all()
        assert param.abs().min().item() >= torch.finfo(torch.float16).tiny


def test_rows_of_a_large_matrix_differ() -> None:
    # Larger than the tiled block of noise: 1,500 rows of 2,000.
    weight = filled(nn.Linear(2000, 1500)).weight
    assert torch.unique(weight[:, :8], dim=0).shape[0] == 1500


def test_same_seed_same_weights() -> None:
    one, same, other = (filled(nn.Linear(100, 100), seed=seed).weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_parameters_left_out_while_constructing() -> None:
    with parameters_on_meta():
        model = nn.Sequential(nn.Linear(100, 100), nn.BatchNorm1d(100))
    assert model[0].weight.is_meta
    assert not model[0].bias.is_meta
    assert not nn.Linear(100, 100).weight.is_meta
    with torch.no_grad():
        assert torch.isfinite(filled(model)(torch.ones(2, 100))).all()


def test_construction_is_as_ever_after_an_exception() -> None:
    with pytest.raises(RuntimeError, match="boom"), parameters_on_meta():
        raise RuntimeError("boom")
    assert not nn.Linear(100, 100).weight.is_meta


def test_tied_parameters_stay_tied() -> None:
    with parameters_on_meta():
        first, second = nn.Linear(100, 100), nn.Linear(100, 100)
        second.weight = first.weight
        model = nn.Sequential(first, second)
    filled(model)
    assert model[0].weight.data_ptr() == model[1].weight.data_ptr()  # type: ignore[operator]


def test_recurrent_layers_see_their_filled_weights() -> None:
    with parameters_on_meta():
        layer = nn.LSTM(64, 64, batch_first=True)
    filled(layer)
    images = torch.randn(1, 5, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, _ = layer(images)
        # The cell equations of the LSTM, by hand.
        h = c = torch.zeros(1, 64)
        for step in range(5):
            gates = (
                images[:, step] @ layer.weight_ih_l0.T + layer.bias_ih_l0  # type: ignore[operator]
                + h @ layer.weight_hh_l0.T + layer.bias_hh_l0  # type: ignore[operator]
            )  # fmt: skip
            i, f, g, o = gates.chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
    assert torch.allclose(expected[:, -1], h, atol=1e-5)


class Residual(nn.Module):
    """A residual block of two convolutions with batch normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.branch(x))


@pytest.mark.parametrize(
    "blocks",
    [
        [nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()) for _ in range(100)],
        [
            nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU())
            for _ in range(100)
        ],
        [Residual(32) for _ in range(100)],
    ],
    ids=["plain", "batch-normalised", "residual"],
)
def test_the_signal_survives_a_hundred_layers(blocks: list[nn.Module]) -> None:
    model = filled(nn.Sequential(*blocks))
    with torch.no_grad():
        out = model(torch.randn(1, 32, 16, 16))
    size = out.pow(2).mean().sqrt().item()
    assert 0.03 < size < 30
