"""What a network costs on paper: parameters and multiply-adds, counted without arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from archbench.core.errors import ArchitectureError, NotMeasuredError
from archbench.core.spec import ModelSpec
from archbench.measure.filling import parameters_on_meta
from archbench.measure.libraries import build
from archbench.measure.loading import class_scores

__all__ = ["Complexity", "build_on_meta", "count", "count_macs", "count_parameters"]


@dataclass(frozen=True, slots=True)
class Complexity:
    """Exact counts of one architecture at its input size.

    Attributes:
        params: elements of all parameters, shared ones once.
        trainable_params: of those that require a gradient as constructed.
        macs: multiply-adds of one forward pass of one image: convolutions, matrix products and
            attention; element-wise operators are not multiply-adds.
        output_shape: of the class scores for one image.
    """

    params: int
    trainable_params: int
    macs: int
    output_shape: tuple[int, ...]


def build_on_meta(spec: ModelSpec) -> nn.Module:
    """The model without memory for its weights, in evaluation mode.

    Some constructors compute with real numbers and fail on meta (torchvision's RegNets); they are
    built on the CPU with their parameters left out, and moved.
    """
    try:
        with torch.device("meta"):
            model = build(spec)
    except (ArchitectureError, NotImplementedError, RuntimeError):
        with parameters_on_meta():
            model = build(spec).to("meta")
    return model.eval()


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """All parameters and the trainable ones; a shared parameter counts once."""
    sizes = [(param.numel(), param.requires_grad) for param in model.parameters()]
    return sum(n for n, _ in sizes), sum(n for n, trainable in sizes if trainable)


def count_macs(spec: ModelSpec, model: nn.Module) -> tuple[int, tuple[int, ...]]:
    """Multiply-adds of one image and the output's shape, by operator dispatch on meta.

    torch's counter reports 2 FLOPs for each multiply-add; the count here is half of that. It runs
    with gradients enabled and the parameters' switched off, where fused attention is seen whole.
    """
    model.requires_grad_(False)
    counter = FlopCounterMode(display=False)
    with counter:
        output = model(torch.empty((1, *spec.input_size), device="meta"))
    scores = class_scores(spec, output, images=1)
    flops = counter.get_total_flops()
    if flops % 2:
        raise ArchitectureError(f"an odd number of FLOPs, {flops}, is not twice a number of MACs")
    return flops // 2, tuple(scores.shape)


def count(spec: ModelSpec) -> Complexity:
    """Count one architecture.

    Raises:
        ArchitectureError: it cannot be built, or returns no class scores.
        NotMeasuredError: its forward pass fails on the meta device.
    """
    model = build_on_meta(spec)
    params, trainable = count_parameters(model)
    try:
        macs, shape = count_macs(spec, model)
    except (KeyboardInterrupt, GeneratorExit, ArchitectureError):
        raise
    except BaseException as error:
        # Whatever a network's own code raises on this size or on meta; AssertionError is common.
        raise NotMeasuredError(
            "not-counted",
            f"{spec.id} cannot be counted: {type(error).__name__}: {error}. "
            "Counting runs on torch's meta device: create tensors with device=x.device and do not "
            "read values in the forward pass",
        ) from error
    return Complexity(params, trainable, macs, shape)
