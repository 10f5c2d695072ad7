"""Counts against arithmetic done by hand."""

from __future__ import annotations

import gc
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from ptflops import get_model_complexity_info
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import AlexNet

from archbench import ModelSpec
from archbench.core.errors import ArchbenchError, ArchitectureError, NotMeasuredError
from archbench.measure.complexity import count
from archbench.measure.parameters import count_parameters
from archbench.models.building import build_on_meta
from archbench.models.shapes import RememberedShapes


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


def test_nothing_of_a_counted_network_stays() -> None:
    gc.collect()
    gc.disable()  # what only the collector can free would still be there
    try:
        count(ModelSpec("torchvision", "alexnet"))
        assert not [one for one in gc.get_objects() if type(one) is AlexNet]
    finally:
        gc.enable()


def test_regnets_that_compute_while_constructing_are_counted() -> None:
    model = build_on_meta(ModelSpec("torchvision", "regnet_y_400mf"))
    assert all(parameter.is_meta for parameter in model.parameters())
    assert count_parameters(model)[0] == 4_344_144  # torchvision's weights metadata


def test_a_network_that_cannot_run_says_why() -> None:
    class Broken(Tiny):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x)

    with pytest.raises(ArchitectureError) as caught:
        count(spec_of(Broken))
    assert str(caught.value) == (
        "local/tiny failed in its forward pass: RuntimeError: mat1 and mat2 shapes cannot be "
        "multiplied (24x8 and 16x5) (images of 3x8x8)"
    )


def test_a_network_that_lacks_an_input_is_told_how_it_is_given() -> None:
    class Meta(Tiny):
        def forward(  # type: ignore[override]
            self, x: torch.Tensor, meta: torch.Tensor
        ) -> torch.Tensor:
            return super().forward(x) + meta.sum()

    with pytest.raises(ArchitectureError) as caught:
        count(spec_of(Meta))
    assert str(caught.value).endswith(
        "missing 1 required positional argument: 'meta'. A network of several inputs stands in "
        "pytest_archbench_models of the project's conftest.py, with the shapes of all of them, "
        "without the batch: ModelSpec.of(tiny, inputs=[(3, 8, 8), (10,)])"
    )
    # What it says to write is what helps.
    assert (
        count(ModelSpec.of(Meta, inputs=[(3, 8, 8), (10,)])).params == count(spec_of(Tiny)).params
    )


def test_a_network_that_wants_inputs_by_name_is_told_that_they_have_an_order() -> None:
    class ByName(Tiny):
        def forward(self, *, pixels: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            return super().forward(pixels)

    class MoreByName(Tiny):
        def forward(self, x: torch.Tensor, *, scale: float) -> torch.Tensor:  # type: ignore[override]
            return super().forward(x) * scale

    for network in (ByName, MoreByName):
        with pytest.raises(ArchitectureError, match="wrap it in a module that passes them by name"):
            count(spec_of(network))


def test_a_network_that_makes_tensors_without_a_device_is_counted() -> None:
    class Elsewhere(Tiny):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x + torch.zeros(1))

    assert count(spec_of(Elsewhere)).macs == count(spec_of(Tiny)).macs


class Functional(nn.Module):
    """A network whose forward pass is a function of the image ``(1, 3, 8, 8)`` and of itself."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor], **children: nn.Module) -> None:
        super().__init__()
        self.function = forward
        for name, child in children.items():
            self.add_module(name, child)
        self.matrix = nn.Parameter(torch.ones(3, 5))
        self.vector = nn.Parameter(torch.ones(8))

    def forward(self, x: Tensor) -> Tensor:
        y = self.function(self, x)
        return y.reshape(1, -1)


def _lstm_loop(net: Any, x: Tensor) -> Tensor:
    state = (x.new_zeros(8, 4), x.new_zeros(8, 4))
    for column in x.mean(1).transpose(1, 2).flip(0)[0]:
        state = net.cell(column.reshape(1, 8).expand(8, 8), state)
    return state[0]


# Name, network, multiply-adds by hand, how many additions of biases ptflops takes for such.
FAMILIES: list[tuple[str, nn.Module, int, int]] = [
    (
        "convolution",
        Functional(lambda net, x: net.layer(x), layer=nn.Conv2d(3, 6, 3, padding=1)),
        (6 * 8 * 8) * (3 * 9),
        6 * 8 * 8,
    ),
    (
        "grouped",
        Functional(lambda net, x: net.layer(x), layer=nn.Conv2d(3, 6, 3, groups=3, bias=False)),
        (6 * 6 * 6) * (1 * 9),
        0,
    ),
    (
        "dilated, strided",
        Functional(
            lambda net, x: net.layer(x), layer=nn.Conv2d(3, 4, 3, dilation=2, stride=2, bias=False)
        ),
        (4 * 2 * 2) * (3 * 9),  # the kernel spans 5 of 8 pixels: places 0 and 2
        0,
    ),
    (
        "transposed",
        Functional(lambda net, x: net.layer(x), layer=nn.ConvTranspose2d(3, 4, 2, stride=2)),
        (3 * 8 * 8) * (4 * 4),  # each input element meets 4 channels of 2x2 taps
        4 * 16 * 16,
    ),
    (
        "one dimension",
        Functional(lambda net, x: net.layer(x.flatten(2)), layer=nn.Conv1d(3, 2, 5, bias=False)),
        (2 * 60) * (3 * 5),
        0,
    ),
    (
        "three dimensions",
        Functional(lambda net, x: net.layer(x[:, None]), layer=nn.Conv3d(1, 2, 3, bias=False)),
        (2 * 1 * 6 * 6) * 27,
        0,
    ),
    (
        "linear",
        Functional(lambda net, x: net.layer(x), layer=nn.Linear(8, 5)),
        (3 * 8) * (8 * 5),
        3 * 8 * 5,
    ),
    (
        "linear as a function",
        Functional(lambda net, x: functional.linear(x.transpose(1, 3), net.matrix.t())),
        (8 * 8) * (3 * 5),
        0,
    ),
    ("matmul", Functional(lambda net, x: x @ x), 3 * 8 * 8 * 8, 0),
    ("matrix and vector", Functional(lambda net, x: x @ net.vector), 3 * 8 * 8, 0),
    ("one matrix and vector", Functional(lambda net, x: x[0, 0] @ net.vector), 8 * 8, 0),
    ("dot", Functional(lambda net, x: torch.dot(x[0, 0, 0], net.vector)), 8, 0),
    ("einsum", Functional(lambda net, x: torch.einsum("bchw,cd->bdhw", x, net.matrix)), 64 * 15, 0),
    (
        "einsum of activations",
        Functional(lambda net, x: torch.einsum("bchw,bdhw->bcd", x, x)),
        3 * 3 * 64,
        0,
    ),
    (
        "addmm",
        Functional(lambda net, x: torch.addmm(x[0, 0], x[0, 1], x[0, 2])),
        8 * 8 * 8,
        8 * 8,
    ),
    (
        "baddbmm",
        Functional(lambda net, x: torch.baddbmm(x[0], x[0], x[0])),
        3 * 8 * 8 * 8,
        0,
    ),
    (
        "attention",
        Functional(lambda net, x: functional.scaled_dot_product_attention(x, x, x)),
        2 * 3 * 8 * 8 * 8,
        0,
    ),
    (
        "attention of several heads",
        Functional(
            lambda net, x: net.layer(x[0], x[0], x[0])[0],
            layer=nn.MultiheadAttention(8, 2, bias=False, batch_first=True),
        ),
        # 4 projections of 24 rows, 2 heads of 4 columns over 8 rows in 3 batches
        4 * 24 * 64 + 2 * 3 * 2 * 8 * 8 * 4,
        0,
    ),
    (
        "LSTM",
        Functional(lambda net, x: net.layer(x[0])[0], layer=nn.LSTM(8, 4, bias=False)),
        (3 * 8) * 4 * (8 * 4 + 4 * 4),  # 3 steps, 8 rows, 4 gates
        0,
    ),
    (
        "LSTM cell in a loop",
        Functional(_lstm_loop, cell=nn.LSTMCell(8, 4, bias=False)),
        8 * 8 * 4 * (8 * 4 + 4 * 4),  # 8 steps, 8 rows, 4 gates
        0,
    ),
    (
        "interpolation",
        Functional(lambda net, x: functional.interpolate(x, scale_factor=2, mode="bilinear")),
        0,
        0,
    ),
    (
        "pooling, normalisation, activation",
        Functional(
            lambda net, x: net.norm(functional.avg_pool2d(x.relu(), 2)), norm=nn.BatchNorm2d(3)
        ),
        0,
        0,
    ),
]  # fmt: skip

UNSEEN_BY_PTFLOPS = {
    "baddbmm": "baddbmm", "matrix and vector": "mv", "one matrix and vector": "mv", "dot": "dot",
}  # fmt: skip
"""Families whose operator ptflops has no formula for."""


@pytest.mark.parametrize(
    ("name", "network", "macs", "biases"), FAMILIES, ids=[name for name, *_ in FAMILIES]
)
def test_families_of_operators_in_closed_form(
    name: str, network: nn.Module, macs: int, biases: int
) -> None:
    complexity = count(spec_of(network))
    assert complexity.macs == sum(complexity.macs_by_kind.values()) == macs
    assert complexity.flops_2_per_mac == 2 * macs
    opinion = complexity.second_opinion
    assert opinion is not None
    if name in UNSEEN_BY_PTFLOPS:
        operator = UNSEEN_BY_PTFLOPS[name]
        assert opinion.macs == 0
        assert opinion.operators == {operator: -macs}
        assert opinion.reasons == {operator: "ptflops has no formula for it"}
    else:
        # ptflops is right but for its convention: a bias is added, not multiplied.
        assert opinion.macs == macs + biases
        assert sum(opinion.operators.values()) == biases
        assert set(opinion.reasons) == set(opinion.operators)


def test_second_opinion_is_what_ptflops_itself_says() -> None:
    spec = ModelSpec("torchvision", "mobilenet_v3_small")
    opinion = count(spec).second_opinion
    theirs, _ = get_model_complexity_info(
        build_on_meta(spec), spec.input_size, print_per_layer_stat=False, as_strings=False,
        backend="aten", ost=io.StringIO(),
    )  # fmt: skip
    assert opinion is not None
    assert opinion.macs == theirs
    assert opinion.source.startswith("ptflops ")


class Mixed(nn.Module):
    """Attention, whose products have no parameters, between two linear layers, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 4, stride=4)
        self.norm = nn.BatchNorm2d(6)
        self.inner = nn.Linear(6, 20)
        self.head = nn.Linear(20, 30)
        self.frozen = nn.Parameter(torch.ones(7), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(self.stem(x)).flatten(2).transpose(1, 2)
        tokens = functional.scaled_dot_product_attention(tokens, tokens, tokens)
        return self.head(torch.relu_(self.inner(tokens)).mean(1))


def test_everything_else_that_is_counted() -> None:
    complexity = count(spec_of(Mixed))
    assert complexity.input_shape == (1, 3, 8, 8)
    assert complexity.output_shape == (1, 30)
    assert complexity.params == (6 * 48 + 6) + (6 + 6) + (6 * 20 + 20) + (20 * 30 + 30) + 7
    assert complexity.trainable_params == complexity.params - 7
    assert complexity.bias_params == 6 + 20 + 30  # not the normalisation's shift
    assert complexity.buffers == 6 + 6 + 1  # running mean, running variance, number of batches
    assert complexity.param_bytes == {
        **dict.fromkeys(("fp32", "tf32", "amp-fp16", "amp-bf16"), 4 * complexity.params),
        **dict.fromkeys(("fp16", "bf16"), 2 * complexity.params),
    }
    assert complexity.macs_by_kind == {
        "convolution": (6 * 2 * 2) * 48,
        "product": 2 * 4 * 4 * 6,  # 4 tokens of 6: scores and weighted sum
        "linear": 4 * 6 * 20 + 20 * 30,
    }
    # Written by the stem, the inner layer and the head; not by attention and normalisation.
    assert complexity.activations == 6 * 2 * 2 + 4 * 20 + 30
    assert complexity.max_channels == 20  # the head's 30 are the class scores
    assert complexity.uncounted["relu_"] == 1
    assert complexity.uncounted["mean"] == 1
    assert "convolution" not in complexity.uncounted
    assert complexity.operator_calls == sum(complexity.uncounted.values()) + 5
    assert [(c.name, c.type, c.params, c.macs) for c in complexity.layers] == [
        ("", "Mixed", 7, 2 * 4 * 4 * 6),
        ("stem", "Conv2d", 294, 24 * 48),
        ("norm", "BatchNorm2d", 12, 0),
        ("inner", "Linear", 140, 480),
        ("head", "Linear", 630, 600),
    ]


def test_whole_numbers_among_parameters_keep_their_width() -> None:
    class Table(Mixed):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.ones(10, dtype=torch.int64), requires_grad=False)

    floats = count(spec_of(Mixed)).params
    assert count(spec_of(Table)).param_bytes["fp16"] == 2 * floats + 8 * 10


def test_weights_that_are_computed_are_parameters_still() -> None:
    class Standardised(nn.Module):
        """Weight standardisation (Qiao et al. 2019), once for a layer and once for a product."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(5, 192))

        def forward(self, x: Tensor) -> Tensor:
            weight = self.weight - self.weight.mean(1, keepdim=True)
            return (weight.clone() @ x.reshape(192, 1)).relu().reshape(1, 5)

    complexity = count(spec_of(Standardised))
    assert complexity.macs_by_kind["linear"] == complexity.macs == 5 * 192
    assert complexity.activations == 5
    # The parameters stand on the left here, so channels are rows.
    assert complexity.max_channels == 5


@pytest.mark.parametrize(
    # From the layers' sizes.
    ("name", "activations"),
    [
        (
            "resnet18",
            112 * 112 * 64 + 4 * 56 * 56 * 64 + 5 * (28 * 28 * 128 + 14 * 14 * 256 + 7 * 7 * 512)
            + 1000,
        ),
        (
            "vit_b_16",
            # 196 patches; in each of 12 blocks queries, keys, values, projection, two linear layers
            196 * 768 + 12 * 197 * (3 * 768 + 768 + 3072 + 768) + 1000,
        ),
    ],
)  # fmt: skip
def test_activations_of_known_networks(name: str, activations: int) -> None:
    assert count(ModelSpec("torchvision", name)).activations == activations


def test_operator_without_a_formula_is_named() -> None:
    def spectrum(net: Any, x: Tensor) -> Tensor:
        return torch.fft.rfft2(x).abs().mean((2, 3))

    with pytest.raises(NotMeasuredError, match=r"it calls _fft_r2c, for which") as caught:
        count(spec_of(Functional(spectrum)))
    assert caught.value.reason == "operator-not-counted"
    assert "register_flop_formula" in str(caught.value)


def test_tensors_that_a_constructor_keeps_elsewhere_are_moved() -> None:
    class Keeps(Tiny):
        def __init__(self) -> None:
            super().__init__()
            with torch.device("cpu"):
                self.mask = torch.ones(8, 8)  # neither parameter nor buffer
                self.legacy = nn.Parameter(torch.Tensor(8, 8))

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x * self.mask * self.legacy)

    assert count(spec_of(Keeps)).macs == count(spec_of(Tiny)).macs


@pytest.mark.parametrize("name", ["resnet18", "vit_b_16", "swin_v2_t", "mobilenet_v3_small"])
def test_remembered_shapes_change_no_count(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ModelSpec("torchvision", name)
    remembered = count(spec)
    monkeypatch.setattr(
        RememberedShapes,
        "__torch_dispatch__",
        lambda mode, func, types, args=(), kwargs=None: func(*args, **(kwargs or {})),
    )
    assert count(spec) == remembered


def test_remembered_shapes_distinguish_arguments() -> None:
    x = torch.empty((2, 3, 4), device="meta")
    y = torch.empty((2, 4, 3), device="meta").transpose(1, 2)  # the same size, other strides
    with RememberedShapes():
        for _ in range(2):
            assert (x + 1).dtype == torch.float32
            assert (x == 1).dtype == torch.bool
            assert x.mean(0).shape == (3, 4)
            assert x.mean(1).shape == (2, 4)
            filled = [torch.full((2,), value, device="meta").dtype for value in (1, 1.0, True)]
            assert filled == [torch.int64, torch.float32, torch.bool]
            assert (x + x).stride() == (12, 4, 1)
            assert (y + y).stride() == (12, 1, 3)
            assert (x.int() + x.int()).dtype == torch.int32
            assert [part.shape[1] for part in torch.ops.aten.split_copy.Tensor(x, 2, 1)] == [2, 1]
            assert x.relu_() is x
            with pytest.raises(RuntimeError):
                x.add_(torch.empty((5,), device="meta"))


@pytest.mark.requires("timm>=0.9")  # older constructors refuse a depth of one's own
def test_a_model_larger_than_memory_costs_none() -> None:
    d = 2**16  # a block has 12 d**2 weights: 206 GB in fp32
    arguments = {"embed_dim": d, "num_heads": 16, "depth": 1}
    huge = ModelSpec("timm", "vit_base_patch16_224").with_arguments(arguments.items())
    assert huge.id == "timm/vit_base_patch16_224(depth=1,embed_dim=65536,num_heads=16)"
    embedding = 3 * 16 * 16 * d + d + d + 197 * d  # patches, their bias, class token, positions
    block = 12 * d**2 + (3 + 1 + 4 + 1) * d + 2 * 2 * d  # products, biases, two norms
    assert count(huge).params == embedding + block + 2 * d + 1000 * d + 1000


class Net(nn.Module):
    """A function of the image, as :class:`Functional`, whose output is left as it is."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor], **children: nn.Module) -> None:
        super().__init__()
        self.function = forward
        for name, child in children.items():
            self.add_module(name, child)
        self.table = nn.Parameter(torch.ones(100, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


@pytest.mark.parametrize(
    ("name", "network", "channels"),
    [
        (
            "a classifier that is a convolution of one pixel",
            Net(
                lambda net, x: net.last(net.stem(x).mean((2, 3), keepdim=True)).flatten(1),
                stem=nn.Conv2d(3, 7, 3), last=nn.Conv2d(7, 9, 1),
            ),
            7,
        ),
        (
            "two classifiers side by side",
            Net(
                lambda net, x: sum(
                    head(features)
                    for features in [net.stem(x).mean((2, 3))]
                    for head in (net.one, net.two)
                ),
                stem=nn.Conv2d(3, 7, 3), one=nn.Linear(7, 9), two=nn.Linear(7, 9),
            ),
            7,
        ),
        (
            "a layer as wide as the class scores, before the classifier",
            Net(
                lambda net, x: net.last(net.first(x.flatten(1))),
                first=nn.Linear(192, 8), last=nn.Linear(8, 8),
            ),
            8,
        ),
        (
            "a table of positions, that comes from parameters alone",
            Net(
                lambda net, x: net.last(
                    net.stem(x).mean((2, 3)) + net.positions(net.table).mean(0)
                ),
                stem=nn.Conv2d(3, 5, 3), positions=nn.Linear(2, 5), last=nn.Linear(5, 9),
            ),
            5,
        ),
        (
            "weights that the network computes from the image (Yang et al. 2019)",
            Net(
                lambda net, x: net.last(
                    functional.conv2d(x, net.weights(x.flatten(1)).view(4, 3, 3, 3)).mean((2, 3))
                ),
                weights=nn.Linear(192, 108), last=nn.Linear(4, 9),
            ),
            4,
        ),
    ],
)  # fmt: skip
def test_max_channels(name: str, network: nn.Module, channels: int) -> None:
    assert count(spec_of(network)).max_channels == channels


def test_known_networks_with_a_convolution_for_a_classifier() -> None:
    # Yu et al. 2018, table 1: DLA-34 ends in 512 channels.
    assert count(ModelSpec("timm", "dla34")).max_channels == 512


def test_biases_of_attention_are_biases() -> None:
    attention = Functional(
        lambda net, x: net.layer(x[0], x[0], x[0])[0],
        layer=nn.MultiheadAttention(8, 2, batch_first=True),
    )
    assert count(spec_of(attention)).bias_params == 3 * 8 + 8


def test_parameters_made_in_the_first_pass_are_counted_and_later_ones_refused() -> None:
    class Late(Tiny):
        def forward(self, x: Tensor) -> Tensor:
            if not hasattr(self, "late"):
                self.late = nn.Linear(5, 5)
            return self.late(super().forward(x))

    class Growing(Tiny):
        def forward(self, x: Tensor) -> Tensor:
            self.add_module(f"late{len(list(self.children()))}", nn.Linear(5, 5))
            return super().forward(x)

    late, tiny = count(spec_of(Late)), count(spec_of(Tiny))
    assert (late.params, late.macs) == (tiny.params + 30, tiny.macs + 25)
    with pytest.raises(NotMeasuredError, match=r"657 parameters after one pass and 687 after"):
        count(spec_of(Growing))


def test_lazy_modules_learn_their_sizes() -> None:
    def lazy() -> nn.Module:
        return Functional(lambda net, x: net.layer(x), layer=nn.LazyConv2d(4, 3, bias=False))

    assert count(ModelSpec.of(lazy, input_size=8)).macs == 4 * 36 * 27


def test_a_module_that_fails_and_is_caught_leaves_the_stack() -> None:
    class Failing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise ValueError

    class Catching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.failing = Failing()
            self.weight = nn.Parameter(torch.ones(192, 3))

        def forward(self, x: Tensor) -> Tensor:
            try:
                return self.failing(x)
            except ValueError:
                return x.flatten(1) @ self.weight

    (layer,) = count(spec_of(Catching)).layers
    assert (layer.name, layer.macs) == ("", 192 * 3)


@pytest.mark.parametrize("flops", [0, 10])
def test_an_operator_gets_a_formula_as_the_message_says(
    flops: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.utils import flop_counter

    fft = Functional(lambda net, x: torch.fft.rfft2(x).abs().sum((2, 3)))
    table = {**flop_counter.flop_registry, torch.ops.aten._fft_r2c: lambda *_, **__: flops}
    monkeypatch.setattr(flop_counter, "flop_registry", table)
    complexity = count(spec_of(fft))
    assert (complexity.macs, complexity.activations) == (flops // 2, 0)


def test_a_formula_that_is_odd_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.utils import flop_counter

    table = {**flop_counter.flop_registry, torch.ops.aten.mm: lambda *_, **__: 3}
    monkeypatch.setattr(flop_counter, "flop_registry", table)
    with pytest.raises(ArchbenchError, match="the formula of mm says 3 FLOPs"):
        count(spec_of(Functional(lambda net, x: x[0, 0] @ net.matrix.new_zeros(8, 2))))


def test_the_remedy_fits_the_failure() -> None:
    small = ModelSpec("torchvision", "alexnet").with_input_size(32)
    with pytest.raises(NotMeasuredError, match="See whether it runs with images of 3x32x32"):
        count(small)
