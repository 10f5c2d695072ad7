"""A fresh interpreter for one piece of work, which answers with the last line that it prints.

Both sides stand here, and neither imports torch: some of these processes are to have none.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any


class FreshError(Exception):
    """What became of the process, where it gave no answer.

    Args:
        status: that it ended with; None where it took too long and was ended.
        said: the last line of its standard error; empty where there is none.
    """

    def __init__(self, status: int | None, said: str = "") -> None:
        super().__init__(f"status {status}: {said}")
        self.status = status
        self.said = said

    def reason(self, seconds: float) -> str:
        """Why there is no answer, behind a colon.

        Args:
            seconds: that the process had.
        """
        if self.status is None:
            return f"it took more than {seconds:g} s and was ended"
        return self.said[:300] or f"its process ended with {self.status}"


def ask_fresh(*arguments: str, seconds: float, variables: Mapping[str, str] | None = None) -> Any:
    """Run an interpreter that imports what this one can, and return its answer.

    Args:
        arguments: of the interpreter.
        seconds: until it is ended.
        variables: of its environment that are others than here.

    Raises:
        FreshError: there is no answer.
    """
    path = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "PYTHONPATH": path, **(variables or {})}
    try:
        done = subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, text=True,
            timeout=seconds, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise FreshError(None) from None
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        raise FreshError(done.returncode, (done.stderr.strip().splitlines() or [""])[-1])
    return json.loads(lines[-1])


def answer(value: object) -> None:
    """In the fresh process: answer, on a line of its own behind what was printed before."""
    sys.stdout.write(f"\n{json.dumps(value)}\n")
