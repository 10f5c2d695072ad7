"""A revision in a work tree of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from archbench.core.errors import UsageError
from archbench.duet import revisions
from archbench.duet.revisions import check_out, describe_work_tree


def git(directory: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=x", "-c", "user.email=x", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=directory, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(root: Path, text: str) -> str:
    (root / "net.py").write_text(text, encoding="utf-8")
    git(root, "add", "net.py")
    git(root, "commit", "-qm", text)
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "-q")
    commit(root, "first")
    return root


def out(root: Path, revision: str = "", **environ: str) -> revisions.Revision:
    return check_out(root, revision, root / ".archbench" / "against" / "revisions", environ)


def test_a_revision_is_checked_out_beside_what_is_there(root: Path) -> None:
    first = git(root, "rev-parse", "HEAD")
    commit(root, "second")
    (root / "net.py").write_text("not committed", encoding="utf-8")
    found = out(root, "HEAD~1")
    assert found.commit == first
    assert found.label == f"revision {first[:9]} (HEAD~1)"
    assert found.top == root
    assert (found.tree / "net.py").read_text() == "first"
    assert (root / "net.py").read_text() == "not committed"
    assert out(root, first).label == f"revision {first[:9]}"


def test_a_work_tree_is_used_again_as_it_was_checked_out(root: Path) -> None:
    found = out(root, "HEAD")
    (found.tree / "left.txt").write_text("by a run", encoding="utf-8")
    assert (out(root, "HEAD").tree / "left.txt").exists()
    (found.tree / "net.py").write_text("edited there", encoding="utf-8")
    assert (out(root, "HEAD").tree / "net.py").read_text() == "first"
    # Half of it is gone, as when someone cleans up by hand.
    (found.tree / ".git").unlink()
    assert (out(root, "HEAD").tree / "net.py").read_text() == "first"


def test_work_trees_do_not_pile_up(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revisions, "KEPT", 2)
    commits = [commit(root, str(index)) for index in range(3)]
    trees = [out(root, one).tree for one in commits]
    assert [tree.exists() for tree in trees] == [False, True, True]
    assert git(root, "worktree", "list").count(".archbench") == 2


def test_the_merge_base_is_where_the_branch_began(root: Path) -> None:
    base = commit(root, "base")
    git(root, "checkout", "-qb", "topic")
    commit(root, "on the branch")
    git(root, "checkout", "-q", "main")
    commit(root, "later on main")
    git(root, "checkout", "-q", "topic")
    found = out(root)
    assert found.commit == base
    assert found.label == f"revision {base[:9]}, the merge base with main"


def test_ci_says_where_a_change_is_to_go(root: Path) -> None:
    base = commit(root, "base")
    git(root, "update-ref", "refs/remotes/origin/release", "HEAD")
    commit(root, "change")
    assert out(root, GITHUB_BASE_REF="release").label.endswith("merge base with origin/release")
    found = out(root, CI_MERGE_REQUEST_TARGET_BRANCH_NAME="release")
    assert found.commit == base


def test_uncommitted_changes_on_main_are_compared_with_it(root: Path) -> None:
    (root / "new.py").write_text("", encoding="utf-8")
    assert out(root).commit == git(root, "rev-parse", "HEAD")


def test_a_work_tree_is_described_with_its_changes(root: Path) -> None:
    short = git(root, "rev-parse", "--short=9", "HEAD")
    out(root, "HEAD")  # what is left of that is no change
    assert describe_work_tree(root) == f"work tree on {short}"
    (root / "net.py").write_text("edited", encoding="utf-8")
    assert describe_work_tree(root) == f"work tree on {short} with 1 uncommitted change"
    (root / "new.py").write_text("", encoding="utf-8")
    assert describe_work_tree(root) == f"work tree on {short} with 2 uncommitted changes"


def test_without_version_control_it_is_a_work_tree(tmp_path: Path) -> None:
    assert describe_work_tree(tmp_path) == "work tree"


def refused(root: Path, revision: str = "", **environ: str) -> str:
    with pytest.raises(UsageError) as error:
        out(root, revision, **environ)
    return str(error.value)


def test_a_revision_that_does_not_exist(root: Path) -> None:
    assert refused(root, "nosuch").startswith(
        f"--against=nosuch: {root} has no revision of that name. Fetch it (a shallow clone has few)"
    )


def test_a_path_that_was_taken_for_a_revision(root: Path) -> None:
    assert "If it was meant for a path of tests, write it before the option" in refused(
        root, "benchmarks"
    )


def test_nothing_to_compare_with(root: Path) -> None:
    assert refused(root) == (
        "--against: HEAD is on main and nothing is uncommitted, so both sides would be the same. "
        "Name a revision: --against=HEAD~1"
    )


def test_no_main_branch(root: Path) -> None:
    git(root, "branch", "-m", "trunk")
    assert refused(root).startswith("--against: there is no branch origin/HEAD, origin/main, ")


def test_a_branch_without_a_common_commit(root: Path) -> None:
    git(root, "checkout", "-q", "--orphan", "island")
    commit(root, "alone")
    assert refused(root).startswith(
        "--against: HEAD and main have no commit in common that is here. Fetch the whole history"
    )


def test_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert refused(tmp_path, "main").startswith(
        f"--against=main: {tmp_path} is not under version control with git (fatal: "
    )
