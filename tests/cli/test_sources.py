"""What a report is about."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archbench.cli.filters import filtered
from archbench.cli.sources import rows_from
from archbench.core.errors import UsageError
from archbench.core.records import Record
from archbench.core.verdicts import Verdict
from archbench.store.journal import read_run, run_paths
from archbench.store.results import results_document, write_results

if TYPE_CHECKING:
    from tests.cli.conftest import StoredRuns


def refusal(sources: list[str], root: Path) -> str:
    with pytest.raises(UsageError) as error:
        rows_from(sources, root)
    return str(error.value)


def test_a_cell_of_the_latest_run(store_run: StoredRuns, tmp_path: Path) -> None:
    store_run("20261119T000000Z-1", store_run.record("timm/resnet18", [1.0]))
    samples = [0.030, 0.010, 0.020, 0.020, 0.020, 0.040, 0.050]
    store_run("20261120T000000Z-1", store_run.record("timm/resnet50", samples, batch_size=2))
    (row,) = rows_from([], tmp_path).rows
    assert (row.id, row.name, row.library) == ("timm/resnet50", "resnet50", "timm")
    assert (row.family, row.device, row.dtype) == ("ResNet", "cpu-x", "fp32")
    assert (row.run, row.commit) == ("20261120T000000Z-1", "abc")
    assert row.when == "2026-11-20T13:45:01+00:00"
    latency = row.values["latency"]
    # The median; 7 samples enclose it with 98.4 % by their least and greatest.
    assert (latency.value, latency.low, latency.high) == (0.020, 0.010, 0.050)
    assert (latency.kind, latency.source) == ("measured", "20261120T000000Z-1")
    assert row.value("throughput") == 100
    assert row.value("latency_per_image") == 0.010
    assert "latency_p95" not in row.values  # which needs 130 samples
    top1 = row.values["top1"]
    assert top1.kind == "published"
    assert top1.source.startswith("timm results/results-imagenet.csv: resnet50.")
    assert row.values["density"].kind == "published"
    assert row.values["params"].kind == "counted"


def test_p95_of_enough_samples(store_run: StoredRuns, tmp_path: Path) -> None:
    store_run("r", store_run.record("timm/resnet50", [i / 1000 for i in range(1, 202)]))
    (row,) = rows_from(["r"], tmp_path).rows
    assert row.value("latency_p95") == pytest.approx(0.191)
    assert row.value("latency") == pytest.approx(0.101)


def test_what_was_measured_counts_before_what_was_published(
    store_run: StoredRuns, tmp_path: Path
) -> None:
    top1 = {"value": 80.0, "unit": "%", "source": "measured", "low": 79.6, "high": 80.4}
    memory = {"value": 5e8, "unit": "B", "source": "measured"}
    store_run("r", store_run.record("timm/resnet50", [0.01], top1=top1, peak_memory=memory))
    figures = rows_from(["r"], tmp_path).rows[0].values
    assert (figures["top1"].value, figures["top1"].kind) == (80.0, "measured")
    assert (figures["top1"].low, figures["top1"].high) == (79.6, 80.4)
    assert figures["top5"].kind == "published"
    assert figures["peak_memory"].value == 5e8
    assert figures["density"].kind == "derived"


def test_counts_join_the_cells_of_their_architecture(store_run: StoredRuns, tmp_path: Path) -> None:
    timed = store_run.record("timm/resnet50", [0.01])
    timed.metrics.pop("macs")
    counted = Record(
        "timm/resnet50", None, {"macs": {"value": 7, "unit": "1", "source": "counted"}}
    )
    store_run("r", counted, timed)
    (row,) = rows_from(["r"], tmp_path).rows
    assert (row.device, row.value("macs")) == ("cpu-x", 7)


def test_the_status_that_says_most(store_run: StoredRuns, tmp_path: Path) -> None:
    cell = store_run.record("timm/resnet50", [0.01])
    cell.verdicts = [
        Verdict("macs", "unchanged", "r", "s"), Verdict("latency", "regressed", "r", "s")
    ]  # fmt: skip
    store_run("r", cell)
    assert rows_from(["r"], tmp_path).rows[0].status == "regressed"


def test_ways_to_name_a_run(store_run: StoredRuns, tmp_path: Path) -> None:
    path = store_run("20261119T000000Z-1", store_run.record("timm/resnet18", [1.0]))
    other = store_run("20261120T000000Z-1", store_run.record("timm/resnet50", [1.0]))
    assert run_paths(tmp_path) == [path, other]
    for source in ("20261119T000000Z-1", "20261119", str(path), str(path.parent)):
        assert [row.name for row in rows_from([source], tmp_path).rows] == ["resnet18"]
    both = rows_from(["latest", "20261119", "latest"], tmp_path).rows
    assert [row.name for row in both] == ["resnet50", "resnet18"]
    assert refusal(["2026"], tmp_path).startswith("2026: 2 runs begin so: 20261119T000000Z-1, ")
    assert refusal(["1999"], tmp_path) == (
        "1999: there is no such run or file; stored runs are 20261119T000000Z-1, "
        "20261120T000000Z-1. Write the id of a run, latest, a path, or published:NAME"
    )
    # The second run of a process within a second: the whole name of the first means the first.
    store_run("20261119T000000Z-1.2", store_run.record("timm/vgg16", [1.0]))
    named = rows_from(["20261119T000000Z-1"], tmp_path).rows
    assert [row.name for row in named] == ["resnet18"]


def test_a_results_file(store_run: StoredRuns, tmp_path: Path) -> None:
    path = store_run("r", store_run.record("timm/resnet50", [0.01, 0.02, 0.03]))
    run = read_run(path)
    header: Any = {name: dict(run.header)[name] for name in ("environment", "settings", "run")}
    write_results(tmp_path / "results.json", results_document(header, run.cells, {}))
    assert rows_from(["results.json"], tmp_path).rows == rows_from(["r"], tmp_path).rows


def test_results_files_are_distinguished_by_their_names(
    store_run: StoredRuns, tmp_path: Path
) -> None:
    store_run("r", store_run.record("timm/resnet50", [1.0, 2.0]))
    (path,) = run_paths(tmp_path)
    run = read_run(path)
    document = results_document({"environment": run.header["environment"]}, run.cells, {})
    for name in ("here.json", "there.json"):
        write_results(tmp_path / name, document)
    rows = rows_from(["here.json", "there.json"], tmp_path).rows
    assert [row.run for row in rows] == ["here.json", "there.json"]
    assert rows[1].values["latency"].source == "there.json"


def test_a_published_table_beside_a_run(store_run: StoredRuns, tmp_path: Path) -> None:
    store_run("r", store_run.record("timm/resnet50", [0.01]))
    rows = rows_from(["r", "published:lightweight2020"], tmp_path).rows
    assert [row.run for row in rows] == ["r", *["lightweight2020"] * 10]


def test_no_runs(tmp_path: Path) -> None:
    assert refusal([], tmp_path) == (
        f"the latest run: no run is stored in {tmp_path / '.archbench' / 'runs'}. "
        "Measure something: pytest benchmarks. Or name a published table: published:bianco2018"
    )
    assert "Measure something: pytest benchmarks" in refusal(["2026"], tmp_path)


def test_a_later_run_without_a_cell_is_named(store_run: StoredRuns, tmp_path: Path) -> None:
    store_run("20261119T000000Z-1", store_run.record("timm/resnet18", [1.0]))
    store_run("20261120T000000Z-1", store_run.record("timm/resnet50", [1.0]))
    assert rows_from([], tmp_path).remarks == []
    empty = tmp_path / ".archbench" / "runs" / "20261121T000000Z-1" / "journal.jsonl"
    empty.parent.mkdir()
    empty.touch()
    loaded = rows_from([], tmp_path)
    assert [row.name for row in loaded.rows] == ["resnet50"]
    said = "20261121T000000Z-1 is later than 20261120T000000Z-1, and holds no cell"
    assert loaded.remarks == [said]


def test_a_run_that_has_not_reached_its_end_is_named(store_run: StoredRuns, tmp_path: Path) -> None:
    path = store_run("r", store_run.record("timm/resnet18", [1.0]))
    assert rows_from(["r"], tmp_path).remarks == []
    whole = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(whole[:-1]), encoding="utf-8")
    loaded = rows_from(["r"], tmp_path)
    assert [row.name for row in loaded.rows] == ["resnet18"]
    said = "r has not reached its end: what it has not measured is missing"
    assert loaded.remarks == [said]


def test_a_glance_is_named(store_run: StoredRuns, tmp_path: Path) -> None:
    record = store_run.record("timm/resnet18", [1.0])
    store_run("r", record, quick=True)
    store_run("s", record, quick=False)
    said = "r was run with --quick: its times are not for comparing"
    assert rows_from(["r", "s"], tmp_path).remarks[:1] == [said]
    assert rows_from(["s"], tmp_path).remarks == []


def test_a_damaged_line_is_named_and_left_out(store_run: StoredRuns, tmp_path: Path) -> None:
    path = store_run(
        "r", store_run.record("timm/resnet18", [1.0]), store_run.record("timm/resnet50", [1.0])
    )
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[1] = lines[1][:50]
    path.write_text("\n".join(lines), encoding="utf-8")
    loaded = rows_from(["r"], tmp_path)
    assert [row.name for row in loaded.rows] == ["resnet50"]
    (remark,) = loaded.remarks
    assert remark.startswith(f"{path}:2: left out: JSONDecodeError: ")


@pytest.mark.parametrize(
    ("metrics", "cause"),
    [
        ({"latency": {"samples": [1.0, "x"]}}, ":2: left out: Expected `float`, got `str`"),
        (
            {"latency": {"samples": [1.0, "NaN", 2.0]}},
            ": timm/resnet18: left out: latency is nan",
        ),
        (
            {"latency": {"samples": [1.0, "Infinity"]}},
            ": timm/resnet18: left out: latency is inf",
        ),
        ({"latency": {"samples": [-1.0]}}, ": timm/resnet18: left out: latency is -1.0"),
        ({"latency": {"samples": 7}}, ":2: left out: Expected `array`, got `int`"),
        ({"params": {"value": True}}, ":2: left out: its params is True, which no run"),
        (
            {"params": {"value": 1, "source": "guessed"}},
            ": timm/resnet18: left out: params has the",
        ),
    ],
)
def test_a_damaged_cell_is_named_and_left_out(
    store_run: StoredRuns, tmp_path: Path, metrics: dict[str, Any], cause: str
) -> None:
    bad = store_run.record("timm/resnet18", [1.0])
    bad.metrics.update(metrics)
    path = store_run("r", bad, store_run.record("timm/resnet50", [1.0]))
    text = path.read_text(encoding="utf-8")
    for number in ("NaN", "Infinity"):  # which a journal cannot be made to write
        text = text.replace(f'"{number}"', number)
    # As written before lines had checksums.
    text = re.sub(r',"crc":"[0-9a-f]{8}"', "", text).replace('"schema":2', '"schema":1')
    path.write_text(text, encoding="utf-8")
    loaded = rows_from(["r"], tmp_path)
    assert [row.name for row in loaded.rows] == ["resnet50"]
    assert len(loaded.remarks) == 1
    assert loaded.remarks[0].startswith(f"{path}{cause}")


def test_nothing_that_can_be_read(store_run: StoredRuns, tmp_path: Path) -> None:
    path = store_run("r", store_run.record("timm/resnet18", [1.0]))
    path.write_text("{\n", encoding="utf-8")
    message = refusal(["r"], tmp_path)
    assert message.startswith(f"r: no cell of it can be read: {path}:1: left out: ")
    assert message.endswith("Measure something: pytest benchmarks")


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("{", "it is no JSON document"),
        ("[]", "it is JSON, but no results of archbench"),
        (json.dumps({"schema": 99, "cells": []}, indent=1), "it has schema 99"),
        (json.dumps({"schema": 1, "cells": [5]}, indent=1), "no cell of it can be read"),
    ],
)
def test_a_file_that_holds_no_results(tmp_path: Path, text: str, cause: str) -> None:
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    assert cause in refusal(["x.json"], tmp_path)


def test_an_own_architecture_has_no_published_accuracy(
    store_run: StoredRuns, tmp_path: Path
) -> None:
    store_run("r", store_run.record("local/my_net", [1.0]))
    (row,) = rows_from(["r"], tmp_path).rows
    assert (row.family, "top1" in row.values) == ("Other", False)


def test_cells_of_one_target(store_run: StoredRuns, tmp_path: Path) -> None:
    store_run(
        "r",
        store_run.record("timm/resnet18", [1.0]),
        store_run.record("timm/resnet18", [1.0], slug="v100", batch_size=8),
        store_run.record("timm/resnet18", [1.0], slug="v100", dtype="bf16"),
    )
    rows = rows_from(["r"], tmp_path).rows
    assert filtered(rows, {}) == rows
    assert filtered(rows, {"device": "v*"}) == rows[1:]
    assert filtered(rows, {"device": "v100", "dtype": "bf16"}) == rows[2:]
    assert filtered(rows, {"batch_size": "8"}) == rows[1:2]
    with pytest.raises(UsageError) as error:
        filtered(rows, {"device": "h100"})
    assert str(error.value) == (
        "--device=h100: no cell is left; there are cpu-x, v100. "
        "Write one of them, or leave out --device"
    )
    with pytest.raises(UsageError, match="--dtype=bf16: no cell is left; there are fp32"):
        filtered(rows, {"device": "cpu-x", "dtype": "bf16"})
