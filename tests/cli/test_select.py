"""``archbench select``."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archbench import cli
from archbench.catalog.lists import DATA

if TYPE_CHECKING:
    from tests.cli.conftest import StoredRuns


def out(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    assert cli.main(["select", *arguments]) == status
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 2) -> str:
    assert cli.main(["select", *arguments]) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err


BIANCO = ("published:bianco2018", "--device=titan-xp", "--batch-size=1")


def test_limits_on_a_published_table(capsys: pytest.CaptureFixture[str]) -> None:
    text = out(capsys, *BIANCO, "--max-latency=10ms", "--max-memory", "1GB", "--top=2")
    lines = text.splitlines()
    assert [line.split()[1] for line in lines[2:4]] == ["ResNet-101", "CaffeResNet-101"]
    assert lines[2].split()[-6:] == ["77.31*", "44.55", "7.801", "8.9*", "112.4*", "820*"]
    assert lines[5:] == [
        "14 architectures within the limits, of 44 cells.",
        "Beyond --max-latency=10ms: 20.",
        "Beyond --max-memory=1GB: 15.",
        "* published, not measured here.",
    ]


def test_a_way_of_running_is_named_and_chosen(
    capsys: pytest.CaptureFixture[str], store_run: StoredRuns
) -> None:
    store_run(
        "r",
        store_run.record("timm/resnet18", [0.010] * 6),
        store_run.record("timm/resnet18", [0.004] * 6, config={"runtime": "compiled"}),
        store_run.record("timm/resnet18", [0.006] * 6, config={"memory_format": "nhwc"}),
    )
    # The fastest stands for the architecture, and says how it was run.
    assert "cpu-x fp32 batch 1 compiled" in out(capsys)
    assert "cpu-x fp32 batch 1 nhwc" in out(capsys, "--memory-format=nhwc")
    # Of the two that differ by their runtime alone the fastest is left, and the other layout.
    assert "of 2 cells." in out(capsys, "--best-runtime")
    eager = out(capsys, "--runtime=eager", "--memory-format=nchw")
    assert "cpu-x fp32 batch 1  " in eager
    assert "of 1 cell." in eager
    assert "--runtime=cudagraph: no cell is left; there are compiled, eager" in refused(
        capsys, "--runtime=cudagraph", status=1
    )


def test_a_run_of_ones_own(capsys: pytest.CaptureFixture[str], store_run: StoredRuns) -> None:
    store_run(
        "r",
        store_run.record("timm/resnet18", [0.010] * 6),
        store_run.record("timm/resnet50", [0.030] * 6),
        store_run.record("local/my_net", [0.001] * 6),
    )
    text = out(capsys, "--max-latency=20ms")
    assert "resnet18" in text
    assert "resnet50" not in text
    assert "Left out, no top-1 %: 1 (my_net cpu-x fp32 batch 1)." in text
    assert "1 architecture within the limits, of 3 cells." in text


def test_json_and_csv(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(out(capsys, *BIANCO, "--max-params=5M", "--format=json"))
    assert document["limits"] == {"max-params": 5e6}
    assert document["best"][0]["name"] == "MobileNet-v2"
    assert document["best"][0]["values"]["top1"]["kind"] == "published"
    lines = list(
        csv.DictReader(io.StringIO(out(capsys, *BIANCO, "--max-params=5M", "--format=csv")))
    )
    assert [line["name"] for line in lines] == [row["name"] for row in document["best"]]
    assert lines[0]["top1_kind"] == "published"


def test_nothing_within_the_limits(capsys: pytest.CaptureFixture[str]) -> None:
    text = refused(capsys, *BIANCO, "--min-top1=99", status=1)
    assert text.splitlines() == [
        "archbench: 0 architectures within the limits, of 44 cells.",
        "archbench: Beyond --min-top1=99: 44.",
    ]
    document = json.loads(out(capsys, *BIANCO, "--min-top1=99", "--format=json", status=1))
    assert (document["best"], document["outside"]) == ([], {"min-top1": 44})


def test_several_devices_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    text = out(capsys, "published:bianco2018", "--batch-size=1")
    assert "Cells of 2 devices; --device chooses: jetson-tx1, titan-xp." in text


def test_the_table_of_bianco(capsys: pytest.CaptureFixture[str]) -> None:
    lines = out(capsys, "published:bianco2018", "--table").splitlines()
    assert lines[0] == "titan-xp: NVIDIA Titan Xp, batch 1"
    words = [word for word in lines[3].split("  ") if word]
    assert [word.strip() for word in words] == ["<= 0.7 GB", *["DPN-68", "75.95*"] * 3]
    assert lines[-2:] == [
        "jetson-tx1: no peak memory is known; that on titan-xp stands for it.",
        "* published, not measured here.",
    ]
    table = list(
        csv.DictReader(io.StringIO(out(capsys, "published:bianco2018", "--table", "--format=csv")))
    )
    assert len(table) == 9 * 5 + 3 * 5 + (4 + 5 + 5) + (1 + 2 + 2)
    document = json.loads(out(capsys, "published:bianco2018", "--table", "--format=json"))
    assert [len(one["cells"]) for one in document["tables"]] == [9, 9]


def test_a_device_without_memory_has_its_groups_whatever_is_shown_beside_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ("published:bianco2018", "--table", "--format=json")
    both = json.loads(out(capsys, *arguments))
    alone = json.loads(out(capsys, *arguments, "--device=jetson*"))
    assert alone["tables"] == both["tables"][1:]
    # By hand from the paper's tables 1 and 2.
    lines = list(csv.DictReader((DATA / "published" / "bianco2018.csv").open(encoding="utf-8")))
    times, memory = (
        {line["model"]: float(line["value"]) for line in lines if line["batch_size"] == "1"
         and line["metric"] == metric and ("Jetson" in line["device"]) == is_jetson}
        for metric, is_jetson in (("inference_time_per_image", True), ("gpu_memory", False))
    )  # fmt: skip
    assert {
        (cell["memory_limit"], cell["frame_rate"]): cell["within"]
        for cell in alone["tables"][0]["cells"]
    } == {
        (limit, rate): sum(memory[m] * 1e9 <= limit and 1000 / times[m] >= rate for m in times)
        for limit in (0.7e9, 1e9, 1.4e9)
        for rate in (15, 30, 60)
    }
    said = "jetson-tx1: no peak memory is known; that on titan-xp stands for it."
    assert said in alone["remarks"]
    titan = json.loads(out(capsys, *arguments, "--device=titan-xp"))
    assert titan["tables"] == both["tables"][:1]
    assert said not in titan["remarks"]


def test_memory_from_another_device(
    capsys: pytest.CaptureFixture[str], store_run: StoredRuns
) -> None:
    memory = {"value": 5e8, "unit": "B", "source": "measured"}
    store_run(
        "r",
        store_run.record("timm/resnet18", [0.01], peak_memory=memory),
        store_run.record("timm/resnet18", [0.01], slug="v100"),
    )
    arguments = ("--device=v100", "--max-memory=1GB")
    # What was measured here stands in for nothing by itself, in the table neither.
    for unasked in (arguments, ("--device=v100", "--table")):
        assert "no peak memory MB: 1 (resnet18 v100" in refused(capsys, *unasked, status=1)
    text = out(capsys, *arguments, "--memory-from=cpu-x")
    assert "v100: no peak memory is known; that on cpu-x stands for it." in text
    assert text.splitlines()[2].split()[-1] == "500"
    assert "--memory-from=t4: no peak memory is known of it, only of cpu-x. Write" in refused(
        capsys, *arguments, "--memory-from=t4"
    )


def test_a_table_with_limits_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    text = out(
        capsys, *BIANCO[:2], "--table", "--memory-limits=0.65GB", "--frame-rates=200,100", "--top=1"
    )
    assert ">= 100 images/s" in text.splitlines()[1]
    assert text.splitlines()[3].split() == ["<=", "0.65", "GB", *["MobileNet-v2", "71.81*"] * 2]


def test_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    lines = out(capsys, *BIANCO, "--top=1", "--format=markdown").splitlines()
    assert lines[0].startswith("|  | architecture | library |")
    assert lines[1].startswith("|---|---|---|---|---:|")
    assert "| NASNet-A-Large |" in lines[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--max-latency=10 min",),
            "archbench: --max-latency=10 min: 'min' is no unit of a time. "
            "Write a time as '10 ms'; units are s, ms, us\n",
        ),
        (
            ("--table", "--memory-limits=1GX"),
            "archbench: --memory-limits=1GX: 'GX' is no unit of a size. "
            "Write a size as '20 MB'; units are B, kB, MB, GB, KiB, MiB, GiB\n",
        ),
        (("--top=0",), "archbench: --top=0: nothing would be shown. Write --top=5\n"),
        (
            ("--table", "--max-latency=1ms"),
            "archbench: --table with --max-latency: the table has its own limits, at batch size "
            "1. Write --memory-limits=0.7GB,1GB and --frame-rates=15,30, or leave out --table\n",
        ),
        (
            ("--frame-rates=15",),
            "archbench: --frame-rates: these are the limits of --table. Write --table as well, "
            "or --max-memory and --min-throughput\n",
        ),
    ],
)
def test_bad_limits(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert refused(capsys, "published:bianco2018", *arguments) == message


def test_no_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "Measure something: pytest --pyargs archbench.benchmarks" in refused(capsys, status=1)
    for more, expected in (
        (("--format=json",), {"best": []}),
        (("--format=json", "--table"), {"tables": []}),
    ):
        document = json.loads(out(capsys, *more, status=1))
        assert expected.items() <= document.items()
        assert "no run is stored" in document["remarks"][0]
    assert out(capsys, "--format=csv", status=1).startswith("id,name,library,")


def test_a_run_without_accuracy(capsys: pytest.CaptureFixture[str], store_run: StoredRuns) -> None:
    store_run("r", store_run.record("local/my_net", [0.001]))
    assert refused(capsys, status=1) == (
        "archbench: archbench select latest: none of its 1 cells has a top-1 accuracy, measured "
        "or published. Measure architectures of the catalogue, whose accuracy is published: "
        "pytest --pyargs archbench.benchmarks\n"
    )


def test_a_table_of_a_run_without_memory_says_why_it_is_empty(
    capsys: pytest.CaptureFixture[str], store_run: StoredRuns
) -> None:
    store_run("r", store_run.record("timm/resnet50", [0.01]))
    text = refused(capsys, "--table", status=1)
    assert "cpu-x: left out, no peak memory MB: 1 (resnet50 cpu-x fp32 batch 1)." in text


def test_a_table_of_what_was_not_timed_at_batch_1(
    capsys: pytest.CaptureFixture[str], store_run: StoredRuns
) -> None:
    store_run("r", store_run.record("timm/resnet50", [0.01], batch_size=8))
    assert "no cell was timed at batch size 1" in refused(capsys, "--table", status=1)


def test_it_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from archbench import cli\n"
        "cli.main(['select', 'published:bianco2018', '--table'])\n"
        "print('MODULES', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=900
    )
    modules = {name.split(".")[0] for name in done.stdout.rpartition("MODULES")[2].split()}
    assert "archbench" in modules
    assert not modules & {"torch", "timm", "numpy", "pandas", "matplotlib", "plotly", "pytest"}
