"""Lines of figures over time: what belongs on one, what is one entry, what differs."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from archbench.core.entries import MetricEntry
from archbench.core.headers import RunEnvironment
from archbench.core.history import (
    Cell,
    ChangePoint,
    Entry,
    Observation,
    changes_at,
    exact_change_points,
    moment,
    observations_of,
    series_of,
    versions_of,
)
from archbench.core.records import Record
from archbench.core.rows import Row
from archbench.core.spec import Target

USUAL: dict[str, Any] = {"memory_format": "nchw", "runtime": "eager", "cold_cache": False}
CELL = Cell("timm/a", "v100", dtype="fp32", batch_size=1, threads=1, **USUAL)
TARGET = Target("cuda:0", "V100", "v100", batch_size=4)
WHEN = "2026-01-02T03:04:05+00:00"


def seen(
    day: int,
    value: float,
    commit: str | None = "c",
    *,
    cell: Cell = CELL,
    metric: str = "latency",
    dirty: bool = False,
    versions: dict[str, str] | None = None,
    bounds: tuple[float | None, float | None] = (None, None),
) -> Observation:
    entry = Entry(
        f"2026-01-{day:02d}T00:00:00+00:00", value, (f"run{day}",), commit, dirty, *bounds,
        versions or {},
    )  # fmt: skip
    return Observation(cell, metric, entry)


def values(*observations: Observation, merge: bool = True) -> list[float]:
    (series,) = series_of(observations, merge=merge)
    return series.values


def test_entries_stand_in_the_order_of_time() -> None:
    observations = [seen(1, 1.0, "a"), seen(2, 2.0, "b"), seen(3, 3.0, "c")]
    for order in permutations(observations):
        assert values(*order) == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    "other",
    [
        replace(CELL, device="h100"),
        replace(CELL, dtype="fp16"),
        replace(CELL, batch_size=8),
        replace(CELL, threads=2),
        replace(CELL, id="timm/b"),
        replace(CELL, memory_format="nhwc"),
        replace(CELL, runtime="compiled"),
        replace(CELL, cold_cache=True),
        replace(CELL, largest_batch=True),
    ],
    ids=[
        "device",
        "dtype",
        "batch size",
        "threads",
        "architecture",
        "memory format",
        "runtime",
        "cache",
        "largest batch",
    ],
)
def test_what_is_not_comparable_is_another_line(other: Cell) -> None:
    series = series_of([seen(1, 1.0), seen(2, 9.0, cell=other)])
    assert {one.cell: one.values for one in series} == {CELL: [1.0], other: [9.0]}


def test_metrics_are_lines_of_their_own() -> None:
    series = series_of([seen(1, 1.0), seen(1, 5.0, metric="macs")])
    assert [(one.metric, one.values) for one in series] == [("latency", [1.0]), ("macs", [5.0])]


def test_runs_of_one_commit_are_one_entry() -> None:
    (series,) = series_of(
        [
            seen(1, 1.0, bounds=(0.8, 1.1)),
            seen(2, 4.0),
            seen(3, 3.0, bounds=(2.5, 5.0)),
            seen(4, 7.0, "d"),
        ]
    )
    first, second = series.entries
    assert first.value == 3.0  # the median of 1, 4, 3
    assert (first.low, first.high) == (0.8, 5.0)
    assert first.sources == ("run1", "run2", "run3")
    assert first.when == "2026-01-01T00:00:00+00:00"
    assert second.value == 7.0
    assert values(seen(1, 1.0), seen(2, 4.0), merge=False) == [1.0, 4.0]


def test_a_commit_that_comes_back_later_is_another_entry() -> None:
    assert values(seen(1, 1.0, "a"), seen(2, 2.0, "b"), seen(3, 3.0, "a")) == [1.0, 2.0, 3.0]


def test_runs_whose_commit_says_too_little_stay_apart() -> None:
    assert values(seen(1, 1.0, dirty=True), seen(2, 2.0)) == [1.0, 2.0]
    assert values(seen(1, 1.0), seen(2, 2.0, dirty=True)) == [1.0, 2.0]
    assert values(seen(1, 1.0, None), seen(2, 2.0, None)) == [1.0, 2.0]


def test_a_count_that_differs_within_a_commit_stays_apart() -> None:
    assert values(seen(1, 5, metric="macs"), seen(2, 5, metric="macs")) == [5]
    assert values(seen(1, 5, metric="macs"), seen(2, 6, metric="macs")) == [5, 6]


def test_another_version_is_an_event_and_no_other_line() -> None:
    old, new = {"torch": "2.5.1", "Python": "3.11.7"}, {"torch": "2.6.0", "Python": "3.11.7"}
    (series,) = series_of(
        [
            seen(1, 1.0, versions=old),
            seen(2, 2.0, versions=new),
            seen(3, 3.0, versions={"Python": "3.11.7"}),  # does not say which torch
            seen(4, 4.0, "d", versions=old),
        ]
    )
    assert [entry.events for entry in series.entries] == [
        (),
        ("torch 2.5.1 -> 2.6.0",),
        ("torch 2.6.0 -> 2.5.1",),
    ]
    assert series.values == [1.0, 2.5, 4.0]


def test_what_two_files_hold_of_one_run_counts_once() -> None:
    journal = seen(1, 1.25, versions={"torch": "2.5.1", "Python": "3.11.7"})
    benchmark = seen(1, 1.25, versions={"Python": "3.11.7"})
    assert values(journal, benchmark, merge=False) == [1.25]
    assert values(
        seen(1, 7, metric="macs", versions={"torch": "2"}), seen(1, 7, metric="macs"), merge=False
    ) == [7]
    # Two runs of a coarse clock may well agree.
    assert values(benchmark, benchmark, merge=False) == [1.25, 1.25]


def test_figures_of_a_record_find_their_lines() -> None:
    record = Record(
        "timm/a",
        TARGET,
        {
            "macs": {"value": 7, "unit": "1", "source": "counted"},
            "latency": {"samples": [0.5, 0.1, 0.2, 0.3, 0.4, 0.6], "unit": "s"},
            "layers": {"value": []},
        },
    )
    environment: RunEnvironment = {"git": {"commit": "c", "dirty": True}, "python": "3.11.7"}
    environment["cpu"] = "X"
    found = {one.metric: one for one in observations_of(record, "r", WHEN, environment=environment)}
    assert found["macs"].cell == Cell("timm/a")  # of no device
    assert found["macs"].entry.value == 7
    assert found["latency"].cell == replace(CELL, batch_size=4)
    entry = found["latency"].entry
    assert entry.value == pytest.approx(0.35)
    assert (entry.low, entry.high) == (0.1, 0.6)  # 6 samples: the whole range
    assert (entry.commit, entry.dirty, entry.when) == ("c", True, WHEN)
    assert dict(entry.versions) == {"Python": "3.11.7", "CPU": "X"}
    # A count is the same on each processor.
    assert dict(found["macs"].entry.versions) == {"Python": "3.11.7"}
    assert found["throughput"].entry.value == pytest.approx(4 / 0.35)
    assert "latency_p95" not in found  # needs 130 samples
    only = observations_of(record, "r", WHEN, environment={}, metrics=["macs"])
    assert [one.metric for one in only] == ["macs"]


def test_how_a_cell_is_run_is_part_of_its_line() -> None:
    target = replace(TARGET, memory_format="nhwc", runtime="compiled", cold_cache=True)
    metrics: dict[str, MetricEntry] = {"device_time": {"samples": [0.5], "unit": "s"}}
    (found,) = observations_of(Record("timm/a", target, metrics), "r", WHEN, environment={})
    compiled: dict[str, Any] = {"memory_format": "nhwc", "runtime": "compiled", "cold_cache": True}
    assert found.cell == replace(CELL, batch_size=4, **compiled)
    assert found.cell.title == "timm/a v100 fp32 batch 4 nhwc compiled cold cache"
    assert (found.metric, found.entry.value) == ("device_time", 0.5)


def test_the_largest_batch_is_one_line_whatever_its_size() -> None:
    def found(size: int, day: int) -> Observation:
        target = replace(TARGET, batch_size=size, largest_batch=True)
        record = Record("timm/a", target, {"latency": {"samples": [size / 1000], "unit": "s"}})
        when = f"2026-01-{day:02d}T00:00:00+00:00"
        return observations_of(record, f"r{day}", when, environment={}, metrics=["latency"])[0]

    (series,) = series_of([found(37, 1), found(40, 2)])
    assert series.cell.target == "v100 fp32 batch max"
    assert [(entry.value, entry.events) for entry in series.entries] == [
        (0.037, ()), (0.04, ("batch size 37 -> 40",))
    ]  # fmt: skip


def test_a_row_stands_on_the_line_of_its_cell() -> None:
    target = replace(TARGET, runtime="compiled", largest_batch=True)
    row = Row(
        "timm/a", "a", "timm", "A", "v100", dtype="fp32", batch_size=4, threads=1,
        **{**USUAL, "runtime": "compiled"}, largest_batch=True,
    )  # fmt: skip
    assert Cell.of_row(row) == Cell.of("timm/a", "v100", target)


def test_versions_name_the_library_of_the_architecture() -> None:
    environment: RunEnvironment = {
        "archbench": "0.1.0",
        "python": "3.11.7",
        "cpu": "AMD EPYC",
        "packages": {"torch": "2.5.1", "timm": "1.0.31", "torchvision": "0.20.1"},
    }
    common = {"torch": "2.5.1", "Python": "3.11.7", "CPU": "AMD EPYC"}
    assert versions_of(environment, "timm/a") == {**common, "timm": "1.0.31"}
    assert versions_of(environment, "archbench/a") == {**common, "archbench": "0.1.0"}
    assert versions_of(environment, "local/a") == common
    assert versions_of({}, "timm/a") == {}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_no_entry(value: float) -> None:
    with pytest.raises(ValueError, match="is not a figure"):
        Entry(WHEN, value, ("r",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02", "2026-01-02T00:00:00+00:00"),
        ("2026-01-02T03:04:05Z", WHEN),
        ("2026-01-02T04:04:05.678901+01:00", WHEN),
        ("20260102T030405Z-4711", WHEN),
    ],
)
def test_moments(text: str, expected: str) -> None:
    assert moment(text) == expected


def test_what_is_no_moment() -> None:
    with pytest.raises(ValueError, match="yesterday"):
        moment("yesterday")


def test_every_difference_of_counts_is_a_change_point() -> None:
    assert exact_change_points([5, 5, 6, 6, 5]) == [2, 4]
    assert exact_change_points([5]) == []


def test_levels_are_medians_between_change_points() -> None:
    first, second = changes_at([1.0, 3.0, 2.0, 4.0, 4.0, 9.0, 8.0], [3, 5])
    assert first == ChangePoint(3, 2.0, 4.0)
    assert first.relative == 1.0
    assert second == ChangePoint(5, 4.0, 8.5)
    assert ChangePoint(1, 0.0, 3.0).relative is None
