"""What would be a count of a part of a network is refused, and says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archbench import ModelSpec
from archbench.core.errors import NotMeasuredError
from archbench.measure.complexity import count
from archbench.measure.counts import complexity_record
from archbench.models.parameters import weights_by_module


class Layers(nn.Module):
    """3,860 parameters; each layer multiplies and adds 1,920 times."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(192, 10), nn.Linear(192, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.work(x.flatten(1))

    def work(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class KeepsPart(Layers):
    kept: Tensor | None = None

    def work(self, x: Tensor) -> Tensor:
        if self.kept is None:
            self.kept = self.a(x).relu()
        return self.kept + self.b(x)


class KeepsPartInABuffer(Layers):
    kept: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kept", None)

    def work(self, x: Tensor) -> Tensor:
        if self.kept is None:
            self.kept = self.a(x)
        return self.kept + self.b(x)


class KeepsAll(Layers):
    kept: Tensor | None = None

    def work(self, x: Tensor) -> Tensor:
        if self.kept is None:
            self.kept = self.a(x)
        return self.kept


class KeepsAllButOne(KeepsAll):
    def work(self, x: Tensor) -> Tensor:
        return super().work(x) + 0


class KeepsByImage(Layers):
    kept: tuple[Tensor, Tensor] | None = None

    def work(self, x: Tensor) -> Tensor:
        if self.kept is None or not torch.equal(self.kept[0], x):
            self.kept = x.clone(), self.a(x)
        return self.kept[1]


KEEPS = "it keeps something from one pass to the next"


@pytest.mark.parametrize(
    "constructor", [KeepsPart, KeepsPartInABuffer, KeepsAll, KeepsAllButOne, KeepsByImage]
)
def test_results_of_another_pass_are_no_work_of_this_one(constructor: type[nn.Module]) -> None:
    with pytest.raises(NotMeasuredError, match=KEEPS) as caught:
        count(ModelSpec.of(constructor, input_size=8))
    assert caught.value.reason == "structure-varies"
    assert caught.value.metrics["params"]["value"] == 3_860


class KeepsATable(Layers):
    """Made of the shape of what it has computed, and of weights: neither is of an image."""

    kept: tuple[Tensor, Tensor] | None = None

    def work(self, x: Tensor) -> Tensor:
        y = self.a(x)
        if self.kept is None:
            self.kept = torch.ones_like(y) + y.new_zeros(1, 10), self.b.weight @ self.b.weight.T
        return (y + self.kept[0]) @ self.kept[1]


class KeepsAMean(Layers):
    """A statistic that each pass moves in place."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(10))

    def work(self, x: Tensor) -> Tensor:
        y = self.a(x)
        self.mean.mul_(0.9).add_(y.mean(0), alpha=0.1)
        return y - self.mean


@pytest.mark.parametrize(("constructor", "macs"), [(KeepsATable, 1920 + 100), (KeepsAMean, 1920)])
def test_what_may_be_kept(constructor: type[nn.Module], macs: int) -> None:
    assert count(ModelSpec.of(constructor, input_size=8)).macs == macs


def product(x: Tensor, layer: nn.Linear) -> Any:
    return x.detach().numpy() @ layer.weight.detach().numpy().T


class IntoZeros(Layers):
    def work(self, x: Tensor) -> Tensor:
        y = torch.zeros(len(x), 10)
        y.numpy()[:] = product(x, self.a)
        return y + self.b(x)


class AsANumber(Layers):
    def work(self, x: Tensor) -> Tensor:
        return self.b(x) + float(product(x, self.a).sum())


class ByArray(Layers):
    def work(self, x: Tensor) -> Tensor:
        return self.b(x) * float(np.asarray(x.detach()).max())


class ByDlpack(Layers):
    def work(self, x: Tensor) -> Tensor:
        return self.b(x) * float(np.from_dlpack(x.detach()).max())


class OfWeights(Layers):
    def work(self, x: Tensor) -> Tensor:
        return self.b(x) @ torch.from_numpy(product(self.a.weight, self.a))


@pytest.mark.parametrize("constructor", [IntoZeros, AsANumber, ByArray, ByDlpack, OfWeights])
def test_what_is_computed_outside_of_torch(constructor: type[nn.Module]) -> None:
    with pytest.raises(NotMeasuredError, match="it takes tensors out of torch by Tensor") as caught:
        count(ModelSpec.of(constructor, input_size=8))
    assert caught.value.reason == "work-not-seen"
    assert caught.value.metrics["params"]["value"] == 3_860


class Looks(Layers):
    """A number and indices that come from no image are looked at, not computed with."""

    def work(self, x: Tensor) -> Tensor:
        order = torch.arange(192).flip(0).numpy()
        scale = float(self.a.bias[0].detach().numpy())
        return self.b(x[:, torch.from_numpy(order.copy())]) * scale


def test_numbers_that_are_looked_at() -> None:
    assert count(ModelSpec.of(Looks, input_size=8)).macs == 1_920


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("work", "cause"),
    [
        (lambda net, x: (x[:, None] * net.a.weight).sum(-1), "element by element"),
        (lambda net, x: x[:, :10], "they were left out"),
    ],
)
def test_layers_that_do_not_multiply(work: Callable[[Any, Tensor], Tensor], cause: str) -> None:
    class Net(Layers):
        def work(self, x: Tensor) -> Tensor:
            return work(self, x)

    with pytest.raises(NotMeasuredError, match=cause) as caught:
        count(ModelSpec.of(Net, input_size=8))
    assert "it has 2 layers that multiply and add, a first, and no operator that does" in str(
        caught.value
    )


class InAList(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = [nn.Linear(192, 192), nn.Linear(192, 10)]

    def forward(self, x: Tensor) -> Tensor:
        return self.hidden[1](self.hidden[0](x.flatten(1)))


class Cast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(10))
        self.kernels = {"one": torch.randn(192, 10).half()}

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.kernels["one"].float() + self.bias


class Buffers(nn.Module):
    w: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("w", torch.randn(192, 10))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.w


class Mean(Layers):
    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.ones(192)

    def work(self, x: Tensor) -> Tensor:
        return self.a(x - self.mean)


def frozen() -> nn.Module:
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 10)).eval()
    return torch.jit.freeze(torch.jit.script(net))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("constructor", "params", "macs", "text"),
    [
        (InAList, 0, 192 * 192 + 1920, "38,986 numbers that are neither parameters nor buffers"),
        (frozen, 0, 1920, "1,930 numbers that are neither parameters nor buffers"),
        (Cast, 10, 1920, "1,920 numbers that are neither parameters nor buffers"),
        (Buffers, 0, 1920, "is in its 1,920 buffers, and params is 0"),
        (Mean, 3_860, 1920, None),
    ],
)
def test_numbers_that_are_no_parameters_are_said(
    constructor: Callable[[], nn.Module], params: int, macs: int, text: str | None
) -> None:
    record, found = complexity_record(ModelSpec.of(constructor, name="net", input_size=8))
    assert (found.params, found.macs) == (params, macs)
    assert sum(layer.macs for layer in found.layers) == macs
    notes = [note.text for note in record.notes if note.code == "not-parameters"]
    assert len(notes) == (text is not None)
    assert all(text in note for note in notes if text)
    assert sum(one.elements for one in weights_by_module(constructor())) == params
