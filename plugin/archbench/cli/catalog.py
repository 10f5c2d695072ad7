"""``archbench catalog``: the stored lists of architectures."""

from __future__ import annotations

import argparse

from archbench.catalog.lists import LISTED_LIBRARIES
from archbench.catalog.refresh import drift, write_list
from archbench.core.errors import UsageError


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    catalog = commands.add_parser("catalog", help="the stored lists of architectures")
    actions = catalog.add_subparsers(dest="action", required=True, metavar="ACTION")
    refresh = actions.add_parser(
        "refresh",
        help="make the stored lists anew from the installed libraries",
        description="Make the stored lists anew from the installed libraries, and say what "
        "changed. Takes minutes: every pytorchcv architecture is built.",
    )
    refresh.add_argument(
        "libraries", nargs="*", metavar="LIBRARY", help="timm, torchvision, pytorchcv; default all"
    )
    refresh.add_argument("--check", action="store_true", help="report drift, write nothing")
    refresh.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Make the lists anew, or say what they lack."""
    from archbench.models.installed import import_library
    from archbench.models.libraries import discover, library_version, names

    libraries = options.libraries or list(LISTED_LIBRARIES)
    for library in libraries:
        if library not in LISTED_LIBRARIES:
            raise UsageError(
                f"archbench catalog refresh {library}",
                "no library of that name has a stored list",
                f"Use {', '.join(LISTED_LIBRARIES)}",
            )
    drifted = False
    for library in libraries:
        import_library(library, f"archbench catalog refresh {library}")
        difference = drift(library, names(library), library_version(library))
        drifted |= bool(difference)
        print(f"{library}: {difference}")
        if not options.check:
            found = discover(library, lambda name: print(f"  {name}", flush=True))
            print(f"{library}: {len(found.models)} architectures in {write_list(library, found)}")
    return int(drifted and options.check)
