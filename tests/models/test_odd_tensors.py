"""Networks whose parameters and buffers are not plain pieces of memory of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from archbench import ModelSpec
from archbench.core.errors import ArchitectureError
from archbench.core.spec import Target
from archbench.measure.cells import forward_passes
from archbench.measure.complexity import count
from archbench.measure.memory import stored_bytes
from archbench.models.loading import load
from archbench.models.networks import construct
from archbench.models.placement import relocate

TARGET = Target("cpu", "AMD EPYC", "cpu-amd-epyc")


class Linear(nn.Module):
    """48 inputs, 10 classes: 490 parameters of 4 bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(48, 10)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x.flatten(1), self.weight(), self.fc.bias)

    def weight(self) -> Tensor:
        return self.fc.weight


class Expanded(Linear):
    """A mask of one number, expanded to the weight's shape."""

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.full((1, 1), 2.0).expand(10, 48))

    def weight(self) -> Tensor:
        return self.fc.weight * self.mask


class ExpandedParameter(Linear):
    """Zeros that are filled: they would make the time another one."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1, 48).expand(10, 48))

    def weight(self) -> Tensor:
        return self.w


class ShapeOnly(Linear):
    """A buffer that nothing reads, on the meta device."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shape", torch.empty(3, 3, device="meta"))


class NeverRun(Linear):
    """A lazy layer that no pass reaches keeps its sizes to itself."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.LazyLinear(7)


class Coordinates(Linear):
    """Ten numbers of four bytes, with two places of eight bytes each."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("w", torch.eye(10, 48).to_sparse())

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.flatten(1)) + torch.sparse.mm(self.w, x.flatten(1).t()).t()


class Rows(Linear):
    """Ten numbers of four bytes, ten columns and eleven beginnings of rows of eight."""

    w: Tensor

    def __init__(self) -> None:
        super().__init__()
        columns, rows = torch.arange(10), torch.arange(11)
        self.register_buffer("w", torch.sparse_csr_tensor(rows, columns, torch.ones(10), (10, 48)))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.flatten(1)) + (self.w @ x.flatten(1).t()).t()


class Wrapper(torch.Tensor):
    """Stands for another tensor, and has no memory of its own."""

    @staticmethod
    def __new__(cls, inner: Tensor) -> Wrapper:
        made: Any = torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)
        return made

    def __init__(self, inner: Tensor) -> None:
        self.held = inner

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        def plain(value: Any) -> Any:
            return value.held if isinstance(value, Wrapper) else value

        given = {name: plain(value) for name, value in (kwargs or {}).items()}
        output = func(*map(plain, args), **given)
        return cls(output) if func is torch.ops.aten.detach.default else output


class Described(Wrapper):
    """Says what is inside it, as quantised tensors of libraries do."""

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["held"], None

    @classmethod
    def __tensor_unflatten__(cls, inner: Any, meta: Any, size: Any, stride: Any) -> Described:
        return cls(inner["held"])


class Wrapped(Linear):
    kind: type[Wrapper] = Wrapper

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(self.kind(torch.randn(10, 48)), requires_grad=False)

    def weight(self) -> Tensor:
        return self.w


class WrappedAndDescribed(Wrapped):
    kind = Described


FC = 490 * 4
STORED: dict[Callable[..., nn.Module], int] = {
    Expanded: FC + 4,
    ExpandedParameter: FC + 48 * 4,
    ShapeOnly: FC,
    Coordinates: FC + 10 * 4 + 2 * 10 * 8,
    Rows: FC + 10 * 4 + 10 * 8 + 11 * 8,
    Wrapped: FC + 480 * 4,
    WrappedAndDescribed: FC + 480 * 4,
}


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("constructor", STORED)
def test_it_runs_as_plain_torch_runs_it_and_stays_as_it_was_built(
    constructor: Callable[..., nn.Module],
) -> None:
    spec = ModelSpec.of(constructor, name="net", input_size=4)
    network = construct(spec)
    plain = network.module(*network.inputs()).detach().clone()
    model = load(spec, TARGET, network)
    with forward_passes(model):
        model.module(*model.inputs())
    relocate(network.module, seed=1)
    with network.as_built():
        assert torch.equal(network.module(*network.inputs()), plain)
    assert load(spec, Target("cpu", "AMD EPYC", "cpu", memory_format="nhwc"), network).module


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize(("constructor", "expected"), STORED.items())
def test_its_memory_is_what_holds_its_elements(
    constructor: Callable[..., nn.Module], expected: int
) -> None:
    assert stored_bytes(constructor()) == expected


@pytest.mark.parametrize("constructor", [Expanded, ExpandedParameter, ShapeOnly])
def test_it_is_counted(constructor: Callable[..., nn.Module]) -> None:
    assert count(ModelSpec.of(constructor, name="net", input_size=4)).macs == 480


def test_an_expanded_parameter_of_zeros_is_filled_and_given_back() -> None:
    spec = ModelSpec.of(ExpandedParameter, name="net", input_size=4)
    network = construct(spec)
    model = load(spec, TARGET, network)
    weight: Any = model.module.w
    assert weight.any()
    assert torch.equal(weight[0], weight[9])
    assert "w" in network.filled
    with network.as_built():
        assert not weight.any()


def test_layers_that_never_learn_their_size_are_named() -> None:
    with pytest.raises(ArchitectureError, match=r"without a size, spare\.weight, spare\.bias"):
        construct(ModelSpec.of(NeverRun, name="net", input_size=4))
