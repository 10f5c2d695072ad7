"""Peak memory of a forward pass, in a pass of its own."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from archbench.core.errors import AbsentError
from archbench.core.spec import Target
from archbench.devices.nvml import Nvml
from archbench.models.quantizing import packed_tensors

__all__ = [
    "MemoryCounters",
    "TorchMemoryCounters",
    "memory_metrics",
    "peak_of_events",
    "stored_bytes",
]


class MemoryCounters(Protocol):
    """What a framework and a driver count of a device's memory, in bytes."""

    def reset(self) -> None:
        """Forget earlier peaks."""

    def peak_allocated(self) -> int:
        """Most bytes of tensors since."""

    def peak_reserved(self) -> int:
        """Most bytes that the framework held of the device since."""

    def device_used(self) -> int:
        """Bytes of the device that are in use now, by everybody and for everything.

        Raises:
            AbsentError: nobody tells.
        """


class TorchMemoryCounters:
    """Of torch, and of NVML for the device as a whole.

    Args:
        target: on the device.
        open_nvml: gives NVML.
    """

    def __init__(self, target: Target, open_nvml: Callable[[], Nvml] = Nvml.open) -> None:
        self._target = target
        self._device = torch.device(target.device)
        self._open_nvml = open_nvml
        if target.kind not in ("cuda", "xpu"):
            raise AbsentError(f"torch keeps no peak of the memory of {target.kind} devices")
        self._counters: Any = getattr(torch, target.kind)

    def reset(self) -> None:
        """See :class:`MemoryCounters`. What torch keeps without using it goes back first."""
        self._counters.synchronize(self._device)
        self._counters.empty_cache()
        self._counters.reset_peak_memory_stats(self._device)

    def peak_allocated(self) -> int:
        """See :class:`MemoryCounters`."""
        self._counters.synchronize(self._device)
        return int(self._counters.max_memory_allocated(self._device))

    def peak_reserved(self) -> int:
        """See :class:`MemoryCounters`."""
        return int(self._counters.max_memory_reserved(self._device))

    def device_used(self) -> int:
        """See :class:`MemoryCounters`.

        By NVML, and by the driver through torch where NVML cannot be read: the two agree but for
        what the driver keeps for itself.
        """
        if self._target.uuid is not None and torch.version.hip is None:
            try:
                return self._open_nvml().memory_used(self._target.uuid)
            except AbsentError:
                pass
        if not hasattr(self._counters, "mem_get_info"):
            raise AbsentError("neither NVML nor torch tells the memory of the whole device")
        free, total = self._counters.mem_get_info(self._device)
        return int(total - free)


def memory_metrics(
    target: Target,
    module: nn.Module,
    inputs: Sequence[Tensor],
    forward: Callable[[], object],
    counters: MemoryCounters | None = None,
) -> dict[str, dict[str, Any]]:
    """Run one pass and count what it needs.

    On an accelerator: the framework's peak of allocated and of reserved bytes, and the use of the
    whole device as Bianco et al. 2018 (arXiv:1810.00736, section IV) report it, context and
    libraries included. On a CPU: weights and images, and the peak of what torch's allocator handed
    out beside them during the pass, which repeats to the last bit.

    Args:
        target: of the pass.
        module: the model.
        inputs: images, and further inputs where it has some.
        forward: runs a pass until its result is there. It has run before.
        counters: of an accelerator; torch's own by default.

    Returns:
        Metrics of a record: ``peak_memory``, and on an accelerator ``reserved_memory`` and
        ``device_memory``; what is absent has a reason in place of its value.
    """
    measured = {"unit": "B", "source": "measured"}
    if target.kind == "cpu":
        value = stored_bytes(module, inputs) + _peak_of_pass(forward)
        return {"peak_memory": {"value": value, "counter": "allocator", **measured}}
    if counters is None:
        try:
            counters = TorchMemoryCounters(target)
        except AbsentError as error:
            return {"peak_memory": {"absent": str(error), **measured}}
    counters.reset()
    forward()
    metrics: dict[str, dict[str, Any]] = {
        "peak_memory": {
            "value": counters.peak_allocated(), "counter": "framework", **measured
        },
        "reserved_memory": {"value": counters.peak_reserved(), **measured},
    }  # fmt: skip
    try:
        metrics["device_memory"] = {"value": counters.device_used(), **measured}
    except AbsentError as error:
        metrics["device_memory"] = {"absent": str(error), **measured}
    return metrics


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
    storages = {tensor.untyped_storage().data_ptr(): tensor for tensor in tensors}
    total = sum(tensor.untyped_storage().nbytes() for tensor in storages.values())
    total += sum(tensor.numel() * tensor.element_size() for tensor in packed_tensors(module))
    return total
