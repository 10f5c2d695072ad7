"""Reading what is stored over time: good files whole, damaged ones named and left out."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from archbench.core.errors import UsageError
from archbench.core.headers import RunEnvironment
from archbench.core.history import Cell, Entry
from archbench.core.lines import CountLine, TimeLine
from archbench.core.records import Record
from archbench.core.spec import Target
from archbench.store.baselines import update_baselines
from archbench.store.history import Found, in_baselines, in_benchmarks, in_runs
from archbench.store.journal import Journal
from tests.core.lines import count_line, time_line

TARGET = Target("cpu", "X", "cpu-x", batch_size=2)
CELL = Cell(
    "timm/a",
    "cpu-x",
    dtype="fp32",
    batch_size=2,
    threads=1,
    memory_format="nchw",
    runtime="eager",
    cold_cache=False,
)


def slug(cpu: str) -> str:
    return f"cpu-{cpu.lower()}"


def record(latency: float, macs: int = 7) -> Record:
    return Record(
        "timm/a",
        TARGET,
        {
            "macs": {"value": macs, "unit": "1", "source": "counted"},
            "latency": {"samples": [latency], "unit": "s", "source": "measured"},
        },
    )


def entries(found: Found, metric: str = "latency") -> list[tuple[Cell, Entry]]:
    return [(one.cell, one.entry) for one in found.observations if one.metric == metric]


def test_stored_runs(tmp_path: Path) -> None:
    environment: RunEnvironment = {
        "time": "2026-01-02T03:04:05+00:00",
        "git": {"commit": "abc", "dirty": False},
        "packages": {"torch": "2.5.1"},
    }
    directory = tmp_path / ".archbench" / "runs"
    Journal(directory, {"environment": environment}, "r1").append(record(0.25))
    Journal(directory, {}, "20260103T000000Z-5").append(record(0.5))
    found = in_runs(tmp_path)
    assert (found.files, found.remarks) == (2, [])
    (cell, second), (other, first) = sorted(entries(found), key=lambda pair: pair[1].value)[::-1]
    assert cell == other == CELL
    assert (first.value, first.commit, first.dirty) == (0.25, "abc", False)
    assert (first.when, first.sources) == ("2026-01-02T03:04:05+00:00", ("r1",))
    assert dict(first.versions) == {"torch": "2.5.1"}
    # Without a header that says so, a run's name has its date.
    assert (second.when, second.commit) == ("2026-01-03T00:00:00+00:00", None)
    assert [cell for cell, _ in entries(found, "macs")] == [Cell("timm/a")] * 2
    assert {one.metric for one in in_runs(tmp_path, ["macs"]).observations} == {"macs"}


def test_damaged_runs_are_named(tmp_path: Path) -> None:
    journal = Journal(tmp_path / ".archbench" / "runs", {}, "20260103T000000Z-5")
    journal.append(record(0.5))
    # An older archbench's lines have no checksum.
    text = journal.path.read_text(encoding="utf-8").replace('"schema":2', '"schema":1')
    lines = [re.sub(r',"crc":[^,}]*}$', "}", line) for line in text.splitlines()]
    journal.path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    with journal.path.open("a", encoding="utf-8") as file:
        file.write('{"kind":"cell","id":"timm/b","metr\n')
        file.write('{"kind":"cell","id":"timm/c","target":null,"metrics":{"macs":{"value":"x"}}}\n')
        file.write('{"kind":"cell","id":"timm/d","target":null,"metrics":{"macs":{"value":NaN}}}\n')
    (other := tmp_path / ".archbench" / "runs" / "mine").mkdir()
    (other / "journal.jsonl").write_text('{"schema":1,"kind":"run"}\n', encoding="utf-8")
    (newer := tmp_path / ".archbench" / "runs" / "new").mkdir()
    (newer / "journal.jsonl").write_text('{"schema":99,"kind":"run"}\n', encoding="utf-8")
    found = in_runs(tmp_path)
    assert [entry.value for _, entry in entries(found)] == [0.5]
    path = journal.path
    assert found.remarks[0].startswith(f"{path}:3: left out: JSONDecodeError")
    assert found.remarks[1] == f"{path}:4: left out: its macs is 'x', which no run writes"
    assert found.remarks[2] == f"{path}:5: left out: its macs is no such figure"
    assert found.remarks[3].endswith("mine/journal.jsonl: left out: neither its header nor its "
                                     "name has a date")  # fmt: skip
    assert "schema 99" in found.remarks[4]
    assert len(found.remarks) == 5


def benchmark_file(*benchmarks: Any, **changes: Any) -> dict[str, Any]:
    return {
        "machine_info": {"python_version": "3.11.7", "cpu": {"brand_raw": "X"}},
        "commit_info": {"id": "abc", "dirty": True},
        "benchmarks": list(benchmarks),
        "datetime": "2026-01-02T03:04:05.678901+00:00",
        "version": "5.3.1",
        **changes,
    }


PLAIN = {
    "fullname": "test_sum.py::test_sum",
    "extra_info": {},
    "stats": {"median": 8e-6, "q1": 7e-6, "q3": 9e-6},
}
OURS = {
    "fullname": "benchmarks/test_latency.py::test_latency[timm/a]",
    "extra_info": {"archbench": "timm/a", **asdict(TARGET), "macs": 7, "params": 3, "p50": 0.25},
    "stats": {"median": 0.25},
}


def stored(root: Path, name: str, content: Any) -> Path:
    path = root / ".benchmarks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return path


def test_files_of_pytest_benchmark(tmp_path: Path) -> None:
    stored(tmp_path, "cpu-x/Linux/0001_abc.json", benchmark_file(OURS))
    stored(
        tmp_path, "Linux/0002_def.json", benchmark_file(PLAIN, commit_info={"id": "unversioned"})
    )
    found = in_benchmarks(tmp_path / ".benchmarks", slug)
    assert (found.files, found.remarks) == (2, [])
    (other, plain), (cell, ours) = entries(found)
    assert cell == CELL
    assert (ours.value, ours.commit, ours.dirty) == (0.25, "abc", True)
    assert (ours.when, ours.sources) == ("2026-01-02T03:04:05+00:00", ("0001_abc.json",))
    assert other == Cell("test_sum.py::test_sum", "cpu-x")
    assert (plain.value, plain.commit) == (8e-6, None)
    assert dict(plain.versions) == {"Python": "3.11.7", "CPU": "X"}
    assert [entry.value for _, entry in entries(found, "throughput")] == [2 / 0.25]
    assert entries(found, "params")[0][0] == Cell("timm/a")


def test_benchmarks_that_were_run_otherwise_are_other_lines(tmp_path: Path) -> None:
    info = OURS["extra_info"]
    compiled = {**info, "runtime": "compiled", "memory_format": "nhwc"}  # type: ignore[dict-item]
    largest = {**info, "largest_batch": True, "batch_size": 37}  # type: ignore[dict-item]
    benchmarks = [OURS, {**OURS, "extra_info": compiled}, {**OURS, "extra_info": largest}]
    stored(tmp_path, "0001.json", benchmark_file(*benchmarks))
    found = in_benchmarks(tmp_path / ".benchmarks", slug)
    assert found.remarks == []
    assert {cell.target: entry.value for cell, entry in entries(found, "throughput")} == {
        "cpu-x fp32 batch 2": 2 / 0.25,
        "cpu-x fp32 batch 2 nhwc compiled": 2 / 0.25,
        "cpu-x fp32 batch max": 37 / 0.25,
    }


@pytest.mark.parametrize(
    ("content", "remark"),
    [
        ('{"benchmarks": [', r"Expecting value"),
        ([1], "it is no file of pytest-benchmark"),
        ({"machine_info": {}}, "it is no file of pytest-benchmark"),
        (
            benchmark_file(PLAIN, datetime="soon"),
            "by pytest-benchmark 5.3.1: left out: time data 'soon'",
        ),
        (
            {"benchmarks": [PLAIN], "version": "2.5.0"},
            "by pytest-benchmark 2.5.0: left out: it has no 'datetime'",
        ),
        (
            benchmark_file({"fullname": "t.py::t", "stats": {"mean": 1}}, version="9.0"),
            "by pytest-benchmark 9.0: t.py::t: left out: it has no 'median'",
        ),
        (
            benchmark_file("x"),
            "by pytest-benchmark 5.3.1: benchmark 1: left out: string indices must be integers",
        ),
    ],
)
def test_damaged_files_of_pytest_benchmark(tmp_path: Path, content: Any, remark: str) -> None:
    bad = stored(tmp_path, "0001.json", content)
    stored(tmp_path, "0002.json", benchmark_file(PLAIN))
    found = in_benchmarks(tmp_path / ".benchmarks", slug)
    assert [entry.sources for _, entry in entries(found)] == [("0002.json",)]
    assert len(found.remarks) == 1
    assert found.remarks[0].startswith(str(bad))
    assert remark in found.remarks[0]


def test_no_storage(tmp_path: Path) -> None:
    assert in_benchmarks(tmp_path / ".benchmarks", slug) == Found()
    assert in_runs(tmp_path) == Found()


PROCESS_RUN = {
    "wall": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
    "cpu": [0.1, 0.2, 0.3, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9],
    "samples": 9,
    "lost": 0.0,
    "reference_workload": None,
    "others": None,
    "device": None,
    "queue_full": None,
}


def git(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=x", "-c", "user.email=x", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


def accept(
    root: Path,
    median: float,
    when: str,
    commit: str | None,
    device: list[float] | None = None,
    cell: str = "fp32-b2",
    **environment: Any,
) -> None:
    wall = [*PROCESS_RUN["wall"][:4], median, *PROCESS_RUN["wall"][5:]]  # type: ignore[index]
    stated = {"torch": "2.5.1", "library": "timm 1.0.31", "device_name": "X", **environment}
    line = time_line(
        cell=cell,
        process_runs=[{**PROCESS_RUN, "wall": wall, "device": device}],
        environment=stated,
        when=when,
        commit=commit,
    )
    path = root / "baselines" / "cpu-x" / "fp32.jsonl"
    update_baselines(path, TimeLine, [line], root / "lock", only_new=False)
    git(root, "add", "baselines")
    git(root, "commit", "-qm", "x")


def test_baselines_through_their_history(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    accept(tmp_path, 0.5, "2026-01-02T03:04:05+00:00", "abc")
    accept(tmp_path, 0.55, "2026-01-03T03:04:05+00:00", "def-dirty")
    found = in_baselines(tmp_path)
    assert (found.files, found.remarks) == (2, [])
    (cell, first), (other, second) = entries(found)
    assert cell == other == CELL
    assert (first.value, first.when, first.commit, first.dirty) == (
        0.5, "2026-01-02T03:04:05+00:00", "abc", False,
    )  # fmt: skip
    assert (second.value, second.commit, second.dirty) == (0.55, "def", True)
    assert dict(first.versions) == {"torch": "2.5.1", "timm": "1.0.31", "CPU": "X"}
    assert first.sources[0].startswith("baselines/cpu-x/fp32.jsonl at ")
    assert [entry.value for _, entry in entries(found, "cpu_time")] == [0.4, 0.4]


def test_a_device_s_accepted_time_is_a_line_of_its_own(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    times = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09]
    accept(tmp_path, 0.5, "2026-01-02T03:04:05+00:00", "abc", times)
    found = in_baselines(tmp_path)
    assert [entry.value for _, entry in entries(found, "device_time")] == [0.05]
    assert [entry.value for _, entry in entries(found)] == [0.5]


def test_baselines_tell_apart_how_a_cell_is_run(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    when = "2026-01-02T03:04:05+00:00"
    for name in ("amp-bf16-b2", "amp-bf16-b2-nhwc-compiled", "amp-bf16-b2-t3-cold"):
        accept(tmp_path, 0.5, when, None, cell=name)
    accept(tmp_path, 0.5, when, None, cell="amp-bf16-bmax", batch_size=37)
    found = in_baselines(tmp_path)
    assert found.remarks == []
    assert {cell.target for cell, _ in entries(found)} == {
        "cpu-x amp-bf16 batch 2",
        "cpu-x amp-bf16 batch 2 nhwc compiled",
        "cpu-x amp-bf16 batch 2 3 threads cold cache",
        "cpu-x amp-bf16 batch max",
    }
    per_image = {cell.largest_batch: entry for cell, entry in entries(found, "throughput")}
    assert per_image[True].value == 37 / 0.5
    assert per_image[True].versions["batch size"] == "37"
    assert per_image[False].value == 2 / 0.5


def test_a_baseline_of_a_cell_that_cannot_be_is_named(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    accept(tmp_path, 0.5, "2026-01-02T03:04:05+00:00", None, cell="fp99-b2")
    found = in_baselines(tmp_path)
    assert found.observations == []
    (remark,) = found.remarks
    assert remark.startswith("baselines/cpu-x/fp32.jsonl at ")
    assert remark.endswith("timm/a: left out: 'fp99-b2' names no run configuration")


def test_baselines_that_were_deleted(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    accept(tmp_path, 0.5, "2026-01-02T03:04:05+00:00", "abc")
    git(tmp_path, "rm", "-q", "baselines/cpu-x/fp32.jsonl")
    git(tmp_path, "commit", "-qm", "x")
    found = in_baselines(tmp_path)
    assert (found.files, found.remarks) == (1, [])
    assert [entry.value for _, entry in entries(found)] == [0.5]


def test_a_damaged_revision_is_named(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    path = tmp_path / "baselines" / "complexity.jsonl"
    path.parent.mkdir()
    path.write_text("{}", encoding="utf-8")
    git(tmp_path, "add", "baselines")
    git(tmp_path, "commit", "-qm", "x")
    (remark,) = in_baselines(tmp_path).remarks
    assert remark.startswith("baselines/complexity.jsonl at ")
    assert "left out: the line has no end: the file was cut off" in remark


def test_counts_that_were_accepted(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    line = count_line(params=3, macs=7, torch="2.5.1", library="timm 1.0.31")
    path = tmp_path / "baselines" / "complexity.jsonl"
    update_baselines(path, CountLine, [line], tmp_path / "lock", only_new=False)
    git(tmp_path, "add", "baselines")
    git(tmp_path, "commit", "-qm", "x")
    found = in_baselines(tmp_path, ["macs", "params"])
    assert [(one.metric, one.cell, one.entry.value) for one in found.observations] == [
        ("params", Cell("timm/a"), 3),
        ("macs", Cell("timm/a"), 7),
    ]
    assert dict(found.observations[0].entry.versions) == {"torch": "2.5.1", "timm": "1.0.31"}


def test_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(UsageError, match="git has no history of"):
        in_baselines(tmp_path)
