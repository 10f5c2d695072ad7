"""Whole runs on a device that torch knows and nobody has: see ``sim.cpp``."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from archbench.core.process_runs import STORED_QUANTILES
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

    class Changed(Net):
        "What the work tree of a paired comparison changes."

    class Deep(Net):
        def forward(self, x):
            for _ in range(246):
                x = torch.relu(x)
            return super().forward(x)

    class Asking(Net):
        def forward(self, x):
            scores = super().forward(x)
            return scores if x.is_meta or scores.sum().item() > 0 else scores + 1

    class InPlace(Net):
        def forward(self, x):
            return super().forward(x.mul_(2))

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


EVALUATIONS = """
    def test_accuracy(bench, model_spec, accuracy_target):
        bench.accuracy(model_spec, accuracy_target)

    def test_outputs(bench, model_spec, accuracy_target):
        bench.fingerprint(model_spec, accuracy_target)
"""
OWN = """
    def pytest_archbench_models():
        import digits_net
        return [digits_net.spec()]
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

    def evaluate(self, module: str, digits: Any, digits_net: str, more: str = "") -> None:
        """Add a network with weights and images."""
        self.pytester.makepyfile(digits_net=digits_net, test_evaluation=EVALUATIONS)
        self.conftest(module, OWN + more)
        shutil.copytree(digits.images, self.path / "val")

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
def project(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, preloaded_python: None
) -> Project:
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


LEASES = """
    import contextlib
    import json
    import os
    from archbench.devices import lease as leases

    leased, library = leases.lease, torch_sim.library

    @contextlib.contextmanager
    def lease(identity, *rest):
        index = int(identity[-1])
        def note(what):
            line = (what, index, library.allocated(index), library.kernels().get(index, 0))
            with open(f"leases-{os.getpid()}.jsonl", "a") as file:
                file.write(json.dumps(line) + "\\n")
        with leased(identity, *rest):
            note("begin")
            yield
            note("end")

    leases.lease = lease
"""
"""Notes for each lease what is allocated on its device, and how many kernels have run there."""


def check_leases(path: Path) -> list[int]:
    """See that a process uses no device without its lease, and leaves nothing there.

    Returns:
        The device of each lease.
    """
    devices: list[int] = []
    for file in path.glob("leases-*.jsonl"):
        lines = list(map(json.loads, file.read_text(encoding="utf-8").splitlines()))
        for (before, *held), (after, *later) in pairwise(lines):
            if (before, after) == ("end", "begin"):
                assert held[:2] == [later[0], 0], "memory is given back before the lease"
                assert later[2] - held[2] < 100, "but for trying a precision nothing runs there"
        ends = [allocated for what, _, allocated, _ in lines if what == "end"]
        assert not any(ends)
        devices += [device for what, device, *_ in lines if what == "end"]
    return devices


def test_three_workers_measure_on_two_devices(
    project: Project, digits: Any, digits_net: str
) -> None:
    # A kind that archbench has no file of.
    project.evaluate("torch_sim", digits, digits_net, LEASES)
    result = project.run(
        "test_evaluation.py", "-n", "3", "--archbench-gpu=simulator", "--archbench-imagenet=val",
        "--archbench-dtype=fp32,bf16", "--archbench-batch-size=1,4", "--archbench-quick",
        f"--archbench-weights={digits.state_dict}", "--archbench-models=local/*",
    )  # fmt: skip
    cells = project.cells(result)
    assert result.parseoutcomes()["passed"] == 8, result.stdout.str()
    result.stdout.fnmatch_lines(
        [
            "3 workers share 2 devices, sim:0, sim:1: one at a time measures on a "
            "device, and the others wait for it. -n 2 takes as long, unless they count as well"
        ]
    )
    devices = check_leases(project.path)
    assert len(devices) >= 8
    assert set(devices) == {0, 1}
    right = {
        dtype: cells[f"digits {dtype}-b1-nchw"]["metrics"]["top1"]["right"]
        for dtype in ("fp32", "bf16")
    }
    assert right["fp32"] == digits.right[0].sum()
    assert abs(right["bf16"] - digits.right[0].sum()) <= 3


@pytest.mark.parametrize("more", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_dist_no_measures_on_all_devices_that_are_asked_for(
    project: Project, more: tuple[str, ...]
) -> None:
    result = project.run(
        *("--dist=no", *more, "--archbench-quick", "--archbench-gpu=sim:1,cpu"),
        "--archbench-models=nets.py:Net@32",
    )
    result.assert_outcomes(passed=2)
    cells = json.loads((project.path / "r.json").read_text(encoding="utf-8"))["cells"]
    assert sorted(cell["target"]["device"] for cell in cells) == ["cpu", "sim:1"]


PAIR = f"""
import sys
sys.path[:0] = [{str(HERE)!r}, "."]
import json
import sim_kind
import nets
from archbench import ModelSpec
from archbench.measure.cells import memory_of
from archbench.measure.hardware import make_target
from archbench.measure.side_network import SideNetwork
from archbench.models.loading import load

def peak_of(net):
    loaded = load(ModelSpec.of(net, input_size=32), make_target("sim:0"))
    return memory_of(loaded)["peak_memory"]["value"], loaded.changes_inputs

peaks = [peak_of(net) for net in (nets.InPlace, nets.Net)]
target = make_target("sim:1")
sides = [
    SideNetwork(load(ModelSpec.of(net, input_size=32), target), 0)
    for net in (nets.Net, nets.Twice, nets.Deep)
]
bursts = []
for _ in range(5):
    for side, kernels in zip(sides, (4, 8, 250)):
        sim_kind.torch_sim.library.keep_book()
        burst = side.burst(0.01)
        bursts.append((kernels, burst.is_full, burst.device, sim_kind.torch_sim.library.book(1)))
with open("found.json", "w") as file:
    json.dump({{"peaks": peaks, "bursts": bursts}}, file)
"""


def idle_times(book: list[tuple[float, float, bool]], kernels: int) -> list[float]:
    """Seconds that the device did nothing in a pass and after it, of the passes that followed one
    another behind a hold. The last one of them may have come late, and is not counted then."""
    idle: list[float] = []
    holds = [place for place, (*_, is_hold) in enumerate(book) if is_hold]
    for hold, following in pairwise([*holds, len(book)]):
        for first in range(hold + 1, following - 3 * kernels + 1, kernels):
            some = book[first : first + kernels + 1]
            idle.append(sum(later[0] - earlier[1] for earlier, later in pairwise(some)))
    return idle


def test_bursts_of_passes_by_the_clock_of_the_device(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIM_DEPTH", "100")
    result = project.pytester.run(sys.executable, "-c", PAIR, timeout=900)
    assert result.ret == 0, result.stderr.str()
    found = json.loads((project.path / "found.json").read_text(encoding="utf-8"))
    # What the images were before a pass that changes them takes no memory of the pass.
    assert found["peaks"] == [[peak(1, 4), True], [peak(1, 4), False]]
    bursts = found["bursts"]
    assert len(bursts) == 15
    idle: list[float] = []
    for kernels, is_full, times, book in bursts:
        # The last network is of more kernels than the queue takes, and is timed in parts.
        assert is_full is True, kernels
        assert statistics.median(times) == pytest.approx(kernels * KERNEL, rel=0.01)
        if kernels < 100:
            idle += idle_times(book, kernels)
    assert len(idle) > 10
    assert max(idle) < 10e-6


def test_good_cells_follow_a_device_that_ran_out_of_memory_and_is_lost(
    project: Project, digits: Any, digits_net: str
) -> None:
    project.evaluate("sim_kind", digits, digits_net)
    names = [f"nets.py:{name}@32" for name in ("Large", "Losing", "Net")]
    result = project.run(
        "test_evaluation.py", "--archbench-gpu=sim:1", "--archbench-imagenet=val",
        "--archbench-quick", f"--archbench-weights={digits.state_dict}",
        "--archbench-models=" + ",".join([*names[:2], "local/digits", *names[2:]]),
    )  # fmt: skip
    cells = project.cells(result)
    reasons = {
        name.split("@")[0]: [
            verdict["reason"] for verdict in cell["verdicts"] if verdict["metric"] == "latency"
        ]
        for name, cell in cells.items()
    }
    assert reasons["Large"] == ["out-of-memory"], result.stdout.str()
    assert reasons["Losing"] == ["fatal-device-error"]
    top1 = next(cell for name, cell in cells.items() if name.startswith("digits"))["metrics"][
        "top1"
    ]
    assert top1["right"] == digits.right[0].sum()
    # Nothing of the networks before is on the device any more.
    net = cells["Net@32 fp32-b1-nchw"]["metrics"]
    assert net["peak_memory"]["value"] == peak(1, 4)
    assert statistics.median(net["device_time"]["samples"]) == pytest.approx(4 * KERNEL, rel=0.01)


BARE = """
    from archbench.devices.backend import Backend
    from archbench.devices.choosing import Device
    from archbench.devices.registry import register

    @register
    class Bare(Backend):
        "Has no clock, and nothing that counts its memory."
        kind, place = "bare", "sim:1"

        @classmethod
        def found(cls):
            return [Device("bare:0", "Bare 1")]

        def synchronize(self):
            sim_kind.torch_sim.module.synchronize(self.place)
"""
LAX = """
    [[tool.archbench.paired]]
    clock = "device"
    alpha = 0.001
    process_runs = 1

    [[tool.archbench.paired]]
    clock = "wall"
    tolerated_change = "300 %"
    equivalence_margin = "900 %"
    process_runs = 1
    most_process_runs = 1
"""
"""Of the wall clock, whose times are the machine's, nothing is judged."""


@pytest.mark.usefixtures("judged_on_a_busy_machine")
def test_a_paired_comparison_with_and_without_a_clock_of_the_device(project: Project) -> None:
    project.conftest(more=BARE)
    project.pytester.makepyprojecttoml(LAX)
    (project.path / ".gitignore").write_text(".archbench/\n__pycache__/\n")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "before"]):
        subprocess.run(
            ["git", "-c", "user.name=x", "-c", "user.email=x", *command],
            cwd=project.path,
            check=True,
        )
    project.pytester.makepyfile(nets=NETS.replace("class Changed(Net):", "class Changed(Twice):"))
    result = project.run(
        "--archbench-gpu=sim:1,bare", "--archbench-against=HEAD",
        "--archbench-models=nets.py:Net@32,nets.py:Changed@32",
    )  # fmt: skip
    cells = json.loads((project.path / "r.json").read_text(encoding="utf-8"))["cells"]
    found = {(cell["id"], cell["target"]["slug"]): cell for cell in cells}
    ratios = {key: cell["metrics"]["paired_ratio"] for key, cell in found.items()}
    for name, status, value in (("Net", "unchanged", 1), ("Changed", "regressed", 2)):
        # Four kernels against four, and eight against four.
        key = f"local/{name}@32", "simulator8000"
        assert found[key]["verdicts"][0]["status"] == status, result.stdout.str()
        assert ratios[key]["clock"] == "device"
        assert ratios[key]["value"] == pytest.approx(value, rel=0.01)
        assert ratios[f"local/{name}@32", "bare1"]["clock"] == "wall"


def test_good_cells_follow_a_network_that_cannot_be_captured(project: Project) -> None:
    names = ("Net", "Asking", "Twice")
    result = project.run(
        "--archbench-gpu=sim", "--archbench-runtime=cudagraph", "--archbench-cold-cache",
        "--archbench-models=" + ",".join(f"nets.py:{name}@32" for name in names),
        "--archbench-time-budget=0.2",
    )  # fmt: skip
    found = {cell["id"]: cell for cell in project.cells(result).values()}
    assert result.parseoutcomes() == {"passed": 2, "failed": 1}, result.stdout.str()
    for name, kernels in (("Net", 4), ("Twice", 8)):
        metrics = found[f"local/{name}@32"]["metrics"]
        assert metrics["device_time"]["queue_full"] is True
        # What empties the caches before a pass is no part of its time, nor of its memory.
        times = metrics["device_time"]["samples"]
        assert statistics.median(times) == pytest.approx(kernels * KERNEL, rel=0.01)
        assert metrics["peak_memory"]["value"] < 2 * peak(1, 4)
    verdict = found["local/Asking@32"]["verdicts"][0]
    assert (verdict["status"], verdict["reason"]) == ("not-measured", "not-capturable")
    assert "SIM error: operation not permitted when stream is capturing" in verdict["sentence"]


QUIET = """
    from archbench.core import process_runs
    process_runs.MOST_OTHERS = process_runs.MOST_LOST = 2.0
"""
"""Judges process runs however busy the machine is."""


def test_device_times_with_cold_caches_are_accepted_and_compared(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an instance of a device, which has a file of its own."""
    monkeypatch.setenv("SIM_NAME", "NVIDIA A100-SXM4-40GB MIG 1g.5gb")
    project.conftest(more=QUIET)
    asked = (
        "--archbench-gpu=mig 1g.5gb", "--archbench-models=nets.py:Net@32",
        "--archbench-cold-cache", "--archbench-time-budget=0.2",
    )  # fmt: skip
    accepted = project.run(*asked, "--archbench-baseline-update", "--archbench-baseline-reason=new")
    assert accepted.parseoutcomes() == {"passed": 1}, accepted.stdout.str()
    path = project.path / "baselines" / "a100-sxm4-40gb-mig-1g.5gb" / "fp32.jsonl"
    _, line = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    assert (line["id"], line["cell"]) == ("local/Net@32", "fp32-b1-cold")
    assert len(line["process_runs"]) == 10
    for run in line["process_runs"]:
        assert run["queue_full"] is True
        middle = run["device"][STORED_QUANTILES.index(0.5)]
        # What empties the caches before a pass is no part of its time.
        assert middle == pytest.approx(4 * KERNEL, rel=0.01)
    result = project.run(*asked)
    (cell,) = project.cells(result).values()
    verdict = next(one for one in cell["verdicts"] if one["metric"] == "device_time")
    assert verdict["status"] == "unchanged", result.stdout.str()
    assert verdict["baseline"] == pytest.approx(4 * KERNEL, rel=0.01)
    assert verdict["value"] == pytest.approx(4 * KERNEL, rel=0.01)


def test_what_it_cannot_do_is_refused(project: Project) -> None:
    result = project.run(
        "--archbench-models=nets.py:Net@32", "--archbench-gpu=sim:0", "--archbench-dtype=int8"
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert (
        "--archbench-dtype=int8: sim:0 (Simulator 8000) does not run it: torch's own int8 "
        "operators run on CPUs only. Use --archbench-dtype=fp32"
    ) in result.stderr.str()
