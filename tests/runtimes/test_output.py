"""An engine that computes something else is seen, whatever it was that broke the graph."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from archbench.core.agreement import (
    METRIC,
    TOLERANCES,
    OutputAgreement,
    output_verdict,
    widened,
)
from archbench.core.errors import AbsentError
from archbench.gates.gate import Gate
from archbench.measure.output import agreement_of, output_of
from archbench.measure.running import forward_passes
from archbench.runtimes import exported
from archbench.runtimes.exporting import ONNX_FILE, export_onnx
from archbench.store.artefacts import MANIFEST, Artefacts, checksum
from tests.runtimes.networks import Net, loaded

MODEL = "timm/mobilenetv3_small_050"
TEST = """
def test_latency(bench, loaded_model):
    bench.latency(loaded_model)
"""


@pytest.fixture(autouse=True)
def _engine() -> None:
    for name in ("onnxruntime", "onnx", "onnxscript"):
        pytest.importorskip(name)


# Values


def test_a_difference_is_a_share_of_the_largest_score() -> None:
    found = OutputAgreement(2, 4.0, 0.001, 2, 1e-3)
    assert found.relative == 0.00025
    assert found.is_good
    assert not OutputAgreement(2, 4.0, 0.001, 1, 1e-3).is_good
    assert not OutputAgreement(2, 4.0, 0.005, 2, 1e-3).is_good
    assert OutputAgreement(2, 0.0, 0.0, 2, 1e-3).relative == 0
    assert OutputAgreement(2, 0.0, 1.0, 2, 1e-3).relative == math.inf


def test_scores_that_are_not_finite_have_no_difference_and_fail() -> None:
    metrics = OutputAgreement(2, 4.0, math.inf, 1, 1e-4).metrics()
    assert metrics["output_difference"]["absent"] == "a score is not finite"
    verdict = output_verdict(metrics["output_difference"], "fp32", "openvino")
    assert (verdict.status, verdict.reason) == ("regressed", "output-differs")
    assert "the scores of openvino are not finite" in verdict.sentence


def agreement(run: Callable[..., Any], artefacts: Path, **target: Any) -> OutputAgreement:
    model = loaded(artefacts, **target)
    with forward_passes(model):
        return agreement_of(model, lambda inputs: run(model.module, inputs[0]))


def test_the_reference_is_the_network_itself_in_fp32(tmp_path: Path) -> None:
    same = agreement(lambda module, x: module(x), tmp_path)
    assert (same.absolute, same.images, same.agreeing) == (0.0, 2, 2)
    rounded = agreement(lambda module, x: module(x), tmp_path, dtype="bf16")
    assert 0 < rounded.relative < TOLERANCES["bf16"]


def test_what_is_known_of_a_difference_is_found(tmp_path: Path) -> None:
    def moved(module: nn.Module, x: Tensor) -> Tensor:
        scores = module(x)
        scores[0, 3] += 0.25
        return scores

    found = agreement(moved, tmp_path)
    assert found.absolute == pytest.approx(0.25)
    assert found.relative == pytest.approx(0.25 / found.largest)


def test_the_images_of_a_large_batch_are_compared_in_their_order(tmp_path: Path) -> None:
    found = agreement(lambda module, x: module(x.flip(0)), tmp_path, batch_size=4)
    assert found.images == 2
    assert not found.is_good


class Mixing(Net):
    """Its scores of an image depend on the others; and it changes what it gets."""

    def forward(self, x: Tensor) -> Tensor:
        scores = super().forward(x.mul_(2))
        return scores - scores.mean(0, keepdim=True)


def test_scores_that_depend_on_the_batch_are_compared_with_those_of_the_whole_batch(
    tmp_path: Path,
) -> None:
    model = loaded(tmp_path, Mixing, batch_size=4)
    with forward_passes(model):
        same = agreement_of(model, lambda inputs: model.module(inputs[0]))
        other = agreement_of(model, lambda inputs: model.module(inputs[0]) + 1)
    assert (same.absolute, same.images, same.agreeing) == (0.0, 2, 2)
    assert other.absolute == pytest.approx(1)
    assert other.unsteady is None


def test_a_tie_is_no_other_class(tmp_path: Path) -> None:
    def tied(module: Any, x: Tensor) -> Tensor:
        module.fc.weight[1], module.fc.bias[1] = module.fc.weight[0], module.fc.bias[0]
        module.fc.bias[:2] += 10
        scores = module(x)
        scores[:, 1] += 1e-6
        module_scores: Tensor = scores
        return module_scores

    assert agreement(tied, tmp_path).agreeing == 2


def test_a_network_that_is_not_finite_itself_is_no_reference(tmp_path: Path) -> None:
    def run(module: Any, x: Tensor) -> Tensor:
        module.fc.bias[0] = math.nan
        return torch.zeros(1, 10)

    with pytest.raises(AbsentError, match="eager fp32 are not finite"):
        agreement(run, tmp_path)


# Graphs that are broken on purpose


def edited(edit: Callable[[Any], None]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        import onnx

        model = onnx.load(str(path))
        edit(model.graph)
        onnx.save(model, str(path))

    return change


def without_batch_norm(path: Path) -> None:
    module = Net().eval()
    whole = loaded(path.parent).module
    module.load_state_dict(whole.state_dict())
    module.norm = nn.Identity()  # type: ignore[assignment]
    export_onnx(module, (torch.zeros(1, 3, 16, 16),), path.parent, symbolic=False)


def swapped(graph: Any) -> None:
    import onnx

    name = graph.input[0].name
    for node in graph.node:
        node.input[:] = ["swapped" if one == name else one for one in node.input]
    node = onnx.helper.make_node("Transpose", [name], ["swapped"], perm=[0, 1, 3, 2])
    graph.node.insert(0, node)


def attribute(graph: Any, operator: str, name: str, change: Callable[[Any], None]) -> None:
    (node,) = [one for one in graph.node if one.op_type == operator]
    (found,) = [one for one in node.attribute if one.name == name]
    change(found)


def rounding(graph: Any) -> None:
    def other(found: Any) -> None:
        assert found.s == b"pytorch_half_pixel" or found.s == b"half_pixel"
        found.s = b"asymmetric"

    attribute(graph, "Resize", "coordinate_transformation_mode", other)


def padding(graph: Any) -> None:
    def other(found: Any) -> None:
        assert list(found.ints) == [1, 1, 1, 1]
        found.ints[:] = [0, 0, 2, 2]

    attribute(graph, "MaxPool", "pads", other)


BREAKS: dict[str, Callable[[Path], None]] = {
    "batch norm dropped": without_batch_norm,
    "axis swapped": edited(swapped),
    "resize rounds otherwise": edited(rounding),
    "padding changed": edited(padding),
}


@pytest.mark.parametrize("name", BREAKS)
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_broken_graph_is_seen(name: str, runtime: str, tmp_path: Path) -> None:
    pytest.importorskip(runtime)
    whole = output_of(loaded(tmp_path, runtime=runtime))["output_difference"]
    assert output_verdict(whole, "fp32", runtime).status == "unchanged"

    (entry,) = Artefacts(tmp_path).entries()
    path = entry.path / ONNX_FILE
    BREAKS[name](path)
    manifest = json.loads((entry.path / MANIFEST).read_text())
    manifest["files"] = {ONNX_FILE: [path.stat().st_size, checksum(path)]}
    (entry.path / MANIFEST).write_text(json.dumps(manifest))

    broken = output_of(loaded(tmp_path, runtime=runtime))["output_difference"]
    assert broken["value"] > 10 * TOLERANCES["fp32"]
    verdict = output_verdict(broken, "fp32", runtime)
    assert (verdict.status, verdict.reason) == ("regressed", "output-differs")


@pytest.mark.parametrize("noise", [0.0, 5.0])
def test_a_network_that_does_not_repeat_itself_is_told_apart(noise: float, tmp_path: Path) -> None:
    model = loaded(tmp_path)
    model.module.register_forward_hook(lambda _m, _i, out: out + noise * torch.randn_like(out))
    with forward_passes(model):
        found = agreement_of(model, lambda inputs: model.module(inputs[0]) + 100)
    verdict = output_verdict(found.metrics()[METRIC], "fp32", "onnxruntime")
    if noise:
        assert (verdict.status, verdict.reason) == ("not-measured", "output-not-repeatable")
        assert found.unsteady is not None
        assert 0.1 < found.unsteady < 3
        assert f"Eager fp32 itself differs by {found.unsteady:.2g} when it" in verdict.sentence
    else:
        assert (verdict.status, verdict.reason) == ("regressed", "output-differs")
        assert found.unsteady is None
        assert verdict.sentence.endswith("What was timed is not this network")


def test_a_network_that_rounding_alone_moves_has_a_wider_tolerance(tmp_path: Path) -> None:
    model = loaded(tmp_path)
    with forward_passes(model):
        exact = torch.cat([model.module(*model.inputs(seed)) for seed in (1, 2)]).numpy()
    # Beside 8192 steps of fp32 are 2^-10, and those of fp64 2^-39.
    coarse = (exact + np.float32(8192)) - np.float32(8192)
    rounding = float(np.abs(coarse - exact).max() / np.abs(coarse).max())
    assert rounding > TOLERANCES["fp32"]
    model.module.register_forward_hook(lambda _m, _i, out: (out + 8192) - 8192)

    def moved(by: float) -> OutputAgreement:
        with forward_passes(model):
            return agreement_of(model, lambda inputs: model.module(inputs[0]) + by)

    close, other = moved(2**-10), moved(32 * 2**-10)
    assert close.rounding == pytest.approx(rounding, rel=1e-3)
    assert close.tolerance == pytest.approx(4 * rounding, rel=1e-3)
    assert close.relative == pytest.approx(2**-10 / np.abs(coarse).max())
    verdict = output_verdict(close.metrics()[METRIC], "fp32", "openvino")
    assert verdict.status == "unchanged"
    assert verdict.sentence.endswith(f"which other rounding alone moves by {rounding:.2g}")
    verdict = output_verdict(other.metrics()[METRIC], "fp32", "openvino")
    assert (verdict.status, verdict.reason) == ("regressed", "output-differs")


def test_the_wider_tolerance_has_an_end() -> None:
    assert widened(1e-4, 2e-5) == 1e-4
    assert widened(1e-4, 1e-3) == 4e-3
    assert widened(1e-4, 1.0) == 1e-2
    assert widened(1e-1, 1.0) == TOLERANCES["int8"]
    assert widened(1e-4, math.inf) == 1e-4


# Whole runs


def test_a_run_is_red(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(module: Any, *arguments: Any, **options: Any) -> Any:
        module.classifier.weight.neg_()
        return export_onnx(module, *arguments, **options)

    monkeypatch.setattr(exported, "export_onnx", broken)
    pytester.makepyfile(test_time=TEST)
    result = pytester.runpytest_inprocess(
        *(f"--archbench-models={MODEL}@32", "--archbench-runtime=onnxruntime"),
        *("--archbench-gpu=cpu", "--archbench-results=r.json", "--archbench-quick"),
    )
    result.assert_outcomes(failed=1)
    (cell,) = json.loads((pytester.path / "r.json").read_text())["cells"]
    found = {one["metric"]: one for one in cell["verdicts"]}["output_difference"]
    assert (found["status"], found["reason"]) == ("regressed", "output-differs")
    result.stdout.fnmatch_lines(["*the scores of onnxruntime differ by * of the largest score*"])


def test_accepting_a_baseline_accepts_no_other_network(tmp_path: Path) -> None:
    verdict = output_verdict(
        OutputAgreement(2, 1.0, 1.0, 0, 1e-4).metrics()[METRIC], "fp32", "openvino"
    )
    assert Gate(tmp_path, tmp_path / "lock", "all").fails(verdict)
