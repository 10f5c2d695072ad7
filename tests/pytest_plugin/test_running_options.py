"""How networks are run, in whole runs."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest

from archbench.core.errors import InconclusiveError
from archbench.core.headers import Sharing
from archbench.devices.choosing import Device
from archbench.devices.cpu import Cpu
from archbench.devices.cuda import Cuda
from archbench.devices.nvml import Nvml
from archbench.measure import hardware
from archbench.pytest_plugin import measuring
from tests.devices.test_nvml import UUID, Library

pytestmark = pytest.mark.usefixtures("preloaded_python")

QUICK = ("--archbench-time-budget=0.05", "--archbench-models=small_net.py:small", "-k", "latency")
CPU = "--archbench-gpu=cpu"


def cells(suite: pytest.Pytester) -> dict[str, Any]:
    document = json.loads((suite.path / "r.json").read_text(encoding="utf-8"))
    return {f"{c['target']['slug']}/{suffix(c)}": c for c in document["cells"]}


def suffix(cell: dict[str, Any]) -> str:
    from archbench.core.records import Record

    return Record.from_dict(cell).suffix


def test_every_combination_is_a_cell(suite: pytest.Pytester) -> None:
    result = suite.runpytest_inprocess(
        "test_bench.py", *QUICK, CPU, "--archbench-dtype=fp32,amp-bf16",
        "--archbench-memory-format=nchw,nhwc", "--archbench-cold-cache",
        "--archbench-results=r.json",
    )  # fmt: skip
    result.assert_outcomes(passed=4)
    assert {key.partition("/")[2] for key in cells(suite)} == {
        "fp32-b1-cold", "fp32-b1-nhwc-cold", "amp-bf16-b1-cold", "amp-bf16-b1-nhwc-cold"
    }  # fmt: skip
    result.stdout.re_match_lines([r"\[4/4\] local/small amp-bf16-b1-nhwc-cold +[\d.]+ ms"])


def test_compiled(suite: pytest.Pytester) -> None:
    # In a process of its own: torch's compiler cannot be imported twice by one.
    result = suite.runpytest_subprocess(
        "test_bench.py", *QUICK, CPU, "--archbench-runtime=compiled", "--archbench-results=r.json"
    )
    result.assert_outcomes(passed=1)
    (cell,) = cells(suite).values()
    assert cell["metrics"]["graph_breaks"]["value"] == 0
    assert cell["metrics"]["peak_memory"]["value"] > 0
    result.stdout.fnmatch_lines(["*archbench: cpu (*), 1 thread, fp32, batch size 1, compiled*"])


def test_the_largest_batch(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        limited="""
        from small_net import Small

        class Limited(Small):
            def forward(self, x):
                if x.shape[0] > 5:
                    raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
                return super().forward(x)
        """
    )
    result = suite.runpytest_inprocess(
        "test_bench.py", "--archbench-time-budget=0.05", CPU, "--archbench-batch-size=max,2",
        "--archbench-models=limited.py:Limited", "-k", "latency", "--archbench-results=r.json",
    )  # fmt: skip
    result.assert_outcomes(passed=2)
    found = {key.partition("/")[2]: cell for key, cell in cells(suite).items()}
    assert found["fp32-bmax"]["target"]["batch_size"] == 5
    assert found["fp32-bmax"]["metrics"]["max_batch_size"] == {
        "value": 5, "unit": "1", "source": "measured", "stopped_by": "memory"
    }  # fmt: skip
    assert found["fp32-b2"]["target"]["batch_size"] == 2


def test_energy_without_a_counter_is_absent_and_green(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archbench.core.errors import AbsentError

    def none(device: Cpu) -> Any:
        raise AbsentError("this processor shows no energy counter")

    monkeypatch.setattr(Cpu, "energy", none)
    result = suite.runpytest_inprocess(
        "test_bench.py", *QUICK, CPU, "--archbench-energy", "--archbench-results=r.json"
    )
    result.assert_outcomes(passed=1)
    (cell,) = cells(suite).values()
    assert cell["metrics"]["energy_per_image"] == {
        "absent": "this processor shows no energy counter", "unit": "J", "source": "measured"
    }  # fmt: skip


def throttled(*_: object, **__: object) -> Any:
    raise InconclusiveError("throttled", "the device lowered its clock. Let it cool down")


def test_a_device_that_throttles_is_inconclusive(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "latency_record", throttled)
    result = suite.runpytest_inprocess(
        "test_bench.py", "--archbench-time-budget=0.05", CPU, "--archbench-results=r.json",
        "--archbench-models=small_net.py:small", "-rs",
    )  # fmt: skip
    result.assert_outcomes(passed=1, skipped=1)
    (cell,) = cells(suite).values()
    assert {v["status"] for v in cell["verdicts"] if v["metric"] == "latency"} == {"inconclusive"}
    result.stdout.fnmatch_lines(["*inconclusive: the device lowered its clock. Let it cool down*"])
    result = suite.runpytest_inprocess("test_bench.py", *QUICK, CPU, "--archbench-strict")
    result.assert_outcomes(failed=1)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> list[Device]:
    """A machine with a V100 that others use, as far as choosing goes."""
    devices = [Device("cuda:0", "Tesla V100-SXM2-16GB", UUID), Device("cpu", "AMD EPYC")]
    monkeypatch.setattr(hardware, "list_devices", lambda: devices)
    monkeypatch.setattr(Cuda, "open_nvml", staticmethod(lambda: Nvml(Library())))
    return devices


@pytest.mark.usefixtures("machine")
def test_a_device_in_use_is_reported_before_measuring(suite: pytest.Pytester) -> None:
    result = suite.runpytest_inprocess("test_bench.py", *QUICK, "--archbench-gpu=v100")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*--archbench-gpu=v100: cuda:0 (Tesla V100-SXM2-16GB) is in use by process 4000001*"]
    )
    assert "with --archbench-shared-ok" in result.stderr.str()


@pytest.mark.usefixtures("machine")
def test_with_shared_ok_it_goes_on_and_is_noted(suite: pytest.Pytester) -> None:
    # The request names two devices; only the CPU's cell can be measured here.
    result = suite.runpytest_inprocess(
        "test_bench.py", *QUICK, "--archbench-gpu=cpu,v100", "--archbench-shared-ok",
        "--collect-only", "-q",
    )  # fmt: skip
    result.stdout.fnmatch_lines(
        [
            "test_bench.py::test_latency?local/small-fp32-b1@cpu?",
            "test_bench.py::test_latency?local/small-fp32-b1@v100?",
        ]
    )


def test_the_results_say_who_shared_the_device(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not as an attribute of its package, which may be of an earlier run within this process.
    refusing = importlib.import_module("archbench.pytest_plugin.refusing")
    sharing = Sharing({"cpu": "process 4000001, 5,200 MB"}, {"mps:0": "nobody tells"})
    monkeypatch.setattr(refusing, "look_for_others", lambda *_: sharing)
    result = suite.runpytest_inprocess(
        "test_bench.py", *QUICK, CPU, "--archbench-shared-ok", "--archbench-results=r.json"
    )
    result.assert_outcomes(passed=1)
    document = json.loads((suite.path / "r.json").read_text(encoding="utf-8"))
    assert document["devices"] == sharing.as_dict()
    (cell,) = document["cells"]
    text = "others used the device: process 4000001, 5,200 MB"
    assert {"code": "shared-device", "text": text} in cell["notes"]
    result.stdout.fnmatch_lines(["cpu was shared: process 4000001, 5,200 MB."])


def test_int8_on_a_network_that_cannot_be_quantised(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        branching="""
        from small_net import Small

        class Branching(Small):
            def forward(self, x):
                return super().forward(x if x.sum() > -1e9 else -x)
        """
    )
    result = suite.runpytest_subprocess(
        "test_bench.py", "--archbench-time-budget=0.05", CPU, "--archbench-dtype=int8",
        "--archbench-models=branching.py:Branching", "-k", "latency", "--archbench-results=r.json",
    )  # fmt: skip
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    (cell,) = cells(suite).values()
    assert [(v["status"], v["reason"]) for v in cell["verdicts"]] == [
        ("not-measured", "not-quantisable")
    ]


def test_a_device_that_is_named_twice_is_one(suite: pytest.Pytester) -> None:
    result = suite.runpytest_inprocess(
        "test_bench.py", *QUICK, "--archbench-gpu=cpu,CPU", "--collect-only", "-q"
    )
    result.stdout.fnmatch_lines(["test_bench.py::test_latency?local/small-fp32-b1?"])


@pytest.mark.requires("torch>=2.9")
def test_switches_of_precision_that_a_project_sets_are_no_networks_fault(
    suite: pytest.Pytester,
) -> None:
    suite.makeconftest(
        """
        import torch
        torch.backends.fp32_precision = "tf32"
        torch.backends.mkldnn.conv.fp32_precision = "bf16"
        """
    )
    suite.makepyfile(
        setting="""
        import torch
        from small_net import Small
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        """
    )
    result = suite.runpytest_subprocess(
        "test_bench.py", CPU, "--archbench-quick", "--archbench-dtype=fp32,amp-bf16",
        "--archbench-models=setting.py:Small,small_net.py:small", "--archbench-results=r.json",
    )  # fmt: skip
    # Two counts, and two precisions of each.
    result.assert_outcomes(passed=6)
    document = json.loads((suite.path / "r.json").read_text(encoding="utf-8"))
    verdicts = [one for cell in document["cells"] for one in cell["verdicts"]]
    assert {one["status"] for one in verdicts} == {"no-baseline"}
