"""A git revision of the project, checked out into a work tree of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from archbench.core.errors import UsageError

__all__ = ["Revision", "check_out", "describe_work_tree"]

MAIN_BRANCHES = ("origin/HEAD", "origin/main", "origin/master", "main", "master")
"""Where the main branch is looked for, in this order."""

KEPT = 4
"""Work trees that stay for the next run; the ones used longest ago go."""

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


def _git(directory: Path, *arguments: str) -> tuple[str | None, str]:
    """What git printed; None and its complaint where it failed."""
    environment = {
        name: value
        for name, value in os.environ.items()
        # Set by git itself for its hooks: the run may be one.
        if name not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
    }
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        return None, f"git cannot be run ({error.strerror})"
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return None, lines[-1] if lines else f"git ended with status {done.returncode}"
    return done.stdout.strip(), ""


def _top(root: Path, asked: str) -> Path:
    top, complaint = _git(root, "rev-parse", "--show-toplevel")
    if top is None:
        raise UsageError(
            asked,
            f"{root} is not under version control with git ({complaint})",
            "Compare with another environment (--against=python:PATH, --against='pip:...') or "
            "other flags (--against=dtype=bf16)",
        )
    return Path(top)


def describe_work_tree(root: Path) -> str:
    """What is there now: ``work tree on 1a2b3c4d5 with 2 uncommitted changes``."""
    commit, _ = _git(root, "rev-parse", "--short=9", "HEAD")
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
    status, _ = _git(root, "status", "--porcelain", "--untracked-files=all")
    lines = (status or "").splitlines()
    return sum(not _is_left_behind(line[2:].strip().strip('"')) for line in lines)


def _is_left_behind(path: str) -> bool:
    parts = path.split("/")
    return bool({".archbench", "__pycache__", ".pytest_cache", ".benchmarks"} & set(parts))


def _resolve(top: Path, revision: str) -> str | None:
    commit, _ = _git(top, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    return commit


def _merge_base(top: Path, environ: Mapping[str, str]) -> tuple[str, str]:
    """Commit and label of where this branch left the main one.

    Raises:
        UsageError: there is none, or nothing has happened since.
    """
    targets = [f"origin/{environ[name]}" for name in _TARGETS if environ.get(name)]
    for branch in (*targets, *MAIN_BRANCHES):
        if _resolve(top, branch) is None:
            continue
        base, _ = _git(top, "merge-base", "HEAD", branch)
        if base is None:
            raise UsageError(
                "--against",
                f"HEAD and {branch} have no commit in common that is here",
                "Fetch the whole history (actions/checkout: fetch-depth: 0), or name a revision: "
                "--against=HEAD~1",
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
        "Name a revision: --against=HEAD~1",
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
            raise UsageError(
                asked,
                f"{top} has no revision of that name",
                "Fetch it (a shallow clone has few), or write one that `git rev-parse` knows. "
                "If it was meant for a path of tests, write it before the option",
            )
        short = commit[:9]
        label = short if commit.startswith(revision) else f"{short} ({revision})"
    else:
        commit, label = _merge_base(top, environ)
    tree = directory / commit
    directory.mkdir(parents=True, exist_ok=True)
    from filelock import FileLock

    with FileLock(str(directory.parent / "against.lock")):
        if not _is_at(tree, commit):
            _remove(top, tree)
            made, complaint = _git(top, "worktree", "add", "--detach", "--force", str(tree), commit)
            if made is None:
                raise UsageError(
                    asked,
                    f"git could not check it out in {tree}: {complaint}",
                    "Mend that and run again",
                )
        os.utime(tree)
        _tidy(top, directory)
    return Revision(commit, f"revision {label}", tree, top)


def _is_at(tree: Path, commit: str) -> bool:
    """Whether a work tree is there, of this commit, and as it was checked out."""
    if not (tree / ".git").exists() or _resolve(tree, "HEAD") != commit:
        return False
    status, _ = _git(tree, "status", "--porcelain", "--untracked-files=no")
    return status == ""


def _remove(top: Path, tree: Path) -> None:
    _git(top, "worktree", "remove", "--force", str(tree))
    shutil.rmtree(tree, ignore_errors=True)
    _git(top, "worktree", "prune")


def _tidy(top: Path, directory: Path) -> None:
    trees = sorted(
        (path for path in directory.iterdir() if path.is_dir()),
        key=lambda path: -path.stat().st_mtime,
    )
    for tree in trees[KEPT:]:
        _remove(top, tree)
