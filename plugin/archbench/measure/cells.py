"""One cell's measurements as records: builtin types, raw series, units, sources.

The door to all of them: it imports torch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from pkgutil import resolve_name

from archbench.core.entries import MetricEntry
from archbench.core.errors import AbsentError, ArchbenchError
from archbench.core.forms import value_of
from archbench.devices.energy import EnergyCounter
from archbench.measure.counts import (
    complexity_record,
    is_of_network,
    side_counts,
    timed_counts,
)
from archbench.measure.energy import absent_energy, energy_metrics, measure_energy
from archbench.measure.instruments import Instruments
from archbench.measure.largest_batch import LargestBatch, with_largest_batch
from archbench.measure.memory import memory_metrics, memory_of_engine
from archbench.measure.running import Runner, forward_passes, load_guarded, within_memory
from archbench.measure.times import latency_record
from archbench.metrics import Family, measured_families
from archbench.models.loading import LoadedModel
from archbench.models.passes import forward_named
from archbench.runtimes.own import runtime_named

__all__ = [
    "Instruments",
    "complexity_record",
    "energy_of",
    "forward_passes",
    "further_metrics",
    "is_of_network",
    "largest_batch",
    "latency_record",
    "load_guarded",
    "memory_of",
    "side_counts",
    "timed_counts",
    "within_memory",
]


Metrics = dict[str, MetricEntry]
"""Of a record, by name."""


def largest_batch(loaded: LoadedModel) -> tuple[LoadedModel, LargestBatch]:
    """The model with the largest batch that fits, see :mod:`archbench.measure.largest_batch`.

    Raises:
        ArchitectureError: its forward pass fails.
        NotMeasuredError: not even one image fits.
    """

    def run(tried: LoadedModel) -> float:
        with within_memory(tried.target), tried.running():
            # Eager, also where it is to be compiled: that takes no more memory than this.
            eager = replace(tried.target, runtime="eager")
            forward = Runner(replace(tried, target=eager), loaded.device.wait)
            forward()
            # Room for the scores of another pass besides, which others may keep.
            kept = forward.output
            start = time.perf_counter()
            forward()
            seconds = time.perf_counter() - start
            del kept
            return seconds

    with forward_named(loaded.spec):
        return with_largest_batch(loaded, run)


def memory_of(loaded: LoadedModel) -> Metrics:
    """Peak memory of a loaded model, in passes of its own.

    Raises:
        MemoryError, RuntimeError: memory ran out.
    """
    with within_memory(loaded.target), forward_passes(loaded):
        forward = Runner(loaded, loaded.device.wait)
        if runtime_named(loaded.target.runtime).is_engine:
            return memory_of_engine(loaded.device, forward)
        forward()
        whole = forward.with_its_memory()
        return memory_metrics(loaded.device, loaded.module, forward.inputs, whole)


def energy_of(loaded: LoadedModel, open_: Callable[[], EnergyCounter] | None = None) -> Metrics:
    """Energy per image and average power of a loaded model; absent, with the reason, without a
    counter.

    Args:
        loaded: the model.
        open_: gives the counter; the device's own by default.
    """
    with within_memory(loaded.target), forward_passes(loaded):
        try:
            counter = (open_ or loaded.device.energy)()
            forward = Runner(loaded, loaded.device.wait)
            window = measure_energy(forward, counter, beside=forward.restoring)
            return energy_metrics(window, counter, loaded.target.images)
        except AbsentError as error:
            return absent_energy(str(error))


def further_metrics(loaded: LoadedModel, asked: Collection[str] = ()) -> Metrics:
    """What is measured beside times: each family that is usual, or asked for.

    Args:
        loaded: the model.
        asked: names of families, see :class:`archbench.metrics.Family`.

    Raises:
        ArchbenchError: a family gives a metric that is not its own, or a value that is no number.
        MemoryError, RuntimeError: memory ran out.
    """
    found: Metrics = {}
    for family in measured_families().values():
        if family.is_usual or family.name in asked:
            found.update(_of_family(family, loaded))
    return found


def _of_family(family: Family, loaded: LoadedModel) -> Metrics:
    measure = family.measure
    if isinstance(measure, str):
        measure = resolve_name(measure)
    assert measure is not None
    known = {metric.name: metric for metric in family.metrics}
    try:
        given = measure(loaded)
    except AbsentError as error:
        given = {name: {"absent": str(error)} for name in known}
    for name, entry in given.items():
        value = entry.get("value")
        if name not in known or not (isinstance(entry.get("absent"), str) or _is_number(value)):
            raise ArchbenchError(
                f"--measure={family.name} gave {name} = {value!r}; it gives a finite number, or "
                f"why there is none, of {', '.join(known)}"
            )
    try:
        return {
            name: value_of(MetricEntry, {"unit": known[name].unit, "source": "measured", **entry})
            for name, entry in given.items()
        }
    except ValueError as error:
        raise ArchbenchError(f"--measure={family.name}: {error}") from None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
