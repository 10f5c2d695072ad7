"""One side of a duet: a model that passes time when it is told to."""

from __future__ import annotations

import base64
import gc
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from archbench.core.errors import ArchbenchError, ArchitectureError, NotMeasuredError
from archbench.core.rounds import Burst
from archbench.core.spec import Target
from archbench.measure.cells import timed_counts
from archbench.measure.complexity import count_parameters
from archbench.measure.environment import fingerprint
from archbench.measure.hardware import synchronizer
from archbench.measure.latency import Clock
from archbench.measure.loading import LoadedModel, class_scores
from archbench.measure.memory_guard import is_out_of_memory, memory_guard
from archbench.measure.placement import relocate

__all__ = ["Partner", "seed_of", "undisturbed", "varied"]

WARMUP_PASSES, WARMUP_SECONDS, MOST_WARMUP = 3, 0.2, 1.0
"""Passes and seconds of warm-up at least; seconds after which one pass is enough."""

MOST_SCORES = 65_536
"""Class scores that are handed over for comparison: whole images, of at most so many numbers."""


def varied(target: Target, flags: Mapping[str, str]) -> Target:
    """A target with some flags changed."""
    changes: dict[str, Any] = {
        field: flags[name]
        for name, field in (
            ("dtype", "dtype"), ("runtime", "runtime"), ("memory-format", "memory_format")
        )
        if name in flags
    }  # fmt: skip
    if "batch-size" in flags:
        changes["batch_size"] = int(flags["batch-size"])
    return replace(target, **changes)


class Partner:
    """One side: its model, its images, and how it is timed.

    Args:
        loaded: the model.
        seed: of where it lies in memory.
        clock: of the process.

    Raises:
        ArchitectureError, NotMeasuredError, MemoryError, RuntimeError: see
            :func:`archbench.measure.cells.latency_record`.
    """

    def __init__(self, loaded: LoadedModel, seed: int, clock: Clock | None = None) -> None:
        self._loaded = loaded
        self._clock = clock or Clock()
        target = loaded.target
        torch.set_num_threads(target.threads)
        # An accelerator's runtime reserves address space far beyond what it uses.
        guard = memory_guard() if target.kind == "cpu" else nullcontext()
        with guard, self._named():
            module, images = loaded.module, loaded.images()
            self._chance = random.Random(seed)
            self._move()
            if target.memory_format == "nhwc":
                module = module.to(memory_format=torch.channels_last)
                images = images.to(memory_format=torch.channels_last)
            self._images = images
            self._module: Callable[[Tensor], Any] = (
                torch.compile(module) if target.runtime == "compiled" else module
            )
            self._synchronize = synchronizer(target)
            if target.kind == "cuda":
                torch.cuda.reset_peak_memory_stats(target.device)
            self._output = self._warm_up()
            self._scores = class_scores(loaded.spec, self._output, target.batch_size)
        if not bool(torch.isfinite(self._scores).all()):
            raise NotMeasuredError(
                "output-not-finite",
                f"{loaded.spec.id} returned scores that are not finite in {target.dtype}",
            )

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Failures of the network as an architecture's own."""
        try:
            yield
        except (KeyboardInterrupt, GeneratorExit, ArchbenchError):
            raise
        except BaseException as error:
            if is_out_of_memory(error):
                raise
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise ArchitectureError(
                f"{self._loaded.spec.id} failed in its forward pass: {type(error).__name__}: "
                f"{lines[0]}"
            ) from error

    def _move(self) -> None:
        """To another place in memory, which is worth up to a tenth of a model's time."""
        if self._loaded.target.kind == "cpu":
            relocate(self._loaded.module, self._chance.randrange(2**31))

    def _pass(self) -> Any:
        output = self._module(self._images)
        if self._synchronize is not None:
            self._synchronize()
        return output

    def _warm_up(self) -> Any:
        start = self._clock.wall()
        passes = 0
        with torch.inference_mode():
            while True:
                output = self._pass()
                passes += 1
                spent = (self._clock.wall() - start) / 1e9
                enough = passes >= WARMUP_PASSES and spent >= WARMUP_SECONDS
                if enough or spent >= MOST_WARMUP:
                    return output

    def facts(self, *, exact: bool) -> dict[str, Any]:
        """What the side says about its model, in builtin types.

        Args:
            exact: whether counts and class scores are wanted, which take a moment.
        """
        spec, target = self._loaded.spec, self._loaded.target
        facts: dict[str, Any] = {
            "id": spec.id,
            "target": target.as_dict(),
            "kind": target.kind,
            "batch_size": target.batch_size,
        }
        if not exact:
            return facts
        params, _ = count_parameters(self._loaded.module)
        facts["counts"] = {
            "params": params,
            **(timed_counts(spec) or {}),
            "output_shape": [1, *self._scores.shape[1:]],  # of one image, as counts are
        }
        if target.kind == "cuda":
            facts["counts"]["peak_memory"] = torch.cuda.max_memory_allocated(target.device)
        classes = max(self._scores.shape[1], 1)
        some = self._scores[: max(MOST_SCORES // classes, 1)]
        facts["scores"] = {
            "shape": list(some.shape),
            "fp32": base64.b64encode(some.float().cpu().contiguous().numpy().tobytes()).decode(),
        }
        facts["environment"] = fingerprint(target, spec.library)
        return facts

    def burst(self, seconds: float, move: bool = False) -> Burst:
        """Passes until so much time has gone by, one at least.

        Args:
            seconds: of the burst.
            move: whether the model goes to another place in memory before.

        Raises:
            ArchitectureError, MemoryError, RuntimeError: the network fails.
        """
        if move:
            self._move()
            with torch.inference_mode(), self._named():
                self._pass()
        wall, cpu = self._clock.wall, self._clock.cpu
        walls: list[int] = []
        cpus: list[int] = []
        timer = _DeviceTimer(self._loaded.target) if self._loaded.target.kind == "cuda" else None
        waited = _waited()
        end = wall() + round(seconds * 1e9)
        with torch.inference_mode(), self._named():
            while True:
                cpu_before = cpu()
                before = wall()
                if timer is not None:
                    timer.start()
                output = self._module(self._images)
                if timer is not None:
                    timer.stop()
                if self._synchronize is not None:
                    self._synchronize()
                done = wall()
                cpus.append(cpu() - cpu_before)
                walls.append(done - before)
                del output
                if done >= end:
                    break
        now = _waited()
        return Burst(
            tuple(value / 1e9 for value in walls),
            tuple(value / 1e9 for value in cpus),
            timer.seconds() if timer is not None else (),
            now - waited if now is not None and waited is not None else None,
        )

    def modules(self, passes: int) -> dict[str, dict[str, Any]]:
        """Seconds of each module's own code in one pass: what its children take is theirs.

        Args:
            passes: of which the fastest is taken, module by module.

        Returns:
            Module name to ``{"type", "seconds"}``; a module that did not run has none.
        """
        root = self._loaded.module
        # What a device does, the process sees as waiting.
        is_behind = self._synchronize is not None
        clock = self._clock.wall if is_behind else self._clock.cpu
        with torch.inference_mode(), self._named():
            best: dict[str, float] = {}
            for _ in range(passes):
                with _Attribution(root, clock, self._synchronize) as attribution:
                    root(self._images)
                for name, spent in attribution.own.items():
                    best[name] = min(best.get(name, spent), spent)
        types = {name: type(module).__name__ for name, module in root.named_modules()}
        return {name: {"type": types[name], "seconds": spent / 1e9} for name, spent in best.items()}


class _DeviceTimer:
    """Device seconds of each pass, by events."""

    def __init__(self, target: Target) -> None:
        self._stream = torch.cuda.current_stream(target.device)
        self._events: list[tuple[Any, Any]] = []

    def start(self) -> None:
        pair = tuple(_event() for _ in range(2))
        self._events.append((pair[0], pair[1]))
        pair[0].record(self._stream)

    def stop(self) -> None:
        self._events[-1][1].record(self._stream)

    def seconds(self) -> tuple[float, ...]:
        return tuple(begin.elapsed_time(end) / 1e3 for begin, end in self._events)


def _event() -> Any:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def _waited(path: Path = Path("/proc/self/schedstat")) -> float | None:
    """Seconds that the main thread was ready to run and did not; None where the kernel is silent.

    The second number of the file is the time on a run queue, in nanoseconds
    (Documentation/scheduler/sched-stats.rst of the Linux kernel).
    """
    try:
        return int(path.read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None


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
        for name, module in self._root.named_modules():
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


@contextmanager
def undisturbed() -> Iterator[None]:
    """Without the garbage collector, whose passes are nobody's."""
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def seed_of(seed: int, cell: str) -> int:
    """A seed for one cell of a launch."""
    return random.Random(f"{seed} {cell}").randrange(2**31)
