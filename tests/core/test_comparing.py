"""Two sides side by side."""

from __future__ import annotations

import math

import pytest

from archbench.core.comparing import compare
from archbench.core.points import Figure, Point


def cell(
    name: str, latency: float | None, *, device: str = "cpu", dtype: str = "fp32",
    batch_size: int = 1, kind: str = "published",
) -> Point:  # fmt: skip
    figures = {} if latency is None else {"latency": Figure(latency, kind, "run")}
    return Point(
        id=f"timm/{name}", name=name, library="timm", family="Other", device=device, dtype=dtype,
        batch_size=batch_size, threads=1, figures=figures,
    )  # fmt: skip


def test_sorted_by_change() -> None:
    left = [cell("a", 1.0), cell("b", 1.0), cell("c", 1.0), cell("gone", 1.0), cell("bare", None)]
    right = [cell("c", 0.5), cell("b", 2.0), cell("a", 1.0), cell("new", 1.0)]
    found = compare(left, right, "latency")
    assert [(c.left.name, c.relative, c.is_better) for c in found.changes] == [
        ("b", 1.0, False),
        ("a", 0.0, False),
        ("c", -0.5, True),
    ]
    assert found.shared == ("device", "dtype", "batch_size", "threads")
    assert [p.name for p in found.only_left] == ["gone"]
    assert [p.name for p in found.only_right] == ["new"]
    assert found.mean == pytest.approx(1.0)  # 2 x 1 x 0.5


def test_two_devices_then_two_precisions() -> None:
    one = [cell("a", 1.0), cell("a", 7.0, batch_size=8)]
    other = [cell("a", 3.0, device="gpu"), cell("a", 5.0, device="gpu", dtype="bf16")]
    found = compare(one, other, "latency")
    assert found.shared == ("dtype", "batch_size", "threads")
    assert [c.relative for c in found.changes] == [2.0]
    found = compare(one, other[1:], "latency")
    assert found.shared == ("batch_size", "threads")
    assert [c.relative for c in found.changes] == [4.0]


def test_batch_sizes_are_never_mixed() -> None:
    found = compare([cell("a", 1.0)], [cell("a", 2.0, batch_size=8)], "latency")
    assert found.changes == ()
    assert found.mean is None


def test_accuracies_pair_whatever_was_timed() -> None:
    def top1(value: float, batch_size: int | None) -> Point:
        figures = {"top1": Figure(value, "published", "paper")}
        return Point(
            id="timm/a", name="a", library="timm", family="", batch_size=batch_size, figures=figures
        )

    found = compare([top1(80.0, None)], [top1(60.0, 1)], "top1")
    assert found.shared == ()
    assert [(c.relative, c.is_better) for c in found.changes] == [(-0.25, False)]


def test_a_change_within_the_error() -> None:
    # Measured times are known to 5 % at best: 0.95 to 1.05 against 1.045 to 1.155 touch.
    near = compare(
        [cell("a", 1.0, kind="measured")], [cell("a", 1.1, kind="measured")], "latency"
    ).changes[0]
    assert near.within_error
    far = compare(
        [cell("a", 1.0, kind="measured")], [cell("a", 1.2, kind="measured")], "latency"
    ).changes[0]
    assert not far.within_error
    same = compare(
        [cell("a", 1.0, kind="measured")], [cell("a", 1.0, kind="measured")], "latency"
    ).changes[0]
    assert not same.within_error


def test_the_mean_is_geometric() -> None:
    found = compare([cell("a", 1.0), cell("b", 1.0)], [cell("a", 8.0), cell("b", 2.0)], "latency")
    assert found.mean is not None
    assert math.isclose(found.mean, 4.0)


def test_two_precisions_stay_on_their_device() -> None:
    one = [cell("a", 1.0), cell("a", 2.0, device="gpu")]
    other = [cell("a", 0.5, dtype="bf16"), cell("a", 0.2, device="gpu", dtype="bf16")]
    found = compare(one, other, "latency")
    assert found.shared == ("device", "batch_size", "threads")
    assert [c.relative for c in found.changes] == [-0.5, -0.9]
