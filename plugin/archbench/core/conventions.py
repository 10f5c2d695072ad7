"""What published tables count when they print FLOPs, MACs or parameters.

archbench counts multiply-adds. Most tools count something else besides: a BatchNorm, a bias, a
window of a pooling. A convention is a table of weights: what a multiply-add of each kind counts,
and what each of those other elements counts. The weights come from the tools' own sources and from
rows that they reproduce digit for digit; nothing here is measured.
"""

from __future__ import annotations

from fractions import Fraction

from archbench.core.convention import Convention, Style


def _weights(**counts: float) -> dict[str, Fraction]:
    return {name: Fraction(count) for name, count in counts.items()}


def _each(weight: float, *activations: str) -> dict[str, Fraction]:
    return {f"{name}_outputs": Fraction(weight) for name in activations}


_MILLIONS = Style("M", 10**6, decimals=2)

CONVENTIONS: dict[str, Convention] = {
    convention.name: convention
    for convention in (
        Convention(
            "macs",
            "What archbench counts: 1 for a multiply-add of a convolution, of a matrix product "
            "with parameters, or of activations with each other. Biases, normalisation, "
            "activation functions and pooling count nothing.",
            "archbench.measure.complexity",
            {"convolution": 1, "linear": 1, "product": 1},
            Style("G", 10**9, significant=4),
            Style("M", 10**6, significant=4),
        ),
        Convention(
            "flops-2-per-mac",
            "The same with multiply and add as two operations, as torch.utils.flop_counter and "
            "most papers on hardware have it.",
            "torch.utils.flop_counter",
            {"convolution": 2, "linear": 2, "product": 2},
            Style("G", 10**9, significant=4),
            Style("M", 10**6, significant=4),
        ),
        Convention(
            "bertmoons",
            "2 for a multiply-add, in millions. The rows of MobileNet, MobileNetV2 and MSDNet are "
            "written as twice the multiply-adds of their papers; most others look read off plots.",
            "BertMoons/Comparing-CNN-Architectures, comparison_data.py",
            {"convolution": 2, "linear": 2, "product": 2},
            Style("M", 10**6),
            Style("M", 10**6, decimals=1),
        ),
        Convention(
            "paddleclas-series",
            "PaddleClas' tables for each series of networks, by Paddle's model_stat: 2 for a "
            "multiply-add of a convolution, 1 for one of a linear layer, 2 for each element that "
            "BatchNorm writes, 1 for each element in a pooling's window, 1 for each that global "
            "pooling writes. An activation is counted with a batch of -1, so each element of ReLU, "
            "leaky ReLU, PReLU, sigmoid and tanh counts minus 1; other activations count nothing. "
            "A convolution in g groups is divided by g twice. Parameters are without biases, and "
            "with 1 for each linear layer.",
            "PaddlePaddle/Paddle, python/paddle/fluid/contrib/model_stat.py @ 007ff517",
            {"convolution": 2, "linear": 1, "product": 0},
            Style("G", 10**9, decimals=2, zeros=1),
            Style("M", 10**6, decimals=2, zeros=1),
            element_weights={
                **_weights(batch_norm_outputs=2),
                **_each(-1, "relu", "leaky_relu", "prelu", "sigmoid", "tanh"),
                **_weights(pooling_windows=1, adaptive_pooling_outputs=1, grouped_macs=-2),
            },
            counts_biases=False,
            param_weights=_weights(linear_layers=1, grouped_params=-1),
        ),
        Convention(
            "paddleclas-overview",
            "PaddleClas' overview of all networks, by paddle.flops of Paddle 2.2: 1 for a "
            "multiply-add of a convolution or linear layer, 1 for a convolution's bias, 2 for each "
            "element that BatchNorm writes, a little for average pooling. Matrix products outside "
            "of layers count nothing. Parameters include BatchNorm's running statistics.",
            "PaddlePaddle/PaddleClas, docs/en/algorithm_introduction/ImageNet_models_en.md @ "
            "0e9b347c; PaddlePaddle/Paddle, python/paddle/hapi/dynamic_flops.py @ 00241324",
            {"convolution": 1, "linear": 1, "product": 0},
            Style("G", 10**9, decimals=2),
            _MILLIONS,
            element_weights={
                **_weights(conv_bias_outputs=1, batch_norm_outputs=2),
                **_each(1, "leaky_relu"),
                **_weights(
                    average_pooling_outputs=1, adaptive_pooling_inputs=1, adaptive_pooling_outputs=1
                ),
            },
            param_weights=_weights(batch_norm_statistics=1),
        ),
        Convention(
            "ptflops",
            "The module counter of ptflops (backend pytorch), which calls it MACs: multiply-adds "
            "and biases count 1, an element that BatchNorm or GroupNorm writes 2, one that "
            "LayerNorm, ReLU and its kin write 1, one that pooling reads 1. SiLU, sigmoid and "
            "their hard forms count nothing. It goes by types of modules and knows no subclass of "
            "them, so a sum over operators meets its figure in networks of the plain types only.",
            "sovrasov/flops-counter.pytorch, ptflops/pytorch_ops.py, version 0.7.5",
            {"convolution": 1, "linear": 1, "product": 1},
            Style("GMac", 10**9, decimals=3),
            Style("M", 10**6, decimals=3),
            element_weights={
                **_weights(conv_bias_outputs=1, linear_bias_outputs=1),
                **_weights(batch_norm_outputs=2, layer_norm_outputs=1, group_norm_outputs=2),
                **_each(1, "relu", "relu6", "leaky_relu", "prelu", "elu", "gelu"),
                **_weights(pooling_inputs=1),
            },
            command="archbench summary ID --convention=ptflops",
        ),
        Convention(
            "timm",
            "GMACs of timm's result tables, by fvcore: multiply-adds count 1, an element that "
            "BatchNorm writes 2, one that LayerNorm or GroupNorm writes 5, one that adaptive "
            "pooling reads 1. Activations (macts) are the elements that convolutions and matrix "
            "products write, those of attention included.",
            "huggingface/pytorch-image-models, benchmark.py (profile_fvcore); "
            "facebookresearch/fvcore, fvcore/nn/flop_count.py",
            {"convolution": 1, "linear": 1, "product": 1},
            Style("G", 10**9, decimals=2),
            _MILLIONS,
            _MILLIONS,
            element_weights=_weights(
                batch_norm_outputs=2,
                layer_norm_outputs=5,
                group_norm_outputs=5,
                adaptive_pooling_inputs=1,
                nearest_outputs=1,
                bilinear_outputs=4,
            ),
        ),
        Convention(
            "pytorchcv",
            "The column FLOPs/2 of pytorchcv's README, half of what its measure_model counts: 1 "
            "for a multiply-add, 2 for an element that BatchNorm writes, a half for one that ReLU "
            "writes or that is in a pooling's window, 2 for sigmoid, 5/2 for Swish. A layer "
            "without a bias counts a little less than its multiply-adds.",
            "osmr/pytorchcv, README.md (FLOPs/2); osmr/imgclsmob, pytorch/model_stats.py",
            {"convolution": 1, "linear": 1, "product": 0},
            Style("M", 10**6, decimals=2, thousands=True),
            Style("", 1, thousands=True),
            element_weights={
                **_weights(batch_norm_outputs=2),
                **_each(0.5, "relu", "relu6", "hard_sigmoid"),
                **_each(1, "leaky_relu", "hard_swish"),
                **_each(1.5, "prelu", "elu"),
                **_each(2, "sigmoid"),
                **_each(2.5, "silu"),
                **_weights(
                    pooling_windows=0.5,
                    adaptive_pooling_inputs=0.5,
                    unbiased_kernels=-0.5,
                    unbiased_linear_outputs=-0.5,
                ),
            },
        ),
        Convention(
            "bianco2018",
            "Operations of Bianco et al. (figures only): half of what their script counts for "
            "convolutions, 2 for a multiply-add and 1 for a bias. Linear layers count nothing.",
            "CeLuigi/models-comparison.pytorch, pretrainedmodels/utils.py @ caaf76be and "
            "scripts/compute_computational_complexity.py",
            {"convolution": 1, "linear": 0, "product": 0},
            element_weights=_weights(conv_bias_outputs=0.5),
        ),
    )
}
"""Every convention by its name."""
