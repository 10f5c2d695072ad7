"""What conventions count besides multiply-adds: elements that operators read or write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from archbench.core.convention import ELEMENTS
from archbench.measure.operators import name_of
from archbench.models.dispatching import spared_compiler
from archbench.models.shapes import RememberedShapes

_ACTIVATIONS = {
    "relu": "relu",
    "leaky_relu": "leaky_relu",
    "_prelu_kernel": "prelu",
    "silu": "silu",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "hardsigmoid": "hard_sigmoid",
    "hardswish": "hard_swish",
    "gelu": "gelu",
}


def count_elements(model: nn.Module, inputs: Sequence[torch.Tensor]) -> dict[str, int]:
    """Numbers of :data:`archbench.core.convention.ELEMENTS` for one image.

    An operator does not show which layer called it: a mean over places counts as adaptive pooling,
    which it is in most networks.

    Args:
        model: the network.
        inputs: one image, and further inputs where it takes some.
    """
    counter = _ElementCounter()
    seen = counter.elements

    def linear(module: nn.Module, _: Any, output: torch.Tensor) -> None:
        # By module: an operator of its own adds the bias where the input is not contiguous.
        biased = module.bias is not None
        seen["linear_bias_outputs" if biased else "unbiased_linear_outputs"] += output.numel()

    hooks = [m.register_forward_hook(linear) for m in model.modules() if isinstance(m, nn.Linear)]
    try:
        with RememberedShapes(), counter:
            model(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    for module in model.modules():
        if isinstance(module, nn.modules.conv._ConvNd):
            seen["grouped_params"] += module.weight.numel() * (module.groups - 1) // module.groups
        elif (
            isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None
        ):
            seen["batch_norm_statistics"] += 2 * module.num_features
        elif isinstance(module, nn.Linear):
            seen["linear_layers"] += 1
    return {name: seen[name] for name in ELEMENTS}


@spared_compiler
class _ElementCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.elements: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        name = name_of(func._overloadpacket).removesuffix("_")
        count = _COUNTS.get(name)
        if count is not None:
            written = (output[0] if isinstance(output, (tuple, list)) else output).numel()
            self.elements.update(count(args, written))
        return output


def _convolution(args: Any, written: int) -> dict[str, int]:
    kernel, bias, groups = args[1], args[2], args[8]
    # A transposed one multiplies each element that it reads.
    macs = (args[0].numel() if args[6] else written) * prod(kernel.shape[1:])
    with_bias = {"conv_bias_outputs": written}
    without = {"unbiased_kernels": kernel.shape[0] * kernel.shape[1]}
    return {"grouped_macs": macs - macs // groups, **(without if bias is None else with_bias)}


def _pooling(args: Any, written: int) -> dict[str, int]:
    places = args[0].dim() - 2
    window = prod(args[1]) if len(args[1]) == places else args[1][0] ** places
    return {"pooling_windows": written * window, "pooling_inputs": args[0].numel()}


def _average_pooling(args: Any, written: int) -> dict[str, int]:
    return {**_pooling(args, written), "average_pooling_outputs": written}


def _adaptive_pooling(args: Any, written: int) -> dict[str, int]:
    read = args[0].numel()
    return {
        "adaptive_pooling_inputs": read,
        "adaptive_pooling_outputs": written,
        "pooling_inputs": read,
    }


def _batch_norm(args: Any, written: int) -> dict[str, int]:
    # Without stored statistics it is an InstanceNorm, which no convention counts.
    has_statistics = len(args) > 3 and isinstance(args[3], torch.Tensor)
    return {"batch_norm_outputs": written} if has_statistics else {}


def _written(name: str) -> Any:
    return lambda args, written: {name: written}


_COUNTS = {
    **{operator: _written(f"{name}_outputs") for operator, name in _ACTIVATIONS.items()},
    **dict.fromkeys(
        (
            "native_batch_norm",
            "_native_batch_norm_legit",
            "_native_batch_norm_legit_no_training",
            "cudnn_batch_norm",
        ),
        _batch_norm,
    ),
    "native_layer_norm": _written("layer_norm_outputs"),
    "native_group_norm": _written("group_norm_outputs"),
    "convolution": _convolution,
    "hardtanh": lambda args, written: {"relu6_outputs": written} if args[1:] == (0, 6) else {},
    "elu": lambda args, written: {"elu_outputs": written} if len(args) < 3 else {},
    "max_pool2d_with_indices": _pooling,
    "max_pool3d_with_indices": _pooling,
    "avg_pool2d": _average_pooling,
    "avg_pool3d": _average_pooling,
    "adaptive_max_pool2d": lambda args, written: {"pooling_inputs": args[0].numel()},
    "mean": _adaptive_pooling,
    "_adaptive_avg_pool2d": _adaptive_pooling,
    "upsample_nearest2d": _written("nearest_outputs"),
    "upsample_bilinear2d": _written("bilinear_outputs"),
}
"""For each operator what it adds, from its arguments and the number of elements that it writes."""
