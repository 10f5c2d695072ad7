"""CUDA devices that are not there, under torch.cuda's own Python and on the CPU.

Each device has streams, and each stream a timeline of its own: the moment at which it is free.
Whatever operator runs is a kernel on the current stream of the device that the network is said to
be on. What is asked of the wrong device is missing on the right one.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from archbench.devices import cuda

__all__ = ["KERNEL", "Machine", "virtual_cuda"]

TWO = (("Tesla V100-SXM2-16GB", "GPU-0"), ("Tesla V100-SXM2-16GB", "GPU-1"))
"""Name and UUID of the devices that a machine has."""

KERNEL = 5e-6
"""Seconds of a kernel."""

CYCLES = 1.5e9
"""Of a second."""

WORKSPACE = 8_519_680
"""Bytes that cuBLAS takes at its first product on a stream, and keeps."""

_NO_KERNEL = ("view", "detach", "_to_copy", "t.default", "as_strided")


def visible(there: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The devices that ``CUDA_VISIBLE_DEVICES`` leaves, in its order.

    torch reads the variable. CUDA ends the list at the first entry that names nothing, and gives a
    process one MIG instance at most.

    Args:
        there: name and UUID of each, those of MIG instances beginning with ``MIG-``.
    """
    asked: list[Any] = torch.cuda._parse_visible_devices()
    whole = [one for one in there if not one[1].startswith("MIG-")]
    if asked and isinstance(asked[0], str):
        uuids = [uuid for _, uuid in there]
        found = [there[at] for at in torch.cuda._transform_uuid_to_ordinals(asked, uuids)]
        return found[:1] if asked[0].startswith("MIG-") else found
    known = [index < len(whole) for index in asked]
    return [whole[index] for index in asked[: (*known, False).index(False)]]


class Machine:
    """Some devices.

    Attributes:
        current: number of the current device.
        slept: device to the seconds that it was told to spin.
        allocated, peak: bytes of what operators have returned and is alive, and the most of them;
            of both devices together.
        fails_to_capture: whether the end of every capture is an error.
    """

    def __init__(
        self, model_on: int, fails_to_capture: bool, there: Sequence[tuple[str, str]]
    ) -> None:
        self.devices = visible(there)
        self.current, self.model_on, self.fails_to_capture = 0, model_on, fails_to_capture
        self.slept: dict[int, float] = {}
        self.allocated = self.peak = self.workspace = 0
        self.streams: list[Any] = []
        self.now: dict[int, Any] = {}
        for index in range(len(self.devices)):
            self.now[index] = self.stream(index)

    def init(self) -> None:
        if not self.devices:
            raise RuntimeError("No CUDA GPUs are available")

    def properties(self, device: Any = None) -> SimpleNamespace:
        name, uuid = self.devices[self.index(device)]
        return SimpleNamespace(name=name, uuid=uuid.partition("-")[2])

    def index(self, device: Any = None) -> int:
        if device is None:
            return self.current
        found = device if isinstance(device, int) else torch.device(device).index
        return self.current if found is None or found < 0 else int(found)

    def stream(self, device: Any = None, **_: Any) -> Any:
        stream = _Stream(self.index(device))
        self.streams.append(stream)
        return stream

    def synchronize(self, device: Any = None) -> None:
        for stream in self.streams:
            if stream.device_index == self.index(device):
                stream.synchronize()

    def take(self, size: int) -> None:
        self.allocated += size
        self.peak = max(self.peak, self.allocated)

    def ran(self, name: str, output: Any) -> None:
        """Count the memory of an operator. A replay runs none, and takes none."""
        if ("linear" in name or "mm" in name) and not self.workspace:
            self.workspace = WORKSPACE
            self.take(WORKSPACE)
        if isinstance(output, torch.Tensor):
            self.take(output.nbytes)
            weakref.finalize(output, self.take, -output.nbytes)

    def clear_workspaces(self) -> None:
        self.allocated, self.workspace = self.allocated - self.workspace, 0

    def reset_peak(self, _: Any = None) -> None:
        self.peak = self.allocated

    def sleep(self, cycles: int) -> None:
        index, seconds = self.current, cycles / CYCLES
        self.slept[index] = self.slept.get(index, 0.0) + seconds
        self.now[index].work(seconds)

    @contextmanager
    def on_stream(self, stream: Any) -> Iterator[None]:
        before, earlier = self.current, self.now[stream.device_index]
        self.current, self.now[stream.device_index] = stream.device_index, stream
        try:
            yield
        finally:
            self.current, self.now[stream.device_index] = before, earlier


class _Stream:
    def __init__(self, index: int) -> None:
        self.device_index, self.device = index, torch.device("cuda", index)
        self.free_at, self.graph = 0.0, None

    def work(self, seconds: float) -> None:
        graph: Any = self.graph
        if graph is not None:
            graph.kernels.append(seconds)
        else:
            self.free_at = max(self.free_at, time.perf_counter()) + seconds

    @property
    def cuda_stream(self) -> int:
        return id(self)

    def wait_stream(self, other: _Stream) -> None:
        self.free_at = max(self.free_at, other.free_at)

    def synchronize(self) -> None:
        assert self.free_at - time.perf_counter() < 5, "the host would wait for ever"
        while time.perf_counter() < self.free_at:
            pass


def _event(machine: Machine) -> type:
    class Event:
        def __init__(self, **_: Any) -> None:
            self.at, self.index = 0.0, -1

        def record(self, stream: Any = None) -> None:
            stream = stream or machine.now[machine.current]
            self.index, self.at = stream.device_index, max(stream.free_at, time.perf_counter())

        def query(self) -> bool:
            return time.perf_counter() >= self.at

        def elapsed_time(self, end: Event) -> float:
            assert self.index == end.index, "events of different devices"
            return (end.at - self.at) * 1e3

    return Event


def _graph(machine: Machine) -> type:
    class Graph:
        def __init__(self, **_: Any) -> None:
            self.kernels: list[float] = []

        def capture_begin(self, *_: Any, **__: Any) -> None:
            self.stream = machine.now[machine.current]
            self.stream.graph = self

        def capture_end(self) -> None:
            self.stream.graph = None
            if machine.fails_to_capture:
                raise RuntimeError("CUDA error: operation failed due to a previous error")
            assert self.kernels, "the graph is empty: captured on another device"

        def replay(self) -> None:
            for seconds in self.kernels:
                machine.now[self.stream.device_index].work(seconds)

    return Graph


class _OnTheCpu(TorchFunctionMode):
    """Tensors that are asked for on CUDA lie on the CPU."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        def here(value: Any) -> Any:
            is_device = isinstance(value, (str, torch.device))
            return "cpu" if is_device and str(value).startswith("cuda") else value

        given = {name: here(value) for name, value in (kwargs or {}).items()}
        return func(*(args if func is torch.device else map(here, args)), **given)


class _Kernels(TorchDispatchMode):
    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self._machine = machine

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if not any(name in str(func) for name in _NO_KERNEL):
            self._machine.now[self._machine.model_on].work(KERNEL)
            self._machine.ran(str(func), output)
        return output


@contextmanager
def virtual_cuda(
    model_on: int, *, fails_to_capture: bool = False, there: Sequence[tuple[str, str]] = TWO
) -> Iterator[Machine]:
    """CUDA devices inside; the kernels of all operators run on one of them."""
    machine = Machine(model_on, fails_to_capture, there)
    cuda._stream.cache_clear()
    replaced = {
        "Stream": machine.stream,
        "Event": _event(machine),
        "CUDAGraph": _graph(machine),
        "current_stream": lambda device=None: machine.now[machine.index(device)],
        "synchronize": machine.synchronize,
        "_sleep": machine.sleep,
        "stream": machine.on_stream,
        "set_device": lambda device: setattr(machine, "current", machine.index(device)),
        "current_device": lambda: machine.current,
        "empty_cache": lambda: None,
        "is_available": lambda: bool(machine.devices),
        "init": machine.init,
        "device_count": lambda: len(machine.devices),
        "get_device_name": lambda device=None: machine.properties(device).name,
        "get_device_properties": machine.properties,
        "memory_allocated": lambda _: machine.allocated,
        "max_memory_allocated": lambda _: machine.peak,
        "max_memory_reserved": lambda _: machine.peak,
        "reset_peak_memory_stats": machine.reset_peak,
        "mem_get_info": lambda _: (2**30, 2**34),
    }
    with ExitStack() as stack:
        for name, double in replaced.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, double))
        stack.enter_context(mock.patch.object(torch.backends.cudnn, "version", return_value=90000))
        clear = "_cuda_clearCublasWorkspaces"
        stack.enter_context(
            mock.patch.object(torch._C, clear, machine.clear_workspaces, create=True)
        )
        stack.enter_context(mock.patch.object(torch._C, "_host_emptyCache", int, create=True))
        annotations = getattr(torch.cuda, "_graph_annotations", None)
        if annotations is not None:
            stamp = "maybe_stamp_capture_root"
            stack.enter_context(mock.patch.object(annotations, stamp))
        graphs: Any = torch.cuda.graphs.graph
        stack.enter_context(mock.patch.object(graphs, "default_capture_stream", None))
        stack.enter_context(_OnTheCpu())
        stack.enter_context(_Kernels(machine))
        yield machine
