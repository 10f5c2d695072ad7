"""The directory in which a project's runs, and what they need meanwhile, are kept."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from archbench.core.errors import UsageError

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


@contextmanager
def writing(path: Path, what: str) -> Iterator[None]:
    """Make a directory and write into it.

    Args:
        what: is done there, for people.

    Raises:
        UsageError: that cannot be done.
    """
    try:
        yield
    except OSError as error:
        raise UsageError(
            str(path),
            f"{what}, and nothing can be written ({error.strerror})",
            "Move what is in the way, or keep it elsewhere: --directory=PATH",
        ) from None


def make_directory(path: Path, own: Path | None = None) -> Path:
    """Make a directory; where a project's own comes into being with it, git ignores that.

    Whoever adds all files to a commit must not add the runs, nor a revision that is checked out
    there as a repository of its own.

    Args:
        own: the project's own, or another of archbench's making, ``path`` or above it; by default
            what is called :data:`OWN`.

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


_SUITE = re.compile(r"\bpytest benchmarks(?:/(\w+)\.py)?((?: --[a-z]\S*)*)")


def as_typed(text: str, root: Path) -> str:
    """A message with its commands of the suite as they are typed in a project: outside of
    archbench's own checkout our options have a prefix, and the suite is the installed one, unless
    the project has a directory of that name, or the installation has none."""
    if (root / "plugin" / "archbench").is_dir() or find_spec("archbench.benchmarks") is None:
        return text
    has_own = (root / "benchmarks").is_dir()

    def typed(found: re.Match[str]) -> str:
        command, _, options = found[0].partition(" --")
        if not has_own:
            command = ".".join(filter(None, ("pytest --pyargs archbench.benchmarks", found[1])))
        return command + f" --{options}".replace(" --", " --archbench-") * bool(options)

    return _SUITE.sub(typed, text)
