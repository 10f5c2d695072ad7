"""``archbench history`` over journals that the tests write."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from archbench import cli
from archbench.core.entries import MetricEntry
from archbench.core.headers import RunHeader
from archbench.core.records import Record
from archbench.core.spec import Target
from archbench.store.journal import Journal

TIMES = [0.010, 0.0101, 0.0099, 0.010, 0.012, 0.0121, 0.0119, 0.012]


def store(
    root: Path,
    day: int,
    latency: float,
    *,
    id: str = "timm/resnet50",
    slug: str = "cpu-x",
    commit: str | None = None,
    macs: int = 7,
    **config: Any,
) -> Journal:
    header: RunHeader = {
        "environment": {
            "time": f"2026-01-{day:02d}T03:04:05+00:00",
            "git": {"commit": commit or f"{day:040x}", "dirty": False},
        }
    }
    journal = Journal(root / ".archbench" / "runs", header, f"202601{day:02d}T030405Z-1")
    target = Target("cpu", "X", slug, **config)
    metrics: dict[str, MetricEntry] = {
        "macs": {"value": macs, "unit": "1", "source": "counted"},
        "latency": {"samples": [latency], "unit": "s", "source": "measured"},
    }
    journal.append(Record(id, target, metrics))
    return journal


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for day, latency in enumerate(TIMES, 1):
        store(tmp_path, day, latency)
    return tmp_path


def lines(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    assert cli.main(["history", *arguments, "--format=json"]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["lines"]
    return found


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 1) -> str:
    assert cli.main(["history", *arguments]) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err


def test_the_overview_and_a_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["history"]) == 0
    printed = capsys.readouterr().out
    assert "10 -> 12, +20.0 %" in printed
    assert "1 line of counts never changed." in printed
    assert cli.main(["history", "resnet50", "--metric=latency"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("timm/resnet50 cpu-x fp32 batch 1: latency ms\n")
    assert printed.count("2026-01-") == 8
    assert "◆ 10 -> 12, +20.0 %" in printed
    assert "MACs" not in printed


def test_metrics(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {line["metric"] for line in lines(capsys)} == {"latency", "macs"}
    (line,) = lines(capsys, "--metric=throughput")
    assert line["unit"] == "1/s"
    assert [entry["value"] for entry in line["entries"]] == pytest.approx([1 / t for t in TIMES])


def test_runs_of_different_devices_are_never_mixed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(project, 9, 0.001, slug="v100")
    found = {line["device"]: len(line["entries"]) for line in lines(capsys, "--metric=latency")}
    assert found == {"cpu-x": 8, "v100": 1}
    chosen = lines(capsys, "--device=v100")
    assert {(line["device"], line["metric"]) for line in chosen} == {
        ("v100", "latency"),
        (None, "macs"),  # counts are of every device
    }
    assert [line["device"] for line in lines(capsys, "--device=cpu*", "--metric=latency")] == [
        "cpu-x"
    ]


def test_ways_of_running_are_never_mixed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(project, 9, 0.001, runtime="compiled", memory_format="nhwc", cold_cache=False)
    store(project, 10, 0.010, runtime="eager", memory_format="nchw", cold_cache=False)
    found = {line["runtime"]: len(line["entries"]) for line in lines(capsys, "--metric=latency")}
    # Runs from before there were runtimes were eager.
    assert found == {"eager": 9, "compiled": 1}
    (chosen,) = lines(capsys, "--runtime=compiled", "--metric=latency")
    assert (chosen["memory_format"], chosen["cold_cache"], chosen["largest_batch"]) == (
        "nhwc", False, False
    )  # fmt: skip
    assert cli.main(["history", "--memory-format=nhwc", "--metric=latency"]) == 0
    assert "cpu-x fp32 batch 1 nhwc compiled" in capsys.readouterr().out
    assert cli.main(["history", "--format=csv", "--metric=latency"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["runtime"] for row in rows].count("compiled") == 1
    assert "--runtime=cudagraph: nothing stored is of that, only of compiled, eager" in refusal(
        capsys, "--runtime=cudagraph"
    )


def test_runs_of_one_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for day, latency in enumerate([0.01, 0.03, 0.02], 1):
        store(tmp_path, day, latency, commit="abc")
    (line,) = lines(capsys, "--metric=latency")
    assert [entry["value"] for entry in line["entries"]] == [0.02]
    assert len(line["entries"][0]["sources"]) == 3
    (line,) = lines(capsys, "--metric=latency", "--every-run")
    assert [entry["value"] for entry in line["entries"]] == [0.01, 0.03, 0.02]


def test_since(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = lines(capsys, "--metric=latency", "--since=2026-01-05")
    assert [entry["value"] for entry in line["entries"]] == TIMES[4:]
    assert line["entries"][0]["change_point"] is not None
    said = refusal(capsys, "--since=2027-01-01")
    assert "archbench history --since=2027-01-01: nothing is as new" in said
    assert "--since=soon: that is no date. Write it as 2026-01-31" in refusal(
        capsys, "--since=soon", status=2
    )


def test_no_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    said = refusal(capsys)
    assert f"no run is stored in {tmp_path / '.archbench' / 'runs'}" in said
    assert "Measure something: pytest --pyargs archbench.benchmarks" in said
    assert cli.main(["history", "--format=json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "lines": [],
        "remarks": [said.removeprefix("archbench: ").rstrip()],
    }


def test_a_metric_that_no_run_holds(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "none of 8 stored files holds top5" in refusal(capsys, "--metric=top5")
    assert "Write 'latency'" in refusal(capsys, "--metric=latncy", status=2)


def test_an_unknown_id_suggests_near_ones(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(project, 9, 0.01, id="torchvision/vgg16")
    assert refusal(capsys, "resnt50") == (
        "archbench: archbench history resnt50: no stored run holds 'resnt50'. "
        "Near it are timm/resnet50\n"
    )
    assert "Stored are timm/resnet50, torchvision/vgg16" in refusal(capsys, "qqq")
    assert len(lines(capsys, "timm/*", "vgg16", "--metric=latency")) == 2


@pytest.mark.parametrize(
    ("option", "known"),
    [("--device=v100", "cpu-x"), ("--dtype=fp16", "fp32"), ("--batch-size=8", "1")],
)
def test_a_target_that_nothing_is_of(
    project: Path, capsys: pytest.CaptureFixture[str], option: str, known: str
) -> None:
    assert f"{option}: nothing stored is of that, only of {known}." in refusal(capsys, option)


def test_one_run_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    store(tmp_path, 1, 0.01)
    assert cli.main(["history", "resnet50"]) == 0
    # A count that is there once has no change to be missed.
    printed = capsys.readouterr().out
    assert printed.count("No change points") == 1
    assert printed.endswith("\n\nNo change points: change points need 6 entries, there is 1.\n")
    assert cli.main(["history", "resnet50", "--metric=latency", "--metric=throughput"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("No change points") == 1
    assert "No change points in some lines: change points need 6 entries, there is 1." in printed


def test_a_damaged_line_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = store(project, 9, 0.012)
    with journal.path.open("a", encoding="utf-8") as file:
        file.write('{"kind":"cell","id":"timm\n')
    assert cli.main(["history"]) == 0
    assert f"- {journal.path}:3: left out: JSONDecodeError" in capsys.readouterr().out
    assert cli.main(["history", "--format=csv"]) == 0
    printed = capsys.readouterr()
    assert "left out" not in printed.out
    assert f"archbench: {journal.path}:3: left out" in printed.err


def test_another_storage(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "elsewhere").mkdir()
    document = {
        "machine_info": {"cpu": {"brand_raw": "AMD EPYC 7763 64-Core Processor"}},
        "commit_info": {"id": "abc"},
        "datetime": "2026-01-09T03:04:05+00:00",
        "benchmarks": [{"fullname": "t.py::t", "stats": {"median": 2.0}}],
    }
    (project / "elsewhere" / "0001.json").write_text(json.dumps(document), encoding="utf-8")
    (line,) = lines(capsys, "t.py::t", "--storage=elsewhere")
    assert (line["device"], line["entries"][0]["value"]) == ("cpu-amd-epyc-7763", 2.0)
    said = refusal(capsys, "--storage=nowhere", status=2)
    assert "--storage=nowhere: there is no such directory" in said


def test_baselines_need_git(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    assert "archbench history --baselines: git has no history of" in refusal(
        capsys, "--baselines", status=2
    )


def test_a_terminal_without_the_bars(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "archbench", "history"],
        env={"PYTHONIOENCODING": "ascii", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "????????" in done.stdout


def test_the_command_starts_light(project: Path) -> None:
    code = (
        "import sys; from archbench import cli; "
        "cli.main(['history', '--metric=macs']); "
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True, text=True, timeout=900, check=True,
    )  # fmt: skip
    modules = set(done.stdout.splitlines()[-1].split())
    assert "archbench" in modules
    assert not modules & {"torch", "numpy", "scipy", "psutil", "fsspec"}
