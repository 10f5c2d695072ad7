"""Networks of a person's own: built once, as their constructors build them, and left like that."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune

from archbench import ModelSpec
from archbench.core.errors import ArchitectureError, NotMeasuredError
from archbench.core.spec import Target
from archbench.core.verdicts import Note
from archbench.measure.cells import forward_passes
from archbench.measure.complexity import count
from archbench.models.loading import LoadedModel, ModelHolder, load
from archbench.models.networks import construct
from archbench.models.placement import relocate
from archbench.models.requiring import keep_for_good

TARGET = Target("cpu", "AMD EPYC", "cpu-amd-epyc")


class Base(nn.Module):
    """A convolution with 9,408 weights and a classifier of 64 x 1000: larger than 4,096 both."""

    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Conv2d(3, 64, 7, stride=4)
        self.fc = nn.Linear(64, 1000)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.c(x).mean((2, 3)))


def held(module: nn.Module) -> int:
    """Elements of parameters, those that share memory once."""
    return sum({p.untyped_storage().data_ptr(): p.numel() for p in module.parameters()}.values())


def loaded(constructor: Callable[..., Any], size: Any = 32, **target: Any) -> LoadedModel:
    spec = ModelSpec.of(constructor, name="net", input_size=size)
    return load(spec, Target("cpu", "AMD EPYC", "cpu-amd-epyc", **target))


# Tied parameters.


class TiedByObject(Base):
    def __init__(self) -> None:
        super().__init__()
        weight = nn.Parameter(torch.randn(1000, 64) * 0.1)
        self.a, self.b = nn.Linear(64, 1000), nn.Linear(64, 1000)
        self.a.weight = self.b.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        y = self.c(x).mean((2, 3))
        return self.a(y) + self.b(y) + self.fc(y)


class TiedByAttribute(TiedByObject):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(64, 1000), nn.Linear(64, 1000)
        self.b.weight = self.a.weight


class TiedByView(TiedByObject):
    """Each half of one piece of memory is a parameter."""

    def __init__(self) -> None:
        super().__init__()
        both = torch.randn(2000, 64) * 0.1
        self.a.weight, self.b.weight = nn.Parameter(both[:1000]), nn.Parameter(both[1000:])


@pytest.mark.parametrize("constructor", [TiedByObject, TiedByAttribute])
def test_tied_parameters_stay_tied(constructor: type[nn.Module]) -> None:
    # 9,472 and 65,000 of the base; one matrix of 64,000 and two biases.
    right = 9_472 + 65_000 + 64_000 + 2_000
    spec = ModelSpec.of(constructor, input_size=32)
    network = construct(spec)
    assert count(spec, network).params == right
    model = load(spec, TARGET, network)
    assert held(model.module) == right
    for seed in range(3):
        relocate(model.module, seed)
        assert model.module.get_parameter("a.weight") is model.module.get_parameter("b.weight")
        assert held(model.module) == right
    half = load(spec, Target("cpu", "AMD EPYC", "cpu", dtype="bf16"), network)
    with half.running():
        assert held(half.module) == right


def test_views_of_one_memory_move_together() -> None:
    model = loaded(TiedByView)
    a, b = (model.module.get_parameter(f"{name}.weight") for name in "ab")
    before = a.data_ptr()
    relocate(model.module, 1)
    assert a.data_ptr() != before
    assert b.data_ptr() == a.data_ptr() + a.numel() * 4


def test_memory_that_something_else_holds_stays_where_it_is() -> None:
    class Kept(Base):
        def __init__(self) -> None:
            super().__init__()
            self.kept = [self.fc.weight.detach()]

    model = loaded(Kept)
    relocate(model.module, 1)
    weight = model.module.get_parameter("fc.weight")
    assert weight.data_ptr() == model.module.kept[0].data_ptr()  # type: ignore[index]


# Buffers, and constructors that touch their weights.


class Shadow(Base):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shadow", self.fc.weight.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(self.c(x).mean((2, 3)), self.get_buffer("shadow"))


class Quantiser(Base):
    def __init__(self) -> None:
        super().__init__()
        scale = self.fc.weight.detach().abs().amax(1, keepdim=True) / 127
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.get_buffer("scale")
        return functional.linear(
            self.c(x).mean((2, 3)), torch.round(self.fc.weight / scale) * scale
        )


def spectral() -> nn.Module:
    net = Base()
    parametrizations.spectral_norm(net.fc)
    return net


def spectral_old() -> nn.Module:
    net = Base()
    nn.utils.spectral_norm(net.fc)
    return net


def pruned() -> nn.Module:
    net = Base()
    prune.l1_unstructured(net.fc, "weight", amount=0.5)
    return net


def moved() -> nn.Module:
    return Base().to("cpu").float()


def given_weights() -> nn.Module:
    net = Base()
    net.fc.weight.data = torch.ones(1000, 64)
    return net


def checked() -> nn.Module:
    net = Base()
    assert not torch.isnan(net.fc.weight).any()
    nn.init.orthogonal_(net.c.weight)
    return net


def fused() -> nn.Module:
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    net = Base().eval()
    net.c = fuse_conv_bn_eval(net.c, nn.BatchNorm2d(64).eval())
    return net


def lazy() -> nn.Module:
    return nn.Sequential(
        nn.LazyConv2d(64, 7, 4), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(9)
    )


def integers() -> nn.Module:
    net = Base()
    net.table = nn.Parameter(torch.arange(5000), requires_grad=False)
    net.mask = nn.Parameter(torch.ones(64, dtype=torch.bool), requires_grad=False)
    return net


class Complex(Base):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(64, 64, dtype=torch.complex64) / 8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.c(x).mean((2, 3))
        return self.fc((y.to(torch.complex64) @ self.w).abs())


CONSTRUCTORS = [
    *(Shadow, Quantiser, spectral, spectral_old, pruned, moved, given_weights, checked, fused),
    *(lazy, integers, Complex),
]  # fmt: skip


@pytest.mark.parametrize("constructor", CONSTRUCTORS, ids=lambda one: one.__name__)
def test_a_network_is_what_its_constructor_builds(constructor: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    plain = constructor().eval()
    if constructor is lazy:
        plain(torch.zeros(1, 3, 32, 32))
        torch.manual_seed(0)
    model = loaded(constructor)
    assert model.notes == []
    ours, theirs = model.module.state_dict(), plain.state_dict()
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert (ours[name].dtype, ours[name].stride()) == (tensor.dtype, tensor.stride())
        assert ours[name].shape == tensor.shape
        if constructor is not lazy:
            assert torch.equal(ours[name], tensor), name
    grads = {name: p.requires_grad for name, p in plain.named_parameters()}
    assert {name: p.requires_grad for name, p in model.module.named_parameters()} == grads
    assert torch.isfinite(model(*model.inputs())).all()


def test_complex_numbers_are_not_cast_to_a_real_precision() -> None:
    model = loaded(Complex)
    assert model.module.get_parameter("w").dtype is torch.complex64


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_networks_of_other_precisions_are_counted_and_timed(dtype: torch.dtype) -> None:
    def built() -> nn.Module:
        return Base().to(dtype)

    spec = ModelSpec.of(built, input_size=32)
    network = construct(spec)
    assert network.own_dtype is dtype
    # 7 x 7 places of 64 channels with 147 taps each, and the classifier.
    assert count(spec, network).macs == 7 * 7 * 64 * 147 + 64_000
    model = load(spec, TARGET, network)
    with model.running():
        assert model.module.get_parameter("fc.weight").dtype is dtype
        assert model(*model.inputs()).dtype is dtype
    name = str(dtype).removeprefix("torch.")
    assert [(note.code, note.text) for note in model.notes] == [
        ("precision", f"it was built in {name} and is timed so; any other --dtype converts it")
    ]
    converted = load(spec, Target("cpu", "AMD EPYC", "cpu", dtype="amp-bf16"), network)
    with converted.running():
        assert converted.module.get_parameter("fc.weight").dtype is torch.float32
    assert not converted.notes
    network.put_back()
    assert network.module.get_parameter("fc.weight").dtype is dtype


class Casting(nn.Module):
    """Its layers are in precisions of their own, between which its code casts."""

    def __init__(self, *dtypes: torch.dtype) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(192, 192, dtype=dtype) for dtype in dtypes)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for place, layer in enumerate(self.layers):
            x = layer(x.to(layer.weight.dtype) if place else x)  # type: ignore[arg-type]
        return x


class HeadInBf16(nn.Module):
    """``torch.fft`` of a CPU takes no bf16."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(192, 10).bfloat16()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.fft.fft(x).real.flatten(1).bfloat16())


BF16, FP32, FP64 = torch.bfloat16, torch.float32, torch.float64


@pytest.mark.parametrize(
    ("constructor", "images"),
    [
        (lambda: Casting(FP32, BF16, BF16), FP32),
        (lambda: Casting(BF16, FP32, FP32), BF16),
        (lambda: Casting(FP64, BF16, BF16, FP32), FP64),
        (HeadInBf16, FP32),
    ],
)
def test_networks_whose_code_casts_run_as_they_were_built(
    constructor: Callable[[], nn.Module], images: torch.dtype
) -> None:
    spec = ModelSpec.of(constructor, name="net", input_size=8)
    network = construct(spec)
    before = [parameter.dtype for parameter in network.module.parameters()]
    model = load(spec, TARGET, network)
    assert model.images().dtype is images is network.inputs()[0].dtype
    with model.running():
        assert [parameter.dtype for parameter in model.module.parameters()] == before
    assert torch.isfinite(model(*model.inputs())).all()
    assert [note.code for note in model.notes] == ["precision"]


def test_a_precision_that_code_does_not_allow_is_refused_by_name() -> None:
    spec = ModelSpec.of(HeadInBf16, input_size=8)
    with pytest.raises(NotMeasuredError, match="Use --dtype=fp32, which runs it as it was built"):
        load(spec, Target("cpu", "AMD EPYC", "cpu", dtype="fp16"))


def test_a_tensor_of_another_precision_among_the_others_stays() -> None:
    class Mixed(Base):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1000, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).double() * self.scale

    model = loaded(Mixed)
    assert model.module.get_parameter("scale").dtype is torch.float64
    assert model(*model.inputs()).dtype is torch.float64


# Values.


def zeros() -> nn.Module:
    net = Base()
    nn.init.zeros_(net.fc.weight)
    return net


def denormal() -> nn.Module:
    net = Base()
    net.c.weight.data.mul_(1e-40)
    return net


def uninitialised() -> nn.Module:
    net = Base()
    net.fc.weight = nn.Parameter(torch.full((1000, 64), math.nan))
    return net


@pytest.mark.parametrize(
    ("constructor", "found", "filled"),
    [
        (zeros, "all zeros in fc", "fc.weight"),
        (denormal, "denormal in c.weight", "c.weight"),
        (uninitialised, "not a number in fc.weight", "fc.weight"),
    ],
)
def test_values_that_make_times_lie_are_found_said_and_filled(
    constructor: Callable[[], nn.Module], found: str, filled: str
) -> None:
    torch.manual_seed(0)
    plain = constructor()
    model = loaded(constructor)
    (note,) = model.notes
    assert note == Note(
        "filled",
        f"its values were {found}, which moves times: {filled} was filled with random "
        "numbers; it has 4 parameters",
    )
    for name, parameter in model.module.named_parameters():
        assert torch.equal(parameter, plain.get_parameter(name)) is (name != filled), name
    scores = model(*model.inputs())
    assert torch.isfinite(scores).all()
    assert scores.abs().min() > 1e-30


def test_a_signal_that_fades_has_all_of_the_network_filled() -> None:
    def fading() -> nn.Module:
        layers = [nn.Linear(64, 64, bias=False) for _ in range(6)]
        for layer in layers:
            layer.weight.data.mul_(1e-8)
        return nn.Sequential(nn.Flatten(), nn.Linear(3072, 64), *layers)

    model = loaded(fading)
    (note,) = model.notes
    assert note.text.startswith("its values were denormal in ")
    assert "8 tensors, 1.weight first, were filled" in note.text
    assert model(*model.inputs()).abs().mean() > 1e-3


def test_filling_stays_with_a_network_in_every_precision() -> None:
    holder, spec = ModelHolder(), ModelSpec.of(zeros, input_size=32)
    for dtype in ("bf16", "fp32", "bf16"):
        model = holder.get(spec, Target("cpu", "AMD EPYC", "cpu", dtype=dtype))
        assert [note.code for note in model.notes] == ["filled"]
        with model.running():
            assert model.module.get_parameter("fc.weight").any()


def test_masks_of_minus_infinity_are_no_trouble() -> None:
    class Masked(Base):
        def forward(self, x: Tensor) -> Tensor:
            y = self.c(x).flatten(2).transpose(1, 2)
            mask = torch.full((49, 49), -math.inf).triu(1)
            return self.fc(functional.scaled_dot_product_attention(y, y, y, attn_mask=mask).mean(1))

    assert loaded(Masked).notes == []


# Once.


def test_a_constructor_runs_once_for_all_cells_and_a_failure_is_not_tried_again() -> None:
    calls: list[int] = []

    def built(width: int = 0) -> nn.Module:
        calls.append(width)
        if width < 0:
            raise ValueError("width must be positive")
        return Base()

    holder, spec = ModelHolder(), ModelSpec.of(built, input_size=32)
    count(spec, holder.network(spec))
    for target in (TARGET, Target("cpu", "AMD EPYC", "cpu", dtype="bf16", batch_size=2)):
        holder.get(spec, target)
    assert calls == [0]
    bad = ModelSpec.of(built, kwargs={"width": -1})
    errors = []
    for _ in range(2):
        with pytest.raises(ArchitectureError, match="width must be positive") as caught:
            holder.get(bad, TARGET)
        errors.append(caught.value)
    assert errors[0] is errors[1]
    assert calls == [0, -1]


def test_a_network_is_let_go_though_something_was_imported_since() -> None:
    class Cyclic(Base):
        def __init__(self) -> None:
            super().__init__()
            self.itself = [self]

    class Next(Base):
        def __init__(self) -> None:
            super().__init__()
            gone.append(held() is None)

    gone: list[bool] = []
    holder = ModelHolder()
    held = weakref.ref(holder.get(ModelSpec.of(Cyclic, input_size=32), TARGET).module)
    keep_for_good()
    try:
        assert held() is not None
        holder.get(ModelSpec.of(Next, input_size=32), TARGET)
        # Already while the next one is built.
        assert gone == [True]
    finally:
        gc.unfreeze()


def test_two_networks_of_one_name_are_two_networks() -> None:
    holder = ModelHolder()
    small, large = (
        ModelSpec.of(lambda width=width: nn.Sequential(nn.Flatten(), nn.Linear(3072, width)),
                     name="net", input_size=32)
        for width in (4, 64)
    )  # fmt: skip
    assert holder.get(small, TARGET).module[1].out_features == 4  # type: ignore[index]
    assert holder.get(large, TARGET).module[1].out_features == 64  # type: ignore[index]


# What is given instead of a constructor.


def test_a_network_that_is_built_already() -> None:
    net = Base()
    model = load(ModelSpec.of(net, input_size=32), TARGET)
    assert model.spec.id == "local/Base"
    assert model.module is net
    assert not net.training
    with pytest.raises(ArchitectureError, match="built already, and takes no arguments"):
        construct(ModelSpec.of(net, kwargs={"width": 2}))


@pytest.mark.parametrize(
    ("constructor", "kwargs", "message"),
    [
        (
            lambda num_classes, width=1: None,
            {},
            "missing a required argument: 'num_classes' of <lambda>(num_classes, width=1). Give "
            "what it needs: <lambda>(num_classes=...); where that is no literal, write a function "
            "without arguments that returns the network",
        ),
        (
            lambda num_classes, width=1: None,
            {"wdith": 2, "width": 3},
            "missing a required argument: 'num_classes' of <lambda>(num_classes, width=1). Give "
            "what it needs: <lambda>(num_classes=...,width=3), and not wdith; where that is no "
            "literal, write a function without arguments that returns the network",
        ),
        (
            lambda width=1: None,
            {"depth": 2},
            "got an unexpected keyword argument 'depth' of <lambda>(width=1). Name arguments that "
            "it has",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_said_before_it_is_called(
    constructor: Callable[..., Any], kwargs: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArchitectureError) as caught:
        construct(ModelSpec.of(constructor, name="net", kwargs=kwargs))
    assert str(caught.value) == f"local/net cannot be built: {message}"
    assert caught.value.__cause__ is None


class Wide(nn.Module):
    def __init__(self, width: int = 1, *, depth: int = 2) -> None:
        super().__init__()


def passing_on(classes: int = 10, **kw: Any) -> nn.Module:
    return Wide(**kw)


def passing_on_twice(**kw: Any) -> nn.Module:
    return passing_on(**kw)


@pytest.mark.parametrize("constructor", [passing_on, passing_on_twice])
@pytest.mark.parametrize(
    ("name", "nearest"),
    [("widht", "; the nearest is width"), ("clases", "; the nearest is classes"), ("x", "")],
)
def test_an_argument_that_is_passed_on_to_what_does_not_take_it(
    constructor: Callable[..., Any], name: str, nearest: str
) -> None:
    with pytest.raises(ArchitectureError) as caught:
        construct(ModelSpec.of(constructor, name="net", kwargs={name: 2}))
    assert str(caught.value) == (
        f"local/net cannot be built: got an unexpected keyword argument {name!r} of "
        "Wide(width: 'int' = 1, *, depth: 'int' = 2) -> 'None'. Name arguments that it "
        f"has{nearest}"
    )
    assert isinstance(caught.value.__cause__, TypeError)


def test_an_argument_that_a_constructor_gives_itself_is_its_own_error() -> None:
    with pytest.raises(ArchitectureError, match=r"built: TypeError: Wide.__init__\(\) got an "):
        construct(ModelSpec.of(lambda: Wide(widht=2), name="net"))  # type: ignore[call-arg]


class Stop(BaseException):
    """As a plugin's time-out of a test, or Ctrl-C: no error of the network."""


@pytest.mark.parametrize(
    "error",
    [
        Stop(), KeyboardInterrupt(), GeneratorExit(), pytest.fail.Exception("too slow"),
        pytest.exit.Exception("enough"),
    ],
)  # fmt: skip
def test_what_is_no_error_of_the_network_is_passed_on(error: BaseException) -> None:
    def interrupted() -> nn.Module:
        raise error

    class Interrupted(Base):
        def forward(self, x: Tensor) -> Tensor:
            raise error

    with pytest.raises(type(error)):
        construct(ModelSpec.of(interrupted))
    with pytest.raises(type(error)):
        loaded(Interrupted)
    with pytest.raises(type(error)):
        count(ModelSpec.of(Interrupted))
    with pytest.raises(type(error)), forward_passes(loaded(Base)):
        raise error


@pytest.mark.parametrize("skip", [pytest.skip, pytest.xfail])
def test_a_network_that_skips_its_test_has_failed(skip: Callable[[str], Any]) -> None:
    def skipping() -> nn.Module:
        skip("no such device")
        raise AssertionError

    class Skipping(Base):
        def forward(self, x: Tensor) -> Tensor:
            skip("no such device")
            return x

    said = r"failed in its forward pass: .*: no such device"
    with pytest.raises(ArchitectureError, match=r"cannot be built: .*: no such device"):
        construct(ModelSpec.of(skipping))
    with pytest.raises(ArchitectureError, match=said):
        loaded(Skipping)
    with pytest.raises(ArchitectureError, match=said):
        count(ModelSpec.of(Skipping))


@pytest.mark.parametrize("kind", ["script", "trace", "export"])
def test_networks_in_a_file_of_their_own(tmp_path: Path, kind: str) -> None:
    from archbench.catalog.own import own_architectures

    images = torch.randn(1, 3, 32, 32)
    net = Base().eval()
    path = tmp_path / ("net.pt2" if kind == "export" else "net.pt")
    if kind == "export":
        torch.export.save(torch.export.export(net, (images,)), path)
    else:
        made = torch.jit.script(net) if kind == "script" else torch.jit.trace(net, images)
        torch.jit.save(made, str(path))
    (spec,) = own_architectures(f"{path.name}@32", tmp_path, "")
    network = construct(spec)
    counts = count(spec, network)
    assert (counts.params, counts.macs) == (9_472 + 65_000, 7 * 7 * 64 * 147 + 64_000)
    model = load(spec, TARGET, network)
    with torch.no_grad():
        assert torch.allclose(model(images), net(images), atol=1e-6)


def test_weights_alone_are_no_network(tmp_path: Path) -> None:
    from archbench.catalog.own import own_architectures

    torch.save(Base().state_dict(), tmp_path / "weights.pth")
    (spec,) = own_architectures("weights.pth", tmp_path, "")
    with pytest.raises(ArchitectureError, match=r"Weights alone are no network: name its con"):
        construct(spec)


# Forward passes.


class Gradients(Base):
    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            y = self.c(x.clone().requires_grad_()).mean((2, 3))
            (slope,) = torch.autograd.grad(y.sum(), y, retain_graph=True)
        return self.fc(y + slope)


def test_a_pass_that_needs_gradients_leaves_inference_mode() -> None:
    model = loaded(Gradients)
    assert model.gradients == "none"
    (note,) = model.notes
    assert note.text.startswith("its passes run under no_grad, since otherwise: ")
    assert count(ModelSpec.of(Gradients, input_size=32)).macs == 7 * 7 * 64 * 147 + 64_000


@pytest.mark.parametrize(
    ("network", "size", "message"),
    [
        (
            lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 30 * 30, 10)),
            None,
            "That was with images of 3x224x224; it runs with 3x32x32: add @32, or input_size= to "
            "its ModelSpec",
        ),
        (
            lambda: nn.Sequential(nn.Conv2d(1, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            None,
            "it runs with 1x28x28: add @1x28x28, or input_size= to its ModelSpec",
        ),
        (
            lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 30 * 30, 10)),
            (48,),
            "(images of 3x48x48)",
        ),
    ],
)
def test_a_size_that_works_is_named_where_nobody_asked_for_one(
    network: Callable[[], nn.Module], size: tuple[int, ...] | None, message: str
) -> None:
    spec = ModelSpec.of(network, name="net")
    spec = spec.with_input_size(size) if size else spec
    for use in (lambda: load(spec, TARGET), lambda: count(spec)):
        with pytest.raises(ArchitectureError) as caught:
            use()
        assert str(caught.value).startswith("local/net")
        assert str(caught.value).endswith(message)


def test_several_inputs() -> None:
    class Two(Base):
        def forward(self, x: Tensor, place: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(x) + place.sum(1, keepdim=True)

    model = load(ModelSpec.of(Two, inputs=[(3, 32, 32), (2,)]), TARGET)
    assert [tuple(one.shape) for one in model.inputs()] == [(1, 3, 32, 32), (1, 2)]
    assert model(*model.inputs()).shape == (1, 1000)
    assert count(model.spec).macs == 7 * 7 * 64 * 147 + 64_000

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.fc = nn.Embedding(50, 8), nn.Linear(8, 3)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.fc(self.table(tokens).mean(1))

    spec = ModelSpec.of(Tokens, inputs=lambda n: torch.randint(50, (n, 12)))
    model = load(spec, Target("cpu", "AMD EPYC", "cpu", batch_size=4))
    assert model.inputs()[0].dtype is torch.int64
    assert model(*model.inputs()).shape == (4, 3)
    assert count(spec).macs == 24


def test_images_of_one_channel_and_three_dimensions() -> None:
    def volumes() -> nn.Module:
        return nn.Sequential(nn.Conv3d(1, 4, 3), nn.AdaptiveAvgPool3d(1), nn.Flatten())

    spec = ModelSpec.of(volumes).with_input_size((1, 8, 10, 12))
    assert spec.id == "local/volumes@1x8x10x12"
    assert count(spec).macs == 6 * 8 * 10 * 4 * 27
    assert load(spec, TARGET).images().shape == (1, 1, 8, 10, 12)


def test_an_onnx_graph_says_what_it_has_and_waits_for_an_engine(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from archbench.catalog.own import own_architectures

    make, kind = onnx.helper, onnx.TensorProto.FLOAT
    weights = [
        make.make_tensor("w", kind, [4, 3, 3, 3], [0.0] * 108),
        make.make_tensor("b", kind, [4], [0.0] * 4),
    ]
    graph = make.make_graph(
        [make.make_node("Conv", ["x", "w", "b"], ["y"]), make.make_node("Relu", ["y"], ["z"])],
        "net",
        [make.make_tensor_value_info("x", kind, [1, 3, 8, 8])],
        [make.make_tensor_value_info("z", kind, [1, 4, 6, 6])],
        weights,
    )
    onnx.save(make.make_model(graph), tmp_path / "net.onnx")
    (spec,) = own_architectures("net.onnx", tmp_path, "")
    with pytest.raises(NotMeasuredError) as caught:
        construct(spec)
    assert str(caught.value).startswith(
        "local/net is an ONNX graph of 2 nodes and 112 parameters. An inference engine runs it"
    )
    metrics = caught.value.metrics
    assert metrics["params"]["value"] == 112
    assert metrics["nodes"]["by_operator"] == {"Conv": 1, "Relu": 1}
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    (bad,) = own_architectures("bad.onnx", tmp_path, "")
    with pytest.raises(NotMeasuredError, match=r"bad\.onnx is no ONNX graph: "):
        construct(bad)


@pytest.mark.parametrize("content", [b"no zip", b"PK\x03\x04" + bytes(range(256)), b""])
def test_a_damaged_exported_program_names_its_file(tmp_path: Path, content: bytes) -> None:
    from archbench.catalog.own import own_architectures

    (tmp_path / "cut.pt2").write_bytes(content)
    (spec,) = own_architectures("cut.pt2", tmp_path, "")
    with pytest.raises(ArchitectureError) as caught:
        construct(spec)
    text = str(caught.value)
    assert "cut.pt2 holds no exported program, or is damaged (" in text
    assert text.endswith(
        "Save it with torch.export.save, by a torch that is no newer than this one"
    )


class Caching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3 * 8 * 8, 10)
        self.kept: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.kept is None:
            self.kept = self.fc(x.flatten(1))
        return self.kept


class WithTable(Caching):
    """Makes a table in its first pass, and computes in each."""

    def forward(self, x: Tensor) -> Tensor:
        if self.kept is None:
            self.kept = torch.ones(10).sqrt()
        y = self.fc(x.flatten(1).relu().tanh())
        return y * self.kept


@pytest.mark.parametrize(("constructor", "is_said"), [(Caching, True), (WithTable, False)])
def test_a_network_that_keeps_its_results_is_said_to(
    constructor: type[nn.Module], is_said: bool
) -> None:
    loaded = load(ModelSpec.of(constructor, name="net", input_size=8), Target("cpu", "x", "cpu"))
    codes = [note.code for note in loaded.notes]
    assert ("keeps-results" in codes) is is_said
    if is_said:
        (text,) = (note.text for note in loaded.notes if note.code == "keeps-results")
        assert text.startswith("a later pass calls 0 operators where the first called ")
