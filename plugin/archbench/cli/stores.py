"""The option that names a shared store, and what commands take of one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from archbench.core.errors import NothingFoundError, UsageError, some
from archbench.store.configuration import read_configuration
from archbench.store.objects import URLS, Objects
from archbench.store.sharing import SharedRun, named_runs, runs_of


def add_store(parser: argparse.ArgumentParser, what: str = URLS) -> None:
    """Add ``--store``. Without a URL it is the one of ``[tool.archbench]``."""
    parser.add_argument("--store", nargs="?", const="", metavar="URL", help=what)


def store_of(given: str | None, *, make: bool = False) -> Objects:
    """The store that is asked for.

    Args:
        given: the option's value; None or empty for the project's own.
        make: begin it where there is none.

    Raises:
        UsageError: none is named, or there is none.
    """
    configuration = read_configuration(Path.cwd())
    url = given or configuration.store
    if not url:
        own = configuration.path is not None and configuration.path.name == "archbench.toml"
        place = "archbench.toml" if own else "[tool.archbench] of pyproject.toml"
        raise UsageError(
            "--store",
            "no store is named",
            f'Write --store=URL, or store = "s3://bucket/archbench" in {place}',
        )
    if given and not make and "://" not in given and not Path(given).exists():
        raise UsageError(
            f"--store={given}",
            "there is no such directory",
            "Write a URL; or --store behind everything else for the project's own store",
        )
    store = Objects.open(url)
    store.require(make=make)
    return store


def shared_runs(store: Objects, requests: Sequence[str]) -> tuple[list[SharedRun], list[str]]:
    """The runs of a store that are meant, all by default, and sentences on what is left out.

    Raises:
        UsageError: there is no such run.
        NothingFoundError: there is none at all.
    """
    runs, remarks = runs_of(store)
    if not runs:
        raise NothingFoundError(
            f"--store={store.name}",
            "; ".join(["no run is in it", *remarks]),
            f"Push one: archbench push --store={store.name}",
        )
    if not requests:
        return runs, remarks
    found: dict[SharedRun, None] = {}
    for request in requests:
        named = named_runs(runs, request)
        if not named:
            latest = some([one.run for one in reversed(runs)])
            raise UsageError(
                request,
                f"{store.name} has no such run; the latest are {latest}",
                "Write the id of a run, the beginning of one, or a glob in quotes",
            )
        found |= dict.fromkeys(named)
    return list(found), remarks
