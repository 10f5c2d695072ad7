"""NVIDIA's devices and, in a torch for ROCm, AMD's."""

from __future__ import annotations

import importlib
import os
import platform
import warnings
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any, ClassVar

import torch

from archbench.core.errors import AbsentError, FatalDeviceError, chain_of, first_line
from archbench.core.telemetry import Reading
from archbench.devices.accelerator import Accelerator, TorchMemory
from archbench.devices.backend import UNKNOWN_CACHE, Batch, MemoryCounters, Telemetry
from archbench.devices.energy import EnergyCounter, NvmlEnergy
from archbench.devices.nvml import Nvml, Process
from archbench.devices.registry import register

__all__ = ["Cuda"]

_AMPERE = (8, 0)
"""Compute capability: first with TF32 and with bf16 in hardware. Older devices emulate bf16."""

_CAPTURE_WARMUP = 3
"""Passes before a capture, on the stream of the capture, as torch's notes on CUDA graphs ask for:
libraries choose their algorithms and take their memory in them."""


@register
class Cuda(Accelerator):
    """See :class:`archbench.devices.backend.Backend`.

    torch honours ``CUDA_VISIBLE_DEVICES``, and a MIG instance in it is a device of its own.
    """

    kind = "cuda"
    precision_remedy = " or fp16"
    trouble_remedy = "Look at what `nvidia-smi` says"
    pins_memory = True
    can_capture = True
    fatal_speakers = (
        "cuda error", "cudaerror", "cuda driver error", "triton error [cuda]", "hip error",
        "hiperror", "triton error [hip]", "cublas_status", "cudnn_status",
    )  # fmt: skip
    # What the CUDA runtime calls errors that stay: every further call in the process returns them,
    # since its context is gone (CUDA Runtime API, cudaError_t: "the process must be terminated and
    # relaunched"). A failed allocation or a wrong argument is none of them.
    fatal_words = (
        "device-side assert",
        "illegal memory access",
        "illegal instruction",
        "unspecified launch failure",
        "misaligned address",
        "invalid address space",
        "invalid program counter",
        "hardware stack error",
        "launch timed out",
        "uncorrectable ecc error",
        "device is lost",
        "device_lost",
        "gpu is lost",
        "has fallen off the bus",
        "no cuda-capable device is detected",
        "devices are busy or unavailable",
        "context is destroyed",
        "unknown error",
        "previous error during capture",  # the stream and the graph's memory stay as they were
    )
    open_nvml: ClassVar[Callable[[], Nvml]] = staticmethod(Nvml.open)

    @classmethod
    def absence(cls, load: Callable[[str], ModuleType] = importlib.import_module) -> str | None:
        """See :class:`Backend`.

        Args:
            load: imports a module by name.
        """
        if os.environ.get("CUDA_VISIBLE_DEVICES", "x").strip() in ("", "-1"):
            return "CUDA_VISIBLE_DEVICES hides every device"
        has_cuda = torch.version.cuda is not None
        if not has_cuda and torch.version.hip is None and platform.system() == "Linux":
            return f"torch {torch.__version__} is built without CUDA and ROCm"
        try:
            names = Nvml.open(load).names()
        except AbsentError as error:
            return f"no accelerator is visible to torch, and {error}"
        if not names:
            return "no accelerator is visible to torch, and the NVIDIA driver has none"
        seen = f"the NVIDIA driver has {', '.join(names)}, which torch cannot use"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.cuda.init()  # type: ignore[no-untyped-call]
        except (RuntimeError, AssertionError) as error:
            return f"{seen}: {first_line(error)}"
        return seen

    def _nvml(self) -> tuple[Nvml, str]:
        """NVML, and what it knows the device by."""
        if torch.version.hip is not None:
            raise AbsentError("NVML knows NVIDIA's devices only")
        if self.uuid is None:
            raise AbsentError("the device has no UUID to find it by")
        return type(self).open_nvml(), self.uuid

    def record(self) -> Any:
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self.device))
        return event

    def memory(self) -> MemoryCounters:
        return _CudaMemory(self)

    def memory_used(self) -> int:
        """By NVML, and by the driver through torch where NVML cannot be read: the two agree but for
        what the driver keeps for itself."""
        try:
            nvml, uuid = self._nvml()
            return nvml.memory_used(uuid)
        except AbsentError:
            return super().memory_used()

    def telemetry(self) -> Telemetry:
        nvml, uuid = self._nvml()
        nvml.read(uuid)

        def read() -> Reading:
            try:
                return nvml.read(uuid)
            except AbsentError:
                return Reading()  # a device that is lost ends the cell by itself

        return read

    def energy(self) -> EnergyCounter:
        nvml, uuid = self._nvml()
        return NvmlEnergy(uuid, nvml)

    def processes(self) -> list[Process]:
        if torch.version.hip is not None:
            return super().processes()
        if self.uuid is None:
            return []
        return type(self).open_nvml().processes(self.uuid)

    def cache_bytes(self) -> int:
        properties = torch.cuda.get_device_properties(self.device)
        return int(getattr(properties, "L2_cache_size", 0)) or UNKNOWN_CACHE

    def versions(self) -> dict[str, str]:
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        found = {"cuda": str(torch.version.cuda or torch.version.hip), "cudnn": str(cudnn)}
        try:
            return {"driver": type(self).open_nvml().driver_version(), **found}
        except AbsentError:
            return found

    def _capability(self) -> tuple[int, int] | None:
        """Of an NVIDIA device; None for AMD's."""
        if torch.version.hip is not None:
            return None
        return torch.cuda.get_device_capability(self.name)

    def refuse_dtype(self, dtype: str) -> str | None:
        capability = self._capability()
        if dtype == "tf32" and capability is not None and capability >= _AMPERE:
            return None
        if dtype in ("bf16", "amp-bf16") and capability is not None and capability < _AMPERE:
            return "its hardware has no bf16, and torch would emulate it"
        return super().refuse_dtype(dtype)

    def lacks_compiler(
        self, which: Callable[[str], str | None], find: Callable[[str], object]
    ) -> tuple[str, str] | None:
        if find("triton") is not None:
            return None
        return "torch compiles for this device with triton, which is not installed", "triton"

    def capture(self, run: Callable[[], object]) -> tuple[Callable[[], object], object]:
        """See :class:`Backend`.

        Raises:
            FatalDeviceError: the capture itself failed, which leaves the stream and the graph's
                memory as they were.
        """
        # On this device: torch's own stream for captures is made once, on the device of that time.
        stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        graph = torch.cuda.CUDAGraph()
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            for _ in range(_CAPTURE_WARMUP):
                run()
        torch.cuda.current_stream(self.device).wait_stream(stream)
        self.synchronize()
        # The graph has memory of its own, which must fit beside what these passes took.
        self.empty_cache()
        try:
            with torch.cuda.graph(graph, stream=stream):
                output = run()
        except RuntimeError as error:
            # The end of the capture fails too, and says less than what went wrong in it.
            *_, first = chain_of(error)
            raise FatalDeviceError(first_line(first)) from error
        return graph.replay, output

    def fed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """See :class:`Backend`. The next batch is on its way while one is used."""
        stream: Any = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        ready: Batch | None = None
        for pixels, *rest in batches:
            with torch.cuda.stream(stream):
                moved = pixels.to(self.device, non_blocking=True)
            if ready is not None:
                yield ready
            current = torch.cuda.current_stream(self.device)
            current.wait_stream(stream)
            # The allocator must not hand the memory out before the network has read it.
            moved.record_stream(current)
            ready = (moved, *rest)
        if ready is not None:
            yield ready


class _CudaMemory(TorchMemory):
    """Of torch's allocator for CUDA."""

    def reset(self) -> None:
        # cuBLAS keeps a workspace for each stream from its first product on. It belongs to the pass
        # that needs it, and not to all that run after it.
        clear = getattr(torch._C, "_cuda_clearCublasWorkspaces", None)
        if clear is not None:
            self._device.synchronize()
            clear()
        super().reset()
