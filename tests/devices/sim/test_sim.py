"""Whole runs on a device that torch knows and nobody has: see ``sim.cpp``."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.devices.sim.building import library

pytestmark = pytest.mark.requires("torch>=2.9")

HERE = Path(__file__).parent
KERNEL = 5e-6
"""Seconds of a kernel on the device's timeline."""

MEMORY = 2**20
"""Bytes of a device here."""

CONFTEST = f"""
    import sys
    sys.path.insert(0, {str(HERE)!r})
    import {{}}
"""
NETS = """
    import os
    import torch
    import torch_sim
    from pathlib import Path
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3, bias=False)
            self.linear = nn.Linear(8, 10)

        def forward(self, x):
            return self.linear(torch.relu(self.conv(x)).mean((2, 3)))

    class Twice(Net):
        def forward(self, x):
            return super().forward(torch.relu(torch.relu(torch.relu(torch.relu(x)))))

    class Drifting(Net):
        "Fits with 5 images in the process that is the first to ask, with 9 in others."

        def forward(self, x):
            if not x.is_meta:
                mark = Path("first")
                if not mark.exists():
                    mark.write_text(str(os.getpid()))
                if len(x) > (5 if mark.read_text() == str(os.getpid()) else 9):
                    raise torch.OutOfMemoryError("SIM out of memory")
            return super().forward(x)

    class Large(Net):
        def forward(self, x):
            return super().forward(x.repeat(1, 1, 30, 30))

    class Losing(Net):
        def forward(self, x):
            if not x.is_meta:
                torch_sim.library.lose(x.device.index)
            return super().forward(x)
"""
TIMES = """
    def test_latency(bench, loaded_model):
        bench.latency(loaded_model)
"""


class Project:
    """A project whose ``conftest.py`` imports the device."""

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pytester, self.path = pytester, pytester.path
        monkeypatch.setenv("ARCHBENCH_SIM", str(library()))
        monkeypatch.setenv("SIM_MEMORY", str(MEMORY))
        # Other tests that run meanwhile have devices of their own.
        monkeypatch.setenv("SIM_UUID", f"{os.getpid()}-{self.path.name}")
        self.conftest()
        pytester.makepyfile(nets=NETS, test_times=TIMES)

    def conftest(self, module: str = "sim_kind", more: str = "") -> None:
        self.pytester.makeconftest(CONFTEST.format(module) + more)

    def run(self, *options: str) -> pytest.RunResult:
        return self.pytester.runpytest_subprocess(
            *("test_times.py", "--archbench-results=r.json", *options), timeout=600
        )

    def cells(self, result: pytest.RunResult) -> dict[str, dict[str, Any]]:
        """Of the run, by architecture and run configuration."""
        path = self.path / "r.json"
        assert path.exists(), result.stdout.str() + result.stderr.str()
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return {
            f"{cell['id'].partition('/')[2]} {suffix_of(cell['target'])}": cell for cell in cells
        }


def suffix_of(target: dict[str, Any]) -> str:
    size = "max" if target["largest_batch"] else target["batch_size"]
    return f"{target['dtype']}-b{size}-{target['memory_format']}"


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(pytester, monkeypatch)


def blocks(size: int) -> int:
    """Bytes of the device's memory that a tensor takes."""
    return -(-size // 512) * 512


def peak(images: int, size: int, kept: int = 0) -> int:
    """Bytes of a pass of ``Net`` by hand: weights, images, the convolution's output and, beside it,
    that of the ReLU; and as many outputs of earlier passes."""
    weights = [3 * 8 * 9, 8 * 10, 10]
    tensors = [*weights, images * 3 * 32 * 32, *[images * 8 * 30 * 30] * 2, *[images * 10] * kept]
    return sum(blocks(number * size) for number in tensors)


def test_cells_on_the_second_device(project: Project) -> None:
    result = project.run(
        "--archbench-gpu=sim:1", "--archbench-models=nets.py:Net@32",
        "--archbench-dtype=fp32,fp16,amp-bf16", "--archbench-memory-format=nchw,nhwc",
        "--archbench-batch-size=2,max", "--archbench-time-budget=0.2",
    )  # fmt: skip
    cells = project.cells(result)
    assert result.parseoutcomes() == {"passed": 12}, result.stdout.str()
    for name, cell in cells.items():
        metrics, target = cell["metrics"], cell["target"]
        assert (target["device"], target["slug"]) == ("sim:1", "simulator8000"), name
        # A convolution, a ReLU, a mean and a linear layer; autocast converts the image, two weights
        # and a bias besides.
        kernels = 8 if "amp" in name else 4
        device = metrics["device_time"]
        assert device["queue_full"] is True, name
        assert statistics.median(device["samples"]) == pytest.approx(kernels * KERNEL, rel=0.01)
        # The host starts each of them, and waits for the last.
        assert min(metrics["latency"]["samples"]) > kernels * KERNEL
        if "amp" in name:
            continue
        size = 2 if "fp16" in name else 4
        batch = target["batch_size"]
        assert metrics["peak_memory"]["value"] == peak(batch, size), name
        if "max" in name:
            assert metrics["max_batch_size"]["stopped_by"] == "memory"
            assert peak(batch, size, 1) <= MEMORY < peak(batch + 1, size, 1)


def test_processes_share_the_largest_batch_and_lose_no_more_than_one_cell(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a device that one process at a time can use."""
    (project.path / "taken").mkdir()
    monkeypatch.setenv("SIM_EXCLUSIVE", str(project.path / "taken"))
    names = ("Drifting", "Losing", "Large", "Net")
    result = project.run(
        "--archbench-gpu=auto", "--archbench-batch-size=max", "--archbench-processes=2",
        "--archbench-dtype=fp16", "--archbench-time-budget=0.2",
        "--archbench-models=" + ",".join(f"nets.py:{name}@32" for name in names),
    )  # fmt: skip
    cells = project.cells(result)
    found = {name: cells[f"{name}@32 fp16-bmax-nchw"] for name in names}
    assert result.parseoutcomes() == {"passed": 2, "errors": 2}, result.stdout.str()
    drifting = found["Drifting"]
    assert drifting["target"]["device"] == "sim:0"
    assert drifting["target"]["batch_size"] == 5
    assert len(drifting["metrics"]["latency"]["process_runs"]) == 2
    assert found["Net"]["metrics"]["max_batch_size"]["stopped_by"] == "memory"
    assert found["Losing"]["verdicts"][0]["reason"] == "fatal-device-error"
    assert found["Large"]["verdicts"][0]["reason"] == "out-of-memory"


def test_two_workers_measure_on_two_devices(project: Project, digits: Any, digits_net: str) -> None:
    project.pytester.makepyfile(
        digits_net=digits_net,
        test_evaluation="""
        def test_accuracy(bench, model_spec, accuracy_target):
            bench.accuracy(model_spec, accuracy_target)
        """,
    )
    project.conftest(
        "torch_sim",  # a kind that archbench has no file of
        """
    def pytest_archbench_models():
        import digits_net
        return [digits_net.spec()]
""",
    )
    shutil.copytree(digits.images, project.path / "val")
    result = project.run(
        "test_evaluation.py", "-n", "2", "--archbench-gpu=simulator", "--archbench-imagenet=val",
        "--archbench-dtype=fp32,bf16", "--archbench-batch-size=1,4", "--archbench-quick",
        f"--archbench-weights={digits.state_dict}", "--archbench-models=local/*",
    )  # fmt: skip
    cells = project.cells(result)
    assert result.parseoutcomes()["passed"] == 6, result.stdout.str()
    assert {cell["target"]["device"] for cell in cells.values()} == {"sim:0", "sim:1"}
    right = {
        dtype: cells[f"digits {dtype}-b1-nchw"]["metrics"]["top1"]["right"]
        for dtype in ("fp32", "bf16")
    }
    assert right["fp32"] == digits.right[0].sum()
    assert abs(right["bf16"] - digits.right[0].sum()) <= 3


PAIR = f"""
import sys
sys.path[:0] = [{str(HERE)!r}, "."]
import sim_kind
import nets
import statistics
from archbench import ModelSpec
from archbench.measure.hardware import make_target
from archbench.measure.partner import Partner
from archbench.models.loading import load

target = make_target("sim:1")
sides = [
    Partner(load(ModelSpec.of(net, input_size=32), target), 0) for net in (nets.Net, nets.Twice)
]
for _ in range(5):
    bursts = [side.burst(0.01) for side in sides]
    times = [statistics.median(burst.device) for burst in bursts]
    print(*(burst.is_full for burst in bursts), *times)
"""


def test_both_sides_of_a_paired_comparison_are_timed_by_the_device(project: Project) -> None:
    result = project.pytester.run(sys.executable, "-c", PAIR, timeout=300)
    assert result.ret == 0, result.stderr.str()
    rounds = [line.split() for line in result.outlines]
    assert len(rounds) == 5
    for *full, one, twice in rounds:
        assert full == ["True", "True"]
        # Four kernels and eight.
        assert float(one) == pytest.approx(4 * KERNEL, rel=0.01)
        assert float(twice) == pytest.approx(8 * KERNEL, rel=0.01)


def test_what_it_cannot_do_is_refused(project: Project) -> None:
    result = project.run(
        "--archbench-models=nets.py:Net@32", "--archbench-gpu=sim:0", "--archbench-dtype=int8"
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert (
        "--archbench-dtype=int8: sim:0 (Simulator 8000) does not run it: torch's own int8 "
        "operators run on CPUs only. Use --archbench-dtype=fp32"
    ) in result.stderr.str()
