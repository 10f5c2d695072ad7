"""What a command found, printed by the one rule of docs/choosing.md, and its exit status."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from archbench.store.directory import as_typed


def print_found(
    document: str, remarks: Sequence[str], format: str, *, is_empty: bool = False
) -> int:
    """Print it with what there is to say about it.

    Args:
        document: of the format.
        remarks: sentences; JSON has them within.
        format: below text and Markdown remarks stand in the document, of CSV on standard error.
        is_empty: whether nothing was found: the remarks say why and stand on standard error, and
            only programs get the document, with nothing in it.

    Returns:
        The exit status: 1 where nothing was found.
    """
    is_data = format in ("json", "csv")
    if is_data or not is_empty:
        print(document)
    if is_empty or format == "csv":
        say(remarks)
    elif not is_data and remarks:
        print("\n".join(["", *remarks]))
    return int(is_empty)


def say(remarks: Sequence[str]) -> None:
    """Print sentences to standard error, one a line."""
    for remark in remarks:
        print(f"archbench: {as_typed(remark, Path.cwd())}", file=sys.stderr)
