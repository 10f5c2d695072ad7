"""What an ONNX graph says of itself without an engine that runs it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

from archbench.core.entries import MetricEntry
from archbench.core.errors import NotMeasuredError, first_line


def graph_metrics(path: Path) -> dict[str, MetricEntry]:
    """Parameters and nodes of a graph, those of functions and branches inside it among them.

    Returns:
        In the form of a record's: ``params``, the elements of all initialisers that are weights,
        and ``nodes``, with how many there are of each operator. No weights are integers such as
        axes and shapes, scales and zero points, and running statistics.

    Raises:
        NotMeasuredError: onnx is not installed, or the file is no ONNX graph.
    """
    try:
        import onnx
    except ImportError:
        raise NotMeasuredError(
            "no-onnx", f"{path.name} is read with onnx, which is not installed: pip install onnx"
        ) from None
    try:
        # Weights beside the file are not needed for their number.
        model = onnx.load(str(path), load_external_data=False)
        if not model.graph.node:
            raise ValueError("it has no nodes")
    except Exception as error:
        raise NotMeasuredError(
            "not-onnx", f"{path.name} is no ONNX graph: {first_line(error)}"
        ) from None
    operators = Counter(node.op_type for node in _nodes(model.graph))
    for function in model.functions:
        operators.update(node.op_type for node in function.node)
    params = _params(model.graph, onnx.TensorProto)
    counted: MetricEntry = {"unit": "1", "source": "counted"}
    return {
        "params": {"value": params, **counted},
        "nodes": {"value": sum(operators.values()), "by_operator": dict(operators), **counted},
    }


_WEIGHTS = {
    "BatchNormalization": (0, 1, 2),
    "QuantizeLinear": (0,),
    "DequantizeLinear": (0,),
    "QLinearConv": (0, 3, 8),
    "QLinearMatMul": (0, 3),
    "ConvInteger": (0, 1),
    "MatMulInteger": (0, 1),
}
"""Inputs that may be weights of operators that have others too; of these operators alone integers
are weights."""

_FLOATS = (
    *("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE", "COMPLEX64", "COMPLEX128"),
    *("FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ", "FLOAT4E2M1"),
)


def _graphs(graph: Any) -> Iterator[Any]:
    """A graph, and those of branches and loops inside it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            inner = [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
            for one in inner:
                yield from _graphs(one)


def _nodes(graph: Any) -> Iterator[Any]:
    for one in _graphs(graph):
        yield from one.node


def _params(graph: Any, kinds: Any) -> int:
    floats = {getattr(kinds, name) for name in _FLOATS if hasattr(kinds, name)}
    uses: dict[str, list[bool | None]] = {}
    for node in _nodes(graph):
        weights = _WEIGHTS.get(node.op_type)
        for place, name in enumerate(node.input):
            uses.setdefault(name, []).append(None if weights is None else place in weights)

    def is_weight(name: str, kind: int) -> bool:
        used = uses.get(name, [])
        return any(used) or (kind in floats and (None in used or not used))

    total = 0
    for one in _graphs(graph):
        dense = [(tensor.name, tensor.data_type, tensor.dims) for tensor in one.initializer]
        sparse = [
            (tensor.values.name, tensor.values.data_type, tensor.dims)
            for tensor in one.sparse_initializer
        ]
        total += sum(prod(dims) for name, kind, dims in dense + sparse if is_weight(name, kind))
    return total
