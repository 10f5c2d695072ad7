"""Errors that a person reads: what was asked, what was found, what to do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from archbench.core.foreign import plain

if TYPE_CHECKING:
    from archbench.core.entries import MetricEntry


def orders_to_end() -> tuple[type[BaseException], ...]:
    """Exceptions that end the run and are no network's, though they derive from ``Exception``.

    pytest's own is one, as what a signal of another plugin raises in the midst of a pass. Where
    nobody has imported pytest there is none.
    """
    pytest = sys.modules.get("pytest")
    return () if pytest is None else (pytest.exit.Exception,)


def failures() -> tuple[type[BaseException], ...]:
    """What a network's own code fails by. To skip is to fail: a network that was asked for and that
    skips its test would leave the run green without it."""
    pytest = sys.modules.get("pytest")
    skips = () if pytest is None else (pytest.skip.Exception, pytest.xfail.Exception)
    return (Exception, SystemExit, *skips)


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """An exception and what it was raised from, each once: a network may raise one object again and
    again, so that it was raised from itself."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def text_of(error: BaseException) -> str:
    """Its message, whatever its ``__str__`` does; empty where that fails or gives no text."""
    try:
        return str(error)
    except orders_to_end():
        raise
    except Exception:
        return ""


_OF_SCRIPTS = "The following operation failed in the TorchScript interpreter"


def first_line(error: BaseException) -> str:
    """Of its message, the last one of a script, which has the cause; the name of its class where it
    has none."""
    lines = text_of(error).strip().splitlines()
    if len(lines) > 1 and lines[0].startswith(_OF_SCRIPTS):
        return lines[-1]
    return lines[0] if lines else type(error).__name__


def some(names: Sequence[str], most: int = 3) -> str:
    """The first of the names, and a sign that there are more: ``a, b, c, ...``."""
    return ", ".join([*names[:most], *(["..."] if len(names) > most else [])])


def named(error: BaseException) -> str:
    """Its class and the first line of its message: ``ValueError: no such size``."""
    text = first_line(error)
    return text if text == type(error).__name__ else f"{type(error).__name__}: {text}"


_RAN_OUT = (
    "can't allocate memory",
    "not enough memory",
    "storage size calculation overflowed",
    "out of memory",
    "outofmemory",  # HIP's hipErrorOutOfMemory, Metal's kIOGPUCommandBufferCallbackErrorOutOfMemory
    "std::bad_alloc",
    "could not create a memory object",
    "status_alloc_failed",  # cuBLAS, cuDNN, hipBLAS
    "statusallocfailed",  # MIOpen
    "unable to find an engine to execute this computation",  # cuDNN, where no workspace fits
    "out_of_device_memory",  # SYCL, Level Zero
    "out_of_host_memory",
    "out_of_resources",
    "insufficient memory",  # Metal
    "invalid buffer size",
)
"""Of the messages of torch, its libraries and the drivers."""

_TOO_MANY = (
    "integer out of range",
    "int_max",
    "canuse32bitindexmath",
    "32-bit index",
    "32bit index",
    "non-32bit",
    "2^31",
    "2**31",
    "without overflow",  # "value cannot be converted to type int without overflow"
    "invalid configuration argument",  # a grid of more blocks than CUDA starts
)
"""Of the messages of torch and its libraries about tensors of more elements than they number."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception, or what it was raised from, says that memory ran out."""
    for seen in chain_of(error):
        text = text_of(seen).lower()
        if (
            isinstance(seen, MemoryError)
            or type(seen).__name__ in ("OutOfMemoryError", "AcceleratorOutOfMemoryError")
            or any(words in text for words in _RAN_OUT)
        ):
            return True
    return False


def is_too_large(error: BaseException) -> bool:
    """Whether an exception, or what it was raised from, says that a tensor has more elements than
    its operator can number, which is mostly in 31 bits."""
    texts = [text_of(seen).lower() for seen in chain_of(error)]
    return any(words in text for text in texts for words in _TOO_MANY)


class ArchbenchError(Exception):
    """Base of all errors that archbench raises on purpose."""


class UsageError(ArchbenchError):
    """A request that cannot be served, in three parts.

    Args:
        asked: what was asked for: ``"--gpu=v100"``.
        found: what is there instead: ``"no GPU; this machine has cpu (AMD EPYC)"``.
        todo: what to type or change: ``"use --gpu=cpu"``.
    """

    def __init__(self, asked: str, found: str, todo: str) -> None:
        # What was asked and found is anybody's text, and pytest prints it by ways of its own.
        super().__init__(plain(f"{asked}: {found}. {todo}"))
        self.asked = asked
        self.found = found
        self.todo = todo


class NothingFoundError(UsageError):
    """A request that can be served, and of which nothing is left: no run, cell or architecture."""


class ArchitectureError(ArchbenchError):
    """An architecture whose constructor or forward pass fails; the cause is chained.

    Attributes:
        metrics: figures that could be had all the same, in the form of a record's.
        works_with: the size that it was seen to run with where nobody asked for the size with which
            it fails, as a request has it: ``32``.
    """

    metrics: Mapping[str, MetricEntry] = {}
    works_with: str | None = None


class NoClassifierError(ArchitectureError):
    """A network that runs, and returns no class scores: there is nothing to measure of it here."""

    reason = "no-class-scores"


class NotMeasuredError(ArchbenchError):
    """A model ran and its figures would mean nothing.

    Args:
        reason: a code for programs: ``output-not-finite``.
        sentence: the same for people, with what to do.
        metrics: figures that could be had all the same, in the form of a record's.
    """

    def __init__(
        self, reason: str, sentence: str, metrics: Mapping[str, MetricEntry] | None = None
    ) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.metrics = dict(metrics or {})


class FatalDeviceError(ArchbenchError):
    """After it this process can use its device no more; the cause is chained."""


class InconclusiveError(ArchbenchError):
    """A measurement that kept being disturbed, so that nothing can be said.

    Args:
        reason: a code for programs: ``throttled``.
        sentence: the same for people, with what to do.
    """

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class EndedError(ArchbenchError):
    """A measurement that ended in another process, which knows how.

    Args:
        status, reason: of the verdict.
        sentence: the same for people.
    """

    def __init__(self, status: str, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.reason = status, reason


class AbsentError(ArchbenchError):
    """A counter or an instrument that is not to be had here; its text is the reason."""


@contextmanager
def raised_as(
    other: Callable[[BaseException], ArchbenchError],
    passed: tuple[type[ArchbenchError], ...] = (ArchbenchError,),
    *,
    memory: bool = False,
) -> Iterator[None]:
    """What a network's own code raises inside becomes another error; the first is chained.

    Orders to end and archbench's own errors are passed on.

    Args:
        other: makes the error.
        passed: of archbench's own, those that are; all by default.
        memory: whether running out of memory becomes it too, and is not passed on.
    """
    try:
        yield
    except passed:
        raise
    except orders_to_end():
        raise
    except failures() as error:
        if not memory and is_out_of_memory(error):
            raise
        raise other(error) from error
