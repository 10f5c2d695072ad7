"""The Pareto front with the measuring error in mind, and the bound above all cells."""

from __future__ import annotations

import pytest

from archbench.core.pareto import figure_range, pareto_front, upper_bound
from archbench.core.rows import Row, Value


def cell(
    name: str,
    x: float,
    y: float,
    *,
    kind: str = "published",
    span: float = 0.0,
    metric: str = "throughput",
) -> Row:
    interval = (x - span, x + span) if span else (None, None)
    figures = {metric: Value(x, kind, "run", *interval), "top1": Value(y, "published", "paper")}
    return Row(id=f"timm/{name}", name=name, library="timm", family="Other", values=figures)


def names(points: tuple[Row, ...]) -> list[str]:
    return [point.name for point in points]


def test_exact_figures() -> None:
    cells = [
        cell("best", 10, 80),
        cell("fast", 100, 60),
        cell("between", 50, 70),
        cell("dominated", 40, 65),
        cell("as fast as the best", 10, 79),
        cell("as good as the best", 9, 80),
    ]
    front = pareto_front(cells, "throughput")
    assert names(front.members) == ["best", "between", "fast"]
    assert names(front.dominated) == ["dominated", "as fast as the best", "as good as the best"]
    assert front.undecided == ()


def test_less_is_better_for_a_latency() -> None:
    cells = [
        cell("slow and bad", 2, 60, metric="latency"),
        cell("fast", 1, 70, metric="latency"),
        cell("good", 3, 80, metric="latency"),
    ]
    front = pareto_front(cells, "latency")
    assert names(front.members) == ["fast", "good"]
    assert names(front.dominated) == ["slow and bad"]


def test_a_lead_within_the_measuring_error_does_not_count() -> None:
    # 104 against 100 images/s, both known to 5: nobody can tell which one is faster.
    front = pareto_front(
        [cell("a", 100, 80, span=5), cell("b", 104, 70, span=5), cell("c", 200, 60)], "throughput"
    )
    assert names(front.members) == ["a", "c"]
    assert [(one.name, other.name) for one, other in front.undecided] == [("b", "a")]
    # Known to 1, a distance of 4 is one.
    front = pareto_front([cell("a", 100, 80, span=1), cell("b", 104, 70, span=1)], "throughput")
    assert names(front.members) == ["a", "b"]
    assert front.undecided == ()


def test_a_worse_cell_within_the_error_of_a_better_one_is_dominated() -> None:
    front = pareto_front([cell("a", 104, 80, span=5), cell("b", 100, 70, span=5)], "throughput")
    assert names(front.members) == ["a"]
    assert names(front.dominated) == ["b"]


def test_two_cells_that_are_alike_are_undecided() -> None:
    front = pareto_front([cell("a", 10, 70), cell("b", 10, 70)], "throughput")
    assert front.members == ()
    assert [(one.name, other.name) for one, other in front.undecided] == [("a", "b"), ("b", "a")]


def test_a_measured_time_is_known_to_5_percent_at_best() -> None:
    exact = Value(100.0, "published", "paper")
    assert figure_range("throughput", exact) == (100.0, 100.0, 100.0)
    narrow = Value(100.0, "measured", "run", 99.9, 100.1)
    assert figure_range("throughput", narrow) == (95.0, 100.0, 105.0)
    wide = Value(100.0, "measured", "run", 90.0, 120.0)
    assert figure_range("throughput", wide) == (90.0, 100.0, 120.0)
    assert figure_range("params", Value(7, "measured", "run")) == (7, 7, 7)


def test_cells_without_a_figure_are_apart() -> None:
    bare = Row(id="local/x", name="x", library="local", family="Other")
    front = pareto_front([bare, cell("a", 1, 70)], "throughput")
    assert names(front.without) == ["x"]
    assert names(front.members) == ["a"]


def test_one_architecture_only() -> None:
    assert names(pareto_front([cell("a", 1, 70)], "throughput").members) == ["a"]
    assert upper_bound([cell("a", 1, 70)]) is None
    assert upper_bound([cell("a", 1, 70), cell("b", 1, 80)]) is None
    assert upper_bound([]) is None


def test_the_bound_is_the_edge_of_the_hull_over_the_mean() -> None:
    # Hull: (0, 10), (4, 8), (8, 0); the mean of x is 3, so the first edge: y = 10 - x / 2.
    cells = [cell("a", 0, 10), cell("b", 4, 8), cell("c", 8, 0), cell("d", 0, 1)]
    line = upper_bound(cells)
    assert line is not None
    assert (line.intercept, line.slope) == (10, -0.5)
    assert line.at(6) == 7
    # Three more at 8 move the mean to 5.1, under the second edge: y = 16 - 2 x.
    line = upper_bound([*cells, *(cell(str(n), 8, -1 - n) for n in range(3))])
    assert line is not None
    assert (line.intercept, line.slope) == (16, -2)


@pytest.mark.parametrize("count", [3, 30])
def test_nothing_lies_above_the_bound(count: int) -> None:
    cells = [cell(str(i), (i * 37) % 101, (i * 53) % 97) for i in range(count)]
    line = upper_bound(cells)
    assert line is not None
    heights = [line.at(p.values["throughput"].value) - p.values["top1"].value for p in cells]
    assert min(heights) == pytest.approx(0, abs=1e-9)
