"""Whole runs that measure accuracies by other runtimes than eager torch."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest
import torch

from archbench.core.lines import AccuracyLine
from archbench.runtimes.onnxruntime import _Session
from archbench.store.baselines import read_baselines
from archbench.store.outcomes import read_outcomes
from tests.pytest_plugin.test_accuracy_runs import cells, change_preprocessing, run

pytestmark = pytest.mark.usefixtures("preloaded_python")

for _module in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(_module)


SUITE = """
    def test_accuracy(bench, model_spec, accuracy_target):
        bench.accuracy(model_spec, accuracy_target)
"""
ENGINE = "--archbench-runtime=onnxruntime"


@pytest.fixture
def project(pytester: pytest.Pytester, digits: Any, digits_net: str) -> pytest.Pytester:
    pytester.makepyfile(digits_net=digits_net, test_evaluation=SUITE)
    change_preprocessing(pytester)
    shutil.copytree(digits.images, pytester.path / "val")
    return pytester


def outcomes(project: pytest.Pytester, cell: Any) -> list[bool]:
    (directory,) = (project.path / ".archbench" / "runs").iterdir()
    top1 = read_outcomes(directory / cell["metrics"]["top1"]["outcomes"]).outcomes["top1"]
    bits = np.unpackbits(np.frombuffer(top1.bits, np.uint8))
    return [bool(bit) for bit in bits[: top1.images]]


def test_every_image_goes_through_the_runtime(
    project: pytest.Pytester, digits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    by_engine = _Session.run

    def counted(self: Any, inputs: Any) -> Any:
        sizes.append(len(inputs[0]))
        return by_engine(self, inputs)

    monkeypatch.setattr(_Session, "run", counted)
    result = run(project, digits, "--archbench-runtime=eager,onnxruntime")
    result.assert_outcomes(passed=2)
    eager, engine = cells(project)
    assert [one["target"]["runtime"] for one in (eager, engine)] == ["eager", "onnxruntime"]
    # 500 images are 15 batches of 32 and one of 20; two more passes see a blank image and the two
    # pictures of the fingerprint.
    assert sizes == [32] * 18
    assert outcomes(project, engine) == digits.right[0].tolist()
    right = int(digits.right[0].sum())
    top1 = engine["metrics"]["top1"]
    assert (top1["right"], top1["eager"]["right"]) == (right, right)
    assert top1["batch_size"] == 32
    beside = [one for one in engine["verdicts"] if one["budget"] is not None]
    assert [(one["metric"], one["status"], one["reason"]) for one in beside] == [
        ("top1", "unchanged", "equal"), ("top5", "unchanged", "equal")
    ]  # fmt: skip
    assert not [one for one in eager["verdicts"] if one["budget"] is not None]
    assert not list((project.path / ".archbench" / "evaluations").glob("*"))


def test_a_runtime_that_is_wrong_is_red_whatever_is_accepted(
    project: pytest.Pytester, digits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_engine = _Session.run

    def rolled(self: Any, inputs: Any) -> list[torch.Tensor]:
        return [one.roll(1, 1) for one in by_engine(self, inputs)]

    monkeypatch.setattr(_Session, "run", rolled)
    result = run(project, digits, ENGINE, "--archbench-baseline-update")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    right = digits.scores.argmax(1) == digits.labels
    wrong = np.roll(digits.scores, 1, 1).argmax(1) == digits.labels
    said = f"{right.sum() / 5:.3f} % -> {wrong.sum() / 5:.3f} %"
    result.stdout.fnmatch_lines(
        [
            "*regressed: local/digits fp32-onnxruntime: top-1 beside eager fp32 onnxruntime has "
            f"{said}*images lost, *"
        ]
    )
    (cell,) = cells(project)
    assert "less-accurate-than-eager" in {one["reason"] for one in cell["verdicts"]}
    assert not (project.path / "baselines" / "accuracy.jsonl").exists()


def test_each_runtime_has_its_own_baseline(project: pytest.Pytester, digits: Any) -> None:
    both = "--archbench-runtime=eager,onnxruntime"
    assert run(project, digits, both, "--archbench-baseline-update").ret == 0
    lines = read_baselines(project.path / "baselines" / "accuracy.jsonl", AccuracyLine).lines
    assert set(lines) == {"local/digits fp32", "local/digits fp32-onnxruntime"}
    assert run(project, digits, ENGINE).ret == 0
    (cell,) = cells(project)
    assert [(one["status"], one["reason"]) for one in cell["verdicts"]] == [
        ("unchanged", "equal")
    ] * 4


def test_int8_takes_ranges_from_images_that_are_not_evaluated(
    project: pytest.Pytester, digits: Any
) -> None:
    result = run(project, digits, ENGINE, "--archbench-dtype=int8")
    result.assert_outcomes(passed=1)
    (cell,) = cells(project)
    assert cell["target"]["runtime"] == "onnxruntime"
    top1 = cell["metrics"]["top1"]
    assert (top1["images"], top1["batch_size"]) == (450, 1)
    assert top1["value"] > 95
    (note,) = [one for one in cell["notes"] if one["code"] == "ranges"]
    assert note["text"] == (
        "int8 takes its ranges of activations from 50 images that are not among those of the "
        "accuracy"
    )
