"""The directory of a project's runs is none of its files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from archbench.core.lines import CountLine
from archbench.core.records import Record
from archbench.store import directory
from archbench.store.baselines import remove_lines
from archbench.store.directory import as_typed, make_directory, own_directory
from archbench.store.journal import Journal


def status(root: Path) -> list[str]:
    done = subprocess.run(
        ["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def append(root: Path) -> None:
    Journal(root / ".archbench" / "runs", {}).append(Record("local/net", None))


def lock(root: Path) -> None:
    path = root / "baselines" / "complexity.jsonl"
    remove_lines(path, CountLine, (), root / ".archbench" / "baselines.lock")


@pytest.mark.parametrize("make", [append, lock, lambda root: make_directory(root / ".archbench")])
def test_git_ignores_it(tmp_path: Path, make: object) -> None:
    assert callable(make)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    make(tmp_path)
    (tmp_path / ".archbench" / "more").write_text("", encoding="utf-8")
    assert status(tmp_path) == []


def test_who_wants_it_under_version_control_has_to_say_so_once(tmp_path: Path) -> None:
    make_directory(tmp_path / ".archbench" / "runs")
    (tmp_path / ".archbench" / ".gitignore").unlink()
    make_directory(tmp_path / ".archbench" / "runs")
    assert not (tmp_path / ".archbench" / ".gitignore").exists()


def test_another_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARCHBENCH_DIRECTORY", raising=False)
    assert own_directory(tmp_path) == tmp_path / ".archbench"
    monkeypatch.setenv("ARCHBENCH_DIRECTORY", str(tmp_path / "there"))
    assert own_directory(tmp_path) == tmp_path / "there"
    assert own_directory(tmp_path, str(tmp_path / "given")) == tmp_path / "given"
    make_directory(tmp_path / "given" / "runs", tmp_path / "given")
    assert (tmp_path / "given" / ".gitignore").read_text("utf-8") == "*\n"


def test_any_other_directory_is_made_as_it_is(tmp_path: Path) -> None:
    assert make_directory(tmp_path / "baselines" / "v100") == tmp_path / "baselines" / "v100"
    assert [one.name for one in tmp_path.rglob("*")] == ["baselines", "v100"]


def test_commands_of_the_suite_are_those_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "Measure: pytest benchmarks --imagenet=DIR. Count: pytest benchmarks/test_complexity.py."
    there = {"archbench.benchmarks": object()}
    monkeypatch.setattr(directory, "find_spec", there.get)
    installed = "pytest --pyargs archbench.benchmarks"
    assert as_typed(said, tmp_path) == (
        f"Measure: {installed} --archbench-imagenet=DIR. Count: {installed}.test_complexity."
    )
    # It has a directory of that name.
    (tmp_path / "benchmarks").mkdir()
    assert as_typed(said, tmp_path) == said.replace("--imagenet", "--archbench-imagenet")
    # The checkout, and what is installed from it without a copy.
    (tmp_path / "plugin" / "archbench").mkdir(parents=True)
    assert as_typed(said, tmp_path) == said
    there.clear()
    assert as_typed(said, tmp_path / "elsewhere") == said
