"""What a network is made of, as values: its layers in the order they run, its modules as they nest.

Two listings that people know from other tools. The layer table follows torchsummary: a row for each
call of a module, with what it returned and the parameters that it owns. The module tree follows
ptflops: each module with what is inside it, and both with their shares of the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from archbench.core.complexity import LayerCost
from archbench.core.layer_table import LayerTable, level_of

PARTS = ("layers", "tree")
"""The listings of a summary: the layer table, the module tree."""

TREE_CONVENTIONS = ("macs", "ptflops")
"""What the module tree counts: multiply-adds exactly, or what ptflops calls MACs."""


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
        return level_of(self.name)


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
    children = tuple(assemble(child, totals) for child in outline.children)
    costs, shared = totals[outline.name], outline.shared_with
    return ModuleNode(outline.name, outline.type, outline.details, *costs, children, shared)


def prune(node: ModuleNode, depth: int) -> ModuleNode:
    """The tree without modules nested deeper; those at the depth say how many are hidden."""
    if depth > 0:
        return replace(node, children=tuple(prune(child, depth - 1) for child in node.children))
    return replace(node, children=(), hidden_modules=_modules_inside(node))


def _modules_inside(node: ModuleNode) -> int:
    return sum(1 + _modules_inside(child) for child in node.children)
