"""A graph quantised for OpenVINO by NNCF, in a process that has no torch."""

from __future__ import annotations

from pathlib import Path

import nncf
import openvino

from archbench.runtimes.deployed import Order
from archbench.runtimes.quantiser import batches, serve
from archbench.runtimes.quantising import MODEL_FILES


def by_nncf(order: Order, directory: Path) -> str:
    """Static quantisation by NNCF, in its default preset."""
    model = openvino.Core().read_model(order.path)
    data = [tuple(one.values()) for one in batches(order)]
    made = nncf.quantize(model, nncf.Dataset(data), subset_size=len(data))
    openvino.save_model(made, str(directory / MODEL_FILES["openvino"]), compress_to_fp16=False)
    return "static"


if __name__ == "__main__":
    serve(by_nncf)
