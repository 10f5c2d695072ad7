"""What reaches the terminal of a run in which archbench has a part."""

from __future__ import annotations

import os
import secrets
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from archbench.core.foreign import Pieces
from archbench.pytest_plugin.options import captures
from archbench.report.streams import held_back

_RAW: pytest.StashKey[Any] = pytest.StashKey()
_TOKEN: pytest.StashKey[str] = pytest.StashKey()


def guard_terminal(config: pytest.Config) -> None:
    """Have everything that is written to pytest's terminal made harmless, whoever wrote it: what
    networks print stands in pytest's own sections, and warnings in its summary.

    Where nothing is captured (``-s``) GitHub is asked to obey nothing until the end.
    """
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is None or _RAW in config.stash:
        return
    writer = terminal._tw
    config.stash[_RAW] = write = writer.write
    pieces = Pieces()

    def harmless(msg: str, *, flush: bool = False, **markup: bool) -> None:
        # pytest writes a line anew from its start.
        start, text = ("\r", Pieces()(msg[1:])) if msg.startswith("\r") else ("", pieces(msg))
        write(start + text, flush=flush, **markup)

    writer.write = harmless
    is_read = os.environ.get("GITHUB_ACTIONS") == "true"
    if is_read and captures(config) in ("no", "tee-sys"):
        config.stash[_TOKEN] = secrets.token_hex(16)
        write(f"::stop-commands::{config.stash[_TOKEN]}\n", flush=True)


def write_command(config: pytest.Config, line: str) -> None:
    """Write a line that a CI system obeys: it is escaped by whoever made it."""
    resume_commands(config)
    config.stash[_RAW](f"{line}\n", flush=True)


def resume_commands(config: pytest.Config) -> None:
    """Let GitHub obey commands again, as of what comes after pytest in the same step."""
    token = config.stash.get(_TOKEN, None)
    if token is not None:
        del config.stash[_TOKEN]
        # A network may have left a line without an end.
        config.stash[_RAW](f"\n::{token}::\n", flush=True)


def captured(config: pytest.Config) -> AbstractContextManager[None]:
    """Hold back what a project's own code prints between pytest's phases, where pytest captures
    nothing."""
    return nullcontext() if captures(config) == "no" else held_back("stdout", "stderr")
