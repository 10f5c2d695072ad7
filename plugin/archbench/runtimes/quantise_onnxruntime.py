"""A graph quantised by ONNX Runtime, in a process that has no torch."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.calibrate import CalibrationDataReader
from onnxruntime.quantization.shape_inference import quant_pre_process

from archbench.runtimes.deployed import Order
from archbench.runtimes.quantiser import Batch, batches, serve
from archbench.runtimes.quantising import MODEL_FILES


def by_onnxruntime(order: Order, directory: Path) -> str:
    """Static quantisation in QDQ form, by channel; dynamic where matrix products hold most of the
    weights, as ONNX Runtime advises."""
    target = str(directory / MODEL_FILES["onnxruntime"])
    with tempfile.TemporaryDirectory() as place:
        source = str(Path(place) / "prepared.onnx")
        quant_pre_process(order.path, source, skip_symbolic_shape=True)
        graph = onnx.load(source).graph
        if share_in_products(graph) > 0.5:
            quantize_dynamic(source, target, per_channel=True, weight_type=QuantType.QInt8)
            return "dynamic"
        names = [one.name for one in graph.input]
        left = iter([dict(zip(names, one.values(), strict=True)) for one in batches(order)])

        class Reader(CalibrationDataReader):  # type: ignore[misc]
            def get_next(self) -> Batch | None:
                return next(left, None)

        quantize_static(
            source, target, Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
    return "static"


def share_in_products(graph: Any) -> float:
    """How much of the weights of an ONNX graph matrix products have."""
    sizes = {one.name: _elements(one.dims) for one in graph.initializer}
    products = {
        name
        for node in graph.node
        if node.op_type in ("MatMul", "Gemm")
        for name in node.input
        if name in sizes
    }
    total = sum(sizes.values())
    return sum(sizes[name] for name in products) / total if total else 0.0


def _elements(dims: Sequence[int]) -> int:
    number = 1
    for one in dims:
        number *= one
    return number


if __name__ == "__main__":
    serve(by_onnxruntime)
