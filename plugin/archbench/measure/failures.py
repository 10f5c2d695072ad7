"""What a failed measurement leaves. Needs no torch, which may be what failed."""

from __future__ import annotations

import importlib.util
import os
import traceback
from pathlib import Path

import archbench
from archbench.core.errors import (
    ArchbenchError,
    EndedError,
    InconclusiveError,
    NoClassifierError,
    NotMeasuredError,
    first_line,
    is_out_of_memory,
)
from archbench.core.records import Record
from archbench.core.spec import ModelSpec, Target
from archbench.core.verdicts import FATAL_DEVICE_ERROR, Verdict
from archbench.devices.registry import is_fatal


def describe_failure(
    error: BaseException, metric: str, spec: ModelSpec, target: Target | None
) -> tuple[Record, str]:
    """What a failed measurement leaves: a record with its verdict, and the text for people.

    The text is free of archbench's own frames: the message, and for a constructor or a forward
    pass that failed the traceback of what they raised.
    """
    details = ""
    if isinstance(error, EndedError):
        status, reason, sentence = error.status, error.reason, str(error)
    elif is_out_of_memory(error):
        status, reason = "out-of-memory", "out-of-memory"
        where = f" at batch size {target.batch_size} in {target.dtype}" if target else ""
        sentence = (
            f"{spec.id} does not fit into memory{where}: {first_line(error)}. "
            "Use a smaller --batch-size or leave the architecture out"
        )
    elif isinstance(error, InconclusiveError):
        status, reason, sentence = "inconclusive", error.reason, str(error)
    elif isinstance(error, (NotMeasuredError, NoClassifierError)):
        status, reason, sentence = "not-measured", error.reason, str(error)
        details = _own_traceback(error.__cause__)
    else:
        status = "crashed"
        reason = FATAL_DEVICE_ERROR if is_fatal(error) else type(error).__name__
        is_ours = isinstance(error, ArchbenchError)
        cause = error.__cause__ if is_ours else error
        sentence = (
            str(error)
            if is_ours
            else f"{spec.id} failed: {type(error).__name__}: {first_line(error)}"
        )
        details = _own_traceback(cause)
    verdict = Verdict(metric, status, reason, sentence)
    record = Record(
        id=spec.id,
        target=target,
        metrics=getattr(error, "metrics", {}),
        verdicts=[verdict],
    )
    return record, f"{status}: {sentence}{details}"


def _not_theirs() -> tuple[str, ...]:
    """Directories of code that is no network's."""
    specs = map(importlib.util.find_spec, ("torch", "_pytest", "pluggy", "pytest"))
    files = [archbench.__file__, *(spec.origin for spec in specs if spec is not None)]
    return tuple(f"{Path(file).parent}{os.sep}" for file in files if file is not None)


def _own_traceback(cause: BaseException | None) -> str:
    """Where the model's code failed, without the frames of archbench and torch around it."""
    if cause is None:
        return ""
    frames = traceback.extract_tb(cause.__traceback__)
    ours = _not_theirs()
    theirs = [frame for frame in frames if not frame.filename.startswith(ours)]
    lines = traceback.format_list(theirs or frames[-1:])
    lines += traceback.format_exception_only(type(cause), cause)
    return "\n\n" + "".join(lines)
