"""A git revision of the project, checked out into a work tree of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from archbench.core.errors import UsageError
from archbench.store.git import git, git_text

MAIN_BRANCHES = ("origin/HEAD", "origin/main", "origin/master", "main", "master")
"""Where the main branch is looked for, in this order."""

KEPT = 4
"""Work trees that stay for the next run; the ones used longest ago go."""

DEEPEN = (
    "Fetch more of the history: git fetch --deepen=100, in CI fetch-depth: 0 (actions/checkout) or "
    'GIT_DEPTH: "0" (GitLab)'
)
"""What to do in a clone that does not have what is asked for."""

_TARGETS = ("GITHUB_BASE_REF", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME")
"""In which GitHub and GitLab name the branch that a change is to go to."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision on disk.

    Attributes:
        commit: its full name.
        label: what it is, for people.
        tree: where it is checked out, from its top.
        top: of the repository's own work tree.
    """

    commit: str
    label: str
    tree: Path
    top: Path


def top_of(root: Path) -> Path | None:
    """The top of the work tree that a directory lies in; None where it lies in none."""
    top = git_text(root, "rev-parse", "--show-toplevel")
    return None if top is None else Path(top)


def _top(root: Path, asked: str) -> Path:
    answer = git(root, "rev-parse", "--show-toplevel")
    if answer.text is None:
        raise UsageError(
            asked,
            f"{root} is not under version control with git ({answer.complaint})",
            "Compare with another environment (--against=python:PATH, --against='pip:...') or "
            "other flags (--against=dtype=bf16)",
        )
    return Path(answer.text)


def describe_work_tree(root: Path) -> str:
    """What is there now: ``work tree on 1a2b3c4d5 with 2 uncommitted changes``."""
    commit = git_text(root, "rev-parse", "--short=9", "HEAD")
    if commit is None:
        return "work tree"
    changes = _changes(root)
    if not changes:
        return f"work tree on {commit}"
    return f"work tree on {commit} with {changes} uncommitted change{'s' if changes > 1 else ''}"


def _changes(root: Path) -> int:
    """Files that differ from the last commit, those that git does not know included.

    What runs leave behind themselves is no change.
    """
    status = git_text(root, "status", "--porcelain", "--untracked-files=all")
    lines = (status or "").splitlines()
    return sum(not _is_left_behind(line[2:].strip().strip('"')) for line in lines)


def _is_left_behind(path: str) -> bool:
    parts = path.split("/")
    return bool({".archbench", "__pycache__", ".pytest_cache", ".benchmarks"} & set(parts))


def _resolve(top: Path, revision: str) -> str | None:
    commit = git_text(top, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    return commit


def _no_revision(top: Path, asked: str) -> UsageError:
    meant = "If it was meant for a path of tests, write it before the option"
    if _is_shallow(top):
        return UsageError(
            asked,
            f"{top} has no revision of that name, and is a shallow clone, which ends before it may",
            f"{DEEPEN}, or write one that `git rev-parse` knows. {meant}",
        )
    return UsageError(
        asked,
        f"{top} has no revision of that name",
        f"Fetch it, or write one that `git rev-parse` knows. {meant}",
    )


def _is_shallow(top: Path) -> bool:
    answer = git_text(top, "rev-parse", "--is-shallow-repository")
    return answer == "true"


def _merge_base(top: Path, environ: Mapping[str, str]) -> tuple[str, str]:
    """Commit and label of where this branch left the main one.

    Raises:
        UsageError: there is none, or nothing has happened since.
    """
    targets = [f"origin/{environ[name]}" for name in _TARGETS if environ.get(name)]
    for branch in (*targets, *MAIN_BRANCHES):
        if _resolve(top, branch) is None:
            continue
        base = git_text(top, "merge-base", "HEAD", branch)
        if base is None:
            raise UsageError(
                "--against",
                f"HEAD and {branch} have no commit in common that is here",
                f"{DEEPEN}, or name a revision: --against=HEAD~1",
            )
        if base == _resolve(top, "HEAD") and not _changes(top):
            raise UsageError(
                "--against",
                f"HEAD is on {branch} and nothing is uncommitted, so both sides would be the same",
                "Name a revision: --against=HEAD~1",
            )
        return base, f"{base[:9]}, the merge base with {branch}"
    raise UsageError(
        "--against",
        f"there is no branch {', '.join((*targets, *MAIN_BRANCHES))}",
        f"{DEEPEN}, or name a revision: --against=HEAD~1"
        if _is_shallow(top)
        else "Fetch it, or name a revision: --against=HEAD~1",
    )


def check_out(
    root: Path, revision: str, directory: Path, environ: Mapping[str, str] = os.environ
) -> Revision:
    """Check a revision out, or find it checked out.

    Args:
        root: of the project, in its work tree.
        revision: that git knows; empty for the merge base with the main branch.
        directory: that holds the work trees, one for each commit.
        environ: of the process, for the branch that CI says the change goes to.

    Raises:
        UsageError: no repository, no such revision, or git cannot make the work tree.
    """
    asked = f"--against={revision}" if revision else "--against"
    top = _top(root, asked)
    if revision:
        commit = _resolve(top, revision)
        if commit is None:
            raise _no_revision(top, asked)
        short = commit[:9]
        label = short if commit.startswith(revision) else f"{short} ({revision})"
    else:
        commit, label = _merge_base(top, environ)
    tree = directory / commit
    directory.mkdir(parents=True, exist_ok=True)
    from filelock import FileLock

    with FileLock(str(directory.parent / "against.lock")):
        if not _is_at(tree, commit):
            _check_out_worktree(top, tree, commit, asked)
        _add_submodules(top, tree, commit, asked)
        os.utime(tree)
        _tidy(top, directory)
    return Revision(commit, f"revision {label}", tree, top)


def _add_submodules(top: Path, tree: Path, commit: str, asked: str) -> None:
    """Check out the submodules of a revision from what is here of them, without a network.

    One that is not checked out on our side, such as a theme of the documentation, is left out: what
    runs here runs without it.

    Args:
        top: of our work tree of the repository, or the repository itself.
        tree: where the revision of that repository is checked out.
        commit: that revision.

    Raises:
        UsageError: the commit that a submodule is to be at is not here.
    """
    for path, name, wanted in _submodules(tree, commit):
        ours, place = top / path, tree / path
        if ours.is_dir() and not any(ours.iterdir()):
            continue
        source = _repository_of(top, path, name, wanted)
        if source is None:
            raise UsageError(
                asked,
                f"its submodule {path} is to be at {wanted[:9]}, which is not here",
                f"Fetch it: git submodule update --init --recursive, then git -C {path} fetch "
                f"origin {wanted}. In CI: submodules: recursive and fetch-depth: 0 "
                "(actions/checkout)",
            )
        if not _is_at(place, wanted):
            _check_out_worktree(source, place, wanted, asked)
        _add_submodules(source, place, wanted, asked)


def _submodules(tree: Path, commit: str) -> list[tuple[str, str, str]]:
    """Path, name and commit of each submodule that a revision has."""
    if not (tree / ".gitmodules").is_file():
        return []
    arguments = ("--null", "--file", ".gitmodules", "--get-regexp", r"\.path$")
    listed = git_text(tree, "config", *arguments)
    names = {}
    for line in (listed or "").split("\0"):
        key, _, path = line.partition("\n")
        names[path] = key.removeprefix("submodule.").removesuffix(".path")
    content = git_text(tree, "ls-tree", "-r", "-z", "--full-tree", commit)
    found = []
    for entry in (content or "").split("\0"):
        head, _, path = entry.partition("\t")
        if head.startswith("160000 ") and path in names:
            found.append((path, names[path], head.split()[2]))
    return found


def _repository_of(top: Path, path: str, name: str, commit: str) -> Path | None:
    """Where the commit of a submodule is: the repository that is checked out at its path, or the
    one that git keeps of it; None where it is in neither."""
    places = [top / path] if (top / path / ".git").exists() else []
    for option in ("--git-dir", "--git-common-dir"):
        directory = git_text(top, "rev-parse", option)
        if directory is not None:
            places.append(top / directory / "modules" / name)
    for place in places:
        if place.is_dir() and _resolve(place, commit) == commit:
            return place
    return None


def _check_out_worktree(repository: Path, tree: Path, commit: str, asked: str) -> None:
    """Check a commit out into a work tree of its own, in place of what is there.

    Raises:
        UsageError: git cannot.
    """
    _remove(repository, tree)
    made = git(repository, "worktree", "add", "--detach", "--force", str(tree), commit)
    if made.text is None:
        raise UsageError(
            asked,
            f"git could not check it out in {tree}: {made.complaint}",
            "Mend that and run again",
        )


def _is_at(tree: Path, commit: str) -> bool:
    """Whether a work tree is there, of this commit, and as it was checked out."""
    if not (tree / ".git").exists() or _resolve(tree, "HEAD") != commit:
        return False
    status = git_text(tree, "status", "--porcelain", "--untracked-files=no")
    return status == ""


def _remove(top: Path, tree: Path) -> None:
    git(top, "worktree", "remove", "--force", str(tree))
    shutil.rmtree(tree, ignore_errors=True)
    git(top, "worktree", "prune")


def _tidy(top: Path, directory: Path) -> None:
    trees = sorted(
        (path for path in directory.iterdir() if path.is_dir()),
        key=lambda path: -path.stat().st_mtime,
    )
    for tree in trees[KEPT:]:
        _remove(top, tree)
