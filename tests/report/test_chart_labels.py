"""Names of points: how they are shortened, told apart and moved apart."""

from __future__ import annotations

import pytest

from archbench.core.rows import Row
from archbench.report.charts.labels import point_labels, shown_name, spread


def point(name: str, device: str = "", batch_size: int | None = None, run: str = "") -> Row:
    return Row(f"timm/{name}", name, "timm", "A", device, batch_size=batch_size, run=run)


@pytest.mark.parametrize(
    ("heights", "gap", "placed"),
    [
        ([], 1, []),
        ([5], 1, [5]),
        ([1, 5, 9], 2, [1, 5, 9]),
        ([5, 5], 2, [4, 6]),
        ([5, 5.5, 9], 1, [4.75, 5.75, 9]),
        ([9.5, 10], 2, [8, 10]),
        ([0, 0.5], 2, [0, 2]),
        ([5, 4], 2, [5.5, 3.5]),
        # Not room enough for gaps of 8 between 0 and 10.
        ([1, 2, 3], 8, [0, 5, 10]),
    ],
)
def test_moved_apart(heights: list[float], gap: float, placed: list[float]) -> None:
    assert spread(heights, gap, 0, 10) == pytest.approx(placed)


def test_names_are_distinguished_by_the_first_thing_that_differs() -> None:
    by_device = [point("a", device=device, batch_size=1) for device in ("v100", "t4")]
    assert point_labels(by_device) == ["a (v100 batch 1)", "a (t4 batch 1)"]
    by_run = [point("a", run=run) for run in ("r1", "r2")]
    assert point_labels(by_run) == ["a (r1)", "a (r2)"]
    assert point_labels([point("a"), point("b")]) == ["a", "b"]
    assert point_labels([point("a"), point("a")]) == ["a", "a"]


def test_shown_names() -> None:
    assert shown_name("  a\tb\r\n") == "a b"
    assert shown_name("\x07") == "(no name)"
    assert len(shown_name("n" * 41)) == 40
    assert shown_name("n" * 40) == "n" * 40
