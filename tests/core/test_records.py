"""How the contributions of several tests become one entry for each cell."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from archbench.core import records
from archbench.core.entries import MetricEntry
from archbench.core.records import Record, derived, merge_records, statistics_of, target_of
from archbench.core.spec import Target
from archbench.core.statistics import Summary, summarize
from archbench.core.verdicts import Note, Verdict


def target(batch_size: int = 1, threads: int = 1) -> Target:
    return Target("cpu", "AMD EPYC", "cpu-amd-epyc", batch_size=batch_size, threads=threads)


def latency(*samples: float) -> dict[str, MetricEntry]:
    return {"latency": {"samples": list(samples), "unit": "s", "source": "measured"}}


COUNTED = Record("timm/a", None, {"params": {"value": 5, "unit": "1", "source": "counted"}})


def test_counts_join_every_cell_of_their_architecture() -> None:
    one = Record("timm/a", target(1), latency(0.1))
    four = Record("timm/a", target(4), latency(0.3))
    merged = merge_records([COUNTED, one, four])
    assert [cell.key for cell in merged] == [
        ("timm/a", "cpu-amd-epyc/fp32-b1"),
        ("timm/a", "cpu-amd-epyc/fp32-b4"),
    ]
    assert all(cell.metrics["params"]["value"] == 5 for cell in merged)
    assert merged[1].metrics["latency"]["samples"] == [0.3]


def test_a_count_alone_is_a_cell() -> None:
    (cell,) = merge_records([COUNTED])
    assert cell.key == ("timm/a", "")
    assert cell.is_measured


def test_order_of_contributions_does_not_matter_to_the_content() -> None:
    timed = Record("timm/a", target(), latency(0.1), notes=[Note("noisy", "x")])
    assert merge_records([COUNTED, timed]) == merge_records([timed, COUNTED])


def test_merging_leaves_the_contributions_as_they_were() -> None:
    timed = Record("timm/a", target(), latency(0.1))
    merge_records([COUNTED, timed])
    merge_records([COUNTED, timed])
    assert "latency" not in COUNTED.metrics
    assert list(timed.metrics) == ["latency"]


def test_threads_are_part_of_the_key() -> None:
    assert Record("timm/a", target(threads=2)).key[1] == "cpu-amd-epyc/fp32-b1-t2"


def test_key_of_a_stored_target_is_the_targets_own() -> None:
    cell = Target("cpu", "AMD EPYC", "cpu-amd-epyc", dtype="bf16", batch_size=8, threads=4)
    assert Record("timm/a", cell).key[1] == cell.key


def test_derived_statistics() -> None:
    cell = Record("timm/a", target(4), latency(0.1, 0.2, 0.3))
    assert statistics_of(cell) == {
        "samples": 3,
        "dispersion": pytest.approx(0.5),  # quartiles 0.15 and 0.25, median 0.2
        "p50": pytest.approx(0.2),
        "throughput": pytest.approx(20),  # four images in 0.2 s
        "absent": {
            "p90": "p90 needs 64 samples, the time budget allowed 3",
            "p95": "p95 needs 130 samples, the time budget allowed 3",
            "p99": "p99 needs 662 samples, the time budget allowed 3",
            "precision": "the median's interval needs 6 samples",
        },
    }
    assert statistics_of(COUNTED) == {}


def test_builtin_types_exactly() -> None:
    # A float subclass in a worker's report makes pytest-xdist drop the report.
    metric: Any = {"a": np.float64(1.5), "b": [np.int64(2), True, None], "c": np.bool_(False)}
    value = Record("timm/a", metrics={"x": metric}).as_dict()["metrics"]["x"]
    assert value == {"a": 1.5, "b": [2, True, None], "c": False}
    assert type(value["a"]) is float
    assert type(value["b"][0]) is int
    assert type(value["b"][1]) is bool
    assert type(value["c"]) is bool
    json.dumps(value, allow_nan=False)


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="got object"):
        Record("timm/a", metrics={"x": {"value": object()}}).as_dict()


def test_record_survives_the_way_through_json() -> None:
    record = Record(
        "timm/a",
        target(),
        latency(0.1),
        [Verdict("latency", "crashed", "ValueError", "it failed")],
        [Note("noisy", "x")],
        {"load": 1.0},
    )
    assert Record.from_dict(json.loads(json.dumps(record.as_dict()))) == record


def test_unknown_status_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'passed'.*unchanged"):
        Verdict("latency", "passed", "", "")


def accuracy(dtype: str = "fp32", status: str = "", reason: str = "") -> Record:
    """What does not depend on a batch size."""
    where = replace(target(), dtype=dtype).batchless
    top1: dict[str, MetricEntry] = {"top1": {"value": 80.0, "unit": "%", "source": "measured"}}
    if status:
        return Record("timm/a", where, verdicts=[Verdict("top1", status, reason, "s")])
    return Record("timm/a", where, top1)


def test_an_accuracy_joins_every_batch_size_of_its_precision() -> None:
    one, four = Record("timm/a", target(1), latency(0.1)), Record("timm/a", target(4), latency(0.3))
    merged = merge_records([COUNTED, accuracy(), one, four, accuracy("bf16")])
    assert [cell.suffix for cell in merged] == ["fp32-b1", "fp32-b4", "bf16-bauto"]
    assert [set(cell.metrics) for cell in merged] == [
        {"params", "top1", "latency"}, {"params", "top1", "latency"}, {"params", "top1"}
    ]  # fmt: skip


def test_an_accuracy_is_of_one_runtime() -> None:
    engine = replace(target(), runtime="openvino")
    through = accuracy()
    through.target = engine.batchless
    assert through.suffix == "fp32-bauto-openvino"
    timed = [Record("timm/a", one, latency(0.1)) for one in (target(), engine)]
    eager, cell = merge_records([*timed, through])
    assert (eager.suffix, set(eager.metrics)) == ("fp32-b1", {"latency"})
    assert (cell.suffix, set(cell.metrics)) == ("fp32-b1-openvino", {"latency", "top1"})


def test_the_largest_batch_is_a_cell_of_its_own() -> None:
    largest = Record("timm/a", replace(target(37), largest_batch=True), latency(0.1))
    assert merge_records([largest])[0].suffix == "fp32-bmax"
    (cell,) = merge_records([largest, accuracy(), largest])
    assert cell.suffix == "fp32-bmax"
    assert set(cell.metrics) == {"top1", "latency"}


def test_threads_are_of_times_only() -> None:
    (cell,) = merge_records([accuracy(), Record("timm/a", target(1, threads=2), latency(0.1))])
    assert cell.suffix == "fp32-b1-t2"
    assert set(cell.metrics) == {"top1", "latency"}


def test_what_nobody_asked_for_hides_nothing() -> None:
    unasked = accuracy(status="not-measured", reason="no-dataset")
    known = Verdict("latency", "unchanged", "within-threshold", "s")
    timed = Record("timm/a", target(), latency(0.1), verdicts=[known])
    (cell,) = merge_records([unasked, timed])
    assert cell.verdicts == [known]
    (alone,) = merge_records([unasked])
    assert [v.status for v in alone.verdicts] == ["not-measured"]


def test_targets_from_before_were_run_as_usual() -> None:
    old = {
        "device": "cuda:0",
        "device_name": "V100",
        "slug": "v100",
        "dtype": "fp16",
        "batch_size": 8,
    }
    target = target_of({**old, "threads": 2})
    assert target.key == "v100/fp16-b8-t2"
    assert (target.memory_format, target.runtime, target.cold_cache) == ("nchw", "eager", False)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"slug": ["x"]}, "Expected `str`, got `array` - at `$.slug`"),
        ({"batch_size": 0}, "its batch_size is 0"),
        ({"threads": True}, "Expected `int`, got `bool` - at `$.threads`"),
        ({"asked": "\x1b[31m"}, "its asked is '\\x1b[31m'"),
    ],
)
def test_targets_that_cannot_be(change: dict[str, object], cause: str) -> None:
    with pytest.raises(ValueError, match=re.escape(cause)):
        target_of({"device": "cpu", "device_name": "X", "slug": "x", **change})


def test_two_budgets_of_one_metric_are_two_verdicts() -> None:
    def verdict(budget: str | None) -> Verdict:
        return Verdict("params", "regressed", "over-budget", "s", budget=budget)

    first = Record("timm/a", verdicts=[verdict("params <= 5 M"), verdict("params <= 9 M")])
    (cell,) = merge_records([first, Record("timm/a", verdicts=[verdict("params <= 5 M")])])
    assert [one.budget for one in cell.verdicts] == ["params <= 9 M", "params <= 5 M"]


def test_a_series_is_summed_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def counted(samples: Sequence[float]) -> Summary:
        seen.append(samples)
        return summarize(samples)

    monkeypatch.setattr(records, "summarize", counted)
    first, second = (Record("timm/a", target(), latency(0.125, 0.25)) for _ in range(2))
    assert derived(first) == derived(second)
    assert len(seen) == 1
    # What one of them makes of it is its own.
    derived(first)["p50"] = 7.0
    assert derived(first)["p50"] == pytest.approx(0.1875)
    first.metrics["latency"]["samples"].append(0.5)
    assert derived(first)["p50"] == pytest.approx(0.25)


def test_an_accuracy_in_int8_is_not_that_of_another_runtime() -> None:
    """torch's int8 network is another one than that of an engine, which quantises by itself."""
    torchs, engines = (
        Record("timm/a", replace(target(), dtype="int8", runtime=runtime), latency(0.1))
        for runtime in ("eager", "openvino")
    )
    merged = merge_records([accuracy("int8"), torchs, engines])
    found = {cell.suffix: "top1" in cell.metrics for cell in merged}
    assert found == {"int8-b1": True, "int8-b1-openvino": False}


def test_a_record_whose_runtime_computes_something_else_has_no_times() -> None:
    record = Record("timm/a", target(), latency(*[0.1] * 6))
    assert derived(record)
    verdict = Verdict("output_difference", "regressed", "output-differs", "the scores differ")
    record.verdicts.append(verdict)
    assert derived(record) == {}
