"""``archbench pull``: runs and baselines out of a store that a team shares."""

from __future__ import annotations

import argparse
from pathlib import Path

from archbench.cli.printing import say
from archbench.cli.stores import add_store, shared_runs, store_of
from archbench.core.errors import NothingFoundError, UsageError
from archbench.store.directory import runs_directory
from archbench.store.objects import Objects
from archbench.store.shared_baselines import pull_baselines
from archbench.store.sharing import HERE, pull_runs


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "pull",
        help="take runs and baselines from a store that a team shares",
        description="Take runs from a shared store into .archbench/runs. No run and no line of "
        "baselines that is here is changed: what differs is said.",
    )
    parser.add_argument(
        "runs",
        nargs="*",
        metavar="RUN",
        help="ids, beginnings of ids, or globs, also of ENVIRONMENT/ID; default: all",
    )
    parser.add_argument(
        "--baselines",
        action="store_true",
        help="lines of baselines/ that are not here; no run then, unless some are named",
    )
    add_store(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Pull what is named; the exit status is 1 where some of it was left out, or differs."""
    store = store_of(options.store)
    try:
        missed = [] if options.baselines and not options.runs else _runs(store, options.runs)
        if options.baselines:
            missed += _baselines(store)
    except OSError as error:
        raise UsageError(
            str(error.filename), f"it cannot be written ({error.strerror})", "Make room for it"
        ) from error
    say(missed)
    return int(bool(missed))


def _runs(store: Objects, requests: list[str]) -> list[str]:
    """Pull runs; returns sentences on those that were not."""
    wanted, missed = shared_runs(store, requests)
    pulled = there = 0
    for one, cause in pull_runs(store, wanted, runs_directory(Path.cwd())):
        if cause == HERE:
            there += 1
        elif cause:
            missed.append(f"{one.key}: {cause}")
        else:
            pulled += 1
            print(f"{one.run} was pulled, of {one.environment}")
    print(f"pulled from {store.name}: {pulled}; here already: {there}")
    return missed


def _baselines(store: Objects) -> list[str]:
    """Pull baselines; returns sentences on what was not."""
    missed: list[str] = []
    found = list(pull_baselines(store, Path.cwd() / "baselines"))
    if not found:
        raise NothingFoundError(
            f"--store={store.name}",
            "no baselines are in it",
            f"Push some: archbench push --baselines --store={store.name}",
        )
    for path, added, remarks in found:
        print(f"{path.relative_to(Path.cwd())}: lines added: {added:,}")
        missed += remarks
    return missed
