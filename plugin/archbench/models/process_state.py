"""What a network's own code can change in the process that it shares with others.

A network that turns oneDNN off, sets another default precision, registers itself under a name that
timm has or leaves another working directory changes what is measured of the next one. So all of it
is read before a network's code runs and put back afterwards. As far as it is a setting it is made
again when that network runs the next time: a network is measured as its author built it, and alone.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple, NoReturn

import numpy as np
import psutil
import torch
import torch.backends.opt_einsum  # not there by itself before torch 2.7
from torch.nn.modules import module as nn_module

__all__ = [
    "Changes",
    "ProcessState",
    "contained",
    "left_behind",
    "read_fp32",
    "read_older_fp32",
    "write_fp32",
    "write_older_fp32",
]

_ABSENT = "absent"


class _Item(NamedTuple):
    """One thing that code can change.

    Attributes:
        read: its value, a copy where it is mutable.
        write: makes it so; None where that cannot be done.
        is_setting: whether a network that changed it has it changed whenever it runs.
        same: whether two values are.
    """

    read: Callable[[], Any]
    write: Callable[[Any], object] | None
    is_setting: bool = True
    same: Callable[[Any, Any], bool] = lambda one, other: bool(one == other)


# Of torch.

_FP32 = tuple(
    (backend, operation)
    for backend, operations in (
        ("generic", ("all",)),
        ("cuda", ("all", "matmul", "conv", "rnn")),
        ("mkldnn", ("all", "matmul", "conv", "rnn")),
    )
    for operation in operations
)
"""Of torch's switches of internal precision since 2.9, the wider ones first."""


def read_fp32() -> dict[tuple[str, str], str]:
    """torch's newer switches of internal precision, by backend and operation; none before 2.9."""
    read = getattr(torch._C, "_get_fp32_precision_getter", None)
    return {} if read is None else {place: read(*place) for place in _FP32}


def write_fp32(values: Mapping[tuple[str, str], str]) -> None:
    """Set torch's newer switches of internal precision; the older ones are left alone."""
    for place, value in values.items():
        if torch._C._get_fp32_precision_getter(*place) != value:
            torch._C._set_fp32_precision_setter(*place, value)


def read_older_fp32() -> tuple[str, bool] | None:
    """Precision of matrix products, and whether convolutions may use TF32, by torch's older
    switches; None where torch refuses to tell since a newer one says something else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there are newer ones
        try:
            return torch.get_float32_matmul_precision(), bool(torch.backends.cudnn.allow_tf32)
        except RuntimeError:
            return None


def write_older_fp32(values: tuple[str, bool] | None) -> None:
    """Set torch's older switches, and with them the newer ones that mean the same."""
    if values is None:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.set_float32_matmul_precision(values[0])
        torch.backends.cudnn.allow_tf32 = values[1]


def _backend_switches() -> Iterator[tuple[str, _Item]]:
    """Every switch of ``torch.backends`` that is a property of one of its modules."""
    for name, backend in sorted(sys.modules.items()):
        if not name.startswith("torch.backends"):
            continue
        for base in type(backend).__mro__:
            for key, value in vars(base).items():
                # The precisions are read all together, since reading one may be refused.
                is_switch = hasattr(value, "getter") and hasattr(value, "setter")
                if is_switch and key not in ("fp32_precision", "allow_tf32"):
                    yield f"{name}.{key}", _Item(value.getter, value.setter)
    cuda, matmul = torch.backends.cuda, torch.backends.cuda.matmul
    for key in ("allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction"):
        yield f"torch.backends.cuda.matmul.{key}", _attribute(matmul, key)
    for key in ("flash_sdp", "mem_efficient_sdp", "math_sdp", "cudnn_sdp"):
        write = getattr(cuda, f"enable_{key}")
        yield f"torch.backends.cuda.{key}", _Item(getattr(cuda, f"{key}_enabled"), write)
    fastpath = torch.backends.mha
    yield (
        "torch.backends.mha",
        _Item(fastpath.get_fastpath_enabled, fastpath.set_fastpath_enabled),
    )
    yield "torch.backends.quantized.engine", _attribute(torch.backends.quantized, "engine")
    for key in ("enabled", "strategy"):
        yield f"torch.backends.opt_einsum.{key}", _attribute(torch.backends.opt_einsum, key)


def _attribute(owner: Any, name: str) -> _Item:
    return _Item(
        lambda: getattr(owner, name, _ABSENT),
        lambda value: None if value is _ABSENT else setattr(owner, name, value),
    )


def _flushes_denormals() -> bool:
    smallest = torch.tensor([1e-39], dtype=torch.float32, device="cpu")
    return not float(smallest.mul(0.5)[0])


def _default_device() -> torch.device | None:
    context = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    return None if context is None else context.device


def _autocast() -> dict[str, tuple[bool, torch.dtype]]:
    kinds = ("cpu", "cuda")
    return {
        kind: (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in kinds
    }


def _set_autocast(values: Mapping[str, tuple[bool, torch.dtype]]) -> None:
    for kind, (enabled, dtype) in values.items():
        torch.set_autocast_enabled(kind, enabled)
        torch.set_autocast_dtype(kind, dtype)


def _function_modes() -> int:
    return int(torch._C._len_torch_function_stack())


def _drop_function_modes(depth: int) -> None:
    while _function_modes() > depth:
        torch._C._pop_torch_function_stack()


def _global_hooks() -> dict[str, Any]:
    hooks = {name: value for name, value in vars(nn_module).items() if name.startswith("_global_")}
    return {name: dict(value) for name, value in hooks.items() if isinstance(value, dict)}


def _set_global_hooks(values: Mapping[str, dict[Any, Any]]) -> None:
    for name, value in values.items():
        hooks = getattr(nn_module, name)
        hooks.clear()
        hooks.update(value)


def _deterministic() -> tuple[bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _of_torch() -> dict[str, _Item]:
    return {
        **dict(_backend_switches()),
        "older fp32 precision": _Item(read_older_fp32, write_older_fp32),
        "fp32 precision": _Item(read_fp32, write_fp32),
        # The measurement sets the number of threads for itself.
        "threads": _Item(torch.get_num_threads, torch.set_num_threads, is_setting=False),
        "inter-operator threads": _Item(torch.get_num_interop_threads, None),
        "default dtype": _Item(torch.get_default_dtype, torch.set_default_dtype),
        "default device": _Item(_default_device, torch.set_default_device),
        "function modes": _Item(_function_modes, _drop_function_modes, is_setting=False),
        "gradients": _Item(torch.is_grad_enabled, torch._C._set_grad_enabled, is_setting=False),
        "inference mode": _Item(torch.is_inference_mode_enabled, None),
        "autocast": _Item(_autocast, _set_autocast, is_setting=False),
        "autocast's cache": _Item(
            torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled
        ),
        "anomaly detection": _Item(torch.is_anomaly_enabled, torch.set_anomaly_enabled),
        "deterministic algorithms": _Item(
            _deterministic,
            lambda value: torch.use_deterministic_algorithms(value[0], warn_only=value[1]),
        ),
        "denormal numbers": _Item(_flushes_denormals, torch.set_flush_denormal),
        "hooks of all modules": _Item(_global_hooks, _set_global_hooks),
        "random numbers of torch": _Item(
            torch.get_rng_state, torch.set_rng_state, is_setting=False, same=torch.equal
        ),
        "torch's own code": _Item(_torch_code, _set_torch_code, same=_is_same_code),
    }


# What a network may have put in the place of torch's own functions and methods.


@cache
def _torch_namespaces() -> tuple[Any, ...]:
    modules = (torch, torch.nn, torch.nn.functional, torch.nn.init, torch.utils.checkpoint)
    classes = {
        value
        for name, module in list(sys.modules.items())
        if name.startswith("torch.nn.modules")
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__.startswith("torch.nn.modules")
    }
    return (*modules, torch.Tensor, *sorted(classes, key=lambda cls: cls.__qualname__))


def _torch_code() -> dict[int, dict[str, Any]]:
    return {
        place: {name: value for name, value in vars(space).items() if callable(value)}
        for place, space in enumerate(_torch_namespaces())
    }


def _is_same_code(one: dict[int, dict[str, Any]], other: dict[int, dict[str, Any]]) -> bool:
    return not any(_replaced(one, other)) and not any(_replaced(other, one))


def _replaced(
    before: dict[int, dict[str, Any]], now: dict[int, dict[str, Any]]
) -> Iterator[tuple[Any, str, Any]]:
    """Namespace, name and value of what is another now; of what was added to a class, no value."""
    for place, space in enumerate(_torch_namespaces()):
        old, new = before[place], now[place]
        for name, value in old.items():
            if new.get(name) is value:
                continue
            # torch puts other functions of its own in the place of some when it needs them.
            if not (name in new and _is_torchs(value) and _is_torchs(new[name])):
                yield space, name, value
        if isinstance(space, type):
            for name in new.keys() - old.keys():
                if isinstance(new[name], FunctionType) and not _is_torchs(new[name]):
                    yield space, name, None


_TORCH = f"{Path(torch.__file__).parent}{os.sep}"


def _is_torchs(value: Any) -> bool:
    code = getattr(value, "__code__", None)
    if code is not None:
        return str(code.co_filename).startswith(_TORCH)
    return str(getattr(value, "__module__", None) or "torch").startswith("torch")


def _set_torch_code(values: dict[int, dict[str, Any]]) -> None:
    for space, name, value in list(_replaced(values, _torch_code())):
        if value is None:
            delattr(space, name)
        else:
            setattr(space, name, value)


# Of Python and the system.


_NOT_THEIRS = ("PYTEST_CURRENT_TEST", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
"""Variables that pytest and torch set for themselves."""


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _NOT_THEIRS}


def _set_environment(values: Mapping[str, str]) -> None:
    now = _environment()
    for name in now.keys() - values.keys():
        del os.environ[name]
    os.environ.update({name: value for name, value in values.items() if now.get(name) != value})


def _working_directory() -> str | None:
    with contextlib.suppress(OSError):
        return str(Path.cwd())
    return None


def _set_working_directory(value: str | None) -> None:
    if value is not None:
        os.chdir(value)


_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGCHLD")
    if hasattr(signal, name)
)


def _set_signals(values: Mapping[Any, Any]) -> None:
    if threading.current_thread() is threading.main_thread():
        for number, handler in values.items():
            if signal.getsignal(number) is not handler and handler is not None:
                signal.signal(number, handler)


def _logging() -> tuple[int, int, list[logging.Handler], list[Any]]:
    root = logging.getLogger()
    return root.level, logging.root.manager.disable, list(root.handlers), list(root.filters)


def _set_logging(values: tuple[int, int, list[logging.Handler], list[Any]]) -> None:
    root = logging.getLogger()
    root.setLevel(values[0])
    logging.disable(values[1])
    root.handlers[:], root.filters[:] = values[2], values[3]


_STREAMS = ("stdin", "stdout", "stderr", "excepthook", "displayhook", "unraisablehook")


def _set_streams(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(sys, name, value)


def _affinity() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def _set_affinity(cores: set[int]) -> None:
    if cores:
        os.sched_setaffinity(0, cores)


def _set_warnings(values: tuple[list[Any], Any]) -> None:
    warnings.filters[:] = values[0]  # type: ignore[index]
    warnings.showwarning = values[1]
    mutated = getattr(warnings, "_filters_mutated", None)
    if mutated is not None:
        mutated()


def _of_process() -> dict[str, _Item]:
    return {
        "working directory": _Item(_working_directory, _set_working_directory),
        "environment": _Item(_environment, _set_environment),
        "random numbers": _Item(random.getstate, random.setstate, is_setting=False),
        "random numbers of NumPy": _Item(
            np.random.get_state,
            np.random.set_state,
            is_setting=False,
            same=lambda one, other: one[2:] == other[2:] and np.array_equal(one[1], other[1]),
        ),
        "errors of NumPy": _Item(np.geterr, lambda value: np.seterr(**value)),
        "garbage collector": _Item(gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
        "its thresholds": _Item(gc.get_threshold, lambda value: gc.set_threshold(*value)),
        "recursion limit": _Item(sys.getrecursionlimit, sys.setrecursionlimit),
        "switch interval": _Item(sys.getswitchinterval, sys.setswitchinterval),
        "trace function": _Item(sys.gettrace, sys.settrace, is_setting=False),
        "profile function": _Item(sys.getprofile, sys.setprofile, is_setting=False),
        "warnings": _Item(lambda: (list(warnings.filters), warnings.showwarning), _set_warnings),
        "logging": _Item(_logging, _set_logging),
        "streams": _Item(
            lambda: {name: getattr(sys, name) for name in _STREAMS}, _set_streams, is_setting=False
        ),
        "signal handlers": _Item(
            lambda: {number: signal.getsignal(number) for number in _SIGNALS}, _set_signals
        ),
        "cores": _Item(_affinity, _set_affinity, is_setting=False),
        "priority": _Item(lambda: os.nice(0) if hasattr(os, "nice") else 0, None),
    }


# Of the libraries of networks: registries, and switches that are variables of a module.

_KEPT_BY_LIBRARIES = {
    # Before 0.9 the one and the other had these names.
    "timm": (
        *("timm.models._registry", "timm.models.registry"),
        *("timm.layers.config", "timm.models.layers.config"),
    ),
    "torchvision": ("torchvision.models._api",),
}
"""Modules whose variables networks change, by the package whose import fills them."""

_PRISTINE: dict[str, dict[str, Any]] = {}
"""What was in such a module right after its package had been imported."""


def _variables(name: str) -> dict[str, Any] | None:
    """The variables of a module that can be put back; None while it is not imported."""
    module = sys.modules.get(name)
    if module is None:
        return None
    kept = (bool, int, float, str, dict, set, list)
    return {
        key: _copied(value)
        for key, value in vars(module).items()
        if isinstance(value, kept) and not key.startswith("__")
    }


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: v.copy() if isinstance(v, (dict, set, list)) else v for k, v in value.items()}
    return value.copy() if isinstance(value, (set, list)) else value


def _set_variables(name: str, values: Mapping[str, Any] | None) -> None:
    if values is None:
        # It was imported meanwhile: as it was when that had been done.
        values = _PRISTINE.get(name)
    module = sys.modules.get(name)
    if values is None or module is None:
        return
    for key, value in values.items():
        held = vars(module).get(key)
        if isinstance(held, (dict, set)) and type(held).__name__ != "mappingproxy":
            held.clear()
            held.update(_copied(value))
        elif isinstance(held, list):
            held[:] = value
        else:
            setattr(module, key, value)


class _AfterFirstImport(MetaPathFinder):
    """Notes what is in the modules of a library as soon as it is imported, by whomever."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if fullname not in _KEPT_BY_LIBRARIES or all(
            name in _PRISTINE for name in _KEPT_BY_LIBRARIES[fullname]
        ):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or not isinstance(spec.loader, Loader):
            return None
        run = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            run(module)
            _note_pristine(fullname)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _note_pristine(package: str) -> None:
    for name in _KEPT_BY_LIBRARIES[package]:
        found = _variables(name) if name not in _PRISTINE else None
        if found is not None:
            _PRISTINE[name] = found


def _of_libraries() -> dict[str, _Item]:
    def item(name: str) -> _Item:
        def same(one: Any, other: Any) -> bool:
            if one is None:  # it was imported meanwhile, which changes nothing
                one = _PRISTINE.get(name, other)
            return bool(one == other)

        return _Item(lambda: _variables(name), lambda value: _set_variables(name, value), same=same)

    return {name: item(name) for names in _KEPT_BY_LIBRARIES.values() for name in names}


# All of it.


@cache
def _items() -> dict[str, _Item]:
    return {**_of_torch(), **_of_process(), **_of_libraries()}


@dataclass(frozen=True, slots=True)
class ProcessState:
    """All that is watched, at one moment.

    Attributes:
        values: by what it is.
        running: threads and child processes.
    """

    values: Mapping[str, Any]
    running: frozenset[tuple[str, int]]

    @classmethod
    def take(cls) -> ProcessState:
        """As it is now."""
        values = {}
        for name, item in _items().items():
            with warnings.catch_warnings(), contextlib.suppress(Exception):
                # A switch that this build of torch cannot read, it cannot change either.
                values[name] = item.read()
        return cls(values, _running())

    def changed(self) -> dict[str, Any]:
        """What is another now, with its value."""
        now = ProcessState.take()
        return {
            name: now.values[name]
            for name, value in self.values.items()
            if name in now.values and not _items()[name].same(value, now.values[name])
        }

    def put_back(self) -> list[str]:
        """Make it so again.

        Returns:
            What could not be: names for people.
        """
        left = self.changed()
        # Some can be read only when others are back, such as random numbers on another device.
        for _ in range(2):
            if not left:
                break
            for name in left:
                _written(name, self.values[name])
            left = self.changed()
        started = _running() - self.running
        busy = ["threads or processes that go on working"] if _is_busy(started) else []
        return [*left, *busy]


def _written(name: str, value: Any) -> None:
    write = _items()[name].write
    # What torch says of switches that it will drop some day is not for a network's user.
    quiet = contextlib.nullcontext() if name == "warnings" else warnings.catch_warnings()
    with quiet, contextlib.suppress(Exception):
        if name != "warnings":
            warnings.simplefilter("ignore")
        if write is not None:
            write(value)


def _running() -> frozenset[tuple[str, int]]:
    threads = {("thread", thread.ident or 0) for thread in threading.enumerate()}
    return frozenset(threads | {("process", number) for number in _children()})


def _children() -> set[int]:
    """Numbers of child processes. Linux tells them at once, psutil looks through all processes."""
    lists = list(Path("/proc/self/task").glob("*/children"))
    try:
        if lists:
            return {int(word) for path in lists for word in path.read_text().split()}
        return {child.pid for child in psutil.Process().children()}
    except (OSError, psutil.Error):
        return set()


_LOOK = 0.05
_IDLE = 0.2
"""Seconds for which is looked whether what a network has started is at work, and the share of them
that it may use a core: a pool that waits for work harms nobody."""


def _is_busy(started: frozenset[tuple[str, int]]) -> bool:
    if not started:
        return False
    processes = []
    for kind, number in started:
        if kind == "process":
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(number)
                # torch's compiler keeps processes of its own, which are no network's.
                if not any("torch/_inductor" in word for word in process.cmdline()):
                    processes.append(process)

    def spent() -> float:
        total = time.process_time()
        for process in processes:
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    before = spent()
    time.sleep(_LOOK)
    return spent() - before > _IDLE * _LOOK


@dataclass(slots=True)
class Changes:
    """What one network has changed in the process: settings that it runs with.

    Attributes:
        owner: id of the network.
        settings: by what they are.
        left: what could not be put back after it.
    """

    owner: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


@contextlib.contextmanager
def _without_os_exit() -> Iterator[None]:
    """Let ``os._exit`` of a network's code be an exit like any other: the process would end with
    the status that it is given, 0 among them, and what is left of the run would not be missed.

    Processes that it forks end by it, and so may other threads, as that of a test's time-out.
    """
    end, here = os._exit, (os.getpid(), threading.get_ident())

    def refused(status: int) -> NoReturn:
        if (os.getpid(), threading.get_ident()) != here:
            end(status)
        raise SystemExit(f"os._exit({status})")

    os._exit = refused
    try:
        yield
    finally:
        os._exit = end


@contextlib.contextmanager
def contained(changes: Changes) -> Iterator[None]:
    """Run a network's own code with the settings that it has made before, and put back the process.

    Args:
        changes: of this network; what it changes inside is added.
    """
    clean = ProcessState.take()
    watcher = _AfterFirstImport()
    sys.meta_path.insert(0, watcher)
    for package in _KEPT_BY_LIBRARIES:
        _note_pristine(package)
    for name, value in changes.settings.items():
        _written(name, value)
    try:
        with _without_os_exit():
            yield
    finally:
        with contextlib.suppress(ValueError):
            sys.meta_path.remove(watcher)
        now = clean.changed()
        changes.settings = {name: value for name, value in now.items() if _items()[name].is_setting}
        changes.left = clean.put_back()
        if changes.left:
            _LEFT[changes.owner] = list(changes.left)


_LEFT: dict[str, list[str]] = {}


def left_behind() -> dict[str, list[str]]:
    """What could not be put back in this process, by the network that changed it: for any other
    network the process is no use."""
    return dict(_LEFT)
