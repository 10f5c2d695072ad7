"""What is said about counts that changed."""

from __future__ import annotations

from typing import Any

from archbench.core.complexity import BIASES, Complexity, LayerCost, layer_census
from archbench.core.records import Record
from archbench.core.verdicts import Note, Verdict
from archbench.report.counts import (
    changed_layers,
    changed_text,
    comparison_dict,
    comparison_text,
)
from archbench.report.summary_lines import count_lines
from tests.core.lines import count_line

OLD = [
    LayerCost("stem", "Conv2d", 100, 1000),
    LayerCost("a", "Conv2d", 50, 500),
    LayerCost("b", "Conv2d", 50, 500),
    LayerCost("head", "Linear", 20, 20),
]


def test_census_counts_equal_costs_in_their_order() -> None:
    assert layer_census(OLD) == [
        ("Conv2d", 100, 1000, 1), ("Conv2d", 50, 500, 2), ("Linear", 20, 20, 1)
    ]  # fmt: skip


def test_changed_layers() -> None:
    new = [OLD[0], LayerCost("a", "Conv2d", 52, 500), *OLD[2:], LayerCost("", "Net", 7, 0)]
    gone, came = changed_layers(layer_census(OLD), new)
    assert gone == {("Conv2d", 50, 500): 1}
    assert came == {("Conv2d", 52, 500): 1, ("Net", 7, 0): 1}
    text = changed_text(
        [Verdict("params", "changed", "differs", "params 220 -> 229 (+9, +4.09 %)")],
        count_line(layers=layer_census(OLD)),
        new,
    )
    assert text.splitlines() == [
        "  params 220 -> 229 (+9, +4.09 %)",
        "layers that changed (- baseline, + now):",
        "  - 1 x Conv2d: params 50, MACs 500",
        "  + 1 x Conv2d: params 52, MACs 500  a",
        "  + 1 x Net: params 7, MACs 0  (root)",
    ]


def test_a_layer_like_others_is_named_among_them() -> None:
    new = [*OLD, LayerCost("c", "Conv2d", 50, 500)]
    assert changed_text([], count_line(layers=layer_census(OLD)), new).splitlines()[-1] == (
        "  + 1 x Conv2d: params 50, MACs 500  among a, b, c"
    )


def test_long_lists_are_cut() -> None:
    new = [LayerCost(f"n{i}", "Conv2d", 1000 + i, 0) for i in range(15)]
    lines = changed_text([], count_line(layers=[]), new).splitlines()
    assert len(lines) == 1 + 12 + 1
    assert lines[-1] == "  + and 3 more kinds of layers"


def cell(name: str, status: str, *, opinion: str = "") -> Record:
    notes = [Note("second-opinion", opinion)] if opinion else []
    metric = "params" if status == "changed" else "complexity"
    return Record(name, verdicts=[Verdict(metric, status, "x", "x")], notes=notes)


def test_biases_are_no_news() -> None:
    biases = "ptflops counts +2.2% (addmm +5, convolution +7: " + BIASES + ")"
    both = "ptflops counts +2.2% (addmm +5: " + BIASES + "; mv -9: ptflops has no formula for it)"
    cells = [cell("a/a", "unchanged", opinion=biases), cell("a/b", "unchanged", opinion=both)]
    assert count_lines(cells, accepting=False)[1:] == [
        "Second opinion: 2 of 2 differ by more than 0.5 %, 1 of them by biases that ptflops takes "
        "for multiply-adds.",
        f"  a/b: {both}",
    ]


def test_counts_in_lines() -> None:
    cells = [
        cell("timm/a", "unchanged"),
        cell("timm/b", "no-baseline"),
        cell("timm/c", "unchanged", opinion="ptflops counts +3.1% (bmm +5: reason unknown)"),
    ]
    assert count_lines(cells, accepting=False) == [
        "Counts: 2 unchanged, 1 no-baseline.",
        "  Accept what has no baseline: the same command with --baseline-update=new",
        "Second opinion: 1 of 3 differ by more than 0.5 %.",
        "  timm/c: ptflops counts +3.1% (bmm +5: reason unknown)",
    ]
    assert len(count_lines(cells, accepting=True)) == 3
    assert count_lines([Record("timm/a")], accepting=False) == []


def network(*layers: LayerCost, calls: int = 7, side: int = 8) -> Complexity:
    params, macs = sum(c.params for c in layers), sum(c.macs for c in layers)
    return Complexity(
        input_shape=(1, 3, side, side), output_shape=(1, 10), params=params,
        trainable_params=params, bias_params=0, buffers=0, param_bytes={}, macs=macs,
        macs_by_kind={}, activations=40, max_channels=4, operator_calls=calls, uncounted={},
        layers=layers,
    )  # fmt: skip


SAME = network(*(LayerCost(f"x.{c.name}", "Other", c.params, c.macs) for c in OLD), calls=9)
WIDER = network(OLD[0], LayerCost("a", "Conv2d", 60, 600), *OLD[2:])


def test_implementations_are_compared_by_cost_and_not_by_names_of_types() -> None:
    blocks = comparison_text([("a/net", network(*OLD)), ("b/net", SAME), ("c/net", WIDER)]).split(
        "\n\n"
    )
    assert blocks[0].splitlines()[2].split() == [
        "a/net", "3x8x8", "220", "2,020", "40", "4", "7"
    ]  # fmt: skip
    assert blocks[1] == "b/net costs the same as a/net, layer by layer."
    assert blocks[2].splitlines() == [
        "c/net differs from a/net:",
        "  params 220 -> 230 (+10, +4.55 %)",
        "  MACs 2,020 -> 2,120 (+100, +4.95 %)",
        "layers (- a/net, + c/net):",
        "  - 1 x layer: params 50, MACs 500  among a, b",
        "  + 1 x layer: params 60, MACs 600  a",
    ]


def test_input_sizes_that_differ_are_pointed_out() -> None:
    text = comparison_text([("a/net", network(*OLD)), ("b/net", network(*OLD, side=9))])
    assert "Their input sizes differ: --input-size=N compares all at one." in text


def test_comparison_in_builtin_types() -> None:
    document: Any = comparison_dict([("a/net", network(*OLD)), ("c/net", WIDER)])
    assert document["reference"] == "a/net"
    assert document["implementations"]["c/net"]["params"] == 230
    compared = document["compared"]["c/net"]
    assert compared["differences"] == {"params": 10, "macs": 100}
    assert compared["layers_only_here"] == [
        {"params": 60, "macs": 600, "number": 1, "among": ["a"]}
    ]
    assert compared["layers_only_in_reference"][0]["among"] == ["a", "b"]
