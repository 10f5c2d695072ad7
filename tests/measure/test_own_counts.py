"""Counts of networks of a person's own: by hand, whatever their code does."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from archbench import ModelSpec
from archbench.core.errors import NotMeasuredError
from archbench.measure.complexity import count
from archbench.models.loading import ModelHolder
from archbench.models.networks import construct

CONV = 8 * 8 * 4 * 27  # 3 x 3 taps of 3 channels for 4 channels of 8 x 8


class Two(nn.Module):
    """Two convolutions with padding and a classifier: 6,912 twice, and 2,560."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1)
        self.b = nn.Conv2d(3, 4, 3, padding=1)
        self.fc = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc((self.a(x) + self.b(x)).flatten(1))


class ByPool(Two):
    def forward(self, x: Tensor) -> Tensor:
        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(self.b, x)
            return self.fc((self.a(x) + other.result()).flatten(1))


class ByThread(Two):
    def forward(self, x: Tensor) -> Tensor:
        found: list[Tensor] = []
        thread = Thread(target=lambda: found.append(functional.conv2d(x, self.b.weight, padding=1)))
        thread.start()
        y = self.a(x)
        thread.join()
        return self.fc((y + found[0]).flatten(1))


class ByLastingPool(Two):
    """Its pool is made, and its threads run, before anything is counted."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = ThreadPoolExecutor(2)
        list(self.pool.map(abs, range(8)))

    def forward(self, x: Tensor) -> Tensor:
        one, other = self.pool.map(lambda layer: layer(x), (self.a, self.b))
        return self.fc((one + other).flatten(1))


class Marked(Two):
    def forward(self, x: Tensor) -> Tensor:
        with torch.profiler.record_function("stem"):
            return super().forward(x)


class Parallel(Two):
    def __init__(self) -> None:
        super().__init__()
        self.b = nn.DataParallel(self.b)  # type: ignore[assignment]


class Checkpointed(Two):
    def forward(self, x: Tensor) -> Tensor:
        from torch.utils.checkpoint import checkpoint

        y = self.a(x) + checkpoint(self.b, x, use_reentrant=False)
        return self.fc(y.flatten(1))


class Compiled(Two):
    def __init__(self) -> None:
        super().__init__()
        self.b = torch.compile(self.b)  # type: ignore[assignment]


class Scripted(Two):
    def __init__(self) -> None:
        super().__init__()
        self.b = torch.jit.script(self.b)  # type: ignore[assignment]
        self.fc = torch.jit.trace(self.fc, torch.ones(1, 256))


class Frozen(Two):
    def __init__(self) -> None:
        super().__init__()
        self.eval()
        self.b = torch.jit.freeze(torch.jit.script(self.b))


class Exported(Two):
    def __init__(self) -> None:
        super().__init__()
        program = torch.export.export(self.b, (torch.ones(1, 3, 8, 8),))
        self.b = program.module()  # type: ignore[assignment]


class ExportedWithChecks(Two):
    """Its casts and its numbers of pixels above zero are checked in the exported program."""

    def __init__(self) -> None:
        super().__init__()

        class Casting(nn.Module):
            def __init__(self, layer: nn.Module) -> None:
                super().__init__()
                self.layer = layer

            def forward(self, x: Tensor) -> Tensor:
                number = (x > 0).sum().item()
                torch._check(number > 0)
                return self.layer(x.double().float()) * number

        self.b = torch.export.export(Casting(self.b), (torch.ones(1, 3, 8, 8),)).module()  # type: ignore[assignment]


class AsksForShapes(Two):
    def forward(self, x: Tensor) -> Tensor:
        shape = functional.conv2d(x.to("meta"), self.b.weight.to("meta"), padding=1).shape
        return self.fc((self.a(x) + self.b(x)).reshape(shape).flatten(1))


class ReadsValues(Two):
    def forward(self, x: Tensor) -> Tensor:
        scale = 2.0 if float(x.mean()) > 1e9 else 1.0
        return super().forward(x * scale)


class FileLevel(Two):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - MEAN)


MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)


@pytest.mark.parametrize(
    "constructor",
    [
        *(Two, ByPool, ByThread, ByLastingPool, Marked, Parallel, Checkpointed, Compiled),
        *(Scripted, Frozen, AsksForShapes, ReadsValues, FileLevel),
        # 2.6 cannot export them
        pytest.param(Exported, marks=pytest.mark.requires("torch>=2.7")),
        pytest.param(ExportedWithChecks, marks=pytest.mark.requires("torch>=2.7")),
    ],
    ids=lambda one: one.__name__,
)
def test_what_a_network_does_is_counted_however_it_does_it(constructor: type[nn.Module]) -> None:
    for _ in range(2):
        found = count(ModelSpec.of(constructor, input_size=8))
        assert found.macs == 2 * CONV + 2_560 == 16_384
    is_frozen = constructor is Frozen
    assert found.params == 2_794 - 112 * is_frozen  # what is frozen is no parameter any more


class Net(nn.Module):
    """A function of the image with some layers."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor], **layers: Any) -> None:
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            if isinstance(layer, nn.Module):
                self.add_module(name, layer)
            else:
                self.register_parameter(name, nn.Parameter(layer))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x).reshape(1, -1).float()


def complex_(x: Tensor) -> Tensor:
    return torch.complex(x, x)


CASES: dict[str, tuple[Net, int]] = {
    "complex convolution": (
        Net(lambda n, x: n.c(complex_(x)).abs(), c=nn.Conv2d(3, 4, 3, dtype=torch.complex64)),
        36 * 4 * 27,
    ),
    "complex convolution, grouped": (
        Net(
            lambda n, x: n.c(complex_(x)).abs(),
            c=nn.Conv2d(3, 6, 3, groups=3, dtype=torch.complex64, bias=False),
        ),
        36 * 6 * 9,
    ),
    "complex transposed convolution": (
        Net(
            lambda n, x: n.c(complex_(x)).abs(),
            c=nn.ConvTranspose2d(3, 4, 2, 2, dtype=torch.complex64),
        ),
        64 * 3 * 4 * 4,
    ),
    "complex linear layer": (
        Net(lambda n, x: n.l(complex_(x)).abs(), l=nn.Linear(8, 5, dtype=torch.complex64)),
        24 * 8 * 5,
    ),
    "in-place products": (
        Net(
            lambda n, x: (
                x.new_zeros(3, 5).addmm_(x[0, 0, :3], n.w)
                + x.new_zeros(3, 3, 5).baddbmm_(x[:, 0, :3].expand(3, 3, 8), n.w.expand(3, 8, 5))[0]
                + x.new_zeros(3, 5).addbmm_(x[:, 0, :3], n.w[None])
                + x.new_zeros(3).addmv_(x[0, 0, :3], n.w[:, 0])[:, None]
            ),
            w=torch.randn(8, 5),
        ),
        3 * 8 * 5 + 3 * 3 * 8 * 5 + 3 * 8 * 5 + 3 * 8,
    ),
    "bilinear": (
        Net(lambda n, x: n.b(x[:, 0], x[:, 1]), b=nn.Bilinear(8, 8, 5)),
        8 * 5 * 8 * 8,  # of 8 rows
    ),
    "fused attention": (
        Net(lambda n, x: functional.scaled_dot_product_attention(x, x, x)),
        2 * 3 * 8 * 8 * 8,
    ),
    "attention with masks": (
        Net(
            lambda n, x: functional.scaled_dot_product_attention(
                x, x, x, attn_mask=torch.ones(8, 8).tril().bool()
            )
        ),
        2 * 3 * 8 * 8 * 8,
    ),
    "multi-head attention": (
        Net(lambda n, x: n.m(x[0], x[0], x[0])[0], m=nn.MultiheadAttention(8, 2, batch_first=True)),
        # Projections of 24 rows to 3 x 8 and to 8, then 2 heads of 4 over 8 rows, 3 times.
        24 * 8 * 32 + 3 * 2 * 2 * 8 * 8 * 4,
    ),
    "an encoder of transformers": (
        Net(lambda n, x: n.e(x[0]), e=nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)),
        24 * 8 * 32 + 3 * 2 * 2 * 8 * 8 * 4 + 24 * 2 * 8 * 16,
    ),
    "LSTM": (Net(lambda n, x: n.r(x[0])[0], r=nn.LSTM(8, 4)), 24 * 16 * (8 + 4)),
    "LSTM of two layers, both ways": (
        Net(lambda n, x: n.r(x[0])[0], r=nn.LSTM(8, 4, 2, bidirectional=True)),
        24 * 2 * 16 * (8 + 4) * 2,  # the second layer reads 8 too
    ),
    "GRU": (Net(lambda n, x: n.r(x[0])[0], r=nn.GRU(8, 4)), 24 * 12 * (8 + 4)),
    "tied": (
        Net(lambda n, x: functional.linear(functional.linear(x, n.w), n.w), w=torch.randn(8, 8)),
        2 * 24 * 64,
    ),
    "chance that changes nothing": (
        Net(lambda n, x: functional.linear(x + torch.rand_like(x), n.w), w=torch.randn(5, 8)),
        24 * 40,
    ),
    "sampling": (
        Net(
            lambda n, x: functional.linear(
                functional.gumbel_softmax(x) + torch.multinomial(x[0, 0].abs(), 8), n.w
            ),
            w=torch.randn(5, 8),
        ),
        24 * 40,
    ),
    "scattering and uniqueness": (
        Net(
            lambda n, x: functional.linear(
                torch.zeros(8, 8).scatter_reduce_(
                    0, torch.arange(64).view(8, 8) % 8, x[0, 0], "amax"
                )
                + torch.unique(torch.arange(8)),
                n.w,
            ),
            w=torch.randn(5, 8),
        ),
        8 * 40,
    ),
    "weights from the image": (
        Net(lambda n, x: functional.conv2d(x, x.mean((2, 3)).view(1, 3, 1, 1))),
        64 * 3,
    ),
    "memory that operators fill": (
        Net(lambda n, x: functional.linear(_filled(x), n.w), w=torch.randn(5, 8)),
        24 * 40,
    ),
    "a constant of NumPy": (
        Net(
            lambda n, x: functional.linear(x + torch.from_numpy(np.ones(8, "float32")), n.w),
            w=torch.randn(5, 8),
        ),
        24 * 40,
    ),
    "memory that is written to in parts": (
        Net(lambda n, x: functional.linear(_in_parts(x), n.w), w=torch.randn(5, 8)),
        24 * 40,
    ),
    "dynamically quantised": (
        Net(
            lambda n, x: n.q(x),
            q=torch.ao.quantization.quantize_dynamic(
                nn.Sequential(nn.Linear(8, 5)), {nn.Linear}, dtype=torch.qint8
            ),
        ),
        24 * 40,
    ),
}


def _in_parts(x: Tensor) -> Tensor:
    y = torch.empty(x.shape)
    y[..., :4] = x[..., 4:]
    y[..., 4:] = x[..., :4]
    return y


def _filled(x: Tensor) -> Tensor:
    nothing, mask = torch.zeros(0), torch.full((8,), float("nan"))
    y = torch.zeros_like(x)
    y[..., 2:] += x[..., 2:]
    y[..., 0].fill_(3.0)
    torch.add(x, nothing.sum() + 1, out=y)
    torch.zeros(1).resize_(x.shape).copy_(x)
    return y + torch.isnan(mask) + torch.zeros(4, 8).fill_(1.0)[0]


@pytest.mark.parametrize("name", CASES)
def test_counts_by_hand(name: str) -> None:
    network, macs = CASES[name]
    found = count(ModelSpec.of(network, name="net", input_size=8))
    assert found.macs == macs
    assert sum(layer.macs for layer in found.layers) == macs


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("is_traced", [True, False])
def test_complex_convolutions_of_a_script_are_refused(is_traced: bool) -> None:
    layer, image = nn.Conv2d(3, 4, 3, dtype=torch.complex64), complex_(torch.ones(1, 3, 8, 8))
    script = torch.jit.trace(layer, image) if is_traced else torch.jit.script(layer)
    net = Net(lambda n, x: n.c(complex_(x)).abs(), c=script)
    with pytest.raises(NotMeasuredError, match="convolutions of complex numbers in a script"):
        count(ModelSpec.of(net, name="net", input_size=8))


@pytest.mark.requires("torch>=2.7")  # which exports it
@pytest.mark.parametrize(
    ("layer", "macs"),
    [
        (nn.Conv2d(3, 4, 3, padding="same", dtype=torch.complex64), 64 * 4 * 27),
        (nn.ConvTranspose2d(3, 4, 2, 2, dtype=torch.complex64), 64 * 3 * 4 * 4),
    ],
)
def test_complex_convolutions_of_an_exported_program(layer: nn.Module, macs: int) -> None:
    net = Net(lambda n, x: n.c(complex_(x)).abs(), c=layer)
    program = torch.export.export(net, (torch.ones(1, 3, 8, 8),))
    assert count(ModelSpec.of(program.module, name="net", input_size=8)).macs == macs


@pytest.mark.filterwarnings("ignore")
def test_statically_quantised_convolutions() -> None:
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3, groups=2)]
    plain = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 10)).eval()

    def net() -> nn.Module:
        from torch.ao.quantization import get_default_qconfig_mapping
        from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

        images = torch.randn(2, 3, 8, 8)
        prepared = prepare_fx(plain, get_default_qconfig_mapping("x86"), (images,))
        prepared(images)
        return convert_fx(prepared)

    for constructor in (net, lambda: torch.jit.script(net())):
        found = count(ModelSpec.of(constructor, name="net", input_size=8))
        assert found.macs == 36 * 4 * 27 + 16 * 6 * 18 + 60
        assert (found.params, found.max_channels) == (112 + 114 + 70, 6)


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(24, 12, batch_first=True)
        self.head = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.permute(0, 2, 1, 3).flatten(2)
        packed = nn.utils.rnn.pack_padded_sequence(rows, [5] * len(rows), batch_first=True)
        return self.head(self.rnn(packed)[1][0][-1])


def test_a_packed_sequence_is_no_work() -> None:
    assert count(ModelSpec.of(Packed, input_size=8)).macs == 5 * 48 * (24 + 12) + 120


@pytest.mark.parametrize("product", [torch.sparse.mm, torch.mm, torch.matmul])
def test_sparse_products_are_refused_by_name(product: Callable[..., Tensor]) -> None:
    class Sparse(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.eye(10, 192).to_sparse())

        def forward(self, x: Tensor) -> Tensor:
            return product(self.w, x.flatten(1).t()).t()

    with pytest.raises(NotMeasuredError) as caught:
        count(ModelSpec.of(Sparse, input_size=8))
    assert caught.value.reason == "operator-not-counted"
    assert "sparse" in str(caught.value)
    assert caught.value.metrics["params"]["value"] == 1920


def test_quantised_weights_are_parameters() -> None:
    network, _ = CASES["dynamically quantised"]
    assert count(ModelSpec.of(network, name="net", input_size=8)).params == 45


def test_channels_of_quantised_layers() -> None:
    def net() -> nn.Module:
        plain = nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.ReLU(), nn.Linear(16, 10))
        return torch.ao.quantization.quantize_dynamic(plain.eval(), {nn.Linear})

    counted = count(ModelSpec.of(net, input_size=8))
    assert (counted.macs, counted.max_channels) == (192 * 16 + 16 * 10, 16)


@pytest.mark.parametrize(
    ("chance", "what"),
    [
        (lambda: float(torch.rand(())) < 0.2, "it draws random numbers in evaluation mode"),
        (lambda: random.random() < 0.2, "it draws random numbers in evaluation mode"),
        (lambda: np.random.rand() < 0.2, "it draws random numbers in evaluation mode"),
    ],
)
def test_structure_by_chance_is_refused_and_the_parameters_are_shown(
    chance: Callable[[], bool], what: str
) -> None:
    class Dropping(Two):
        def forward(self, x: Tensor) -> Tensor:
            y = self.a(x)
            return self.fc((y if chance() else y + self.b(x)).flatten(1))

    with pytest.raises(NotMeasuredError) as caught:
        count(ModelSpec.of(Dropping, input_size=8))
    assert caught.value.reason == "structure-varies"
    assert str(caught.value).startswith("local/Dropping cannot be counted: two passes multiplied ")
    assert f"{what}. Let the forward pass be the same each time" in str(caught.value)
    assert {"9,472", "16,384"} < set(str(caught.value).split())
    assert caught.value.metrics["params"]["value"] == 2_794


def test_structure_by_the_values_of_an_image_is_refused() -> None:
    class Choosing(Two):
        def forward(self, x: Tensor) -> Tensor:
            y = self.a(x)
            return self.fc((y if float(x[0, 0, 0, 0]) > 0 else y + self.b(x)).flatten(1))

    with pytest.raises(NotMeasuredError, match="depends on the values in its images"):
        count(ModelSpec.of(Choosing, input_size=8))


class Either(nn.Module):
    """Of two convolutions the one that a comparison of its image says, and a classifier."""

    def __init__(self, limit: float, channels: int) -> None:
        super().__init__()
        self.limit = limit
        self.a = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.Conv2d(channels, 4, 1))
        self.b = nn.Conv2d(3, 4, 3, padding=1)
        self.fc = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        either: Any = torch.cond(x[0, 0, 0, 0] > self.limit, self.a, self.b, (x,))
        return self.fc(either.flatten(1))


@pytest.mark.requires("torch>=2.9")  # whose counter runs torch.cond at all
@pytest.mark.parametrize(("limit", "macs"), [(1e9, CONV + 2_560), (-1e9, 2 * CONV + 2_048 + 2_560)])
def test_of_a_condition_the_branch_that_runs_is_counted(limit: float, macs: int) -> None:
    found = count(ModelSpec.of(lambda: Either(limit, channels=8), name="net", input_size=8))
    assert found.macs == sum(layer.macs for layer in found.layers) == macs
    with pytest.raises(NotMeasuredError, match="depends on the values in its images"):
        count(ModelSpec.of(lambda: Either(0.0, channels=8), name="net", input_size=8))


class Growing(Two):
    passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        return self.fc(sum(self.a(x) for _ in range(self.passes)).flatten(1))


class Recurrent(Two):
    last: Tensor | float = 0.0

    def forward(self, x: Tensor) -> Tensor:
        self.last = y = self.a(x) + self.last
        return self.fc(y.flatten(1))


@pytest.mark.parametrize("constructor", [Growing, Recurrent])
def test_what_a_pass_leaves_for_the_next_is_refused(constructor: type[nn.Module]) -> None:
    with pytest.raises(NotMeasuredError) as caught:
        count(ModelSpec.of(constructor, input_size=8))
    assert caught.value.reason == "structure-varies"
    assert "it keeps something from one pass to the next" in str(caught.value)


class ByNumpy(Two):
    def forward(self, x: Tensor) -> Tensor:
        other = np.einsum("bchw,dc->bdhw", x.numpy(), np.ones((4, 3), "float32"))
        return self.fc((self.a(x) + torch.from_numpy(other)).flatten(1))


class ByList(Two):
    def forward(self, x: Tensor) -> Tensor:
        other = torch.tensor(x.mean((0, 1, 2)).tolist())
        return self.fc((self.a(x) + other).flatten(1))


def kernel(image: Tensor, weight: Tensor, into: Tensor) -> Tensor:
    """Multiplies by memory's addresses, as an extension in C++ does."""
    arrays = []
    for tensor in (image, weight, into):
        first = ctypes.cast(tensor.untyped_storage().data_ptr(), ctypes.POINTER(ctypes.c_float))
        arrays.append(np.ctypeslib.as_array(first, (tensor.numel(),)).reshape(tensor.shape))
    arrays[2] += arrays[0] @ arrays[1].T
    return into


class IntoBareMemory(Two):
    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y + kernel(y, torch.ones(10, 10), torch.empty(1, 10))


class IntoZeros(Two):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + kernel(
            super().forward(x), torch.ones(10, 10), x.new_zeros(1, 10)
        )


class IntoOnes(Two):
    def forward(self, x: Tensor) -> Tensor:
        return kernel(super().forward(x), torch.ones(10, 10), torch.ones(1, 10)).relu_()


class IntoClearedBuffer(Two):
    """A view of it is what an operator reads."""

    y: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("y", torch.empty(1, 10))

    def forward(self, x: Tensor) -> Tensor:
        into = self.y.zero_()
        kernel(super().forward(x), torch.ones(10, 10), into)
        return into.view(2, 5).add(1).view(1, 10)


class Returned(Two):
    def forward(self, x: Tensor) -> Tensor:
        return kernel(super().forward(x), torch.ones(10, 10), torch.full((1, 10), 0.5))


class ByApply(Two):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.clone().apply_(lambda value: 2 * value))


KERNEL = "it runs a kernel that writes into a tensor without torch's knowing"


@pytest.mark.parametrize(
    ("constructor", "message"),
    [
        (IntoBareMemory, KERNEL),
        (IntoZeros, KERNEL),
        (IntoOnes, KERNEL),
        (IntoClearedBuffer, KERNEL),
        (Returned, KERNEL),
        (ByApply, "it takes tensors out of torch by Tensor.apply_"),
        (ByNumpy, "it takes tensors out of torch by Tensor.numpy"),
        (ByList, "it reads a tensor that is another one for other images"),
    ],
)
def test_work_that_is_not_seen_is_refused(constructor: type[nn.Module], message: str) -> None:
    with pytest.raises(NotMeasuredError) as caught:
        count(ModelSpec.of(constructor, input_size=8))
    assert caught.value.reason == "work-not-seen"
    assert message in str(caught.value)
    assert caught.value.metrics["params"]["value"] == 2_794


def test_a_thread_that_ran_before_and_gets_work_by_hand_is_refused() -> None:
    from queue import Queue

    class Worker(Two):
        def __init__(self) -> None:
            super().__init__()
            self.tasks: Any = Queue()
            self.results: Any = Queue()
            Thread(target=self.work, daemon=True).start()

        def work(self) -> None:
            while True:
                self.results.put(self.b(self.tasks.get()))

        def forward(self, x: Tensor) -> Tensor:
            self.tasks.put(x)
            return self.fc((self.a(x) + self.results.get()).flatten(1))

    with pytest.raises(NotMeasuredError, match="Conv2d in a thread that ran already"):
        count(ModelSpec.of(Worker, input_size=8))


def test_an_operator_without_a_formula_is_named_and_the_parameters_are_shown() -> None:
    class Fourier(Two):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(torch.fft.ifft2(torch.fft.fft2(x)).real)

    with pytest.raises(NotMeasuredError) as caught:
        count(ModelSpec.of(Fourier, input_size=8))
    assert "it calls _fft_c2c, for which there is no formula" in str(caught.value)
    metrics = caught.value.metrics
    assert metrics["params"]["value"] == metrics["trainable_params"]["value"] == 2_794
    assert metrics["param_bytes"]["by_dtype"]["fp16"] == 2 * 2_794


def test_a_count_is_taken_once_and_leaves_the_network_as_it_was() -> None:
    passes: list[int] = []

    class Noting(Two):
        def forward(self, x: Tensor) -> Tensor:
            passes.append(1)
            return super().forward(x)

    spec, holder = ModelSpec.of(Noting, input_size=8), ModelHolder()
    network = holder.network(spec)
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    grads = [parameter.requires_grad for parameter in network.module.parameters()]
    first = count(spec, network)
    taken = len(passes)
    assert count(spec, network, second_opinion=False) is first is count(spec, network)
    assert len(passes) == taken
    after = network.module.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert [parameter.requires_grad for parameter in network.module.parameters()] == grads
    assert not any(module._forward_hooks for module in network.module.modules())


def test_a_second_opinion_on_a_network_as_it_was_built() -> None:
    opinion = count(ModelSpec.of(Two, input_size=8)).second_opinion
    assert opinion is not None
    # A bias is added to 4 channels of 8 x 8, twice, and to 10 scores.
    assert opinion.macs == 16_384 + 2 * 256 + 10
    threads = count(ModelSpec.of(ByThread, input_size=8)).second_opinion
    assert threads is not None
    assert "ptflops does not see what runs in other threads" in threads.reasons.values()


def test_a_second_opinion_on_what_enters_inference_mode_by_itself() -> None:
    class Inferring(Two):
        @torch.inference_mode()
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)

    counted = count(ModelSpec.of(Inferring, input_size=8))
    assert (counted.params, counted.macs) == (2_794, 16_384)
    assert counted.second_opinion is not None
    assert set(counted.second_opinion.reasons.values()) == {
        "ptflops does not see what runs in inference mode"
    }


def test_random_numbers_are_as_they_were() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    construct(ModelSpec.of(Two, input_size=8))
    count(ModelSpec.of(Two, input_size=8))
    assert torch.rand(3).equal(expected)


def test_one_thread_counts_and_the_others_are_there_again() -> None:
    """Threads that wait for one another take a minute for a second's work on a busy machine."""
    seen: list[int] = []

    class Watching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 10)

        def forward(self, x: Tensor) -> Tensor:
            seen.append(torch.get_num_threads())
            return self.layer(x.mean((2, 3)))

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        count(ModelSpec.of(Watching, name="net", input_size=8))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1}
