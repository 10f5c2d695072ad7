"""By TensorRT, on NVIDIA's devices."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from archbench.core.differences import ModuleTime
from archbench.core.errors import NotMeasuredError
from archbench.core.forms import Json
from archbench.core.run_config import RunConfig
from archbench.devices.backend import Backend
from archbench.devices.choosing import Device
from archbench.devices.kinds import backend_of
from archbench.runtimes.deployed import Order
from archbench.runtimes.engine import GRAPH_PACKAGES, NVIDIA, Engine, StaleError
from archbench.runtimes.exported import onnx_of
from archbench.runtimes.exporting import ONNX_FILE
from archbench.runtimes.fresh import FreshError, answer, ask_fresh
from archbench.runtimes.opening import refuse_other_settings, refused_by
from archbench.runtimes.registry import register
from archbench.runtimes.runtime import Job, Nodes, Refusal
from archbench.store.artefacts import Artefact, Facts, Found

ENGINE_FILE = "network.engine"

DTYPES = ("fp32", "tf32", "fp16", "bf16")

_TYPES = {
    "FLOAT": torch.float32, "HALF": torch.float16, "BF16": torch.bfloat16, "INT8": torch.int8,
    "INT32": torch.int32, "INT64": torch.int64, "UINT8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
"""torch's names of TensorRT's types of elements."""

_WORDS = {
    "bf16": ("bfloat16", "bf16"), "fp16": ("half", "fp16"), "int8": ("int8",), "fp8": ("fp8",),
    "fp32": ("float", "fp32"),
}  # fmt: skip
"""What an engine's inspector calls precisions, in lower case; the first that is found counts."""


@register
class TensorRt(Engine):
    """See :class:`archbench.runtimes.runtime.Runtime`.

    An engine is for one size of a batch, one precision, one kind of device and one version of
    TensorRT. Every tensor has the type that it has in the exported graph (a strongly typed
    network), which is that of the network's weights.
    """

    name = "tensorrt"
    title = "TensorRT"
    extra = "tensorrt"
    packages: ClassVar = {"tensorrt": ("tensorrt", "10.0"), **GRAPH_PACKAGES}
    only_on = (NVIDIA,)
    needs_stream = True

    def refuse_precision(
        self, device: Device, backend: Backend, config: RunConfig
    ) -> Refusal | None:
        return self.refuse_dtype(config, DTYPES, "here")

    def artefact_of(self, job: Job) -> Found:
        exported = onnx_of(job, self.seconds, half=True)
        graph = exported.artefact.path / ONNX_FILE
        return self.made_for_device(job, exported, partial(_built, job, graph, self.seconds))

    def open(self, artefact: Artefact, job: Job) -> _Session:
        return _Session(artefact, job)


def _built(job: Job, graph: Path, seconds: float, directory: Path) -> Facts:
    """Build an engine of a graph in a fresh process, so that what it takes of the device goes back
    with it, and what hangs or crashes ends there.

    Raises:
        NotMeasuredError: TensorRT builds none; has its reason.
    """
    shapes = json.dumps([list(tensor.shape) for tensor in job.inputs])
    order = [str(graph), str(directory), job.device.place, job.target.dtype, shapes]
    try:
        made: Any = ask_fresh("-c", _BUILD, *order, seconds=seconds)
    except FreshError as error:
        raise _not_built(job, error.reason(seconds)) from error
    if "refused" in made:
        raise refused_by("TensorRT", job.spec, RuntimeError(made["refused"]))
    if "failed" in made:
        raise _not_built(job, made["failed"])
    return {"compile_seconds": made["seconds"], "file": ENGINE_FILE}


def _not_built(job: Job, said: str) -> NotMeasuredError:
    id, text = job.spec.id, said.lower().replace(" ", "")
    if "outofmemory" in text or "insufficientmemory" in text:
        return NotMeasuredError(
            "build-out-of-memory",
            f"the device's memory ran out while TensorRT built an engine of {id}: {said}. End what "
            "else is on the device, use a smaller --batch-size or another runtime",
        )
    return NotMeasuredError(
        "not-compilable",
        f"TensorRT builds no engine of {id}: {said}. Use another runtime",
    )


_BUILD = (
    "import sys; from archbench.runtimes.tensorrt import build_engine; build_engine(*sys.argv[1:])"
)


def build_engine(graph: str, directory: str, place: str, dtype: str, shapes: str) -> None:
    """In the fresh process: build an engine, and answer with the ``seconds`` that it took, or with
    why the graph is ``refused`` or why it ``failed``.

    Args:
        graph: path of an ONNX graph.
        directory: for the engine.
        place: torch's name of the device.
        dtype: the precision; fp32 is fp32, without TF32.
        shapes: of the inputs, in JSON.
    """
    trt = _tensorrt()
    with backend_of(place).current():
        answer(_build(trt, graph, directory, dtype, shapes))


def _tensorrt() -> Any:
    import tensorrt

    return tensorrt


def _build(trt: Any, graph: str, directory: str, dtype: str, shapes: str) -> dict[str, Json]:
    log = logger(trt)
    start = time.perf_counter()
    builder = trt.Builder(log)
    flag = int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)  # always so from TensorRT 11 on
    network = builder.create_network(1 << flag)
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(graph):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        return {"refused": "; ".join(map(_parser_error, errors)) or log.said}
    built = builder.build_serialized_network(
        network, config_of(trt, builder, network, dtype, shapes)
    )
    if built is None:
        return {"failed": log.said}
    (Path(directory) / ENGINE_FILE).write_bytes(memoryview(built))
    return {"seconds": time.perf_counter() - start}


def config_of(trt: Any, builder: Any, network: Any, dtype: str, shapes: str) -> Any:
    """How an engine is built: for inputs of these shapes alone, in exactly this precision."""
    config = builder.create_builder_config()
    (config.set_flag if dtype == "tf32" else config.clear_flag)(trt.BuilderFlag.TF32)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # for the engine inspector
    profile = builder.create_optimization_profile()
    for index, shape in enumerate(json.loads(shapes)):
        profile.set_shape(network.get_input(index).name, shape, shape, shape)
    config.add_optimization_profile(profile)
    return config


def _parser_error(error: Any) -> str:
    operator = error.node_operator()
    return f"{operator} ({error.node_name()}): {error.desc()}" if operator else str(error.desc())


def logger(trt: Any) -> Any:
    """What TensorRT logs to: ``said`` is its last errors in one line."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity.name in ("ERROR", "INTERNAL_ERROR"):
                self.errors.append(" ".join(message.split()))

        @property
        def said(self) -> str:
            return "; ".join(self.errors[-3:]) or "it does not say why"

    return Log()


class _Session:
    """See :class:`archbench.runtimes.engine.Session`."""

    order: Order | None = None

    def __init__(self, artefact: Artefact, job: Job) -> None:
        trt = _tensorrt()
        self._trt, self._log, self._device = trt, logger(trt), job.device
        self._inputs, self._dtype = job.inputs, job.target.dtype
        self._runtime = trt.Runtime(self._log)
        plan = (artefact.path / ENGINE_FILE).read_bytes()
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise StaleError(f"TensorRT cannot load the engine: {self._log.said}")
        names = [self._engine.get_tensor_name(one) for one in range(self._engine.num_io_tensors)]
        is_input = {
            name: self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT for name in names
        }
        self._given = [name for name in names if is_input[name]]
        self._wanted = [name for name in names if not is_input[name]]
        self._context = self._opened()
        self._outputs = [self._output(name) for name in self._wanted]
        self._bind(self._context, self._inputs)
        self._layers = self._inspected()
        self.settings = self._read_back(job)
        self._stream = job.device.stream_handle()

    def _opened(self) -> Any:
        context = self._engine.create_execution_context()
        if context is None:
            raise RuntimeError(f"no execution context: {self._log.said}")
        context.nvtx_verbosity = self._trt.ProfilingVerbosity.NONE
        for name, tensor in zip(self._given, self._inputs, strict=True):
            context.set_input_shape(name, tuple(tensor.shape))
        return context

    def _type(self, name: str) -> torch.dtype:
        return _TYPES[self._engine.get_tensor_dtype(name).name]

    def _output(self, name: str) -> Tensor:
        shape = tuple(self._context.get_tensor_shape(name))
        if min(shape, default=1) < 0:
            raise RuntimeError(f"the shape of its output {name} depends on the images: {shape}")
        return torch.empty(shape, dtype=self._type(name), device=self._device.place)

    def _bind(self, context: Any, inputs: Sequence[Tensor]) -> None:
        self._bound = [
            tensor.to(self._type(name)).contiguous()
            for name, tensor in zip(self._given, inputs, strict=True)
        ]
        tensors = [*self._bound, *self._outputs]
        for name, tensor in zip([*self._given, *self._wanted], tensors, strict=True):
            if not context.set_tensor_address(name, tensor.data_ptr()):
                raise RuntimeError(f"no memory for {name}: {self._log.said}")

    def _inspected(self) -> list[Any]:
        """What TensorRT tells of each layer of the engine."""
        form = self._trt.LayerInformationFormat.JSON
        text = self._engine.create_engine_inspector().get_engine_information(form)
        return [one for one in json.loads(text)["Layers"] if isinstance(one, dict)]

    def _read_back(self, job: Job) -> dict[str, Json]:
        """What the engine says of its precision, which is to be what was asked for.

        Raises:
            NotMeasuredError: it is not.
        """
        counts = Counter(filter(None, map(precision_of, self._layers)))
        with_tf32 = sum("tf32" in str(one.get("TacticName", "")).lower() for one in self._layers)
        asked: dict[str, Json] = {}
        found: dict[str, Json] = {}
        if job.target.dtype in ("fp32", "tf32"):
            asked["layers below fp32"] = 0
            found["layers below fp32"] = counts.total() - counts["fp32"]
        if job.target.dtype == "fp32":
            asked["layers in tf32"], found["layers in tf32"] = 0, with_tf32
        refuse_other_settings("TensorRT", asked, found)
        return {
            "version": self._trt.__version__,
            "layers": self._engine.num_layers,
            "precisions": dict(sorted(counts.items())),
            "tf32": with_tf32,
        }

    def nodes(self) -> Nodes:
        """Layers of the engine, and those that are in another precision than was asked for."""
        asked = "fp32" if self._dtype == "tf32" else self._dtype
        found = [(str(one.get("LayerType", "")), precision_of(one)) for one in self._layers]
        otherwise = Counter(" ".join(one) for one in found if one[1] not in ("", asked))
        return Nodes(self._engine.num_layers, dict(otherwise))

    def profile(self, passes: int) -> dict[str, ModuleTime]:
        """Seconds of each layer of the engine, the least of some passes, by TensorRT's own
        profiler, by name."""
        kinds = {one.get("Name"): str(one.get("LayerType", "")) for one in self._layers}
        found: dict[str, ModuleTime] = {}

        class Profiler(self._trt.IProfiler):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()

            def report_layer_time(self, name: str, ms: float) -> None:
                if name not in found or ms / 1e3 < found[name].seconds:
                    found[name] = ModuleTime(kinds.get(name, ""), ms / 1e3)

        context, profiler = self._opened(), Profiler()
        self._bind(context, self._inputs)
        for number in range(passes + 1):
            self._run(context)
            self._device.synchronize()
            if not number:  # the first one loads kernels
                context.profiler = profiler
        return found

    def _run(self, context: Any) -> None:
        if not context.execute_async_v3(self._stream):
            raise RuntimeError(f"TensorRT ran no pass: {self._log.said}")

    def start(self) -> object:
        self._run(self._context)
        return self._outputs

    def outputs(self, raw: Any) -> list[Tensor]:
        return [tensor.clone() for tensor in raw]

    def run(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        self._bind(self._context, inputs)
        try:
            return self.outputs(self.start())
        finally:
            self._bind(self._context, self._inputs)


def precision_of(layer: Any) -> str:
    """Of the outputs of a layer as the engine inspector describes it; empty for whole numbers."""
    text = " ".join(str(one.get("Format/Datatype", "")) for one in layer.get("Outputs", ())).lower()
    return next((name for name, words in _WORDS.items() if any(one in text for one in words)), "")
