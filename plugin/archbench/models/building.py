"""Building the catalogue's architectures, with their constructors' values or without any.

Nothing is downloaded: all constructors are called without weights.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from archbench.core.errors import ArchitectureError, is_out_of_memory
from archbench.core.spec import ModelSpec
from archbench.models.filling import parameters_on_meta
from archbench.models.installed import constructors, require
from archbench.models.networks import construction_named
from archbench.models.shapes import RememberedShapes
from archbench.models.timm_configs import is_bound_to_size
from archbench.zoo import constructor

BUILT_PLAINLY = ("timm/swinv2_[!c]*", "timm/vit_*_rope_mixed_*")
"""Architectures whose constructors compute with their parameters, which have to be there then."""


def build(spec: ModelSpec) -> nn.Module:
    """Construct an architecture of a library without weights, as its own constructor does.

    Raises:
        ArchitectureError: the constructor failed; its exception is chained.
        NotMeasuredError: its library is not here, or does not have it.
        MemoryError, RuntimeError: the constructor ran out of memory, passed on as it is.
    """
    require(spec)
    with construction_named(spec):
        module = _BUILDERS[spec.library](_without_weights(spec))
        if not isinstance(module, nn.Module):
            raise ArchitectureError(
                f"{spec.id} cannot be built: its constructor returned {type(module).__name__}, "
                "expected a torch.nn.Module"
            )
    return module


def _without_weights(spec: ModelSpec) -> ModelSpec:
    """The same without arguments that ask for no weights, which is what the builders do."""
    kwargs = dict(spec.kwargs)
    for name in ("pretrained", "weights"):
        if kwargs.pop(name, None):
            raise ArchitectureError(
                f"{spec.id} asks for pretrained weights, and nothing is downloaded for counts and "
                f"times. Leave {name} out; accuracies take --weights=pretrained"
            )
    return replace(spec, kwargs=tuple(kwargs.items()))


def build_unfilled(spec: ModelSpec) -> nn.Module:
    """Construct an architecture of a library, its large parameters on the meta device.

    That is the fast path: the library's own initialisation costs nothing. It is held against
    :func:`build` for every architecture of the catalogue by ``tools/sweep.py``; those that it does
    not serve are built plainly.

    Raises:
        ArchitectureError, MemoryError, RuntimeError: see :func:`build`.
    """
    plainly = any(fnmatchcase(spec.id, glob) for glob in BUILT_PLAINLY)
    with nullcontext() if plainly else parameters_on_meta():
        return build(spec)


def build_on_meta(spec: ModelSpec) -> nn.Module:
    """An architecture of a library without memory for its weights, in evaluation mode.

    Some constructors compute with real numbers and fail on meta (torchvision's RegNets); they are
    built on the CPU with their parameters left out, and moved.

    Raises:
        ArchitectureError: the constructor failed; its exception is chained.
    """
    try:
        with torch.device("meta"), RememberedShapes():
            model = build(spec)
    except (ArchitectureError, NotImplementedError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        model = build_unfilled(spec)
    _move_to_meta(model)
    return model.eval()


def _move_to_meta(model: nn.Module) -> None:
    """Move what a constructor made elsewhere: by the legacy ``torch.Tensor(2, 3)``, which knows
    of no default device, or as an attribute that is neither parameter nor buffer."""
    if not all(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
        model.to("meta")
    for module in model.modules():
        for name, value in vars(module).items():
            if isinstance(value, Tensor) and not value.is_meta:
                setattr(module, name, value.to("meta"))


def _build_timm(spec: ModelSpec) -> Any:
    kwargs = dict(spec.kwargs)
    if not spec.is_native_size and is_bound_to_size(spec.name):
        kwargs.setdefault("img_size", spec.input_size[1:])
    return constructors("timm").create_model(spec.name, pretrained=False, **kwargs)


def _build_torchvision(spec: ModelSpec) -> Any:
    kwargs = dict(spec.kwargs)
    if not spec.is_native_size:
        # Only these two families are bound to a size; the others take images of any.
        if spec.name.startswith("vit_"):
            kwargs.setdefault("image_size", spec.input_size[1])
        elif spec.name.startswith("maxvit_"):
            kwargs.setdefault("input_size", spec.input_size[1:])
    return constructors("torchvision").get_model(spec.name, weights=None, **kwargs)


def _build_pytorchcv(spec: ModelSpec) -> Any:
    kwargs = dict(spec.kwargs)
    if not spec.is_native_size:
        kwargs.setdefault("in_size", spec.input_size[1:])
    return constructors("pytorchcv").get_model(spec.name, pretrained=False, **kwargs)


def _build_archbench(spec: ModelSpec) -> Any:
    return constructor(spec.name)(**dict(spec.kwargs))


_BUILDERS: dict[str, Callable[[ModelSpec], Any]] = {
    "timm": _build_timm,
    "torchvision": _build_torchvision,
    "pytorchcv": _build_pytorchcv,
    "archbench": _build_archbench,
}
