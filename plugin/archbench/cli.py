"""The ``archbench`` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from archbench import __version__
from archbench.core.errors import ArchbenchError, UsageError

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="archbench",
        description="Benchmarks of image-classification architectures. "
        "Measuring is pytest's part: pytest benchmarks",
    )
    parser.add_argument("--version", action="version", version=f"archbench {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    listing = commands.add_parser(
        "list",
        help="show the architectures that a selection holds",
        description="Show the architectures that pytest would run with the same options.",
    )
    listing.add_argument("--suite", help="name of a suite (default: seeds)")
    listing.add_argument(
        "--models", action="append", metavar="GLOB", help="ids or globs: timm/resnet*; repeatable"
    )
    listing.add_argument("--suites", action="store_true", help="list the suites instead")
    listing.add_argument("--ids", action="store_true", help="ids only, one a line")
    listing.set_defaults(run=_list)

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
    refresh.set_defaults(run=_refresh)
    return parser


def _list(options: argparse.Namespace) -> int:
    from archbench.catalog import SUITES, load_catalog, published_top1
    from archbench.report.table import catalogue_table

    catalog = load_catalog()
    if options.suites:
        width = max(map(len, SUITES))
        for name, description in SUITES.items():
            print(f"{name:<{width}}  {len(catalog.suite(name)):>5}  {description}")
        return 0
    suite = options.suite or (() if options.models else "seeds")
    models = catalog.select(suite, options.models or ())
    if options.ids:
        print("\n".join(model.id for model in models))
        return 0
    figures = {model.id: published_top1(model) for model in models}
    top1 = {id: figure.value if figure else None for id, figure in figures.items()}
    print(catalogue_table(models, top1))
    print(f"\n{len(models)} architectures. * published, not measured here.")
    return 0


def _refresh(options: argparse.Namespace) -> int:
    from archbench.catalog.lists import LISTED_LIBRARIES
    from archbench.catalog.refresh import drift, write_list
    from archbench.measure.libraries import discover, library_version, names

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
        difference = drift(library, names(library), library_version(library))
        drifted |= bool(difference)
        print(f"{library}: {difference}")
        if not options.check:
            found = discover(library, lambda name: print(f"  {name}", flush=True))
            print(
                f"{library}: {len(found['models'])} architectures in {write_list(library, found)}"
            )
    return int(drifted and options.check)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status. 2 for a request that cannot be served."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except ArchbenchError as error:
        print(f"archbench: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # `archbench list | head`: the reader has what it wanted.
        sys.stderr.close()
        return 0
    return status


if __name__ == "__main__":
    sys.exit(main())
