"""NVIDIA's devices and, in a torch for ROCm, AMD's."""

from __future__ import annotations

import importlib
import os
import platform
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any, ClassVar

import torch

from archbench.core.errors import AbsentError, FatalDeviceError, chain_of, first_line
from archbench.core.telemetry import TelemetrySample
from archbench.devices.accelerator import Accelerator, TorchMemory
from archbench.devices.amd_smi import AmdSmi
from archbench.devices.backend import UNKNOWN_CACHE, Batch, MemoryCounters, Telemetry
from archbench.devices.energy import DriverEnergy, EnergyCounter
from archbench.devices.nvml import Nvml, Process
from archbench.devices.registry import register

_AMPERE = (8, 0)
"""Compute capability: first with TF32 and with bf16 in hardware. Older devices emulate bf16."""

_VOLTA, _OLDEST = (7, 4), (5, 0)
"""The last compute capability that only builds for CUDA 12.6 hold code for, from torch 2.11
on, and the first one (torch's RELEASE.md, CUDA support matrix)."""


_PROHIBITED, _EXCLUSIVE = 2, (1, 3)
"""Values of nvmlComputeMode_t (nvml.h)."""

_INFINITY_CACHE = 256 * 2**20
"""Bytes of the last-level cache of an MI300; ROCm reports the size of the level before it."""

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
        "hiperror", "triton error [hip]", "cublas_status", "cudnn_status", "cudacachingallocator",
        "cudagraph.cpp", "cuda_graph", "cuda runtime (", "cuda failure",
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
        # After a failed capture the stream and the graph's memory stay as they were.
        "previous error during capture",
        "internal assert failed",
    )
    open_nvml: ClassVar[Callable[[], Nvml]] = staticmethod(Nvml.open)
    open_amd_smi: ClassVar[Callable[[], AmdSmi]] = staticmethod(AmdSmi.open)

    @classmethod
    def absence(cls, load: Callable[[str], ModuleType] = importlib.import_module) -> str | None:
        """See :class:`Backend`.

        Args:
            load: imports a module by name.
        """
        if getattr(torch.version, "xpu", None) is not None:
            return None  # a build for other devices is explained by their own kind
        for name in cls._variables():
            # What stands behind a number that is no device's is left out.
            if os.environ.get(name, "x").split(",")[0].strip() in ("", "-1"):
                return f"{name} hides every device"
        has_cuda = torch.version.cuda is not None
        if not has_cuda and torch.version.hip is None and platform.system() == "Linux":
            return f"torch {torch.__version__} is built without CUDA and ROCm"
        is_amd = torch.version.hip is not None
        nothing = "no accelerator is visible to torch" + (" for ROCm" if is_amd else "")
        maker = "AMD" if is_amd else "NVIDIA"
        try:
            names = (AmdSmi if is_amd else Nvml).open(load).names()
        except AbsentError as error:
            return f"{nothing}, and {error}"
        if not names:
            return f"{nothing}, and the {maker} driver has none"
        seen = f"the {maker} driver has {', '.join(names)}, which torch cannot use"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.cuda.init()  # type: ignore[no-untyped-call]
        except (RuntimeError, AssertionError) as error:
            if cls.hidden() and re.search("No (CUDA|HIP) GPUs are available", str(error)):
                return f"{cls.hidden()}, and of {', '.join(names)} it leaves none"
            return f"{seen}: {first_line(error)}"
        return seen

    @staticmethod
    def _variables() -> list[str]:
        """Of the environment, that choose what torch sees."""
        of_amd = ["HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"]
        return [*([] if torch.version.hip is None else of_amd), "CUDA_VISIBLE_DEVICES"]

    @classmethod
    def hidden(cls) -> str | None:
        name = next((name for name in cls._variables() if name in os.environ), None)
        return None if name is None else f"{name}={os.environ[name]} chooses what torch sees"

    def unusable(self) -> tuple[str, str] | None:
        return self._lacks_code() or self._is_prohibited()

    def _lacks_code(self) -> tuple[str, str] | None:
        """Why torch has no code for it: its wheels hold some architectures only."""
        capability, held = self.capability(), torch.cuda.get_arch_list()
        if capability is None or not held or any(_runs(code, capability) for code in held):
            return None
        number = "".join(map(str, capability))
        found = f"torch {torch.__version__} holds code for {', '.join(held)}, and it is sm_{number}"
        if capability > _VOLTA:
            return (
                found,
                "Install a newer torch, or a build for a newer CUDA: pytorch.org lists them",
            )
        if capability < _OLDEST:
            return found, "No build of a torch that archbench runs with holds code for it"
        return found, (
            "Install a build for CUDA 12.6, which holds it, from the URL that "
            "pytorch.org/get-started/locally gives for it: `make bench TORCH_INDEX=URL` in a fresh "
            "environment, or python -m pip install --force-reinstall torch torchvision "
            "--index-url URL"
        )

    def _is_prohibited(self) -> tuple[str, str] | None:
        if self._compute_mode() != _PROHIBITED:
            return None
        return "its compute mode is prohibited", "Choose another device, or ask who set the mode"

    def _compute_mode(self) -> int:
        try:
            driver, uuid = self._driver()
            return driver.compute_mode(uuid)
        except AbsentError:
            return 0

    def is_exclusive(self) -> bool:
        return self._compute_mode() in _EXCLUSIVE

    @classmethod
    def _opened(cls) -> Nvml | AmdSmi:
        """The maker's management library."""
        return cls.open_nvml() if torch.version.hip is None else cls.open_amd_smi()

    def _driver(self) -> tuple[Nvml | AmdSmi, str]:
        """The maker's management library, and what it knows the device by."""
        if self.uuid is None:
            raise AbsentError("the device has no UUID to find it by")
        return self._opened(), self.uuid

    def record(self) -> Any:
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self.device))
        return event

    @contextmanager
    def within_memory(self) -> Iterator[None]:
        """See :class:`Backend`. Under WSL the driver goes on in the host's memory, many times
        slower; so torch's own allocator is given the device's limit."""
        if "microsoft" in platform.release().lower():
            free, total = self.memory_info()
            fraction = (free + torch.cuda.memory_reserved(self.device)) / total
            torch.cuda.set_per_process_memory_fraction(min(fraction, 1.0), self.device)
        yield

    def memory(self) -> MemoryCounters:
        return _CudaMemory(self)

    def memory_used(self) -> int:
        """By the management library, and by the driver through torch where that cannot be read:
        the two agree but for what the driver keeps for itself."""
        try:
            driver, uuid = self._driver()
            return driver.memory_used(uuid)
        except AbsentError:
            return super().memory_used()

    def telemetry(self) -> Telemetry:
        driver, uuid = self._driver()
        driver.read(uuid)

        def read() -> TelemetrySample:
            try:
                return driver.read(uuid)
            except AbsentError:
                return TelemetrySample()  # a device that is lost ends the cell by itself

        return read

    def energy(self) -> EnergyCounter:
        driver, uuid = self._driver()
        return DriverEnergy(uuid, driver)

    def processes(self) -> list[Process]:
        return [] if self.uuid is None else self._opened().processes(self.uuid)

    def cache_bytes(self) -> int:
        properties = torch.cuda.get_device_properties(self.device)
        size = int(getattr(properties, "L2_cache_size", 0))
        return max(size, _INFINITY_CACHE) if torch.version.hip else size or UNKNOWN_CACHE

    def versions(self) -> dict[str, str]:
        found = {"cuda": str(torch.version.cuda or torch.version.hip)}
        try:
            cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            # Another cuDNN than torch was built with is in the way.
            found["cudnn"] = f"not usable: {first_line(error)}"
        else:
            found |= {} if cudnn is None else {"cudnn": str(cudnn)}
        try:
            return {"driver": self._opened().driver_version(), **found}
        except AbsentError:
            return found

    def capability(self) -> tuple[int, int] | None:
        if torch.version.hip is not None:
            return None
        return torch.cuda.get_device_capability(self.name)

    def build(self) -> str:
        capability = self.capability()
        kernels = ", ".join(torch.cuda.get_arch_list())
        own = "" if capability is None else f"compute capability {capability[0]}.{capability[1]}; "
        return f"{own}torch has kernels for {kernels or 'no device'}"

    def refuse_dtype(self, dtype: str) -> str | None:
        capability = self.capability()
        if dtype == "tf32" and capability is not None and capability >= _AMPERE:
            forbids = os.environ.get("NVIDIA_TF32_OVERRIDE") == "0"
            return (
                "NVIDIA_TF32_OVERRIDE=0 forbids it to all of CUDA's libraries" if forbids else None
            )
        if dtype in ("bf16", "amp-bf16") and capability is not None and capability < _AMPERE:
            return "its hardware has no bf16, and torch would emulate it"
        return super().refuse_dtype(dtype)

    def lacks_compiler(
        self, which: Callable[[str], str | None], find: Callable[[str], object]
    ) -> tuple[str, str] | None:
        if find("triton") is None:
            return "torch compiles for this device with triton, which is not installed", "triton"
        if not any(name and which(name) for name in (os.environ.get("CC", ""), "gcc", "clang")):
            return "triton starts its kernels by code that it compiles, without a C compiler", "gcc"
        return None

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

    @contextmanager
    def on_a_stream(self) -> Iterator[None]:
        before = torch.cuda.current_stream(self.device)
        stream = _stream(self.device)
        stream.wait_stream(before)
        with torch.cuda.stream(stream):
            yield
        before.wait_stream(stream)

    def stream_handle(self) -> int:
        return int(torch.cuda.current_stream(self.device).cuda_stream)

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


@cache
def _stream(device: torch.device) -> Any:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _runs(code: str, capability: tuple[int, int]) -> bool:
    """Whether code of a name as ``sm_75`` or ``compute_90`` runs on a device: a binary on those of
    its own major number from its minor one on, an intermediate form on all later ones (CUDA C++
    Programming Guide, binary and PTX compatibility)."""
    kind, _, number = code.partition("_")
    digits = re.sub("[^0-9]", "", number)
    if not digits:
        return False
    made_for = int(digits[:-1] or 0), int(digits[-1])
    if kind == "compute":
        return made_for <= capability
    return made_for[0] == capability[0] and made_for[1] <= capability[1]


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
