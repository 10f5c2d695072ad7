"""A count is of the network as it was built, whatever was done with it before."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from archbench import ModelSpec
from archbench.core.spec import Target
from archbench.measure.complexity import count
from archbench.models.loading import ModelHolder

ONE = 192 * 10  # of a layer from 3 x 8 x 8 numbers to 10 scores


class Layers(nn.Module):
    """Three layers, of which a network takes some."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(192, 10)
        self.b = nn.Linear(192, 10)
        self.c = nn.Linear(192, 10)


class ByPrecision(Layers):
    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return self.a(x) + self.b(x) if self.a.weight.dtype is torch.float32 else self.a(x)


class ByLayout(Layers):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        strides = self.conv.weight.stride()
        x = self.conv(x).flatten(1)
        return self.a(x) + self.b(x) if strides == (3, 1, 1, 1) else self.a(x)


class ByPasses(Layers):
    passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        x = x.flatten(1)
        return self.a(x) + self.b(x) if self.passes < 20 else self.a(x)


class ByPassesInABuffer(Layers):
    passes: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        x = x.flatten(1)
        return self.a(x) + self.b(x) if float(self.passes) < 30 else self.a(x)


class WithTable(Layers):
    """Keeps a table in the precision of the images that it first sees."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, dict[str, Tensor]] = {"tables": {}}

    def forward(self, x: Tensor) -> Tensor:
        tables = self.kept["tables"]
        if "one" not in tables:
            tables["one"] = torch.ones(10, 10, dtype=x.dtype)
        return self.a(x.flatten(1)) @ tables["one"]


class ByValues(Layers):
    """Its second layer is all zeros, which is filled before it is timed."""

    def __init__(self) -> None:
        super().__init__()
        nn.init.zeros_(self.b.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        y = self.a(x) + self.b(x)
        return y + self.c(x) if self.b.weight.any() else y


def of(constructor: Callable[[], nn.Module], dtype: torch.dtype) -> Callable[[], nn.Module]:
    return lambda: constructor().to(dtype)


CASES: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "fp32": (ByPrecision, 2 * ONE),
    "bf16": (of(ByPrecision, torch.bfloat16), ONE),
    "fp64": (of(ByPrecision, torch.float64), ONE),
    "layout": (ByLayout, 64 * 9 + 2 * ONE),
    "passes": (ByPasses, 2 * ONE),
    "passes in a buffer": (ByPassesInABuffer, 2 * ONE),
    "table": (WithTable, ONE + 100),
    "values": (ByValues, 2 * ONE),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    "before",
    [
        (),
        (Target("cpu", "x", "cpu"),),
        (Target("cpu", "x", "cpu", dtype="bf16"),),
        (Target("cpu", "x", "cpu", dtype="bf16"), Target("cpu", "x", "cpu")),
        (Target("cpu", "x", "cpu", memory_format="nhwc"),),
    ],
    ids=["alone", "fp32", "bf16", "both", "nhwc"],
)
def test_a_count_is_of_what_was_built(name: str, before: tuple[Target, ...]) -> None:
    constructor, right = CASES[name]
    spec, holder = ModelSpec.of(constructor, name="net", input_size=8), ModelHolder()
    if name == "table" and len(before) == 2:
        before = before[:1]  # its table serves the precision that made it
    for target in before:
        loaded = holder.get(spec, target)
        with loaded.running():
            for _ in range(40):
                loaded.module(*loaded.inputs())
    module = holder.network(spec).module
    then = {key: value.clone() for key, value in module.state_dict().items()}
    assert count(spec, holder.network(spec)).macs == right
    # What was brought to a target is there as before.
    now = module.state_dict()
    assert now.keys() == then.keys()
    for key, value in then.items():
        assert now[key].dtype is value.dtype
        assert now[key].stride() == value.stride()
        assert torch.equal(now[key], value), key


def test_other_weights_are_there_again_after_a_count() -> None:
    from archbench.models.loading import load
    from archbench.models.networks import construct

    spec = ModelSpec.of(ByPrecision, input_size=8)
    network = construct(spec)
    built = network.module.get_parameter("a.weight").clone()
    state = {"a.weight": torch.ones(10, 192)}
    for dtype in ("fp32", "bf16"):
        loaded = load(spec, Target("cpu", "x", "cpu", dtype=dtype), network, state)
        assert count(spec, network, second_opinion=dtype == "bf16").macs == 2 * ONE
        with loaded.running():
            assert bool((loaded.module.get_parameter("a.weight") == 1).all())
    network.put_back()
    assert torch.equal(network.module.get_parameter("a.weight"), built)
