"""int8 by torch's own quantisation, where it serves the model."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from archbench.core.errors import NotMeasuredError, first_line, orders_to_end
from archbench.core.spec import ModelSpec

ENGINES = ("x86", "fbgemm", "onednn", "qnnpack")
"""torch's engines of quantised operators, the preferred first; all of them run on CPUs."""

CALIBRATION = 4
"""Batches of synthetic images that the ranges of activations are taken from."""


def refusal(load: Callable[[str], ModuleType] = importlib.import_module) -> str | None:
    """Why nothing can be quantised here; None where it can.

    Args:
        load: imports a module by name.
    """
    try:
        load("torch.ao.quantization.quantize_fx")
    except ImportError:
        return f"torch {torch.__version__} has no torch.ao.quantization any more"
    if _engine() is None:
        return "torch is built without an engine of quantised operators"
    return None


def _engine() -> str | None:
    there = torch.backends.quantized.supported_engines
    return next((engine for engine in ENGINES if engine in there), None)


def quantize(spec: ModelSpec, module: nn.Module, images: Tensor) -> nn.Module:
    """A model with int8 weights and activations.

    First by static quantisation, which needs a forward pass that can be traced: convolutions and
    linear layers, with the ranges of activations from synthetic images. Where it cannot be traced
    and linear layers hold most of the weights, these alone are quantised dynamically, with ranges
    taken anew in each pass.

    Args:
        spec: what it is.
        module: on the CPU in fp32, in evaluation mode. It is used up.
        images: a batch to calibrate with.

    Raises:
        NotMeasuredError: neither serves the model; the sentence has torch's reason.
    """
    engine = _engine()
    assert engine is not None, "a target in int8 was made without asking `refusal`"
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = engine
    try:
        with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
            warnings.simplefilter("ignore")  # that it is deprecated
            return _static(module, images.clone(), engine)
    except MemoryError:
        raise
    except orders_to_end():
        raise
    except Exception as error:
        if _share_in_linear(module) < 0.5:
            raise NotMeasuredError(
                "not-quantisable",
                f"{spec.id} cannot be quantised by torch: {type(error).__name__}: "
                f"{first_line(error)}. Use another --dtype, or leave the architecture out",
            ) from error
        return _dynamic(module)
    finally:
        torch.backends.quantized.engine = before


def _static(module: nn.Module, images: Tensor, engine: str) -> nn.Module:
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    prepared: Any = prepare_fx(module, get_default_qconfig_mapping(engine), (images,))
    generator = torch.Generator().manual_seed(1)
    for _ in range(CALIBRATION):
        prepared(torch.randn(images.shape, generator=generator))
    converted: nn.Module = convert_fx(prepared)
    if not quantized_layers(converted):
        raise RuntimeError("no layer of it has an int8 form")
    converted(images)  # what cannot run fails here, with its own reason
    return converted


def _dynamic(module: nn.Module) -> nn.Module:
    from torch.ao.quantization import quantize_dynamic

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converted: nn.Module = quantize_dynamic(  # type: ignore[no-untyped-call]
            module, {nn.Linear}, dtype=torch.qint8
        )
    return converted


def _share_in_linear(module: nn.Module) -> float:
    total = sum(parameter.numel() for parameter in module.parameters())
    linear = sum(layer.weight.numel() for layer in module.modules() if isinstance(layer, nn.Linear))
    return linear / total if total else 0.0


def quantized_layers(module: nn.Module) -> int:
    """How many layers of a model have int8 weights."""
    return sum(
        type(layer).__module__.startswith("torch.ao.nn.") and hasattr(layer, "weight")
        for layer in module.modules()
    )
