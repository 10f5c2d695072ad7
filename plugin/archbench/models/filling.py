"""Weights for timing: parameters filled so that activations stay normal numbers.

How fast a network runs can depend on the values in it: denormal numbers slow a CPU down a
hundredfold, zeros and constants let an accelerator draw less power and clock higher, an overflow
makes a half-precision run meaningless. So a model that is measured without its trained weights
gets values that behave like trained ones: dense and random, with a signal that neither vanishes
nor explodes through any number of layers.

The rule starts from He et al. 2015 (arXiv:1502.01852), eq. 10: a weight with ``fan_in`` inputs is
normal with variance ``2 / fan_in``, which keeps the second moment of a signal through a rectifier.
A batch normalisation with stored statistics normalises nothing, so a residual sum would double the
second moment in each block. Its scale is therefore drawn around 0.4 and its shift from a normal
distribution of standard deviation 0.4: one such layer maps the second moment v to 0.16 v + 0.16,
which has its fixed point at 0.19, so that deep plain networks do not fade and a residual branch
adds about 0.2 whatever its input.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn

_BLOCK = 1_048_573
"""Numbers in the block of noise that is tiled over the weights: a prime, so that the rows of a
weight matrix do not repeat each other."""

_PARALLEL = 65_536
"""Pieces of more numbers go to a thread of their own."""

_SMALL = 4096
"""Parameters with fewer elements keep their place in memory while the library's constructor runs:
temperatures, learned exponents and the like, whose constructed values matter."""

_NOISE_FLOOR = 0.02
"""No number of the noise is nearer to zero, so that weights stay normal numbers in fp16 as well."""

_BATCH_NORM_SCALE = 0.4
_BIAS_STD = 0.1
_LAYER_SCALE = 0.1
"""Layer scales start at 1e-6 to 1e-4 or at zero; trained ones are of this order."""


@contextmanager
def parameters_on_meta() -> Iterator[None]:
    """Modules constructed inside keep their large parameters on the meta device.

    The library's own initialisation then costs nothing, which for VGG-19 is 2.5 s saved. Buffers
    (position tables, masks, anchors) are computed as always. Not reentrant from several threads:
    it replaces ``nn.Module.register_parameter`` for the time being.
    """
    original = nn.Module.register_parameter

    def register(module: nn.Module, name: str, param: nn.Parameter | None) -> None:
        if param is not None and not param.is_meta and param.numel() >= _SMALL:
            param = nn.Parameter(param.detach().to("meta"), requires_grad=param.requires_grad)
        original(module, name, param)

    nn.Module.register_parameter = register  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        nn.Module.register_parameter = original  # type: ignore[method-assign]


def materialize(model: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Give meta parameters uninitialised memory; move and cast everything else.

    Tensors that are shared stay shared.
    """
    moved: dict[Tensor, Tensor] = {}

    def place(tensor: Tensor) -> Tensor:
        if tensor not in moved:
            kind = dtype if tensor.is_floating_point() else tensor.dtype
            moved[tensor] = (
                torch.empty_like(tensor, device=device, dtype=kind)
                if tensor.is_meta
                else tensor.detach().to(device=device, dtype=kind)
            )
        return moved[tensor]

    shared = _shared_parameters(model)
    # `_apply` is what `to`, `half` and `to_empty` are made of; only it reaches every tensor of
    # modules that keep further references to their parameters (recurrent layers).
    model._apply(place)  # type: ignore[no-untyped-call]
    # It makes a parameter for each of its places, over the same memory.
    for (first, name), *others in shared:
        for module, other in others:
            module._parameters[other] = first._parameters[name]


def _shared_parameters(model: nn.Module) -> list[list[tuple[nn.Module, str]]]:
    """Module and name of each parameter that has several places."""
    places: dict[nn.Parameter, list[tuple[nn.Module, str]]] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                places.setdefault(parameter, []).append((module, name))
    return [owners for owners in places.values() if len(owners) > 1]


class TiledNoise:
    """An endless, repeatable stream of standard normal numbers, generated once and tiled.

    Large tensors are filled by several Python threads: the time goes into fresh memory pages, and
    torch's own threads wait for each other in a spin loop that a busy core makes very long.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype, seed: int) -> None:
        block = torch.randn(_BLOCK, generator=torch.Generator().manual_seed(seed))
        block = torch.where(
            block.abs() < _NOISE_FLOOR, torch.full_like(block, _NOISE_FLOOR).copysign(block), block
        )
        self._block = block.to(device=device, dtype=dtype)
        self._cursor = 0
        self._pool = ThreadPoolExecutor(os.cpu_count()) if device.type == "cpu" else None
        self._pending: list[Future[Tensor]] = []

    def __enter__(self) -> TiledNoise:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        for future in self._pending:
            future.result()

    def normal_(self, tensor: Tensor, std: float) -> None:
        """Fill with ``std * noise``, at the latest when the context ends."""
        flat = _flat_view(tensor)
        done, total = 0, flat.numel()
        while done < total:
            count = min(total - done, _BLOCK - self._cursor)
            noise = self._block[self._cursor : self._cursor + count]
            piece = flat[done : done + count]
            if self._pool is not None and count > _PARALLEL:
                self._pending.append(self._pool.submit(_scaled, noise, std, piece))
            else:
                torch.mul(noise, std, out=piece)
            done += count
            self._cursor = (self._cursor + count) % _BLOCK

    def around_(self, tensor: Tensor, value: float) -> None:
        """Fill with positive numbers around ``value``, at most half as much away from it."""
        flat = _flat_view(tensor)
        positions = torch.arange(self._cursor, self._cursor + flat.numel(), device=flat.device)
        noise = self._block[positions % _BLOCK]
        self._cursor = (self._cursor + flat.numel()) % _BLOCK
        torch.add(value, noise, alpha=0.15 * value, out=flat)
        flat.clamp_(0.5 * value, 1.5 * value)


def _scaled(noise: Tensor, std: float, out: Tensor) -> Tensor:
    with torch.no_grad():  # a thread has a gradient mode of its own
        return torch.mul(noise, std, out=out)


def _flat_view(tensor: Tensor) -> Tensor:
    """All elements of a dense tensor as one dimension, in memory order."""
    if tensor.is_contiguous():
        return tensor.view(-1)
    return tensor.as_strided((tensor.numel(),), (1,), tensor.storage_offset())


def _is_normalization(module: nn.Module) -> bool:
    return "norm" in type(module).__name__.lower() or hasattr(module, "running_var")


def _uses_stored_statistics(module: nn.Module) -> bool:
    return getattr(module, "running_var", None) is not None


def _fan_in(module: nn.Module, weight: Tensor) -> int:
    if isinstance(module, nn.modules.conv._ConvTransposeNd):
        taps = math.prod(weight.shape[2:]) / math.prod(module.stride)
        return max(1, round(weight.shape[0] / module.groups * taps))
    return math.prod(weight.shape[1:])


def _is_negligible(tensor: Tensor) -> bool:
    return bool((tensor.abs() < 1e-2).all()) or not bool(torch.isfinite(tensor).all())


class Noise(Protocol):
    """Normal numbers to fill tensors with."""

    def normal_(self, tensor: Tensor, std: float) -> None:
        """Fill with ``std`` times normal numbers."""

    def around_(self, tensor: Tensor, value: float) -> None:
        """Fill with positive numbers around ``value``, at most half as much away from it."""


def fill_parameter(
    noise: Noise, module: nn.Module, name: str, tensor: Tensor, constructed: bool
) -> None:
    """Fill a parameter or running statistic by its role.

    Args:
        noise: to fill it with.
        module: that owns it.
        name: within the module.
        tensor: its values.
        constructed: whether they are its constructor's, so that those of a small vector with a
            role of its own stay.
    """
    if name == "running_mean":
        noise.normal_(tensor, std=_BIAS_STD)
        return
    if name == "running_var":
        noise.around_(tensor, 1.0)
        return
    is_bias = "bias" in name or name == "beta"
    if _is_normalization(module) and tensor.dim() <= 1:
        stored = _uses_stored_statistics(module)
        if is_bias:
            noise.normal_(tensor, std=_BATCH_NORM_SCALE if stored else _BIAS_STD)
        else:
            noise.around_(tensor, _BATCH_NORM_SCALE if stored else 1.0)
    elif tensor.dim() >= 2 and math.prod(tensor.shape[1:]) > 1:
        noise.normal_(tensor, std=math.sqrt(2 / _fan_in(module, tensor)))
    elif is_bias:
        noise.normal_(tensor, std=_BIAS_STD)
    elif not constructed or _is_negligible(tensor):
        noise.around_(tensor, _LAYER_SCALE)
    # else: a small vector with a role of its own, as its constructor made it.


@torch.no_grad()
def fill_weights(
    model: nn.Module, device: torch.device, dtype: torch.dtype, seed: int = 0
) -> nn.Module:
    """Place a model on a device and fill its parameters and running statistics, in place.

    Args:
        model: as constructed, its large parameters possibly on meta (:func:`parameters_on_meta`).
        device: where it goes.
        dtype: of its floating-point parameters and buffers.
        seed: the same seed gives the same weights on every machine.

    Returns:
        The model.
    """
    unconstructed = {
        (module_name, name)
        for module_name, module in model.named_modules()
        for name, param in module.named_parameters(recurse=False)
        if param.is_meta
    }
    materialize(model, device, dtype)
    with TiledNoise(device, dtype, seed) as noise:
        for module_name, module in model.named_modules():
            for name, param in module.named_parameters(recurse=False):
                constructed = (module_name, name) not in unconstructed
                fill_parameter(noise, module, name, param.data, constructed)
            for name, buffer in module.named_buffers(recurse=False):
                if name in ("running_mean", "running_var"):
                    fill_parameter(noise, module, name, buffer, constructed=False)
    return model
