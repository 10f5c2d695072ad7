"""How a forward pass is run, as one protocol: a runtime is one class in one file."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from archbench.core.differences import ModuleTime
from archbench.core.entries import MetricEntry
from archbench.core.forms import Json
from archbench.core.run_config import RunConfig
from archbench.core.spec import ModelSpec, Target
from archbench.core.verdicts import Note
from archbench.devices.backend import Backend
from archbench.devices.choosing import Device


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something cannot be run.

    Attributes:
        found: the reason.
        todo: what to use instead.
        beside: of the configuration that it does not go with: ``--dtype=int8``.
    """

    found: str
    todo: str = "Use --runtime=eager"
    beside: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """A network to be run.

    Attributes:
        spec: what it is.
        module: the network, on its device.
        inputs: a batch on the device: images, and further inputs where the network has some.
        device: that it is on.
        target: the same device, and how the network is run there.
        artefact: what the runtime made of the same network for the same configuration before.
        artefacts: directory of the files that runtimes make of networks.
        ranges: images ``(N, C, H, W)``, as a pass gets them, that an engine takes the ranges of
            int8 from; None where they are to be synthetic.
        clock: seconds of a monotonic clock.
    """

    spec: ModelSpec
    module: Callable[..., object]
    inputs: tuple[Any, ...]
    device: Backend
    target: Target
    artefact: object = None
    artefacts: Path | None = None
    ranges: Any = None
    clock: Callable[[], float] = time.perf_counter


@dataclass(frozen=True, slots=True)
class Nodes:
    """What an engine made of a graph.

    Attributes:
        executed: nodes that a pass runs.
        otherwise: how many of those run on another device, or in another precision, than was asked
            for, by what they are and how they run: ``{"Convolution f32": 3}``.
    """

    executed: int
    otherwise: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A network that is ready to be run.

    Attributes:
        start: starts a pass on the job's inputs and returns what it gives; it does not wait.
        metrics: what preparing it cost, as a record has them.
        artefact: to be used again where the same network is prepared anew.
        recompilations: how often it has been compiled anew since; None where it never is.
        read: what the network would have returned, from what a pass gave; None where that is it.
        run: a pass on other inputs of the same shapes, which returns what the network would; None
            where its passes are the network's own.
        settings: what the engine says that it does: threads, precision and the like.
        notes: what has to be said of it.
        deployed: what tells the memory and the time to load of a process that has nothing but the
            engine; None where it has none.
        profile: seconds of each operator in a pass, by the engine's own profile; None where it
            has none.
        nodes: what the engine made of the graph; None where it does not tell.
    """

    start: Callable[[], object]
    metrics: dict[str, MetricEntry] = field(default_factory=dict)
    artefact: object = None
    recompilations: Callable[[], int] | None = None
    read: Callable[[Any], object] | None = None
    run: Callable[[Sequence[Any]], object] | None = None
    settings: Mapping[str, Json] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    deployed: Callable[[], dict[str, MetricEntry]] | None = None
    profile: Callable[[int], dict[str, ModuleTime]] | None = None
    nodes: Callable[[], Nodes | None] | None = None


class Runtime:
    """A way of running networks.

    Attributes:
        name: in options and ids.
        follows_weights: whether a network whose weights have moved in memory runs with them there
            without being prepared anew.
        allocates_ahead: whether the memory of a pass is taken when it is prepared, so that the pass
            itself takes none.
        runs_operators: whether a pass calls torch's operators one by one, so that it can be cut
            between two of them.
        is_engine: whether it runs a copy of the network by itself: it holds memory that torch does
            not count, quantises by itself, and lies elsewhere in memory when it is opened anew.
        needs_stream: whether on a device its passes belong on a stream that is not the default one.
    """

    name: ClassVar[str]
    follows_weights: ClassVar[bool] = False
    allocates_ahead: ClassVar[bool] = False
    runs_operators: ClassVar[bool] = False
    is_engine: ClassVar[bool] = False
    needs_stream: ClassVar[bool] = False

    def refuse(self, device: Device, backend: Backend, config: RunConfig) -> Refusal | None:
        """Why this cannot be run on a device; None where it can."""
        return None

    def versions(self) -> dict[str, str]:
        """Versions of the packages that a time depends on beside torch."""
        return {}

    def prepare(self, job: Job) -> Prepared:
        """Make a network ready.

        Called inside the numerics of its target, see
        :meth:`archbench.models.loading.LoadedModel.running`.

        Raises:
            NotMeasuredError: it cannot be run like this; says why.
        """
        raise NotImplementedError

    def anew(self, artefact: object) -> object:
        """What of an artefact is of use where the same network is prepared elsewhere in memory."""
        return None

    def release(self) -> None:
        """Give back what is kept outside of networks."""
