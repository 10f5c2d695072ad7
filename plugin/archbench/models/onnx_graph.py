"""What an ONNX graph says of itself without an engine that runs it."""

from __future__ import annotations

from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

from archbench.core.errors import NotMeasuredError, first_line

__all__ = ["graph_metrics"]


def graph_metrics(path: Path) -> dict[str, dict[str, Any]]:
    """Parameters and nodes of a graph, those of functions and branches inside it among them.

    Returns:
        In the form of a record's: ``params``, the elements of all initialisers, and ``nodes``, with
        how many there are of each operator.

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
    operators: Counter[str] = Counter()
    params = _walk(model.graph, operators)
    for function in model.functions:
        operators.update(node.op_type for node in function.node)
    counted = {"unit": "1", "source": "counted"}
    return {
        "params": {"value": params, **counted},
        "nodes": {"value": sum(operators.values()), "by_operator": dict(operators), **counted},
    }


def _walk(graph: Any, operators: Counter[str]) -> int:
    params: int = sum(prod(tensor.dims) for tensor in graph.initializer)
    for node in graph.node:
        operators[node.op_type] += 1
        for attribute in node.attribute:
            inner = [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
            params += sum(_walk(one, operators) for one in inner)
    return params
