"""A revision in a work tree of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from archbench.core.errors import UsageError
from archbench.workers import revisions
from archbench.workers.revisions import check_out, describe_work_tree


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


def test_a_work_tree_that_another_run_uses_stays(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revisions, "KEPT", 1)
    first = out(root, "HEAD").tree
    used = subprocess.Popen(
        [sys.executable, "-c",
         "import sys; from pathlib import Path; from archbench.workers.revisions import use; "
         "use(Path(sys.argv[1])); print(flush=True); sys.stdin.read()", str(first)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with used:
        assert used.stdout is not None
        used.stdout.readline()
        commit(root, "second")
        out(root, "HEAD")
        assert first.exists()
        (first / "net.py").write_text("edited there", encoding="utf-8")
        with pytest.raises(UsageError, match=r"another run compares with .*have been changed"):
            out(root, "HEAD~1")
        used.kill()
    commit(root, "third")
    assert out(root, "HEAD").tree.exists()
    assert not first.exists()


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


def test_reports_that_the_run_writes_are_no_change(root: Path) -> None:
    short = git(root, "rev-parse", "--short=9", "HEAD")
    reports = [root / "junit.xml", root / "out" / "results.json"]
    reports[1].parent.mkdir()
    for path in (*reports, root / "other.xml"):
        path.write_text("", encoding="utf-8")
    told = describe_work_tree(root, reports)
    assert told == f"work tree on {short} with 1 uncommitted change"
    # A report, where it is written by default; code that stands there is a change.
    (root / "report").mkdir()
    for name in ("index.html", "top1-rate.svg"):
        (root / "report" / name).write_text("", encoding="utf-8")
    assert describe_work_tree(root, reports) == told
    (root / "report" / "net.py").write_text("", encoding="utf-8")
    assert describe_work_tree(root, reports).endswith("with 2 uncommitted changes")
    (root / "report" / "net.py").unlink()
    (root / "other.xml").unlink()
    with pytest.raises(UsageError, match="nothing is uncommitted"):
        check_out(root, "", root / ".archbench" / "against", {}, reports)


def test_without_version_control_it_is_a_work_tree(tmp_path: Path) -> None:
    assert describe_work_tree(tmp_path) == "work tree"


def refused(root: Path, revision: str = "", **environ: str) -> str:
    with pytest.raises(UsageError) as error:
        out(root, revision, **environ)
    return str(error.value)


def test_a_revision_that_does_not_exist(root: Path) -> None:
    assert refused(root, "nosuch").startswith(
        f"--against=nosuch: {root} has no revision of that name. Fetch it, or write one"
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
        "--against: HEAD and main have no commit in common that is here. Fetch more of the history"
    )


def test_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert refused(tmp_path, "main").startswith(
        f"--against=main: {tmp_path} is not under version control with git (fatal: "
    )


def test_a_repository_of_somebody_else(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert refused(root, "main").endswith(
        f"Allow git to use it: git config --global --add safe.directory {root}"
    )


# Submodules.


def with_submodule(root: Path, tmp_path: Path, path: str = "libs/ops") -> Path:
    """A repository of its own, added to the project; returns where it came from."""
    source = tmp_path / "source"
    source.mkdir(exist_ok=True)
    git(source, "init", "-q")
    commit(source, "ops, first")
    add_submodule(root, source, path)
    git(root, "commit", "-qm", "with a submodule")
    return source


def add_submodule(root: Path, source: Path, path: str) -> None:
    git(root, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(source), path)


def move_submodule(root: Path, text: str, path: str = "libs/ops") -> str:
    """A new commit in the submodule that lies in the project, which the project records."""
    found = commit(root / path, text)
    git(root, "add", path)
    git(root, "commit", "-qm", text)
    return found


def test_submodules_are_at_the_commit_that_the_revision_records(root: Path, tmp_path: Path) -> None:
    source = with_submodule(root, tmp_path)
    move_submodule(root, "ops, second")
    source.rename(tmp_path / "gone")  # there is no network
    for _ in range(2):
        found = out(root, "HEAD~1")
        assert (found.tree / "libs" / "ops" / "net.py").read_text() == "ops, first"
        assert (root / "libs" / "ops" / "net.py").read_text() == "ops, second"
        # Mended when somebody has edited it there.
        (found.tree / "libs" / "ops" / "net.py").write_text("edited", encoding="utf-8")
    assert (out(root, "HEAD").tree / "libs" / "ops" / "net.py").read_text() == "ops, second"
    assert git(root, "status", "--porcelain", "--untracked-files=no") == ""


def test_submodules_of_submodules(root: Path, tmp_path: Path) -> None:
    with_submodule(root, tmp_path)
    inner = tmp_path / "inner"
    inner.mkdir()
    git(inner, "init", "-q")
    commit(inner, "inner, first")
    add_submodule(root / "libs" / "ops", inner, "inner part")
    move_submodule(root, "with an inner one")
    move_submodule(root / "libs" / "ops", "inner, second", "inner part")
    git(root, "commit", "-qam", "moved")
    found = out(root, "HEAD~1")
    assert (found.tree / "libs" / "ops" / "inner part" / "net.py").read_text() == "inner, first"
    # Gone from the work tree, it is still among what git keeps.
    git(root, "rm", "-q", "libs/ops")
    git(root, "commit", "-qm", "without")
    (old,) = [root / ".archbench" / "against" / "revisions" / found.commit]
    subprocess.run(["rm", "-r", str(old)], check=True)
    found = out(root, "HEAD~2")
    assert (found.tree / "libs" / "ops" / "inner part" / "net.py").read_text() == "inner, first"


def test_a_submodule_that_nobody_has_fetched_is_left_out(root: Path, tmp_path: Path) -> None:
    with_submodule(root, tmp_path)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(root), str(clone))
    found = out(clone, "HEAD")
    assert list((found.tree / "libs" / "ops").iterdir()) == []


def test_a_commit_of_a_submodule_that_is_not_here_is_refused(root: Path, tmp_path: Path) -> None:
    source = with_submodule(root, tmp_path)
    move_submodule(root, "ops, second")
    first, second = (
        git(source, "rev-parse", "HEAD"),
        git(root / "libs" / "ops", "rev-parse", "HEAD"),
    )
    git(root / "libs" / "ops", "push", "-q", "origin", "HEAD:refs/heads/next")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(root), str(clone))
    # As a checkout in CI does that fetches the last commit of each submodule alone.
    git(clone, "-c", "protocol.file.allow=always", "submodule", "-q", "init")
    place = clone / "libs" / "ops"
    git(clone, "clone", "-q", "--depth=1", "--branch=next", f"file://{source}", str(place))
    assert git(place, "rev-parse", "HEAD") == second
    assert out(clone, "HEAD").label.endswith("(HEAD)")
    assert refused(clone, "HEAD~1") == (
        f"--against=HEAD~1: its submodule libs/ops is to be at {first[:9]}, which is not here. "
        "Fetch it: git submodule update --init --recursive, then git -C libs/ops fetch origin "
        f"{first}. In CI: submodules: recursive and fetch-depth: 0 (actions/checkout)"
    )


# Shallow clones.


@pytest.fixture
def shallow(root: Path, tmp_path: Path) -> Path:
    commit(root, "second")
    git(root, "checkout", "-qb", "topic")
    commit(root, "third")
    clone = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth=1", "--branch=topic", f"file://{root}", str(clone))
    git(clone, "remote", "set-head", "origin", "--delete")
    return clone


REMEDY = (
    "Fetch more of the history: git fetch --deepen=100, in CI fetch-depth: 0 (actions/checkout) or "
    'GIT_DEPTH: "0" (GitLab), or '
)


def test_a_shallow_clone_ends_before_a_revision(shallow: Path) -> None:
    assert refused(shallow, "HEAD~1") == (
        f"--against=HEAD~1: {shallow} has no revision of that name, and is a shallow clone, which "
        f"ends before it may. {REMEDY}write one that `git rev-parse` knows. If it was meant for a "
        "path of tests, write it before the option"
    )


def test_a_shallow_clone_has_one_branch(shallow: Path) -> None:
    text = refused(shallow, GITHUB_BASE_REF="main")
    assert text.startswith("--against: there is no branch origin/main, origin/HEAD, ")
    assert text.endswith(f". {REMEDY}name a revision: --against=HEAD~1")


def test_a_shallow_clone_may_end_before_the_merge_base(shallow: Path, root: Path) -> None:
    git(shallow, "fetch", "-q", "--depth=1", "origin", "main:refs/remotes/origin/main")
    assert refused(shallow) == (
        "--against: HEAD and origin/main have no commit in common that is here. "
        f"{REMEDY}name a revision: --against=HEAD~1"
    )


def test_a_revision_of_which_a_part_is_not_here(root: Path) -> None:
    # As of a clone that fetches files when they are needed, without a network.
    blob = git(root, "rev-parse", "HEAD:net.py")
    commit(root, "second")
    path = root / ".git" / "objects" / blob[:2] / blob[2:]
    path.chmod(0o600)
    path.unlink()
    text = refused(root, "HEAD~1")
    assert f"error: unable to read sha1 file of net.py ({blob}); fatal: " in text
