"""Opening a graph with an engine, without torch: also what a deployed process has, and no more.

A fresh process runs this module with an order, opens the graph from a disk whose cache is empty,
runs some passes and says what that took.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.runtimes.fresh import FreshError, answer, ask_fresh

if TYPE_CHECKING:
    from archbench.core.entries import MetricEntry

PRECISIONS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "f32"}
"""What OpenVINO calls them; of int8 what is not quantised is computed in fp32."""

PASSES = 3
SECONDS = 300.0
"""That such a process may take."""


@dataclass(frozen=True, slots=True)
class Order:
    """A graph and how it is to be run.

    Attributes:
        engine: ``onnxruntime`` or ``openvino``.
        path: of the graph.
        dtype: the precision.
        threads: of a pass.
        shapes: of the inputs, with the size of the batch.
        types: of their elements, as numpy calls them.
        symbol: of the size of a batch in the graph, where that is open.
        ranges: file of images that ranges of int8 are taken from; None for synthetic ones.
    """

    engine: str
    path: str
    dtype: str
    threads: int
    shapes: tuple[tuple[int, ...], ...]
    types: tuple[str, ...]
    symbol: str | None = None
    ranges: str | None = None

    @property
    def text(self) -> str:
        """For :meth:`parse` in a process of its own."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Order:
        """The inverse of :attr:`text`."""
        given = json.loads(text)
        return cls(**{**given, "shapes": tuple(map(tuple, given["shapes"]))})


def ort() -> Any:
    """ONNX Runtime, which is imported by whoever opens or refuses something."""
    import onnxruntime

    return onnxruntime


Provider = tuple[str, dict[str, str]]
"""Of ONNX Runtime: its name and options."""


def open_onnxruntime(
    order: Order, profile: str | None = None, providers: Sequence[Provider] = ()
) -> Any:
    """An ``InferenceSession``.

    Args:
        profile: beginning of the name of a file that it writes what it did into.
        providers: that run what they can of the graph, the first one first; the processor runs
            the rest.
    """
    onnxruntime = ort()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = order.threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, profile
    if order.symbol is not None:
        options.add_free_dimension_override_by_name(order.symbol, order.shapes[0][0])
    if providers:
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    # Else an error of a provider would be printed, and the processor used.
    return onnxruntime.InferenceSession(
        order.path, options, providers=[*providers, "CPUExecutionProvider"], enable_fallback=0
    )


def open_openvino(order: Order, core: Any = None, *, profile: bool = False) -> Any:
    """A ``CompiledModel`` for the processor.

    Args:
        core: of OpenVINO, where there is one already.
        profile: whether it counts the time of each node.
    """
    import openvino

    core = core or openvino.Core()
    model = core.read_model(order.path)
    if order.symbol is not None:
        model.reshape(dict(enumerate(map(list, order.shapes))))
    wanted = {
        "INFERENCE_NUM_THREADS": order.threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": PRECISIONS[order.dtype],
        "PERF_COUNT": profile,
    }
    return core.compile_model(model, "CPU", wanted)


def _opened(order: Order) -> Callable[[], object]:
    """A pass on zeros."""
    import numpy

    arrays = [numpy.zeros(*one) for one in zip(order.shapes, order.types, strict=True)]
    if order.engine == "openvino":
        request = open_openvino(order).create_infer_request()
        given = dict(enumerate(arrays))
        return lambda: request.infer(given, share_inputs=True, share_outputs=True)
    session = open_onnxruntime(order)
    names = [one.name for one in session.get_inputs()]
    return lambda: session.run(None, dict(zip(names, arrays, strict=True)))


def forget_cached(path: Path) -> bool:
    """Have the system forget what it keeps of a file in memory; whether it can."""
    advise = getattr(os, "posix_fadvise", None)
    if advise is None:
        return False
    with path.open("rb") as file:
        advise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def peak_resident() -> int | None:
    """Most bytes of memory that this process has had resident; None where the system does not tell.

    ``VmHWM`` begins with the program, other than ``ru_maxrss``, which begins with its parent.
    """
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    lines = [line.split() for line in text.splitlines() if line.startswith("VmHWM:")]
    return int(lines[0][1]) * 1024 if lines else None


@dataclass(frozen=True, slots=True)
class Taken:
    """What opening a graph took, and running it.

    Attributes:
        cold: whether the file was read from the disk.
        load_seconds: until it was open.
        peak_bytes: of the process; None where the system does not tell.
    """

    cold: bool
    load_seconds: float
    peak_bytes: int | None


def run(order: Order) -> Taken:
    """In the fresh process: open the graph and run it."""
    path = Path(order.path)
    cold = all(map(forget_cached, filter(Path.is_file, path.parent.iterdir())))
    __import__(order.engine)
    start = time.perf_counter()
    start_pass = _opened(order)
    seconds = time.perf_counter() - start
    for _ in range(PASSES):
        start_pass()
    return Taken(cold, seconds, peak_resident())


def measured_apart(order: Order) -> dict[str, MetricEntry]:
    """``process_memory`` and ``cold_load_time`` of a process that has nothing but the engine, as a
    record has them."""
    try:
        found = Taken(**ask_fresh("-m", __name__, order.text, seconds=SECONDS))
    except FreshError as error:
        what = "a process with the engine alone"
        if error.status is None:
            return _absent(f"{what} took more than {SECONDS:g} s")
        said = error.said or "it said nothing"
        return _absent(f"{what} ended with {error.status}: {said[:200]}")
    return {
        "process_memory": {"value": found.peak_bytes, "counter": "VmHWM"}
        if found.peak_bytes is not None
        else {"absent": "this system does not tell the peak of a process"},
        "cold_load_time": {"value": found.load_seconds}
        if found.cold
        else {"absent": "this system does not forget a file that it has read"},
    }


def _absent(reason: str) -> dict[str, MetricEntry]:
    return {name: {"absent": reason} for name in ("process_memory", "cold_load_time")}


if __name__ == "__main__":
    answer(asdict(run(Order.parse(sys.argv[1]))))
