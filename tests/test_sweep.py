"""The sweep: the fast path held against the plain one, here for a few architectures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from archbench.catalog import load_catalog
from archbench.models import building
from archbench.models.building import BUILT_PLAINLY
from archbench.models.filling import fill_weights, parameters_on_meta
from tools import sweep as module
from tools.sweep import STORE, described, differences, page, sweep_one

SOME = (
    "timm/test_vit", "timm/test_nfnet", "timm/test_efficientnet", "timm/swinv2_cr_tiny_224",
    "torchvision/shufflenet_v2_x0_5", "torchvision/regnet_y_400mf",
    "torchvision/squeezenet1_1", "pytorchcv/resnet10", "pytorchcv/shufflenetv2b_wd2",
)  # fmt: skip


@pytest.mark.parametrize("id", SOME)
def test_the_fast_path_gives_what_the_constructor_gives(id: str) -> None:
    result = sweep_one(load_catalog().get(id))
    assert (result["status"], result["found"]) == ("same", [])


@pytest.mark.parametrize(
    "id", ["timm/swinv2_tiny_window8_256", "timm/vit_small_patch16_rope_mixed_224"]
)
def test_constructors_that_compute_with_their_parameters_are_built_plainly(
    id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sweep_one(load_catalog().get(id))["status"] == "plain"
    monkeypatch.setattr(building, "BUILT_PLAINLY", ())
    monkeypatch.setattr(module, "BUILT_PLAINLY", ())
    assert sweep_one(load_catalog().get(id))["status"] == "failed"


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(64, 64)
        self.other = nn.Linear(64, 64)
        self.other.weight = self.one.weight
        self.register_buffer("table", torch.ones(3))


def test_what_differs_is_found() -> None:
    plain = described(Tied())
    assert list(differences(plain, described(Tied()))) == []
    other = Tied()
    other.other.weight = nn.Parameter(torch.ones(64, 64))
    other.one.bias.requires_grad_(False)
    other.table = other.table.double()
    other.register_buffer("more", torch.ones(1))
    assert list(differences(plain, described(other))) == [
        "more is added",
        "one.bias: requires_grad True -> False",
        "other.weight: sharing one.weight -> other.weight",
        "table: precision torch.float32 -> torch.float64",
    ]


def test_parameters_that_are_shared_are_one_after_filling() -> None:
    with parameters_on_meta():
        model = Tied()
    assert model.one.weight.is_meta
    fill_weights(model, torch.device("cpu"), torch.float32)
    assert model.one.weight is model.other.weight
    assert len(list(model.parameters())) == 3


def test_a_sweep_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "sweep.jsonl"
    ids = ["timm/test_vit", "timm/test_resnet"]
    known = {"id": ids[0], "status": "same", "found": [], "versions": module.versions()}
    store.write_text(json.dumps(known) + "\n", encoding="utf-8")
    results = module.sweep(ids, store, processes=0)
    assert [results[id]["status"] for id in ids] == ["same", "same"]
    assert "seconds" not in results[ids[0]]
    assert len(store.read_text(encoding="utf-8").splitlines()) == 2


def test_the_page_has_every_architecture() -> None:
    results = {
        "timm/a": {"status": "same", "found": []},
        "timm/b": {"status": "meta", "found": [], "note": "9.0 GiB of parameters, 1.0 GiB free"},
        "torchvision/c": {"status": "different", "found": ["fc.bias is missing"]},
    }
    text = page(results, 120)
    assert "| timm | 2 | 1 | 0 | 1 | 0 | 0 |" in text
    assert "| all | 3 | 1 | 0 | 1 | 1 | 0 |" in text
    assert "- `timm/b`: 9.0 GiB of parameters, 1.0 GiB free" in text
    assert "- `torchvision/c`: fc.bias is missing" in text
    assert all(glob in text for glob in BUILT_PLAINLY)
    assert STORE.parent.name == ".archbench"


def test_processes_share_the_work_from_both_ends() -> None:
    ids = ["timm/test_vit", "timm/test_resnet", "timm/test_nfnet", "timm/test_efficientnet"]
    results = list(module._results(ids, processes=2))
    assert sorted(result["id"] for result in results) == sorted(ids)
    assert {result["status"] for result in results} == {"same"}
    assert all(result["processor"] > 0 for result in results)


def test_what_fails_before_it_is_built_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(spec: object) -> nn.Module:
        raise RuntimeError("no such layer")

    monkeypatch.setattr(module, "build_on_meta", broken)
    result = sweep_one(load_catalog().get("timm/test_vit"))
    assert result == {"status": "failed", "found": ["RuntimeError: no such layer"]}
