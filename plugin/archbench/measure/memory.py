"""Peak memory of a forward pass, in a pass of its own."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from archbench.core.entries import MetricEntry
from archbench.core.errors import AbsentError
from archbench.devices.backend import Backend, MemoryCounters
from archbench.models.parameters import packed_tensors
from archbench.models.storages import memory_of, parts_of


def memory_of_engine(device: Backend, forward: Callable[[], object]) -> dict[str, MetricEntry]:
    """Memory of a runtime that torch's counters do not see: on an accelerator what is in use of the
    whole device while the engine is open.

    Args:
        device: of the engine.
        forward: runs a pass until its result is there.
    """
    measured: MetricEntry = {"unit": "B", "source": "measured"}
    reason = "an engine's memory is none of torch's: process_memory has it, of a process"
    if device.is_host:
        return {"peak_memory": {"absent": reason, **measured}}
    forward()
    reason = "an engine's memory is none of torch's: device_memory has it, with all else there"
    try:
        used = _counted(device.memory().device_used)
    except AbsentError as error:
        used = {"absent": str(error)}
    return {"peak_memory": {"absent": reason, **measured}, "device_memory": {**used, **measured}}


def memory_metrics(
    device: Backend,
    module: nn.Module,
    inputs: Sequence[Tensor],
    forward: Callable[[], object],
    counters: MemoryCounters | None = None,
) -> dict[str, MetricEntry]:
    """Run one pass and count what it needs.

    On an accelerator: the framework's peak of allocated and of reserved bytes, and the use of the
    whole device as Bianco et al. 2018 (arXiv:1810.00736, section IV) report it, context and
    libraries included. On a CPU: weights and images, and the peak of what torch's allocator handed
    out beside them during the pass, which repeats to the last bit.

    Args:
        device: of the pass.
        module: the model.
        inputs: images, and further inputs where it has some.
        forward: runs a pass until its result is there. It has run before.
        counters: of an accelerator; the device's own by default.

    Returns:
        Metrics of a record: ``peak_memory``, and on an accelerator ``reserved_memory`` and
        ``device_memory``; what is absent has a reason in place of its value.
    """
    measured: MetricEntry = {"unit": "B", "source": "measured"}
    if device.is_host:
        value = stored_bytes(module, inputs) + _peak_of_pass(forward)
        return {"peak_memory": {"value": value, "counter": "allocator", **measured}}
    if counters is None:
        try:
            counters = device.memory()
        except AbsentError as error:
            return {"peak_memory": {"absent": str(error), **measured}}
    counters.reset()
    forward()
    counted = {
        "peak_memory": counters.peak_allocated,
        "reserved_memory": counters.peak_reserved,
        "device_memory": counters.device_used,
    }
    metrics: dict[str, MetricEntry] = {
        name: {**_counted(count), **measured} for name, count in counted.items()
    }
    metrics["peak_memory"]["counter"] = "framework"
    return metrics


def _counted(count: Callable[[], int]) -> MetricEntry:
    try:
        return {"value": count()}
    except AbsentError as error:
        return {"absent": str(error)}


def _peak_of_pass(forward: Callable[[], object]) -> int:
    """Most bytes that torch's CPU allocator had handed out at once during a pass."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Without kineto: it writes to the terminal.
        with torch.autograd.profiler.profile(profile_memory=True) as profile:
            forward()
    results: Any = profile.kineto_results
    return peak_of_events(
        event.nbytes() for event in results.events() if event.name() == "[memory]"
    )


def peak_of_events(changes: Iterable[int]) -> int:
    """Greatest sum of a beginning of a series: bytes taken are positive, given back negative."""
    total = peak = 0
    for change in changes:
        total += change
        peak = max(peak, total)
    return peak


def stored_bytes(module: nn.Module, others: Iterable[Tensor] = ()) -> int:
    """Bytes of the memory behind a model's parameters and buffers and other tensors, each once.

    Weights of quantised layers are not parameters, and are among them.
    """
    tensors = [*module.parameters(), *module.buffers(), *others]
    parts = [part for tensor in tensors for part in parts_of(tensor)]
    total = sum(dict(map(memory_of, parts)).values())
    total += sum(tensor.numel() * tensor.element_size() for tensor in packed_tensors(module))
    return total
