"""Elements that conventions count, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from archbench import ModelSpec
from archbench.core.conventions import CONVENTIONS
from archbench.measure.complexity import count
from archbench.measure.elements import count_elements


def elements(*layers: nn.Module) -> dict[str, int]:
    network = nn.Sequential(*layers, nn.Flatten())
    return count_elements(network, [torch.ones(1, 3, 8, 8)])


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ((nn.Conv2d(3, 4, 3),), {"conv_bias_outputs": 4 * 36, "grouped_macs": 0}),
        ((nn.Conv2d(3, 6, 3, groups=3, bias=False),), {"grouped_macs": 6 * 36 * 9 * 2 // 3}),
        (
            # Each of 3 * 64 elements read meets 2 channels of 4 x 4 taps in its group.
            (nn.ConvTranspose2d(3, 6, 4, 2, 1, groups=3, bias=False),),
            {"grouped_macs": 3 * 64 * 2 * 16 * 2 // 3},
        ),
        ((nn.BatchNorm2d(3),), {"batch_norm_outputs": 192, "batch_norm_statistics": 6}),
        ((nn.BatchNorm2d(3, track_running_stats=False),), {"batch_norm_statistics": 0}),
        ((nn.InstanceNorm2d(3),), {"batch_norm_outputs": 0}),
        ((nn.MaxPool2d(2),), {"pooling_windows": 48 * 4, "pooling_inputs": 192}),
        (
            (nn.Unflatten(1, (1, 3)), nn.AvgPool3d((1, 2, 4))),
            {"pooling_windows": 3 * 4 * 2 * 8, "average_pooling_outputs": 24},
        ),
        ((nn.AdaptiveMaxPool2d(1),), {"pooling_inputs": 192}),
        ((nn.ReLU6(),), {"relu6_outputs": 192}),
        ((nn.Hardtanh(),), {"relu6_outputs": 0}),
        ((nn.ELU(),), {"elu_outputs": 192}),
        ((nn.SELU(),), {"elu_outputs": 0}),
        ((nn.Linear(8, 5),), {"linear_bias_outputs": 3 * 8 * 5, "unbiased_linear_outputs": 0}),
    ],
)
def test_elements(layers: tuple[nn.Module, ...], expected: dict[str, int]) -> None:
    found = elements(*layers)
    assert {name: found[name] for name in expected} == expected


def test_a_bias_that_an_operator_of_its_own_adds() -> None:
    class Transposed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x.flatten(2).transpose(1, 2)).flatten(1)

    found = count_elements(Transposed(), [torch.ones(1, 3, 8, 8)])
    assert found["linear_bias_outputs"] == 64 * 5
    assert found["unbiased_linear_outputs"] == 0


def test_ptflops_and_layer_normalisation() -> None:
    # ptflops doubles for a layer with an attribute `affine`, which LayerNorm has not.
    network = nn.Sequential(nn.LayerNorm(8), nn.Flatten(), nn.Linear(192, 2, bias=False))
    complexity = count(ModelSpec.of(lambda: network, name="tiny", input_size=8))
    found = count_elements(network, [torch.ones(1, 3, 8, 8)])
    assert CONVENTIONS["ptflops"].flops(complexity, found) == 192 + 192 * 2
