"""Running a forward pass of a person's own network in the mode that it can run in."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from archbench.core.errors import (
    ArchitectureError,
    failures,
    is_out_of_memory,
    named,
    orders_to_end,
    raised_as,
    text_of,
)
from archbench.core.requests import size_text
from archbench.core.spec import ModelSpec
from archbench.models.inputs import synthetic_inputs
from archbench.models.outputs import class_scores


def random_state() -> tuple[Any, ...]:
    """Of every generator of random numbers that a network may draw from."""
    numbers: Any = np.random.get_state()
    return (
        torch.get_rng_state().numpy().tobytes(),
        random.getstate(),
        (numbers[1].tobytes(), numbers[2]),
    )


GRADIENTS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "inference": torch.inference_mode,
    "none": torch.no_grad,
    "enabled": torch.enable_grad,
}
"""How a pass may be run, the fastest first."""

_NEEDS_MORE = ("inference tensor", "inference mode", "require grad", "requires grad", "grad_fn")
"""Of the messages by which torch says that a pass needs what its mode leaves out."""


OTHER_SIZES = (
    *((3, side, side) for side in (32, 28, 64, 96, 128, 256, 299, 384, 512)),
    *((1, side, side) for side in (28, 32, 224)),
)
"""What is tried of a network that fails at the size that nobody asked for."""

PATIENCE = 5.0
"""Seconds for all of these."""


def failed_forward(spec: ModelSpec, error: BaseException) -> ArchitectureError:
    """What is said of a network whose forward pass raised an error."""
    text = f"{spec.id} failed in its forward pass: {named(error)}{lacked_inputs(spec, error)}"
    return ArchitectureError(text)


def lacked_inputs(spec: ModelSpec, error: BaseException | None) -> str:
    """How inputs are given where a person's network seems to lack some, as what follows an error's
    text; empty where it does not."""
    text = text_of(error) if isinstance(error, TypeError) else ""
    is_single = spec.is_own and spec.inputs is None
    by_name = r"forward\(\) (missing \d+ required keyword-only|takes 1 positional argument)"
    if is_single and re.search(by_name, text):
        return ". Inputs are given in their order: wrap it in a module that passes them by name"
    if not is_single or not re.search(r"forward\(\) missing \d+ required", text):
        return ""
    name, shape = spec.name.partition("(")[0], ", ".join(map(str, spec.input_size))
    return (
        ". A network of several inputs stands in pytest_archbench_models of the project's "
        "conftest.py, with the shapes of all of them, without the batch: "
        f"ModelSpec.of({name}, inputs=[({shape}), (10,)])"
    )


def forward_named(spec: ModelSpec) -> AbstractContextManager[None]:
    """What a forward pass raises becomes an error of its architecture.

    Raises:
        ArchitectureError: a pass fails; its exception is chained.
        MemoryError, RuntimeError: memory ran out.
    """
    return raised_as(partial(failed_forward, spec))


@contextmanager
def threads(number: int) -> Iterator[None]:
    """With so many threads of the processor in an operator, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run_first(spec: ModelSpec, forward: Callable[[], Any]) -> tuple[Any, str, BaseException | None]:
    """Run the first pass of a person's own network, under ``no_grad`` where that serves it.

    Not in inference mode: what a network makes in its first pass and keeps, such as lazy weights
    and caches, could not be changed outside of that mode afterwards.

    Args:
        spec: what it is.
        forward: runs a pass.

    Returns:
        What ``forward`` returned; ``none`` or ``enabled`` of :data:`GRADIENTS`; what was raised
        without gradients where they are needed.

    Raises:
        ArchitectureError: the pass fails.
        MemoryError, RuntimeError: memory ran out.
    """
    cause: BaseException | None = None
    for gradients in ("none", "enabled"):
        try:
            with GRADIENTS[gradients]():
                return forward(), gradients, cause
        except orders_to_end():  # noqa: PERF203
            raise
        except failures() as error:
            if is_out_of_memory(error):
                raise
            cause = cause or error
            if not _needs_more(error):
                break
    assert cause is not None
    raise failed_forward(spec, cause) from cause


def refusal_of_inference(spec: ModelSpec, forward: Callable[[], Any]) -> BaseException | None:
    """Why a network that runs under ``no_grad`` does not run in inference mode; None where it does.

    Raises:
        ArchitectureError: a second pass fails for another reason.
        MemoryError, RuntimeError: memory ran out.
    """
    try:
        with torch.inference_mode():
            forward()
    except orders_to_end():
        raise
    except failures() as error:
        if is_out_of_memory(error):
            raise
        if not _needs_more(error):
            raise failed_forward(spec, error) from error
        return error
    return None


def _needs_more(error: BaseException) -> bool:
    return any(words in text_of(error).lower() for words in _NEEDS_MORE)


def with_other_size(
    spec: ModelSpec, module: nn.Module, error: ArchitectureError
) -> ArchitectureError:
    """The same error, with a size that works where nobody asked for the size that does not.

    Args:
        spec: of the network.
        module: the network.
        error: that its first pass has raised.
    """
    if lacked_inputs(spec, error.__cause__):
        return error  # which no size gives it
    size = "x".join(map(str, spec.input_size))
    working = None
    if spec.is_native_size and spec.inputs is None and spec.is_own:
        working = next(_working_sizes(spec, module), None)
    if working is None:
        return type(error)(f"{error} (images of {size})")
    sides, asked = "x".join(map(str, working)), size_text(working, spec.input_size[0])
    better = type(error)(
        f"{error}. That was with images of {size}; it runs with {sides}: add @{asked}, or "
        "input_size= to its ModelSpec"
    )
    better.works_with = asked
    return better


def _working_sizes(spec: ModelSpec, module: nn.Module) -> Iterator[tuple[int, ...]]:
    end = time.monotonic() + PATIENCE
    first = next(module.parameters(), None)
    device = torch.device("cpu") if first is None else first.device
    dtype = torch.float32 if first is None or not first.is_floating_point() else first.dtype
    for size in OTHER_SIZES:
        if size == spec.input_size or time.monotonic() > end:
            continue
        other = spec.with_input_size(size)
        images = synthetic_inputs(other, 1, device=device, dtype=dtype)
        try:
            with torch.no_grad():
                class_scores(other, module(*images), 1)
        except orders_to_end():
            raise
        except failures():
            continue  # that it does not run with this size either is no news
        yield size
