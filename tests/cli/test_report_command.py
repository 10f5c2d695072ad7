"""``archbench report`` as tables and data."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archbench import cli
from archbench.core.entries import MetricEntry
from archbench.core.records import Record

if TYPE_CHECKING:
    from tests.cli.conftest import StoredRuns


def out(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["report", *arguments]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 2) -> str:
    assert cli.main(["report", *arguments]) == status
    return capsys.readouterr().err


def test_text(capsys: pytest.CaptureFixture[str], store_run: StoredRuns) -> None:
    store_run(
        "r",
        store_run.record("timm/resnet50", [0.010] * 6),
        store_run.record("local/my_net", [0.002] * 6),
    )
    lines = out(capsys, "--format=text").splitlines()
    assert lines[0].split() == [
        "architecture", "library", "top-1", "%", "params", "M", "GMACs", "latency", "ms",
        "images/s",
    ]  # fmt: skip
    assert lines[2].split() == [
        "resnet50",
        "timm",
        lines[2].split()[2],
        "0.001",
        "0.002",
        "10",
        "100",
    ]
    assert lines[2].split()[2].endswith("*")
    assert lines[3].split() == ["my_net", "local", "-", "0.001", "0.002", "2", "500"]
    assert lines[-1] == "* published, not measured here."


def test_a_run_without_accuracy_has_no_column_for_it(
    capsys: pytest.CaptureFixture[str], store_run: StoredRuns
) -> None:
    store_run("r", store_run.record("local/my_net", [0.002] * 6))
    text = out(capsys, "--format=text")
    assert "top-1" not in text
    assert "published" not in text


def test_several_targets_and_runs_are_columns(
    capsys: pytest.CaptureFixture[str], store_run: StoredRuns
) -> None:
    store_run("r", store_run.record("timm/resnet50", [0.010] * 6))
    store_run("s", store_run.record("timm/resnet50", [0.010] * 6, batch_size=2))
    lines = out(capsys, "r", "s", "--format=markdown").splitlines()
    assert lines[0].startswith("| architecture | library | target | run |")
    assert lines[1].startswith("|---|---|---|---|---:|")
    assert lines[3].startswith("| resnet50 | timm | cpu-x fp32 batch 2 | s |")


COMPILED = {"memory_format": "nhwc", "runtime": "compiled"}


def test_ways_of_running_are_rows_of_their_own(
    capsys: pytest.CaptureFixture[str], store_run: StoredRuns
) -> None:
    store_run(
        "r",
        store_run.record("timm/resnet50", [0.010] * 6, batch_size=8),
        store_run.record("timm/resnet50", [0.005] * 6, batch_size=8, config=COMPILED),
        store_run.record("timm/resnet50", [0.020] * 6, batch_size=8, config={"cold_cache": True}),
        store_run.record(
            "timm/resnet50", [0.010] * 6, batch_size=8, config={"largest_batch": True}
        ),
    )
    lines = out(capsys, "--format=markdown").splitlines()[2:6]
    assert [line.split(" | ")[2] for line in lines] == [
        "cpu-x fp32 batch 8", "cpu-x fp32 batch 8 nhwc compiled", "cpu-x fp32 batch 8 cold cache",
        "cpu-x fp32 batch 8 (max)",
    ]  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(out(capsys, "--format=csv"))))
    fields = ("memory_format", "runtime", "cold_cache", "largest_batch")
    assert [tuple(line[name] for name in fields) for line in rows] == [
        ("nchw", "eager", "False", "False"), ("nhwc", "compiled", "False", "False"),
        ("nchw", "eager", "True", "False"), ("nchw", "eager", "False", "True"),
    ]  # fmt: skip


def test_what_a_device_measures_has_columns(
    capsys: pytest.CaptureFixture[str], store_run: StoredRuns
) -> None:
    def measured(value: float, unit: str) -> dict[str, Any]:
        return {"value": value, "unit": unit, "source": "measured"}

    store_run(
        "r",
        store_run.record(
            "local/my_net", [0.010] * 6, config={**COMPILED, "asked": "v100"},
            device_time={"samples": [0.004] * 6, "unit": "s", "source": "measured"},
            max_batch_size=measured(512, "1"), peak_memory=measured(2e8, "B"),
            reserved_memory=measured(3e8, "B"), device_memory=measured(4e8, "B"),
            energy_per_image=measured(0.05, "J"), average_power=measured(250.0, "W"),
            compile_time=measured(12.5, "s"), graph_breaks=measured(0, "1"),
            recompilations=measured(2, "1"),
        ),
    )  # fmt: skip
    header, _, line = out(capsys, "--format=markdown").splitlines()[:3]
    cells = dict(zip(header.split(" | "), line.split(" | "), strict=True))
    expected = {
        "device time ms": "4", "max batch size": "512", "peak memory MB": "200",
        "reserved memory MB": "300", "device memory MB": "400", "energy per image mJ": "50",
        "average power W": "250", "compile time s": "12.5", "graph breaks": "0",
    }  # fmt: skip
    assert {title: cells[title] for title in expected} == expected
    assert line.endswith("| 2 |")  # recompilations
    document = json.loads(out(capsys, "--format=json"))
    (row,) = document["rows"]
    assert row["values"]["device_time"]["value"] == 0.004
    assert (row["runtime"], row["asked"]) == ("compiled", "v100")


def test_names_with_html_stay_text(
    capsys: pytest.CaptureFixture[str], store_run: StoredRuns
) -> None:
    store_run("r", store_run.record("local/<b>|x", [0.010] * 6))
    assert "| &lt;b&gt;\\|x | local |" in out(capsys, "--format=markdown")


def test_csv_has_everything_unrounded(
    capsys: pytest.CaptureFixture[str], store_run: StoredRuns
) -> None:
    store_run("r", store_run.record("timm/resnet50", [0.0123456789] * 6))
    (line,) = csv.DictReader(io.StringIO(out(capsys, "--format=csv")))
    assert line["id"] == "timm/resnet50"
    assert line["latency"] == "0.0123456789"
    assert line["latency_low"] == "0.0123456789"
    assert line["latency_kind"] == "measured"
    assert line["latency_source"] == "r"
    assert line["top1_kind"] == "published"
    assert line["params"] == "1000"
    assert line["status"] == ""


def test_json_names_what_was_left_out(
    capsys: pytest.CaptureFixture[str], store_run: StoredRuns
) -> None:
    path = store_run("r", store_run.record("timm/resnet50", [0.01]))
    with path.open("a", encoding="utf-8") as file:
        file.write("damaged\n")
    assert cli.main(["report", "--format=json"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["schema"] == 1
    assert [row["id"] for row in document["rows"]] == ["timm/resnet50"]
    assert document["remarks"][0].startswith(f"{path}:4: left out: ")
    assert captured.err == ""
    assert cli.main(["report", "--format=text"]) == 0
    assert f"archbench: {path}:4: left out: " in capsys.readouterr().err


def test_into_a_file(
    capsys: pytest.CaptureFixture[str], store_run: StoredRuns, tmp_path: Path
) -> None:
    store_run("r", store_run.record("timm/resnet50", [0.01]))
    assert out(capsys, "--format=csv", "-o", "all.csv") == "all.csv\n"
    assert (tmp_path / "all.csv").read_text(encoding="utf-8").startswith("id,name,library,")
    assert "it cannot be written" in refused(capsys, "--format=csv", "-o", "no/such/all.csv")


def test_bad_input(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "Measure something: pytest --pyargs archbench.benchmarks" in refused(
        capsys, "--format=text", status=1
    )
    assert cli.main(["report", "--format=json"]) == 1
    assert json.loads(capsys.readouterr().out)["rows"] == []
    assert "no run is stored" in refused(capsys, status=1)
    assert not (tmp_path / "report").exists()
    assert "charts are named for pictures" in refused(
        capsys, "published:bianco2018", "--charts=x", "--format=csv"
    )
    assert "there is no published table of that name" in refused(
        capsys, "published:x", "--format=csv"
    )


def test_a_run_that_no_chart_can_be_drawn_of(
    capsys: pytest.CaptureFixture[str], store_run: StoredRuns, tmp_path: Path
) -> None:
    macs: MetricEntry = {"value": 7, "unit": "1", "source": "counted"}
    store_run("r", Record("local/net", None, {"macs": macs}))
    assert "no chart has its figures: top1: no row has" in refused(capsys, "--format=svg", status=1)
    assert "chart top1: no row has top-1." in refused(
        capsys, "--format=png", "--charts=top1", status=1
    )
    assert not list(tmp_path.glob("report/[!.]*"))


def test_what_the_output_may_not_be(
    capsys: pytest.CaptureFixture[str], store_run: StoredRuns, tmp_path: Path
) -> None:
    store_run("r", store_run.record("local/my_net", [0.002] * 6))
    for output in ("", "."):
        assert "it names no file" in refused(capsys, "--format=csv", f"--output={output}")
    assert "it names no chart" in refused(capsys, "--format=png", "--charts=")
    source = tmp_path / "own.jsonl"
    source.write_bytes(next(tmp_path.rglob("journal.jsonl")).read_bytes())
    before = source.read_bytes()
    said = refused(capsys, str(source), "--format=csv", f"--output={source}")
    assert "it is what the report is made from" in said
    assert source.read_bytes() == before
    real, link = tmp_path / "real.csv", tmp_path / "link.csv"
    real.touch()
    link.symlink_to(real)
    out(capsys, "--format=csv", f"--output={link}")
    assert link.is_symlink()
    assert real.read_text(encoding="utf-8").startswith("id,")


def test_pictures_and_why_one_is_left_out(
    capsys: pytest.CaptureFixture[str], store_run: StoredRuns, tmp_path: Path
) -> None:
    store_run("r", store_run.record("local/my_net", [0.002] * 6))
    assert cli.main(["report", "--format=svg", f"--output={tmp_path / 'pictures'}"]) == 0
    captured = capsys.readouterr()
    written = {Path(line).name for line in captured.out.split()}
    assert written == {path.name for path in (tmp_path / "pictures").iterdir()}
    assert "operations-time.svg" in written
    assert "archbench: chart top1 is left out: no row has top-1" in captured.err
    assert "top1.svg" not in written


def test_git_ignores_the_directory_that_nobody_has_named(
    capsys: pytest.CaptureFixture[str], store_run: StoredRuns, tmp_path: Path
) -> None:
    store_run("r", store_run.record("timm/resnet50", [0.010] * 6))
    out(capsys, "--output=named")
    assert [path.name for path in (tmp_path / "named").iterdir()] == ["index.html"]
    assert Path(out(capsys).strip()) == Path("report/index.html")
    assert (tmp_path / "report" / ".gitignore").read_text(encoding="utf-8") == "*\n"
    # Who commits it has to say so once.
    (tmp_path / "report" / ".gitignore").unlink()
    out(capsys)
    assert not (tmp_path / "report" / ".gitignore").exists()


def test_the_page_by_default_and_pictures_where_they_are_asked_for(
    capsys: pytest.CaptureFixture[str], store_run: StoredRuns, tmp_path: Path
) -> None:
    store_run("r", store_run.record("timm/resnet50", [0.010] * 6))

    def written(*options: str) -> set[str]:
        lines = out(capsys, f"--output={tmp_path / 'all'}", *options).split()
        return {Path(line).name for line in lines}

    assert written() == {"index.html"}
    assert written("--charts=top1") == {"index.html", "top1.png", "top1.svg"}
    assert {"index.html", "top1.png", "top1.svg", "ball-macs.png"} <= written("--pictures")
    assert "--pictures with one format alone" in refused(capsys, "--pictures", "--format=csv")
    page = (tmp_path / "all" / "index.html").read_text(encoding="utf-8")
    assert "timm/resnet50" in page
