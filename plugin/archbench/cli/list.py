"""``archbench list``: the architectures that a selection holds."""

from __future__ import annotations

import argparse
import shlex

from archbench.catalog import SUITES, load_catalog, published_top1
from archbench.catalog.own import is_own_request
from archbench.core.errors import UsageError
from archbench.report.table import catalogue_table


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
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
    listing.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print them."""
    catalog = load_catalog()
    if options.suites:
        width = max(map(len, SUITES))
        for name, description in SUITES.items():
            print(f"{name:<{width}}  {len(catalog.suite(name)):>5}  {description}")
        return 0
    given = [("suite", options.suite), *(("models", one) for one in options.models or ())]
    for name, value in given:
        if value is not None and not value.strip(" ,"):
            raise UsageError(f"--{name}=", "the value is empty", "Give one, or leave it out")
    for request in options.models or ():
        if is_own_request(request) or request.startswith("local/"):
            named = request if is_own_request(request) else "path/to/net.py:constructor"
            raise UsageError(
                f"archbench list --models={request}",
                "it lists the catalogue, and that is a network of your own",
                f"See what it is made of: archbench summary {shlex.quote(named)}; the cells of a "
                "run: pytest benchmarks --collect-only",
            )
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
