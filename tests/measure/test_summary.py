"""Layers and modules read off networks whose figures are worked out by hand."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from ptflops import get_model_complexity_info
from torch import Tensor, nn

from archbench import ModelSpec
from archbench.catalog import load_catalog
from archbench.core.errors import ArchitectureError, NotMeasuredError
from archbench.core.layer_table import LayerTable
from archbench.core.summary import ModuleNode, ModuleTree
from archbench.measure.summary import outline, ptflops_costs, summarize
from archbench.models.building import build_on_meta
from archbench.models.libraries import library_version
from archbench.models.networks import construct
from archbench.report.summary import FORMATS


def spec_of(constructor: Callable[[], nn.Module], pixels: int = 8) -> ModelSpec:
    return ModelSpec.of(constructor, name="tiny", input_size=pixels)


def layers_of(constructor: Callable[[], nn.Module], **options: Any) -> LayerTable:
    table = summarize(spec_of(constructor), parts=["layers"], **options).layers
    assert table is not None
    return table


def tree_of(spec: ModelSpec, convention: str = "macs", depth: int | None = None) -> ModuleTree:
    tree = summarize(spec, parts=["tree"], convention=convention, depth=depth).tree
    assert tree is not None
    return tree


def nodes(node: ModuleNode) -> dict[str, ModuleNode]:
    found = {node.name: node}
    for child in node.children:
        found.update(nodes(child))
    return found


class Tiny(nn.Module):
    """A parameter of its own, a sequence, a module that is called twice, one that is not called."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3, 1, 1))
        self.stem = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU()
        )
        self.mix = nn.Conv2d(4, 4, 1, bias=False)
        self.fc = nn.Linear(4, 5)
        self.training_only = nn.Linear(4, 2)
        self.stem[1].weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x * self.scale)
        return self.fc(self.mix(self.mix(x)).mean((2, 3)))


def test_rows_by_hand() -> None:
    table = layers_of(Tiny)
    # 3 input channels of 9 taps each and a bias, for 4 output channels; 8x8 pixels at stride 2.
    assert [
        (r.name, r.type, r.output_shapes, r.params, r.params_elsewhere) for r in table.rows
    ] == [
        ("stem.0", "Conv2d", ((1, 4, 4, 4),), 3 * 9 * 4 + 4, 0),
        ("stem.1", "BatchNorm2d", ((1, 4, 4, 4),), 8, 0),
        ("stem.2", "ReLU", ((1, 4, 4, 4),), 0, 0),
        ("mix", "Conv2d", ((1, 4, 4, 4),), 16, 0),
        ("mix", "Conv2d", ((1, 4, 4, 4),), 0, 16),
        ("fc", "Linear", ((1, 5),), 25, 0),
    ]
    assert [(own.name, own.type, own.params, own.parameters) for own in table.unlisted] == [
        ("", "Tiny", 3, ("scale",)),
        ("training_only", "Linear", 10, ("training_only.weight", "training_only.bias")),
    ]
    assert table.total_params == 112 + 8 + 16 + 25 + 3 + 10
    assert table.non_trainable_params == 4
    assert table.output_elements == 5 * 64 + 5
    assert table.batch_size is None


def test_a_batch_by_hand() -> None:
    table = layers_of(Tiny, batch_size=7)
    assert table.input_shape == (7, 3, 8, 8)
    assert table.rows[0].output_shapes == ((7, 4, 4, 4),)
    assert table.input_bytes == 4 * 7 * 3 * 64
    assert table.output_elements == 7 * (5 * 64 + 5)
    assert table.total_params == layers_of(Tiny).total_params


def test_a_depth_by_hand() -> None:
    table = layers_of(Tiny, depth=1)
    assert [(row.name, row.params) for row in table.rows] == [
        ("stem", 120), ("mix", 16), ("mix", 0), ("fc", 25)
    ]  # fmt: skip


def test_every_tensor_of_an_output_has_its_shape() -> None:
    class Several(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Any]:
            return {"whole": x, "rest": (x[:, :1], [x.flatten(1)]), "size": 8}

    class Nothing(nn.Module):
        def forward(self, x: Tensor) -> None:
            return None

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.several = Several()
            self.nothing = Nothing()

        def forward(self, x: Tensor) -> tuple[Tensor, str]:
            self.nothing(x)
            return self.several(x)["rest"][1][0], "a tuple's first element are the scores"

    several, nothing = sorted(layers_of(Net).rows, key=lambda row: row.name, reverse=True)
    assert several.output_shapes == ((1, 3, 8, 8), (1, 1, 8, 8), (1, 192))
    assert nothing.output_shapes == ()


def test_tied_weights_are_in_the_first_owners_row() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(192, 192)
            self.b = nn.Linear(192, 192)
            self.b.weight = self.a.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x.flatten(1)))

    table = layers_of(Tied)
    assert [(row.params, row.params_elsewhere) for row in table.rows] == [
        (192 * 192 + 192, 0), (192, 192 * 192)
    ]  # fmt: skip
    assert table.total_params == 192 * 192 + 2 * 192


def test_attention_calls_its_projection_without_calling_it() -> None:
    summary = summarize(ModelSpec("torchvision", "vit_b_16"))
    assert summary.layers is not None
    assert summary.tree is not None
    # torchvision's weights metadata.
    assert summary.layers.total_params == summary.tree.root.params == 86_567_656
    assert summary.layers.unlisted[0].parameters == ("class_token",)
    projections = [own.name.rpartition(".")[2] for own in summary.layers.unlisted[1:]]
    assert projections == ["out_proj"] * 12


def test_layers_of_what_no_mode_can_follow() -> None:
    class Forked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(192, 10)

        def forward(self, x: Tensor) -> Tensor:
            if torch.utils._python_dispatch._get_current_dispatch_mode() is not None:
                raise RuntimeError("a mode")
            return self.fc(x.flatten(1))

    assert [(row.type, row.params) for row in layers_of(Forked).rows] == [("Linear", 1930)]


@pytest.mark.filterwarnings("ignore")
def test_scripted_parts_have_no_row() -> None:
    def net() -> nn.Module:
        return nn.Sequential(nn.Flatten(), torch.jit.script(nn.Linear(192, 16)), nn.Linear(16, 10))

    table = layers_of(net)
    assert [(row.type, row.params) for row in table.rows] == [("Flatten", 0), ("Linear", 170)]
    assert table.total_params == 192 * 16 + 16 + 170


def test_tree_by_hand() -> None:
    tree = tree_of(spec_of(Tiny))
    found = nodes(tree.root)
    conv, mix = 16 * 4 * 27, 16 * 4 * 4
    assert {name: (node.params, node.macs) for name, node in found.items()} == {
        "": (174, conv + 2 * mix + 20),
        "stem": (120, conv),
        "stem.0": (112, conv),
        "stem.1": (8, 0),
        "stem.2": (0, 0),
        "mix": (16, 2 * mix),
        "fc": (25, 20),
        "training_only": (10, 0),
    }
    assert (tree.total_params, tree.total_macs) == (174, tree.exact_macs)
    assert found["fc"].details == "in_features=4, out_features=5, bias=True"
    assert list(nodes(tree_of(spec_of(Tiny), depth=1).root)) == [
        "", "stem", "mix", "fc", "training_only"
    ]  # fmt: skip


def test_tree_in_the_convention_of_ptflops_by_hand() -> None:
    tree = tree_of(spec_of(Tiny), "ptflops")
    found = nodes(tree.root)
    # ptflops' formulas: a bias one for each output; BatchNorm two for each input; ReLU one for
    # each output; nothing for the scale and the mean. Parameters: those that require a gradient,
    # of modules that it knows.
    conv, norm, relu = 16 * 4 * 27 + 64, 2 * 64, 64
    assert found["stem"].macs == conv + norm + relu
    assert found["fc"].macs == 20 + 5
    assert tree.total_macs == conv + norm + relu + 2 * 256 + 25
    assert (found["stem.1"].params, found[""].params, tree.total_params) == (4, 167, 170)
    assert tree.exact_macs == 16 * 4 * 27 + 2 * 256 + 20
    assert tree.counter == f"ptflops {library_version('ptflops')}"


@pytest.mark.parametrize(
    "id",
    [
        "pytorchcv/fbnet_cb",
        "torchvision/resnet18",
        # ptflops reads attributes of timm's attention that older versions lack.
        pytest.param("timm/vit_tiny_patch16_224", marks=pytest.mark.requires("timm>=0.9")),
    ],
)
def test_the_text_is_what_ptflops_prints(id: str) -> None:
    spec = load_catalog().get(id)
    stream = io.StringIO()
    get_model_complexity_info(
        build_on_meta(spec), spec.input_size, print_per_layer_stat=True, backend="pytorch",
        ost=stream, flops_units="GMac", param_units="M", output_precision=3,
        backend_specific_config={"count_functional": False},
    )  # fmt: skip
    theirs = [line.rstrip() for line in stream.getvalue().splitlines()]
    summary = summarize(spec, parts=["tree"], convention="ptflops")
    ours = FORMATS["text"](summary).splitlines()
    assert ours[1 : len(theirs) + 1] == theirs
    assert len(theirs) > 90


class TwoPlaces(nn.Module):
    """A module in two places, and a place that is left empty."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Flatten(), nn.Linear(192, 192))
        self.second = nn.Sequential(self.first[1], nn.Linear(192, 3))
        self.absent = None

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


def test_a_module_in_two_places_costs_in_the_first() -> None:
    found = nodes(tree_of(spec_of(TwoPlaces)).root)
    assert "absent" not in found
    shared = found["second.0"]
    assert (shared.shared_with, shared.params, shared.macs) == ("first.1", 0, 0)
    assert found["first.1"].macs == 2 * 192 * 192
    assert found[""].params == 192 * 192 + 192 + 192 * 3 + 3


def test_ptflops_leaves_the_network_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    network = construct(spec_of(TwoPlaces))
    model = network.module
    before = [set(vars(module)) for module in model.modules()]
    hooks = [len(module._forward_hooks) for module in model.modules()]
    _, _, costs = ptflops_costs(spec_of(TwoPlaces), network)
    assert [set(vars(module)) for module in model.modules()] == before
    assert [len(module._forward_hooks) for module in model.modules()] == hooks
    # It counts a module in each of its places, and warns on standard output.
    assert costs["second.0"] == costs["first.1"]
    assert capsys.readouterr().out == ""


def test_summarising_leaves_no_hook() -> None:
    model = Tiny()
    summarize(spec_of(lambda: model))
    assert not any(module._forward_hooks for module in model.modules())
    assert model.fc.weight.requires_grad
    assert not model.stem[1].weight.requires_grad


def test_where_ptflops_fails_its_error_is_reported() -> None:
    class ByName(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(192, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(input=x.flatten(1))  # its hook looks among positional arguments

    with pytest.raises(NotMeasuredError) as caught:
        summarize(spec_of(ByName), convention="ptflops")
    assert caught.value.reason == "ptflops-failed"
    version = library_version("ptflops")
    assert str(caught.value) == (
        f"local/tiny cannot be counted by ptflops {version}: IndexError: tuple index out of range. "
        "Use --convention=macs, which counts exactly"
    )
    assert tree_of(spec_of(ByName)).total_macs == 384


def test_a_size_that_the_network_cannot_take() -> None:
    with pytest.raises(NotMeasuredError) as caught:
        summarize(ModelSpec("torchvision", "alexnet").with_input_size(31))
    assert caught.value.reason == "not-summarised"
    assert str(caught.value).startswith(
        "torchvision/alexnet@31 cannot be summarised with images of 3x31x31: RuntimeError: "
    )
    assert str(caught.value).endswith("Try the input size that it is made for")


def test_a_network_that_lacks_an_input_is_told_how_it_is_given() -> None:
    class Meta(nn.Linear):
        def forward(self, x: Tensor, meta: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(x) + meta

    with pytest.raises(ArchitectureError, match=r"ModelSpec.of\(tiny, inputs=\[\(3, 8, 8\), "):
        summarize(spec_of(lambda: Meta(8, 4)), parts=["layers"])


def test_a_network_without_class_scores() -> None:
    with pytest.raises(ArchitectureError, match="returned scores of shape"):
        summarize(spec_of(lambda: nn.Conv2d(3, 4, 1)), parts=["layers"])


def test_a_network_too_large_for_any_machine() -> None:
    def huge() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(192, 10**9), nn.Linear(10**9, 10))

    with pytest.raises(NotMeasuredError) as caught:
        summarize(spec_of(huge))
    assert caught.value.reason == "out-of-memory"
    assert str(caught.value).startswith("local/tiny does not fit into memory: ")


def test_outline_names_places_as_the_network_does() -> None:
    model = TwoPlaces()
    names = [name for name, _ in model.named_modules(remove_duplicate=False)]

    def walk(node: Any) -> list[str]:
        return [node.name, *(name for child in node.children for name in walk(child))]

    assert walk(outline(model)) == names
