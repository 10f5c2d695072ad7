"""``archbench push``, ``pull``, and history and reports of a store that a team shares."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from archbench import cli
from archbench.core.entries import MetricEntry
from archbench.core.errors import UsageError
from archbench.core.headers import RunHeader
from archbench.core.lines import CountLine
from archbench.core.records import Record
from archbench.core.spec import Target
from archbench.core.verdicts import Verdict
from archbench.store.baselines import read_baselines, update_baselines
from archbench.store.journal import Journal
from archbench.store.objects import Objects, shown
from archbench.store.sharing import push_run, runs_of
from tests.core.lines import count_line

SAMPLES = [0.010, 0.012, 0.011, 0.013, 0.009, 0.014, 0.010]


def measure(
    root: Path, day: int, *, slug: str = "cpu-x", cpu: str = "X", samples: list[float] = SAMPLES,
    ended: bool = True, complete: bool = True, outcomes: bool = False,
) -> Path:  # fmt: skip
    """Store a run of two architectures; returns its journal."""
    header: RunHeader = {
        "environment": {
            "time": f"2026-01-{day:02d}T03:04:05+00:00",
            "cpu": cpu,
            "git": {"commit": f"{day:040x}", "dirty": False},
            "packages": {"torch": "2.5.1" if day < 5 else "2.6.0", "timm": "1.0"},
        }
    }
    journal = Journal(root / ".archbench" / "runs", header, f"202601{day:02d}T030405Z-7")
    for number, id in enumerate(("timm/resnet50", "timm/vit_tiny"), 1):
        for batch_size in (1, 8):
            metrics: dict[str, MetricEntry] = {
                "macs": {"value": number * 10**9, "unit": "1", "source": "counted"},
                "params": {"value": number * 10**6, "unit": "1", "source": "counted"},
                "latency": {
                    "samples": [one * number * batch_size + day / 1e5 for one in samples],
                    "unit": "s",
                    "source": "measured",
                },
            }
            target = Target("cpu", cpu, slug, batch_size=batch_size)
            verdict = Verdict("latency", "unchanged", "within-threshold", "as it was")
            journal.append(Record(id, target, metrics, [verdict]))
    if outcomes:
        path = journal.path.parent / "outcomes" / "timm" / "resnet50.fp32.json"
        path.parent.mkdir(parents=True)
        path.write_text('{"bits": 1}', encoding="utf-8")
    if ended:
        journal.close(0, 1.0, complete=complete)
    else:
        journal.let_go()
    return journal.path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, in which the test stands, beside an empty place for a store."""
    project = tmp_path / "here"
    project.mkdir()
    monkeypatch.chdir(project)
    return project


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/team"


def run(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> Any:
    assert cli.main(words) == status, capsys.readouterr()
    return capsys.readouterr()


def objects(tmp_path: Path, under: str = "") -> dict[str, bytes]:
    root = tmp_path / "team"
    paths = [path for path in (root / under).rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(paths)}


def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str = "there") -> Path:
    """Another project of the team, to which the test goes."""
    project = tmp_path / name
    project.mkdir(exist_ok=True)
    monkeypatch.chdir(project)
    return project


@pytest.mark.parametrize("kind", ["file", "path", "memory"])
def test_a_run_comes_to_others_as_it_was(
    kind: str, here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    store = {
        "file": f"file://{tmp_path}/team", "path": f"{tmp_path}/team",
        "memory": f"memory://{tmp_path.name}/team",
    }[kind]  # fmt: skip
    pushed = measure(here, 1, outcomes=True)
    printed = run(capsys, "push", f"--store={store}").out
    assert re.search(r"^20260101T030405Z-7 was pushed as [0-9a-f]{16}/20260101T030405Z-7$",
                     printed, re.MULTILINE)  # fmt: skip
    assert printed.endswith(f"pushed to {store}: 1; there already: 0\n")
    there = elsewhere(tmp_path, monkeypatch)
    printed = run(capsys, "pull", f"--store={store}").out
    assert printed.endswith(f"pulled from {store}: 1; here already: 0\n")
    pulled = there / ".archbench" / "runs" / pushed.parent.name
    files = {path.relative_to(pulled) for path in pulled.rglob("*") if path.is_file()}
    assert files == {Path("journal.jsonl"), Path("outcomes/timm/resnet50.fp32.json")}
    for path in files:
        assert (pulled / path).read_bytes() == (pushed.parent / path).read_bytes()
    assert (there / ".archbench" / ".gitignore").read_text() == "*\n"
    assert [path.name for path in pulled.parent.iterdir()] == [pushed.parent.name]
    assert ": 0; here already: 1\n" in run(capsys, "pull", f"--store={store}").out


def test_objects_are_named_by_their_content(
    here: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measure(here, 1)
    run(capsys, "push", f"--store={url}")
    names = list(objects(tmp_path))
    assert len(names) == 3
    assert names[0] == "archbench-store-1"
    name = re.fullmatch(
        r"runs/([0-9a-f]{16})/20260101T030405Z-7\.([0-9a-f]{64})\.tar\.gz", names[1]
    )
    assert name is not None
    tar = gzip.decompress(objects(tmp_path)[names[1]])
    assert hashlib.sha256(tar).hexdigest() == name[2]
    summary = re.fullmatch(
        rf"summaries/1/{name[1]}/20260101T030405Z-7\.{name[2]}\.([0-9a-f]{{64}})\.json", names[2]
    )
    assert summary is not None
    assert hashlib.sha256(objects(tmp_path)[names[2]]).hexdigest() == summary[1]


def test_the_environment_is_part_of_the_key(
    here: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Time and commit are not: the second run is of the same environment, the third of another."""
    for day in (1, 2, 6):
        measure(here, day)
    assert run(capsys, "push", "*", f"--store={url}").out.count("was pushed as") == 3
    places = [name.split("/")[1] for name in objects(tmp_path, "runs")]
    by_day = {name.split("/")[2][:8]: name.split("/")[1] for name in objects(tmp_path, "runs")}
    assert by_day["20260101"] == by_day["20260102"] != by_day["20260106"]
    assert len(places) == 3


def test_a_second_push_changes_nothing(
    here: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for day in (1, 2):
        measure(here, day)
    run(capsys, "push", "*", f"--store={url}")
    before = objects(tmp_path)
    stamps = {name: (tmp_path / "team" / name).stat().st_mtime_ns for name in before}
    printed = run(capsys, "push", "*", f"--store={url}").out
    assert printed.endswith(f"pushed to {url}: 0; there already: 2\n")
    assert objects(tmp_path) == before
    assert {name: (tmp_path / "team" / name).stat().st_mtime_ns for name in before} == stamps


def test_another_content_for_a_run_is_refused(
    here: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = measure(here, 1)
    run(capsys, "push", f"--store={url}")
    before = objects(tmp_path)
    journal.unlink()
    measure(here, 1, samples=[0.5] * 7)
    error = run(capsys, "push", f"--store={url}", status=2).err
    assert error == (
        f"archbench: 20260101T030405Z-7: {url} has another content for this run, and what is there "
        "is never changed. See which is right: archbench pull "
        f"{list(before)[1].removeprefix('runs/').partition('.')[0]}, in another directory\n"
    )
    assert objects(tmp_path) == before


def test_the_same_id_from_another_machine_is_another_run(
    here: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    measure(here, 1)
    run(capsys, "push", f"--store={url}")
    measure(elsewhere(tmp_path, monkeypatch), 1, cpu="Y")
    assert f"pushed to {url}: 1;" in run(capsys, "push", f"--store={url}").out
    elsewhere(tmp_path, monkeypatch, "third")
    printed = run(capsys, "pull", f"--store={url}", status=1)
    assert f"pulled from {url}: 1;" in printed.out
    assert "20260101T030405Z-7: it differs from the run of that name in " in printed.err


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"ended": False}, "it is still running, or something ended it"),
        ({"complete": False}, "not all of its tests have ended"),
    ],
)
def test_a_run_that_has_not_ended_is_refused(
    changed: dict[str, bool], cause: str, here: Path, url: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    measure(here, 1, **changed)  # type: ignore[arg-type]
    measure(here, 2)
    printed = run(capsys, "push", "*", f"--store={url}", status=1)
    assert printed.err == (
        f"archbench: 20260101T030405Z-7: {cause}. Wait for it, or go on with it: "
        "pytest --pyargs archbench.benchmarks --archbench-resume=20260101T030405Z-7\n"
    )
    assert [name.split("/")[2][:8] for name in objects(tmp_path, "runs")] == ["20260102"]
    run(capsys, "push", "20260101", f"--store={url}", status=2)


def test_two_writers_at_once(here: Path, url: str, tmp_path: Path) -> None:
    """Each pushes five runs, of which three are the same; all seven are there, and whole."""
    paths = [measure(here, day) for day in range(1, 8)]
    ready, errors = threading.Barrier(2), []

    def push(mine: list[Path]) -> None:
        try:
            store = Objects.open(url)
            ready.wait(60)
            store.require(make=True)
            for path in mine:
                push_run(store, path, runs_of(store)[0])
        except BaseException as error:
            errors.append(error)

    writers = [threading.Thread(target=push, args=(mine,)) for mine in (paths[:5], paths[2:])]
    for one in writers:
        one.start()
    for one in writers:
        one.join(300)
    assert errors == []
    runs, remarks = runs_of(Objects.open(url))
    assert (len(runs), remarks) == (7, [])
    names = objects(tmp_path)
    assert len(names) == 1 + 7 + 7
    for name, content in names.items():
        if name.startswith("runs/"):
            assert hashlib.sha256(gzip.decompress(content)).hexdigest() in name


def test_two_contents_at_once_are_both_left_out(
    here: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither writer has seen the other's run when it began."""
    store = Objects.open(url)
    store.require(make=True)
    journal = measure(here, 1)
    assert push_run(store, journal, []) is not None
    journal.unlink()
    with pytest.raises(UsageError, match="somebody has pushed another content for it to "):
        push_run(store, measure(here, 1, samples=[0.5] * 7), [])
    measure(here, 2)
    run(capsys, "push", "20260102", f"--store={url}")
    (there,) = [one for one in Path(here / ".archbench/runs").iterdir() if "0101" in one.name]
    (there / "journal.jsonl").unlink()
    there.rmdir()
    printed = run(capsys, "history", "--metric=latency", "--format=csv", f"--store={url}")
    assert "20260101" not in printed.out
    assert "20260102T030405Z-7" in printed.out
    assert "left out: there are 2 contents for this run, " in printed.err


def series(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    return json.loads(run(capsys, "history", *words, "--format=json").out)


def test_history_is_that_of_the_journals(
    here: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """To the last digit, of all metrics; from an empty project, which has the store's alone."""
    for day in range(1, 9):
        slow = [one * (1.3 if day > 4 else 1) for one in SAMPLES]
        measure(here, day, samples=slow)
    metrics = [f"--metric={name}" for name in ("latency", "macs", "throughput", "params")]
    whole = series(capsys, *metrics)
    entries = [entry for line in whole["lines"] for entry in line["entries"]]
    assert len(entries) == 2 * 2 * 2 * 8 + 2 * 2 * 8
    assert sum(entry["change_point"] is not None for entry in entries) == 8
    assert {event for entry in entries for event in entry["events"]} == {"torch 2.5.1 -> 2.6.0"}
    run(capsys, "push", "*", f"--store={url}")
    # A run that is here too counts once.
    assert series(capsys, *metrics, f"--store={url}") == whole
    elsewhere(tmp_path, monkeypatch)
    assert series(capsys, *metrics, f"--store={url}") == whole
    again = series(capsys, *metrics, f"--store={url}")  # what was read before
    assert again == whole
    text = run(capsys, "history", f"--store={url}").out
    monkeypatch.chdir(here)
    assert run(capsys, "history").out == text


def test_runs_here_and_there_are_one_history(
    here: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    measure(here, 1)
    run(capsys, "push", f"--store={url}")
    measure(elsewhere(tmp_path, monkeypatch), 2)
    (line, *_) = series(capsys, "resnet50", "--metric=latency", f"--store={url}")["lines"]
    assert [entry["sources"] for entry in line["entries"]] == [
        ["20260101T030405Z-7"], ["20260102T030405Z-7"]
    ]  # fmt: skip


def test_what_was_read_is_remembered(
    here: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for day in (1, 2):
        measure(here, day)
    run(capsys, "push", "*", f"--store={url}")
    there = elsewhere(tmp_path, monkeypatch)
    whole = series(capsys, f"--store={url}")
    (cache,) = (there / ".archbench" / "stores").iterdir()
    read: list[str] = []
    real = Objects.read

    def reading(self: Objects, names: Any) -> Any:
        read.extend(names)
        return real(self, names)

    monkeypatch.setattr(Objects, "read", reading)
    assert series(capsys, f"--store={url}") == whole
    assert read == []
    # A torn line is read again.
    cache.write_bytes(cache.read_bytes()[:-20])
    assert series(capsys, f"--store={url}") == whole
    assert [name.partition("/")[0] for name in read] == ["summaries"]


def test_a_report_has_the_latest_run_of_each_device(
    here: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for day, slug in ((1, "cpu-x"), (2, "cpu-x"), (3, "v100"), (6, "v100")):
        measure(here, day, slug=slug)
    run(capsys, "push", "*", f"--store={url}")
    latest, older = (
        json.loads(run(capsys, "report", source, "--format=json").out)["rows"]
        for source in ("20260106", "20260102")
    )
    elsewhere(tmp_path, monkeypatch)
    rows = json.loads(run(capsys, "report", f"--store={url}", "--format=json").out)["rows"]
    assert rows == older + latest
    named = run(capsys, "report", "20260102", f"--store={url}", "--format=json").out
    assert json.loads(named)["rows"] == older
    run(capsys, "report", f"--store={url}")
    page = Path("report/index.html").read_text(encoding="utf-8")
    assert '"when":"2026-01-01T03:04:05+00:00"' in page  # of the history


def test_a_page_has_so_many_entries(
    here: Path, url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in range(1, 8):
        measure(here, day)
    run(capsys, "push", "*", f"--store={url}")
    monkeypatch.setattr("archbench.cli.report.MOST_ENTRIES", 4 * 5)
    run(capsys, "report", f"--store={url}")
    page = Path("report/index.html").read_text(encoding="utf-8")
    assert "Of the history of each cell the page has the last 5: archbench history" in page
    assert page.count('"metric":"latency","value"') == 4 * 5


def test_the_store_of_the_project(here: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    measure(here, 1)
    Path("pyproject.toml").write_text(f'[tool.archbench]\nstore = "{url}"\n', encoding="utf-8")
    assert f"pushed to {url}: 1;" in run(capsys, "push").out
    assert "here already: 1\n" in run(capsys, "pull").out
    assert run(capsys, "history", "resnet50", "--store").out.startswith("timm/resnet50 cpu-x")
    # Without the option nobody asks the store.
    assert series(capsys)["lines"] == series(capsys, "--store")["lines"]


def test_what_stands_behind_the_option_is_its_value(
    here: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    measure(here, 1)
    Path("pyproject.toml").write_text(f'[tool.archbench]\nstore = "{url}"\n', encoding="utf-8")
    assert run(capsys, "history", "--store", "resnet50", status=2).err == (
        "archbench: --store=resnet50: there is no such directory. Write a URL; or --store behind "
        "everything else for the project's own store\n"
    )


def test_no_store_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measure(here, 1)
    assert run(capsys, "push", status=2).err == (
        "archbench: --store: no store is named. Write --store=URL, or store = "
        '"s3://bucket/archbench" in [tool.archbench] of pyproject.toml\n'
    )


@pytest.mark.parametrize("command", ["pull", "history", "report"])
@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        ({}, 2, "there is no store. Begin one: archbench push --store={url}"),
        (
            {"a.txt": b"", "b.txt": b""}, 2,
            "it is not a store; it holds a.txt, b.txt. Name the place of a store, or an empty "
            "place to begin one with archbench push",
        ),
        ({"archbench-store-1": b""}, 1, "no run is in it. Push one: archbench push --store={url}"),
        (
            {"archbench-store-2": b""}, 2,
            "it is a store of another version (archbench-store-2). Update pytest-archbench",
        ),
    ],
)  # fmt: skip
def test_places_that_hold_no_runs(
    command: str, content: dict[str, bytes], status: int, message: str, here: Path, url: str,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name, text in content.items():
        (tmp_path / "team").mkdir(exist_ok=True)
        (tmp_path / "team" / name).write_bytes(text)
    error = run(capsys, command, f"--store={url}", status=status).err
    assert error == f"archbench: --store={url}: {message.format(url=url)}\n"


def test_a_place_with_other_things_becomes_no_store(
    here: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measure(here, 1)
    (tmp_path / "team").mkdir()
    (tmp_path / "team" / "photo.jpg").write_bytes(b"")
    error = run(capsys, "push", f"--store={url}", status=2).err
    assert "it is not a store; it holds photo.jpg." in error
    assert list(objects(tmp_path)) == ["photo.jpg"]


def test_a_run_that_does_not_exist(
    here: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    measure(here, 1)
    run(capsys, "push", f"--store={url}")
    for command in ("pull", "report"):
        assert run(capsys, command, "2025", f"--store={url}", status=2).err == (
            f"archbench: 2025: {url} has no such run; the latest are 20260101T030405Z-7. "
            "Write the id of a run, the beginning of one, or a glob in quotes\n"
        )
    error = run(capsys, "push", "2025", f"--store={url}", status=2).err
    assert error.startswith("archbench: 2025: there is no such run or file; ")


def test_runs_are_pulled_by_name(
    here: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for day in (1, 2, 6):
        measure(here, day)
    printed = run(capsys, "push", "*", f"--store={url}").out
    environment = re.search(r"(\w{16})/20260106", printed)
    assert environment is not None
    for request, days in (
        ("20260102", ["02"]), ("2026010[12]*", ["01", "02"]), (f"{environment[1]}/", ["06"])
    ):  # fmt: skip
        there = elsewhere(tmp_path, monkeypatch, request[:10].replace("[", ""))
        run(capsys, "pull", request, f"--store={url}")
        found = sorted(path.name[6:8] for path in (there / ".archbench" / "runs").iterdir())
        assert found == days


@pytest.mark.parametrize("damage", ["half", "other", "text"])
def test_a_damaged_run_is_left_out_and_said(
    damage: str, here: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for day in (1, 2):
        measure(here, day)
    run(capsys, "push", "*", f"--store={url}")
    (path,) = (tmp_path / "team" / "runs").glob("*/20260101*")
    whole = path.read_bytes()
    other = next((tmp_path / "team" / "runs").glob("*/20260102*")).read_bytes()
    path.write_bytes({"half": whole[:-100], "other": other, "text": b"<html>"}[damage])
    cause = {
        "half": "it was written by half, or is damaged (",
        "other": "its content is not what its name says",
        "text": "it was written by half, or is damaged (",
    }[damage]
    there = elsewhere(tmp_path, monkeypatch)
    printed = run(capsys, "pull", f"--store={url}", status=1)
    assert f"pulled from {url}: 1;" in printed.out
    assert f"20260101T030405Z-7: left out: {cause}" in printed.err
    assert [path.name for path in (there / ".archbench" / "runs").iterdir()] == [
        "20260102T030405Z-7"
    ]
    # Its figures are in the summary, as long as that is whole.
    (line, *_) = series(capsys, "resnet50", "--metric=latency", f"--store={url}")["lines"]
    assert len(line["entries"]) == 2
    elsewhere(tmp_path, monkeypatch, "third")
    (summary,) = (tmp_path / "team" / "summaries").glob("*/*/20260101*")
    summary.write_bytes(summary.read_bytes()[:-1])
    found = series(capsys, "resnet50", "--metric=latency", f"--store={url}")
    assert len(found["lines"][0]["entries"]) == 1
    assert f"20260101T030405Z-7: left out: {cause}" in found["remarks"][0]
    # Who has it pushes it again.
    monkeypatch.chdir(here)
    run(capsys, "push", "20260101", f"--store={url}")
    assert path.read_bytes() == whole


def test_a_summary_is_derived_where_there_is_none(
    here: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A writer that was killed between the two leaves the run alone; so does another version."""
    for day in (1, 2):
        measure(here, day)
    run(capsys, "push", "*", f"--store={url}")
    whole = series(capsys)
    for number, path in enumerate((tmp_path / "team" / "summaries").glob("*/*/*")):
        if number:
            path.unlink()
        else:
            content = b'{"other": 1}'
            digest = hashlib.sha256(content).hexdigest()
            path.rename(path.with_name(f"{path.name.rsplit('.', 2)[0]}.{digest}.json"))
            path.with_name(f"{path.name.rsplit('.', 2)[0]}.{digest}.json").write_bytes(content)
    elsewhere(tmp_path, monkeypatch)
    assert series(capsys, f"--store={url}") == whole
    assert series(capsys, f"--store={url}") == whole
    # Who pushes again adds what is missing.
    monkeypatch.chdir(here)
    run(capsys, "push", "*", f"--store={url}")
    assert len(objects(tmp_path, "summaries")) == 3


def test_another_digit_is_noticed(
    here: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """In a summary, and in what a project remembers of it: both are read again from the run."""
    measure(here, 1)
    run(capsys, "push", f"--store={url}")
    whole = series(capsys)
    (summary,) = (tmp_path / "team" / "summaries").glob("*/*/*")
    assert b"1000000000" in summary.read_bytes()
    summary.write_bytes(summary.read_bytes().replace(b"1000000000", b"1000000009"))
    there = elsewhere(tmp_path, monkeypatch)
    assert series(capsys, f"--store={url}") == whole
    (cache,) = (there / ".archbench" / "stores").iterdir()
    assert b"1000000000" in cache.read_bytes()
    cache.write_bytes(cache.read_bytes().replace(b"1000000000", b"1000000009"))
    assert series(capsys, f"--store={url}") == whole


def test_a_damaged_line_is_said_by_whoever_reads_the_store(
    here: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    journal = measure(here, 1)
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"resnet50", b"resnet51")
    journal.write_bytes(b"".join(lines))
    run(capsys, "push", f"--store={url}")
    elsewhere(tmp_path, monkeypatch)
    remarks = series(capsys, f"--store={url}")["remarks"]
    assert [re.sub(r"\w{16}/", "", one) for one in remarks] == [
        "20260101T030405Z-7: left out: line 3: its checksum is another one"
    ]


def test_what_no_run_has_is_not_unpacked(
    here: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    journal = measure(here, 1)
    monkeypatch.setattr("archbench.store.sharing._packed", lambda _: tar_of("../../evil.txt"))
    run(capsys, "push", f"--store={url}")
    monkeypatch.undo()
    elsewhere(tmp_path, monkeypatch)
    printed = run(capsys, "pull", f"--store={url}", status=1)
    assert "left out: it holds '../../evil.txt', which no run has" in printed.err
    assert not list(tmp_path.rglob("evil.txt"))
    assert journal.exists()


def tar_of(name: str) -> bytes:
    import io
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = 4
        tar.addfile(info, io.BytesIO(b"evil"))
    return buffer.getvalue()


class Refusing(MemoryFileSystem):  # type: ignore[misc]
    """A file system that its user may read, or not even that."""

    protocol = "refusing"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    error: Exception = PermissionError(13, "Access Denied")
    may_read = True

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return MemoryFileSystem._strip_protocol(path.removeprefix("refusing://"))

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        if not self.may_read:
            raise self.error
        return super().ls(path, detail=detail, **kwargs)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        raise self.error


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> type[Refusing]:
    fsspec.register_implementation("refusing", Refusing, clobber=True)
    monkeypatch.setattr(Refusing, "store", {})
    return Refusing


def test_a_store_without_permission(
    here: Path, refusing: type[Refusing], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    measure(here, 1)
    todo = "Ask its owner for access, or set the credentials that its driver reads"
    assert run(capsys, "push", "--store=refusing://team/runs", status=2).err == (
        "archbench: --store=refusing://team/runs: it may not be written to ([Errno 13] Access "
        f"Denied). {todo}\n"
    )
    monkeypatch.setattr(refusing, "may_read", False)
    for command in ("push", "pull", "history", "report"):
        assert run(capsys, command, "--store=refusing://team/runs", status=2).err == (
            "archbench: --store=refusing://team/runs: it may not be read ([Errno 13] Access "
            f"Denied). {todo}\n"
        )


def test_a_store_that_cannot_be_reached(
    here: Path, refusing: type[Refusing], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(refusing, "may_read", False)
    monkeypatch.setattr(refusing, "error", ConnectionError("no route\nto host"))
    assert run(capsys, "pull", "--store=refusing://team", status=2).err == (
        "archbench: --store=refusing://team: it cannot be read (ConnectionError: no route). "
        "Check the URL, and that the place exists and can be reached\n"
    )


def test_secrets_are_never_printed(
    here: Path, refusing: type[Refusing], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Neither those of the URL, nor where a driver repeats it."""
    secret = "refusing://AKIAXYZ:s3cr%2Ft/x@team/runs?token=t0k3n"
    measure(here, 1)
    Path("pyproject.toml").write_text(f'[tool.archbench]\nstore = "{secret}"\n', encoding="utf-8")
    monkeypatch.setattr(
        refusing, "error", OSError(f"{secret} refused AKIAXYZ with s3cr/t/x and t0k3n")
    )
    for words in (("push",), ("pull",), ("history", "--store"), ("report", "--store")):
        printed = run(capsys, *words, status=2)
        said = printed.out + printed.err
        assert "--store=refusing://team/runs: " in said
        assert not re.search("AKIA|s3cr|t/x|t0k3n|token", said), said
    monkeypatch.setattr(refusing, "may_read", False)
    printed = run(capsys, "pull", status=2)
    assert "refusing://team/runs: it cannot be read (OSError: " in printed.err
    assert not re.search("AKIA|s3cr|t/x|t0k3n", printed.err), printed.err


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://bucket/archbench", "s3://bucket/archbench"),
        ("sftp://user:pass@host/dir", "sftp://host/dir"),
        ("sftp://token@host/dir", "sftp://host/dir"),
        ("s3://KEY:sec/ret@bucket/dir", "s3://bucket/dir"),
        ("https://u:p@ss@host/dir?sig=1", "https://host/dir"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("/data/team", "/data/team"),
    ],
)
def test_urls_as_they_are_shown(url: str, said: str) -> None:
    assert shown(url) == said


def test_two_slashes_are_one() -> None:
    assert Objects.open("memory://team//runs//").base == "/team/runs"
    assert Objects.open("http://host//team").base == "http://host/team"


@pytest.mark.parametrize(
    ("url", "missing", "message"),
    [
        (
            "s4://bucket", (),
            "nothing is known about s4://. Write s3://bucket/archbench, file:///directory, or "
            "another URL of fsspec",
        ),
        (
            "s3://bucket", ("s3fs",),
            "a package for s3:// is not installed. pip install s3fs",
        ),
        (
            "gs://bucket", ("gcsfs",),
            "a package for gs:// is not installed. pip install gcsfs",
        ),
        (
            "file:///x", ("fsspec.core",),
            "a package for file:// is not installed. pip install 'pytest-archbench[store]'",
        ),
    ],
)  # fmt: skip
def test_no_driver(
    url: str, missing: tuple[str, ...], message: str, here: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    assert run(capsys, "pull", f"--store={url}", status=2).err == (
        f"archbench: --store={url}: {message}\n"
    )


def test_the_disk_is_full(
    here: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from fsspec.implementations.local import LocalFileSystem

    measure(here, 1)
    real = LocalFileSystem.pipe_file
    seen: list[object] = []

    def half(self: Any, path: str, value: bytes, **kwargs: Any) -> None:
        if "/runs/" not in path:
            real(self, path, value, **kwargs)
            return
        real(self, path, value[:10], **kwargs)
        seen.append(runs_of(Objects.open(url))[0])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LocalFileSystem, "pipe_file", half)
    error = run(capsys, "push", f"--store={url}", status=2).err
    assert "it cannot be written to (OSError: [Errno 28] No space left on device)" in error
    assert seen == [[]]  # nobody sees half of a run
    assert list(objects(tmp_path)) == ["archbench-store-1"]


def test_unfinished_objects_are_passed_over(
    here: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a writer leaves one that was killed; also before there was a store."""
    measure(here, 1)
    (tmp_path / "team").mkdir()
    (tmp_path / "team" / "archbench-store-1.abc.part").write_bytes(b"Ru")
    run(capsys, "push", f"--store={url}")
    (path,) = (tmp_path / "team" / "runs").glob("*/*")
    path.with_name(f"{path.name}.abc.part").write_bytes(b"1")
    assert series(capsys, f"--store={url}")["remarks"] == []


COUNTS = [count_line("timm/a", params=1), count_line("timm/b", params=2)]


def accept(root: Path, *lines: CountLine) -> Path:
    path = root / "baselines" / "complexity.jsonl"
    update_baselines(path, CountLine, lines, root / "lock", only_new=False)
    return path


def test_baselines_come_to_others(
    here: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    mine = accept(here, *COUNTS)
    printed = run(capsys, "push", "--baselines", f"--store={url}").out
    assert printed == (
        "baselines/complexity.jsonl was pushed\nfiles of baselines pushed: 1; there already: 0\n"
    )
    assert "files of baselines pushed: 0; there already: 1" in (
        run(capsys, "push", "--baselines", f"--store={url}").out
    )
    there = elsewhere(tmp_path, monkeypatch)
    printed = run(capsys, "pull", "--baselines", f"--store={url}").out
    assert printed == "baselines/complexity.jsonl: lines added: 2\n"
    assert (there / "baselines" / "complexity.jsonl").read_bytes() == mine.read_bytes()
    # Both add a line, neither knows of the other's.
    accept(there, count_line("timm/c", params=3))
    run(capsys, "push", "--baselines", f"--store={url}")
    monkeypatch.chdir(here)
    accept(here, count_line("timm/d", params=4))
    run(capsys, "push", "--baselines", f"--store={url}")
    run(capsys, "pull", "--baselines", f"--store={url}")
    assert sorted(read_baselines(mine, CountLine).lines) == ["timm/a", "timm/b", "timm/c", "timm/d"]


def test_baselines_that_are_here_stay(
    here: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    accept(here, *COUNTS)
    run(capsys, "push", "--baselines", f"--store={url}")
    there = elsewhere(tmp_path, monkeypatch)
    path = accept(there, replace_params(COUNTS[0], 5))
    printed = run(capsys, "pull", "--baselines", f"--store={url}", status=1)
    assert printed.out == "baselines/complexity.jsonl: lines added: 1\n"
    assert printed.err == (
        f"archbench: {there}/baselines/complexity.jsonl: lines that differ from those of {url} "
        f"stay as they are: timm/a\n"
    )
    assert {key: one.params for key, one in read_baselines(path, CountLine).lines.items()} == {
        "timm/a": 5, "timm/b": 2
    }  # fmt: skip


def replace_params(line: CountLine, params: int) -> CountLine:
    return count_line(line.id, params=params)


def test_the_latest_of_two_accepted_lines_counts(
    here: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for params in (3, 9, 4):
        accept(here, count_line("timm/a", params=params))
        run(capsys, "push", "--baselines", f"--store={url}")
    there = elsewhere(tmp_path, monkeypatch)
    run(capsys, "pull", "--baselines", f"--store={url}")
    lines = read_baselines(there / "baselines" / "complexity.jsonl", CountLine).lines
    assert lines["timm/a"].params == 4


def test_baselines_that_are_damaged(
    here: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    path = accept(here, *COUNTS)
    run(capsys, "push", "--baselines", f"--store={url}")
    (stored,) = (tmp_path / "team" / "baselines").rglob("*.jsonl")
    stored.write_bytes(stored.read_bytes()[:-30])
    elsewhere(tmp_path, monkeypatch)
    printed = run(capsys, "pull", "--baselines", f"--store={url}", status=1)
    assert printed.out == "baselines/complexity.jsonl: lines added: 0\n"
    assert printed.err.endswith("left out: it was written by half, or is damaged\n")
    assert not Path("baselines").exists()
    monkeypatch.chdir(here)
    path.write_bytes(path.read_bytes()[:-30])
    assert "complexity.jsonl:3: the line has no end" in (
        run(capsys, "push", "--baselines", f"--store={url}", status=2).err
    )


def test_no_baselines(here: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    measure(here, 1)
    assert "there are none in" in run(capsys, "push", "--baselines", f"--store={url}", status=1).err
    run(capsys, "push", f"--store={url}")
    assert run(capsys, "pull", "--baselines", f"--store={url}", status=1).err == (
        f"archbench: --store={url}: no baselines are in it. Push some: archbench push --baselines "
        f"--store={url}\n"
    )


ON_S3 = """
import sys, fsspec
from archbench import cli

fsspec.filesystem("s3").mkdir("bucket")
import os
here, there = sys.argv[1:]
store = "--store=s3://bucket/team/archbench"
def run(*words):
    print("$", *words, flush=True)
    print("->", cli.main([*words, store]), flush=True)
os.chdir(here)
run("pull")
run("push", "*")
run("push", "*")
run("push", "--baselines")
os.chdir(there)
run("pull", "--baselines")
run("history", "resnet50", "--metric=latency", "--format=csv")
run("history", "resnet50", "--metric=latency", "--format=csv")
run("pull", "2026010[12]*")
fs = fsspec.filesystem("s3", use_listings_cache=False)
for name in fs.find("bucket"):
    print("object", name)
    if "/20260103" in name:
        fs.pipe_file(name, fs.cat_file(name)[:-9])
run("pull")
print("$ no bucket")
store = "--store=s3://nowhere/team"
run("push", "20260101")
run("pull")
"""


def test_a_server_that_speaks_s3(
    here: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """moto's server, by a process of its own, and s3fs in another."""
    pushed = [measure(here, day, outcomes=day == 1) for day in (1, 2, 3)]
    accept(here, *COUNTS)
    (tmp_path / "there").mkdir()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert server.stdout is not None
    try:
        lines = iter(server.stdout.readline, "")
        address = next(m[1] for line in lines if (m := re.search(r"(http://127[\d.:]+)", line)))
        environment = {
            **os.environ, "AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "AKIAXYZ",
            "AWS_SECRET_ACCESS_KEY": "s3cr3t", "AWS_DEFAULT_REGION": "us-east-1",
            "PYTHONPATH": ":".join(sys.path),
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", ON_S3, str(here), str(tmp_path / "there")],
            env=environment, capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
    assert done.returncode == 0, done.stdout + done.stderr
    name = "s3://bucket/team/archbench"
    parts = dict(re.findall(r"^\$ (.*)\n((?:(?!\$).*\n)*)", done.stdout, re.MULTILINE))
    assert list(re.findall(r"^-> (\d)", done.stdout, re.MULTILINE)) == list("20000000122")
    assert f"there is no store. Begin one: archbench push --store={name}" in done.stderr
    assert parts["push *"].startswith("20260101T030405Z-7 is there\n")
    assert f"pushed to {name}: 0; there already: 3" in parts["push *"]
    assert parts["pull --baselines"].startswith("baselines/complexity.jsonl: lines added: 2\n")
    csv = parts["history resnet50 --metric=latency --format=csv"]
    assert csv.count("2026010") >= 3
    assert f"pulled from {name}: 2; here already: 0" in parts["pull 2026010[12]*"]
    names = re.findall(r"^object bucket/team/archbench/(.*)$", done.stdout, re.MULTILINE)
    assert sorted({one.partition("/")[0] for one in names}) == [
        "archbench-store-1", "baselines", "runs", "summaries"
    ]  # fmt: skip
    assert len(names) == 1 + 1 + 3 + 3
    assert "20260103T030405Z-7: left out: it was written by half" in done.stderr
    assert "--store=s3://nowhere/team: it cannot be written to (" in done.stderr
    assert "s3cr3t" not in done.stdout + done.stderr
    pulled = tmp_path / "there" / ".archbench" / "runs"
    assert sorted(path.name for path in pulled.iterdir()) == [
        path.parent.name for path in pushed[:2]
    ]
    for path in pushed[:2]:
        assert (pulled / path.parent.name / path.name).read_bytes() == path.read_bytes()
