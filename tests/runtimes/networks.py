"""Networks that the tests of engines share, and what makes cells of them."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from archbench import ModelSpec, Target
from archbench.measure.cells import load_guarded
from archbench.measure.running import Runner
from archbench.models.loading import LoadedModel, ModelHolder

TARGET = Target("cpu", "AMD EPYC", "cpu-amd-epyc")


class Net(nn.Module):
    """Convolution, batch norm, a resize, pooling with padding: ``(N, 3, 16, 16)`` to ten scores."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.fc = nn.Linear(8, 10)
        generator = torch.Generator().manual_seed(7)
        for one in (self.norm.running_mean, self.norm.running_var):
            assert one is not None
            one.copy_(torch.rand(8, generator=generator) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm(self.conv(x)))
        y = functional.interpolate(y, scale_factor=1.5, mode="bilinear")
        y = self.pool(y)
        return self.fc(y.mean((2, 3)))


class Exits(Net):
    """Returns two exits by name."""

    def forward(self, x: Tensor) -> Any:
        scores = super().forward(x)
        return {"out": scores, "aux": scores * 2}


class Branching(Net):
    """Its way depends on its values."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.sum() > 0 else -x)


class Fixed(Net):
    """Only batches of the size that it was made for."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.reshape(int(x.shape[0]), 3, 16, 16))


class Odd(Net):
    """Has an operator that ONNX has no symbol for."""

    def forward(self, x: Tensor) -> Tensor:
        scores = super().forward(x)
        return scores + torch.special.bessel_j0(scores)


class Slow(Net):
    """Takes for ever where it is exported."""

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_exporting():
            time.sleep(600)
        return super().forward(x)


class Greedy(Net):
    """Takes all memory where it is exported."""

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_exporting():
            raise MemoryError
        return super().forward(x)


def loaded(artefacts: Path, constructor: Any = Net, **target: Any) -> LoadedModel:
    spec = ModelSpec.of(constructor, name=constructor.__name__.lower(), input_size=16)
    return load_guarded(ModelHolder(artefacts=artefacts), spec, replace(TARGET, **target))


on_device = partial(loaded, device="cuda:1", device_name="NVIDIA H200", slug="h200")
"""The same on the second of two devices."""


def outputs_on_two(runner: Runner, module: nn.Module) -> tuple[Any, Any, Any, Any]:
    """What a runner returns for its images and the module for the same ones, and again for
    others."""
    runner()
    found, want = runner.output, module(*runner.inputs)
    others = [torch.rand_like(one) for one in runner.inputs]
    assert runner.prepared.run is not None
    return found, want, runner.prepared.run(others), module(*others)
