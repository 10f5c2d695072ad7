"""From a network to a graph that engines read, by torch's own exporters.

What stands here runs in a process of its own, see :mod:`archbench.runtimes.apart`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from archbench.runtimes.apart import said_of
from archbench.store.artefacts import Facts, Structure

ONNX_FILE = "network.onnx"
PROGRAM_FILE = "network.pt2"

LARGEST_IN_ONE_FILE = 18 * 10**8
"""Bytes of weights in the file of an ONNX graph; protobuf reads no more than 2 GiB."""


def export_onnx(
    module: nn.Module, inputs: Sequence[Tensor], directory: Path, *, symbolic: bool
) -> Facts:
    """Write a network as an ONNX graph, :data:`ONNX_FILE`.

    Args:
        module: the network.
        inputs: of a pass.
        directory: that the file is written into.
        symbolic: whether the size of a batch is left open, as far as the exporter can.

    Returns:
        ``batch``, the size of a batch, None where it is open, and then ``symbol``, its name in the
        graph; ``not_symbolic``, why it is not, where that was tried; ``nodes``, ``opset``,
        ``structure`` (see :func:`restored`) and ``seconds``.

    Raises:
        Exception: whatever torch's exporters raise.
    """
    start = time.perf_counter()
    program, facts = exported(module, inputs, symbolic=symbolic)
    made: Any = torch.onnx.export(program, dynamo=True, optimize=True, verbose=False)
    graph = made.model.graph
    if facts["batch"] is None:
        first = graph.inputs[0].shape[0]
        facts["symbol"] = getattr(first, "value", None) or str(first)
    weights = sum(one.numel() * one.element_size() for one in program.state_dict.values())
    made.save(directory / ONNX_FILE, external_data=weights > LARGEST_IN_ONE_FILE)
    return {
        **facts,
        "nodes": sum(1 for _ in graph.all_nodes()) if hasattr(graph, "all_nodes") else len(graph),
        "opset": int(made.model.opset_imports.get("", 0)),
        "structure": _structure(program, len(graph.outputs)),
        "seconds": time.perf_counter() - start,
    }


def export_program(module: nn.Module, inputs: Sequence[Tensor], directory: Path) -> Facts:
    """Write a network as torch's own exported program, :data:`PROGRAM_FILE`, for batches of one
    size.

    Returns:
        ``batch``, ``structure`` and ``seconds``, as of :func:`export_onnx`.

    Raises:
        Exception: whatever torch's exporter raises.
    """
    start = time.perf_counter()
    program, facts = exported(module, inputs, symbolic=False)
    torch.export.save(program, directory / PROGRAM_FILE)
    return {**facts, "seconds": time.perf_counter() - start}


def exported(
    module: nn.Module, inputs: Sequence[Tensor], *, symbolic: bool
) -> tuple[torch.export.ExportedProgram, Facts]:
    """A network as torch exports it, and what the ways were that did not work.

    Raises:
        Exception: of the last way.
    """
    inputs = tuple(tensor.clone() for tensor in inputs)  # outside of inference mode
    failures: list[Exception] = []
    for given, shapes, strict in _ways(inputs, symbolic=symbolic):
        try:
            program = torch.export.export(module, given, dynamic_shapes=shapes, strict=strict)
        except Exception as error:
            failures.append(error)
            continue
        facts: Facts = {"batch": len(inputs[0]) if shapes is None else None}
        if symbolic and shapes is None:
            facts["not_symbolic"] = said_of(failures[0])
        return program, facts
    raise failures[1 if symbolic else 0]


def _ways(
    inputs: tuple[Tensor, ...], *, symbolic: bool
) -> Iterator[tuple[tuple[Tensor, ...], tuple[dict[int, Any], ...] | None, bool]]:
    """Inputs, open dimensions, and whether torch's compiler reads the code; the best first."""
    if symbolic:
        # torch takes a dimension of one for a constant.
        two = tuple(
            torch.cat([tensor, tensor])[:2] if len(tensor) < 2 else tensor for tensor in inputs
        )
        batch = torch.export.Dim("batch")
        yield two, tuple({0: batch} for _ in inputs), False
    yield inputs, None, False
    yield inputs, None, True


def _structure(program: torch.export.ExportedProgram, outputs: int) -> Structure | None:
    """What a network returns, for :func:`restored`: how tensors are nested, and which of the leaves
    are tensors. None where it is one tensor, or nothing that could be written down."""
    specification = program.call_spec.out_spec
    if specification is None or specification.is_leaf():
        return None
    leaves = [isinstance(name, str) for name in program.graph_signature.user_outputs]
    if sum(leaves) != outputs or len(leaves) != specification.num_leaves:
        return None
    try:
        return {"leaves": leaves, "nested": pytree.treespec_dumps(specification)}
    except (NotImplementedError, TypeError, ValueError):
        return None


def restored(structure: Structure | None, tensors: Sequence[Tensor]) -> object:
    """What the network returns, of the tensors that an engine gives.

    Args:
        structure: of the graph.
        tensors: its outputs, in order.
    """
    if structure is None:
        return tensors[0] if len(tensors) == 1 else list(tensors)
    left = iter(tensors)
    leaves = [next(left) if is_tensor else None for is_tensor in structure["leaves"]]
    return pytree.tree_unflatten(leaves, pytree.treespec_loads(structure["nested"]))
