"""The layer table of a network, as torchsummary has it: a row for each call of a module, with what
it returned and the parameters that it owns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

FP32_BYTES = 4
GRADIENT_FACTOR = 2
"""torchsummary takes each output twice: once for the gradient with respect to it."""


@dataclass(frozen=True, slots=True)
class ModuleParameters:
    """A module with the parameters that it owns itself, not those of the modules inside it.

    Attributes:
        name: qualified, as ``named_modules`` gives it; empty for the network.
        type: class name.
        params: elements of its parameters; one that several modules hold belongs to the first.
        parameters: their names in the network: ``blocks.0.gamma``.
        borrowed: elements of parameters that it holds and another module owns, by the owner's name.
        is_container: whether it only holds other modules in order, as ``nn.Sequential``.
    """

    name: str
    type: str
    params: int = 0
    parameters: tuple[str, ...] = ()
    borrowed: Mapping[str, int] = field(default_factory=dict)
    is_container: bool = False


@dataclass(frozen=True, slots=True)
class ModuleCall:
    """A call of a module that has returned.

    Attributes:
        name: of the module, qualified.
        output_shapes: of all tensors in what it returned.
    """

    name: str
    output_shapes: tuple[tuple[int, ...], ...]

    @property
    def output_elements(self) -> int:
        """Elements of all tensors that it returned."""
        return sum(map(prod, self.output_shapes))


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One row of the layer table: one call of one module.

    Attributes:
        index: from 1.
        name: of the module, qualified.
        type: its class name.
        output_shapes: of all tensors that it returned, for the table's batch; none where it
            returned no tensor, or stands for modules that were called without it.
        params: elements of the parameters counted in this row.
        params_elsewhere: elements of parameters that it uses and that another row counts: it was
            called before, or shares them.
    """

    index: int
    name: str
    type: str
    output_shapes: tuple[tuple[int, ...], ...]
    params: int
    params_elsewhere: int = 0


@dataclass(frozen=True, slots=True)
class UnlistedParameters:
    """Parameters that no row counts: of the network, a container, or a module not called.

    Attributes:
        name, type: of their owner.
        params: elements.
        parameters: their names in the network.
    """

    name: str
    type: str
    params: int
    parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LayerTable:
    """The layers of a network in the order in which their calls return, as torchsummary has them.

    The parameters of all rows and of :attr:`unlisted` add up to the total.

    Attributes:
        input_shape: of the batch, ``(N, C, H, W)``.
        batch_size: N where it was asked for, else None: the figures are those of one image.
        rows: the layers.
        unlisted: parameters that are in no row.
        trainable_params: elements of the parameters that require a gradient as constructed.
        output_elements: elements that all layers returned, whatever the depth of the table.
    """

    input_shape: tuple[int, ...]
    batch_size: int | None
    rows: tuple[LayerRow, ...]
    unlisted: tuple[UnlistedParameters, ...]
    trainable_params: int
    output_elements: int

    @property
    def total_params(self) -> int:
        """Elements of all parameters, shared ones once."""
        return sum(row.params for row in self.rows) + sum(own.params for own in self.unlisted)

    @property
    def non_trainable_params(self) -> int:
        """Elements of the parameters that require no gradient."""
        return self.total_params - self.trainable_params

    @property
    def input_bytes(self) -> int:
        """The batch in fp32."""
        return FP32_BYTES * prod(self.input_shape)

    @property
    def forward_backward_bytes(self) -> int:
        """torchsummary's estimate: every output and its gradient in fp32.

        Not what inference needs: a block's output and that of its last layer both count, and so
        does what a layer writes in place.
        """
        return GRADIENT_FACTOR * FP32_BYTES * self.output_elements

    @property
    def params_bytes(self) -> int:
        """All parameters in fp32."""
        return FP32_BYTES * self.total_params

    @property
    def estimated_total_bytes(self) -> int:
        """Input, outputs with gradients, and parameters."""
        return self.input_bytes + self.forward_backward_bytes + self.params_bytes


def level_of(name: str) -> int:
    """How deep a module is nested, by its qualified name: 0 for the network."""
    return name.count(".") + 1 if name else 0


def _place(name: str, depth: int | None) -> str:
    """The module of that level that holds the named one, or is it."""
    return name if depth is None else ".".join(name.split(".")[:depth])


def layer_table(
    modules: Sequence[ModuleParameters],
    calls: Sequence[ModuleCall],
    *,
    input_shape: tuple[int, ...],
    trainable_params: int,
    batch_size: int | None = None,
    depth: int | None = None,
) -> LayerTable:
    """Put the rows together.

    torchsummary's choice of rows: every call of a module that is neither the network itself nor a
    container. Two rules are added. The network has a row where it has no module inside it. With a
    depth, the modules nested deeper have none, and what they own counts in the row of the module
    at that depth that holds them, which has one even if it is a container or is never called
    itself.

    Args:
        modules: all modules, the network first, as ``named_modules`` orders them.
        calls: in the order in which they returned.
        input_shape: of the batch that was fed, ``(N, C, H, W)``.
        trainable_params: elements of the parameters that require a gradient.
        batch_size: N where it was asked for.
        depth: the deepest level that has rows, 1 for what the network holds directly.
    """
    plan = _Rows(modules, depth)
    rows = plan.of(calls)
    shown = {row.name for row in rows}
    return LayerTable(
        input_shape=input_shape,
        batch_size=batch_size,
        rows=tuple(rows),
        unlisted=tuple(one for one in plan.owners() if one.params and one.name not in shown),
        trainable_params=trainable_params,
        output_elements=sum(call.output_elements for call in calls if plan.is_layer(call.name)),
    )


class _Rows:
    """Which modules have rows down to a depth, and what each row counts."""

    def __init__(self, modules: Sequence[ModuleParameters], depth: int | None) -> None:
        self._by_name = {module.name: module for module in modules}
        self._holders = {module.name.rpartition(".")[0] for module in modules if module.name}
        self._depth = depth
        self._places = {name: _place(name, depth) for name in self._by_name}
        self._owned: Counter[str] = Counter()
        self._borrowed: Counter[str] = Counter()
        self._parameters: dict[str, list[str]] = {}
        for module in modules:
            place = self._places[module.name]
            self._owned[place] += module.params
            self._parameters.setdefault(place, []).extend(module.parameters)
            for owner, elements in module.borrowed.items():
                if self._places[owner] != place:
                    self._borrowed[place] += elements

    def is_layer(self, name: str) -> bool:
        """Whether a module is neither the network itself nor a container."""
        return not self._by_name[name].is_container and (bool(name) or not self._holders)

    def _has_row(self, name: str) -> bool:
        if self._places[name] != name:
            return False
        return self.is_layer(name) or (level_of(name) == self._depth and name in self._holders)

    def of(self, calls: Sequence[ModuleCall]) -> list[LayerRow]:
        """The rows of calls, which are in the order in which they returned."""
        places, called = self._places, {call.name for call in calls}
        # A list of modules is never called: its row stands where the last of its modules returned.
        last_inside = {places[call.name]: position for position, call in enumerate(calls)}
        rows: list[LayerRow] = []
        shown: set[str] = set()
        for position, call in enumerate(calls):
            place = places[call.name]
            has_row = self._has_row(call.name)
            if not has_row and (place in called or last_inside[place] != position):
                continue
            shapes = call.output_shapes if has_row else ()
            owned, elsewhere = self._owned[place], self._borrowed[place]
            if place in shown:
                owned, elsewhere = 0, elsewhere + owned
            shown.add(place)
            type_ = self._by_name[place].type
            rows.append(LayerRow(len(rows) + 1, place, type_, shapes, owned, elsewhere))
        return rows

    def owners(self) -> list[UnlistedParameters]:
        """What all places own."""
        types, names = self._by_name, self._parameters
        return [
            UnlistedParameters(place, types[place].type, params, tuple(names[place]))
            for place, params in self._owned.items()
        ]
