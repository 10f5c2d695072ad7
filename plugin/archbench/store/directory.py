"""The directory in which a project's runs, and what they need meanwhile, are kept."""

from __future__ import annotations

import os
from pathlib import Path

OWN = ".archbench"
"""Its name, in the root directory of a project."""

VARIABLE = "ARCHBENCH_DIRECTORY"
"""Of the environment: another place for it, as where a checkout cannot be written to."""


def own_directory(root: Path, given: str | None = None) -> Path:
    """Where a project's runs are kept.

    Args:
        given: another place that was asked for, from the working directory; by default that of
            :data:`VARIABLE`, else :data:`OWN` in ``root``.
    """
    chosen = given or os.environ.get(VARIABLE)
    return Path(chosen).absolute() if chosen else root / OWN


def runs_directory(root: Path) -> Path:
    """Where the journals of a project's runs are, for the commands that read them."""
    return own_directory(root) / "runs"


def make_directory(path: Path, own: Path | None = None) -> Path:
    """Make a directory; where a project's own comes into being with it, git ignores that.

    Whoever adds all files to a commit must not add the runs, nor a revision that is checked out
    there as a repository of its own.

    Args:
        own: the project's own, ``path`` or above it; by default what is called :data:`OWN`.

    Returns:
        The path.

    Raises:
        OSError: it cannot be made.
    """
    own = own or next((one for one in (path, *path.parents) if one.name == OWN), None)
    is_new = own is not None and not own.exists()
    path.mkdir(parents=True, exist_ok=True)
    if own is not None and is_new:
        (own / ".gitignore").write_text("*\n", encoding="utf-8")
    return path
