"""Work in a process of its own: what hangs, runs out of memory or crashes there ends there."""

from __future__ import annotations

import errno
import os
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import IO, Any, TypeVar

import torch
from torch import cuda

from archbench.core.errors import chain_of, is_out_of_memory, named, text_of
from archbench.core.parents import die_with_parent

SECONDS = 900.0
"""That an export may take."""


_Result = TypeVar("_Result")


class ApartError(Exception):
    """What became of work in another process, where it came to nothing.

    Args:
        reason: ``timed-out``, ``out-of-memory``, ``disk-full``, ``died`` or ``failed``.
        text: for people, a part of a sentence.
        types: names of the classes of what was raised there and what it was raised from.
    """

    def __init__(self, reason: str, text: str, types: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.reason = reason
        self.types = types


def run_apart(work: Callable[..., _Result], *arguments: Any, seconds: float = SECONDS) -> _Result:
    """Run a function in a process of its own and wait for what it returns.

    On Linux the process is forked, as torch's own data loader does it, since a network that exists
    in this process only is what it works with; torch computes in one thread there. Elsewhere it is
    started, and the arguments travel.

    Args:
        work: gets the arguments and returns builtin types.
        seconds: until it is ended.

    Raises:
        ApartError: it came to nothing.
    """
    context = get_context("fork" if sys.platform == "linux" else "spawn")
    here, there = context.Pipe(duplex=False)
    with tempfile.TemporaryFile() as log:
        output = log.fileno() if sys.platform == "linux" else None
        given = (there, output, work, arguments)
        process = context.Process(target=_run, args=given)  # type: ignore[attr-defined]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that processes with threads are not to be forked
                process.start()
            there.close()
            if not here.poll(seconds):
                raise ApartError("timed-out", f"it took more than {seconds:g} s and was ended")
            status, answer = here.recv()
        except EOFError:
            process.join()
            raise _death(process.exitcode, log) from None
        finally:
            if process.pid is not None:
                process.kill()
                process.join()
            here.close()
    if status != "done":
        raise ApartError(status, *answer)
    found: _Result = answer
    return found


def _run(
    answers: Connection, output: int | None, work: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    """In the other process."""
    die_with_parent()
    if output is not None:
        os.dup2(output, 1)
        os.dup2(output, 2)
    torch.set_num_threads(1)
    # A forked process cannot use an accelerator that the one it comes from uses, and is not to ask.
    cuda.is_available = lambda: False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with torch.inference_mode(False), torch.no_grad():
                answer = ("done", dict(work(*arguments)))
        except BaseException as error:
            answer = _failure(error)  # type: ignore[assignment]
            traceback.clear_frames(error.__traceback__)
    answers.send(answer)
    answers.close()


def _failure(error: BaseException) -> tuple[str, tuple[str, tuple[str, ...]]]:
    chain = list(chain_of(error))
    types = tuple(type(one).__name__ for one in chain)
    if any(getattr(one, "errno", None) in _FULL or _NO_SPACE in text_of(one) for one in chain):
        return "disk-full", ("the disk is full", types)
    if is_out_of_memory(error):
        return "out-of-memory", ("memory ran out", types)
    # The last one says what the others are about.
    return "failed", (said_of(chain[-1]), types)


_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_SPACE = os.strerror(errno.ENOSPC)


def said_of(error: BaseException) -> str:
    """Its class and the line of its message that says what is wrong."""
    text = named(error)
    return text if len(text) <= 300 else f"{text[:297]}..."


def _death(code: int | None, log: IO[bytes]) -> ApartError:
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    last = f": {lines[-1][:200]}" if lines else ""
    if code == -signal.SIGKILL or "bad_alloc" in last:
        return ApartError("out-of-memory", "its process was killed, as where memory runs out")
    how = signal.Signals(-code).name if code is not None and code < 0 else f"status {code}"
    return ApartError("died", f"its process ended with {how}{last}")
