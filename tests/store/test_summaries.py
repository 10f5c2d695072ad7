"""A summary says what its run says: the same histories and rows, to the last digit."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archbench.core.agreement import REASON
from archbench.core.entries import MetricEntry
from archbench.core.headers import RunHeader
from archbench.core.history import Cell, Entry, observations_of
from archbench.core.records import Record, merge_records
from archbench.core.rows import NOISY, Row, Value
from archbench.core.spec import Target
from archbench.core.verdicts import NEWS, Note, Verdict
from archbench.metrics import METRICS
from archbench.report.rows import row_of
from archbench.store.journal import Run
from archbench.store.summaries import Histories, read_summary, run_of, summary_of

TARGETS = [
    Target("cpu", "X", "cpu-x"),
    Target("cpu", "X", "cpu-x", batch_size=8, runtime="onnxruntime"),
    Target("cuda:0", "V100", "v100", dtype="fp16", memory_format="nhwc", asked="v100"),
    Target("cuda:0", "V100", "v100", batch_size=37, largest_batch=True),
    Target("cuda:0", "V100", "v100", batch_size=None),
    None,
]


def header(day: int, **environment: Any) -> RunHeader:
    whole = {
        "time": f"2026-01-{day:02d}T00:00:00+00:00", "cpu": "X", "python": "3.12.1",
        "packages": {"torch": f"2.{day // 4}", "timm": "1.0", "torchvision": "0.2"},
        "git": {"commit": f"c{day}", "dirty": day % 2 == 0}, **environment,
    }  # fmt: skip
    return {"run": f"r{day}", "environment": whole}  # type: ignore[typeddict-item]


def record(rng: random.Random) -> Record:
    id = rng.choice(("timm/a", "timm/b", "torchvision/c", "local/d(width=2)", "archbench/e"))
    target = rng.choice(TARGETS)
    metrics: dict[str, MetricEntry] = {}
    if target is None or rng.random() < 0.5:
        metrics["macs"] = {"value": rng.randrange(10**12), "unit": "1", "source": "counted"}
        metrics["params"] = {"value": rng.randrange(10**9), "unit": "1", "source": "counted"}
        metrics["layers"] = {"value": [["Conv2d", 1, 2, 3]], "source": "counted"}
    if target is not None and target.batch_size is None:
        value, kind = rng.choice(((71.5, "measured"), (70.1, "published")))
        metrics["top1"] = {"value": value, "unit": "%", "source": kind, "low": 70.0, "high": 73.0}
    elif target is not None:
        for name in ("latency", "cpu_time"):
            samples = [rng.lognormvariate(-5, 0.1) for _ in range(rng.choice((1, 5, 6, 60, 140)))]
            metrics[name] = {"samples": samples, "unit": "s", "source": "measured"}
        if rng.random() < 0.5:
            metrics["peak_memory"] = {"value": rng.random() * 1e9, "source": "measured"}
            metrics["energy_per_image"] = {
                "value": 0.5, "low": 0.25, "high": 0.75, "source": "measured"
            }  # fmt: skip
    reason = REASON if rng.random() < 0.2 else "within-threshold"
    verdicts = [Verdict("latency", rng.choice(NEWS), reason, "so")]
    is_noisy = len(metrics.get("latency", {}).get("samples", ())) == 5
    notes = [Note("noisy", "so")] if is_noisy else []
    return Record(id, target, metrics, verdicts, notes)


def runs() -> list[Run]:
    rng = random.Random(4)
    found = [
        Run(
            Path(f"r{day}/journal.jsonl"),
            header(day),
            [record(rng) for _ in range(rng.choice((1, 3, 20, 40)))],
            finished=True,
        )
        for day in range(1, 25)
    ]
    found[3].header = {"run": "20260205T000000Z-1"}  # without an environment
    return found


@pytest.mark.parametrize("metrics", [None, ("latency", "macs", "throughput", "density")])
def test_lines_are_those_of_the_journals(metrics: tuple[str, ...] | None) -> None:
    expected: dict[tuple[Cell, str], list[Entry]] = defaultdict(list)
    histories = Histories(metrics)
    for run in runs():
        source = run.header["run"]
        environment = run.header.get("environment", {})
        when = environment.get("time", "2026-02-05T00:00:00+00:00")
        for one in merge_records(run.cells):
            for seen in observations_of(
                one, source, when, environment=environment, metrics=metrics
            ):
                expected[seen.cell, seen.metric].append(seen.entry)
        histories.add(read_summary(summary_of(run)))
    assert {key: entries for key, entries in histories.lines.items() if entries} == expected
    assert len(expected) > 20
    assert sum(map(len, expected.values())) > 300
    assert {cell.largest_batch for cell, _ in expected} == {True, False}
    noisy = {key[1] for key, entries in expected.items() if any(one.noisy for one in entries)}
    assert "latency" in noisy
    assert noisy <= set(NOISY)


def test_equal_versions_are_one_object() -> None:
    """By which thousands of entries are known not to differ."""
    histories = Histories(["latency"])
    for run in runs()[:3]:
        histories.add(read_summary(summary_of(run)))
    versions = [entry.versions for entries in histories.lines.values() for entry in entries]
    assert len({id(one) for one in versions}) == len({tuple(one.items()) for one in versions}) > 1


def rows(run: Run) -> list[Row]:
    published = {"top1": Value(76.1, "published", "a paper")}
    return [
        row_of(run.header, one, family="F", published=published, run=run.header["run"])
        for one in merge_records(run.cells)
    ]


def test_rows_are_those_of_the_journals() -> None:
    for run in runs():
        assert rows(run_of(read_summary(summary_of(run)))) == rows(run)


def test_a_summary_is_one_line_and_small() -> None:
    run = runs()[5]
    summary = summary_of(run)
    assert b"\n" not in summary
    journal = "".join(json.dumps(one.as_dict()) for one in run.cells)
    assert len(summary) < len(journal) / 3
    assert summary_of(run) == summary


def test_a_cell_that_no_run_writes_is_named() -> None:
    good = Record("timm/a", TARGETS[0], {"latency": {"samples": [0.5], "source": "measured"}})
    bad = replace(good, id="timm/b", metrics={"latency": {"samples": [-1.0], "source": "measured"}})
    run = Run(Path("r/journal.jsonl"), header(1), [good, bad], damaged=[(7, "it is torn")])
    summary = read_summary(summary_of(run))
    assert [id for id, _, _ in summary.cells] == ["timm/a"]
    assert summary.left_out == ["line 7: it is torn", "timm/b: latency is -1.0, which it cannot be"]


def test_what_is_no_summary() -> None:
    for content in (b"", b"{}", b"[1]", b'{"run": 5}'):
        with pytest.raises(ValueError, match=r"."):
            read_summary(content)


def test_no_figure_is_lost() -> None:
    """Of any metric that there is."""
    metrics: dict[str, MetricEntry] = {
        name: {"value": float(number), "source": "measured"}
        for number, name in enumerate(METRICS, 1)
    }
    run = Run(Path("r/journal.jsonl"), header(1), [Record("timm/a", TARGETS[0], metrics)])
    (cell,) = run_of(read_summary(summary_of(run))).cells
    assert {name: entry["value"] for name, entry in cell.metrics.items()} == {
        name: entry["value"] for name, entry in metrics.items()
    }
