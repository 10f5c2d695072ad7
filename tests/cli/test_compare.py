"""``archbench compare``."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import pytest

from archbench import cli
from archbench.core.entries import MetricEntry

if TYPE_CHECKING:
    from tests.cli.conftest import StoredRuns


def out(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["compare", *arguments]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 2) -> str:
    assert cli.main(["compare", *arguments]) == status
    return capsys.readouterr().err


@pytest.fixture
def two_runs(store_run: StoredRuns) -> None:
    store_run(
        "a",
        store_run.record("timm/resnet18", [0.010] * 6),
        store_run.record("timm/resnet34", [0.020] * 6),
        store_run.record("timm/resnet50", [0.030] * 6),
        store_run.record("timm/resnet101", [0.040] * 6),
    )
    store_run(
        "b",
        store_run.record("timm/resnet18", [0.005] * 6),
        store_run.record("timm/resnet34", [0.040] * 6),
        store_run.record("timm/resnet50", [0.031] * 6),
    )


@pytest.mark.usefixtures("two_runs")
def test_two_runs_sorted_by_change(capsys: pytest.CaptureFixture[str]) -> None:
    lines = out(capsys, "a", "b").splitlines()
    assert lines[0].split() == [
        "architecture", "library", "target", "latency", "ms", "a", "latency", "ms", "b", "change",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[2:5]] == ["resnet34", "resnet50", "resnet18"]
    assert lines[2].split()[-4:] == ["20", "40", "+100.0", "%"]
    assert lines[3].split()[-2:] == ["~+3.3", "%"]
    assert lines[4].split()[-2:] == ["-50.0", "%"]
    assert lines[6:] == [
        "3 compared: 1 better, 1 worse, 1 within the measuring error, 0 equal.",
        "Geometric mean of the ratios: 1.011.",  # (2 x 31/30 x 1/2) ** (1/3)
        "Only in a: 1 (resnet101).",
        "~ may be no change: the intervals of the two touch.",
    ]


@pytest.mark.usefixtures("two_runs")
def test_another_metric(capsys: pytest.CaptureFixture[str]) -> None:
    text = out(capsys, "a", "b", "--metric=throughput")
    assert text.splitlines()[2].split()[0] == "resnet18"
    assert "3 compared: 1 better, 1 worse" in text
    assert "3 compared: 0 better, 0 worse, 0 within the measuring error, 3 equal." in out(
        capsys, "a", "b", "--metric=params"
    )


def test_two_networks_under_one_name_are_said_to_be_two(
    capsys: pytest.CaptureFixture[str], store_run: StoredRuns
) -> None:
    larger: MetricEntry = {"value": 1204, "unit": "1", "source": "counted"}
    same = store_run.record("local/same", [0.01] * 6)
    store_run("a", store_run.record("local/net", [0.010] * 6), same)
    store_run("b", store_run.record("local/net", [0.012] * 6, params=larger), same)
    said = "Other networks under the same name, by their counts: net (params 1,000 -> 1,204 "
    assert f"\n{said}(+204, +20.4 %)).\n" in out(capsys, "a", "b")
    assert said not in out(capsys, "a", "a")


@pytest.mark.usefixtures("two_runs")
def test_files(capsys: pytest.CaptureFixture[str]) -> None:
    lines = list(csv.DictReader(io.StringIO(out(capsys, "a", "b", "--format=csv"))))
    assert [(line["id"], line["within_error"]) for line in lines] == [
        ("timm/resnet34", "false"),
        ("timm/resnet50", "true"),
        ("timm/resnet18", "false"),
    ]
    assert (lines[0]["latency"], lines[0]["latency_compared"], lines[0]["change"]) == (
        "0.02",
        "0.04",
        "1.0",
    )
    document = json.loads(out(capsys, "a", "b", "--format=json"))
    assert document["changes"][0]["right"]["values"]["latency"]["value"] == 0.04
    assert [row["name"] for row in document["only_left"]] == ["resnet101"]
    assert out(capsys, "a", "b", "--format=markdown").startswith("| architecture | library |")


def test_two_devices_of_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    text = out(capsys, "published:paddleclas_latency", "--devices", "v100", "t4", "--batch-size=1")
    # PaddleClas prints 2.148 ms on the V100 and 4.647 ms on the T4, both fp32.
    line = text.splitlines()[2].split()
    assert line[0] == "VGG13"
    assert line[-4:] == ["2.148*", "4.647*", "+116.3", "%"]
    assert text.endswith("* published, not measured here.\n")


def test_two_precisions_of_a_run(capsys: pytest.CaptureFixture[str], store_run: StoredRuns) -> None:
    store_run(
        "r",
        store_run.record("timm/resnet50", [0.020] * 6),
        store_run.record("timm/resnet50", [0.010] * 6, dtype="bf16"),
    )
    line = out(capsys, "--dtypes", "fp32", "bf16").splitlines()[2]
    assert line.split()[-4:] == ["20", "10", "-50.0", "%"]
    assert "cpu-x batch 1" in line


COMPILED = {"memory_format": "nhwc", "runtime": "compiled"}


def test_two_runtimes_of_a_run(capsys: pytest.CaptureFixture[str], store_run: StoredRuns) -> None:
    store_run(
        "r",
        store_run.record("timm/resnet50", [0.020] * 6, batch_size=8),
        store_run.record("timm/resnet50", [0.010] * 6, batch_size=8, config=COMPILED),
    )
    lines = out(capsys, "--runtimes", "eager", "compiled").splitlines()
    assert lines[2].split()[-4:] == ["20", "10", "-50.0", "%"]
    assert "cpu-x fp32 batch 8  " in lines[2]
    assert "Run differently: nchw, eager (eager) against nhwc, compiled (compiled)." in lines
    by_format = out(capsys, "--memory-formats", "nhwc", "nchw").splitlines()
    assert by_format[2].split()[-2:] == ["+100.0", "%"]
    document = json.loads(out(capsys, "--runtimes", "eager", "compiled", "--format=json"))
    assert document["apart"] == {
        "memory_format": ["nchw", "nhwc"], "runtime": ["eager", "compiled"]
    }  # fmt: skip
    assert document["changes"][0]["right"]["runtime"] == "compiled"


def test_each_way_of_running_pairs_with_its_like(
    capsys: pytest.CaptureFixture[str], store_run: StoredRuns
) -> None:
    for run, factor in (("a", 1), ("b", 2)):
        store_run(
            run,
            store_run.record("timm/resnet50", [0.020] * 6),
            store_run.record("timm/resnet50", [0.010 * factor] * 6, config=COMPILED),
        )
    lines = out(capsys, "a", "b").splitlines()
    assert lines[2].split()[1:] == [
        "timm", "cpu-x", "fp32", "batch", "1", "nhwc", "compiled", "10", "20", "+100.0", "%"
    ]  # fmt: skip
    assert lines[3].split()[-6:] == ["batch", "1", "20", "20", "+0.0", "%"]


@pytest.mark.usefixtures("two_runs")
def test_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, "a") == (
        "archbench: archbench compare a: two sides are needed, 1 given. "
        "Name two runs, or one and --devices A B, --dtypes A B, --runtimes A B or "
        "--memory-formats A B\n"
    )
    assert "each option makes two" in refused(
        capsys, "a", "--devices", "x", "y", "--dtypes", "x", "y"
    )
    assert "--devices --runtimes: two sides are compared" in refused(
        capsys, "a", "--devices", "x", "y", "--runtimes", "x", "y"
    )
    assert "--runtime=compiled: no cell is left; there are eager" in refused(
        capsys, "a", "--runtimes", "eager", "compiled", status=1
    )
    assert refused(capsys, "a", "--runtimes", "eager", "onnxruntme").startswith(
        "archbench: --runtimes onnxruntme: there is no runtime 'onnxruntme'. Write 'onnxruntime'; "
    )
    assert "--dtypes fp99: there is no precision 'fp99'. " in refused(
        capsys, "a", "--dtypes", "fp32", "fp99"
    )
    assert "no architecture has energy_per_image on both sides" in refused(
        capsys, "a", "b", "--metric=energy_per_image", status=1
    )
    assert "--device=v100: no cell is left; there are cpu-x" in refused(
        capsys, "a", "--devices", "cpu-x", "v100", status=1
    )
    assert "c: there is no such run or file" in refused(capsys, "a", "c")
    arguments = ["compare", "a", "b", "--metric=energy_per_image", "--format=json"]
    assert cli.main(arguments) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["changes"], document["sides"]) == ([], ["a", "b"])
    assert "no architecture has energy_per_image" in document["remarks"][0]
