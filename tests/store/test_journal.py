"""The journal survives whatever ends a run."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from archbench.core.errors import ArchbenchError
from archbench.core.records import Record
from archbench.store.journal import Journal, new_run_id, read_run

CELL = Record("timm/a", None, {"params": {"value": 5, "unit": "1", "source": "counted"}})
TARGET = {"device": "cpu", "device_name": "X", "slug": "x", "dtype": "fp32"}
EXAMPLES = Path(__file__).parent / "examples"


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path, {"environment": {"cpu": "x"}}, run_id="r1")
    assert not journal.path.exists()
    journal.append(CELL)
    journal.append(Record("timm/b"))
    run = read_run(journal.path)
    assert run.header["environment"] == {"cpu": "x"}
    assert run.cells == [CELL, Record("timm/b")]
    assert not run.finished
    journal.close(0, 1.5)
    assert read_run(journal.path).finished


def test_each_cell_is_on_the_disk_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    real = os.fsync

    def sync(descriptor: int) -> None:
        synced.append(descriptor)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    journal = Journal(tmp_path, {}, run_id="r1")
    journal.append(CELL)
    assert len(synced) == 2  # header and cell
    journal.append(CELL)
    assert len(synced) == 3


def test_a_run_that_measured_nothing_leaves_nothing(tmp_path: Path) -> None:
    Journal(tmp_path, {}, run_id="r1").close(5, 0.1)
    assert list(tmp_path.iterdir()) == []


def test_damaged_lines_are_named_and_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path, {}, run_id="r1")
    journal.append(CELL)
    with journal.path.open("a", encoding="utf-8") as file:
        file.write('{"kind":"cell","id":"timm/b","metr\n')
        file.write('{"kind":"cell"}\n')
        file.write("[1]\n")
    journal.append(Record("timm/c"))
    run = read_run(journal.path)
    assert [cell.id for cell in run.cells] == ["timm/a", "timm/c"]
    assert [number for number, _ in run.damaged] == [3, 4, 5]
    assert run.damaged[1][1] == "Object missing required field `id`"


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"id": 5}, "Expected `str`, got `int` - at `$.id`"),
        ({"id": "local/\x1b[31mred"}, "its id is 'local/\\x1b[31mred'"),
        ({"id": "local/a\nb"}, "its id is 'local/a\\nb'"),
        ({"target": {**TARGET, "slug": ["x"]}}, "Expected `str`, got `array` - at `$.target.slug`"),
        ({"target": {**TARGET, "batch_size": 0}}, "its batch_size is 0 - at `$.target`"),
        (
            {"target": {**TARGET, "runtime": None}},
            "Expected `str`, got `null` - at `$.target.runtime`",
        ),
        (
            {"target": {**TARGET, "cold_cache": "yes"}},
            "Expected `bool`, got `str` - at `$.target.cold_cache`",
        ),
        ({"metrics": {"x": "fast"}}, "Expected `object`, got `str` - at `$.metrics[...]`"),
        ({"metrics": {"params": {"value": 10**400}}}, "its params is no such figure"),
        ({"metrics": {"params": {"value": -5}}}, "its params is no such figure"),
        ({"metrics": {"top1": {"value": 7000.0}}}, "its top1 is 7000.0 %"),
    ],
)
def test_what_cannot_be_is_damaged(change: dict[str, Any], cause: str, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    line = {"kind": "cell", "id": "timm/a", "target": None, "metrics": {}, **change}
    path.write_text(json.dumps(line) + "\n", encoding="utf-8")
    assert read_run(path).damaged == [(1, cause)]


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"schema": 99, "kind": "run"}\n', encoding="utf-8")
    with pytest.raises(ArchbenchError, match=r"schema 99.*reads up to 1.*newer pytest-archbench"):
        read_run(path)


def test_the_stored_example_of_schema_1_is_read() -> None:
    run = read_run(EXAMPLES / "journal-schema-1.jsonl")
    assert run.finished
    assert [cell.id for cell in run.cells] == ["torchvision/squeezenet1_1"]
    assert run.cells[0].metrics["params"]["value"] == 1_235_496
    assert len(run.cells[0].metrics["latency"]["samples"]) == 4


def test_numbers_that_json_has_no_form_for_are_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path, {}, run_id="r1")
    with pytest.raises(ValueError, match="JSON"):
        journal.append(Record("timm/a", None, {"x": {"value": float("nan")}}))
    assert json.loads(journal.path.read_text(encoding="utf-8"))["kind"] == "run"


def test_run_ids_sort_by_time() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    assert new_run_id(moment) == f"20260102T030405Z-{os.getpid()}"


def test_the_last_line_of_a_cell_counts(tmp_path: Path) -> None:
    journal = Journal(tmp_path, {}, run_id="r1")
    journal.append(Record("timm/a"))
    journal.append(Record("timm/b"))
    journal.append(CELL)
    assert read_run(journal.path).cells == [CELL, Record("timm/b")]
