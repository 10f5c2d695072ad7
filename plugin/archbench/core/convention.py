"""A way to print what a network costs, as a value: what it counts, and with which digits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal, InvalidOperation
from fractions import Fraction
from math import floor

from archbench.core.complexity import Complexity
from archbench.core.errors import UsageError
from archbench.metrics import format_significant

_ACTIVATIONS = {
    "relu": "ReLU",
    "relu6": "ReLU6",
    "leaky_relu": "leaky ReLU",
    "prelu": "PReLU",
    "elu": "ELU",
    "gelu": "GELU",
    "silu": "SiLU (Swish)",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "hard_sigmoid": "hard sigmoid",
    "hard_swish": "hard swish",
}

ELEMENTS: dict[str, str] = {
    "conv_bias_outputs": "elements that convolutions with a bias write",
    "linear_bias_outputs": "elements that linear layers with a bias write",
    "batch_norm_outputs": "elements that BatchNorm writes",
    "layer_norm_outputs": "elements that LayerNorm writes",
    "group_norm_outputs": "elements that GroupNorm writes",
    **{f"{key}_outputs": f"elements that {title} writes" for key, title in _ACTIVATIONS.items()},
    "pooling_windows": "elements that the windows of max and average pooling read, an element once "
    "for each window that it is in",
    "pooling_inputs": "elements that pooling of any sort reads, each once",
    "average_pooling_outputs": "elements that average pooling writes",
    "adaptive_pooling_inputs": "elements that adaptive pooling reads",
    "adaptive_pooling_outputs": "elements that adaptive pooling writes",
    "nearest_outputs": "elements that interpolation by the nearest neighbour writes",
    "bilinear_outputs": "elements that bilinear interpolation writes",
    "grouped_macs": "multiply-adds of convolutions in g groups, times 1 - 1/g",
    "grouped_params": "weights of convolutions in g groups, times 1 - 1/g",
    "unbiased_kernels": "input times output channels over groups, of convolutions without a bias",
    "unbiased_linear_outputs": "elements that linear layers without a bias write",
    "linear_layers": "the number of linear layers",
    "batch_norm_statistics": "running means and variances of BatchNorm",
}
"""What conventions count besides multiply-adds and parameters, in numbers for one image."""


class ConventionError(UsageError):
    """A figure that a convention cannot give, or that cannot be taken back to MACs."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a document prints a number.

    Attributes:
        unit: as the document writes it, or what it leaves to the heading: ``G``.
        scale: what one of the unit is in plain numbers.
        decimals: after the point.
        cut: whether further digits are cut off; else they are rounded, halves to even.
        zeros: that the document appends to every number.
        thousands: whether groups of three digits are separated by commas.
        significant: digits of the whole number, instead of ``decimals``.
    """

    unit: str
    scale: int
    decimals: int = 0
    cut: bool = False
    zeros: int = 0
    thousands: bool = False
    significant: int | None = None

    def text(self, value: int) -> str:
        """The number as the document prints it, without the unit."""
        if self.significant is not None:
            return format_significant(value / self.scale, self.significant)
        rounding = ROUND_DOWN if self.cut else ROUND_HALF_EVEN
        rounded = (Decimal(value) / self.scale).quantize(
            Decimal(1).scaleb(-self.decimals), rounding
        )
        return (f"{rounded:,f}" if self.thousands else f"{rounded:f}") + "0" * self.zeros

    def value(self, printed: str | float) -> Fraction:
        """A printed number in plain units.

        Raises:
            ConventionError: it is no number, or a negative one.
        """
        try:
            number = Decimal(str(printed).replace(",", "").strip())
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite() or number < 0:
            raise ConventionError(
                f"a published figure of {printed!r}",
                "that is not a number of operations",
                f"Give the number alone, in {self.unit}: '1.370'",
            )
        return Fraction(number) * self.scale


@dataclass(frozen=True, slots=True)
class Convention:
    """One way to print what a network costs.

    Attributes:
        name: what it is called here.
        description: what it counts.
        source: where that can be read, or which rows show it.
        mac_weights: what one multiply-add counts, by kind.
        flops_style: how the document prints operations; None where it prints none.
        params_style: how it prints parameters; None where it prints none.
        activations_style: how it prints activations; None where it prints none.
        element_weights: what each of :data:`ELEMENTS` counts as operations.
        counts_biases: whether the biases of convolutions and linear layers are parameters.
        param_weights: what each of :data:`ELEMENTS` counts as parameters.
        command: that counts in this convention, if there is one.
    """

    name: str
    description: str
    source: str
    mac_weights: Mapping[str, int]
    flops_style: Style | None = None
    params_style: Style | None = None
    activations_style: Style | None = None
    element_weights: Mapping[str, Fraction] = field(default_factory=dict)
    counts_biases: bool = True
    param_weights: Mapping[str, Fraction] = field(default_factory=dict)
    command: str | None = None

    @property
    def formula(self) -> str:
        """The operations as a sum: ``2 convolution + linear - relu_outputs``."""
        kinds = {kind: Fraction(weight) for kind, weight in self.mac_weights.items()}
        return _sum_of({**kinds, **self.element_weights})

    @property
    def params_formula(self) -> str:
        """The parameters as a sum: ``params - bias_params``."""
        biases = {} if self.counts_biases else {"bias_params": Fraction(-1)}
        return _sum_of({"params": Fraction(1), **biases, **self.param_weights})

    def multiply_adds(self, complexity: Complexity) -> int:
        """What the multiply-adds alone count: the figure without :data:`ELEMENTS`."""
        counted = complexity.macs_by_kind
        return sum(weight * counted.get(kind, 0) for kind, weight in self.mac_weights.items())

    def flops(self, complexity: Complexity, elements: Mapping[str, int] | None = None) -> int:
        """The operations of one image as the document counts them, in plain numbers.

        Args:
            complexity: of the network.
            elements: numbers of :data:`ELEMENTS`; needed where the convention counts any.

        Returns:
            Rounded down where something counts a half.

        Raises:
            ConventionError: the convention counts elements that are not given.
        """
        counted = self._weigh("operations", self.element_weights, elements)
        return floor(self.multiply_adds(complexity) + counted)

    def params(self, complexity: Complexity, elements: Mapping[str, int] | None = None) -> int:
        """The parameters as the document counts them.

        Args:
            complexity: of the network.
            elements: numbers of :data:`ELEMENTS`; needed where the convention counts any as
                parameters.

        Raises:
            ConventionError: the convention counts elements that are not given.
        """
        biases = 0 if self.counts_biases else complexity.bias_params
        counted = self._weigh("parameters", self.param_weights, elements)
        return floor(complexity.params - biases + counted)

    def printed_flops(
        self, complexity: Complexity, elements: Mapping[str, int] | None = None
    ) -> str:
        """The operations as the document prints them: ``1.370``.

        Raises:
            ConventionError: as :meth:`flops`, or the document prints no operations.
        """
        style = self._style("operations", self.flops_style)
        return style.text(self.flops(complexity, elements))

    def printed_params(
        self, complexity: Complexity, elements: Mapping[str, int] | None = None
    ) -> str:
        """The parameters as the document prints them: ``25.56``.

        Raises:
            ConventionError: as :meth:`params`, or the document prints no parameters.
        """
        style = self._style("parameters", self.params_style)
        return style.text(self.params(complexity, elements))

    def printed_activations(self, complexity: Complexity) -> str:
        """The activations as the document prints them: ``11.11``.

        Raises:
            ConventionError: the document prints no activations, or counts what products of
                activations write as well, which a Complexity does not.
        """
        style = self._style("activations", self.activations_style)
        if complexity.macs_by_kind.get("product"):
            raise ConventionError(
                f"activations as {self.name} prints them",
                "this network multiplies activations with each other, as attention does; what "
                f"that writes counts for {self.name} and not in a Complexity",
                "Compare activations of networks without such products",
            )
        return style.text(complexity.activations)

    def to_macs(
        self,
        published: str | float,
        complexity: Complexity | None = None,
        elements: Mapping[str, int] | None = None,
    ) -> int:
        """The multiply-adds behind a printed number of operations, as exact as the number is.

        Args:
            published: the number as the document prints it, in its unit.
            complexity: of the network; needed where kinds of multiply-adds count differently, for
                the shares that they have.
            elements: as for :meth:`flops`.

        Raises:
            ConventionError: the document prints no operations, ``published`` is no number, or what
                the convention needs is not given.
        """
        figure = self._style("operations", self.flops_style).value(published)
        figure -= self._weigh("operations", self.element_weights, elements)
        weights = set(self.mac_weights.values())
        if len(weights) == 1:
            return round(figure / weights.pop())
        if complexity is None:
            raise ConventionError(
                f"the MACs behind {published} as {self.name} counts",
                f"it counts {self.formula}, so the kinds' shares are needed",
                "Pass the network's Complexity",
            )
        counted = self.multiply_adds(complexity)
        if not counted:
            raise ConventionError(
                f"the MACs behind {published} as {self.name} counts",
                "it counts none of the multiply-adds of this network",
                "Check that the figure belongs to this network",
            )
        return round(figure * complexity.macs / counted)

    def _weigh(
        self, what: str, weights: Mapping[str, Fraction], elements: Mapping[str, int] | None
    ) -> Fraction:
        given = elements or {}
        missing = [name for name in weights if name not in given]
        if missing:
            run = f"Type {self.command}, or pass" if self.command else "Pass"
            alone = ", or take multiply_adds(), without them" if what == "operations" else ""
            raise ConventionError(
                f"{what} as {self.name} counts them",
                f"it counts {', '.join(missing)}, which a Complexity does not hold",
                f"{run} their numbers as elements={{...}}{alone}",
            )
        return sum((weight * given[name] for name, weight in weights.items()), Fraction())

    def _style(self, what: str, style: Style | None) -> Style:
        if style is None:
            raise ConventionError(
                f"{what} as {self.name} prints them",
                "it prints none",
                "Take the plain number: flops(), params(), or the Complexity's activations",
            )
        return style


def _sum_of(weights: Mapping[str, Fraction]) -> str:
    terms = ""
    for name, weight in weights.items():
        if weight:
            sign = "- " if weight < 0 else "+ " if terms else ""
            factor = "" if abs(weight) == 1 else f"{abs(weight)} "
            terms += f"{' ' if terms else ''}{sign}{factor}{name}"
    return terms
