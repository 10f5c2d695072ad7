"""``archbench push``: runs and baselines into a store that a team shares."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from archbench.cli.printing import say
from archbench.cli.sources import path_of
from archbench.cli.stores import add_store, store_of
from archbench.core.errors import ArchbenchError, NothingFoundError, UsageError
from archbench.store.journal import run_paths
from archbench.store.objects import Objects
from archbench.store.shared_baselines import push_baselines
from archbench.store.sharing import push_run, runs_of


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "push",
        help="add runs and baselines to a store that a team shares",
        description="Add runs that have ended to a shared store, where nothing is ever changed: "
        "what is there already stays, and another content for the same run is refused.",
    )
    parser.add_argument(
        "runs",
        nargs="*",
        metavar="RUN",
        help="ids of stored runs, beginnings of ids, or globs ('*' for all); default: the latest",
    )
    parser.add_argument(
        "--baselines",
        action="store_true",
        help="the files of baselines/; no run then, unless some are named",
    )
    add_store(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Push what is named; the exit status is 1 where some of it was refused."""
    root = Path.cwd()
    journals = [] if options.baselines and not options.runs else _journals(options.runs, root)
    if options.baselines and not any((root / "baselines").rglob("*.jsonl")):
        raise NothingFoundError(
            "--baselines", f"there are none in {root / 'baselines'}", "Go to the project's root"
        )
    store = store_of(options.store, make=True)
    refused = _push(store, journals)
    if options.baselines:
        added, same = push_baselines(store, root / "baselines")
        for path in added:
            print(f"{path.relative_to(root)} was pushed")
        print(f"files of baselines pushed: {len(added)}; there already: {len(same)}")
    say([str(error) for error in refused])
    return int(bool(refused)) if len(refused) < len(journals) else 2 * bool(refused)


def _push(store: Objects, journals: Sequence[Path]) -> list[ArchbenchError]:
    known, remarks = runs_of(store) if journals else ([], [])
    there_before = set(known)
    say(remarks)
    refused: list[ArchbenchError] = []
    there = 0
    for path in journals:
        try:
            pushed = push_run(store, path, there_before)
        except OSError as error:  # noqa: PERF203
            todo = "Make it a readable file"
            refused.append(UsageError(str(path), f"it cannot be read ({error.strerror})", todo))
        except ArchbenchError as error:
            refused.append(error)
        else:
            there += pushed is None
            print(
                f"{path.parent.name} " + (f"was pushed as {pushed.key}" if pushed else "is there")
            )
    if journals:
        number = len(journals) - there - len(refused)
        print(f"pushed to {store.name}: {number}; there already: {there}")
    return refused


def _journals(names: Sequence[str], root: Path) -> list[Path]:
    """The journals of the runs that are named."""
    found: dict[Path, None] = {}
    stored = run_paths(root)
    for name in names or ("latest",):
        is_glob = any(sign in name for sign in "*?[")
        matching = [path for path in stored if is_glob and fnmatchcase(path.parent.name, name)]
        found |= dict.fromkeys(matching or [path_of(name, root)])
    return list(found)
