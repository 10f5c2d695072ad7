"""Asking git about a project."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Answer:
    """What git printed; None and its complaint where it failed or is not there."""

    output: bytes | None
    complaint: str = ""

    @property
    def text(self) -> str | None:
        """The output without blanks around it."""
        return None if self.output is None else self.output.decode("utf-8", "replace").strip()

    def todo(self, otherwise: str) -> str:
        """What to do where it failed. Of a repository that belongs to somebody else, as in many a
        container, git says nothing until it is allowed to."""
        owned = re.search(r"dubious ownership in repository at '(.*)'", self.complaint)
        if owned is None:
            return otherwise
        return f"Allow git to use it: git config --global --add safe.directory {owned[1]}"


def git(directory: Path, *arguments: str, timeout: float | None = None) -> Answer:
    """Run git.

    Args:
        directory: where it runs: a work tree, or the repository that is kept of a submodule.
        timeout: seconds that it may take.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        # Set by git itself for its hooks: the run may be one.
        if name not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
    }
    if (directory / "HEAD").is_file() and (directory / "objects").is_dir():
        # The repository that is kept of a submodule names a work tree, which may be gone.
        environment |= {"GIT_DIR": str(directory), "GIT_WORK_TREE": str(directory)}
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=directory, env=environment, capture_output=True,
            timeout=timeout, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Answer(None, f"git took more than {timeout:g} s")
    except OSError as error:
        return Answer(None, f"git cannot be run ({error.strerror})")
    if done.returncode == 0:
        return Answer(done.stdout)
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    lines = said or [f"git ended with status {done.returncode}"]
    # The first says what is wrong, the last what git could not do for it.
    wrong = [line for line in lines if line.startswith(("error: ", "fatal: "))] or lines[-1:]
    return Answer(None, "; ".join(dict.fromkeys((wrong[0], wrong[-1]))))


def git_text(directory: Path, *arguments: str, timeout: float | None = None) -> str | None:
    """What git printed, None where it failed: see :func:`git`."""
    return git(directory, *arguments, timeout=timeout).text
