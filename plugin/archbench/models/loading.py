"""From a :class:`ModelSpec` and a :class:`Target` to a model that is ready to run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from archbench.core.errors import ArchitectureError, NotMeasuredError
from archbench.core.spec import ModelSpec, Target
from archbench.core.verdicts import Note
from archbench.devices.backend import Backend
from archbench.devices.kinds import backend_of
from archbench.models.building import build_unfilled
from archbench.models.filling import fill_weights
from archbench.models.inputs import synthetic_inputs
from archbench.models.installed import require
from archbench.models.networks import OwnNetwork, construct, let_go
from archbench.models.numerics import numerics
from archbench.models.outputs import class_scores
from archbench.models.passes import GRADIENTS, threads
from archbench.models.quantizing import quantize
from archbench.models.requiring import collect, keep_for_good, times_kept
from archbench.models.trying import try_out
from archbench.runtimes.own import runtime_named

TORCH_DTYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "amp-fp16": torch.float32,
    "amp-bf16": torch.float32,
    "int8": torch.float32,
}
"""In what weights are loaded and images are given, by precision. Quantisation comes after
loading."""


@dataclass(slots=True)
class LoadedModel:
    """A model in evaluation mode on its device.

    Attributes:
        spec: what it is.
        target: where it is and how it is fed.
        changes_inputs: whether a pass was seen to change its inputs.
        module: the model.
        load_seconds: building and filling.
        network: as it was built, where it is a person's own.
        gradients: how its passes are run: ``inference`` (in inference mode), ``none`` (under
            ``no_grad``) or ``enabled``, where its forward pass needs more.
        notes: what has to be said of its figures: code and text.
        state: values of a person's own network, where they are not its constructor's.
        artefact: what the runtime has made of the model, once it has.
        artefacts: directory of the files that runtimes make of networks.
    """

    spec: ModelSpec
    target: Target
    module: nn.Module
    load_seconds: float
    network: OwnNetwork | None = None
    gradients: str = "inference"
    changes_inputs: bool = False
    notes: list[Note] = field(default_factory=list)
    state: Mapping[str, Tensor] | None = field(default=None, repr=False)
    artefact: object = None
    artefacts: Path | None = None

    @property
    def device(self) -> Backend:
        """That it is on."""
        return backend_of(self.target.device, self.target.uuid)

    @property
    def is_quantised_by_torch(self) -> bool:
        """Whether its weights are int8 in torch: an engine is given fp32 and quantises itself."""
        return _quantised_by_torch(self.target)

    @property
    def input_dtype(self) -> torch.dtype:
        """Of images: a person's own network runs in fp32 as it was built, in whatever precision."""
        if self.network is not None and self.target.dtype == "fp32":
            return self.network.input_dtype
        return TORCH_DTYPES[self.target.dtype]

    def inputs(self, seed: int = 0) -> tuple[Tensor, ...]:
        """A batch of synthetic inputs, as the target wants them: the images first."""
        return synthetic_inputs(
            self.spec,
            self.target.images,
            device=self.device.place,
            dtype=self.input_dtype,
            memory_format=torch_memory_format(self.target),
            seed=seed,
        )

    def images(self) -> Tensor:
        """A batch of synthetic images, as the target wants them."""
        return self.inputs()[0]

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Class scores ``(N, classes)`` of images ``(N, C, H, W)``."""
        with self.running():
            output = self.module(*inputs)
        return class_scores(self.spec, output, inputs[0].shape[0])

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """With what a person's own network imports and has set, see
        :meth:`archbench.models.networks.OwnNetwork.in_place`."""
        if self.network is None:
            yield
            return
        with self.network.in_place():
            self.place()
            yield

    def place(self) -> None:
        """Bring a person's own network to the target, unless it is there already: it is one network
        for all its targets."""
        assert self.network is not None
        # As it was built, or converted.
        dtype = None if self.target.dtype == "fp32" else TORCH_DTYPES[self.target.dtype]
        device, memory_format = torch.device(self.device.place), torch_memory_format(self.target)
        self.network.place(device, dtype, memory_format, self.state)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Whatever runs passes of the model inside does so as its target says: on its device, in
        its precision, with its threads, and without the gradients that it does not need."""
        with self.in_place(), self.computing(), GRADIENTS[self.gradients]():
            yield

    @contextmanager
    def computing(self) -> Iterator[None]:
        """On the target's device, in its precision and with its threads."""
        with (
            self.device.current(),
            self._stream(),
            numerics(self.target.dtype, self.device.place),
            self.target.held(),
            threads(self.target.threads),
        ):
            yield

    def _stream(self) -> AbstractContextManager[object]:
        needs_one = runtime_named(self.target.runtime).needs_stream
        return self.device.on_a_stream() if needs_one else nullcontext()

    def fed(self, batch_size: int) -> LoadedModel:
        """The same model, fed batches of another size."""
        return replace(self, target=replace(self.target, batch_size=batch_size), artefact=None)


def torch_memory_format(target: Target) -> torch.memory_format:
    """How images lie in memory, in torch's terms."""
    return torch.channels_last if target.memory_format == "nhwc" else torch.contiguous_format


def load(
    spec: ModelSpec,
    target: Target,
    network: OwnNetwork | None = None,
    state: Mapping[str, Tensor] | None = None,
    *,
    tried: bool = True,
    artefacts: Path | None = None,
) -> LoadedModel:
    """Bring an architecture to the target's device and precision.

    One of a library is built without its initialisation and filled. One of a person's own is what
    its constructor built; it is filled only where its values would make times lie.

    Args:
        spec: the architecture.
        target: where it is to be.
        network: as it was built, where it is a person's own and that has been done.
        state: other values for a person's own network than its constructor's, by name.
        tried: whether a person's own runs a first pass, which finds what it needs.
        artefacts: directory of the files that runtimes make of networks.

    Raises:
        ArchitectureError: the constructor failed or did not return a module; or the forward pass of
            a person's own fails.
        NotMeasuredError: it cannot be quantised.
        MemoryError, RuntimeError: the model does not fit into the device's memory.
    """
    start = time.perf_counter()
    if spec.is_own:
        loaded = _load_own(network or construct(spec), target, start, state, tried=tried)
        loaded.artefacts = artefacts
        return loaded
    module = build_unfilled(spec)
    loaded = LoadedModel(spec, target, module, 0.0, artefacts=artefacts)
    fill_weights(module, torch.device(loaded.device.place), TORCH_DTYPES[target.dtype])
    finish(loaded)
    loaded.load_seconds = time.perf_counter() - start
    return loaded


def finish(loaded: LoadedModel) -> None:
    """Make a library's network ready that has its values and is on its device: for evaluation, in
    its target's layout, and quantised where that is asked for.

    Raises:
        NotMeasuredError: it cannot be quantised.
    """
    module, target = loaded.module, loaded.target
    module.eval().requires_grad_(False)
    if target.memory_format == "nhwc":
        module.to(memory_format=torch.channels_last)
    if loaded.is_quantised_by_torch:
        with loaded.computing():
            loaded.module = quantize(loaded.spec, module, loaded.images())


def _load_own(
    network: OwnNetwork,
    target: Target,
    start: float,
    state: Mapping[str, Tensor] | None,
    *,
    tried: bool,
) -> LoadedModel:
    loaded = LoadedModel(network.spec, target, network.module, 0.0, network, state=state)
    with loaded.in_place(), loaded.computing():
        if tried:
            try_out(loaded)
    if loaded.is_quantised_by_torch:
        with loaded.in_place(), loaded.computing():
            loaded.module = quantize(network.spec, deepcopy(network.module), loaded.images())
    loaded.load_seconds = network.seconds + time.perf_counter() - start
    return loaded


class ModelHolder:
    """Keeps the one model that is loaded, and frees it before the next.

    Cells that differ only in batch size share the model. A network of a person's own is built once
    for all its cells, its count included; what failed to build is not tried again.

    Args:
        tried, artefacts: see :func:`load`.
    """

    def __init__(self, *, tried: bool = True, artefacts: Path | None = None) -> None:
        self._tried = tried
        self._artefacts = artefacts
        self._loaded: LoadedModel | None = None
        self._network: OwnNetwork | None = None
        self._failures: list[tuple[ModelSpec, Exception]] = []
        self._libraries: set[str] = set()
        self._since = times_kept()

    def network(self, spec: ModelSpec) -> OwnNetwork:
        """A person's own network, built unless it is the one that is held.

        Raises:
            ArchitectureError, NotMeasuredError: see
                :func:`archbench.models.networks.construct`; the same again for a network that
                failed before.
        """
        # No name here for what is held: it would keep it while the next one is built.
        if self._network is not None and self._network.spec.is_same_network(spec):
            return self._network
        for failed, error in self._failures:
            if failed.is_same_network(spec):
                raise error
        self.free()
        self._import(spec)
        try:
            self._network = construct(spec)
        except (ArchitectureError, NotMeasuredError) as error:
            self._failures.append((spec, let_go(error)))
            raise
        return self._network

    def get(self, spec: ModelSpec, target: Target) -> LoadedModel:
        """The model, loaded unless it is the one that is held."""
        if (
            self._loaded is not None
            and self._loaded.spec.is_same_network(spec)
            and _same_model(self._loaded.target, target)
        ):
            return replace(self._loaded, target=target, artefact=None)
        network = self.network(spec) if spec.is_own else None
        self._let_go(keeping=network)
        self._import(spec)
        self._loaded = load(spec, target, network, tried=self._tried, artefacts=self._artefacts)
        return self._loaded

    def forget(self, spec: ModelSpec) -> None:
        """Build a network anew when it is next asked for, one that failed before as well."""
        self._failures = [one for one in self._failures if not one[0].is_same_network(spec)]
        if self._network is not None and self._network.spec.is_same_network(spec):
            self.free()

    def _import(self, spec: ModelSpec) -> None:
        if spec.library in self._libraries:
            return
        require(spec)
        self._libraries.add(spec.library)
        keep_for_good()
        if self._network is None:
            self._since = times_kept()

    def free(self) -> None:
        """Let the model go, with the device memory that it holds."""
        self._let_go(keeping=None)

    def _let_go(self, keeping: OwnNetwork | None) -> None:
        device = self._loaded.device if self._loaded is not None else None
        lets_go = device is not None or self._network is not keeping
        self._loaded = None
        if self._network is not keeping:
            self._network = None
        if lets_go:
            collect(self._since)
        if self._network is None:
            self._since = times_kept()
        if device is not None:
            free_cached(device)


def free_cached(device: Backend) -> None:
    """Give a device what the framework keeps of its memory without using it.

    After an error that leaves the device unusable this does nothing, since nothing would help.
    """
    with contextlib.suppress(RuntimeError):
        device.empty_cache()


def _quantised_by_torch(target: Target) -> bool:
    return target.dtype == "int8" and not runtime_named(target.runtime).is_engine


def _same_model(one: Target, other: Target) -> bool:
    return (one.device, one.dtype, one.memory_format, _quantised_by_torch(one)) == (
        other.device,
        other.dtype,
        other.memory_format,
        _quantised_by_torch(other),
    )
