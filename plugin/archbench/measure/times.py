"""The times of a cell as a record: every sample, what measured it, and what there is to doubt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from archbench.core.entries import MetricEntry
from archbench.core.errors import InconclusiveError
from archbench.core.process_runs import COMPARED, ProcessRun
from archbench.core.records import Record
from archbench.core.spec import Target
from archbench.core.statistics import Summary, summarize
from archbench.core.telemetry import TelemetrySample, device_doubts, throttled_by
from archbench.core.verdicts import Note
from archbench.measure.background_load import BackgroundLoad
from archbench.measure.conditions import timing_environment
from archbench.measure.device_time import BurstPlan, DeviceSeries, sample_device_time
from archbench.measure.instruments import Instruments
from archbench.measure.latency import LatencySeries, SamplingPlan, sample_latency
from archbench.measure.reference_workload import ReferenceWorkload
from archbench.measure.running import Runner, forward_passes, refuse_not_finite, within_memory
from archbench.models.loading import LoadedModel
from archbench.models.outputs import every_exit
from archbench.models.placement import relocate
from archbench.runtimes.own import runtime_named

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
            kept as the process run. More than one, and the reference workload beside them, are for
            process runs that are compared with others.
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
    environment = timing_environment(target, loaded.spec.library)
    if placements == 1:
        environment["reference_workload"] = None
    with within_memory(target):
        with forward_passes(loaded):
            tools = instruments or Instruments.of(loaded.device, cold_cache=target.cold_cache)
            timed = _Timed(
                loaded, tools, plan, has_reference=bool(environment["reference_workload"])
            )
            timed.sample(placements, seed)
            timed.sample_device()
        _refuse_what_is_not_finite(loaded, timed.forward.output)
    return Record(
        id=loaded.spec.id,
        target=target,
        metrics=timed.metrics(environment),
        notes=[*loaded.notes, *timed.doubts()],
        seconds={"load": loaded.load_seconds, "forward": timed.seconds},
    )


@dataclass(slots=True)
class _Timed:
    """Times of a model at some places in memory."""

    loaded: LoadedModel
    tools: Instruments
    plan: SamplingPlan
    has_reference: bool
    forward: Runner = field(init=False)
    placed: list[tuple[LatencySeries, tuple[float, ...]]] = field(default_factory=list)
    device: DeviceSeries | None = None
    telemetry: list[TelemetrySample] = field(default_factory=list)
    others: float = 0.0

    def sample(self, placements: int, seed: int) -> None:
        """By the host's clocks, at each place; the plan's time is shared with the device's."""
        target, tools, plan = self.loaded.target, self.tools, self.plan
        share = placements if tools.clock is None else 2 * placements
        can_move = target.is_host and runtime_named(target.runtime).follows_weights
        background = BackgroundLoad()
        self.forward = Runner(self.loaded, tools.synchronize)
        for index in range(placements):
            spent = sum(series.elapsed for series, _ in self.placed)
            if index and spent + spent / index > plan.time_budget:
                break
            if placements > 1 and can_move:
                relocate(self.loaded.module, seed + index)
                self.forward = Runner(self.loaded, tools.synchronize)  # images elsewhere, too
            reference = ReferenceWorkload() if self.has_reference else None
            series = self._unthrottled(
                replace(plan, time_budget=plan.time_budget / share),
                reference.after if reference is not None else None,
            )
            if reference is not None:
                reference.at_the_end()
            self.placed.append((series, tuple(reference.seconds) if reference is not None else ()))
        self.others = background.share()

    def _unthrottled(
        self, plan: SamplingPlan, after: Callable[[int], object] | None
    ) -> LatencySeries:
        """A series during which the device did not throttle; its state around it is kept."""
        reasons: tuple[str, ...] = ()
        for _ in range(1 + MOST_RETRIES):
            first = self.tools.telemetry()
            series = sample_latency(
                self.forward,
                plan,
                after=after,
                before=self.forward.before(self.tools.flush),
            )
            last = self.tools.telemetry()
            reasons = throttled_by(first, last)
            if not reasons:
                self.telemetry += [first, last]
                return series
        raise InconclusiveError(
            "throttled",
            f"the device lowered its clock in each of {1 + MOST_RETRIES} series of passes "
            f"({', '.join(reasons)}). Let it cool down, or give it more power",
        )

    def sample_device(self) -> None:
        """By the device's own clock, where it has one."""
        if self.tools.clock is None:
            return
        self.device = sample_device_time(
            self.forward.launch,
            self.tools.clock,
            BurstPlan(time_budget=self.plan.time_budget / 2, precision=self.plan.precision),
            self.tools.telemetry,
            self.forward.before(self.tools.flush, waits=False),
            in_parts=self.forward.in_parts,
        )
        self.telemetry += self.device.telemetry

    def _all(self, name: str) -> tuple[float, ...]:
        return tuple(value for series, _ in self.placed for value in getattr(series, name))

    @property
    def seconds(self) -> float:
        """Of all passes."""
        device = sum(self.device.samples) if self.device else 0.0
        return sum(self._all("warmup")) + sum(self._all("wall")) + device

    def _fastest(self, clock: str) -> ProcessRun:
        process_runs = [
            ProcessRun.of(
                series.wall, series.cpu, self.others, references,
                is_waiting=not self.loaded.target.is_host,
            )
            for series, references in self.placed
        ]  # fmt: skip
        fastest = min(process_runs, key=lambda one: one.at(COMPARED, clock))
        if self.device is None:
            return fastest
        return fastest.with_device(self.device.samples, self.device.is_full)

    def metrics(self, environment: dict[str, str | int | None]) -> dict[str, MetricEntry]:
        """As a record has them."""
        common: MetricEntry = {"unit": "s", "basis": "batch", "source": "measured"}
        settings = self.forward.prepared.settings
        metrics: dict[str, MetricEntry] = {
            "latency": {
                **common,
                "samples": list(self._all("wall")),
                "clock": "wall",
                "warmup": list(self._all("warmup")),
                "stopped_by": self.placed[0][0].stopped_by,
                "process_runs": [self._fastest(str(environment["clock"]))],
                "environment": environment,
                **({"engine": dict(settings)} if settings else {}),
            },
            "cpu_time": {**common, "samples": list(self._all("cpu")), "clock": "process"},
            **self.forward.metrics,
        }
        recompilations = self.forward.recompilations()
        if recompilations is not None:
            metrics["recompilations"] = {
                "value": recompilations, "unit": "1", "source": "measured"
            }  # fmt: skip
        if self.device is not None:
            metrics["device_time"] = {**common, **_device_entry(self.device)}
            metrics["latency"]["telemetry"] = self.tools.no_telemetry or self.telemetry
        return metrics

    def doubts(self) -> list[Note]:
        """Why the samples may not deserve trust."""
        wall, cpu = self._all("wall"), self._all("cpu")
        notes = _doubts(summarize(wall), wall, cpu, self.loaded.target)
        notes += self.forward.prepared.notes
        again = self.forward.recompilations()
        if again:
            text = f"it was compiled anew {again} times after its first pass: it changes what its "
            text += "compiled code depends on, and such a pass takes as long as compiling it"
            notes.append(Note("recompiled", text))
        if self.device is not None:
            notes += device_doubts(self.telemetry, self.device.is_full)
        return notes


def _refuse_what_is_not_finite(loaded: LoadedModel, output: object) -> None:
    remedy = (
        "Look for a division by zero or an overflow in the model"
        if loaded.target.dtype in ("fp32", "tf32")
        else "Use --dtype=fp32 or bf16"
    )
    for scores in every_exit(loaded.spec, output, loaded.target.images):
        refuse_not_finite(loaded, scores, f"; the time of such a run means nothing. {remedy}")


def _device_entry(device: DeviceSeries) -> MetricEntry:
    return {
        "samples": list(device.samples),
        "clock": "device",
        "bursts": device.bursts,
        "discarded": [list(reasons) for reasons in device.discarded],
        "queue_full": device.is_full,
        "parts": device.parts,
        "stopped_by": device.stopped_by,
    }


NOISY_PRECISION = 0.05
"""A median known no better than this is not to be trusted."""

NOISY_LOST_SHARE = 0.10
"""Wall time during which this process did not run, as a share, above which others disturbed it."""


def _doubts(
    summary: Summary, wall: tuple[float, ...], cpu: tuple[float, ...], target: Target
) -> list[Note]:
    """Why the samples may not deserve trust."""
    notes = []
    if summary.precision is not None and summary.precision > NOISY_PRECISION:
        notes.append(Note("noisy", f"the median is known to {summary.precision:.0%} only"))
    lost = 1 - sum(cpu) / sum(wall) if sum(wall) else 0.0
    # With several threads the processor time of a spinning thread hides what was lost, and whoever
    # waits for an accelerator loses nothing.
    if target.is_host and target.threads == 1 and lost > NOISY_LOST_SHARE:
        notes.append(Note("disturbed", f"the process did not run for {lost:.0%} of the time"))
    return notes
