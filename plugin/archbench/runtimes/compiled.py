"""By torch's compiler."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch

from archbench.core.entries import MetricEntry
from archbench.core.errors import NotMeasuredError, is_out_of_memory
from archbench.core.run_config import RunConfig
from archbench.devices.backend import Backend
from archbench.devices.choosing import Device
from archbench.runtimes.registry import register
from archbench.runtimes.runtime import Job, Prepared, Refusal, Runtime


@dataclass(frozen=True, slots=True)
class _Artefact:
    """A network as the compiler has made it, and the graphs that it was taken apart into."""

    module: Callable[..., object]
    graphs: int
    metrics: dict[str, MetricEntry]


@register
class Compiled(Runtime):
    """See :class:`Runtime`."""

    name = "compiled"
    which = staticmethod(shutil.which)
    find = staticmethod(importlib.util.find_spec)

    def refuse(self, device: Device, backend: Backend, config: RunConfig) -> Refusal | None:
        if not torch._dynamo.eval_frame.is_dynamo_supported():
            return Refusal("torch's compiler does not support this Python")
        if config.dtype == "int8":
            return Refusal(
                "torch's compiler does not take apart what torch.ao quantised",
                beside="--dtype=int8",
            )
        lacking = backend.lacks_compiler(self.which, self.find)
        if lacking is None:
            return None
        found, remedy = lacking
        return Refusal(found, f"Install {remedy}, or use --runtime=eager")

    def prepare(self, job: Job) -> Prepared:
        made = job.artefact
        if not isinstance(made, _Artefact):
            made = _compile(job)
        module, graphs = made.module, made.graphs
        return Prepared(
            partial(module, *job.inputs),
            dict(made.metrics),
            made,
            lambda: _unique_graphs() - graphs,
            run=lambda inputs: module(*inputs),
        )

    def release(self) -> None:
        torch._dynamo.reset()


def _compile(job: Job) -> _Artefact:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    module = torch.compile(job.module)
    start = job.clock()
    try:
        with _empty_compile_cache():
            module(*job.inputs)
            job.device.synchronize()
    except Exception as error:
        if is_out_of_memory(error) or not _is_compilers(error):
            raise
        raise NotMeasuredError(
            "not-compilable",
            f"{job.spec.id} cannot be compiled by torch: {type(error).__name__}: "
            f"{' '.join(str(error).strip().splitlines()[:2])}. Use --runtime=eager",
        ) from error
    seconds = job.clock() - start
    graphs = _unique_graphs()
    if not graphs:
        raise NotMeasuredError(
            "nothing-compiled",
            f"torch's compiler took no graph from {job.spec.id} and ran it operator by "
            "operator. Use --runtime=eager",
        )
    measured: MetricEntry = {"source": "measured"}
    metrics: dict[str, MetricEntry] = {
        "compile_time": {"value": seconds, "unit": "s", **measured},
        # As torch._dynamo.explain has it: one graph more than there are breaks.
        "graph_breaks": {"value": graphs - 1, "unit": "1", **measured},
    }
    return _Artefact(module, graphs, metrics)


def _unique_graphs() -> int:
    """Graphs that torch's compiler has taken since its counters were cleared."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def _is_compilers(error: BaseException) -> bool:
    """Whether an exception comes from torch's compiler and not from the model's own code."""
    return type(error).__module__.startswith(("torch._dynamo", "torch._inductor", "torch.fx"))


@contextmanager
def _empty_compile_cache() -> Iterator[None]:
    """Compile from nothing: what an earlier run left on the disk would make it look fast."""
    utils = importlib.import_module("torch._inductor.utils")
    # Its name before torch 2.8.
    older = getattr(utils, "fresh_inductor_cache", nullcontext)
    fresh: Callable[[], AbstractContextManager[object]] = getattr(utils, "fresh_cache", older)
    with fresh():
        yield
