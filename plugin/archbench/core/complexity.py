"""What a network costs on paper, as values: whole, by layer, and as a second counter saw it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

KINDS = ("convolution", "linear", "product")
"""Kinds of operators that multiply and add: convolutions; matrix products in which one side comes
from parameters alone; products of activations with each other, as in attention."""

DISAGREEMENT = 0.005
"""Difference between two counters, relative to ours, above which it is reported."""


BIASES = "ptflops takes adding a bias for a multiply-add"
"""The one reason for which it differs in most networks."""


@dataclass(frozen=True, slots=True)
class LayerCost:
    """What one module costs by itself, without the modules inside it.

    Attributes:
        name: qualified, as ``named_modules`` gives it: ``layer1.0.conv1``; empty for the network.
        type: class name of the module.
        params: elements of the parameters that it owns; a shared one belongs to its first owner.
        macs: multiply-adds of one image in operators that it calls itself.
    """

    name: str
    type: str
    params: int
    macs: int


@dataclass(frozen=True, slots=True)
class SecondOpinion:
    """What another counter says about the same network.

    Attributes:
        source: which one: ``ptflops 0.7.5 (aten)``.
        macs: its count for one image.
        operators: its count minus ours by operator, where they differ.
        reasons: why, by operator, where it is known.
    """

    source: str
    macs: int
    operators: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Complexity:
    """Exact counts of one architecture for one image of its input size.

    Attributes:
        input_shape: of the image, ``(1, C, H, W)``.
        output_shape: of the class scores, ``(1, classes)``.
        params: elements of all parameters, shared ones once.
        trainable_params: of those that require a gradient as constructed.
        bias_params: of those that convolutions and linear layers add (their ``bias``).
        buffers: elements of all buffers, such as running means.
        param_bytes: of all parameters by precision: ``{"fp32": ..., "fp16": ..., "bf16": ...}``;
            parameters that are not floating-point numbers keep their own width.
        macs: multiply-adds of one forward pass: convolutions, matrix products and attention.
            Element-wise operators, normalisation, pooling and interpolation are not multiply-adds.
        macs_by_kind: the same by :data:`KINDS`.
        activations: elements that operators with parameters write: convolutions, and matrix
            products with a side that does not come from the image. timm's ``macts``, but for what
            timm counts besides where attention is not fused: its products of activations.
        max_channels: the most channels that such an operator writes, class scores left out: of a
            convolution its output channels, of a matrix product its columns.
        operator_calls: calls of operators that write a tensor of their own; views are none.
        uncounted: such operators without multiply-adds, with how often each was called.
        constants: elements of tensors that it multiplies with and that are neither parameters nor
            buffers, as in a plain list or in a frozen graph; included in no other count.
        layers: the modules that own parameters or multiply and add, in order.
        second_opinion: None where the other counter fails on the network.
        doubt: what to say where several parts of what it returned could be its class scores.
    """

    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    params: int
    trainable_params: int
    bias_params: int
    buffers: int
    param_bytes: Mapping[str, int]
    macs: int
    macs_by_kind: Mapping[str, int]
    activations: int
    max_channels: int
    operator_calls: int
    uncounted: Mapping[str, int]
    layers: tuple[LayerCost, ...]
    second_opinion: SecondOpinion | None = None
    constants: int = 0
    doubt: str | None = None

    @property
    def not_parameters(self) -> str | None:
        """What to say where it multiplies with numbers that ``params`` has not."""
        has_weights = any(self.macs_by_kind[kind] for kind in ("convolution", "linear"))
        if self.constants:
            return (
                f"it multiplies with {self.constants:,} numbers that are neither parameters nor "
                "buffers, as of a plain list, a plain attribute or a frozen graph: params has not "
                "them. Make them nn.Parameter or modules of the network"
            )
        if has_weights and not self.params and self.buffers:
            return f"what it multiplies with is in its {self.buffers:,} buffers, and params is 0"
        return None

    @property
    def flops_2_per_mac(self) -> int:
        """FLOPs in the convention that takes a multiply-add for two operations."""
        return 2 * self.macs


Census = tuple[str, int, int, int]
"""Type, parameters, multiply-adds and number of equal layers."""


def layer_census(layers: Iterable[LayerCost]) -> list[Census]:
    """How many layers of each cost there are: see :data:`Census`, in the order in
    which they first appear. Names are left out, which makes it a tenth as long."""
    census = Counter((layer.type, layer.params, layer.macs) for layer in layers)
    return [(*cost, number) for cost, number in census.items()]


def disagreement(macs: int, opinion: SecondOpinion | None) -> str | None:
    """What to say about another counter that differs by more than :data:`DISAGREEMENT`.

    Args:
        macs: our count.
        opinion: the other one's; None where it has none.
    """
    if opinion is None or abs(opinion.macs - macs) <= DISAGREEMENT * macs:
        return None
    relative = f"{(opinion.macs - macs) / macs:+.1%}" if macs else f"{opinion.macs:,} MACs"
    by_reason: dict[str, list[str]] = {}
    for name, difference in opinion.operators.items():
        reason = opinion.reasons.get(name, "reason unknown")
        by_reason.setdefault(reason, []).append(f"{name} {difference:+,}")
    operators = "; ".join(f"{', '.join(names)}: {why}" for why, names in by_reason.items())
    return f"{opinion.source} counts {relative} ({operators})"
