"""Absolute limits against figures, as tables."""

from __future__ import annotations

from typing import Any

import pytest

from archbench.core.budgets import (
    REASONS,
    Budget,
    BudgetLimit,
    budgetable,
    judge_budget,
    parse_budget_limit,
    unjudged,
)
from archbench.core.errors import UsageError
from archbench.core.records import Record
from archbench.core.selectors import Selector
from archbench.core.spec import Target
from archbench.core.units import Quantity
from archbench.core.verdicts import Note


def counted(id: str = "timm/a", **counts: int) -> Record:
    number = {"unit": "1", "source": "counted"}
    metrics: dict[str, Any] = {
        name: {"value": value, **number}
        for name, value in {"params": 4_100_000, "macs": 400_000_000, **counts}.items()
    }
    metrics["param_bytes"] = {"by_dtype": {"fp32": 16_400_000, "fp16": 8_200_000}, "unit": "B"}
    return Record(id, None, metrics)


def timed(
    *samples: float, id: str = "timm/a", dtype: str = "fp32", batch_size: int = 1, threads: int = 1
) -> Record:
    target = Target(
        "cpu", "AMD EPYC", "cpu-amd-epyc", dtype=dtype, batch_size=batch_size, threads=threads
    )
    return Record(id, target, {"latency": {"samples": list(samples), "unit": "s"}})


# 100 of 10 ms, 30 of 20 ms: p50 10 ms; p90 and p95 lie among the slow ones, p99 needs 662.
MANY = timed(*[0.010] * 100, *[0.020] * 30)

HEAVY = Record("timm/a", MANY.target, {"peak_memory": {"value": 1_500_000_000, "unit": "B"}})
WITHOUT_COUNTER = Record(
    "timm/a", MANY.target, {"energy_per_image": {"absent": "no counter", "unit": "J"}}
)


def budget(limit: str, selector: Selector | None = None, **cells: int) -> Budget:
    return Budget(
        parse_budget_limit(limit), selector or Selector(), place="p.toml, budget 1", **cells
    )


@pytest.mark.parametrize(
    ("text", "figure", "value"),
    [
        ("latency_p95 <= 10 ms", "latency_p95", 0.010),
        ("latency_p95<=10ms", "latency_p95", 0.010),
        ("params <= 5 M", "params", 5e6),
        ("macs <= 4 G", "macs", 4e9),
        ("throughput >= 100 images/s", "throughput", 100),
        ("param_bytes <= 20 MB", "param_bytes", 20e6),
        ("peak_memory <= 1 GB", "peak_memory", 1e9),
        ("energy_per_image <= 50 mJ", "energy_per_image", 0.05),
        ("top1 >= 75 %", "top1", 75),
        ("buffers <= 0", "buffers", 0),
        ("operator_calls <= 200", "operator_calls", 200),
    ],
)
def test_parsed(text: str, figure: str, value: float) -> None:
    limit = parse_budget_limit(text)
    assert (limit.name, limit.bound.value) == (figure, value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("latency_p95<=10ms", "latency_p95 <= 10 ms"),
        ("params <= 4.1 M", "params <= 4.1 M"),
        ("params <= 25_557_032", "params <= 25557032"),
        ("throughput>=100 images/s", "throughput >= 100 images/s"),
        ("buffers <= 0", "buffers <= 0"),
        ("latency_p50 <= 0.3 us", "latency_p50 <= 0.3 us"),
    ],
)
def test_limit_as_text(text: str, shown: str) -> None:
    assert str(parse_budget_limit(text)) == shown


NAMES = ", ".join(budgetable())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "10 ms",
            "'10 ms': a figure, a sign and a quantity are expected. Write 'latency_p95 <= 10 ms'",
        ),
        (
            "latency <= 10 ms",
            "'latency <= 10 ms': a latency has several quantiles. "
            "Write latency_p50, _p90, _p95 or _p99",
        ),
        (
            "latncy_p95 <= 10 ms",
            "'latncy_p95 <= 10 ms': there is no figure 'latncy_p95'. "
            f"Write 'latency_p95'; figures are {NAMES}",
        ),
        (
            "latency_p95 >= 10 ms",
            "'latency_p95 >= 10 ms': '>=' is not how latency_p95 is limited: less is better. "
            "Write 'latency_p95 <= 10 ms'",
        ),
        (
            "throughput <= 100 images/s",
            "'throughput <= 100 images/s': '<=' is not how throughput is limited: "
            "more is better. Write 'throughput >= 100 images/s'",
        ),
        (
            "params < 5 M",
            "'params < 5 M': '<' is not how params is limited: less is better. "
            "Write 'params <= 5 M'",
        ),
        (
            "params ≤ 5 M",
            "'params ≤ 5 M': '≤' is not how params is limited: less is better. "
            "Write 'params <= 5 M'",
        ),
        (
            "params <= 5 MB",
            "'params <= 5 MB': 'MB' is no unit of a number. "
            "Write a number as '5 M'; units are K, M, G",
        ),
        (
            "latency_p95 <= ",
            "'latency_p95 <= ': a time is expected: digits, and a unit behind them. "
            "Write a time as '10 ms'; units are s, ms, us",
        ),
    ],
)
def test_refused_limits(text: str, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_budget_limit(text)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("limit", "record", "status", "reason", "value", "sentence"),
    [
        (
            "params <= 5 M", counted(), "unchanged", "within-budget", 4_100_000,
            "params is 4,100,000, within its budget params <= 5 M (p.toml, budget 1)",
        ),
        (  # the limit itself is kept
            "params <= 4.1 M", counted(), "unchanged", "within-budget", 4_100_000,
            "params is 4,100,000, within its budget params <= 4.1 M (p.toml, budget 1)",
        ),
        (
            "params <= 4 M", counted(), "regressed", "over-budget", 4_100_000,
            "params is 4,100,000, 2.5 % over its budget params <= 4 M (p.toml, budget 1)",
        ),
        (
            "macs <= 0", counted(), "regressed", "over-budget", 400_000_000,
            "macs is 400,000,000, over its budget macs <= 0 (p.toml, budget 1)",
        ),
        (
            "latency_p50 <= 10 ms", MANY, "unchanged", "within-budget", 0.010,
            "latency_p50 is 10 ms, within its budget latency_p50 <= 10 ms (p.toml, budget 1)",
        ),
        (
            "latency_p95 <= 10 ms", MANY, "regressed", "over-budget", 0.020,
            "latency_p95 is 20 ms, 100 % over its budget latency_p95 <= 10 ms (p.toml, budget 1)",
        ),
        (
            "latency_p50 <= 10 ms", timed(0.01000001), "regressed", "over-budget", 0.01000001,
            "latency_p50 is 10.00001 ms, 0.0001 % over its budget latency_p50 <= 10 ms "
            "(p.toml, budget 1)",
        ),
        (  # four images in 40 ms
            "throughput >= 100 images/s", timed(0.040, batch_size=4),
            "unchanged", "within-budget", 100,
            "throughput is 100 images/s, within its budget throughput >= 100 images/s "
            "(p.toml, budget 1)",
        ),
        (
            "throughput >= 125 images/s", timed(0.040, batch_size=4),
            "regressed", "over-budget", 100,
            "throughput is 100 images/s, 20 % short of its budget throughput >= 125 images/s "
            "(p.toml, budget 1)",
        ),
        (
            "latency_p99 <= 10 ms", MANY, "not-measured", "too-few-samples", None,
            "latency_p99 <= 10 ms (p.toml, budget 1) cannot be judged: "
            "p99 needs 662 samples, the time budget allowed 130",
        ),
        (
            "latency_p95 <= 10 ms", counted(), "not-measured", "figure-missing", None,
            "latency_p95 <= 10 ms (p.toml, budget 1) cannot be judged: latency was not measured",
        ),
        (
            "latency_p95 <= 10 ms", timed(), "not-measured", "figure-missing", None,
            "latency_p95 <= 10 ms (p.toml, budget 1) cannot be judged: latency has no samples",
        ),
        (
            "params <= 5 M", MANY, "not-measured", "figure-missing", None,
            "params <= 5 M (p.toml, budget 1) cannot be judged: params was not counted",
        ),
        *(
            (
                limit, MANY, "not-measured", "figure-missing", None,
                f"{limit} (p.toml, budget 1) cannot be judged: "
                f"{limit.split()[0]} was not measured",
            )
            for limit in ("peak_memory <= 1 GB", "energy_per_image <= 2 J")
        ),
        (
            "energy_per_image <= 2 J", WITHOUT_COUNTER, "not-measured", "figure-missing", None,
            "energy_per_image <= 2 J (p.toml, budget 1) cannot be judged: no counter",
        ),
        (
            "peak_memory <= 1 GB", HEAVY, "regressed", "over-budget", 1.5e9,
            "peak_memory is 1.5 GB, 50 % over its budget peak_memory <= 1 GB (p.toml, budget 1)",
        ),
        (
            "top5 >= 90 %", MANY, "not-measured", "figure-missing", None,
            "top5 >= 90 % (p.toml, budget 1) cannot be judged: top5 was not measured",
        ),
    ],
)  # fmt: skip
def test_verdicts(
    limit: str, record: Record, status: str, reason: str, value: float | None, sentence: str
) -> None:
    verdict = judge_budget(budget(limit), record)
    assert (verdict.metric, verdict.status, verdict.reason) == (limit.split()[0], status, reason)
    assert verdict.value == (value if value is None else pytest.approx(value, rel=1e-12))
    assert verdict.sentence == sentence
    assert reason in REASONS


def test_bytes_of_parameters_are_those_of_the_precision() -> None:
    limit = budget("param_bytes <= 10 MB")
    assert judge_budget(limit, counted(), "fp32").sentence == (
        "param_bytes in fp32 is 16.4 MB, 64 % over its budget param_bytes <= 10 MB "
        "(p.toml, budget 1)"
    )
    assert judge_budget(limit, counted(), "fp16").reason == "within-budget"
    merged = timed(0.1, dtype="fp16")
    merged.metrics |= counted().metrics
    assert judge_budget(limit, merged).value == 8_200_000
    assert judge_budget(limit, counted()).reason == "figure-missing"


def test_a_figure_that_comes_to_be_measured_is_judged() -> None:
    record = timed(0.1)
    record.metrics["peak_memory"] = {"value": 2_000_000_000, "unit": "B"}
    assert judge_budget(budget("peak_memory <= 1 GB"), record).reason == "over-budget"


def test_doubts_about_the_samples_are_reported() -> None:
    record = timed(0.020)
    record.notes.append(Note("noisy", "the median is known to 12 % only"))
    over = judge_budget(budget("latency_p50 <= 10 ms"), record)
    assert over.status == "regressed"
    assert over.sentence.endswith("; in doubt, since the median is known to 12 % only")
    assert "in doubt" not in judge_budget(budget("latency_p50 <= 30 ms"), record).sentence


def test_text_tells_a_value_from_its_bound() -> None:
    limit = BudgetLimit("latency_p50", Quantity(0.1, "s", 1.0))
    assert limit.text(0.1) == "0.1 s"
    assert limit.text(0.10004) == "0.10004 s"
    assert limit.text(0.12345678) == "0.1235 s"


@pytest.mark.parametrize(
    ("selector", "cells", "is_selected"),
    [
        (Selector(), {}, True),
        (Selector("timm/*", "cpu*", "fp16"), {}, True),
        (Selector("local/*"), {}, False),
        (Selector(device="h200"), {}, False),
        (Selector(dtype="fp32"), {}, False),
        (Selector(), {"batch_size": 4}, True),
        (Selector(), {"batch_size": 1}, False),
        (Selector(), {"threads": 2}, True),
        (Selector(), {"threads": 1}, False),
    ],
)
def test_selected_cells(selector: Selector, cells: dict[str, int], is_selected: bool) -> None:
    limit = budget("latency_p50 <= 10 ms", selector, **cells)
    record = timed(0.1, dtype="fp16", batch_size=4, threads=2)
    assert limit.selects(record) is is_selected


def test_without_a_target_the_architecture_decides() -> None:
    limit = budget("latency_p50 <= 1 s", Selector("timm/*", "h200", "fp16"), batch_size=8)
    assert limit.selects(counted("timm/a"))
    assert not limit.selects(counted("local/a"))
    sized = budget("param_bytes <= 1 MB", Selector(dtype="fp16"))
    assert sized.selects(counted(), "fp16")
    assert not sized.selects(counted(), "fp32")


@pytest.mark.parametrize(
    ("selector", "cells", "key"),
    [
        (Selector(device="cpu*"), {}, "device"),
        (Selector(dtype="fp16"), {}, "dtype"),
        (Selector(), {"batch_size": 4}, "batch_size"),
        (Selector(), {"threads": 4}, "threads"),
    ],
)
def test_a_count_cannot_depend_on_the_device(
    selector: Selector, cells: dict[str, int], key: str
) -> None:
    with pytest.raises(UsageError) as refused:
        budget("params <= 5 M", selector, **cells)
    assert str(refused.value) == (
        f"{key} with 'params <= 5 M': params is counted, and the same whatever the {key}. "
        f"Leave {key} out"
    )


def test_budgets_that_nothing_measured() -> None:
    small, fast, other = (
        budget("params <= 5 M"),
        budget("latency_p95 <= 1 s"),
        budget("latency_p95 <= 1 s", Selector("local/*")),
    )
    memory = budget("peak_memory <= 1 GB")
    every = [small, fast, other, memory]
    only_counted, only_timed, both = counted(), timed(0.1), timed(0.1, id="timm/b")
    both.metrics |= counted().metrics
    assert unjudged(every, [both]) == [(memory, 1)]
    assert unjudged(every, [only_timed, both]) == [(small, 1), (memory, 2)]
    assert unjudged(every, [only_counted]) == [(fast, 1), (memory, 1)]
    # Judged and found not to be measured: the test has failed already.
    both.verdicts.append(judge_budget(memory, both))
    assert unjudged(every, [both]) == []


def test_an_accuracy_is_of_every_batch_size() -> None:
    where = Target("cpu", "any", "cpu").batchless
    record = Record("timm/a", where, {"top1": {"value": 74.0, "unit": "%", "source": "measured"}})
    small = Budget(parse_budget_limit("top1 >= 75 %"), batch_size=1, threads=2)
    assert small.selects(record)
    assert (
        judge_budget(small, record).sentence
        == "top1 is 74 %, 1.33 % short of its budget top1 >= 75 %"
    )
