"""One cell's measurements as records: builtin types, raw series, units, sources.

The door to all of them: it imports torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from archbench.core.errors import AbsentError
from archbench.core.records import Record
from archbench.devices.energy import EnergyCounter
from archbench.measure.counts import complexity_record, side_counts, timed_counts
from archbench.measure.energy import WindowPlan, absent_energy, energy_metrics, measure_energy
from archbench.measure.instruments import Instruments
from archbench.measure.largest_batch import LargestBatch, with_largest_batch
from archbench.measure.memory import memory_metrics
from archbench.measure.running import Runner, forward_passes, load_guarded, within_memory
from archbench.measure.times import latency_record
from archbench.models.loading import LoadedModel
from archbench.models.passes import forward_named

__all__ = [
    "Instruments",
    "complexity_record",
    "energy_record",
    "forward_passes",
    "largest_batch",
    "latency_record",
    "load_guarded",
    "memory_record",
    "side_counts",
    "timed_counts",
    "within_memory",
]


def largest_batch(
    loaded: LoadedModel, instruments: Instruments | None = None
) -> tuple[LoadedModel, LargestBatch]:
    """The model with the largest batch that fits, see :mod:`archbench.measure.largest_batch`.

    Raises:
        ArchitectureError: its forward pass fails.
        NotMeasuredError: not even one image fits.
    """
    synchronize = (instruments.synchronize if instruments else None) or loaded.device.wait

    def run(tried: LoadedModel) -> float:
        with within_memory(tried.target), tried.running():
            # Eager, also where it is to be compiled: that takes no more memory than this.
            eager = replace(tried.target, runtime="eager")
            forward = Runner(replace(tried, target=eager), synchronize)
            start = time.perf_counter()
            forward()
            return time.perf_counter() - start

    with forward_named(loaded.spec):
        return with_largest_batch(loaded, run)


def memory_record(loaded: LoadedModel, instruments: Instruments | None = None) -> Record:
    """Peak memory of a loaded model, in passes of its own.

    Raises:
        MemoryError, RuntimeError: memory ran out.
    """
    target = loaded.target
    synchronize = (instruments.synchronize if instruments else None) or loaded.device.wait
    with within_memory(target), forward_passes(loaded):
        forward = Runner(loaded, synchronize)
        forward()
        forward.output = None
        metrics = memory_metrics(loaded.device, loaded.module, forward.inputs, forward)
    return Record(id=loaded.spec.id, target=target, metrics=metrics)


def energy_record(
    loaded: LoadedModel,
    open_: Callable[[], EnergyCounter] | None = None,
    plan: WindowPlan | None = None,
) -> Record:
    """Energy per image and average power of a loaded model; absent, with the reason, without a
    counter.

    Args:
        loaded: the model.
        open_: gives the counter; the device's own by default.
        plan: of the window.
    """
    target = loaded.target
    with within_memory(target), forward_passes(loaded):
        try:
            counter = (open_ or loaded.device.energy)()
            window = measure_energy(Runner(loaded, loaded.device.wait), counter, plan)
            metrics = energy_metrics(window, counter, target.images)
        except AbsentError as error:
            metrics = absent_energy(str(error))
    return Record(id=loaded.spec.id, target=target, metrics=metrics)
