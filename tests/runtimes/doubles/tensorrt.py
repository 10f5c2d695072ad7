"""TensorRT's Python API as far as archbench calls it, which computes by ONNX Runtime on the CPU.

An engine is a line of JSON and the graph. What goes wrong is chosen by ``DOUBLE`` in the
environment, which the process that builds an engine inherits. ``test_tensorrt.py`` holds names and
parameters against the real API where that is installed.
"""

from __future__ import annotations

import ctypes
import enum
import json
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy
import onnx
import onnxruntime
import torch

__version__ = "11.4.0.106"

on_pass: Callable[[int], object] = lambda stream: None  # noqa: E731
"""Called with the stream of each pass."""

tell: Callable[[dict[str, Any]], list[dict[str, Any]]] | None = None
"""Gives the layers that the engine inspector shows; None for those of the graph."""

if sys.argv[0] == "-c":  # a process that builds an engine
    torch.cuda.set_device, torch.cuda.current_device = (lambda device: None), (lambda: 1)


def wrong(what: str) -> bool:
    return os.environ.get("DOUBLE") == what


class TensorIOMode(enum.Enum):
    NONE, INPUT, OUTPUT = range(3)


class DataType(enum.Enum):
    FLOAT, HALF, INT8, INT32, BOOL, UINT8, FP8, BF16, INT64 = range(9)


class BuilderFlag(enum.IntEnum):
    TF32 = 4


class NetworkDefinitionCreationFlag(enum.IntEnum):
    STRONGLY_TYPED = 0


class ProfilingVerbosity(enum.Enum):
    LAYER_NAMES_ONLY, NONE, DETAILED = range(3)


class LayerInformationFormat(enum.Enum):
    ONELINE, JSON = range(2)


_KINDS = {
    "tensor(float)": (DataType.FLOAT, "float32"),
    "tensor(float16)": (DataType.HALF, "float16"),
}


class ILogger:
    class Severity(enum.Enum):
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    def log(self, severity: Any, msg: str) -> None: ...


class IProfiler:
    def report_layer_time(self, layer_name: str, ms: float) -> None: ...


class INetworkDefinition:
    _graph = ""
    _typed = False

    def get_input(self, index: int) -> Any:
        return onnx.load(self._graph, load_external_data=False).graph.input[index]


class OnnxParser:
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        self._network = network

    def parse_from_file(self, model: str) -> bool:
        self._network._graph = model
        return not wrong("parser")

    num_errors = 2

    def get_error(self, index: int) -> Any:
        return ParserError()


class ParserError:
    def desc(self) -> str:
        return "no importer is registered for it"

    def node_name(self) -> str:
        return "node_einsum"

    def node_operator(self) -> str:
        return "Einsum"


class IOptimizationProfile:
    def __init__(self) -> None:
        self.shapes: dict[str, Any] = {}

    def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:
        assert min == opt == max, "an engine is for one size of a batch"
        self.shapes[input] = opt


class IBuilderConfig:
    profiling_verbosity = ProfilingVerbosity.LAYER_NAMES_ONLY

    def __init__(self) -> None:
        self.flags = {BuilderFlag.TF32}  # as in TensorRT
        self.profile = IOptimizationProfile()

    def set_flag(self, flag: BuilderFlag) -> None:
        self.flags.add(flag)

    def clear_flag(self, flag: BuilderFlag) -> None:
        self.flags.discard(flag)

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self.profile = profile
        return 0


class Builder:
    def __init__(self, logger: ILogger) -> None:
        self._logger = logger

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        network = INetworkDefinition()
        network._typed = bool(flags & 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        return network

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> Any:
        if wrong("memory"):
            self._logger.log(
                ILogger.Severity.ERROR,
                "IBuilder::buildSerializedNetwork: Error Code 2: OutOfMemory (Requested size was "
                "1 bytes.)",
            )
            return None
        facts = {
            "version": os.environ.get("DOUBLE_VERSION", __version__),
            "tf32": BuilderFlag.TF32 in config.flags,
            "typed": network._typed,
            "verbosity": config.profiling_verbosity.name,
            "shapes": config.profile.shapes,
        }
        with open(network._graph, "rb") as file:  # noqa: PTH123
            return json.dumps(facts).encode() + b"\n" + file.read()


class Runtime:
    def __init__(self, logger: ILogger) -> None:
        self._logger = logger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        head, _, graph = serialized_engine.partition(b"\n")
        facts = json.loads(head)
        if facts["version"] != __version__:
            self._logger.log(ILogger.Severity.ERROR, "Version tag does not match.")
            return None
        return ICudaEngine(facts, graph)


class ICudaEngine:
    def __init__(self, facts: dict[str, Any], graph: bytes) -> None:
        self.facts, self.graph = facts, graph
        self.session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        given, wanted = self.session.get_inputs(), self.session.get_outputs()
        self.types = {one.name: _KINDS[one.type] for one in (*given, *wanted)}
        self.given, self.wanted = [one.name for one in given], [one.name for one in wanted]

    @property
    def num_io_tensors(self) -> int:
        return len(self.types)

    @property
    def num_layers(self) -> int:
        return len(onnx.load_from_string(self.graph).graph.node)

    def get_tensor_name(self, index: int) -> str:
        return [*self.given, *self.wanted][index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.given else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        return self.types[name][0]

    def create_execution_context(self) -> IExecutionContext | None:
        return None if wrong("context") else IExecutionContext(self)

    def create_engine_inspector(self) -> EngineInspector:
        return EngineInspector(self)


class EngineInspector:
    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine

    def get_engine_information(self, format: LayerInformationFormat) -> str:
        assert self._engine.facts["verbosity"] == "DETAILED"
        if tell is not None:
            return json.dumps({"Layers": tell(self._engine.facts), "Bindings": []})
        half = DataType.HALF in (kind for kind, _ in self._engine.types.values())
        word = "Half" if half else "Float"
        nodes = onnx.load_from_string(self._engine.graph).graph.node
        layers = [
            {"Name": one.name, "LayerType": one.op_type, "Outputs": [{"Format/Datatype": word}]}
            for one in nodes
        ]
        return json.dumps({"Layers": layers, "Bindings": []})


class IExecutionContext:
    profiler: Any = None
    nvtx_verbosity = ProfilingVerbosity.DETAILED

    def __init__(self, engine: ICudaEngine) -> None:
        self._engine, self._shapes, self._places = engine, {}, {}  # type: ignore[var-annotated]

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert list(shape) == self._engine.facts["shapes"][name]
        self._shapes[name] = shape
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        (place,) = [one for one in self._engine.session.get_outputs() if one.name == name]
        (images, *_), *_ = self._shapes.values()
        return (images, *place.shape[1:])

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._places[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        if wrong("pass"):
            return False
        engine, shapes = self._engine, {**self._shapes}
        shapes |= {name: self.get_tensor_shape(name) for name in engine.wanted}
        arrays = {
            name: _at(self._places[name], shape, engine.types[name][1])
            for name, shape in shapes.items()
        }
        given = {name: arrays[name] for name in engine.given}
        found = engine.session.run(engine.wanted, given)
        for name, array in zip(engine.wanted, found, strict=True):
            arrays[name][...] = array
        on_pass(stream_handle)
        if self.profiler is not None:
            for node in onnx.load_from_string(engine.graph).graph.node:
                self.profiler.report_layer_time(node.name, 0.25)
        return True


def _at(place: int, shape: tuple[int, ...], kind: str) -> Any:
    """An array that lies at an address."""
    size = int(numpy.prod(shape)) * numpy.dtype(kind).itemsize
    memory: Any = (ctypes.c_char * size).from_address(place)
    return numpy.frombuffer(memory, kind).reshape(shape)
