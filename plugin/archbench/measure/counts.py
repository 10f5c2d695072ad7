"""What is counted about an architecture, as a record."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from archbench.core.complexity import Complexity, disagreement, layer_census
from archbench.core.entries import MetricEntry
from archbench.core.errors import ArchbenchError
from archbench.core.lines import CountLine, Layer
from archbench.core.records import Record
from archbench.core.spec import ModelSpec
from archbench.core.verdicts import Note
from archbench.measure.complexity import count
from archbench.measure.environment import provenance_of
from archbench.measure.parameters import layer_costs
from archbench.measure.running import forward_passes, within_memory
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
            *([Note("which-scores", complexity.doubt)] if complexity.doubt else []),
        ],
        seconds={"count": seconds},
    )
    return record, complexity


def _metrics(spec: ModelSpec, complexity: Complexity) -> dict[str, MetricEntry]:
    counted: MetricEntry = {"source": "counted"}
    number: MetricEntry = {"unit": "1", **counted}
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
            "second_opinion": opinion,
            "counted_with": {
                "torch": library_version("torch"),
                "library": provenance_of(spec),
            },
        },
        "activations": {"value": complexity.activations, "basis": "image", **number},
        "max_channels": {"value": complexity.max_channels, **number},
        "operator_calls": {"value": complexity.operator_calls, **number},
        "input_shape": {"value": [*complexity.input_shape], **number},
        "output_shape": {"value": [*complexity.output_shape], **number},
        "layers": {"value": [*layer_census(complexity.layers)], **counted},
    }


def side_counts(loaded: LoadedModel) -> dict[str, int] | None:
    """Params, MACs and operator calls of a network that is set beside another.

    None where it cannot be counted: another test reports that.
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


_PLAIN = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
"""Layers whose multiply-adds follow from the shape of their output."""


def is_of_network(line: CountLine, loaded: LoadedModel) -> bool:
    """Whether accepted counts are of a loaded network, as far as one pass shows it.

    Compared are the input, the parameters of each layer, and the multiply-adds of convolutions and
    linear layers. What torch has quantised has other layers, and shows nothing.
    """
    if line.input_shape[1:] != [*loaded.spec.input_size]:
        return False
    if loaded.is_quantised_by_torch:
        return True
    macs: Counter[nn.Module] = Counter()

    def ran(module: Any, _: object, output: Tensor) -> None:
        macs[module] += output.numel() * module.weight[0].numel() // loaded.target.images

    modules = list(loaded.module.modules())
    handles = [one.register_forward_hook(ran) for one in modules if type(one) in _PLAIN]
    try:
        with within_memory(loaded.target), forward_passes(loaded):
            loaded.module(*loaded.inputs())
    finally:
        for handle in handles:
            handle.remove()
    others = {type(one).__name__ for one in modules if type(one) not in _PLAIN}
    plain = {one.__name__ for one in _PLAIN} - others

    def costs(layers: Iterable[Layer]) -> Counter[tuple[int, int]]:
        found: Counter[tuple[int, int]] = Counter()
        for kind, params, own, number in layers:
            found[params, own if kind in plain else 0] += number
        del found[0, 0]
        return found

    return costs(line.layers) == costs(layer_census(layer_costs(loaded.module, macs)))
