"""Running a network as its target says: the one way for everything that runs passes of it."""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor

from archbench.core.entries import MetricEntry
from archbench.core.errors import ArchbenchError, NotMeasuredError, chain_of, is_out_of_memory
from archbench.core.spec import ModelSpec, Target
from archbench.devices.kinds import backend_of
from archbench.measure.parts import InParts, in_parts
from archbench.models.loading import LoadedModel, ModelHolder, free_cached
from archbench.models.memory_guard import memory_guard
from archbench.models.passes import forward_named
from archbench.runtimes.own import runtime_named
from archbench.runtimes.runtime import Job, Prepared

RESTORED = 100
"""Times that inputs are restored between two looks at the clock."""


def load_guarded(holder: ModelHolder, spec: ModelSpec, target: Target) -> LoadedModel:
    """Load a model within the memory there is."""
    with within_memory(target):
        return holder.get(spec, target)


def within_memory(target: Target) -> AbstractContextManager[None]:
    """An accelerator's runtime reserves address space far beyond what it uses: no guard of the
    process's memory there."""
    if target.is_host:
        return memory_guard()
    return backend_of(target.device, target.uuid).within_memory()


@contextmanager
def forward_passes(loaded: LoadedModel) -> Iterator[None]:
    """Whatever runs passes of a model inside does so on its target's device and in its precision.

    What they hold is given back where memory runs out.

    Raises:
        ArchitectureError: a pass fails, by whatever its network's code raises: an assertion or an
            exit in there is no assertion of the test. A time-out of the test or Ctrl-C is none of
            the network's errors, and is passed on.
        MemoryError, RuntimeError: memory ran out.
    """
    try:
        with forward_named(loaded.spec), _untraced(), loaded.running():
            yield
    except (Exception, SystemExit) as error:
        if not isinstance(error, ArchbenchError) and is_out_of_memory(error):
            release(error, loaded)
        raise


@contextmanager
def _untraced() -> Iterator[None]:
    """Without the trace function of a coverage tool or a debugger, which would be timed as well: a
    network of many small modules took half as long again under one."""
    tracing = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracing)


def release(error: BaseException, loaded: LoadedModel) -> None:
    """Give back what a failed pass holds: its frames keep tensors alive as long as the error is."""
    for seen in chain_of(error):
        traceback.clear_frames(seen.__traceback__)
    gc.collect()
    free_cached(loaded.device)
    runtime_named(loaded.target.runtime).release()


def refuse_not_finite(loaded: LoadedModel, scores: Tensor, more: str = "") -> None:
    """See that scores mean something.

    Raises:
        NotMeasuredError: they are not finite; its sentence ends with ``more``.
    """
    if not bool(torch.isfinite(scores).all()):
        raise NotMeasuredError(
            "output-not-finite",
            f"{loaded.spec.id} returned scores that are not finite in {loaded.target.dtype}{more}",
        )


class Runner:
    """Forward passes on a batch that is on the device already, by the target's runtime.

    To be used inside :func:`forward_passes`, from its construction on.

    Args:
        loaded: the model.
        synchronize: waits until the device has done its work; None where nothing runs behind.

    Raises:
        NotMeasuredError: the model cannot be compiled or captured.

    Attributes:
        inputs: the batch: images, and further inputs where the network has some.
        prepared: the network as its runtime has prepared it.
        metrics: what preparing it cost, by the runtime: ``compile_time``, ``graph_breaks``.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        synchronize: Callable[[], object] | None,
    ) -> None:
        self.inputs = loaded.inputs()
        self._raw: Any = None
        self._kept = [tensor.clone() for tensor in self.inputs] if loaded.changes_inputs else []
        self._is_fresh = True
        self._synchronize = synchronize
        self._runtime = runtime_named(loaded.target.runtime)
        self._loaded = loaded
        self.metrics: dict[str, MetricEntry] = self._prepare().metrics

    @property
    def output(self) -> object:
        """What the network returned in the last pass."""
        return self._raw if self._read is None else self._read(self._raw)

    def _prepare(self) -> Prepared:
        loaded = self._loaded
        job = Job(
            loaded.spec, loaded.module, self.inputs, loaded.device, loaded.target,
            loaded.artefact, loaded.artefacts,
        )  # fmt: skip
        prepared = self._runtime.prepare(job)
        loaded.artefact = prepared.artefact
        self._start, self._read = prepared.start, prepared.read
        self._recompilations = prepared.recompilations
        self.prepared = prepared
        return prepared

    def elsewhere(self) -> None:
        """Have the runtime prepare the network anew, elsewhere in memory."""
        self._loaded.artefact = self._runtime.anew(self._loaded.artefact)
        self._prepare()

    def launch(self) -> None:
        """Start a pass, and do not wait for it."""
        if self._kept:
            self.fresh_inputs()
        # The scores of the last pass would lie somewhere in the memory of the next one, where a
        # batch that fills the device needs each of its blocks in one piece.
        self._raw = None
        self._raw = self._start()

    @property
    def in_parts(self) -> InParts | None:
        """Starts a pass that can be cut; None where the runtime has none."""
        return in_parts(self.launch) if self._runtime.runs_operators else None

    def fresh_inputs(self) -> tuple[Any, ...]:
        """The batch for a pass that is about to start, with the values it had at first."""
        if self._kept:
            self._restore()
            self._is_fresh = False
        return self.inputs

    def _restore(self) -> None:
        """Give the inputs of a network that changes them their values back, unless they have
        them."""
        if self._is_fresh:
            return
        pairs = zip(self._kept, self.inputs, strict=True)
        self._kept = [kept.to(tensor.device) for kept, tensor in pairs]
        for tensor, kept in zip(self.inputs, self._kept, strict=True):
            if (tensor.shape, tensor.stride()) != (kept.shape, kept.stride()):
                tensor.resize_(kept.shape).as_strided_(kept.shape, kept.stride())
            tensor.copy_(kept)
        self._is_fresh = True

    @property
    def restoring(self) -> Callable[[], int] | None:
        """Gives the inputs their values back many times, as each pass does once, and tells how
        often; None where a pass does not."""

        def restore() -> int:
            for _ in range(RESTORED):
                self._is_fresh = False
                self._restore()
            if self._synchronize is not None:
                self._synchronize()
            return RESTORED

        return restore if self._kept else None

    def before(
        self, flush: Callable[[], object] | None, *, waits: bool = True
    ) -> Callable[[], object] | None:
        """What is to be done ahead of a pass that is timed, and is no part of it; None if nothing.

        Args:
            flush: empties the caches; None where they are to stay as a pass leaves them.
            waits: whether the device has done it before the pass is started. Not in a queue of
                passes, where the device's own time stamps separate them.
        """
        steps: list[Callable[[], object]] = [self._restore] if self._kept else []
        if flush is not None:
            steps.append(flush)
        if steps and waits and self._synchronize is not None:
            steps.append(self._synchronize)
        if len(steps) < 2:
            return steps[0] if steps else None

        def ready() -> None:
            for step in steps:
                step()

        return ready

    def __call__(self) -> None:
        """Run a pass until its result is there."""
        self.launch()
        if self._synchronize is not None:
            self._synchronize()

    def with_its_memory(self) -> Callable[[], object]:
        """What runs a pass until its result is there, and takes all the memory that it needs: a
        runtime that takes it ahead, when the pass is prepared, has to prepare it anew. It takes no
        more: the values that inputs had at first are kept by the host until the pass after it."""
        self._raw = None
        self._restore()
        self._kept = [tensor.cpu() for tensor in self._kept]
        if not self._runtime.allocates_ahead:
            return self
        del self._start, self.prepared  # with the memory that they hold

        def prepare_and_run() -> None:
            self._prepare()
            self()

        return prepare_and_run

    def recompilations(self) -> int | None:
        """How often the model has been compiled after the first pass; None unless it is."""
        return None if self._recompilations is None else self._recompilations()
