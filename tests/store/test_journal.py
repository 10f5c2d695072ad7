"""The journal survives whatever ends a run."""

from __future__ import annotations

import binascii
import errno
import json
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from archbench.core.errors import ArchbenchError, UsageError
from archbench.core.records import Record
from archbench.store.journal import Journal, new_run_id, read_kept, read_run

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
    assert run.damaged[1][1] == "it has no checksum"


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"id": None}, "Expected `str`, got `null` - at `$.id`"),
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
    with pytest.raises(ArchbenchError, match=r"schema 99.*reads up to 2.*newer pytest-archbench"):
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
    assert not journal.path.exists()


def test_run_ids_sort_by_time() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    assert new_run_id(moment) == f"20260102T030405Z-{os.getpid()}"


def test_the_last_line_of_a_cell_counts(tmp_path: Path) -> None:
    journal = Journal(tmp_path, {}, run_id="r1")
    journal.append(Record("timm/a"))
    journal.append(Record("timm/b"))
    journal.append(CELL)
    assert read_run(journal.path).cells == [CELL, Record("timm/b")]


def test_a_line_that_is_not_as_it_was_written_is_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path, {}, run_id="r1")
    journal.append(CELL)
    journal.append(Record("timm/b"))
    text = journal.path.read_text(encoding="utf-8")
    # A flipped bit leaves it JSON, and another figure.
    journal.path.write_text(text.replace('"value":5', '"value":4'), encoding="utf-8")
    run = read_run(journal.path)
    assert [cell.id for cell in run.cells] == ["timm/b"]
    assert run.damaged == [(2, "its checksum is another one")]


def test_a_checksum_is_the_crc_32_of_the_line_without_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path, {}, run_id="r1")
    journal.append(Record("timm/b"))
    header = journal.path.read_text(encoding="utf-8").splitlines()[0]
    before, _, seal = header.rpartition(',"crc":')
    assert before == '{"schema":2,"kind":"run","run":"r1"'
    assert int(json.loads(seal[:-1]), 16) == binascii.crc32(before.encode() + b"}")


@pytest.mark.parametrize("kept", range(1, 40, 7))
def test_a_torn_last_line_is_cut_off(tmp_path: Path, kept: int) -> None:
    journal = Journal(tmp_path, {}, run_id="r1")
    journal.append(CELL)
    whole = journal.path.stat().st_size
    journal.append(Record("timm/b"))
    journal.let_go()
    with journal.path.open("r+b") as file:
        file.truncate(whole + kept)
    again = Journal(tmp_path, {}, run_id="r1")
    assert again.reopen() == kept
    assert again.path.stat().st_size == whole
    again.append(Record("timm/c"))
    run = read_run(again.path)
    assert [cell.id for cell in run.cells] == ["timm/a", "timm/c"]
    assert run.damaged == []


def test_a_whole_last_line_without_its_end_is_torn(tmp_path: Path) -> None:
    """What is added next would stand in the same line."""
    journal = Journal(tmp_path, {}, run_id="r1")
    journal.append(CELL)
    journal.let_go()
    with journal.path.open("r+b") as file:
        file.truncate(journal.path.stat().st_size - 1)
    again = Journal(tmp_path, {}, run_id="r1")
    assert again.reopen() > 0
    again.append(Record("timm/c"))
    assert [cell.id for cell in read_run(again.path).cells] == ["timm/c"]


def test_two_processes_do_not_write_to_one_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path, {}, run_id="r1")
    journal.append(CELL)
    with pytest.raises(UsageError, match="another process is writing to it"):
        Journal(tmp_path, {}, run_id="r1").reopen()
    journal.let_go()
    assert Journal(tmp_path, {}, run_id="r1").reopen() == 0


def test_what_cannot_be_written_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, {}, run_id="r1")
    journal.append(CELL)
    before = journal.path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            journal.append(Record("timm/b"))
    assert journal.path.read_bytes() == before
    journal.append(Record("timm/c"))
    assert [cell.id for cell in read_run(journal.path).cells] == ["timm/a", "timm/c"]


def test_what_a_run_that_goes_on_needs_is_read_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path, {}, run_id="r1")
    journal.append_test("t.py::test[timm/a]", [{"when": "call", "odd": float("inf")}])
    journal.append(CELL)
    journal.append_process_run("t.py::test[timm/b]", "process_runs", {"died": "first"})
    journal.append_process_run("t.py::test[timm/b]", "process_runs", {"died": "second"})
    journal.append_pair("t.py::test[timm/c]", {"seconds": 1.0, "process_runs": [1, 2]})
    journal.append_pair("t.py::test[timm/c]", {"seconds": 2.0, "process_runs": [3]}, 2)
    with journal.path.open("ab") as file:
        file.write(b'{"kind":"test","test":"injected","reports":[]}\n')
    kept = read_kept(journal.path)
    assert kept.tests == {"t.py::test[timm/a]": [{"when": "call", "odd": float("inf")}]}
    assert kept.process_runs == {
        ("t.py::test[timm/b]", "process_runs"): [{"died": "first"}, {"died": "second"}]
    }
    assert kept.pairs == {"t.py::test[timm/c]": {"seconds": 2.0, "process_runs": [1, 2, 3]}}
    assert kept.run.cells == [CELL]


def test_pairs_behind_a_damaged_line_are_measured_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path, {}, run_id="r1")
    for before in range(4):
        journal.append_pair("t", {"seconds": before + 1.0, "process_runs": [before]}, before)
    lines = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(b"".join([*lines[:3], lines[3].replace(b"[2]", b"[7]"), lines[4]]))
    assert read_kept(journal.path).pairs == {"t": {"seconds": 2.0, "process_runs": [0, 1]}}
    # The run that goes on with it writes what it measures again.
    journal.append_pair("t", {"seconds": 3.0, "process_runs": [8]}, 2)
    assert read_kept(journal.path).pairs == {"t": {"seconds": 3.0, "process_runs": [0, 1, 8]}}


def test_a_run_that_was_gone_on_with_has_not_ended_before(tmp_path: Path) -> None:
    journal = Journal(tmp_path, {}, run_id="r1")
    journal.append(CELL)
    journal.close(2, 1.0, complete=False)
    run = read_run(journal.path)
    assert run.finished
    assert not run.is_complete
    again = Journal(tmp_path, {}, run_id="r1")
    again.reopen()
    again.append(Record("timm/b"))
    assert not read_run(again.path).finished
    again.close(0, 1.0)
    assert read_run(again.path).is_complete
