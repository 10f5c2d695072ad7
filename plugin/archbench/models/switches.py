"""The switches of torch that code can change."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
import torch.backends.opt_einsum  # not there by itself before torch 2.7
from torch.nn.modules import module as nn_module

from archbench.models.torch_code import is_same_code, set_torch_code, torch_code

_ABSENT = "absent"


class Item(NamedTuple):
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
    switches; None where torch refuses to read it, since a newer switch disagrees."""
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


def _backend_switches() -> Iterator[tuple[str, Item]]:
    """Every switch of ``torch.backends`` that is a property of one of its modules."""
    for name, backend in sorted(sys.modules.items()):
        if not name.startswith("torch.backends"):
            continue
        for base in type(backend).__mro__:
            for key, value in vars(base).items():
                # The precisions are read all together, since reading one may be refused.
                is_switch = hasattr(value, "getter") and hasattr(value, "setter")
                if is_switch and key not in ("fp32_precision", "allow_tf32"):
                    yield f"{name}.{key}", Item(value.getter, value.setter)
    cuda, matmul = torch.backends.cuda, torch.backends.cuda.matmul
    for key in ("allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction"):
        yield f"torch.backends.cuda.matmul.{key}", _attribute(matmul, key)
    for key in ("flash_sdp", "mem_efficient_sdp", "math_sdp", "cudnn_sdp"):
        write = getattr(cuda, f"enable_{key}")
        yield f"torch.backends.cuda.{key}", Item(getattr(cuda, f"{key}_enabled"), write)
    fastpath = torch.backends.mha
    yield (
        "torch.backends.mha",
        Item(fastpath.get_fastpath_enabled, fastpath.set_fastpath_enabled),
    )
    yield "torch.backends.quantized.engine", _attribute(torch.backends.quantized, "engine")
    for key in ("enabled", "strategy"):
        yield f"torch.backends.opt_einsum.{key}", _attribute(torch.backends.opt_einsum, key)


def _attribute(owner: Any, name: str) -> Item:
    return Item(
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


def _global_hooks() -> dict[str, object]:
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


def asked_for() -> dict[str, object]:
    """What a cell asks of torch, as it is now, by what it is."""
    return {
        "the number of threads": torch.get_num_threads(),
        "autocast": _autocast(),
        "the precision of products": (read_fp32(), read_older_fp32()),
    }


def of_torch() -> dict[str, Item]:
    """All that is watched of torch, by name."""
    return {
        **dict(_backend_switches()),
        "older fp32 precision": Item(read_older_fp32, write_older_fp32),
        "fp32 precision": Item(read_fp32, write_fp32),
        # The measurement sets the number of threads for itself.
        "threads": Item(torch.get_num_threads, torch.set_num_threads, is_setting=False),
        "inter-operator threads": Item(torch.get_num_interop_threads, None),
        "default dtype": Item(torch.get_default_dtype, torch.set_default_dtype),
        "default device": Item(_default_device, torch.set_default_device),
        "function modes": Item(_function_modes, _drop_function_modes, is_setting=False),
        "gradients": Item(torch.is_grad_enabled, torch._C._set_grad_enabled, is_setting=False),
        "inference mode": Item(torch.is_inference_mode_enabled, None),
        "autocast": Item(_autocast, _set_autocast, is_setting=False),
        "autocast's cache": Item(torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
        "anomaly detection": Item(torch.is_anomaly_enabled, torch.set_anomaly_enabled),
        "deterministic algorithms": Item(
            _deterministic,
            lambda value: torch.use_deterministic_algorithms(value[0], warn_only=value[1]),
        ),
        "denormal numbers": Item(_flushes_denormals, torch.set_flush_denormal),
        "hooks of all modules": Item(_global_hooks, _set_global_hooks),
        "random numbers of torch": Item(
            torch.get_rng_state, torch.set_rng_state, is_setting=False, same=torch.equal
        ),
        "torch's own code": Item(torch_code, set_torch_code, same=is_same_code),
    }
