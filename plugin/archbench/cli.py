"""The ``archbench`` command."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from archbench import __version__
from archbench.core.errors import ArchbenchError, ArchitectureError, NotMeasuredError, UsageError
from archbench.models.requiring import require_torch
from archbench.report.streams import ShownStream, held_back

if TYPE_CHECKING:
    from archbench.core.spec import ModelSpec
    from archbench.duet_selftest import DuetOutcome
    from archbench.selftest import Outcome

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    from archbench.commands import compare, history, report, select

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
    _add_summary(commands)
    _add_comparison(commands)
    _add_conventions(commands)
    _add_baselines(commands)
    _add_selftest(commands)
    for command in (report, select, compare, history):
        command.add_parser(commands)

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


def _add_summary(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from archbench.core.summary import PARTS, TREE_CONVENTIONS
    from archbench.report.summary import FORMATS

    summary = commands.add_parser(
        "summary",
        help="show an architecture layer by layer and module by module",
        description="Show an architecture's layers with their outputs and parameters, and its "
        "modules with their shares of parameters and multiply-adds. Nothing is downloaded and no "
        "arithmetic is done.",
    )
    summary.add_argument(
        "id", metavar="ID", help="timm/resnet50, timm/resnet50@192, path/to/file.py:constructor"
    )
    summary.add_argument(
        "--part", choices=PARTS, help="one of the two (default: both; csv: layers)"
    )
    summary.add_argument("--format", choices=tuple(FORMATS), default="text", help="default: text")
    summary.add_argument(
        "--depth", type=_whole_number, metavar="N", help="list modules nested at most N deep"
    )
    summary.add_argument(
        "--input-size", type=_whole_number, metavar="N", help="images of N by N pixels"
    )
    summary.add_argument(
        "--batch-size", type=_whole_number, metavar="N", help="images of the layer table's batch"
    )
    summary.add_argument(
        "--convention",
        choices=TREE_CONVENTIONS,
        help="what the tree counts: multiply-adds, or as ptflops does (default: macs)",
    )
    summary.set_defaults(run=_summary)


def _add_comparison(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    comparison = commands.add_parser(
        "compare-implementations",
        help="show where the libraries' versions of an architecture differ",
        description="Count every implementation of an architecture and show where each differs "
        "from the first in params, MACs, activations and layers.",
    )
    comparison.add_argument(
        "names",
        nargs="+",
        metavar="NAME",
        help="an architecture's name (resnet50), or two or more ids to compare as they stand",
    )
    comparison.add_argument(
        "--input-size", type=_whole_number, metavar="N", help="images of N by N pixels for all"
    )
    comparison.add_argument("--format", choices=("text", "json"), default="text")
    comparison.set_defaults(run=_compare)


def _add_conventions(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    conventions = commands.add_parser(
        "conventions",
        help="show an architecture's cost as published tables count it",
        description="Show operations and params of an architecture as each published table "
        "counts and prints them; without one, what each counts.",
    )
    conventions.add_argument(
        "id", nargs="?", metavar="ID", help="timm/resnet50, path/to/file.py:constructor"
    )
    conventions.add_argument("--format", choices=("text", "json"), default="text")
    conventions.set_defaults(run=_conventions)


def _add_baselines(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    baselines = commands.add_parser(
        "baselines",
        help="show, compare and prune the accepted measurements",
        description="Accepted measurements of the project in this directory (baselines/).",
    )
    actions = baselines.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser("show", help="what is accepted, and how small a change it finds")
    show.add_argument("models", nargs="*", metavar="GLOB", help="ids or globs; default all")
    show.set_defaults(run=_show_baselines)
    diff = actions.add_parser("diff", help="what changed since a revision of git")
    diff.add_argument("revision", nargs="?", default="HEAD", help="default: HEAD")
    diff.set_defaults(run=_diff_baselines)
    prune = actions.add_parser(
        "prune",
        help="delete lines of architectures that the catalogue no longer has, or that are named",
        description="Delete lines of architectures that the catalogue no longer has. The "
        "project's own (local/...) are known to its tests only: name those that are gone.",
    )
    prune.add_argument("models", nargs="*", metavar="GLOB", help="ids or globs to delete instead")
    prune.add_argument("--dry-run", action="store_true", help="show them, write nothing")
    prune.set_defaults(run=_prune_baselines)


def _add_selftest(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    selftest = commands.add_parser(
        "selftest",
        help="find out how often the gate is wrong on this machine",
        description="Repeat runs with nothing changed, and with networks made slower by a known "
        "amount, on this machine; print false alarms and what was found.",
    )
    which = selftest.add_mutually_exclusive_group(required=True)
    which.add_argument("--stored", action="store_true", help="the gate of stored baselines")
    which.add_argument("--duet", action="store_true", help="two versions side by side")
    selftest.add_argument(
        "--cells", type=_whole_number, metavar="N", help="networks (default: 10; of a duet 20)"
    )
    selftest.add_argument(
        "--rounds",
        type=_number_of_runs,
        metavar="N",
        help="unchanged runs (default: 30; of a duet 3)",
    )
    selftest.add_argument(
        "--injected-rounds",
        type=_number_of_runs,
        metavar="N",
        help="runs of each slow-down: 20 %% and 50 %% more layers (default: 6), of a duet 2, 5 "
        "and 10 %% (default: 1)",
    )
    selftest.add_argument(
        "--store", metavar="FILE", help="of a duet: append all rounds to a file, as JSON lines"
    )
    selftest.add_argument("--gpu", help="of a duet: the device to try it on (default: cpu)")
    selftest.add_argument(
        "--replay",
        metavar="FILE",
        help="of a duet: feed the rounds in a file to the rule, and measure nothing",
    )
    selftest.set_defaults(run=_selftest)


@contextlib.contextmanager
def _apart() -> Iterator[None]:
    """What a network's own code prints goes to standard error; the other is the document's."""
    _FOREIGN.append(True)
    with held_back("stdout"):
        yield


_FOREIGN: list[bool] = []
"""Whether a network's own code has run, which may print as late as when the interpreter ends."""


def _number_of_runs(text: str) -> int:
    return 0 if text == "0" else _whole_number(text)


def _whole_number(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a whole number of at least 1; write for example 2"
        )
    return int(text)


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
            print(
                f"{library}: {len(found['models'])} architectures in {write_list(library, found)}"
            )
    return int(drifted and options.check)


def _summary(options: argparse.Namespace) -> int:
    from archbench.core.summary import PARTS
    from archbench.report.summary import FORMATS

    # CSV is one table.
    part = options.part or ("layers" if options.format == "csv" else None)
    _refuse_idle(options, part)
    spec = _architecture("summary", options.id, options.input_size)

    require_torch()
    from archbench.measure.summary import summarize

    # What a network's own code prints would end up in the document.
    with _apart():
        summary = summarize(
            spec,
            parts=PARTS if part is None else (part,),
            convention=options.convention or "macs",
            depth=options.depth,
            batch_size=options.batch_size,
        )
    print(FORMATS[options.format](summary))
    return 0


def _refuse_idle(options: argparse.Namespace, part: str | None) -> None:
    """Refuse an option that says something about the part that is not shown."""
    shown = f"--part={part}" if options.part else "--format=csv, which holds the layer table alone"
    if part == "layers" and options.convention is not None:
        raise UsageError(
            f"--convention={options.convention} with {shown}",
            "the convention is about the MACs of the module tree",
            "Leave it out, or write --part=tree",
        )
    if part == "tree" and options.batch_size is not None:
        raise UsageError(
            f"--batch-size={options.batch_size} with {shown}",
            "the module tree is about one image",
            "Leave it out, or write --part=layers",
        )


def _compare(options: argparse.Namespace) -> int:
    from archbench.catalog import load_catalog
    from archbench.catalog.own import is_own_request
    from archbench.core.requests import parse_request

    asked = f"archbench compare-implementations {' '.join(options.names)}"
    (first, *others), pixels = options.names, options.input_size
    request = parse_request(first, asked)
    if not others and not is_own_request(first) and not request.arguments:
        specs = list(load_catalog().implementations(request.name))
        size = request.size or ((pixels,) if pixels is not None else ())
        specs = [spec.with_input_size(size) for spec in specs] if size else specs
    else:
        specs = [_architecture("compare-implementations", name, pixels) for name in options.names]
    ids = [spec.id for spec in specs]
    if len(set(ids)) < len(ids) or len(ids) < 2:
        raise UsageError(
            asked,
            f"{ids[0]} alone stands there"
            if len(set(ids)) == 1
            else f"two of them have one id: {', '.join(sorted(ids))}",
            "Name two or more that differ; give a constructor another name",
        )

    require_torch()
    from archbench.measure.complexity import count
    from archbench.report.counts import comparison_dict, comparison_text

    # What a network's own code prints would end up in the document.
    with _apart():
        counted = []
        for spec in specs:
            try:
                counted.append((spec.id, count(spec)))
            except (NotMeasuredError, ArchitectureError) as error:  # noqa: PERF203
                print(f"archbench: left out: {error}", file=sys.stderr)
    if len(counted) < 2:
        raise UsageError(asked, f"{len(counted)} of them can be counted", "Name others")
    if options.format == "json":
        print(json.dumps(comparison_dict(counted), indent=1))
    else:
        print(comparison_text(counted))
    return 0


def _conventions(options: argparse.Namespace) -> int:
    from archbench.report.conventions import (
        conventions_dict,
        conventions_list,
        conventions_table,
    )

    if options.id is None:
        if options.format == "json":
            raise UsageError(
                "archbench conventions --format=json",
                "there is no architecture to count",
                "Name one: archbench conventions timm/resnet50 --format=json",
            )
        print(conventions_list())
        return 0
    spec = _architecture("conventions", options.id)

    require_torch()
    from archbench.measure.summary import counts_by_convention

    with _apart():
        complexity, elements, own = counts_by_convention(spec)
    if options.format == "json":
        print(json.dumps(conventions_dict(complexity, elements, ptflops=own), indent=1))
    else:
        print(f"{spec.id}, input {'x'.join(map(str, spec.input_size))}\n")
        print(conventions_table(complexity, elements, ptflops=own))
    return 0


def _baseline_files() -> list[tuple[Path, str, str | None]]:
    """Path, kind and device of each file of baselines of the project here."""
    root = Path("baselines")
    files: list[tuple[Path, str, str | None]] = []
    if (root / "complexity.jsonl").exists():
        files.append((root / "complexity.jsonl", "complexity", None))
    files += [
        (root / name, kind, None)
        for name, kind in (("accuracy.jsonl", "accuracy"), ("fingerprints.jsonl", "fingerprint"))
        if (root / name).exists()
    ]
    files += [(path, "latency", path.parent.name) for path in sorted(root.glob("*/*.jsonl"))]
    if not files:
        raise UsageError(
            "archbench baselines",
            f"there are none in {root.resolve()}",
            "Go to the project's root, or make some: pytest benchmarks --baseline-update",
        )
    return files


def _show_baselines(options: argparse.Namespace) -> int:
    from fnmatch import fnmatchcase

    from archbench.report.baselines import lines_table
    from archbench.store.baselines import read_baselines
    from archbench.store.configuration import read_configuration

    rules = read_configuration(Path.cwd()).rules
    shown = 0
    for path, kind, slug in _baseline_files():
        lines = {
            key: line
            for key, line in read_baselines(path, kind).lines.items()
            if not options.models or any(fnmatchcase(line["id"], glob) for glob in options.models)
        }
        if lines:
            print(f"{path}\n{lines_table(lines, slug, rules)}\n")
        shown += len(lines)
    if not shown and options.models:
        raise UsageError(
            f"archbench baselines show {' '.join(options.models)}",
            "no accepted measurement is of such an architecture",
            "Write ids or globs over ids, in quotes: 'timm/resnet*'",
        )
    print(f"{shown:,} lines.")
    return 0


def _diff_baselines(options: argparse.Namespace) -> int:
    import subprocess

    from archbench.report.baselines import difference_lines
    from archbench.store.baselines import Baselines, parse_baselines, read_baselines

    def git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(["git", *arguments], capture_output=True, check=False)

    files = _baseline_files()
    if git("rev-parse", "--git-dir").returncode != 0:
        raise UsageError(
            "archbench baselines diff",
            "this is not a git work tree, so there is nothing to compare with",
            "Put the project under version control",
        )
    known = git("rev-parse", "--verify", "--quiet", f"{options.revision}^{{commit}}")
    if known.returncode != 0:
        raise UsageError(
            f"archbench baselines diff {options.revision}",
            "git knows no such revision here",
            "Name a commit, a branch or a tag",
        )
    changed = 0
    for path, kind, _ in files:
        stored = git("show", f"{options.revision}:./{path.as_posix()}")
        old = (
            parse_baselines(stored.stdout, path, kind)
            if stored.returncode == 0
            else Baselines(path)
        )
        lines = difference_lines(old.lines, read_baselines(path, kind).lines)
        if lines:
            print("\n".join([str(path), *lines, ""]))
        changed += len(lines)
    print(f"{changed:,} lines differ from {options.revision}.")
    return 0


def _prune_baselines(options: argparse.Namespace) -> int:
    from fnmatch import fnmatchcase

    from archbench.catalog import load_catalog
    from archbench.store.baselines import read_baselines, remove_lines
    from archbench.store.directory import own_directory

    catalog = load_catalog()

    def is_gone(model: str) -> bool:
        if options.models:
            return any(fnmatchcase(model, glob) for glob in options.models)
        # One's own architectures are known to the project's tests only.
        return not model.startswith("local/") and not catalog.has(model)

    total = 0
    for path, kind, _ in _baseline_files():
        gone = [
            key for key, line in read_baselines(path, kind).lines.items() if is_gone(line["id"])
        ]
        for key in gone:
            print(f"- {path}: {key}")
        if gone and not options.dry_run:
            remove_lines(path, kind, gone, own_directory(Path()) / "baselines.lock")
        total += len(gone)
    if options.models and not total:
        raise UsageError(
            f"archbench baselines prune {' '.join(options.models)}",
            "no accepted measurement is of such an architecture",
            "Write ids or globs over ids, in quotes: 'local/*'",
        )
    verb = "would be deleted" if options.dry_run else "deleted"
    print(f"{total:,} lines {verb}.")
    return 0


def _selftest(options: argparse.Namespace) -> int:
    def or_else(value: int | None, default: int) -> int:
        return default if value is None else value

    def say(text: str) -> None:
        print(text, flush=True)

    outcomes: Sequence[Outcome | DuetOutcome]
    if options.duet:
        from archbench.duet_selftest import duet_selftest, replay

        if options.replay is not None:
            danced = replay(Path(options.replay))
        else:
            danced = duet_selftest(
                cells=or_else(options.cells, 20),
                rounds=or_else(options.rounds, 3),
                injected_rounds=or_else(options.injected_rounds, 1),
                extras=(0.02, 0.05, 0.1),
                say=say,
                store=None if options.store is None else Path(options.store),
                gpu=options.gpu or "cpu",
            )
        texts = [outcome.text() for outcome in danced]
    elif options.replay is not None or options.store is not None:
        raise UsageError(
            "archbench selftest --stored", "its runs have no rounds", "Add --duet instead"
        )
    elif options.gpu is not None:
        raise UsageError(
            f"archbench selftest --stored --gpu={options.gpu}",
            "it tries the CPU",
            "Add --duet instead, or leave --gpu out",
        )
    else:
        from archbench.selftest import stored_selftest

        outcomes = stored_selftest(
            cells=or_else(options.cells, 10),
            rounds=or_else(options.rounds, 30),
            injected_rounds=or_else(options.injected_rounds, 6),
            extras=(0.2, 0.5),
            say=say,
        )
        texts = [outcome.text() for outcome in outcomes]
    print()
    for text in texts:
        print(text)
    return 0


def _architecture(command: str, request: str, pixels: int | None = None) -> ModelSpec:
    """The one architecture that a request is about, fed images of ``pixels`` if that is given."""
    from archbench.catalog import load_catalog
    from archbench.catalog.own import is_own_request, own_architectures
    from archbench.core.requests import parse_request

    asked = f"archbench {command} {request}"
    if pixels is not None and parse_request(request, asked).size:
        raise UsageError(
            f"{asked} --input-size={pixels}",
            "both the id and the option say how large the images are",
            "Give one of them",
        )
    found: Sequence[ModelSpec]
    if is_own_request(request):
        found = own_architectures(request, Path.cwd(), f"archbench {command} ")
    elif request.startswith("local/"):
        raise UsageError(
            asked,
            "architectures of one's own are known by that name to a run of pytest only",
            f"Write archbench {command} path/to/file.py:constructor",
        )
    else:
        found = load_catalog().select((), request) if request.strip(" ,") else ()
    if len(found) != 1:
        ids = ", ".join(spec.id for spec in found[:5])
        more = ", ..." if len(found) > 5 else ""
        raise UsageError(
            asked,
            f"it names {len(found)} architectures: {ids}{more}"
            if found
            else "it names no architecture",
            "Write one of them" if found else "Write an id such as timm/resnet50",
        )
    return found[0] if pixels is None else found[0].with_input_size(pixels)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status. 2 for a request that cannot be served."""
    out, errors = ShownStream(sys.stdout), ShownStream(sys.stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        return _run(arguments)


def _run(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        # Here and not when the interpreter ends, where a closed pipe could no longer be handled.
        print(end="", flush=True)
        if _FOREIGN and arguments is None:
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    except ArchbenchError as error:
        print(f"archbench: {error}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"archbench: memory ran out: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # `archbench list | head`: the reader has what it wanted. What is still buffered goes
        # nowhere, or the interpreter would complain of it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


if __name__ == "__main__":
    sys.exit(main())
