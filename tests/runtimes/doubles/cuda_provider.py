"""ONNX Runtime's CUDA and TensorRT providers as far as archbench calls them, computed on the CPU.

``test_onnxruntime_cuda.py`` holds names and parameters against the real API.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import onnx
import onnxruntime

CPU, CUDA, TENSORRT = (f"{name}ExecutionProvider" for name in ("CPU", "CUDA", "Tensorrt"))

_Real = onnxruntime.InferenceSession


class InferenceSession:
    """Stands for ONNX Runtime's.

    Attributes:
        loads: providers whose libraries are found.
        on_cpu: operators that only the processor runs.
        on_pass: called with the stream of each pass.
    """

    loads: Sequence[str] = (TENSORRT, CUDA)
    on_cpu: Sequence[str] = ()
    on_pass: Callable[[int], object] = staticmethod(lambda stream: None)

    def __init__(
        self, path_or_bytes: str, sess_options: Any, providers: Sequence[Any], **kwargs: Any
    ) -> None:
        assert kwargs == {"enable_fallback": 0}, "an error is not to become another provider"
        self.options = {
            name: {**given}
            for name, given in (one for one in providers if one != CPU)
            if name in self.loads
        }
        self._session = _Real(path_or_bytes, sess_options, providers=[CPU])
        nodes = onnx.load(path_or_bytes).graph.node
        self._nodes = [SimpleNamespace(op_type=one.op_type, name=one.name) for one in nodes]
        cache = self.options.get(TENSORRT, {})
        if cache.get("trt_engine_cache_enable") == "1" and self._taken():
            engine = Path(cache["trt_engine_cache_path"]) / "TRTKernel_graph_0_sm90.engine"
            if not engine.exists():
                engine.write_bytes(b"built once")
        self.inputs, self.outputs = self._session.get_inputs(), self._session.get_outputs()

    def _taken(self) -> list[Any]:
        return [one for one in self._nodes if one.op_type not in self.on_cpu]

    def get_inputs(self) -> Any:
        return self.inputs

    def get_outputs(self) -> Any:
        return self.outputs

    def get_providers(self) -> Sequence[str]:
        return [*self.options, CPU]

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        told = {name: {**given} for name, given in self.options.items()}
        told.get(TENSORRT, {}).pop("user_compute_stream", None)  # it does not tell that
        if CUDA in told:
            told[CUDA] |= {"cudnn_conv_algo_search": "EXHAUSTIVE", "prefer_nhwc": "0"}
        return {**told, CPU: {}}

    def get_provider_graph_assignment_info(self) -> Sequence[Any]:
        first = self.get_providers()[0]
        rest = [one for one in self._nodes if one.op_type in self.on_cpu]
        parts = {first: self._taken(), CPU: rest}
        return [
            SimpleNamespace(ep_name=name, get_nodes=lambda nodes=nodes: nodes)
            for name, nodes in parts.items()
            if nodes
        ]

    def io_binding(self) -> IOBinding:
        return IOBinding()

    def run(self, output_names: Any, input_feed: dict[str, Any]) -> Any:
        return self._session.run(output_names, input_feed)

    def run_with_iobinding(self, iobinding: IOBinding, run_options: Any = None) -> None:
        entry = "disable_synchronize_execution_providers"
        assert run_options.get_run_config_entry(entry) == "1", "it would wait for the device"
        (stream,) = {one["user_compute_stream"] for one in self.options.values()}
        arrays = {name: _at(*place) for name, place in iobinding.given.items()}
        iobinding.found = self._session.run(iobinding.wanted, arrays)
        self.on_pass(int(stream))


class IOBinding:
    """Stands for ONNX Runtime's."""

    def __init__(self) -> None:
        self.given: dict[str, Any] = {}
        self.wanted: list[str] = []
        self.found: list[Any] = []

    def bind_input(
        self,
        name: str,
        device_type: str,
        device_id: int,
        element_type: Any,
        shape: Sequence[int],
        buffer_ptr: int,
    ) -> None:
        assert (device_type, device_id) == ("cuda", 1)
        self.given[name] = buffer_ptr, shape, element_type

    def bind_output(self, name: str, device_type: str, device_id: int) -> None:
        assert (device_type, device_id) == ("cuda", 1)
        self.wanted.append(name)

    def copy_outputs_to_cpu(self) -> Sequence[Any]:
        return self.found


def _at(place: int, shape: Sequence[int], kind: Any) -> Any:
    """An array that lies at an address."""
    size = int(numpy.prod(shape)) * numpy.dtype(kind).itemsize
    memory: Any = (ctypes.c_char * size).from_address(place)
    return numpy.frombuffer(memory, kind).reshape(shape)


def install() -> None:
    """In a process of its own."""
    onnxruntime.InferenceSession = InferenceSession
