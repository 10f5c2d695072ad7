"""What is said about counts that changed."""

from __future__ import annotations

from archbench.core.complexity import LayerCost, layer_census
from archbench.core.records import Record
from archbench.core.verdicts import Verdict
from archbench.report.counts import changed_layers, changed_text, count_findings

OLD = [
    LayerCost("stem", "Conv2d", 100, 1000),
    LayerCost("a", "Conv2d", 50, 500),
    LayerCost("b", "Conv2d", 50, 500),
    LayerCost("head", "Linear", 20, 20),
]


def test_census_counts_equal_costs_in_their_order() -> None:
    assert layer_census(OLD) == [
        ["Conv2d", 100, 1000, 1], ["Conv2d", 50, 500, 2], ["Linear", 20, 20, 1]
    ]  # fmt: skip


def test_changed_layers() -> None:
    new = [OLD[0], LayerCost("a", "Conv2d", 52, 500), *OLD[2:], LayerCost("", "Net", 7, 0)]
    gone, came = changed_layers(layer_census(OLD), new)
    assert gone == {("Conv2d", 50, 500): 1}
    assert came == {("Conv2d", 52, 500): 1, ("Net", 7, 0): 1}
    text = changed_text(
        [Verdict("params", "changed", "differs", "params 220 -> 229 (+9, +4.09 %)").as_dict()],
        {"layers": layer_census(OLD)},
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
    assert changed_text([], {"layers": layer_census(OLD)}, new).splitlines()[-1] == (
        "  + 1 x Conv2d: params 50, MACs 500  among a, b, c"
    )


def test_long_lists_are_cut() -> None:
    new = [LayerCost(f"n{i}", "Conv2d", 1000 + i, 0) for i in range(15)]
    lines = changed_text([], {"layers": []}, new).splitlines()
    assert len(lines) == 1 + 12 + 1
    assert lines[-1] == "  + and 3 more kinds of layers"


def cell(name: str, status: str, *, opinion: str = "") -> Record:
    notes = [{"code": "second-opinion", "text": opinion}] if opinion else []
    metric = "params" if status == "changed" else "complexity"
    return Record(name, verdicts=[Verdict(metric, status, "x", "x").as_dict()], notes=notes)


def test_findings() -> None:
    cells = [
        cell("timm/a", "unchanged"),
        cell("timm/b", "no-baseline"),
        cell("timm/c", "unchanged", opinion="ptflops counts +3.1% (bmm +5: reason unknown)"),
    ]
    assert count_findings(cells, accepting=False) == [
        "Counts: 2 unchanged, 1 no-baseline.",
        "  Accept what has no baseline: the same command with --baseline-update=new",
        "Second opinion: 1 of 3 differ by more than 0.5 %.",
        "  timm/c: ptflops counts +3.1% (bmm +5: reason unknown)",
    ]
    assert len(count_findings(cells, accepting=True)) == 3
    assert count_findings([Record("timm/a")], accepting=False) == []
