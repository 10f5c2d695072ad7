"""Networks of a person's own, built as their constructors build them, once, and kept like that."""

from __future__ import annotations

import contextlib
import random
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from archbench.core.complexity import Complexity
from archbench.core.errors import (
    ArchitectureError,
    NotMeasuredError,
    chain_of,
    first_line,
    is_out_of_memory,
    named,
    orders_to_end,
    raised_as,
    some,
    text_of,
)
from archbench.core.spec import ModelSpec, OwnSource
from archbench.models.arguments import check_arguments, refused_argument
from archbench.models.built import Built, hold, places_of
from archbench.models.importing import OwnModules, import_source, own_modules
from archbench.models.inputs import synthetic_inputs
from archbench.models.onnx_graph import graph_metrics
from archbench.models.passes import run_first
from archbench.models.process_state import Changes, contained
from archbench.models.storages import write

SEED = 0
"""Of the random numbers of torch, NumPy and Python while a network is built: it has the same values
in every process, so that outputs can be compared."""


_WRAPPED = "Name a function that returns the network itself"


def construction_named(spec: ModelSpec) -> contextlib.AbstractContextManager[None]:
    """What a constructor raises becomes an error of its architecture.

    An exit of the interpreter is a failure of the network like any other. What is no error of the
    network's, such as a test's time-out or Ctrl-C, is passed on.

    Raises:
        ArchitectureError: the constructor failed; its exception is chained.
        MemoryError, RuntimeError: it ran out of memory.
    """

    def failed(error: BaseException) -> ArchitectureError:
        cause = refused_argument(error, dict(spec.kwargs))
        cause = cause or f"{type(error).__name__}: {text_of(error)}".removesuffix(": ")
        return ArchitectureError(f"{spec.id} cannot be built: {cause}")

    return raised_as(failed, passed=(ArchitectureError, NotMeasuredError))


@dataclass(slots=True, eq=False)
class OwnNetwork:
    """One network as its constructor has built it, in evaluation mode.

    Attributes:
        spec: what it is.
        module: the network; on the device and in the precisions that it was built in, unless
            :meth:`place` has moved it.
        seconds: importing and building.
        changes: what its code has changed in the process, see
            :mod:`archbench.models.process_state`.
        built: what its constructor has left.
        filled: what to say of values that it was given since it had no usable ones; empty where it
            has its own.
        counted: what counting it gave, by whether there is a second opinion; the error where it
            failed.
    """

    spec: ModelSpec
    module: nn.Module
    seconds: float
    changes: Changes
    built: Built
    filled: str = ""
    counted: dict[bool, Complexity | Exception] = field(default_factory=dict)
    _input_dtype: torch.dtype | None = None
    _modules: OwnModules | None = None
    _placed: tuple[Any, ...] | None = None
    _state: Mapping[str, Tensor] | None = None
    _kept: list[Callable[[], None]] = field(default_factory=list)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """With what its code imports and has set; the process is put back afterwards."""
        modules = self._modules
        with contained(self.changes), modules.in_place() if modules else contextlib.nullcontext():
            yield

    @contextlib.contextmanager
    def as_built(self) -> Iterator[None]:
        """Inside, the network is as its constructor left it, whatever was done with it since."""
        now = places_of(self.module)
        for restore in self._kept:
            restore()
        try:
            with self.built.restored():
                yield
        finally:
            hold(now)
            if self._state is not None:
                self.module.load_state_dict(self._state, strict=False)

    @property
    def own_dtype(self) -> torch.dtype:
        """The precision of most of its numbers; fp32 where it has none."""
        elements: dict[torch.dtype, int] = {}
        for tensor in (*self.module.parameters(), *self.module.buffers()):
            if tensor.is_floating_point():
                elements[tensor.dtype] = elements.get(tensor.dtype, 0) + tensor.numel()
        return max(elements, key=lambda dtype: elements[dtype]) if elements else torch.float32

    @property
    def input_dtype(self) -> torch.dtype:
        """Of images for the network as it was built: the precision that it is in. Where its code
        casts, or layers are of several precisions, the first in which a pass runs."""
        if self._input_dtype is None:
            with self.in_place(), self.as_built():
                self._input_dtype = self._found_input_dtype()
        return self._input_dtype

    def _found_input_dtype(self) -> torch.dtype:
        tensors = (*self.module.parameters(), *self.module.buffers())
        own, others = self.own_dtype, {one.dtype for one in tensors if one.is_floating_point()}
        candidates = [own, *sorted({*others, torch.float32} - {own}, key=str, reverse=True)]
        for dtype in candidates if len(candidates) > 1 else ():
            inputs = self._inputs(1, dtype)
            with contextlib.suppress(ArchitectureError):
                run_first(self.spec, lambda: self.module(*inputs))  # noqa: B023
                return dtype
        return own

    def inputs(self, batch_size: int = 1, seed: int = 0) -> tuple[Tensor, ...]:
        """Synthetic inputs where the network is, in the precision that it is built in."""
        return self._inputs(batch_size, self.input_dtype, seed)

    def _inputs(self, batch_size: int, dtype: torch.dtype, seed: int = 0) -> tuple[Tensor, ...]:
        first = next(iter(self.module.parameters()), None)
        device = torch.device("cpu") if first is None else first.device
        return synthetic_inputs(self.spec, batch_size, device=device, dtype=dtype, seed=seed)

    def place(
        self,
        device: torch.device,
        dtype: torch.dtype | None,
        memory_format: torch.memory_format,
        state: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Move the network, as far as it is not there already.

        Args:
            device: to which.
            dtype: of its floating-point tensors; None to leave them as they are.
            memory_format: of its tensors of four dimensions.
            state: other values for its tensors, by name; those that it was built with if None.
        """
        wanted = (device, dtype, memory_format, id(state))
        if self._placed == wanted:
            return
        self.put_back()
        if dtype == self.own_dtype:
            dtype = None  # one of another precision among them is meant
        tensors = [*self.module.parameters(), *self.module.buffers()]
        is_there = all(tensor.device == device for tensor in tensors)
        moves = not is_there or dtype is not None or memory_format is not torch.contiguous_format
        if moves or state is not None:
            self._keep(values=state is not None)
        if state is not None:
            self.module.load_state_dict(state, strict=False)
        if moves:
            # Not `to`, which takes the imaginary part away from complex numbers.
            apply: Callable[[Callable[[Tensor], Tensor]], object] = self.module._apply
            apply(lambda tensor: _placed(tensor, device, dtype, memory_format))
        self._placed, self._state = wanted, state

    def put_back(self) -> None:
        """Undo :meth:`place`: every tensor is the one that was built."""
        for restore in self._kept:
            restore()
        self._kept.clear()
        self._placed = self._state = None

    def _keep(self, *, values: bool) -> None:
        places = places_of(self.module)
        self._kept.append(lambda: hold(places))
        for tensor in (*self.module.parameters(), *self.module.buffers()) if values else ():
            self._kept.append(_restoring(tensor.data, tensor.detach().clone()))


def _restoring(data: Tensor, values: Tensor) -> Callable[[], None]:
    def restore() -> None:
        write(data, values)

    return restore


def _placed(
    tensor: Tensor,
    device: torch.device,
    dtype: torch.dtype | None,
    memory_format: torch.memory_format,
) -> Tensor:
    if tensor.is_meta:
        return tensor  # a shape only
    kind = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
    placed = tensor.to(device=device, dtype=kind)
    is_image = tensor.dim() == 4 and memory_format is not torch.contiguous_format
    return placed.to(memory_format=memory_format) if is_image else placed


def let_go(error: Exception) -> Exception:
    """An error that is kept: its frames would keep what they were working on."""
    for link in chain_of(error):
        traceback.clear_frames(link.__traceback__)
    return error


def construct(spec: ModelSpec) -> OwnNetwork:
    """Import what defines a network of a person's own and build it, as plain Python would.

    Under no device and no mode of ours; on the CPU or wherever its constructor puts it.

    Raises:
        ArchitectureError: it cannot be imported or built, or what was built is no network.
        NotMeasuredError: it is kept in a form that nothing here runs.
        MemoryError, RuntimeError: memory ran out.
    """
    source = spec.constructor
    modules = own_modules(source) if isinstance(source, OwnSource) and source.attribute else None
    changes = Changes(spec.id)
    start = time.perf_counter()
    with contained(changes), modules.in_place() if modules else contextlib.nullcontext():
        torch.manual_seed(SEED)
        random.seed(SEED)
        np.random.seed(SEED)
        with construction_named(spec):
            module = _built(spec)
            if not isinstance(module, nn.Module):
                raise ArchitectureError(
                    f"{spec.id} cannot be built: its constructor returned "
                    f"{type(module).__name__}, expected a torch.nn.Module. {_WRAPPED}"
                )
            with contextlib.suppress(NotImplementedError):
                module.eval()  # an exported program has no modes
        if any(map(is_lazy, module.parameters())):
            run_first(spec, lambda: module(*synthetic_inputs(spec, 1)))  # it learns its sizes
            _refuse_lazy(spec, module)
        built = Built(module)
    return OwnNetwork(spec, module, time.perf_counter() - start, changes, built, _modules=modules)


def _refuse_lazy(spec: ModelSpec, module: nn.Module) -> None:
    names = [name for name, one in module.named_parameters() if is_lazy(one)]
    if names:
        raise ArchitectureError(
            f"{spec.id} has parameters without a size, {some(names)}: a pass does not run their "
            "lazy layers, so nothing tells how large they are. Leave those layers out, or give "
            "them their sizes"
        )


def _built(spec: ModelSpec) -> Any:
    source = spec.constructor
    if source is None:
        raise ValueError("it has no constructor; make the spec with ModelSpec.of(constructor)")
    if isinstance(source, OwnSource):
        if not source.attribute:
            return _read(spec, Path(source.place))
        source = _defined(spec, source)
    kwargs = dict(spec.kwargs)
    if isinstance(source, nn.Module):
        if kwargs:
            raise ArchitectureError(
                f"{spec.id} is a network that is built already, and takes no arguments"
            )
        return source
    if not callable(source):
        raise ArchitectureError(
            f"{spec.id} cannot be built: it is of type {type(source).__name__}, expected a "
            "function, a class or a torch.nn.Module"
        )
    check_arguments(spec, source, kwargs)
    return source(**kwargs)


def _defined(spec: ModelSpec, source: OwnSource) -> Any:
    """The function, class or network that a source names."""
    found: Any = import_source(source)
    for name in source.attribute.split("."):
        if not hasattr(found, name):
            names = [
                key
                for key, value in getattr(found, "__dict__", {}).items()
                if callable(value) and not key.startswith("_")
            ]
            raise ArchitectureError(
                f"{spec.id} cannot be built: {source.place} has no {name!r}; it has "
                f"{', '.join(names[:12]) or 'nothing that could be called'}"
            )
        found = getattr(found, name)
    return found


def _read(spec: ModelSpec, path: Path) -> nn.Module:
    """A network that a file holds by itself."""
    kind = path.suffix.lower()
    if kind == ".onnx":
        metrics = graph_metrics(path)
        params, nodes = metrics["params"]["value"], metrics["nodes"]["value"]
        raise NotMeasuredError(
            "no-engine",
            f"{spec.id} is an ONNX graph of {nodes:,} nodes and {params:,} parameters. An "
            "inference engine runs it, and archbench has none yet; give the network that it was "
            "exported from, as .pt2 or by its constructor",
            metrics,
        )
    if kind == ".pt2":
        try:
            program: nn.Module = torch.export.load(path).module()
        except orders_to_end():
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise ArchitectureError(
                f"{spec.id} cannot be built: {path.name} holds no exported program, or is damaged "
                f"({named(error)}). Save it with torch.export.save, by a torch that is no newer "
                "than this one"
            ) from error
        return program
    try:
        load: Callable[..., nn.Module] = torch.jit.load
        scripted = load(str(path), map_location="cpu")
    except RuntimeError as error:
        raise ArchitectureError(
            f"{spec.id} cannot be built: {path.name} holds no scripted or traced network "
            f"({first_line(error)}). Weights alone are no network: name its "
            "constructor, and give them with --weights. A network that torch.save has pickled is "
            "code, and is not read: save it with torch.jit.save or torch.export.save"
        ) from error
    return scripted
