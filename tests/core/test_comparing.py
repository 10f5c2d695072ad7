"""Two sides side by side."""

from __future__ import annotations

import math
from typing import Any

import pytest

from archbench.core.comparing import compare
from archbench.core.rows import Row, Value


def cell(
    name: str, latency: float | None, *, device: str = "cpu", dtype: str = "fp32",
    batch_size: int = 1, kind: str = "published", metric: str = "latency", **fields: Any,
) -> Row:  # fmt: skip
    figures = {} if latency is None else {metric: Value(latency, kind, "run")}
    return Row(
        id=f"timm/{name}", name=name, library="timm", family="Other", device=device, dtype=dtype,
        batch_size=batch_size, threads=1, values=figures, **fields,
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
    def top1(value: float, batch_size: int | None) -> Row:
        figures = {"top1": Value(value, "published", "paper")}
        return Row(
            id="timm/a", name="a", library="timm", family="", batch_size=batch_size, values=figures
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


CONFIGS: list[dict[str, Any]] = [
    {"memory_format": "nchw", "runtime": "eager", "cold_cache": False},
    {"memory_format": "nhwc", "runtime": "compiled", "cold_cache": False},
    {"memory_format": "nchw", "runtime": "eager", "cold_cache": True},
]


def test_cells_that_are_run_differently_are_never_mixed() -> None:
    left = [cell("a", n + 1.0, **config) for n, config in enumerate(CONFIGS)]
    right = [cell("a", 10.0 * (n + 1), **config) for n, config in enumerate(CONFIGS)]
    found = compare(left, right[::-1], "latency")
    pairs = {(c.left.values["latency"].value, c.right.values["latency"].value)
             for c in found.changes}  # fmt: skip
    assert pairs == {(1, 10), (2, 20), (3, 30)}
    assert found.apart == {}
    # On two devices as well.
    elsewhere = [cell("a", 100.0, device="gpu", **CONFIGS[1])]
    (change,) = compare(left, elsewhere, "latency").changes
    assert change.left is left[1]


def test_two_runtimes_are_compared_where_each_side_has_one() -> None:
    eager, compiled = CONFIGS[0], {**CONFIGS[0], "runtime": "compiled"}
    left = [cell("a", 1.0, **eager), cell("a", 4.0, batch_size=8, **eager)]
    right = [cell("a", 0.5, **compiled), cell("a", 1.0, batch_size=8, **compiled)]
    found = compare(left, right, "latency")
    assert [c.relative for c in found.changes] == [-0.5, -0.75]
    assert found.shared == ("device", "dtype", "batch_size", "threads")
    assert found.apart == {"runtime": ("eager", "compiled")}
    # With both on one side only its like pairs.
    found = compare(left, [*right, *left], "latency")
    assert [c.relative for c in found.changes] == [0, 0]
    assert found.apart == {}
    assert list(found.only_right) == right


def test_what_a_publication_does_not_say_is_taken_as_usual() -> None:
    published = [cell("a", 1.0)]
    assert published[0].runtime is None
    found = compare(published, [cell("a", 2.0, **CONFIGS[0])], "latency")
    assert ([c.relative for c in found.changes], found.apart) == ([1.0], {})


def test_the_largest_batch_is_another_cell_than_one_that_was_asked() -> None:
    asked = cell("a", 1.0, batch_size=8)
    largest = cell("a", 2.0, batch_size=8, largest_batch=True)
    found = compare([asked, largest], [largest, asked], "latency")
    assert [c.relative for c in found.changes] == [0, 0]


def test_largest_batches_are_compared_whatever_their_size() -> None:
    def most(size: int, dtype: str) -> Row:
        return cell("a", size, metric="max_batch_size", batch_size=size, dtype=dtype,
                    largest_batch=True)  # fmt: skip

    found = compare([most(8, "fp32"), most(16, "fp16")], [most(32, "fp16")], "max_batch_size")
    assert [(c.relative, c.is_better) for c in found.changes] == [(1.0, True)]
    assert found.shared == ("device", "dtype", "threads")


def test_counts_pair_however_they_were_run() -> None:
    one = cell("a", 5.0, metric="params", **CONFIGS[0])
    other = cell("a", 5.0, metric="params", batch_size=8, **CONFIGS[1])
    found = compare([one], [other], "params")
    assert (len(found.changes), found.apart) == (1, {})


@pytest.mark.parametrize("metric", ["device_time", "reserved_memory", "average_power"])
def test_less_of_what_a_device_takes_is_better(metric: str) -> None:
    found = compare([cell("a", 2.0, metric=metric)], [cell("a", 1.0, metric=metric)], metric)
    assert [c.is_better for c in found.changes] == [True]
    assert not compare(
        [cell("a", 2.0, metric=metric)], [cell("a", 1.0, metric=metric, batch_size=8)], metric
    ).changes
