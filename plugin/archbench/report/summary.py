"""A network's layers and modules as text, JSON, CSV and Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod

from msgspec import to_builtins

from archbench.core.errors import some
from archbench.core.layer_table import LayerRow, LayerTable, UnlistedParameters
from archbench.core.summary import ModuleNode, ModuleTree, Summary
from archbench.report.tables import ABSENT, BLANK, Table, json_text, markdown

SCHEMA = 1
"""Of the JSON document. 1: first version."""

ELSEWHERE_MARK = "*"
MEGABYTE = 1024**2
"""torchsummary's."""


def _as_text(summary: Summary) -> str:
    parts = []
    if summary.layers is not None:
        parts.append("\n".join(_layer_lines(summary.layers)))
    if summary.tree is not None:
        tree = summary.tree
        lines = [*_node_lines(tree.root, tree), *_complexity_lines(tree), *_remarks(tree)]
        parts.append("\n".join(lines))
    return f"==> {_heading(summary)}\n" + "\n\n".join(parts)


def _as_markdown(summary: Summary) -> str:
    parts = [f"## {markdown(_heading(summary))}"]
    if summary.layers is not None:
        parts += ["### Layers", _layer_markdown(summary.layers)]
        parts.append("\n".join(f"- {line}" for line in _total_lines(summary.layers)))
        parts += map(markdown, _notes(summary.layers))
    if summary.tree is not None:
        parts += ["### Modules", _tree_markdown(summary.tree)]
        parts.append("\n".join(f"- {line}" for line in _complexity_lines(summary.tree)))
        parts.append("\n".join(_remarks(summary.tree)))
    return "\n\n".join(parts)


def _as_json(summary: Summary) -> str:
    size = list(summary.input_size)
    document: dict[str, object] = {"schema": SCHEMA, "id": summary.id, "input_size": size}
    if summary.layers is not None:
        document["layers"] = _layers_document(summary.layers)
    if summary.tree is not None:
        document["tree"] = _tree_document(summary.tree)
    return json_text(document)


def _as_csv(summary: Summary) -> str:
    tables = [_layer_rows(summary.layers)] if summary.layers is not None else []
    tables += [_tree_rows(summary.tree)] if summary.tree is not None else []
    if len(tables) != 1:
        raise ValueError("CSV is one table: a summary of one part")
    return tables[0].print_as("csv")


FORMATS: Mapping[str, Callable[[Summary], str]] = {
    "text": _as_text,
    "json": _as_json,
    "csv": _as_csv,
    "markdown": _as_markdown,
}
"""How a summary becomes text, without a line break at its end.

``text`` has the layer table in torchsummary's form and the module tree in ptflops'; ``markdown``
has two tables. Both round. ``json`` and ``csv`` hold elements, bytes and MACs unrounded; ``csv`` is
for a summary of one part, and raises ``ValueError`` for another.
"""


def _heading(summary: Summary) -> str:
    return f"{summary.id}, input {'x'.join(map(str, summary.input_size))}"


# The layer table.


def _shape_text(shape: Sequence[int], table: LayerTable) -> str:
    """``[-1, 32, 112, 112]``: where no batch size was asked for, the batch is -1.

    Only a first dimension of 1 is taken for the batch: some networks cut an image into windows and
    put these there.
    """
    sizes = list(shape)
    if table.batch_size is None and sizes[:1] == [1]:
        sizes[0] = -1
    return str(sizes)


def _output_text(row: LayerRow, table: LayerTable) -> str:
    return ", ".join(_shape_text(shape, table) for shape in row.output_shapes) or ABSENT


def _params_text(row: LayerRow) -> str:
    return f"{row.params:,}{ELSEWHERE_MARK if row.params_elsewhere else ''}"


def _owner_text(own: UnlistedParameters) -> str:
    return own.name or f"{own.type}: {some(own.parameters)}"


def _layer_lines(table: LayerTable) -> Iterator[str]:
    cells = [
        (f"{row.type}-{row.index}", _output_text(row, table), _params_text(row))
        for row in table.rows
    ]
    # torchsummary's widths, and more where something would not fit.
    first = max([20, *(len(layer) for layer, _, _ in cells)])
    second = max([25, *(len(output) for _, output, _ in cells)])
    width = max(64, first + second + 18)
    yield "-" * width
    yield f"{'Layer (type)':>{first}}  {'Output Shape':>{second}} {'Param #':>15}"
    yield "=" * width
    for layer, output, params in cells:
        yield f"{layer:>{first}}  {output:>{second}} {params:>15}"
    if table.unlisted:
        yield "-" * width
        yield "Parameters in no row above:"
        for own in table.unlisted:
            owner = f"  {_owner_text(own)} "
            yield f"{owner}{own.params:>{max(1, first + second + 18 - len(owner))},}"
    yield "=" * width
    totals = list(_total_lines(table))
    yield from totals[:3]
    yield "-" * width
    yield from totals[3:]
    yield "-" * width
    yield from _notes(table)


def _total_lines(table: LayerTable) -> Iterator[str]:
    yield f"Total params: {table.total_params:,}"
    yield f"Trainable params: {table.trainable_params:,}"
    yield f"Non-trainable params: {table.non_trainable_params:,}"
    yield f"Input size (MB): {table.input_bytes / MEGABYTE:.2f}"
    yield f"Forward/backward pass size (MB): {table.forward_backward_bytes / MEGABYTE:.2f}"
    yield f"Params size (MB): {table.params_bytes / MEGABYTE:.2f}"
    yield f"Estimated Total Size (MB): {table.estimated_total_bytes / MEGABYTE:.2f}"


def _notes(table: LayerTable) -> Iterator[str]:
    if any(row.params_elsewhere for row in table.rows):
        yield (
            f"{ELSEWHERE_MARK} has parameters that another row counts: it was called before, or "
            "shares them."
        )


def _layer_markdown(table: LayerTable) -> str:
    rows = [
        [str(row.index), row.type, row.name, _output_text(row, table), _params_text(row)]
        for row in table.rows
    ]
    rows += [
        [BLANK, own.type, own.name or ", ".join(own.parameters), ABSENT, f"{own.params:,}"]
        for own in table.unlisted
    ]
    headers = ["#", "type", "layer", "output shape", "params"]
    return Table(headers, rows, headers[1:4]).print_as("markdown")


_TOTALS = (
    "input_shape", "total_params", "trainable_params", "non_trainable_params", "input_bytes",
    "forward_backward_bytes", "params_bytes", "estimated_total_bytes",
)  # fmt: skip


def _layers_document(table: LayerTable) -> dict[str, object]:
    totals = {name: getattr(table, name) for name in _TOTALS}
    return {**totals, "rows": to_builtins(table.rows), "unlisted": to_builtins(table.unlisted)}


def _layer_rows(table: LayerTable) -> Table:
    columns = [
        "index",
        "name",
        "type",
        "output_shape",
        "output_elements",
        "params",
        "params_elsewhere",
    ]
    rows: list[list[object]] = []
    for row in table.rows:
        shape = ";".join("x".join(map(str, shape)) for shape in row.output_shapes)
        elements = sum(map(prod, row.output_shapes))
        output = (shape, elements, row.params, row.params_elsewhere)
        rows.append([row.index, row.name, row.type, *output])
    rows += [[None, own.name, own.type, None, None, own.params, None] for own in table.unlisted]
    return Table(columns, rows)


# The module tree.


def _millions(params: int, digits: int = 3) -> str:
    return f"{round(params / 1e6, digits)} M"


def _giga(macs: int, digits: int = 3) -> str:
    return f"{round(macs / 1e9, digits)} GMac"


def _params_share(node: ModuleNode, tree: ModuleTree) -> float:
    return node.params / max(tree.total_params, 1)


def _macs_share(node: ModuleNode, tree: ModuleTree) -> float:
    return node.macs / max(tree.total_macs, 1)


def _node_lines(node: ModuleNode, tree: ModuleTree) -> Iterator[str]:
    """The module as ``nn.Module.__repr__`` sets it, with ptflops' figures before its details."""
    figures = [
        _millions(node.params),
        f"{_params_share(node, tree):.3%} Params",
        _giga(node.macs),
        f"{_macs_share(node, tree):.3%} MACs",
    ]
    # ptflops counts and prints a module in each of its places.
    if node.shared_with is not None and tree.convention != "ptflops":
        figures.append(f"shared with {node.shared_with}")
    details = "..." if node.hidden_modules else node.details
    own_lines = ", ".join([*figures, details]).split("\n")
    if len(own_lines) == 1 and not node.children:
        yield f"{node.type}({own_lines[0]})"
        return
    yield f"{node.type}("
    yield from (f"  {line}".rstrip() for line in own_lines)
    for child in node.children:
        first, *others = _node_lines(child, tree)
        yield f"  ({child.key}): {first}"
        yield from (f"  {line}" for line in others)
    yield ")"


def _complexity_lines(tree: ModuleTree) -> Iterator[str]:
    yield f"Computational complexity: {_giga(tree.total_macs, 2)}"
    yield f"Number of parameters: {_millions(tree.total_params, 2)}"


def _remarks(tree: ModuleTree) -> Iterator[str]:
    if tree.convention == "ptflops":
        yield (
            f"{tree.counter} also counts biases, batch normalisation, activations and pooling, and "
            "counts nothing"
        )
        yield "outside the types of modules that it knows."
    yield f"Multiply-adds of one image, counted exactly: {tree.exact_macs:,}"


def _nodes(node: ModuleNode) -> Iterator[ModuleNode]:
    yield node
    for child in node.children:
        yield from _nodes(child)


def _tree_markdown(tree: ModuleTree) -> str:
    rows = [
        [
            node.type,
            node.name or BLANK,
            _millions(node.params),
            f"{_params_share(node, tree):.3%}",
            _giga(node.macs),
            f"{_macs_share(node, tree):.3%}",
        ]
        for node in _nodes(tree.root)
    ]
    headers = ["type", "module", "params", "share", "MACs", "share"]
    return Table(headers, rows, ("type", "module")).print_as("markdown")


def _tree_document(tree: ModuleTree) -> dict[str, object]:
    def document(node: ModuleNode) -> dict[str, object]:
        found: dict[str, object] = {
            "name": node.name,
            "type": node.type,
            "details": node.details,
            "params": node.params,
            "params_share": _params_share(node, tree),
            "macs": node.macs,
            "macs_share": _macs_share(node, tree),
        }
        if node.shared_with is not None:
            found["shared_with"] = node.shared_with
        if node.hidden_modules:
            found["hidden_modules"] = node.hidden_modules
        return {**found, "children": [document(child) for child in node.children]}

    totals = ("convention", "counter", "total_params", "total_macs", "exact_macs")
    return {**{name: getattr(tree, name) for name in totals}, "root": document(tree.root)}


def _tree_rows(tree: ModuleTree) -> Table:
    columns = (
        "name", "type", "level", "params", "params_share", "macs_per_image", "macs_share",
        "shared_with", "hidden_modules", "details",
    )  # fmt: skip
    rows = [
        [
            *(node.name, node.type, node.level),
            *(node.params, _params_share(node, tree), node.macs, _macs_share(node, tree)),
            *(node.shared_with, node.hidden_modules, node.details),
        ]
        for node in _nodes(tree.root)
    ]
    return Table(columns, rows)
