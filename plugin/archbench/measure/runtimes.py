"""How a forward pass is run: operator by operator, compiled, or as a CUDA graph."""

from __future__ import annotations

import importlib.util
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from archbench.core.errors import NotMeasuredError, UsageError
from archbench.core.spec import Wish
from archbench.devices.choosing import Device
from archbench.models.loading import Compiled, LoadedModel
from archbench.models.memory_guard import is_out_of_memory

__all__ = ["Runner", "refuse_runtime"]

_CAPTURE_WARMUP = 3
"""Passes before a capture, on the stream of the capture, as torch's notes on CUDA graphs ask for:
libraries choose their algorithms and take their memory in them."""


def refuse_runtime(
    device: Device,
    wish: Wish,
    which: Callable[[str], str | None] = shutil.which,
    find: Callable[[str], object] = importlib.util.find_spec,
) -> None:
    """Refuse a way of running that the device or the machine does not have.

    Args:
        device: to run on.
        wish: what was asked for.
        which: finds a program.
        find: finds a Python module.

    Raises:
        UsageError: with the reason.
    """
    asked = f"--runtime={wish.runtime}"
    if wish.runtime == "cudagraph" and device.kind != "cuda":
        raise UsageError(
            asked, f"{device} has no CUDA graphs", "Use --runtime=eager or --runtime=compiled"
        )
    if wish.runtime != "compiled":
        return
    if not _dynamo_runs():
        raise UsageError(
            asked, "torch's compiler does not support this Python", "Use --runtime=eager"
        )
    if wish.dtype == "int8":
        raise UsageError(
            f"{asked} with --dtype=int8",
            "torch's compiler does not take apart what torch.ao quantised",
            "Use --runtime=eager",
        )
    if device.kind == "cpu":
        compilers = [os.environ.get("CXX", ""), "g++", "clang++", "c++", "cl"]
        if not any(name and which(name) for name in compilers):
            raise UsageError(
                asked,
                "torch compiles for a CPU with a C++ compiler, and there is none",
                "Install g++, or use --runtime=eager",
            )
    elif device.kind == "cuda" and find("triton") is None:
        raise UsageError(
            asked,
            "torch compiles for this device with triton, which is not installed",
            "Install triton, or use --runtime=eager",
        )


def _dynamo_runs() -> bool:
    from torch._dynamo.eval_frame import is_dynamo_supported

    return bool(is_dynamo_supported())


class Runner:
    """Forward passes on a batch that is on the device already.

    To be used inside ``torch.inference_mode()`` and
    :func:`archbench.measure.precision.numerics`, from its construction on.

    Args:
        loaded: the model.
        synchronize: waits until the device has done its work; None where nothing runs behind.
        clock: seconds of a monotonic clock.

    Raises:
        NotMeasuredError: the model cannot be compiled or captured.

    Attributes:
        inputs: the batch: images, and further inputs where the network has some.
        output: of the last pass.
        metrics: what running it this way cost: ``compile_time``, ``graph_breaks``.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        synchronize: Callable[[], object] | None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._spec, self._target = loaded.spec, loaded.target
        self._loaded = loaded
        self.inputs = loaded.inputs()
        self._synchronize = synchronize
        self._module: Callable[..., object] = loaded.module
        self._replay: Callable[[], object] | None = None
        self._graphs = 0
        self.output: object = None
        self.metrics: dict[str, dict[str, Any]] = {}
        if self._target.runtime == "compiled":
            self._compile(clock)
        elif self._target.runtime == "cudagraph":
            self._capture()

    def launch(self) -> None:
        """Start a pass, and do not wait for it."""
        if self._replay is not None:
            self._replay()
        else:
            self.output = self._module(*self.inputs)

    def __call__(self) -> None:
        """Run a pass until its result is there."""
        self.launch()
        if self._synchronize is not None:
            self._synchronize()

    def recompilations(self) -> int | None:
        """Graphs that were compiled after the first pass; None unless the model is compiled."""
        return _unique_graphs() - self._graphs if self._target.runtime == "compiled" else None

    def _compile(self, clock: Callable[[], float]) -> None:
        if self._loaded.compiled is None:
            self._loaded.compiled = self._compiled(clock)
        compiled = self._loaded.compiled
        self._module, self._graphs = compiled.module, compiled.graphs
        self.metrics = dict(compiled.metrics)

    def _compiled(self, clock: Callable[[], float]) -> Compiled:
        import torch._dynamo

        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        module = self._module = torch.compile(self._module)
        start = clock()
        try:
            with _empty_compile_cache():
                self()
        except Exception as error:
            if is_out_of_memory(error) or not _is_compilers(error):
                raise
            raise NotMeasuredError(
                "not-compilable",
                f"{self._spec.id} cannot be compiled by torch: {type(error).__name__}: "
                f"{' '.join(str(error).strip().splitlines()[:2])}. Use --runtime=eager",
            ) from error
        seconds = clock() - start
        graphs = _unique_graphs()
        if not graphs:
            raise NotMeasuredError(
                "nothing-compiled",
                f"torch's compiler took no graph from {self._spec.id} and ran it operator by "
                "operator. Use --runtime=eager",
            )
        measured = {"source": "measured"}
        metrics = {
            "compile_time": {"value": seconds, "unit": "s", **measured},
            # As torch._dynamo.explain has it: one graph more than there are breaks.
            "graph_breaks": {"value": graphs - 1, "unit": "1", **measured},
        }
        return Compiled(module, graphs, metrics)

    def _capture(self) -> None:
        device = torch.device(self._target.device)
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        graph = torch.cuda.CUDAGraph()
        try:
            stream.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(stream):
                for _ in range(_CAPTURE_WARMUP):
                    self._module(*self.inputs)
            torch.cuda.current_stream(device).wait_stream(stream)
            torch.cuda.synchronize(device)
            with torch.cuda.graph(graph):
                self.output = self._module(*self.inputs)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            raise NotMeasuredError(
                "not-capturable",
                f"{self._spec.id} cannot be captured as a CUDA graph: "
                f"{str(error).strip().splitlines()[0]}. Use --runtime=eager",
            ) from error
        self._replay = graph.replay


def _unique_graphs() -> int:
    """Graphs that torch's compiler has taken since its counters were cleared."""
    import torch._dynamo

    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def _is_compilers(error: BaseException) -> bool:
    """Whether an exception comes from torch's compiler and not from the model's own code."""
    return type(error).__module__.startswith(("torch._dynamo", "torch._inductor", "torch.fx"))


@contextmanager
def _empty_compile_cache() -> Iterator[None]:
    """Compile from nothing: what an earlier run left on the disk would make it look fast."""
    from torch._inductor import utils

    # Its name before torch 2.8.
    older = getattr(utils, "fresh_inductor_cache", nullcontext)
    fresh: Callable[[], AbstractContextManager[object]] = getattr(utils, "fresh_cache", older)
    with fresh():
        yield
