"""Asking git: what it printed, and what it complains of."""

from __future__ import annotations

from pathlib import Path

import pytest

from archbench.store.git import git, git_text


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    assert git(tmp_path, "init", "--quiet").output == b""
    return tmp_path


def test_what_it_printed(repository: Path) -> None:
    (repository / "a\xff").write_bytes(b"\xff\r\n")
    assert git(repository, "status", "--porcelain", "-z").output == "?? a\xff\0".encode()
    assert git_text(repository, "rev-parse", "--show-toplevel") == str(repository.resolve())
    assert git(repository, "hash-object", "--stdin", "-w").complaint == ""


def test_its_complaint(repository: Path) -> None:
    answer = git(repository, "rev-parse", "--verify", "nothing^{commit}")
    assert answer.output is None
    assert answer.text is None
    assert answer.complaint == "fatal: Needed a single revision"
    quiet = git(repository, "rev-parse", "--verify", "--quiet", "nothing")
    assert quiet.complaint == "git ended with status 1"


def test_what_to_do_about_a_repository_of_somebody_else(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert git(repository, "rev-parse", "--verify", "nothing").todo("Look") == "Look"
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert git(repository, "rev-parse", "--git-dir").todo("Look") == (
        f"Allow git to use it: git config --global --add safe.directory {repository}"
    )


def test_where_there_is_none(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    answer = git(repository, "status")
    assert answer.output is None
    assert answer.complaint == "git cannot be run (No such file or directory)"


def test_it_is_given_no_more_time(repository: Path) -> None:
    answer = git(repository, "-c", "alias.wait=!sleep 5", "wait", timeout=0.2)
    assert answer.complaint == "git took more than 0.2 s"


def test_a_hook_may_run_it(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert git_text(repository, "rev-parse", "--git-dir") == ".git"
