"""A run where none of the model libraries is installed."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.usefixtures("preloaded_python")


def test_what_needs_no_library_is_measured_and_the_rest_says_what_to_install(
    suite: pytest.Pytester,
) -> None:
    suite.makeconftest(
        "import sys\n"
        "sys.modules.update(timm=None, torchvision=None, pytorchcv=None)\n"
        "sys.modules.update({'torchvision.models': None, 'pytorchcv.model_provider': None})\n"
    )
    result = suite.runpytest_subprocess(
        "test_bench.py",
        "--archbench-models=small_net.py:small,archbench/bn_alexnet,archbench/msdnet_a,timm/resnet18",
        "--archbench-time-budget=0.05",
        "--archbench-gpu=cpu",
        "--archbench-results=r.json",
    )
    result.assert_outcomes(passed=4, failed=2, errors=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    needed = {"archbench/msdnet_a": "pytorchcv", "timm/resnet18": "timm"}
    for id, library in needed.items():
        result.stdout.fnmatch_lines(
            f"not-measured: {id} needs {library}, which is not installed here. Install it: *"
        )
    for word in ("Traceback", "ModuleNotFoundError", "INTERNALERROR"):
        result.stdout.no_fnmatch_line(f"*{word}*")
    cells = json.loads((suite.path / "r.json").read_text(encoding="utf-8"))["cells"]
    assert {
        cell["id"]: {(v["status"], v["reason"]) for v in cell["verdicts"]} for cell in cells
    } == {
        "local/small": {("no-baseline", "not-in-file")},
        "archbench/bn_alexnet": {("no-baseline", "not-in-file")},
        **{id: {("not-measured", "library-absent")} for id in needed},
    }
