"""What an engine needs to open a graph, and what is said where it does not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from archbench.core.errors import NotMeasuredError
from archbench.core.forms import Json
from archbench.core.spec import ModelSpec
from archbench.runtimes.deployed import Order
from archbench.runtimes.exporting import ONNX_FILE
from archbench.runtimes.runtime import Job
from archbench.store.artefacts import Artefact


def order_of(engine: str, artefact: Artefact, job: Job) -> Order:
    """By which an engine opens an ONNX graph."""
    arrays = [array_of(tensor) for tensor in job.inputs]
    return Order(
        engine=engine,
        path=str(artefact.path / artefact.facts.get("file", ONNX_FILE)),
        dtype=job.target.dtype,
        threads=job.target.threads,
        shapes=tuple(array.shape for array in arrays),
        types=tuple(str(array.dtype) for array in arrays),
        symbol=artefact.facts.get("symbol"),
    )


def refuse_other_settings(title: str, asked: Mapping[str, Json], found: Mapping[str, Json]) -> None:
    """See that an engine runs as it was asked to.

    Raises:
        NotMeasuredError: it does not.
    """
    for name, value in asked.items():
        if found.get(name) != value:
            raise NotMeasuredError(
                "engine-set-otherwise",
                f"{title} was asked for {name} {value!r} and runs with {found.get(name)!r}. "
                "Look for its environment variables",
            )


def array_of(tensor: Tensor) -> Any:
    """A tensor as engines on the host take it: in fp32, or whole numbers."""
    kept = tensor.float() if tensor.is_floating_point() else tensor
    return kept.detach().cpu().contiguous().numpy()


_PLACES = re.compile(r"(Exception from|Check '[^']*' failed at) \S+:\d+: ")
"""What OpenVINO says of its own files, ahead of what is wrong."""


def refused_by(title: str, spec: ModelSpec, error: BaseException) -> NotMeasuredError:
    """What is said of a graph that an engine does not take."""
    text = _PLACES.sub("", " ".join(str(error).split()))
    return NotMeasuredError(
        "refused-by-engine",
        f"{title} does not run the graph of {spec.id}: {type(error).__name__}: {text[:400]}. "
        "Use another runtime",
    )
