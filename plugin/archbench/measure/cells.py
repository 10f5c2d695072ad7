"""One cell's measurements as records: builtin types, raw series, units, sources."""

from __future__ import annotations

import os
import time
import traceback
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import torch

import archbench
from archbench.core.complexity import Complexity, disagreement, layer_census
from archbench.core.errors import ArchbenchError, ArchitectureError, NotMeasuredError
from archbench.core.launches import COMPARED, Launch
from archbench.core.records import Record
from archbench.core.spec import ModelSpec, Target
from archbench.core.statistics import Summary, summarize
from archbench.core.verdicts import Verdict
from archbench.measure.complexity import count
from archbench.measure.environment import fingerprint, provenance
from archbench.measure.hardware import synchronizer
from archbench.measure.latency import LatencySeries, SamplingPlan, sample_latency
from archbench.measure.libraries import library_version
from archbench.measure.loading import LoadedModel, ModelHolder, class_scores
from archbench.measure.memory_guard import is_out_of_memory, memory_guard
from archbench.measure.neighbours import Neighbours
from archbench.measure.placement import relocate
from archbench.measure.yardstick import Yardstick

__all__ = [
    "complexity_record",
    "describe_failure",
    "latency_record",
    "load_guarded",
    "timed_counts",
]


def load_guarded(holder: ModelHolder, spec: ModelSpec, target: Target) -> LoadedModel:
    """Load a model within the memory there is."""
    with _within_memory(target):
        return holder.get(spec, target)


def _within_memory(target: Target) -> AbstractContextManager[None]:
    """An accelerator's runtime reserves address space far beyond what it uses: no guard there."""
    return memory_guard() if target.kind == "cpu" else nullcontext()


def complexity_record(spec: ModelSpec) -> tuple[Record, Complexity]:
    """Everything that is counted about an architecture, and the counts themselves.

    Raises:
        ArchitectureError: it cannot be built, or returns no class scores.
        NotMeasuredError: it cannot be counted.
    """
    start = time.perf_counter()
    complexity = count(spec)
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
                    "library": provenance(spec.library),
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


def timed_counts(spec: ModelSpec) -> dict[str, int] | None:
    """Params and MACs of what is timed, so that a time is known to be of the same network.

    None where it cannot be counted: that is the finding of another test.
    """
    try:
        complexity = count(spec, second_opinion=False)
    except ArchbenchError:
        return None
    return {"params": complexity.params, "macs": complexity.macs}


def latency_record(
    loaded: LoadedModel, plan: SamplingPlan, *, placements: int = 1, seed: int = 0
) -> Record:
    """Latency of a loaded model: raw wall and processor times of every sample.

    Args:
        loaded: the model.
        plan: when to stop; the placements share its time budget.
        placements: how many places in memory are tried, as far as the budget goes: the fastest is
            kept as the launch. More than one, and the yardstick beside them, are for launches that
            are compared with others.
        seed: of the places.

    Raises:
        ArchitectureError: the forward pass fails, or returns no class scores.
        NotMeasuredError: the scores are not finite, as when fp16 overflows.
        MemoryError, RuntimeError: memory ran out.
    """
    target = loaded.target
    torch.set_num_threads(target.threads)
    environment = fingerprint(target, loaded.spec.library)
    is_launch = placements > 1
    if not is_launch:
        environment["yardstick"] = None
    placed: list[tuple[LatencySeries, tuple[float, ...]]] = []
    with _within_memory(target):
        try:
            neighbours = Neighbours()
            for index in range(placements):
                spent = sum(series.elapsed for series, _ in placed)
                if index and spent + spent / index > plan.time_budget:
                    break
                if is_launch and target.kind == "cpu":
                    relocate(loaded.module, seed + index)
                yardstick = Yardstick() if is_launch and environment["yardstick"] else None
                with torch.inference_mode():
                    forward = _Forward(loaded)
                    series = sample_latency(
                        forward,
                        replace(plan, time_budget=plan.time_budget / placements),
                        after=yardstick.after if yardstick is not None else None,
                    )
                    if yardstick is not None:
                        yardstick.at_the_end()
                placed.append((series, tuple(yardstick.seconds) if yardstick is not None else ()))
            others = neighbours.share()
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            # An assertion or an exit in a network's code is no assertion of the test.
            if is_out_of_memory(error):
                raise
            raise ArchitectureError(
                f"{loaded.spec.id} failed in its forward pass: {type(error).__name__}: "
                f"{_first_line(error)}"
            ) from error
        scores = class_scores(loaded.spec, forward.output, target.batch_size)
        finite = bool(torch.isfinite(scores).all())
    if not finite:
        remedy = (
            "Look for a division by zero or an overflow in the model"
            if target.dtype == "fp32"
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
        Launch.of(series.wall, series.cpu, others, yardsticks) for series, yardsticks in placed
    ]
    fastest = min(launches, key=lambda one: one.at(COMPARED, environment["clock"]))
    summary = summarize(wall)
    common = {"unit": "s", "basis": "batch", "source": "measured"}
    return Record(
        id=loaded.spec.id,
        target=target.as_dict(),
        metrics={
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
        },
        notes=_doubts(summary, wall, cpu, target.threads),
        seconds={"load": loaded.load_seconds, "forward": sum(warmup) + sum(wall)},
    )


class _Forward:
    """One forward pass on images that are on the device already, until its result is there."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._module = loaded.module
        self._images = loaded.images()
        self._synchronize = synchronizer(loaded.target)
        self.output: object = None

    def __call__(self) -> None:
        self.output = self._module(self._images)
        if self._synchronize is not None:
            self._synchronize()


NOISY_PRECISION = 0.05
"""A median known no better than this is not to be trusted."""

NOISY_LOST_SHARE = 0.10
"""Wall time during which this process did not run, as a share, above which others disturbed it."""


def _doubts(
    summary: Summary, wall: tuple[float, ...], cpu: tuple[float, ...], threads: int
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
    # With several threads the processor time of a spinning thread hides what was lost.
    if threads == 1 and lost > NOISY_LOST_SHARE:
        notes.append(
            {"code": "disturbed", "text": f"the process did not run for {lost:.0%} of the time"}
        )
    return notes


def describe_failure(
    error: BaseException, metric: str, spec: ModelSpec, target: Target | None
) -> tuple[Record, str]:
    """What a failed measurement leaves: a record with its verdict, and the text for people.

    The text is free of archbench's own frames: the message, and for a constructor or a forward
    pass that failed the traceback of what they raised.
    """
    details = ""
    if is_out_of_memory(error):
        status, reason = "out-of-memory", "out-of-memory"
        where = f" at batch size {target.batch_size} in {target.dtype}" if target else ""
        sentence = (
            f"{spec.id} does not fit into memory{where}: {_first_line(error)}. "
            "Use a smaller --batch-size or leave the architecture out"
        )
    elif isinstance(error, NotMeasuredError):
        status, reason, sentence = "not-measured", error.reason, str(error)
        details = _own_traceback(error.__cause__)
    else:
        status, reason = "crashed", type(error).__name__
        is_ours = isinstance(error, ArchbenchError)
        cause = error.__cause__ if is_ours else error
        sentence = (
            str(error)
            if is_ours
            else f"{spec.id} failed: {type(error).__name__}: {_first_line(error)}"
        )
        details = _own_traceback(cause)
    verdict = Verdict(metric, status, reason, sentence)
    record = Record(
        id=spec.id,
        target=target.as_dict() if target else None,
        verdicts=[verdict.as_dict()],
    )
    return record, f"{status}: {sentence}{details}"


_NOT_THEIRS = tuple(f"{Path(str(module.__file__)).parent}{os.sep}" for module in (archbench, torch))


def _own_traceback(cause: BaseException | None) -> str:
    """Where the model's code failed, without the frames of archbench and torch around it."""
    if cause is None:
        return ""
    frames = traceback.extract_tb(cause.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith(_NOT_THEIRS)]
    lines = traceback.format_list(theirs or frames)
    lines += traceback.format_exception_only(type(cause), cause)
    return "\n\n" + "".join(lines)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
