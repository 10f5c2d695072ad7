"""Choosing within limits, on cells whose answer is plain to see."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from archbench.core.choosing import (
    Limit,
    best_by_limits,
    best_within_limits,
    borrow_memory,
    limit_options,
    parse_limit,
)
from archbench.core.errors import UsageError
from archbench.core.rows import Row, Value
from archbench.metrics import METRICS
from archbench.report.choosing import (
    limit_tables_csv,
    limit_tables_json,
    limit_tables_text,
    table_remarks,
)


def cell(
    name: str,
    device: str = "cpu",
    batch_size: int = 1,
    runtime: str | None = None,
    **values: float | Value,
) -> Row:
    figures = {
        metric: value if isinstance(value, Value) else Value(value, "measured", "run")
        for metric, value in values.items()
    }
    return Row(
        id=f"timm/{name}",
        name=name,
        library="timm",
        family="Other",
        device=device,
        batch_size=batch_size,
        runtime=runtime,
        run="run",
        values=figures,
    )


def names(rows: tuple[Row, ...]) -> list[str]:
    return [row.name for row in rows]


def test_the_best_by_top1_within_all_limits() -> None:
    cells = [
        cell("slow", top1=90, latency=0.020, params=4e6),
        cell("big", top1=85, latency=0.005, params=6e6),
        cell("second", top1=70, latency=0.004, params=4e6),
        cell("first", top1=80, latency=0.010, params=5e6),  # both limits met to the digit
    ]
    limits = [parse_limit("max-latency", "10ms"), parse_limit("max-params", "5M")]
    choice = best_within_limits(cells, limits)
    assert names(choice.best) == ["first", "second"]
    assert (choice.within, choice.considered) == (2, 4)
    assert choice.outside == {"max-latency": 1, "max-params": 1}
    assert choice.without == {}
    assert names(best_within_limits(cells, limits, count=1).best) == ["first"]
    assert best_within_limits(cells, limits, count=1).within == 2


def test_a_least_value() -> None:
    cells = [cell("a", top1=75, throughput=30), cell("b", top1=74.99, throughput=29.9)]
    assert names(best_within_limits(cells, [parse_limit("min-top1", "75")]).best) == ["a"]
    assert names(
        best_within_limits(cells, [parse_limit("min-throughput", "30 images/s")]).best
    ) == ["a"]


def test_what_is_not_known_is_not_within_a_limit() -> None:
    cells = [cell("unknown", top1=90), cell("known", top1=70, peak_memory=1e9), cell("bare")]
    choice = best_within_limits(cells, [parse_limit("max-memory", "1 GB")])
    assert names(choice.best) == ["known"]
    assert choice.without == {
        "top1": ("bare cpu batch 1",),
        "peak_memory": ("unknown cpu batch 1", "bare cpu batch 1"),
    }
    assert choice.outside == {}


def test_one_cell_for_an_architecture_the_fastest() -> None:
    cells = [
        cell("a", batch_size=1, top1=80, throughput=10),
        cell("a", batch_size=8, top1=80, throughput=40),
        cell("b", top1=80, throughput=20),
    ]
    choice = best_within_limits(cells, [])
    assert [(row.name, row.batch_size) for row in choice.best] == [("a", 8), ("b", 1)]
    assert choice.within == 2


def test_a_limit_inside_the_measuring_error_is_said() -> None:
    def latency(low: float, high: float) -> Value:
        return Value(0.009, "measured", "run", low, high)

    cells = [
        cell("sure", top1=80, latency=latency(0.0085, 0.0095)),
        cell("unsure", top1=70, latency=latency(0.0085, 0.0101)),
    ]
    assert best_within_limits(cells, [parse_limit("max-latency", "10ms")]).doubtful == {
        1: ("max-latency",)
    }


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max-latency", "10ms", 0.010),
        ("max-latency", "250 us", 0.00025),
        ("max-memory", "1GB", 1e9),
        ("max-memory", "512MiB", 512 * 2**20),
        ("max-params", "5M", 5e6),
        ("max-macs", "4G", 4e9),
        ("min-top1", "75", 75),
        ("min-top1", "75.5 %", 75.5),
        ("min-throughput", "60", 60),
        ("max-energy", "50mJ", 0.05),
    ],
)
def test_limits_in_their_units(name: str, text: str, value: float) -> None:
    assert parse_limit(name, text).value == value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "max-latency",
            "10 min",
            "--max-latency=10 min: 'min' is no unit of a time. "
            "Write a time as '10 ms'; units are s, ms, us",
        ),
        (
            "max-latency",
            "10",
            "--max-latency=10: its unit is missing. Write a time as '10 ms'; units are s, ms, us",
        ),
        (
            "max-memory",
            "1GX",
            "--max-memory=1GX: 'GX' is no unit of a size. "
            "Write a size as '20 MB'; units are B, kB, MB, GB, KiB, MiB, GiB",
        ),
        (
            "min-top1",
            "lots",
            "--min-top1=lots: a percentage is expected: digits, and a unit behind them. "
            "Write a percentage as '75 %'; units are %",
        ),
    ],
)
def test_limits_in_unknown_units_are_refused(name: str, text: str, message: str) -> None:
    with pytest.raises(UsageError) as refusal:
        parse_limit(name, text)
    assert str(refusal.value) == message


def test_every_limit_is_about_a_metric() -> None:
    assert {metric.name for metric in limit_options().values()} <= METRICS.keys()
    assert Limit("min-top1", 75.0, "75").holds(75.0)
    assert not Limit("max-params", 5.0, "5").holds(6.0)


def test_a_table_for_each_device_at_batch_1() -> None:
    cells = [
        cell("light", top1=60, peak_memory=0.5e9, throughput=100),
        cell("heavy", top1=80, peak_memory=1.2e9, throughput=20),
        cell("heavy", batch_size=8, top1=80, peak_memory=0.5e9, throughput=200),
        cell("light", device="gpu", top1=60, peak_memory=0.5e9, throughput=10),
    ]
    cpu, gpu = best_by_limits(cells, memory_limits=(1e9, 1.4e9), frame_rates=(15, 60))
    assert (cpu.device, gpu.device) == ("cpu", "gpu")
    assert {pair: names(choice.best) for pair, choice in cpu.cells.items()} == {
        (1e9, 15): ["light"],
        (1e9, 60): ["light"],
        (1.4e9, 15): ["heavy", "light"],
        (1.4e9, 60): ["light"],
    }
    assert all(not choice.best for choice in gpu.cells.values())


def test_a_table_for_each_way_of_running() -> None:
    cells = [
        cell("a", runtime="eager", top1=60, peak_memory=0.5e9, throughput=20),
        cell("a", runtime="compiled", top1=60, peak_memory=0.5e9, throughput=90),
    ]
    eager, compiled = best_by_limits(cells, memory_limits=(1e9,), frame_rates=(60,))
    assert (eager.unusual, compiled.unusual) == ("", "compiled")
    assert not eager.cells[1e9, 60].best
    assert names(compiled.cells[1e9, 60].best) == ["a"]
    assert limit_tables_text([eager, compiled], "text").count("batch 1, compiled") == 1
    rows = list(csv.DictReader(io.StringIO(limit_tables_csv([eager, compiled]))))
    assert [(row["runtime"], row["name"]) for row in rows] == [("compiled", "a")]
    document = json.loads(limit_tables_json([eager, compiled], []))
    assert [table["runtime"] for table in document["tables"]] == ["eager", "compiled"]
    assert table_remarks(best_by_limits([cell("b", runtime="compiled", top1=60)])) == [
        "cpu compiled: left out, no images/s: 1 (b cpu batch 1 compiled).",
        "cpu compiled: left out, no peak memory MB: 1 (b cpu batch 1 compiled).",
    ]


def test_memory_of_another_way_of_running_does_not_stand_in() -> None:
    cells = [
        cell("a", device="x", runtime="compiled", peak_memory=5.0),
        cell("a", device="y", runtime="eager"),
    ]
    assert borrow_memory(cells, "x") == (cells, {})


def test_memory_of_another_device_stands_in_and_says_so() -> None:
    cells = [
        cell("a", device="x", peak_memory=5.0),
        cell("a", device="y"),
        cell("b", device="x"),
        cell("c", device="y"),
    ]
    assert borrow_memory(cells) == (cells, {})  # measured, and not asked for
    published = replace(cells[0], values={"peak_memory": Value(5.0, "published", "run")})
    assert borrow_memory([published, *cells[1:]])[1] == {"y": "x"}
    found, lent = borrow_memory(cells, "x")
    assert [row.value("peak_memory") for row in found] == [5.0, 5.0, None, None]
    assert found[1].values["peak_memory"].source == "run, on x"
    assert lent == {"y": "x"}


def test_a_device_with_memory_of_its_own_borrows_none() -> None:
    cells = [
        cell("a", device="x", peak_memory=5.0),
        cell("a", device="y"),
        cell("b", device="y", peak_memory=7.0),
    ]
    found, lent = borrow_memory(cells, "x")
    assert found == cells
    assert lent == {}
