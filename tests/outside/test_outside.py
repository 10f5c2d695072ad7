"""A device, a runtime, an axis and a library, each from one file outside of the package."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archbench import cli
from archbench.catalog.catalog import load_catalog
from archbench.core import run_config
from archbench.core.run_config import RunConfig
from archbench.devices import registry as devices
from archbench.measure.cells import latency_record, load_guarded
from archbench.measure.hardware import make_target
from archbench.measure.latency import SamplingPlan
from archbench.models.loading import ModelHolder
from archbench.pytest_plugin import brought, repeated
from archbench.pytest_plugin.declared import OPTIONS
from archbench.pytest_plugin.manifest import cell_of
from archbench.runtimes import registry as runtimes
from archbench.runtimes.runtime import Runtime

pytestmark = pytest.mark.usefixtures("preloaded_python")

HERE = Path(__file__).parent
MODEL = "timm/mobilenetv3_small_050"
TEST = """
def test_latency(bench, loaded_model):
    bench.latency(loaded_model)
"""
RULES = """
[[tolerance]]
metric = "latency"
device = "simulator0"
relative = "50 %"

[[budget]]
limit = "latency_p50 <= 0.001 us"
device = "simulator0"
"""
CELLS = ["fp32-b1", "fp32-b1-twice"]

# Notes each pass that the runtime starts.
CONFTEST = """
import one_device
import one_runtime
from dataclasses import replace

prepare = one_runtime.Twice.prepare

def prepare_noting(self, job):
    prepared = prepare(self, job)

    def start():
        with open("passes-of-twice.txt", "a") as file:
            file.write("pass\\n")
        return prepared.start()

    return replace(prepared, start=start)

one_runtime.Twice.prepare = prepare_noting
"""


class Project:
    """Where the two files are imported by conftest.py and by nothing else."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester, self.path = pytester, pytester.path
        for name in ("one_device.py", "one_runtime.py"):
            shutil.copy(HERE / name, self.path)
        pytester.makeconftest(CONFTEST)
        pytester.makepyfile(test_time=TEST)

    def bench(self, *more: str) -> pytest.RunResult:
        return self.pytester.runpytest_inprocess(
            *("test_time.py", f"--archbench-models={MODEL}", "--archbench-time-budget=0.1"),
            *(["--archbench-gpu=sim"] if not any("gpu" in one for one in more) else []),
            *(["--archbench-runtime=eager,twice"] if not any("run" in one for one in more) else []),
            *more,
        )

    def archbench(self, *arguments: str) -> str:
        done = self.pytester.run(sys.executable, "-m", "archbench", *arguments, timeout=900)
        assert done.ret == 0, done.stderr.str()
        return done.stdout.str()


def measured_here(
    config: pytest.Config,
    nodeids: Sequence[str],
    time_budget: float,
    take: Callable[[str, brought.Brought], object],
    began: object = None,
) -> None:
    """Stands for a fresh process, which takes long: measures in this one."""
    for nodeid in nodeids:
        cell = cell_of(nodeid)
        assert cell is not None
        target = make_target("sim", config=RunConfig.parse(cell[1]))
        loaded = load_guarded(ModelHolder(), load_catalog().get(MODEL), target)
        record = latency_record(loaded, SamplingPlan(time_budget=0.1), placements=2)
        # However busy the machine is.
        runs = [replace(run, others=0.0, lost=0.0) for run in record.process_runs]
        record.metrics["latency"]["process_runs"] = runs
        take(nodeid, brought.Brought(record))


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setattr(devices, "_KINDS", dict(devices._KINDS))
    monkeypatch.setattr(runtimes, "_RUNTIMES", dict(runtimes._RUNTIMES))
    monkeypatch.setattr(repeated, "measure_once", measured_here)
    return Project(pytester)


def cells_of(project: Project | pytest.Pytester) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((project.path / "r.json").read_text())["cells"]
    return found


def accepted_and_compared(project: Project, cells: list[str], *asked: str) -> str:
    """A run that is accepted, and one that is judged by rules; what the second one prints."""
    accepted = project.bench(
        *asked, "--archbench-baseline-update", "--archbench-baseline-reason=first"
    )
    accepted.assert_outcomes(passed=2)
    (path,) = (project.path / "baselines").glob("*/fp32.jsonl")
    assert path.parent.name == "simulator0"
    _, *lines = map(json.loads, path.read_text().splitlines())
    assert [line["cell"] for line in lines] == cells

    (project.path / "archbench.toml").write_text(RULES)
    compared = project.bench(*asked, "--archbench-results=r.json", "--junitxml=junit.xml")
    compared.assert_outcomes(failed=2)
    in_junit(cells, (project.path / "junit.xml").read_text())
    for cell in cells_of(project):
        judged = {verdict["metric"]: verdict for verdict in cell["verdicts"]}
        assert judged["latency"]["status"] != "no-baseline"
        assert judged["latency"]["tolerance"] == pytest.approx(0.5)
        assert judged["latency_p50"]["reason"] == "over-budget"
    return compared.stdout.str()


def test_a_run_and_what_is_made_of_it(project: Project) -> None:
    in_table(accepted_and_compared(project, CELLS))
    in_results(cells_of(project))
    passes = (project.path / "passes-of-twice.txt").read_text().splitlines()
    assert len(passes) > len(cells_of(project)[1]["metrics"]["latency"]["samples"])

    chosen = project.archbench(
        *("select", "r.json", "--device=simulator*", "--runtime=twice", "--max-latency=10s"),
        "--format=json",
    )
    assert MODEL in chosen
    project.archbench("report", "r.json", "--format=html", "-o", "page.html")
    page = (project.path / "page.html").read_text()
    assert "simulator0" in page
    assert "twice" in page


def in_junit(cells: list[str], text: str) -> None:
    for cell in cells:
        assert f"test_latency[{MODEL}-{cell}]" in text
    assert "over its budget latency_p50 &lt;= 0.001 us" in text


def in_table(text: str) -> None:
    assert "sim:0 (Simulator 0)" in text
    rows = [line for line in text.splitlines() if line.startswith("mobilenetv3_small_050 ")]
    assert ["twice" in row for row in rows] == [False, True]


def in_results(cells: list[dict[str, Any]]) -> None:
    targets = [cell["target"] for cell in cells]
    assert {(one["device"], one["slug"]) for one in targets} == {("sim:0", "simulator0")}
    assert [one["runtime"] for one in targets] == ["eager", "twice"]
    once, twice = (cell["metrics"] for cell in cells)
    assert twice["preparation"] == {"value": 2, "unit": "1", "source": "measured"}
    assert "preparation" not in once
    for metrics in (once, twice):
        # The device's clock goes a hundred times as fast as the host's, whatever else runs.
        assert min(metrics["device_time"]["samples"]) > min(metrics["latency"]["samples"])
        assert metrics["device_time"]["queue_full"] is None


@pytest.fixture
def forgotten_axes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test registers is gone behind it."""
    monkeypatch.setattr(run_config, "_AXES", dict(run_config._AXES))
    options = dict(OPTIONS)
    yield
    OPTIONS.clear()
    OPTIONS.update(options)


@pytest.mark.usefixtures("forgotten_axes")
def test_an_axis_and_what_is_made_of_it(pytester: pytest.Pytester) -> None:
    shutil.copy(HERE / "one_axis.py", pytester.path)
    pytester.makeconftest("import one_axis")
    pytester.makepyfile(
        test_time="""
        import pytest, torch

        @pytest.fixture
        def tiny():
            return torch.full((1000,), 1e-40)

        def test_latency(bench, loaded_model, tiny):
            bench.latency(loaded_model)
            with loaded_model.running():
                print("sum of denormals", bool((tiny * 1).sum() == 0))
        """
    )
    ran = pytester.runpytest_inprocess(
        "test_time.py", f"--archbench-models={MODEL}", "--archbench-quick", "-rP",
        "--archbench-denormals=kept,flushed", "--archbench-results=r.json",
        "--junitxml=junit.xml", plugins=[],
    )  # fmt: skip
    ran.assert_outcomes(passed=2)
    text = ran.stdout.str()
    assert f"test_latency[{MODEL}-fp32-b1-denormals=flushed]" in text
    assert re.findall("sum of denormals (True|False)", text) == ["False", "True"]
    rows = [line for line in text.splitlines() if line.startswith("mobilenetv3_small_050 ")]
    assert ["denormals=flushed" in row for row in rows] == [False, True]
    cells = json.loads((pytester.path / "r.json").read_text())["cells"]
    assert [cell["target"]["more"] for cell in cells] == [[], [["denormals", "flushed"]]]
    assert 'name="denormals" value="flushed"' in (pytester.path / "junit.xml").read_text()
    shown = pytester.run(
        sys.executable, "-m", "archbench", "compare", "r.json", "r.json", timeout=900
    )
    assert shown.stdout.str().count("fp32 batch 1 denormals flushed") == 1
    pytester.run(
        *(sys.executable, "-m", "archbench", "report", "r.json", "--format=html", "-o", "p.html"),
        timeout=900,
    )
    assert "denormals flushed" in (pytester.path / "p.html").read_text()


@pytest.mark.usefixtures("forgotten_axes")
def test_an_axis_is_accepted_judged_and_chosen_by(
    project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(HERE / "one_axis.py", project.path)
    project.pytester.makeconftest("import one_device, one_axis")
    cells = ["fp32-b1", "fp32-b1-denormals=flushed"]
    accepted_and_compared(
        project, cells, "--archbench-runtime=eager", "--archbench-denormals=kept,flushed"
    )
    capsys.readouterr()
    monkeypatch.chdir(project.path)
    for value in ("kept", "flushed"):
        asked = ("select", "r.json", f"--denormals={value}", "--max-latency=10s", "--format=json")
        assert cli.main(asked) == 0
        (row,) = json.loads(capsys.readouterr().out)["best"]
        assert row["denormals"] == value


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--archbench-gpu=sim:2",), "this machine has sim:0 (Simulator 0), sim:1 (Simulator 1)"),
        (("--archbench-dtype=bf16",), "--archbench-runtime=twice: it cannot run bf16. Use"),
        (
            ("--archbench-runtime=thrice",),
            "Use eager, compiled, cudagraph, onnxruntime, onnxruntime-tensorrt, openvino, "
            "aotinductor, tensorrt, twice",
        ),
    ],
)
def test_what_it_cannot_do_is_refused(
    project: Project, arguments: tuple[str, ...], message: str
) -> None:
    refused = project.bench(*arguments)
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    assert message in refused.stderr.str()


def test_its_errors_may_be_fatal() -> None:
    code = (
        "import one_device, archbench.devices.kinds as kinds\n"
        "print(kinds.is_fatal(RuntimeError('Simulator error: unplugged')),"
        " kinds.is_fatal(RuntimeError('Simulator error: busy')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "False"]


@pytest.mark.parametrize("name", ["cold", "t2", "nhwc", "a-b-c", "a-cold", "a-", "Fast", ""])
def test_a_runtimes_name_can_stand_in_an_id(name: str) -> None:
    with pytest.raises(ValueError, match="is no name of a runtime"):
        runtimes.register(type("Named", (Runtime,), {"name": name}))


def test_a_library_and_what_is_made_of_it(pytester: pytest.Pytester) -> None:
    shutil.copy(HERE / "one_library.py", pytester.path)
    pytester.makepyfile(
        test_count="""
        def test_complexity(bench, model_spec):
            bench.complexity(model_spec)
        """
    )
    asked = ("test_count.py", "-p", "one_library", "--archbench-results=r.json")
    pytester.syspathinsert()
    pytester.runpytest_inprocess(*asked).assert_outcomes(passed=2)
    # Convolutions of 3 x 3 at 16 x 16 and 8 x 8, and a classifier; with biases.
    for cell, (first, second) in zip(cells_of(pytester), ((16, 32), (32, 64)), strict=True):
        params = 28 * first + (9 * first + 1) * second + (second + 1) * 10
        assert cell["metrics"]["params"]["value"] == params
        macs = 27 * first * 256 + 9 * first * second * 64 + second * 10
        assert cell["metrics"]["macs"]["value"] == macs
    assert [cell["id"] for cell in cells_of(pytester)] == ["local/plain_s", "local/plain_m"]
    chosen = pytester.runpytest_inprocess(*asked, "--archbench-models=local/*_m")
    chosen.assert_outcomes(passed=1)


@pytest.mark.parametrize(
    "name", ["one_device.py", "one_runtime.py", "one_axis.py", "one_library.py"]
)
def test_the_page_shows_the_files_that_these_tests_run(name: str) -> None:
    page = (HERE.parents[1] / "docs" / "design.md").read_text(encoding="utf-8")
    assert f"```python\n{(HERE / name).read_text(encoding='utf-8')}```\n" in page
