"""A git revision of the project, checked out into a work tree of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from archbench.core.errors import UsageError
from archbench.core.locks import lock
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
            answer.todo(
                "Compare with another environment (--against=python:PATH, --against='pip:...') or "
                "other flags (--against=dtype=bf16)"
            ),
        )
    return Path(answer.text)


def describe_work_tree(root: Path, reports: Collection[Path] = ()) -> str:
    """What is there now: ``work tree on 1a2b3c4d5 with 2 uncommitted changes``.

    Args:
        reports: files that the run itself writes; an earlier one may have left them.
    """
    commit = git_text(root, "rev-parse", "--short=9", "HEAD")
    if commit is None:
        return "work tree"
    changes = _changes(root, reports)
    if not changes:
        return f"work tree on {commit}"
    return f"work tree on {commit} with {changes} uncommitted change{'s' if changes > 1 else ''}"


def _changes(root: Path, reports: Collection[Path]) -> int:
    """Files that differ from the last commit, those that git does not know included.

    What runs leave behind themselves is no change.
    """
    top = top_of(root) or root
    status = git_text(root, "status", "--porcelain", "--untracked-files=all")
    # git_text has taken the blank before the first line's state.
    paths = [line.split(None, 1)[-1].strip('"') for line in (status or "").splitlines()]
    written = {path.resolve() for path in reports}
    return sum(not (_is_left_behind(one) or (top / one).resolve() in written) for one in paths)


def _is_left_behind(path: str) -> bool:
    *directories, name = path.split("/")
    left = {".archbench", "__pycache__", ".pytest_cache", ".benchmarks"}
    # Pages and pictures where ``archbench report`` writes them by default are no code.
    is_report = "report" in directories and name.endswith((".html", ".svg", ".png", ".pdf"))
    return bool(left & {*directories, name}) or is_report


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


def _merge_base(
    top: Path, environ: Mapping[str, str], reports: Collection[Path]
) -> tuple[str, str]:
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
        if base == _resolve(top, "HEAD") and not _changes(top, reports):
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
    root: Path,
    revision: str,
    directory: Path,
    environ: Mapping[str, str] = os.environ,
    reports: Collection[Path] = (),
) -> Revision:
    """Check a revision out, or find it checked out.

    Args:
        root: of the project, in its work tree.
        revision: that git knows; empty for the merge base with the main branch.
        directory: that holds the work trees, one for each commit.
        environ: of the process, for the branch that CI says the change goes to.
        reports: files that the run itself writes, which are no change.

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
        commit, label = _merge_base(top, environ, reports)
    tree = directory / commit
    directory.mkdir(parents=True, exist_ok=True)
    from filelock import FileLock

    with FileLock(str(directory.parent / "against.lock")):
        if not _is_at(tree, commit):
            if tree.exists() and _is_used(tree):
                raise UsageError(
                    asked,
                    f"another run compares with {tree}, and its files have been changed meanwhile",
                    "Wait until that run has ended",
                )
            _check_out_worktree(top, tree, commit, asked)
        _add_submodules(top, tree, commit, asked)
        use(tree)
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
        if not _is_used(tree):
            _remove(top, tree)


_USED: dict[Path, int] = {}
"""The open directory of the work tree that this process uses, by which others see that."""


def use(tree: Path) -> None:
    """Let no other run remove a work tree as long as this process lives, or until it uses another
    one; only POSIX can."""
    if os.name != "posix":
        return
    for other in list(_USED):
        os.close(_USED.pop(other))
    _USED[tree] = os.open(tree, os.O_RDONLY)
    lock(_USED[tree], alone=False)


def _is_used(tree: Path) -> bool:
    """Whether a run of another process uses a work tree."""
    if os.name != "posix" or tree in _USED:
        return False
    descriptor = os.open(tree, os.O_RDONLY)
    try:
        return not lock(descriptor, alone=True)
    finally:
        os.close(descriptor)
