"""Counts as text: what changed against a baseline, where two implementations differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from archbench.core.complexity import Complexity, LayerCost
from archbench.core.errors import some
from archbench.core.gate import difference_text
from archbench.core.lines import CountLine, Layer
from archbench.core.verdicts import Verdict
from archbench.report.tables import Table

SHOWN = 12
"""Layers shown at most on either side."""

Cost = tuple[str, int, int]
"""Type, params, MACs of a layer."""


def changed_layers(
    baseline: Iterable[Layer], layers: Sequence[LayerCost]
) -> tuple[Counter[Cost], Counter[Cost]]:
    """Which costs went and which came, with how many layers have them.

    Args:
        baseline: ``[type, params, macs, number]``, see ``archbench.core.complexity.layer_census``.
        layers: of now.
    """
    old = Counter({(type, params, macs): number for type, params, macs, number in baseline})
    new = Counter((layer.type, layer.params, layer.macs) for layer in layers)
    return old - new, new - old


def changed_text(
    verdicts: Iterable[Verdict],
    baseline: CountLine,
    layers: Sequence[LayerCost],
) -> str:
    """Old and new value of each count that changed, then the layers that did.

    Args:
        verdicts: with the status ``changed``.
        baseline: the accepted line.
        layers: of now.
    """
    lines = [f"  {verdict.sentence}" for verdict in verdicts]
    gone, came = changed_layers(baseline.layers, layers)
    if gone or came:
        lines.append("layers that changed (- baseline, + now):")
    named: dict[Cost, list[str]] = {}
    for layer in layers:
        named.setdefault((layer.type, layer.params, layer.macs), []).append(layer.name or "(root)")
    lines += _side("-", gone, {})
    lines += _side("+", came, named)
    return "\n".join(lines)


def _side(sign: str, costs: Counter[Cost], named: Mapping[Cost, list[str]]) -> list[str]:
    lines = []
    for cost, number in list(costs.items())[:SHOWN]:
        type, params, macs = cost
        names = named.get(cost, [])
        # A cost that other layers had before does not show which of them is new.
        among = "among " if len(names) > number else ""
        shown = f"  {among}{some(names, 4)}"
        lines.append(
            f"  {sign} {number} x {type}: params {params:,}, MACs {macs:,}{shown if names else ''}"
        )
    if len(costs) > SHOWN:
        lines.append(f"  {sign} and {len(costs) - SHOWN} more kinds of layers")
    return lines


_COMPARED = ("params", "macs", "activations", "max_channels", "operator_calls")


def comparison_text(counted: Sequence[tuple[str, Complexity]]) -> str:
    """Implementations side by side, and where each differs from the first.

    Args:
        counted: id and counts of each, at least two.
    """
    rows = [
        [
            id,
            "x".join(map(str, complexity.input_shape[1:])),
            *(f"{getattr(complexity, name):,}" for name in _COMPARED),
        ]
        for id, complexity in counted
    ]
    headers = ["id", "input", "params", "MACs", "activations", "max channels", "operator calls"]
    blocks = [Table(headers, rows, ("id", "input")).print_as("text")]
    (first, reference), *others = counted
    if len({complexity.input_shape for _, complexity in counted}) > 1:
        blocks.append("Their input sizes differ: --input-size=N compares all at one.")
    for id, complexity in others:
        differences = _differences(reference, complexity)
        if differences is None:
            blocks.append(f"{id} costs the same as {first}, layer by layer.")
            continue
        sentences, gone, came = differences
        lines = [f"{id} differs from {first}:", *(f"  {sentence}" for sentence in sentences)]
        if gone or came:
            lines.append(f"layers (- {first}, + {id}):")
            lines += _side("-", gone, _by_cost(reference))
            lines += _side("+", came, _by_cost(complexity))
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def comparison_dict(counted: Sequence[tuple[str, Complexity]]) -> dict[str, object]:
    """The same in builtin types: counts of each, and the differences from the first."""
    (first, reference), *others = counted
    differing = {}
    for id, complexity in others:
        differences = _differences(reference, complexity)
        _, gone, came = differences or ((), Counter(), Counter())
        differing[id] = {
            "differences": {
                name: getattr(complexity, name) - getattr(reference, name)
                for name in _COMPARED
                if getattr(complexity, name) != getattr(reference, name)
            },
            "layers_only_in_reference": _listed(gone, _by_cost(reference)),
            "layers_only_here": _listed(came, _by_cost(complexity)),
        }
    return {
        "schema": 1,
        "implementations": {
            id: {
                "input_shape": list(complexity.input_shape),
                **{name: getattr(complexity, name) for name in _COMPARED},
            }
            for id, complexity in counted
        },
        "reference": first,
        "compared": differing,
    }


def _by_cost(complexity: Complexity) -> dict[Cost, list[str]]:
    """Names of layers by what they cost; each library has its own names for types of layers."""
    named: dict[Cost, list[str]] = {}
    for layer in complexity.layers:
        named.setdefault(("layer", layer.params, layer.macs), []).append(layer.name or "(root)")
    return named


def _listed(costs: Counter[Cost], named: Mapping[Cost, list[str]]) -> list[dict[str, object]]:
    return [
        {"params": cost[1], "macs": cost[2], "number": number, "among": named[cost]}
        for cost, number in costs.items()
    ]


def _differences(
    reference: Complexity, other: Complexity
) -> tuple[list[str], Counter[Cost], Counter[Cost]] | None:
    """None where params, MACs, activations and channels are equal, layer by layer.

    How many operators a library calls for the same layers is shown, and is no difference between
    networks.
    """
    sentences = [
        difference_text(name, getattr(reference, name), getattr(other, name))
        for name in _COMPARED
        if getattr(reference, name) != getattr(other, name)
    ]
    costs, other_costs = (
        Counter({cost: len(names) for cost, names in _by_cost(side).items()})
        for side in (reference, other)
    )
    gone, came = costs - other_costs, other_costs - costs
    cost_names = [name for name in _COMPARED if name != "operator_calls"]
    is_same = all(getattr(reference, name) == getattr(other, name) for name in cost_names)
    return None if is_same and not gone and not came else (sentences, gone, came)
