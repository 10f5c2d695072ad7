"""Storing a list, and seeing that a library has moved on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from archbench.catalog.lists import DATA, LISTED_LIBRARIES, StoredList, StoredModel, read_list
from archbench.catalog.refresh import Drift, drift, render_list, write_list


@pytest.fixture
def discovered() -> StoredList:
    model = StoredModel("b", (3, 224, 224), {}, None, None)
    return StoredList(
        1,
        "pytorchcv",
        "0.0.74",
        "2.15.0",
        (model, replace(model, name="a", top1=0.1 + 0.2)),
        {"z": "it has 10 classes, not 1000", "c": 'it says "no"'},
    )


def test_a_list_has_one_architecture_per_line_sorted_by_name(discovered: StoredList) -> None:
    rest = '"input_size":[3,224,224],"kwargs":{},"weights":null,"preprocessing":null'
    assert render_list(discovered) == (
        '{"schema":1,\n'
        '"library":"pytorchcv",\n'
        '"version":"0.0.74",\n'
        '"torch":"2.15.0",\n'
        '"models":[\n'
        f'{{"name":"a",{rest},"top1":0.30000000000000004}},\n'
        f'{{"name":"b",{rest}}}\n'
        "],\n"
        '"skipped":{\n'
        '"c":"it says \\"no\\"",\n'
        '"z":"it has 10 classes, not 1000"\n'
        "}}\n"
    )


def test_a_list_is_written_and_read_back(
    discovered: StoredList, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_list("pytorchcv", discovered, tmp_path)
    assert path == tmp_path / "pytorchcv.json"
    shutil.copy(DATA / "architectures.json", tmp_path)
    monkeypatch.setattr("archbench.catalog.lists.DATA", tmp_path)
    try:
        stored = read_list("pytorchcv")
        assert stored.names == {"a", "b", "c", "z"}
        assert [spec.id for spec in stored.specs()] == ["pytorchcv/a", "pytorchcv/b"]
    finally:
        read_list.cache_clear()


def test_the_list_of_another_library_is_refused(discovered: StoredList, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected the list of timm, got that of pytorchcv"):
        write_list("timm", discovered, tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_empty_list_does_not_replace_a_full_one(discovered: StoredList, tmp_path: Path) -> None:
    discovered = replace(discovered, models=())
    with pytest.raises(ValueError, match="without any architecture is not stored"):
        write_list("pytorchcv", discovered, tmp_path)


def test_a_number_that_json_cannot_hold_is_refused(discovered: StoredList) -> None:
    broken = replace(discovered.models[0], top1=float("nan"))
    with pytest.raises(ValueError, match="not JSON compliant"):
        render_list(replace(discovered, models=(broken,)))


@pytest.mark.parametrize("library", LISTED_LIBRARIES)
def test_storing_an_unchanged_list_changes_nothing(library: str) -> None:
    path = Path(__file__).parents[2] / f"plugin/archbench/catalog/data/{library}.json"
    text = path.read_text(encoding="utf-8")
    assert render_list(read_list(library)) == text


def test_drift_is_what_was_added_and_removed() -> None:
    names = set(read_list("torchvision").names) - {"alexnet", "vgg11"} | {"resnet51"}
    found = drift("torchvision", names, "0.30.0")
    version = read_list("torchvision").version
    assert found == Drift(("resnet51",), ("alexnet", "vgg11"), version, "0.30.0")
    assert found
    assert str(found) == (f"listed at {version}, installed is 0.30.0: +resnet51 -alexnet -vgg11")


def test_a_skipped_name_is_no_drift() -> None:
    stored = read_list("timm")
    found = drift("timm", list(stored.names), stored.version)
    assert not found
    assert str(found).endswith(": no name added or removed")
