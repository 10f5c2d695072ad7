"""The ``archbench`` command: one file a command.

Every module of this package that has ``add_parser`` is a command; see docs/design.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from archbench import __version__
from archbench.cli.printing import print_found
from archbench.core.errors import ArchbenchError, NothingFoundError
from archbench.report.streams import ShownStream, end_foreign_output
from archbench.store.directory import as_typed


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """With the one command that is asked for; with all of them where none of them is."""
    parser = argparse.ArgumentParser(
        prog="archbench",
        description="Benchmarks of image-classification architectures. "
        f"Measuring is pytest's part: {as_typed('pytest benchmarks', Path.cwd())}",
    )
    parser.add_argument("--version", action="version", version=f"archbench {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    names = [module.name for module in iter_modules(__path__)]
    asked = [name for name in names if arguments and name.replace("_", "-") == arguments[0]]
    for name in asked or names:
        command = import_module(f"{__name__}.{name}")
        if hasattr(command, "add_parser"):
            command.add_parser(commands)
    return parser if commands.choices or not asked else _parser(())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit status: 1 where nothing is found, 2 for a request that cannot be served.
    """
    out, errors = ShownStream(sys.stdout), ShownStream(sys.stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        return _run(arguments)


def _run(arguments: Sequence[str] | None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser(given).parse_args(given)
    try:
        status: int = options.run(options)
        # Here and not when the interpreter ends, where a closed pipe could no longer be handled.
        print(end="", flush=True)
        if arguments is None:
            end_foreign_output()
    except NothingFoundError as nothing:
        format = getattr(options, "format", None) or "text"
        said = as_typed(str(nothing), Path.cwd())
        document = options.empty(options, said) if "empty" in options else "{}"
        return print_found(document, [said], format, is_empty=True)
    except ArchbenchError as error:
        print(f"archbench: {as_typed(str(error), Path.cwd())}", file=sys.stderr)
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
