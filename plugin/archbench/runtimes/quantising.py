"""Graphs in int8, made by the engines' own quantisers in a fresh process, without torch.

Ranges of activations are taken from the images that are given, or from synthetic ones: normal
numbers, as the inputs that are timed.
"""

from __future__ import annotations

from pathlib import Path

from archbench.core.errors import NotMeasuredError
from archbench.runtimes.deployed import Order
from archbench.runtimes.fresh import FreshError, ask_fresh
from archbench.store.artefacts import Facts

MODEL_FILES = {"onnxruntime": "network.onnx", "openvino": "network.xml"}
"""What each quantiser writes."""

MODULES = {
    "onnxruntime": "archbench.runtimes.quantise_onnxruntime",
    "openvino": "archbench.runtimes.quantise_openvino",
}
"""What the process runs, by the engine."""

NOTE = (
    "what was timed has ranges of activations from synthetic images, so nothing follows from its "
    "scores for the accuracy of this int8"
)


def quantised(order: Order, directory: Path, id: str, seconds: float) -> Facts:
    """Write a quantised form of a graph into a directory.

    Args:
        order: the graph, and which engine quantises it.
        directory: for the files.
        id: of the architecture.
        seconds: that it may take.

    Returns:
        How it was quantised, and the seconds that it took.

    Raises:
        NotMeasuredError: the engine does not quantise it; has its reason.
    """
    module = MODULES[order.engine]
    try:
        found: Facts = ask_fresh("-m", module, order.text, str(directory), seconds=seconds)
    except FreshError as error:
        raise _not_quantised(id, order, error.reason(seconds)) from error
    return found


def _not_quantised(id: str, order: Order, reason: str) -> NotMeasuredError:
    return NotMeasuredError(
        "not-quantisable",
        f"{id} cannot be quantised for {order.engine}: {reason}. Use another --dtype, or leave "
        "the architecture out",
    )
