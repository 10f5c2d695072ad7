"""The directory in which a project's runs, and what they need meanwhile, are kept."""

from __future__ import annotations

from pathlib import Path

__all__ = ["OWN", "make_directory"]

OWN = ".archbench"
"""Its name, in the root directory of a project."""


def make_directory(path: Path) -> Path:
    """Make a directory; where a project's :data:`OWN` comes into being with it, git ignores that.

    Whoever adds all files to a commit must not add the runs, nor a revision that is checked out
    there as a repository of its own.

    Returns:
        The path.

    Raises:
        OSError: it cannot be made.
    """
    own = next((one for one in (path, *path.parents) if one.name == OWN), None)
    is_new = own is not None and not own.exists()
    path.mkdir(parents=True, exist_ok=True)
    if own is not None and is_new:
        (own / ".gitignore").write_text("*\n", encoding="utf-8")
    return path
