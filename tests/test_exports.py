"""The table of what engines run, for two architectures."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from archbench.catalog import load_catalog
from archbench.core.errors import NotMeasuredError
from archbench.core.records import Record
from tools import exports
from tools.exports import ENGINES, page, results, tried


def test_an_architecture_by_each_engine() -> None:
    for module in (*ENGINES, "onnx", "onnxscript"):
        pytest.importorskip(module)
    found = tried(load_catalog().get("timm/test_resnet"))
    for engine in ENGINES:
        assert 0 < found[engine]["value"] < 1e-4
        assert {"reason", "rounding"}.isdisjoint(found[engine])
    assert found["export"]["open"] is True


def test_it_goes_on_where_it_was_until_the_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "exports.jsonl"
    monkeypatch.setattr(exports, "versions", lambda: {"torch": "2"})
    monkeypatch.setattr(
        exports, "tried", lambda spec: {"id": spec.id, "versions": {"torch": "2"}, "seconds": 1}
    )
    ids = ["torchvision/resnet50", "timm/test_vit"]
    first = list(results(ids[:1], store, 100))
    assert [one["id"] for one in first] == ids[:1]
    assert list(results(ids, store, -1)) == first
    assert [one["id"] for one in results(ids, store, 100)] == [*reversed(ids)]  # fewest MACs first
    assert len(store.read_text().splitlines()) == 2


def test_what_hangs_or_crashes_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = load_catalog().get("timm/test_vit")
    for work, seconds, said in (
        (lambda _: time.sleep(60), 0.5, "it took more than 0.5 s and was ended"),
        (lambda _: os._exit(3), 60, "its process ended with status 3"),
    ):
        monkeypatch.setattr(exports, "tried", work)
        assert said in exports.tried_apart(spec, seconds)["error"]


def test_the_page_says_who_does_not_and_why() -> None:
    versions = {"torch": "2.14.1"}
    good = {"id": "timm/a", "versions": versions, "onnxruntime": {}, "openvino": {}}
    bad = {
        **good,
        "id": "timm/b",
        "openvino": {"reason": "output-differs", "sentence": "the scores | differ\nmore"},
    }
    lost = {"id": "timm/c", "versions": versions, "error": "no such layer"}
    text = page({"seeds": (5, [good, bad, lost])})
    assert "| seeds | 5 | 3 | 2 | 1 | 1 |" in text
    assert "| timm/b | openvino | output-differs | the scores \\| differ |" in text
    assert "| timm/c | onnxruntime | error | no such layer |" in text
    assert "timm/a" not in text
    assert "rounding moves" not in text
    assert "torch 2.14.1" in text
    moved = {**good, "openvino": {"value": 0.00023, "rounding": 0.00031}}
    text = page({"seeds": (1, [moved])})
    assert "| seeds | 1 | 1 | 1 | 1 | 1 |" in text
    assert "| timm/a | openvino | 2.3e-04 | 3.1e-04 |" in text
    assert json.dumps(good)


def test_a_suite_is_ranked_by_each_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds: dict[str, list[float | None]] = {
        "eager": [0.03, 0.02],
        "onnxruntime": [0.01, 0.02],
        "openvino": [0.004, None],
    }

    def record(model: Any, plan: object) -> Any:
        found = seconds[model.target.runtime].pop(0)
        if found is None:
            raise NotMeasuredError("not-exportable", "no")
        return Record(model.spec.id, model.target, {"cpu_time": {"samples": [found] * 3}})

    monkeypatch.setattr(exports, "latency_record", record)
    specs = load_catalog().select((), ["timm/test_vit", "timm/test_resnet"])
    catalog = SimpleNamespace(select=lambda *_: specs)
    monkeypatch.setattr(exports, "load_catalog", lambda: catalog)
    table = exports.ranking("any", tmp_path)
    assert table.rows == [
        ["timm/test_vit", "30.0 (2)", "10.0 (1)", "4.0 (1)"],
        ["timm/test_resnet", "20.0 (1)", "20.0 (2)", ""],
    ]
