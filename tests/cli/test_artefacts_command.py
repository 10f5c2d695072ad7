"""``archbench artefacts``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from archbench.cli import main
from archbench.store.artefacts import MANIFEST, Artefacts, Facts


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artefacts:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ARCHBENCH_DIRECTORY", raising=False)
    return Artefacts(tmp_path / ".archbench" / "artefacts")


def keep(store: Artefacts, name: str, size: int, used: float) -> None:
    def build(directory: Path) -> Facts:
        (directory / "network.onnx").write_bytes(bytes(size))
        versions = {"torch": "2.14.1", "onnx": "1.23.2"}
        return {"id": f"timm/{name}", "batch": None, "seconds": 3.21, "versions": versions}

    path = store.made(name, build).artefact.path
    os.utime(path / MANIFEST, (used, used))


def test_what_is_kept_is_shown(store: Artefacts, capsys: pytest.CaptureFixture[str]) -> None:
    keep(store, "one", 2_500_000, 86_400)
    assert main(["artefacts", "show"]) == 0
    output = capsys.readouterr().out
    row = output.splitlines()[2].split()
    assert row[:4] == ["timm/one", "one", "1970-01-02", "00:00"]
    assert row[-3:] == ["any", "2.5", "3.2"]
    assert "1 take 2 MB; " in output or "1 take 3 MB; " in output


def test_those_that_were_not_used_for_longest_are_removed(
    store: Artefacts, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(store, "old", 2_000_000, 1000)
    keep(store, "new", 2_000_000, 2000)
    assert main(["artefacts", "prune", "--max-size=3MB"]) == 0
    assert capsys.readouterr().out == "Removed 1, 2 MB; 1 stay.\n"
    assert [one.path.name for one in store.entries()] == ["new"]
    assert main(["artefacts", "prune"]) == 0
    assert store.entries() == []


def test_where_there_are_none(store: Artefacts, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["artefacts", "show"]) == 1
    assert "there are none in" in "".join(capsys.readouterr())


def test_a_size_that_is_none(store: Artefacts, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["artefacts", "prune", "--max-size=2"]) == 2
    assert "Write a size as '20 MB'" in capsys.readouterr().err
