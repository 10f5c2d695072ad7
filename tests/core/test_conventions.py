"""Conventions on a network small enough to work out by hand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from archbench.core.complexity import KINDS, Complexity
from archbench.core.convention import ELEMENTS, Convention, ConventionError, Style
from archbench.core.conventions import CONVENTIONS
from archbench.core.errors import ArchbenchError


def complexity(
    convolution: int = 0,
    linear: int = 0,
    product: int = 0,
    params: int = 0,
    bias_params: int = 0,
    activations: int = 0,
) -> Complexity:
    return Complexity(
        input_shape=(1, 3, 8, 8),
        output_shape=(1, 10),
        params=params,
        trainable_params=params,
        bias_params=bias_params,
        buffers=0,
        param_bytes={},
        macs=convolution + linear + product,
        macs_by_kind={"convolution": convolution, "linear": linear, "product": product},
        activations=activations,
        max_channels=8,
        operator_calls=0,
        uncounted={},
        layers=(),
    )


# A 3x3 convolution from 3 to 8 channels with a bias on 8x8, ReLU, max pooling of 2x2 windows, and a
# linear layer with a bias from the 8x4x4 that are left to 10 classes.
CONVOLUTION = 8 * 8 * 8 * (3 * 3 * 3)
LINEAR = 8 * 4 * 4 * 10
WRITTEN = 8 * 8 * 8
TINY = complexity(
    convolution=CONVOLUTION,
    linear=LINEAR,
    params=8 * 27 + 8 + LINEAR + 10,
    bias_params=8 + 10,
    activations=WRITTEN + 10,
)
TINY_ELEMENTS = dict.fromkeys(ELEMENTS, 0) | {
    "conv_bias_outputs": WRITTEN,
    "linear_bias_outputs": 10,
    "relu_outputs": WRITTEN,
    "pooling_windows": 8 * 4 * 4 * (2 * 2),
    "pooling_inputs": WRITTEN,
    "linear_layers": 1,
}
ATTENTION = complexity(linear=30, product=12)


@pytest.mark.parametrize(
    ("name", "flops"),
    [
        ("macs", CONVOLUTION + LINEAR),
        ("flops-2-per-mac", 2 * CONVOLUTION + 2 * LINEAR),
        ("bertmoons", 2 * CONVOLUTION + 2 * LINEAR),
        ("paddleclas-series", 2 * CONVOLUTION + LINEAR - WRITTEN + 128 * 4),
        ("paddleclas-overview", CONVOLUTION + LINEAR + WRITTEN),
        ("ptflops", CONVOLUTION + LINEAR + WRITTEN + 10 + WRITTEN + WRITTEN),
        ("timm", CONVOLUTION + LINEAR),
        ("pytorchcv", CONVOLUTION + LINEAR + WRITTEN // 2 + 128 * 4 // 2),
        ("bianco2018", CONVOLUTION + WRITTEN // 2),
    ],
)
def test_flops_of_a_tiny_network(name: str, flops: int) -> None:
    assert CONVENTIONS[name].flops(TINY, TINY_ELEMENTS) == flops


@pytest.mark.parametrize(
    ("name", "elements", "flops"),
    [
        # Each kind of element alone, 6 of it, on a network without multiply-adds.
        ("paddleclas-series", "batch_norm_outputs", 12),
        ("paddleclas-series", "sigmoid_outputs", -6),
        ("paddleclas-series", "silu_outputs", 0),
        ("paddleclas-series", "grouped_macs", -12),
        ("paddleclas-series", "adaptive_pooling_outputs", 6),
        ("paddleclas-overview", "batch_norm_outputs", 12),
        ("paddleclas-overview", "adaptive_pooling_inputs", 6),
        ("paddleclas-overview", "pooling_windows", 0),
        ("ptflops", "batch_norm_outputs", 12),
        ("ptflops", "silu_outputs", 0),
        ("ptflops", "gelu_outputs", 6),
        ("timm", "batch_norm_outputs", 12),
        ("timm", "layer_norm_outputs", 30),
        ("timm", "bilinear_outputs", 24),
        ("timm", "relu_outputs", 0),
        ("pytorchcv", "batch_norm_outputs", 12),
        ("pytorchcv", "silu_outputs", 15),
        ("pytorchcv", "unbiased_kernels", -3),
        ("bianco2018", "batch_norm_outputs", 0),
    ],
)
def test_what_else_counts(name: str, elements: str, flops: int) -> None:
    numbers = dict.fromkeys(ELEMENTS, 0) | {elements: 6}
    assert CONVENTIONS[name].flops(complexity(), numbers) == flops


@pytest.mark.parametrize(
    ("name", "flops"),
    [
        ("macs", 42),
        ("flops-2-per-mac", 84),
        ("timm", 42),
        ("paddleclas-series", 30),
        ("pytorchcv", 30),
        ("bianco2018", 0),
    ],
)
def test_linear_layers_and_attention(name: str, flops: int) -> None:
    assert CONVENTIONS[name].multiply_adds(ATTENTION) == flops


def test_a_half_is_rounded_down() -> None:
    numbers = dict.fromkeys(ELEMENTS, 0) | {"conv_bias_outputs": 3}
    assert CONVENTIONS["bianco2018"].flops(complexity(convolution=10), numbers) == 11


def test_parameters() -> None:
    # 216 + 8 in the convolution, 1280 + 10 in the linear layer.
    numbers = TINY_ELEMENTS | {"batch_norm_statistics": 16, "grouped_params": 5}
    by_name = {name: convention.params(TINY, numbers) for name, convention in CONVENTIONS.items()}
    assert by_name.pop("paddleclas-series") == 216 + 1280 + 1 - 5
    assert by_name.pop("paddleclas-overview") == 1514 + 16
    assert set(by_name.values()) == {1514}


@pytest.mark.parametrize(
    ("style", "value", "text"),
    [
        (Style("G", 10**9, decimals=2), 4_114_999_999, "4.11"),
        (Style("G", 10**9, decimals=2), 4_115_000_001, "4.12"),
        (Style("G", 10**9, decimals=2), 4_125_000_000, "4.12"),  # halves to even
        (Style("G", 10**9, decimals=2, cut=True), 4_119_999_999, "4.11"),
        (Style("G", 10**9, decimals=2, zeros=1), 1_370_000_000, "1.370"),
        (Style("M", 10**6, decimals=2, thousands=True), 7_615_867_904, "7,615.87"),
        (Style("", 1, thousands=True), 132_863_336, "132,863,336"),
        (Style("M", 10**6), 1_137_481_472, "1137"),
        (Style("G", 10**9, significant=4), 714_188_480, "0.7142"),
        (Style("G", 10**9, significant=4), 11_513_600_000, "11.51"),
        # As a float 39.13 is 39.130000000000002558 and 0.285 is 0.28499999999999998.
        (Style("G", 10**9, decimals=2, cut=True), 39_130_000_000, "39.13"),
        (Style("G", 10**9, decimals=2), 285_000_000, "0.28"),
    ],
)
def test_how_numbers_are_printed(style: Style, value: int, text: str) -> None:
    assert style.text(value) == text


def test_as_documents_print_them() -> None:
    # ResNet-50: 4,087,136,256 of its 4,089,184,256 multiply-adds in convolutions; BatchNorm and the
    # convolutions write 11,113,984 elements.
    resnet50 = complexity(4_087_136_256, 2_048_000, params=25_557_032, activations=11_114_984)
    elements = dict.fromkeys(ELEMENTS, 0) | {
        "batch_norm_outputs": 11_113_984,
        "adaptive_pooling_inputs": 100_352,
    }
    timm = CONVENTIONS["timm"]
    assert timm.printed_flops(resnet50, elements) == "4.11"
    assert timm.printed_params(resnet50) == "25.56"
    assert timm.printed_activations(resnet50) == "11.11"
    assert CONVENTIONS["macs"].printed_flops(resnet50) == "4.089"


@pytest.mark.parametrize(
    ("name", "published", "macs"),
    [
        ("macs", "1.5", 1_500_000_000),
        ("flops-2-per-mac", 3.0, 1_500_000_000),
        ("bertmoons", "1138", 569_000_000),  # written in the source as 2*569
    ],
)
def test_back_to_macs(name: str, published: str | float, macs: int) -> None:
    assert CONVENTIONS[name].to_macs(published) == macs


@pytest.mark.parametrize("name", ["paddleclas-series", "paddleclas-overview", "ptflops", "timm"])
def test_back_to_macs_with_the_shares_of_the_kinds(name: str) -> None:
    convention = CONVENTIONS[name]
    published = f"{convention.flops(TINY, TINY_ELEMENTS) / 1e9:.9f}"
    assert convention.to_macs(published, TINY, TINY_ELEMENTS) == CONVOLUTION + LINEAR


def test_a_figure_may_have_separators() -> None:
    # 7,615,867,904 less half of 13,555,712: VGG-11's ReLU and pooling.
    elements = dict.fromkeys(ELEMENTS, 0) | {"relu_outputs": 13_555_712}
    vgg11 = complexity(7_485_456_384, 123_633_664)
    macs = CONVENTIONS["pytorchcv"].to_macs("7,615.87", vgg11, elements)
    assert macs == 7_615_870_000 - 13_555_712 // 2


def says(text: str) -> str:
    return "^" + re.escape(text) + "$"


def test_what_else_a_convention_counts_has_to_be_given() -> None:
    with pytest.raises(
        ConventionError,
        match=says(
            "operations as bianco2018 counts them: it counts conv_bias_outputs, which a Complexity "
            "does not hold. Pass their numbers as elements={...}, or take multiply_adds(), without "
            "them"
        ),
    ) as caught:
        CONVENTIONS["bianco2018"].flops(TINY)
    assert isinstance(caught.value, ArchbenchError)


def test_only_what_is_missing_is_named() -> None:
    given = {name: 0 for name in ELEMENTS if name != "layer_norm_outputs"}
    with pytest.raises(ConventionError, match=r"it counts layer_norm_outputs, which a Complexity"):
        CONVENTIONS["timm"].flops(TINY, given)


def test_parameters_may_need_elements_too() -> None:
    with pytest.raises(
        ConventionError,
        match=says(
            "parameters as paddleclas-series counts them: it counts linear_layers, grouped_params, "
            "which a Complexity does not hold. Pass their numbers as elements={...}"
        ),
    ):
        CONVENTIONS["paddleclas-series"].params(TINY)


def test_ptflops_names_the_command_that_counts_so() -> None:
    with pytest.raises(
        ConventionError, match=r"Type archbench summary ID --convention=ptflops, or pass their"
    ):
        CONVENTIONS["ptflops"].flops(TINY)


def test_going_back_needs_the_shares_where_kinds_count_differently() -> None:
    with pytest.raises(
        ConventionError,
        match=says(
            "the MACs behind 0.005 as lopsided counts: it counts 2 convolution + linear, so the "
            "kinds' shares are needed. Pass the network's Complexity"
        ),
    ):
        LOPSIDED.to_macs("0.005")


LOPSIDED = Convention(
    "lopsided", "", "", {"convolution": 2, "linear": 1, "product": 0}, Style("k", 1000, decimals=3)
)


def test_the_shares_decide() -> None:
    # 5 operations: with 2 convolution and 1 linear multiply-adds they are all 3 of them.
    assert LOPSIDED.to_macs("0.005", complexity(convolution=2, linear=1)) == 3
    assert LOPSIDED.to_macs("0.005", complexity(linear=1)) == 5


def test_going_back_needs_multiply_adds_that_count() -> None:
    with pytest.raises(
        ConventionError, match="it counts none of the multiply-adds of this network"
    ):
        LOPSIDED.to_macs("0.005", complexity(product=7))


@pytest.mark.parametrize("published", ["-", "n/a", "1.3 G", "-2", float("nan"), float("inf"), ""])
def test_what_is_no_number_is_refused(published: str | float) -> None:
    with pytest.raises(
        ConventionError,
        match=says(
            f"a published figure of {published!r}: that is not a number of operations. "
            "Give the number alone, in M: '1.370'"
        ),
    ):
        CONVENTIONS["bertmoons"].to_macs(published)


def test_a_document_that_prints_no_table() -> None:
    with pytest.raises(
        ConventionError,
        match=says(
            "operations as bianco2018 prints them: it prints none. Take the plain number: flops(), "
            "params(), or the Complexity's activations"
        ),
    ):
        CONVENTIONS["bianco2018"].printed_flops(TINY, TINY_ELEMENTS)
    with pytest.raises(ConventionError, match="activations as macs prints them"):
        CONVENTIONS["macs"].printed_activations(TINY)


def test_timm_counts_what_attention_writes_as_activations() -> None:
    with pytest.raises(
        ConventionError, match="this network multiplies activations with each other"
    ):
        CONVENTIONS["timm"].printed_activations(ATTENTION)


def test_the_registry() -> None:
    for name, convention in CONVENTIONS.items():
        assert convention.name == name
        assert tuple(convention.mac_weights) == KINDS
        assert {*convention.element_weights, *convention.param_weights} <= ELEMENTS.keys()
        assert convention.description.endswith(".")
        assert convention.source


@pytest.mark.parametrize(
    ("name", "formula", "params"),
    [
        ("macs", "convolution + linear + product", "params"),
        ("bianco2018", "convolution + 1/2 conv_bias_outputs", "params"),
        (
            "paddleclas-series",
            "2 convolution + linear + 2 batch_norm_outputs - relu_outputs - leaky_relu_outputs "
            "- prelu_outputs - sigmoid_outputs - tanh_outputs + pooling_windows "
            "+ adaptive_pooling_outputs - 2 grouped_macs",
            "params - bias_params + linear_layers - grouped_params",
        ),
    ],
)
def test_formulas_as_text(name: str, formula: str, params: str) -> None:
    assert CONVENTIONS[name].formula == formula
    assert CONVENTIONS[name].params_formula == params


def test_the_page_has_the_formulas_and_the_descriptions() -> None:
    page = (Path(__file__).parents[2] / "docs" / "conventions.md").read_text(encoding="utf-8")
    cells = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    formulas = [
        [f"`{convention.name}`", f"`{convention.formula}`", f"`{convention.params_formula}`"]
        for convention in CONVENTIONS.values()
    ]
    elements = [[f"`{name}`", what] for name, what in ELEMENTS.items()]
    assert cells == formulas + elements
    words = " ".join(page.split())
    for convention in CONVENTIONS.values():
        assert f"- **{convention.name}**: {convention.description} " in words
        assert f"Source: {convention.source}." in words
