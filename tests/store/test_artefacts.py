"""What is kept of a network for engines: whole or not at all, once, within a size."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from archbench.store.artefacts import (
    MANIFEST,
    Artefacts,
    Facts,
    checksum,
    file_name,
    key_of,
    limit_of,
)


def writing(text: str = "graph", calls: list[int] | None = None) -> Callable[[Path], Any]:
    def build(directory: Path) -> Facts:
        if calls is not None:
            calls.append(1)
        (directory / "network.onnx").write_text(text)
        return {"nodes": 3}

    return build


def made(store: Artefacts, name: str, size: int, used: float) -> None:
    path = store.made(name, writing("x" * size)).artefact.path
    os.utime(path / MANIFEST, (used, used))


def test_it_is_made_once_and_found_afterwards(tmp_path: Path) -> None:
    store, calls = Artefacts(tmp_path / "artefacts"), list[int]()
    first = store.made("a", writing(calls=calls))
    second = store.made("a", writing(calls=calls))
    assert (first.is_new, second.is_new, len(calls)) == (True, False, 1)
    assert second.artefact.facts == {"nodes": 3}
    assert second.artefact.files == {"network.onnx": 5}
    assert (second.artefact.path / "network.onnx").read_text() == "graph"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            lambda path: (path / "network.onnx").write_text("grapf"),
            "network.onnx has another checksum",
        ),
        (lambda path: (path / "network.onnx").write_text("grap"), "has 4 bytes and had 5"),
        (lambda path: (path / "network.onnx").unlink(), "FileNotFoundError"),
        (lambda path: (path / MANIFEST).write_text("{"), f"its {MANIFEST} cannot be used"),
    ],
)
def test_a_damaged_one_is_found_and_made_anew(
    tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    store = Artefacts(tmp_path)
    damage(store.made("a", writing()).artefact.path)
    again = store.made("a", writing())
    assert again.is_new
    assert said in str(again.damage)
    assert (again.artefact.path / "network.onnx").read_text() == "graph"
    assert not store.made("a", writing()).is_new


def test_of_one_of_another_version_nothing_is_said(tmp_path: Path) -> None:
    store = Artefacts(tmp_path)
    path = store.made("a", writing()).artefact.path / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 0}))
    again = store.made("a", writing())
    assert (again.is_new, again.damage) == (True, None)


def test_nothing_stays_of_what_could_not_be_finished(tmp_path: Path) -> None:
    def build(directory: Path) -> Facts:
        (directory / "network.onnx").write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store = Artefacts(tmp_path)
    with pytest.raises(OSError, match="No space left"):
        store.made("a", build)
    assert [path.name for path in tmp_path.iterdir()] == [".a.lock"]
    assert store.made("a", writing()).is_new


def test_two_at_once_make_it_once(tmp_path: Path) -> None:
    calls, inside, waited = list[int](), threading.Event(), threading.Event()

    def slow(directory: Path) -> Mapping[str, Any]:
        inside.set()
        waited.wait(60)
        return writing(calls=calls)(directory)

    store = Artefacts(tmp_path)
    first = threading.Thread(target=store.made, args=("a", slow))
    first.start()
    assert inside.wait(60)
    with pytest.raises(TimeoutError, match=r"another process has been making a for 0\.01 s"):
        store.made("a", writing(calls=calls), timeout=0.01)
    waited.set()
    assert not store.made("a", writing(calls=calls)).is_new
    first.join()
    assert len(calls) == 1


def test_those_that_were_not_used_for_longest_go_first(tmp_path: Path) -> None:
    store = Artefacts(tmp_path)
    for name, used in (("old", 1000.0), ("older", 500.0), ("new", 2000.0)):
        made(store, name, 100, used)
    left = tmp_path / ".half.x"
    left.mkdir()
    os.utime(left, (1000, 1000))
    assert [one.path.name for one in store.entries()] == ["new", "old", "older"]
    assert [one.path.name for one in store.prune(250)] == ["older"]
    assert not left.exists()
    assert [one.path.name for one in store.prune(50, keep="old")] == ["new"]
    assert store.prune(0) != []
    assert store.entries() == []


def test_one_that_was_used_just_now_stays(tmp_path: Path) -> None:
    store = Artefacts(tmp_path)
    store.made("a", writing())
    assert store.prune(0) == []
    assert [one.path.name for one in store.prune(0, in_use=0)] == ["a"]


def test_the_limit_is_a_quarter_of_the_disk_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Artefacts(tmp_path)
    store.made("a", writing("x" * 1000))
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 3000}))
    assert limit_of(tmp_path) == 1000


def test_names_and_keys() -> None:
    assert file_name("timm/resnet50(num_classes=10)@192", "onnx") == (
        "timm_resnet50_num_classes_10_192-onnx"
    )
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})


def test_a_checksum_is_that_of_the_standard(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"123456789")
    assert checksum(tmp_path / "file") == 0xCBF43926  # the check value of CRC-32
