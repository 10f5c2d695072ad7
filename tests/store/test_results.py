"""The results file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from archbench.core.records import Record
from archbench.core.spec import Target
from archbench.store.results import results_document, write_results


def test_document() -> None:
    cell = Record(
        "torchvision/resnet18",
        Target("cpu", "AMD EPYC", "cpu-amd-epyc"),
        {
            "params": {"value": 11689512, "unit": "1", "source": "counted"},
            "latency": {"samples": [0.1, 0.2], "unit": "s", "source": "measured"},
        },
    )
    published = {"torchvision/resnet18": {"top1": {"value": 69.758, "source": "torchvision"}}}
    document: Any = results_document({"environment": {"cpu": "AMD EPYC"}}, [cell], published)
    assert document["schema"] == 1
    assert document["environment"] == {"cpu": "AMD EPYC"}
    (entry,) = document["cells"]
    assert entry["id"] == "torchvision/resnet18"
    assert entry["target"]["dtype"] == "fp32"
    assert entry["metrics"]["params"]["value"] == 11689512
    assert entry["metrics"]["latency"]["samples"] == [0.1, 0.2]
    assert entry["metrics"]["latency"]["statistics"]["p50"] == pytest.approx(0.15)
    assert entry["published"]["top1"]["value"] == 69.758
    assert entry["verdicts"] == []
    assert "statistics" not in cell.metrics["latency"], "what is stored stays raw"


def test_the_old_file_survives_a_failed_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.json"
    write_results(path, {"schema": 1})

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("archbench.store.atomic.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_results(path, {"schema": 1, "cells": []})
    assert json.loads(path.read_text(encoding="utf-8")) == {"schema": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_of_the_old_file_keeps_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_results(path, {"schema": 1, "cells": [1]})
    with path.open(encoding="utf-8") as reader:
        write_results(path, {"schema": 1, "cells": [2]})
        assert json.load(reader)["cells"] == [1]
    assert json.loads(path.read_text(encoding="utf-8"))["cells"] == [2]
