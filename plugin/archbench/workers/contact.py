"""What another host is asked before a run: its versions, and what pytest finds there.

The source of this module is sent there by execnet, since archbench may be missing: it imports the
standard library alone.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

VARIABLE = "ARCHBENCH_ANSWER"
"""Of the environment: the file that the answer is written to."""


def versions(names: Iterable[str]) -> dict[str, str]:
    """Of Python and of distributions, without what says how they were compiled; those that are
    there."""
    found = {"python": platform.python_version()}
    for name in names:
        with suppress(PackageNotFoundError):
            found[name] = version(name).partition("+")[0]
    return found


def ask_pytest(arguments: Sequence[str], directory: str, asked: object) -> tuple[str, str]:
    """Let a pytest of this host answer by :mod:`archbench.pytest_plugin.on_host`.

    Args:
        arguments: of its command line.
        directory: that it runs in.
        asked: of builtin types.

    Returns:
        The answer as JSON, or else the last lines that it printed.
    """
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "answer.json")
        given = ("-m", "pytest", "-p", "archbench.pytest_plugin.on_host", *arguments)
        done = subprocess.run(
            [sys.executable, *given], cwd=directory, stdin=subprocess.DEVNULL, text=True,
            env={**os.environ, VARIABLE: json.dumps([str(path), asked])},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        if path.is_file():
            return path.read_text(encoding="utf-8"), ""
        said = done.stdout.strip().splitlines()[-3:]
        return "", " ".join(said) or f"it ended with status {done.returncode}"


def answer(channel: Any) -> None:
    """Say what is asked, over a channel of execnet."""
    names, directory = channel.receive()
    found = Path(directory).expanduser().resolve()
    channel.send((str(found) if found.is_dir() else "", sys.executable, versions(names)))
    channel.send(ask_pytest(*channel.receive()))


if __name__ == "__channelexec__":
    answer(channel)  # type: ignore[name-defined] # noqa: F821
