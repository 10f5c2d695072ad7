"""How a forward pass is run, as one protocol: a runtime is one class in one file."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from archbench.core.run_config import RunConfig
from archbench.core.spec import ModelSpec
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
        artefact: what the runtime made of the same network for the same configuration before.
        clock: seconds of a monotonic clock.
    """

    spec: ModelSpec
    module: Callable[..., object]
    inputs: tuple[Any, ...]
    device: Backend
    artefact: object = None
    clock: Callable[[], float] = time.perf_counter


@dataclass(frozen=True, slots=True)
class Prepared:
    """A network that is ready to be run.

    Attributes:
        start: starts a pass on the job's inputs and returns what it gives; it does not wait.
        metrics: what preparing it cost, as a record has them.
        artefact: to be used again where the same network is prepared anew.
        recompilations: how often it has been compiled anew since; None where it never is.
    """

    start: Callable[[], object]
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    artefact: object = None
    recompilations: Callable[[], int] | None = None


class Runtime:
    """A way of running networks.

    Attributes:
        name: in options and ids.
        follows_weights: whether a network whose weights have moved in memory runs with them there
            without being prepared anew.
        allocates_ahead: whether the memory of a pass is taken when it is prepared, so that the pass
            itself takes none.
    """

    name: ClassVar[str]
    follows_weights: ClassVar[bool] = False
    allocates_ahead: ClassVar[bool] = False

    def refuse(self, device: Device, backend: Backend, config: RunConfig) -> Refusal | None:
        """Why this cannot be run on a device; None where it can."""
        return None

    def prepare(self, job: Job) -> Prepared:
        """Make a network ready.

        Called inside the numerics of its target, see
        :meth:`archbench.models.loading.LoadedModel.running`.

        Raises:
            NotMeasuredError: it cannot be run like this; says why.
        """
        raise NotImplementedError

    def release(self) -> None:
        """Give back what is kept outside of networks."""
