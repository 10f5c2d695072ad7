"""``archbench baselines``: show, compare and prune the accepted measurements."""

from __future__ import annotations

import argparse
from fnmatch import fnmatchcase
from pathlib import Path

from archbench.catalog import load_catalog
from archbench.core.errors import NothingFoundError, UsageError
from archbench.core.lines import Line, TimeLine
from archbench.report.baselines import difference_lines, lines_table
from archbench.store.baselines import (
    NAMES,
    parse_baselines,
    read_baselines,
    remove_lines,
)
from archbench.store.configuration import read_configuration
from archbench.store.directory import own_directory
from archbench.store.git import git, git_text


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    baselines = commands.add_parser(
        "baselines",
        help="show, compare and prune the accepted measurements",
        description="Accepted measurements of the project in this directory (baselines/).",
    )
    actions = baselines.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser("show", help="what is accepted, and how small a change it finds")
    show.add_argument("models", nargs="*", metavar="GLOB", help="ids or globs; default all")
    show.set_defaults(run=_show)
    diff = actions.add_parser("diff", help="what changed since a revision of git")
    diff.add_argument("revision", nargs="?", default="HEAD", help="default: HEAD")
    diff.set_defaults(run=_diff)
    prune = actions.add_parser(
        "prune",
        help="delete lines of architectures that the catalogue no longer has, or that are named",
        description="Delete lines of architectures that the catalogue no longer has. The "
        "project's own (local/...) are known to its tests only: name those that are gone.",
    )
    prune.add_argument("models", nargs="*", metavar="GLOB", help="ids or globs to delete instead")
    prune.add_argument("--dry-run", action="store_true", help="show them, write nothing")
    prune.set_defaults(run=_prune)


def _baseline_files() -> list[tuple[Path, type[Line], str | None]]:
    """Path, kind and device of each file of baselines of the project here."""
    root = Path("baselines")
    files: list[tuple[Path, type[Line], str | None]] = [
        (root / name, kind, None) for kind, name in NAMES.items() if (root / name).exists()
    ]
    files += [(path, TimeLine, path.parent.name) for path in sorted(root.glob("*/*.jsonl"))]
    if not files:
        raise NothingFoundError(
            "archbench baselines",
            f"there are none in {root.resolve()}",
            "Go to the project's root, or make some: pytest benchmarks --baseline-update",
        )
    return files


def _show(options: argparse.Namespace) -> int:
    rules = read_configuration(Path.cwd()).rules
    shown = 0
    for path, kind, slug in _baseline_files():
        lines = {
            key: line
            for key, line in read_baselines(path, kind).lines.items()
            if not options.models or any(fnmatchcase(line.id, glob) for glob in options.models)
        }
        if lines:
            print(f"{path}\n{lines_table(lines, slug, rules)}\n")
        shown += len(lines)
    if not shown and options.models:
        raise NothingFoundError(
            f"archbench baselines show {' '.join(options.models)}",
            "no accepted measurement is of such an architecture",
            "Write ids or globs over ids, in quotes: 'timm/resnet*'",
        )
    print(f"{shown:,} lines.")
    return 0


def _diff(options: argparse.Namespace) -> int:
    here = Path.cwd()
    files = _baseline_files()
    top = git(here, "rev-parse", "--git-dir")
    if top.output is None:
        raise UsageError(
            "archbench baselines diff",
            f"this is no git work tree ({top.complaint}), so there is nothing to compare with",
            top.todo("Put the project under version control"),
        )
    commit = f"{options.revision}^{{commit}}"
    if git_text(here, "rev-parse", "--verify", "--quiet", commit) is None:
        raise UsageError(
            f"archbench baselines diff {options.revision}",
            "git knows no such revision here",
            "Name a commit, a branch or a tag",
        )
    changed = 0
    for path, kind, _ in files:
        stored = git(here, "show", f"{options.revision}:./{path.as_posix()}").output
        old = {} if stored is None else parse_baselines(stored, path, kind).lines
        lines = difference_lines(old, read_baselines(path, kind).lines)
        if lines:
            print("\n".join([str(path), *lines, ""]))
        changed += len(lines)
    print(f"{changed:,} lines differ from {options.revision}.")
    return 0


def _prune(options: argparse.Namespace) -> int:
    catalog = load_catalog()

    def is_gone(model: str) -> bool:
        if options.models:
            return any(fnmatchcase(model, glob) for glob in options.models)
        # One's own architectures are known to the project's tests only.
        return not model.startswith("local/") and not catalog.has(model)

    total = 0
    for path, kind, _ in _baseline_files():
        gone = [key for key, line in read_baselines(path, kind).lines.items() if is_gone(line.id)]
        for key in gone:
            print(f"- {path}: {key}")
        if gone and not options.dry_run:
            remove_lines(path, kind, gone, own_directory(Path()) / "baselines.lock")
        total += len(gone)
    if options.models and not total:
        raise NothingFoundError(
            f"archbench baselines prune {' '.join(options.models)}",
            "no accepted measurement is of such an architecture",
            "Write ids or globs over ids, in quotes: 'local/*'",
        )
    verb = "would be deleted" if options.dry_run else "deleted"
    print(f"{total:,} lines {verb}.")
    return 0
