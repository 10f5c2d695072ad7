"""Which operators multiply and add, and which are known not to.

A count is exact or it is nothing: an operator that is neither here nor in torch's own table of
formulas makes a network uncountable, and is named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import shape_wrapper

aten = torch.ops.aten


@cache
def name_of(packet: Any) -> str:
    """``convolution`` for ``aten.convolution``, ``torchvision.nms`` for one of another library."""
    return str(packet).removeprefix("aten.")


def formulas() -> dict[Any, Callable[..., int]]:
    """FLOPs, 2 for a multiply-add, of operators that torch's own table leaves out.

    As torch's, each takes the operator's arguments and, as ``out_val``, what it returned.
    """
    table: dict[Any, Callable[..., int]] = {
        aten.dot: lambda a, b, **_: 2 * prod(a),
        aten.vdot: lambda a, b, **_: 2 * prod(a),
        aten.mv: lambda matrix, vector, **_: 2 * prod(matrix),
        aten.addmv: lambda bias, matrix, vector, **_: 2 * prod(matrix),
        aten.addmv_: lambda bias, matrix, vector, **_: 2 * prod(matrix),
        aten.addmm_: lambda bias, a, b, **_: 2 * prod(a) * b[-1],
        aten.addbmm: lambda bias, a, b, **_: 2 * prod(a) * b[-1],
        aten.addbmm_: lambda bias, a, b, **_: 2 * prod(a) * b[-1],
        aten.baddbmm_: lambda bias, a, b, **_: 2 * prod(a) * b[-1],
        aten._int_mm: lambda a, b, **_: 2 * prod(a) * b[-1],
        aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: (
            2 * prod(q[:-1]) * k[-2] * (q[-1] + v[-1])
        ),
        aten._trilinear: _trilinear,
        aten.mkldnn_rnn_layer: lambda x, w0, w1, *_, **__: 2 * prod(x[:-1]) * (prod(w0) + prod(w1)),
    }
    if hasattr(torch.ops.torchvision, "deform_conv2d"):
        # As a convolution: sampling between pixels is interpolation, which is not counted.
        table[torch.ops.torchvision.deform_conv2d] = lambda x, weight, *_, out_shape, **__: (
            2 * prod(out_shape) * prod(weight[1:])
        )
    by_shapes: Callable[..., Callable[..., int]] = shape_wrapper
    shaped = {operator: by_shapes(formula) for operator, formula in table.items()}
    return {**shaped, **_of_quantised()}


def _trilinear(
    a: Any, b: Any, c: Any, expand_a: Any, expand_b: Any, expand_c: Any, *_: Any, **__: Any
) -> int:
    """Of ``torch._trilinear``: one multiply-add for each place of the three tensors together, which
    of ``nn.Bilinear`` is ``N * out * in1 * in2``."""
    sides = []
    for shape, expanded in ((a, expand_a), (b, expand_b), (c, expand_c)):
        whole = list(shape)
        for place in sorted(expanded):
            whole.insert(place, 1)
        sides.append(whole)
    places: list[int] = [max(together) for together in zip(*sides, strict=True)]
    return 2 * prod(places)


def _of_quantised() -> dict[Any, Callable[..., int]]:
    """Of the int8 operators of torch.ao, which hold their weights in a packed form."""

    def product(_: Any, packed: Any, *__: Any, out_val: Any, **___: Any) -> int:
        kernel: list[int] = list(packed.unpack()[0].shape[1:])
        return 2 * int(out_val.numel()) * prod(kernel)

    names = ("linear", "conv1d", "conv2d", "conv3d")
    forms = ("", "_relu", "_dynamic", "_relu_dynamic")
    quantized = torch.ops.quantized
    return {
        getattr(quantized, name + form): product
        for name in names
        for form in forms
        if hasattr(quantized, name + form)
    }


_CONVOLUTIONS = [f"conv{kind}{sides}d" for kind in ("", "_transpose") for sides in (1, 2, 3)]
COMPLEX_CONVOLUTIONS = frozenset(
    {getattr(torch, name) for name in _CONVOLUTIONS}
    # As exported programs call them.
    | {
        getattr(getattr(aten, name), overload)
        for name in _CONVOLUTIONS
        for overload in getattr(aten, name).overloads()
    }
)
"""Functions that torch takes apart into real convolutions where they get complex numbers."""


def complex_convolution_flops(func: Any, image: Tensor, weight: Tensor, output: Tensor) -> int:
    """FLOPs of a convolution of complex numbers, 2 for a multiply-add of these.

    Args:
        func: one of :data:`COMPLEX_CONVOLUTIONS`.
        image, weight: its first arguments.
        output: what it returned.
    """
    is_transposed = "transpose" in func.__name__
    # A transposed one multiplies each element that it reads.
    return 2 * (image if is_transposed else output).numel() * prod(weight.shape[1:])


# None of these multiplies and adds in the sense of a MAC. Some tools count some of them all the
# same, each others: see core/conventions.py.
_WITHOUT_PRODUCTS = frozenset(
    name
    for group in (
        # normalisation
        "_native_batch_norm_legit _native_batch_norm_legit_no_training native_batch_norm "
        "cudnn_batch_norm batch_norm _batch_norm_no_update native_layer_norm _fused_rms_norm "
        "polar complex _linalg_check_errors torchvision.roi_align torchvision.nms "
        "native_group_norm linalg_vector_norm _weight_norm_interface renorm",
        # pooling and reductions
        "avg_pool1d avg_pool2d avg_pool3d max_pool2d_with_indices max_pool3d_with_indices "
        "_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d "
        "fractional_max_pool2d max_unpool2d mean sum nansum prod var std var_mean std_mean amax "
        "amin max min argmax argmin aminmax any all logsumexp median mode norm count_nonzero "
        "cumsum cumprod cummax cummin logcumsumexp",
        # activations that torch does not tag as element-wise
        "_softmax _log_softmax _safe_softmax softmax hardswish hardswish_ hardtanh hardtanh_ "
        "hardsigmoid hardsigmoid_ _prelu_kernel prelu rrelu rrelu_with_noise glu leaky_relu "
        "leaky_relu_ elu elu_ silu silu_ mish mish_ gelu gelu_ relu relu_ sigmoid sigmoid_ tanh "
        "tanh_ threshold threshold_ celu celu_ log_sigmoid_forward softplus softshrink hardshrink "
        "native_dropout bernoulli bernoulli_ quantize_per_tensor dequantize quantize_per_channel "
        "quantized.add quantized.add_relu quantized.mul quantized.cat quantized.batch_norm2d "
        "quantized.hardswish quantized.leaky_relu quantized.prelu quantized.layer_norm "
        "quantize_per_tensor_dynamic _choose_qparams_per_tensor int_repr q_scale q_zero_point "
        "fake_quantize_per_tensor_affine_cachemask fake_quantize_per_channel_affine_cachemask "
        "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams",
        # interpolation and sampling
        "upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d "
        "_upsample_nearest_exact2d upsample_linear1d upsample_bilinear2d upsample_bicubic2d "
        "upsample_trilinear3d _upsample_bilinear2d_aa _upsample_bicubic2d_aa grid_sampler_2d "
        "grid_sampler_3d affine_grid_generator pixel_shuffle pixel_unshuffle channel_shuffle "
        "native_channel_shuffle",
        # copies, padding, indexing, ordering
        "clone copy_ _to_copy copy contiguous cat stack repeat repeat_interleave roll flip rot90 "
        "constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d "
        "replication_pad2d replication_pad3d im2col col2im index index_select _unsafe_index "
        "_unsafe_masked_index index_put index_put_ _index_put_impl_ index_add index_add_ "
        "index_copy index_fill gather scatter scatter_ scatter_add scatter_add_ scatter_reduce "
        "scatter_reduce_ index_copy_ index_fill_ index_reduce index_reduce_ put_ equal "
        "unique_consecutive histc bincount split_with_sizes_copy "
        "slice_scatter select_scatter masked_select masked_scatter take nonzero sort topk kthvalue "
        "_pack_padded_sequence "
        "unique_dim _unique2 searchsorted bucketize one_hot embedding unsafe_split "
        "unsafe_split_with_sizes unsafe_chunk tril triu diag_embed block_diag masked_fill "
        "masked_fill_ where split_copy unbind_copy view_copy "
        "expand_copy permute_copy as_strided_copy",
        # tensors made from nothing
        "zeros zeros_like new_zeros ones ones_like new_ones full full_like new_full fill fill_ "
        "zero_ scalar_tensor arange linspace logspace eye rand rand_like randn randn_like randint "
        "randperm normal normal_ exponential_ geometric_ cauchy_ log_normal_ random_ multinomial "
        "poisson uniform_ tril_indices triu_indices _local_scalar_dense",
    )
    for name in group.split()
)

_FREE = frozenset(
    {
        *("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "resize_"),
        *("_unsafe_view", "_reshape_alias", "set_", "as_strided_", "detach_", "lift_fresh"),
        *("squeeze_", "unsqueeze_", "transpose_", "t_"),
        # Marks for profilers.
        *("profiler._record_function_enter", "profiler._record_function_enter_new"),
        *("profiler._record_function_exit",),
        # Checks, which an export adds.
        *("_assert_async", "_assert_scalar", "_assert_tensor_metadata"),
        *("sym_constrain_range", "sym_constrain_range_for_size"),
    }
)
"""They write no element: views that are not declared as such, bare memory, marks, checks."""

_BARE = frozenset({"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"})


_OF_SHAPES = frozenset(
    f"{before}{kind}{behind}"
    for kind in ("zeros", "ones", "full", "empty", "empty_strided", "rand", "randn", "randint")
    for before, behind in (("", ""), ("new_", ""), ("", "_like"))
)


@cache
def ignores_values(operator: Any) -> bool:
    """Whether an operator takes no more of what it reads than shape and precision."""
    return name_of(operator._overloadpacket) in _OF_SHAPES


_FILLING = frozenset(
    {f"{before}{kind}" for kind in ("zeros", "ones", "full") for before in ("", "new_")}
    | {"zeros_like", "ones_like", "full_like", "zero_", "fill_"}
)


@cache
def fills(operator: Any) -> bool:
    """Whether an operator writes one number everywhere."""
    return name_of(operator._overloadpacket) in _FILLING


@cache
def is_free(operator: Any) -> bool:
    """Whether an operator writes no element of a tensor."""
    return bool(operator.is_view) or name_of(operator._overloadpacket) in _FREE


@cache
def makes_bare_memory(operator: Any) -> bool:
    """Whether an operator returns memory that nothing has been written to."""
    return name_of(operator._overloadpacket) in _BARE


@cache
def has_no_products(operator: Any) -> bool:
    """Whether an operator is known not to multiply and add: element-wise, or in the table."""
    return (
        torch.Tag.pointwise in operator.tags
        or name_of(operator._overloadpacket) in _WITHOUT_PRODUCTS
    )


def flops_by(formula: Callable[..., int], args: Any, kwargs: Mapping[str, Any], output: Any) -> int:
    """What a formula says. torch's wrapper finds the tensors among nested arguments, which takes a
    hundred times longer than the formula; most operators have none nested."""
    by_shapes = getattr(formula, "__wrapped__", None)
    nested = (item for arg in args if isinstance(arg, (list, tuple)) for item in arg)
    if (
        by_shapes is not None
        and not kwargs
        and isinstance(output, Tensor)
        and not any(isinstance(item, Tensor) for item in nested)
    ):
        shapes = [arg.shape if isinstance(arg, Tensor) else arg for arg in args]
        return int(by_shapes(*shapes, out_shape=output.shape))
    return formula(*args, **kwargs, out_val=output)


def plain_numbers(tensor: Tensor) -> Tensor:
    """A tensor's numbers, as ones that can be added."""
    if tensor.is_quantized:
        return tensor.int_repr()
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def stripped(shape: Sequence[int]) -> tuple[int, ...]:
    """Without places of size 1 at the end: a classifier may be a convolution of one pixel."""
    sizes = tuple(shape)
    while len(sizes) > 2 and sizes[-1] == 1:
        sizes = sizes[:-1]
    return sizes
