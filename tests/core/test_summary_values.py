"""Rows, totals and trees put together from values made by hand."""

from __future__ import annotations

import pytest

from archbench.core.complexity import LayerCost
from archbench.core.layer_table import (
    LayerRow,
    LayerTable,
    ModuleCall,
    ModuleParameters,
    UnlistedParameters,
    layer_table,
)
from archbench.core.summary import (
    ModuleOutline,
    assemble,
    prune,
    total_costs,
)

SHAPE = (1, 3, 4, 4)


def module(
    name: str,
    params: int = 0,
    *,
    container: bool = False,
    borrowed: dict[str, int] | None = None,
) -> ModuleParameters:
    parameters = (f"{name}.weight".lstrip("."),) if params else ()
    type_ = "Sequential" if container else "Layer" if name else "Net"
    return ModuleParameters(name, type_, params, parameters, borrowed or {}, container)


def called(*names: str) -> list[ModuleCall]:
    """Each call returned eight elements for one image."""
    return [ModuleCall(name, ((1, 8),)) for name in names]


def table(
    modules: list[ModuleParameters], calls: list[ModuleCall], depth: int | None = None
) -> LayerTable:
    return layer_table(modules, calls, input_shape=SHAPE, trainable_params=0, depth=depth)


def rows(found: LayerTable) -> list[tuple[str, int, int]]:
    return [(row.name, row.params, row.params_elsewhere) for row in found.rows]


# net: a stem; a sequence of two blocks, each with two layers; a list of two heads, never called.
NET = [
    module("", 1),
    module("stem", 10),
    module("body", 2, container=True),
    module("body.0", 4),
    module("body.0.a", 100),
    module("body.0.b", 200),
    module("body.1"),
    module("body.1.a", 300),
    module("heads", container=True),
    module("heads.0", 1000),
    module("heads.1", 2000),
    module("unused", 50),
]
CALLS = called(
    "stem", "body.0.a", "body.0.b", "body.0", "body.1.a", "body.1", "body", "heads.0", "heads.1", ""
)
TOTAL = 1 + 10 + 2 + 4 + 100 + 200 + 300 + 1000 + 2000 + 50


def test_a_row_for_each_call_but_of_containers_and_the_network() -> None:
    found = table(NET, CALLS)
    assert rows(found) == [
        ("stem", 10, 0),
        ("body.0.a", 100, 0),
        ("body.0.b", 200, 0),
        ("body.0", 4, 0),
        ("body.1.a", 300, 0),
        ("body.1", 0, 0),
        ("heads.0", 1000, 0),
        ("heads.1", 2000, 0),
    ]
    assert [row.index for row in found.rows] == list(range(1, 9))
    assert found.rows[0] == LayerRow(1, "stem", "Layer", ((1, 8),), 10)


def test_parameters_of_the_network_a_container_and_an_uncalled_module_are_distinguished() -> None:
    found = table(NET, CALLS)
    assert found.unlisted == (
        UnlistedParameters("", "Net", 1, ("weight",)),
        UnlistedParameters("body", "Sequential", 2, ("body.weight",)),
        UnlistedParameters("unused", "Layer", 50, ("unused.weight",)),
    )
    assert found.total_params == TOTAL


def test_at_depth_one_a_row_has_the_parameters_of_all_that_is_inside() -> None:
    found = table(NET, CALLS, depth=1)
    # The list of heads is never called: it stands where the last of its modules returned.
    assert rows(found) == [
        ("stem", 10, 0),
        ("body", 2 + 4 + 100 + 200 + 300, 0),
        ("heads", 1000 + 2000, 0),
    ]
    assert [row.output_shapes for row in found.rows] == [((1, 8),), ((1, 8),), ()]
    assert [own.name for own in found.unlisted] == ["", "unused"]


def test_at_depth_two_a_container_above_has_no_row() -> None:
    assert rows(table(NET, CALLS, depth=2)) == [
        ("stem", 10, 0),
        ("body.0", 4 + 100 + 200, 0),
        ("body.1", 300, 0),
        ("heads.0", 1000, 0),
        ("heads.1", 2000, 0),
    ]


@pytest.mark.parametrize("depth", [1, 2, 3, 4, None])
def test_totals_are_the_networks_at_any_depth(depth: int | None) -> None:
    found = table(NET, CALLS, depth)
    assert found.total_params == TOTAL
    assert found.output_elements == 8 * 8  # eight layers of eight elements


def test_a_second_call_is_a_row_without_the_parameters() -> None:
    modules = [module(""), module("block"), module("block.fc", 7)]
    calls = called("block.fc", "block", "block.fc", "block", "")
    found = table(modules, calls)
    assert rows(found) == [
        ("block.fc", 7, 0), ("block", 0, 0), ("block.fc", 0, 7), ("block", 0, 0)
    ]  # fmt: skip
    assert rows(table(modules, calls, depth=1)) == [("block", 7, 0), ("block", 0, 7)]
    assert found.total_params == 7


def test_a_shared_parameter_is_in_its_owners_row() -> None:
    modules = [module(""), module("a"), module("a.x", 7), module("a.y", 2, borrowed={"a.x": 7})]
    calls = called("a.y", "a.x", "a", "")
    assert rows(table(modules, calls)) == [("a.y", 2, 7), ("a.x", 7, 0), ("a", 0, 0)]
    # Both are inside the row.
    assert rows(table(modules, calls, depth=1)) == [("a", 9, 0)]


def test_a_network_without_modules_has_a_row() -> None:
    found = table([module("", 5)], called(""))
    assert rows(found) == [("", 5, 0)]
    assert found.unlisted == ()
    assert found.output_elements == 8


def test_an_empty_container_has_no_row() -> None:
    modules = [module(""), module("skip", container=True), module("fc", 3)]
    for depth in (None, 1):
        assert rows(table(modules, called("skip", "fc", ""), depth)) == [("fc", 3, 0)]


def test_sizes_by_hand() -> None:
    calls = [ModuleCall("fc", ((2, 10), (2, 3, 5)))]
    found = layer_table(
        [module(""), module("fc", 100)],
        calls,
        input_shape=(2, 3, 4, 4),
        trainable_params=60,
        batch_size=2,
    )
    assert (found.total_params, found.non_trainable_params) == (100, 40)
    assert found.input_bytes == 4 * 2 * 48
    assert found.forward_backward_bytes == 2 * 4 * (20 + 30)
    assert found.params_bytes == 400
    assert found.estimated_total_bytes == 384 + 400 + 400


# net(stem, body(a, b)), and a second place for the stem.
OUTLINE = ModuleOutline(
    "",
    "Net",
    children=(
        ModuleOutline("stem", "Conv2d", "3, 8"),
        ModuleOutline(
            "body",
            "Block",
            children=(
                ModuleOutline("body.a", "Linear"),
                ModuleOutline("body.b", "Conv2d", "3, 8", shared_with="stem"),
            ),
        ),
    ),
)
COSTS = [
    LayerCost("", "Net", 1, 5),
    LayerCost("stem", "Conv2d", 10, 1000),
    LayerCost("body", "Block", 0, 70),
    LayerCost("body.a", "Linear", 20, 300),
]


def test_costs_are_summed_upward() -> None:
    assert total_costs(OUTLINE, COSTS) == {
        "": (31, 1375),
        "stem": (10, 1000),
        "body": (20, 370),
        "body.a": (20, 300),
        "body.b": (0, 0),
    }


def test_a_cost_that_belongs_to_no_module_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not in the network: body\.c"):
        total_costs(OUTLINE, [*COSTS, LayerCost("body.c", "Linear", 1, 1)])


def test_a_tree_cut_off_keeps_its_figures() -> None:
    root = assemble(OUTLINE, total_costs(OUTLINE, COSTS))
    cut = prune(root, 1)
    assert [(n.key, n.level, n.params, n.macs, n.hidden_modules) for n in cut.children] == [
        ("stem", 1, 10, 1000, 0),
        ("body", 1, 20, 370, 2),
    ]
    assert cut.children[1].children == ()
    assert (cut.params, cut.macs, cut.hidden_modules) == (31, 1375, 0)
    assert prune(root, 0).hidden_modules == 4
    assert prune(root, 2) == prune(root, 9) == root
    assert root.children[1].children[1].shared_with == "stem"
    assert root.children[1].children[1].key == "b"
