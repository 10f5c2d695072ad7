"""Parameters of a network: how many, of what, where, and in how many bytes."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from archbench.core.complexity import LayerCost
from archbench.core.entries import MetricEntry
from archbench.core.run_config import DTYPES
from archbench.models.loading import TORCH_DTYPES
from archbench.models.parameters import Elements, weights_by_module

CONVOLUTION = nn.modules.conv._ConvNd


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """All parameters and the trainable ones; a shared parameter counts once, and so does one that
    quantised layers hold in a packed form."""
    elements = Elements()
    trainable = sum(elements.new(one) for one in model.parameters() if one.requires_grad)
    return sum(one.elements for one in weights_by_module(model)), trainable


def parameter_metrics(model: nn.Module) -> dict[str, MetricEntry]:
    """What can be said of a network that cannot be counted: its parameters and buffers."""
    params, trainable = count_parameters(model)
    number: MetricEntry = {"unit": "1", "source": "counted"}
    return {
        "params": {"value": params, **number},
        "trainable_params": {"value": trainable, **number},
        "buffers": {"value": sum(buffer.numel() for buffer in model.buffers()), **number},
        "param_bytes": {"by_dtype": param_bytes(model), "unit": "B", "source": "counted"},
    }


def layer_costs(model: nn.Module, macs: Mapping[nn.Module, int]) -> tuple[LayerCost, ...]:
    """Modules that hold parameters or multiply and add; a shared parameter is its first owner's."""
    return tuple(
        LayerCost(one.name, type(one.module).__name__, one.elements, macs.get(one.module, 0))
        for one in weights_by_module(model)
        if one.elements or macs.get(one.module)
    )


def bias_params(model: nn.Module) -> int:
    """Parameters that are biases of convolutions, linear layers and attention."""
    elements, biases = Elements(), 0
    for module in model.modules():
        names: tuple[str, ...] = ("bias",) if isinstance(module, (CONVOLUTION, nn.Linear)) else ()
        if isinstance(module, nn.MultiheadAttention):
            names = ("in_proj_bias", "bias_k", "bias_v")
        for name in names:
            bias = getattr(module, name, None)
            if isinstance(bias, Tensor):
                biases += elements.new(bias)
    return biases


def param_bytes(model: nn.Module) -> dict[str, int]:
    """Bytes of all parameters by precision."""
    elements, floats, fixed = Elements(), 0, 0
    for param in model.parameters():
        new = elements.new(param)
        if param.is_floating_point():
            floats += new
        else:
            fixed += new * param.element_size()
    # What quantisation leaves in fp32 depends on the network, so int8 has no size on paper.
    return {
        dtype: floats * TORCH_DTYPES[dtype].itemsize + fixed for dtype in DTYPES if dtype != "int8"
    }
