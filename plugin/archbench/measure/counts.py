"""What is counted about an architecture, as a record."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from archbench.core.complexity import Complexity, disagreement, layer_census
from archbench.core.errors import ArchbenchError
from archbench.core.records import Record
from archbench.core.spec import ModelSpec
from archbench.core.verdicts import Note
from archbench.measure.complexity import count
from archbench.measure.environment import provenance_of
from archbench.models.libraries import library_version
from archbench.models.loading import LoadedModel, ModelHolder


def complexity_record(
    spec: ModelSpec, holder: ModelHolder | None = None
) -> tuple[Record, Complexity]:
    """Everything that is counted about an architecture, and the counts themselves.

    Args:
        spec: the architecture.
        holder: keeps a network of a person's own, which is built once for all its cells.

    Raises:
        ArchitectureError: it cannot be built, or returns no class scores.
        NotMeasuredError: it cannot be counted.
    """
    start = time.perf_counter()
    network = holder.network(spec) if holder is not None and spec.is_own else None
    complexity = count(spec, network)
    seconds = time.perf_counter() - start
    text = disagreement(complexity.macs, complexity.second_opinion)
    outside = complexity.not_parameters
    record = Record(
        id=spec.id,
        target=None,
        metrics=_metrics(spec, complexity),
        notes=[
            *([Note("second-opinion", text)] if text else []),
            *([Note("not-parameters", outside)] if outside else []),
        ],
        seconds={"count": seconds},
    )
    return record, complexity


def _metrics(spec: ModelSpec, complexity: Complexity) -> dict[str, dict[str, Any]]:
    counted = {"source": "counted"}
    number = {"unit": "1", **counted}
    opinion = complexity.second_opinion
    return {
        "params": {"value": complexity.params, **number},
        "trainable_params": {"value": complexity.trainable_params, **number},
        "buffers": {"value": complexity.buffers, **number},
        "param_bytes": {"by_dtype": dict(complexity.param_bytes), "unit": "B", **counted},
        "macs": {
            "value": complexity.macs,
            "basis": "image",
            **number,
            "by_kind": dict(complexity.macs_by_kind),
            "flops_2_per_mac": complexity.flops_2_per_mac,
            "uncounted": dict(complexity.uncounted),
            "second_opinion": None if opinion is None else asdict(opinion),
            "counted_with": {
                "torch": library_version("torch"),
                "library": provenance_of(spec),
            },
        },
        "activations": {"value": complexity.activations, "basis": "image", **number},
        "max_channels": {"value": complexity.max_channels, **number},
        "operator_calls": {"value": complexity.operator_calls, **number},
        "input_shape": {"value": list(complexity.input_shape), **number},
        "output_shape": {"value": list(complexity.output_shape), **number},
        "layers": {"value": layer_census(complexity.layers), **counted},
    }


def side_counts(loaded: LoadedModel) -> dict[str, int] | None:
    """Params, MACs and operator calls of a network that is set beside another.

    None where it cannot be counted: that is the finding of another test.
    """
    try:
        complexity = count(loaded.spec, loaded.network, second_opinion=False)
    except ArchbenchError:
        return None
    return {
        "params": complexity.params,
        "macs": complexity.macs,
        "operator_calls": complexity.operator_calls,
    }


def timed_counts(loaded: LoadedModel) -> dict[str, int] | None:
    """Params and MACs of what is timed, so that a time is known to be of the same network.

    None where it cannot be counted.
    """
    counts = side_counts(loaded)
    return None if counts is None else {name: counts[name] for name in ("params", "macs")}
