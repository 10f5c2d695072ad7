"""Building an architecture as its constructor does, with or without memory for weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from archbench.core.errors import ArchitectureError
from archbench.core.spec import ModelSpec
from archbench.models.filling import parameters_on_meta
from archbench.models.installed import require
from archbench.models.memory_guard import is_out_of_memory
from archbench.models.shapes import RememberedShapes
from archbench.models.timm_configs import is_bound_to_size

__all__ = ["build", "build_on_meta"]


def build(spec: ModelSpec) -> nn.Module:
    """Construct an architecture without weights, as its library's own constructor does.

    Raises:
        ArchitectureError: the constructor failed; its exception is chained.
        NotMeasuredError: its library is not here, or does not have it.
        MemoryError, RuntimeError: the constructor ran out of memory, passed on as it is.
    """
    require(spec)
    try:
        module = _BUILDERS[spec.library](spec)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        # A constructor that exits the interpreter has failed like any other.
        if is_out_of_memory(error):
            raise
        cause = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise ArchitectureError(f"{spec.id} cannot be built: {cause}") from error
    if not isinstance(module, nn.Module):
        raise ArchitectureError(
            f"{spec.id} cannot be built: its constructor returned {type(module).__name__}, "
            "expected a torch.nn.Module"
        )
    return module


def build_on_meta(spec: ModelSpec) -> nn.Module:
    """The model without memory for its weights, in evaluation mode.

    Some constructors compute with real numbers and fail on meta (torchvision's RegNets); they are
    built on the CPU with their parameters left out, and moved.
    """
    try:
        with torch.device("meta"), RememberedShapes():
            model = build(spec)
    except (ArchitectureError, NotImplementedError, RuntimeError):
        with parameters_on_meta():
            model = build(spec)
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
    import timm

    kwargs = dict(spec.kwargs)
    if not spec.native_input_size and is_bound_to_size(spec.name):
        kwargs["img_size"] = spec.input_size[1:]
    return timm.create_model(spec.name, pretrained=False, **kwargs)


def _build_torchvision(spec: ModelSpec) -> Any:
    from torchvision import models

    kwargs = dict(spec.kwargs)
    if not spec.native_input_size:
        # Only these two families are bound to a size; the others take images of any.
        if spec.name.startswith("vit_"):
            kwargs["image_size"] = spec.input_size[1]
        elif spec.name.startswith("maxvit_"):
            kwargs["input_size"] = spec.input_size[1:]
    return models.get_model(spec.name, weights=None, **kwargs)


def _build_pytorchcv(spec: ModelSpec) -> Any:
    from pytorchcv.model_provider import get_model

    kwargs = dict(spec.kwargs)
    if not spec.native_input_size:
        kwargs["in_size"] = spec.input_size[1:]
    return get_model(spec.name, pretrained=False, **kwargs)


def _build_archbench(spec: ModelSpec) -> Any:
    from archbench.zoo import constructor

    return constructor(spec.name)(**dict(spec.kwargs))


def _build_local(spec: ModelSpec) -> Any:
    if spec.constructor is None:
        raise ValueError("it has no constructor; make the spec with ModelSpec.of(constructor)")
    return spec.constructor(**dict(spec.kwargs))


_BUILDERS: dict[str, Callable[[ModelSpec], Any]] = {
    "timm": _build_timm,
    "torchvision": _build_torchvision,
    "pytorchcv": _build_pytorchcv,
    "archbench": _build_archbench,
    "local": _build_local,
}
