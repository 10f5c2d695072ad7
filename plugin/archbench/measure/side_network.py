"""The network of one side of a paired comparison, which runs bursts of passes on its turns."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from archbench.core.agreement import METRIC
from archbench.core.differences import ModuleTime
from archbench.core.entries import Count, MetricEntry
from archbench.core.errors import AbsentError
from archbench.core.rounds import Burst
from archbench.core.run_config import axes
from archbench.core.side_facts import Scores, SideFacts
from archbench.core.spec import Target
from archbench.core.telemetry import TelemetrySample
from archbench.devices.choosing import Device
from archbench.measure.conditions import timing_environment
from archbench.measure.counts import side_counts
from archbench.measure.device_time import BurstPlan, PassQueue
from archbench.measure.hardware import check_config
from archbench.measure.instruments import Instruments
from archbench.measure.latency import Clock, undisturbed
from archbench.measure.memory import memory_metrics, memory_of_engine
from archbench.measure.output import agreement_of
from archbench.measure.parameters import count_parameters
from archbench.measure.running import Runner, forward_passes, refuse_not_finite, within_memory
from archbench.models.loading import LoadedModel
from archbench.models.outputs import class_scores
from archbench.models.parameters import hookable
from archbench.models.placement import relocate
from archbench.runtimes.own import runtime_named
from archbench.store.waiting import waited_for_a_core

__all__ = ["SideNetwork", "seed_of", "undisturbed", "varied"]

WARMUP_PASSES, WARMUP_SECONDS, MOST_WARMUP = 3, 0.2, 1.0
"""Passes and seconds of warm-up at least; seconds after which one pass is enough."""

MOST_SCORES = 65_536
"""Class scores that are handed over for comparison: whole images, of at most so many numbers."""

DEVICE_SECONDS = 0.02
"""Of a device's work in the part of a burst that is timed by its own clock, about."""


def varied(target: Target, flags: Mapping[str, str]) -> Target:
    """A target with some flags changed, on the same device.

    Args:
        target: as the candidate has it.
        flags: of :func:`archbench.workers.references.flags`, by name; what is not a target's is
            left alone.

    Raises:
        UsageError: the device cannot run it like that; has the reason.
    """
    changes = {
        one.name: int(flags[one.option]) if isinstance(one.usual, int) else flags[one.option]
        for one in axes()
        if one.option in flags
    }
    other = target.with_values(changes)
    check_config(Device(target.device, target.device_name, target.uuid), other.config)
    return other


class SideNetwork:
    """A side's model, its images, and how it is timed.

    It runs its passes as a measurement of its own does (:mod:`archbench.measure.cells`). Another
    side of other precision may live in the same process: torch's switches are set for each burst,
    and are left as they were.

    Args:
        loaded: the model.
        seed: of where it lies in memory.
        clock: of the process.
        instruments: what measures beside it; the device's own by default.

    Raises:
        ArchitectureError, NotMeasuredError, MemoryError, RuntimeError: see
            :func:`archbench.measure.cells.latency_record`.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        seed: int,
        clock: Clock | None = None,
        instruments: Instruments | None = None,
    ) -> None:
        self._loaded = loaded
        self._clock = clock or Clock()
        self._chance = random.Random(seed)
        self._is_engine = runtime_named(loaded.target.runtime).is_engine
        target = loaded.target
        with within_memory(target):
            self._move()
            with forward_passes(self._loaded):
                self._tools = instruments or Instruments.of(
                    loaded.device, cold_cache=target.cold_cache
                )
                self._forward = Runner(loaded, self._tools.synchronize)
                self._warm_up()
                self._queue = None
                if self._tools.clock is not None:
                    plan = BurstPlan(burst_seconds=DEVICE_SECONDS)
                    forward = self._forward
                    self._queue = PassQueue(
                        forward.launch,
                        self._tools.clock,
                        plan,
                        forward.before(self._tools.flush, waits=False),
                        in_parts=forward.in_parts,
                    )
            output = self._forward.output
            self._scores = class_scores(loaded.spec, output, target.images)
        refuse_not_finite(loaded, self._scores)

    def _move(self) -> None:
        """To another place in memory, which is worth up to a tenth of a model's time.

        Outside of inference mode: what is made there is another kind of tensor to torch's
        compiler, which would compile again.
        """
        if self._loaded.target.is_host and not self._is_engine:
            relocate(self._loaded.module, self._chance.randrange(2**31))

    def _warm_up(self) -> None:
        start = self._clock.wall()
        passes = 0
        while True:
            self._forward()
            passes += 1
            spent = (self._clock.wall() - start) / 1e9
            enough = passes >= WARMUP_PASSES and spent >= WARMUP_SECONDS
            if enough or spent >= MOST_WARMUP:
                return

    def facts(self, *, exact: bool, alone: bool = True) -> SideFacts:
        """What the side says about its model.

        Args:
            exact: whether counts, class scores and what running it takes are wanted, which take a
                moment.
            alone: whether no other model is in this process. On an accelerator the peak of memory
                is of all of them, and is left out.

        Raises:
            ArchitectureError, MemoryError, RuntimeError: the network fails.
        """
        spec, target = self._loaded.spec, self._loaded.target
        has_clock = self._tools.clock is not None
        silent = self._tools.no_telemetry if has_clock else None
        facts = SideFacts(spec.id, target, has_clock, silent)
        if not exact:
            return facts
        counts: dict[str, Count] = {
            **(side_counts(self._loaded) or {"params": count_parameters(self._loaded.module)[0]}),
            "output_shape": [1, *self._scores.shape[1:]],  # of one image, as counts are
        }
        metrics = {**self._forward.metrics, **self._output()}
        if alone or target.is_host:
            metrics.update(self._memory())
            peak = metrics["peak_memory"].get("value")
            if isinstance(peak, int):
                counts["peak_memory"] = peak
        classes = max(self._scores.shape[1], 1)
        some = self._scores[: max(MOST_SCORES // classes, 1)]
        return replace(
            facts,
            notes=tuple(self._loaded.notes),
            counts=counts,
            metrics=metrics,
            scores=Scores.of(some.shape, some.float().cpu().contiguous().numpy().tobytes()),
            environment=timing_environment(target, spec.library),
        )

    def _output(self) -> dict[str, MetricEntry]:
        """How far its runtime is from eager fp32."""
        run = self._forward.prepared.run
        if run is None:
            return {}
        try:
            with forward_passes(self._loaded):
                return agreement_of(self._loaded, run).metrics()
        except AbsentError as error:
            return {METRIC: {"absent": str(error)}}

    def _memory(self) -> dict[str, MetricEntry]:
        """Peak memory, in a pass of its own."""
        forward = self._forward
        with forward_passes(self._loaded):
            if self._is_engine:
                return memory_of_engine(self._loaded.device, forward)
            metrics = memory_metrics(
                self._loaded.device,
                self._loaded.module,
                forward.inputs,
                forward.with_its_memory(),
            )
            # What the framework gave back it takes again, before anything is timed.
            forward()
        return metrics

    def burst(self, seconds: float, move: bool = False) -> Burst:
        """Passes until so much time has gone by, one at least.

        On an accelerator passes on its own clock follow, see
        :mod:`archbench.measure.device_time`, and its state is read before and after all of them.

        Args:
            seconds: of the burst.
            move: whether the model goes to another place in memory before.

        Raises:
            ArchitectureError, MemoryError, RuntimeError: the network fails.
        """
        if move:
            self._move()
            with forward_passes(self._loaded):
                if self._is_engine:
                    self._forward.elsewhere()
                self._forward()
        with forward_passes(self._loaded):
            states: list[TelemetrySample] = []
            if self._queue is not None:
                # The other side may have kept the host busy and the device idle.
                self._forward()
                states.append(self._tools.telemetry())
            wall = self._clock.wall
            began, waited = wall(), waited_for_a_core()
            walls, cpus = self._passes(began + round(seconds * 1e9))
            device = self._queue.burst() if self._queue is not None else []
            now, ended = waited_for_a_core(), wall()
            if self._queue is not None:
                states.append(self._tools.telemetry())
        return Burst(
            tuple(value / 1e9 for value in walls),
            tuple(value / 1e9 for value in cpus),
            tuple(device),
            now - waited if now is not None and waited is not None else None,
            (ended - began) / 1e9,
            tuple(states),
            self._queue.is_full if self._queue is not None else None,
        )

    def _passes(self, end: int) -> tuple[list[int], list[int]]:
        """Nanoseconds of wall and of processor time of each pass until a moment."""
        wall, cpu = self._clock.wall, self._clock.cpu
        forward = self._forward
        flush = forward.before(self._tools.flush)
        walls: list[int] = []
        cpus: list[int] = []
        while True:
            if flush is not None:
                flush()
            cpu_before = cpu()
            before = wall()
            forward()
            done = wall()
            cpus.append(cpu() - cpu_before)
            walls.append(done - before)
            if done >= end:
                return walls, cpus

    def modules(self, passes: int) -> dict[str, ModuleTime]:
        """Seconds of each module's own code in one pass: what its children take is theirs.

        Operator by operator, whatever the side's runtime: what is compiled has no modules. Of an
        engine that has a profile of its own, the nodes of its graph.

        Args:
            passes: of which the fastest is taken, module by module.

        Returns:
            By the name of the module; one that did not run has none.
        """
        profile = self._forward.prepared.profile
        if profile is not None:
            with forward_passes(self._loaded):
                return profile(passes)
        root, synchronize = self._loaded.module, self._tools.synchronize
        # What a device does, the process sees as waiting.
        clock = self._clock.cpu if synchronize is None else self._clock.wall
        with forward_passes(self._loaded):
            best: dict[str, float] = {}
            for _ in range(passes):
                inputs = self._forward.fresh_inputs()
                with _Attribution(root, clock, synchronize) as attribution:
                    root(*inputs)
                for name, spent in attribution.own.items():
                    best[name] = min(best.get(name, spent), spent)
        types = {name: type(module).__name__ for name, module in root.named_modules()}
        return {name: ModuleTime(types[name], spent / 1e9) for name, spent in best.items()}


class _Attribution:
    """Time of each module's own code, by hooks around its forward pass."""

    def __init__(
        self,
        root: nn.Module,
        clock: Callable[[], int],
        synchronize: Callable[[], object] | None,
    ) -> None:
        self.own: dict[str, int] = {}
        self._clock = clock
        self._synchronize = synchronize
        self._open: list[tuple[str, int, int]] = []
        self._handles: list[Any] = []
        self._root = root

    def __enter__(self) -> _Attribution:
        for name, module in hookable(self._root):
            self._handles += [
                module.register_forward_pre_hook(self._enter(name)),
                module.register_forward_hook(self._leave),
            ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _now(self) -> int:
        if self._synchronize is not None:
            self._synchronize()
        return self._clock()

    def _enter(self, name: str) -> Callable[..., None]:
        def enter(module: nn.Module, arguments: Any) -> None:
            self._open.append((name, self._now(), 0))

        return enter

    def _leave(self, module: nn.Module, arguments: Any, output: Any) -> None:
        name, began, children = self._open.pop()
        total = self._now() - began
        # A module that runs several times in a pass adds up.
        self.own[name] = self.own.get(name, 0) + total - children
        if self._open:
            outer, outer_began, outer_children = self._open[-1]
            self._open[-1] = (outer, outer_began, outer_children + total)


def seed_of(seed: int, cell: str) -> int:
    """A seed for one cell of a process run."""
    return random.Random(f"{seed} {cell}").randrange(2**31)
