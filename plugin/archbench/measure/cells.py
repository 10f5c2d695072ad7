"""One cell's measurements as records: builtin types, raw series, units, sources."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from archbench.core.complexity import Complexity, disagreement, layer_census
from archbench.core.errors import (
    AbsentError,
    ArchbenchError,
    InconclusiveError,
    NotMeasuredError,
    orders_to_end,
)
from archbench.core.launches import COMPARED, Launch
from archbench.core.readings import Reading, device_doubts, throttled_by
from archbench.core.records import Record
from archbench.core.spec import ModelSpec, Target
from archbench.core.statistics import Summary, summarize
from archbench.devices.energy import EnergyCounter, open_counter
from archbench.measure.cold_cache import flusher
from archbench.measure.complexity import count
from archbench.measure.device_time import (
    BurstPlan,
    DeviceClock,
    DeviceSeries,
    Telemetry,
    TorchDeviceClock,
    open_telemetry,
    sample_device_time,
)
from archbench.measure.energy import WindowPlan, absent_energy, energy_metrics, measure_energy
from archbench.measure.environment import fingerprint, provenance_of
from archbench.measure.hardware import synchronizer
from archbench.measure.largest_batch import LargestBatch, release, with_largest_batch
from archbench.measure.latency import LatencySeries, SamplingPlan, sample_latency
from archbench.measure.memory import memory_metrics
from archbench.measure.neighbours import Neighbours
from archbench.measure.runtimes import Runner
from archbench.measure.yardstick import Yardstick
from archbench.models.libraries import library_version
from archbench.models.loading import LoadedModel, ModelHolder
from archbench.models.memory_guard import is_out_of_memory, memory_guard
from archbench.models.outputs import every_exit
from archbench.models.passes import failed_forward
from archbench.models.placement import relocate

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


def load_guarded(holder: ModelHolder, spec: ModelSpec, target: Target) -> LoadedModel:
    """Load a model within the memory there is."""
    with within_memory(target):
        return holder.get(spec, target)


def within_memory(target: Target) -> AbstractContextManager[None]:
    """An accelerator's runtime reserves address space far beyond what it uses: no guard there."""
    return memory_guard() if target.kind == "cpu" else nullcontext()


@contextmanager
def forward_passes(loaded: LoadedModel) -> Iterator[None]:
    """Whatever runs passes of a model inside does so in its target's precision.

    What they hold is given back where memory runs out.

    Raises:
        ArchitectureError: a pass fails, by whatever its network's code raises: an assertion or an
            exit in there is no assertion of the test. A time-out of the test or Ctrl-C is none of
            the network's errors, and is passed on.
        MemoryError, RuntimeError: memory ran out.
    """
    try:
        with _untraced(), loaded.running():
            yield
    except ArchbenchError:
        raise
    except orders_to_end():
        raise
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error):
            release(error, loaded.target)
            raise
        raise failed_forward(loaded.spec, error) from error


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


def complexity_record(
    spec: ModelSpec, holder: ModelHolder | None = None
) -> tuple[Record, Complexity]:
    """Everything that is counted about an architecture, and the counts themselves.

    Args:
        spec: the architecture.
        holder: keeps a network of a person's own, which is built once for all its cells.

    Raises:
        ArchitectureError: it cannot be built, or returns no class scores.
        NotMeasuredError: it cannot be counted.
    """
    start = time.perf_counter()
    network = holder.network(spec) if holder is not None and spec.is_own else None
    complexity = count(spec, network)
    seconds = time.perf_counter() - start
    counted = {"source": "counted"}
    number = {"unit": "1", **counted}
    opinion = complexity.second_opinion
    text = disagreement(complexity.macs, opinion)
    record = Record(
        id=spec.id,
        target=None,
        metrics={
            "params": {"value": complexity.params, **number},
            "trainable_params": {"value": complexity.trainable_params, **number},
            "buffers": {"value": complexity.buffers, **number},
            "param_bytes": {"by_dtype": dict(complexity.param_bytes), "unit": "B", **counted},
            "macs": {
                "value": complexity.macs,
                "basis": "image",
                **number,
                "by_kind": dict(complexity.macs_by_kind),
                "flops_2_per_mac": complexity.flops_2_per_mac,
                "uncounted": dict(complexity.uncounted),
                "second_opinion": None if opinion is None else asdict(opinion),
                "counted_with": {
                    "torch": library_version("torch"),
                    "library": provenance_of(spec),
                },
            },
            "activations": {"value": complexity.activations, "basis": "image", **number},
            "max_channels": {"value": complexity.max_channels, **number},
            "operator_calls": {"value": complexity.operator_calls, **number},
            "input_shape": {"value": list(complexity.input_shape), **number},
            "output_shape": {"value": list(complexity.output_shape), **number},
            "layers": {"value": layer_census(complexity.layers), **counted},
        },
        notes=[{"code": "second-opinion", "text": text}] if text else [],
        seconds={"count": seconds},
    )
    return record, complexity


def side_counts(loaded: LoadedModel) -> dict[str, int] | None:
    """Params, MACs and operator calls of a network that is set beside another.

    None where it cannot be counted: that is the finding of another test.
    """
    try:
        complexity = count(loaded.spec, loaded.network, second_opinion=False)
    except ArchbenchError:
        return None
    return {
        "params": complexity.params,
        "macs": complexity.macs,
        "operator_calls": complexity.operator_calls,
    }


def timed_counts(loaded: LoadedModel) -> dict[str, int] | None:
    """Params and MACs of what is timed, so that a time is known to be of the same network.

    None where it cannot be counted.
    """
    counts = side_counts(loaded)
    return None if counts is None else {name: counts[name] for name in ("params", "macs")}


@dataclass(frozen=True, slots=True)
class Instruments:
    """What measures beside the host's clocks.

    Attributes:
        synchronize: waits until the device has done its work; None where nothing runs behind.
        clock: of the device; None for a CPU, whose clocks are the host's.
        telemetry: reads the state of the device.
        no_telemetry: why it reads nothing; None where it does.
        flush: empties the caches; None where they are to stay as a pass leaves them.
    """

    synchronize: Callable[[], object] | None = None
    clock: DeviceClock | None = None
    telemetry: Telemetry = Reading
    no_telemetry: str | None = None
    flush: Callable[[], object] | None = None

    @property
    def flush_and_wait(self) -> Callable[[], object] | None:
        """Empties the caches and returns when that is done; None where they are to stay."""
        flush, synchronize = self.flush, self.synchronize
        if flush is None or synchronize is None:
            return flush

        def both() -> None:
            flush()
            synchronize()

        return both

    @classmethod
    def of(cls, target: Target) -> Instruments:
        """Those of a target's device."""
        flush = flusher(target) if target.cold_cache else None
        if target.kind == "cpu":
            return cls(flush=flush)
        telemetry, reason = open_telemetry(target.uuid)
        return cls(synchronizer(target), TorchDeviceClock(target.device), telemetry, reason, flush)


MOST_RETRIES = 2
"""Series of passes that are discarded because the device throttled, before a cell is given up."""


def latency_record(
    loaded: LoadedModel,
    plan: SamplingPlan,
    *,
    placements: int = 1,
    seed: int = 0,
    instruments: Instruments | None = None,
) -> Record:
    """Latency of a loaded model: raw wall and processor times of every sample.

    On an accelerator also the time on the device's own clock, and its clock, temperature and power
    meanwhile.

    Args:
        loaded: the model.
        plan: when to stop; the placements share its time budget, and on an accelerator the two
            clocks.
        placements: how many places in memory are tried, as far as the budget goes: the fastest is
            kept as the launch. More than one, and the yardstick beside them, are for launches that
            are compared with others.
        seed: of the places.
        instruments: what measures beside the host's clocks; the device's own by default.

    Raises:
        ArchitectureError: the forward pass fails, or returns no class scores.
        NotMeasuredError: the scores are not finite, as when fp16 overflows; or the model cannot be
            compiled or captured.
        InconclusiveError: the device throttled again and again.
        MemoryError, RuntimeError: memory ran out.
    """
    target = loaded.target
    environment = fingerprint(target, loaded.spec.library)
    is_launch = placements > 1
    if not is_launch:
        environment["yardstick"] = None
    placed: list[tuple[LatencySeries, tuple[float, ...]]] = []
    device: DeviceSeries | None = None
    readings: list[Reading] = []
    with within_memory(target):
        with forward_passes(loaded):
            tools = instruments or Instruments.of(target)
            share = placements if tools.clock is None else 2 * placements
            neighbours = Neighbours()
            forward = Runner(loaded, tools.synchronize)
            for index in range(placements):
                spent = sum(series.elapsed for series, _ in placed)
                if index and spent + spent / index > plan.time_budget:
                    break
                if is_launch and target.kind == "cpu" and target.runtime == "eager":
                    relocate(loaded.module, seed + index)
                    forward = Runner(loaded, tools.synchronize)  # with images in another place
                yardstick = Yardstick() if is_launch and environment["yardstick"] else None
                series, seen = _unthrottled(
                    forward,
                    replace(plan, time_budget=plan.time_budget / share),
                    yardstick.after if yardstick is not None else None,
                    tools,
                )
                if yardstick is not None:
                    yardstick.at_the_end()
                placed.append((series, tuple(yardstick.seconds) if yardstick is not None else ()))
                readings += seen
            others = neighbours.share()
            if tools.clock is not None:
                device = sample_device_time(
                    forward.launch,
                    tools.clock,
                    BurstPlan(time_budget=plan.time_budget / 2, precision=plan.precision),
                    tools.telemetry,
                    tools.flush,
                )
                readings += device.readings
        exits = every_exit(loaded.spec, forward.output, target.batch_size)
        finite = all(bool(torch.isfinite(scores).all()) for scores in exits)
    if not finite:
        remedy = (
            "Look for a division by zero or an overflow in the model"
            if target.dtype in ("fp32", "tf32")
            else "Use --dtype=fp32 or bf16"
        )
        raise NotMeasuredError(
            "output-not-finite",
            f"{loaded.spec.id} returned scores that are not finite in {target.dtype}; "
            f"the time of such a run means nothing. {remedy}",
        )
    wall, cpu, warmup = (
        tuple(value for series, _ in placed for value in getattr(series, name))
        for name in ("wall", "cpu", "warmup")
    )
    launches = [
        Launch.of(series.wall, series.cpu, others, yardsticks, is_waiting=target.kind != "cpu")
        for series, yardsticks in placed
    ]
    fastest = min(launches, key=lambda one: one.at(COMPARED, environment["clock"]))
    if device is not None:
        fastest = fastest.with_device(device.samples, device.is_full)
    summary = summarize(wall)
    common = {"unit": "s", "basis": "batch", "source": "measured"}
    metrics: dict[str, dict[str, Any]] = {
        "latency": {
            **common,
            "samples": list(wall),
            "clock": "wall",
            "warmup": list(warmup),
            "stopped_by": placed[0][0].stopped_by,
            "launches": [fastest.as_dict()],
            "environment": environment,
        },
        "cpu_time": {**common, "samples": list(cpu), "clock": "process"},
        **forward.metrics,
    }
    recompilations = forward.recompilations()
    if recompilations is not None:
        metrics["recompilations"] = {"value": recompilations, "unit": "1", "source": "measured"}
    notes = [*loaded.notes, *_doubts(summary, wall, cpu, target)]
    if device is not None:
        metrics["device_time"] = {**common, **_device_entry(device)}
        metrics["latency"]["telemetry"] = tools.no_telemetry or [
            reading.as_dict() for reading in readings
        ]
        notes += device_doubts(readings, device.is_full)
    return Record(
        id=loaded.spec.id,
        target=target.as_dict(),
        metrics=metrics,
        notes=notes,
        seconds={
            "load": loaded.load_seconds,
            "forward": sum(warmup) + sum(wall) + (sum(device.samples) if device else 0.0),
        },
    )


def _unthrottled(
    forward: Callable[[], object],
    plan: SamplingPlan,
    after: Callable[[int], object] | None,
    tools: Instruments,
) -> tuple[LatencySeries, list[Reading]]:
    """A series during which the device did not throttle, and its state around it."""
    reasons: tuple[str, ...] = ()
    for _ in range(1 + MOST_RETRIES):
        first = tools.telemetry()
        series = sample_latency(forward, plan, after=after, before=tools.flush_and_wait)
        last = tools.telemetry()
        reasons = throttled_by(first, last)
        if not reasons:
            return series, [first, last]
    raise InconclusiveError(
        "throttled",
        f"the device lowered its clock in each of {1 + MOST_RETRIES} series of passes "
        f"({', '.join(reasons)}). Let it cool down, or give it more power",
    )


def _device_entry(device: DeviceSeries) -> dict[str, Any]:
    return {
        "samples": list(device.samples),
        "clock": "device",
        "bursts": device.bursts,
        "discarded": [list(reasons) for reasons in device.discarded],
        "queue_full": device.is_full,
        "stopped_by": device.stopped_by,
    }


def largest_batch(
    loaded: LoadedModel, instruments: Instruments | None = None
) -> tuple[LoadedModel, LargestBatch]:
    """The model with the largest batch that fits, see :mod:`archbench.measure.largest_batch`.

    Raises:
        ArchitectureError: its forward pass fails.
        NotMeasuredError: not even one image fits.
    """
    synchronize = (instruments.synchronize if instruments else None) or synchronizer(loaded.target)

    def run(tried: LoadedModel) -> float:
        with within_memory(tried.target), tried.running():
            # Eager, also where it is to be compiled: that takes no more memory than this.
            eager = replace(tried.target, runtime="eager")
            forward = Runner(replace(tried, target=eager), synchronize)
            start = time.perf_counter()
            forward()
            return time.perf_counter() - start

    try:
        return with_largest_batch(loaded, run)
    except NotMeasuredError:
        raise
    except orders_to_end():
        raise
    except (Exception, SystemExit) as error:
        raise failed_forward(loaded.spec, error) from error


def memory_record(loaded: LoadedModel, instruments: Instruments | None = None) -> Record:
    """Peak memory of a loaded model, in passes of its own.

    Raises:
        MemoryError, RuntimeError: memory ran out.
    """
    target = loaded.target
    synchronize = (instruments.synchronize if instruments else None) or synchronizer(target)
    with within_memory(target), forward_passes(loaded):
        forward = Runner(loaded, synchronize)
        forward()
        forward.output = None
        metrics = memory_metrics(target, loaded.module, forward.inputs, forward)
    return Record(id=loaded.spec.id, target=target.as_dict(), metrics=metrics)


def energy_record(
    loaded: LoadedModel,
    open_: Callable[[str, str | None], EnergyCounter] = open_counter,
    plan: WindowPlan | None = None,
) -> Record:
    """Energy per image and average power of a loaded model; absent, with the reason, without a
    counter.

    Args:
        loaded: the model.
        open_: gives the counter of a kind of device and a UUID.
        plan: of the window.
    """
    target = loaded.target
    with within_memory(target), forward_passes(loaded):
        try:
            counter = open_(target.kind, target.uuid)
            window = measure_energy(Runner(loaded, synchronizer(target)), counter, plan)
            metrics = energy_metrics(window, counter, target.batch_size)
        except AbsentError as error:
            metrics = absent_energy(str(error))
    return Record(id=loaded.spec.id, target=target.as_dict(), metrics=metrics)


NOISY_PRECISION = 0.05
"""A median known no better than this is not to be trusted."""

NOISY_LOST_SHARE = 0.10
"""Wall time during which this process did not run, as a share, above which others disturbed it."""


def _doubts(
    summary: Summary, wall: tuple[float, ...], cpu: tuple[float, ...], target: Target
) -> list[dict[str, str]]:
    """Why the samples may not deserve trust."""
    notes = []
    if summary.precision is not None and summary.precision > NOISY_PRECISION:
        notes.append(
            {
                "code": "noisy",
                "text": f"the median is known to {summary.precision:.0%} only",
            }
        )
    lost = 1 - sum(cpu) / sum(wall) if sum(wall) else 0.0
    # With several threads the processor time of a spinning thread hides what was lost, and whoever
    # waits for an accelerator loses nothing.
    if target.kind == "cpu" and target.threads == 1 and lost > NOISY_LOST_SHARE:
        notes.append(
            {"code": "disturbed", "text": f"the process did not run for {lost:.0%} of the time"}
        )
    return notes
