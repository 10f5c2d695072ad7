"""Parameters by hand, whatever holds them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archbench import ModelSpec
from archbench.measure.complexity import count
from archbench.measure.parameters import count_parameters
from archbench.measure.summary import summarize
from archbench.models.parameters import Elements, weights_by_module

pytestmark = pytest.mark.filterwarnings("ignore")  # that quantisation and scripts are deprecated


def test_elements_of_one_memory_count_once() -> None:
    whole = torch.zeros(20, 8)
    elements = Elements()
    assert elements.new(whole[:10]) == 80
    assert elements.new(whole[:10]) == 0
    assert elements.new(whole[5:15]) == 40
    assert elements.new(whole[18:]) == 16
    assert elements.new(whole.t()) == 24
    assert elements.new(whole) == 0
    assert elements.new(torch.zeros(20, 8)) == 160
    assert elements.new(torch.zeros(3).expand(4, 3)) == 12  # as torch counts it


def quantised(layer: nn.Module, kind: torch.dtype = torch.qint8) -> nn.Module:
    net = nn.Sequential(layer)
    return torch.ao.quantization.quantize_dynamic(net, {type(layer)}, dtype=kind)


class Convolutions(nn.Module):
    """112 and 4 * 4 * 9 + 4 = 148 parameters, and a classifier of 50."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = (
            torch.ao.quantization.QuantStub(),
            torch.ao.quantization.DeQuantStub(),
        )
        self.one, self.other = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.head = nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = self.other(self.one(self.enter(x)))
        return self.leave(self.head(y.mean((2, 3))))


def static() -> nn.Module:
    net = Convolutions().eval()
    net.qconfig = torch.ao.quantization.get_default_qconfig("x86")
    torch.ao.quantization.prepare(net, inplace=True)
    net(torch.randn(4, 3, 8, 8))
    return torch.ao.quantization.convert(net, inplace=True)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(192, 10, bias=False), nn.Linear(192, 10, bias=False)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return self.a(x) + self.b(x)


def exported(path: Path) -> nn.Module:
    program = torch.export.export(Tied(), (torch.ones(1, 3, 8, 8),))
    torch.export.save(program, path / "tied.pt2")
    return torch.export.load(path / "tied.pt2").module()


LSTM = 48 * (24 + 12) + 2 * 48
BY_HAND: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "static convolutions": (static, 112 + 148 + 50),
    "scripted static convolutions": (lambda: torch.jit.script(static()), 112 + 148 + 50),
    "dynamic LSTM": (lambda: quantised(nn.LSTM(24, 12)), LSTM),
    "LSTM in fp16": (lambda: quantised(nn.LSTM(24, 12), torch.float16), LSTM),
    "scripted dynamic LSTM": (lambda: torch.jit.script(quantised(nn.LSTM(24, 12))), LSTM),
    "LSTM of two layers and directions": (
        lambda: quantised(nn.LSTM(24, 12, 2, bidirectional=True)),
        2 * LSTM + 2 * (48 * (24 + 12) + 2 * 48),
    ),
    "GRU": (lambda: quantised(nn.GRU(24, 12)), 36 * 36 + 2 * 36),
    "cell": (lambda: quantised(nn.LSTMCell(24, 12)), LSTM),
    "linear in fp16": (lambda: quantised(nn.Linear(192, 10), torch.float16), 1930),
    "tied": (Tied, 1920),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_parameters_by_hand(name: str) -> None:
    constructor, right = BY_HAND[name]
    net = constructor()
    assert count_parameters(net)[0] == right
    assert sum(one.elements for one in weights_by_module(net)) == right


@pytest.mark.requires("torch>=2.7")
def test_a_shared_weight_of_an_exported_program(tmp_path: Path) -> None:
    found = count(ModelSpec.of(exported(tmp_path), name="net", input_size=8))
    assert (found.params, found.trainable_params, found.macs) == (1920, 1920, 3840)
    assert found.param_bytes["fp32"] == 4 * 1920
    assert sum(layer.params for layer in found.layers) == 1920


def test_a_summary_has_packed_weights() -> None:
    spec = ModelSpec.of(static, input_size=8)
    table, tree = (summarize(spec, parts=[part]) for part in ("layers", "tree"))
    assert table.layers is not None
    assert table.layers.total_params == 310
    assert tree.tree is not None
    # 36 places of 4 channels with 27 taps, 16 with 36, and the classifier.
    assert (tree.tree.total_params, tree.tree.total_macs) == (310, 36 * 4 * 27 + 16 * 4 * 36 + 40)


def _onnx(initialisers: dict[str, tuple[Any, list[int]]], nodes: list[Any]) -> Any:
    onnx = pytest.importorskip("onnx")
    make, kinds = onnx.helper, onnx.TensorProto
    tensors = [
        make.make_tensor(name, getattr(kinds, kind), dims, [0] * max(torch.Size(dims).numel(), 1))
        for name, (kind, dims) in initialisers.items()
    ]
    graph = make.make_graph(
        [make.make_node(*node) for node in nodes],
        "net",
        [make.make_tensor_value_info("x", kinds.FLOAT, [1, 3, 8, 8])],
        [make.make_tensor_value_info("z", kinds.FLOAT, [1, 10])],
        tensors,
    )
    return make.make_model(graph)


def test_parameters_of_an_onnx_graph_are_its_weights(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from archbench.models.onnx_graph import graph_metrics

    model = _onnx(
        {
            "w": ("FLOAT", [4, 3, 3, 3]),
            "scale": ("FLOAT", [4]),
            "shift": ("FLOAT", [4]),
            "mean": ("FLOAT", [4]),
            "var": ("FLOAT", [4]),
            "axes": ("INT64", [2]),
            "q": ("INT8", [10, 4]),
            "q_scale": ("FLOAT", []),
            "q_zero": ("INT8", []),
            "table": ("FLOAT16", [5, 2]),
        },
        [
            ("Conv", ["x", "w"], ["c"]),
            ("BatchNormalization", ["c", "scale", "shift", "mean", "var"], ["n"]),
            ("ReduceMean", ["n", "axes"], ["m"]),
            ("DequantizeLinear", ["q", "q_scale", "q_zero"], ["qw"]),
            ("MatMul", ["m", "qw"], ["z"]),
        ],
    )
    onnx.save(model, tmp_path / "net.onnx")
    # The kernel, scale and shift, the matrix in int8, and a table that nothing reads.
    assert graph_metrics(tmp_path / "net.onnx")["params"]["value"] == 108 + 8 + 40 + 10
