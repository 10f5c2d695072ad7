"""By ONNX Runtime."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from archbench.core.differences import ModuleTime
from archbench.core.forms import Json
from archbench.core.run_config import RunConfig
from archbench.devices.backend import Backend
from archbench.devices.choosing import Device
from archbench.runtimes.deployed import Order, open_onnxruntime, ort
from archbench.runtimes.engine import GRAPH_PACKAGES, NVIDIA, PROCESSORS, Engine
from archbench.runtimes.exported import onnx_of
from archbench.runtimes.onnxruntime_cuda import (
    DTYPES,
    CudaSession,
    cuda_provider,
    lacks_provider,
)
from archbench.runtimes.opening import array_of, order_of, refuse_other_settings
from archbench.runtimes.registry import register
from archbench.runtimes.runtime import Job, Nodes, Refusal
from archbench.store.artefacts import Artefact, Found

PRODUCTS = (
    "Conv", "ConvTranspose", "FusedConv", "FusedGemm", "FusedMatMul", "Gemm", "MatMul",
    "NhwcFusedConv",
)  # fmt: skip
"""Operators that take most of the time, in fp32."""


@register
class OnnxRuntime(Engine):
    """See :class:`archbench.runtimes.runtime.Runtime`."""

    name = "onnxruntime"
    title = "ONNX Runtime"
    extra = "onnxruntime"
    packages: ClassVar = {"onnxruntime": ("onnxruntime", "1.18"), **GRAPH_PACKAGES}
    only_on: ClassVar[tuple[str, ...]] = (PROCESSORS, NVIDIA)
    needs_stream = True
    provider: ClassVar[str] = "CUDAExecutionProvider"
    extra_on_devices: ClassVar[str] = "onnxruntime-gpu"

    def refuse_precision(
        self, device: Device, backend: Backend, config: RunConfig
    ) -> Refusal | None:
        if backend.is_host:
            return self.refuse_dtype(config, ("fp32", "int8"), "on processors")
        return lacks_provider(self.provider, self.extra_on_devices) or self.refuse_dtype(
            config, DTYPES, "on NVIDIA's devices"
        )

    def artefact_of(self, job: Job) -> Found:
        if job.device.is_host:
            return super().artefact_of(job)
        return onnx_of(job, self.seconds, half=True)

    def open(self, artefact: Artefact, job: Job) -> _Session | CudaSession:
        order = order_of(self.name, artefact, job)
        if job.device.is_host:
            return _Session(order, job.inputs)
        return CudaSession(order, job, (cuda_provider(job),))


class _Session:
    """See :class:`archbench.runtimes.engine.Session`."""

    def __init__(self, order: Order, inputs: Sequence[Tensor]) -> None:
        self.order, self._arrays = order, [array_of(one) for one in inputs]
        self._session = open_onnxruntime(order)
        self.settings = self._read_back()
        self._names = [one.name for one in self._session.get_inputs()]
        self._binding = self._bound(self._session)

    def profile(self, passes: int) -> dict[str, ModuleTime]:
        """Seconds of each node of the optimised graph, the least of some passes, by ONNX Runtime's
        own profile, by name."""
        with tempfile.TemporaryDirectory(prefix="archbench-profile-") as directory:
            session = open_onnxruntime(self.order, str(Path(directory) / "ort"))
            binding = self._bound(session)
            for _ in range(passes + 1):  # the first one makes memory
                session.run_with_iobinding(binding)
            events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        return node_seconds(events)

    def nodes(self) -> Nodes | None:
        """In int8 the nodes that it runs, and the products of matrices among them that are in fp32;
        otherwise everything is in fp32."""
        if self.order.dtype != "int8":
            return None
        ran = [node.type for node in self.profile(1).values()]
        return Nodes(len(ran), dict(Counter(f"{one} f32" for one in ran if one in PRODUCTS)))

    def _read_back(self) -> dict[str, Json]:
        """What the session says that it does, which is to be what was asked for.

        Raises:
            NotMeasuredError: it is not.
        """
        options = self._session.get_session_options()
        found: dict[str, Json] = {
            "threads": options.intra_op_num_threads,
            "providers": list(self._session.get_providers()),
        }
        asked: dict[str, Json] = {
            "threads": self.order.threads,
            "providers": ["CPUExecutionProvider"],
        }
        refuse_other_settings("ONNX Runtime", asked, found)
        return found

    def _bound(self, session: Any) -> Any:
        binding = session.io_binding()
        for name, array in zip(self._names, self._arrays, strict=True):
            binding.bind_ortvalue_input(name, ort().OrtValue.ortvalue_from_numpy(array))
        for output in session.get_outputs():
            binding.bind_output(output.name, "cpu")
        return binding

    def start(self) -> object:
        self._session.run_with_iobinding(self._binding)
        return self._binding

    def outputs(self, raw: Any) -> list[Tensor]:
        return [torch.from_numpy(array) for array in raw.copy_outputs_to_cpu()]

    def run(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        arrays = {name: array_of(one) for name, one in zip(self._names, inputs, strict=True)}
        return [torch.from_numpy(array) for array in self._session.run(None, arrays)]


def node_seconds(events: Sequence[Mapping[str, Any]]) -> dict[str, ModuleTime]:
    """Of the events of a profile the least time of each node."""
    found: dict[str, ModuleTime] = {}
    for event in events:
        name = event.get("name", "")
        if event.get("cat") != "Node" or not name.endswith("_kernel_time"):
            continue
        node, seconds = name.removesuffix("_kernel_time"), event["dur"] / 1e6
        details = event.get("args", {})
        if node not in found or seconds < found[node].seconds:
            found[node] = ModuleTime(details.get("op_name", ""), seconds)
    return found
