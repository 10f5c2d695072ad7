"""What a network is made of, as values: its layers in the order they run, its modules as they nest.

Two listings that people know from other tools. The layer table follows torchsummary: a row for each
call of a module, with what it returned and the parameters that it owns. The module tree follows
ptflops: each module with what is inside it, and both with their shares of the whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from archbench.core.complexity import LayerCost

PARTS = ("layers", "tree")
"""The listings of a summary: the layer table, the module tree."""

TREE_CONVENTIONS = ("macs", "ptflops")
"""What the module tree counts: multiply-adds exactly, or what ptflops calls MACs."""

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
    """Parameters that no row counts.

    They belong to the network itself, to a container, or to a module that was not called.

    Attributes:
        name: of the module that owns them, qualified; empty for the network.
        type: its class name.
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


@dataclass(frozen=True, slots=True)
class ModuleOutline:
    """A module and what is inside it, before anything is counted.

    Attributes:
        name: its place, qualified; a module that is in two places has two names.
        type: class name.
        details: its ``extra_repr``: ``3, 16, kernel_size=(3, 3)``.
        children: the modules that it holds.
        shared_with: the first place of the same module, None in that place itself.
    """

    name: str
    type: str
    details: str = ""
    children: tuple[ModuleOutline, ...] = ()
    shared_with: str | None = None


@dataclass(frozen=True, slots=True)
class ModuleNode:
    """A module of the tree with its costs, those of the modules inside it included.

    Attributes:
        name: its place, qualified; empty for the network.
        type: class name.
        details: its ``extra_repr``.
        params: elements of parameters.
        macs: of one image, in the tree's convention.
        children: the modules that it holds; none where the tree is cut off.
        shared_with: the first place of the same module, None in that place itself.
        hidden_modules: how many modules inside it the tree leaves out.
    """

    name: str
    type: str
    details: str
    params: int
    macs: int
    children: tuple[ModuleNode, ...] = ()
    shared_with: str | None = None
    hidden_modules: int = 0

    @property
    def key(self) -> str:
        """The last part of the name: what the module is called by the one that holds it."""
        return self.name.rpartition(".")[2]

    @property
    def level(self) -> int:
        """How deep it is nested: 0 for the network, 1 for what the network holds directly."""
        return _level(self.name)


@dataclass(frozen=True, slots=True)
class ModuleTree:
    """The modules of a network as they nest.

    Attributes:
        convention: one of :data:`TREE_CONVENTIONS`.
        counter: what counted: ``archbench``, ``ptflops 0.7.5``.
        root: the network.
        total_params: what shares of parameters refer to. ptflops leaves out the parameters that
            require no gradient, and in ``root`` those that it does not see.
        total_macs: what shares of MACs refer to.
        exact_macs: multiply-adds of one image, in either convention.
    """

    convention: str
    counter: str
    root: ModuleNode
    total_params: int
    total_macs: int
    exact_macs: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What ``archbench summary`` shows of one architecture; a part that was not asked for is None.

    Attributes:
        id: of the architecture.
        input_size: channels, height, width of one image.
        layers: the layer table.
        tree: the module tree.
    """

    id: str
    input_size: tuple[int, ...]
    layers: LayerTable | None
    tree: ModuleTree | None


def _level(name: str) -> int:
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
    by_name = {module.name: module for module in modules}
    holders = {module.name.rpartition(".")[0] for module in modules if module.name}
    places = {name: _place(name, depth) for name in by_name}
    called = {call.name for call in calls}

    def is_layer(name: str) -> bool:
        return not by_name[name].is_container and (bool(name) or not holders)

    def has_row(name: str) -> bool:
        if places[name] != name:
            return False
        return is_layer(name) or (_level(name) == depth and name in holders)

    owned: Counter[str] = Counter()
    borrowed: Counter[str] = Counter()
    parameters: dict[str, list[str]] = {}
    for module in modules:
        place = places[module.name]
        owned[place] += module.params
        parameters.setdefault(place, []).extend(module.parameters)
        for owner, elements in module.borrowed.items():
            if places[owner] != place:
                borrowed[place] += elements

    # A list of modules is never called: its row stands where the last of its modules returned.
    last_inside = {places[call.name]: position for position, call in enumerate(calls)}
    rows: list[LayerRow] = []
    shown: set[str] = set()
    for position, call in enumerate(calls):
        place = places[call.name]
        if has_row(call.name):
            shapes = call.output_shapes
        elif place not in called and last_inside[place] == position:
            shapes = ()
        else:
            continue
        again = place in shown
        shown.add(place)
        rows.append(
            LayerRow(
                index=len(rows) + 1,
                name=place,
                type=by_name[place].type,
                output_shapes=shapes,
                params=0 if again else owned[place],
                params_elsewhere=borrowed[place] + (owned[place] if again else 0),
            )
        )
    unlisted = tuple(
        UnlistedParameters(place, by_name[place].type, params, tuple(parameters[place]))
        for place, params in owned.items()
        if params and place not in shown
    )
    return LayerTable(
        input_shape=input_shape,
        batch_size=batch_size,
        rows=tuple(rows),
        unlisted=unlisted,
        trainable_params=trainable_params,
        output_elements=sum(call.output_elements for call in calls if is_layer(call.name)),
    )


def total_costs(outline: ModuleOutline, layers: Iterable[LayerCost]) -> dict[str, tuple[int, int]]:
    """Params and MACs of each place with everything inside it, summed from what modules own.

    A module in two places costs in the first, whose name its cost has, and nothing in the second.

    Raises:
        ValueError: a cost of a module that the outline does not have.
    """
    own = {layer.name: (layer.params, layer.macs) for layer in layers}
    totals: dict[str, tuple[int, int]] = {}

    def add(node: ModuleOutline) -> tuple[int, int]:
        params, macs = own.pop(node.name, (0, 0))
        for child in node.children:
            inside = add(child)
            params, macs = params + inside[0], macs + inside[1]
        totals[node.name] = params, macs
        return params, macs

    add(outline)
    if own:
        raise ValueError(f"costs of modules that are not in the network: {', '.join(own)}")
    return totals


def assemble(outline: ModuleOutline, totals: Mapping[str, tuple[int, int]]) -> ModuleNode:
    """The tree with params and MACs by place."""
    params, macs = totals[outline.name]
    return ModuleNode(
        name=outline.name,
        type=outline.type,
        details=outline.details,
        params=params,
        macs=macs,
        children=tuple(assemble(child, totals) for child in outline.children),
        shared_with=outline.shared_with,
    )


def prune(node: ModuleNode, depth: int) -> ModuleNode:
    """The tree without modules nested deeper; those at the depth say how many are hidden."""
    if depth > 0:
        return replace(node, children=tuple(prune(child, depth - 1) for child in node.children))
    return replace(node, children=(), hidden_modules=_modules_inside(node))


def _modules_inside(node: ModuleNode) -> int:
    return sum(1 + _modules_inside(child) for child in node.children)
