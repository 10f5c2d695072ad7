"""What a network costs on paper: counted by operator dispatch on the meta device, no arithmetic.

torch's own counter (``torch.utils.flop_counter``) is the engine: it sees each operator as it is
dispatched, takes composite ones apart, and has a formula for each operator that multiplies and
adds. It reports 2 FLOPs for a multiply-add; a count here is half of that.
"""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.nn.parameter import UninitializedParameter
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from archbench.core.complexity import BIASES, KINDS, Complexity, LayerCost, SecondOpinion
from archbench.core.errors import ArchbenchError, NotMeasuredError
from archbench.core.spec import DTYPES, ModelSpec
from archbench.measure.operators import formulas, has_no_products, is_free, name_of
from archbench.models.building import build_on_meta
from archbench.models.loading import TORCH_DTYPES, class_scores
from archbench.models.shapes import RememberedShapes

__all__ = ["count", "count_parameters"]


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """All parameters and the trainable ones; a shared parameter counts once."""
    sizes = [(param.numel(), param.requires_grad) for param in model.parameters()]
    return sum(n for n, _ in sizes), sum(n for n, trainable in sizes if trainable)


def count(
    spec: ModelSpec, model: nn.Module | None = None, *, second_opinion: bool = True
) -> Complexity:
    """Count one architecture.

    Args:
        spec: what it is.
        model: as :func:`build_on_meta` returned it, if it has been built already. Its parameters
            lose their ``requires_grad``.
        second_opinion: whether ptflops is asked as well.

    Raises:
        ArchitectureError: it cannot be built, or returns no class scores.
        NotMeasuredError: its forward pass fails on the meta device, or calls an operator that may
            multiply and add and for which there is no formula.
    """
    if model is None:
        model = build_on_meta(spec)
    images = torch.empty((1, *spec.input_size), device="meta")
    ledger = _Ledger(model, images)
    shapes = RememberedShapes()
    with _failures_named(spec):
        if any(isinstance(param, UninitializedParameter) for param in model.parameters()):
            model(images)  # lazy modules learn their sizes
        params, trainable = count_parameters(model)
        scores = _run(spec, model, images, ledger, shapes)
        layers = _layers(model, ledger.macs_by_module)
    if ledger.unknown:
        raise NotMeasuredError(
            "operator-not-counted",
            f"{spec.id} cannot be counted: it calls {', '.join(sorted(ledger.unknown))}, for which "
            "there is no formula. Give it one with torch.utils.flop_counter.register_flop_formula, "
            "0 where it does not multiply and add",
        )
    macs = sum(ledger.macs_by_kind.values())
    _refuse_what_was_not_seen(spec, model, params, layers, macs)
    return Complexity(
        input_shape=tuple(images.shape),
        output_shape=tuple(scores.shape),
        params=params,
        trainable_params=trainable,
        bias_params=_bias_params(model),
        buffers=sum(buffer.numel() for buffer in model.buffers()),
        param_bytes=_param_bytes(model),
        macs=macs,
        macs_by_kind={kind: ledger.macs_by_kind[kind] for kind in KINDS},
        activations=ledger.activations,
        max_channels=ledger.max_channels(tuple(scores.shape)),
        operator_calls=sum(ledger.calls.values()),
        uncounted={
            name: calls
            for name, calls in sorted(ledger.calls.items())
            if name not in ledger.macs_by_operator
        },
        layers=layers,
        second_opinion=_second_opinion(model, images, ledger, shapes) if second_opinion else None,
    )


def _refuse_what_was_not_seen(
    spec: ModelSpec, model: nn.Module, params: int, layers: Sequence[LayerCost], macs: int
) -> None:
    """A count that cannot be the whole is no count.

    Raises:
        NotMeasuredError: the forward pass made parameters, or ran where it cannot be watched.
    """
    if sum(layer.params for layer in layers) != params:
        raise NotMeasuredError(
            "not-counted",
            f"{spec.id} cannot be counted: its forward pass makes or drops parameters. "
            "Make them all in the constructor",
        )
    if not macs and any(isinstance(module, (_Conv, nn.Linear)) for module in model.modules()):
        raise NotMeasuredError(
            "not-counted",
            f"{spec.id} cannot be counted: it has layers that multiply and add, and none was seen "
            "to. What runs in another thread is not seen: run all of it in the thread that calls",
        )


@contextmanager
def _failures_named(spec: ModelSpec) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, GeneratorExit, ArchbenchError):
        raise
    except BaseException as error:
        # Whatever a network's own code raises on this size or on meta; AssertionError is common.
        text = f"{type(error).__name__}: {error}".removesuffix(": ")
        remedy = (
            "Counting runs on torch's meta device: create tensors with device=x.device and do not "
            "read values in the forward pass"
            if "meta" in text.lower()
            else f"See whether it runs with images of {'x'.join(map(str, spec.input_size))}; what "
            "cannot be counted at all is in docs/complexity.md"
        )
        raise NotMeasuredError(
            "not-counted", f"{spec.id} cannot be counted: {text}. {remedy}"
        ) from error


def _run(
    spec: ModelSpec,
    model: nn.Module,
    images: Tensor,
    ledger: _Ledger,
    shapes: RememberedShapes,
) -> Tensor:
    """One forward pass under the counter, with the ledger behind it.

    Gradients stay enabled and the parameters' are switched off: under ``no_grad`` the counter
    raises on some networks, and so it sees fused attention whole.
    """
    model.requires_grad_(False)
    counter = FlopCounterMode(display=False)
    counter.flop_registry = ledger.recording({**counter.flop_registry, **formulas()})
    # Its own attribution to modules is by name only, and half of its time.
    counter.mod_tracker = _NoModules()  # type: ignore[assignment]
    # The mode that is entered last sees an operator first: the counter takes composite operators
    # apart, the ledger sees the parts.
    with shapes, ledger, counter:
        output = model(images)
    return class_scores(spec, output, images=1)


_Conv = nn.modules.conv._ConvNd


class _NoModules:
    """Stands where the counter keeps track of modules, and knows the whole only."""

    parents = ("Global",)

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


class _Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every operator that runs: its multiply-adds, in which module, and what it writes."""

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._formulas: Mapping[Any, Callable[..., int]] = {}
        self.calls: Counter[str] = Counter()
        self.macs_by_operator: Counter[str] = Counter()
        self.macs_by_kind: Counter[str] = Counter()
        self.macs_by_module: Counter[nn.Module] = Counter()
        self.biases: Counter[str] = Counter()
        self.activations = 0
        self.unknown: set[str] = set()
        self._written: list[_Written] = []
        self._modules = [model]
        self._hooks: list[Any] = []
        # Storages that hold what comes from the image. They are kept, so that no other tensor can
        # take the address of one; on meta they have no memory.
        self._of_image: dict[int, Any] = {}
        self._mark(images)

    def __enter__(self) -> _Ledger:
        self._hooks = [
            register_module_forward_pre_hook(lambda module, _: self._modules.append(module)),
            register_module_forward_hook(self._leave, always_call=True),
        ]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for hook in self._hooks:
            hook.remove()

    def _leave(self, *_: object) -> None:
        self._modules.pop()

    def _mark(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        self._of_image[storage._cdata] = storage

    def _is_of_image(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self._of_image

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        read = [*_tensors(args), *_tensors(kwargs.values())]
        if any(map(self._is_of_image, read)):
            for tensor in _tensors([output]):
                self._mark(tensor)
        if is_free(func):
            return output
        packet = func._overloadpacket
        name = name_of(packet)
        self.calls[name] += 1
        if packet not in self._formulas and not has_no_products(func):
            self.unknown.add(name)
        return output

    def recording(self, table: Mapping[Any, Callable[..., int]]) -> dict[Any, Callable[..., int]]:
        """The same formulas, with each result noted as the counter asks for it."""
        self._formulas = table
        return {packet: partial(self._record, packet) for packet in table}

    def _record(self, packet: Any, *args: Any, out_val: Any, **kwargs: Any) -> int:
        flops = _flops(self._formulas[packet], args, kwargs, out_val)
        read = [*_tensors(args), *_tensors(kwargs.values())]
        self._note(name_of(packet), flops, read, out_val)
        return flops

    def _note(self, name: str, flops: int, read: Sequence[Tensor], output: Any) -> None:
        if flops % 2:
            raise ArchbenchError(
                f"the formula of {name} says {flops} FLOPs, which are not twice a number of "
                "multiply-adds. Let it return 2 for each"
            )
        if not flops:
            return
        macs = flops // 2
        written = next(_tensors([output]))
        kind = self._kind(name, read)
        self.macs_by_operator[name] += macs
        self.macs_by_kind[kind] += macs
        self.macs_by_module[self._modules[-1]] += macs
        if len(read) == 3 and "attention" not in name:
            self.biases[name] += written.numel()
        if kind == "product":
            return
        self.activations += written.numel()
        if kind == "convolution":
            # A weight that the network computes from the image is no activation of channels.
            self._written = [one for one in self._written if one.place != _place(read[1])]
            image, channels = read[0], written.shape[1]
        else:
            left, right = read[-2:]
            # The columns, or with the parameters on the left the rows.
            rows = self._is_of_image(right) and written.dim() > 1
            image = right if rows else left
            channels = written.shape[-2 if rows else -1] if written.dim() else 1
        self._written.append(
            _Written(_stripped(written.shape), _stripped(image.shape), channels, _place(written))
        )

    def _kind(self, name: str, read: Sequence[Tensor]) -> str:
        if "conv" in name:
            return "convolution"
        if len(read) < 2 or "attention" in name or all(map(self._is_of_image, read[-2:])):
            return "product"
        return "linear"

    def max_channels(self, scores: tuple[int, ...]) -> int:
        """The most channels written, where the class scores themselves do not count.

        The last layers that write as many are classifiers, of which there may be several side by
        side; one that reads as many is fed by a layer that is none.
        """
        last = len(self._written)
        while last and self._written[last - 1].shape == scores:
            last -= 1
            if self._written[last].read == scores:
                break
        return max((one.channels for one in self._written[:last]), default=0)


class _Written(NamedTuple):
    """What an operator with parameters wrote: its shape, that of what it read of the image,
    channels, and where."""

    shape: tuple[int, ...]
    read: tuple[int, ...]
    channels: int
    place: int


def _place(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _stripped(shape: Sequence[int]) -> tuple[int, ...]:
    """Without places of size 1 at the end: a classifier may be a convolution of one pixel."""
    sizes = tuple(shape)
    while len(sizes) > 2 and sizes[-1] == 1:
        sizes = sizes[:-1]
    return sizes


def _flops(formula: Callable[..., int], args: Any, kwargs: Any, output: Any) -> int:
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


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def _layers(model: nn.Module, macs: Mapping[nn.Module, int]) -> tuple[LayerCost, ...]:
    owned: set[int] = set()
    layers = []
    for name, module in model.named_modules():
        own = {id(p): p.numel() for p in module.parameters(recurse=False) if id(p) not in owned}
        owned.update(own)
        params = sum(own.values())
        if params or macs.get(module):
            layers.append(LayerCost(name, type(module).__name__, params, macs.get(module, 0)))
    return tuple(layers)


def _bias_params(model: nn.Module) -> int:
    biases = {}
    for module in model.modules():
        names: tuple[str, ...] = ("bias",) if isinstance(module, (_Conv, nn.Linear)) else ()
        if isinstance(module, nn.MultiheadAttention):
            names = ("in_proj_bias", "bias_k", "bias_v")
        for name in names:
            bias = getattr(module, name, None)
            if isinstance(bias, Tensor):
                biases[id(bias)] = bias.numel()
    return sum(biases.values())


def _param_bytes(model: nn.Module) -> dict[str, int]:
    floats, fixed = 0, 0
    for param in model.parameters():
        if param.is_floating_point():
            floats += param.numel()
        else:
            fixed += param.numel() * param.element_size()
    # What quantisation leaves in fp32 depends on the network, so int8 has no size on paper.
    return {
        dtype: floats * TORCH_DTYPES[dtype].itemsize + fixed for dtype in DTYPES if dtype != "int8"
    }


def _second_opinion(
    model: nn.Module, images: Tensor, ledger: _Ledger, shapes: RememberedShapes
) -> SecondOpinion | None:
    """What ptflops counts by its ``aten`` backend; None where it fails on the network."""
    from ptflops.aten_engine import FlopCounterMode as PtflopsMode

    counter = PtflopsMode()
    try:
        with shapes, counter:
            model(images)
    except Exception:
        # Its formulas expect arguments in fixed places; a network that defeats them has no second
        # opinion, which its record says.
        return None
    theirs = {name_of(packet): int(n) for packet, n in counter.flop_counts["Global"].items()}
    macs = ledger.macs_by_operator
    differences = {name: theirs.get(name, 0) - macs[name] for name in sorted({*theirs, *macs})}
    operators = {name: difference for name, difference in differences.items() if difference}
    reasons = {}
    for name, difference in operators.items():
        if name not in theirs:
            reasons[name] = "ptflops has no formula for it"
        elif difference == ledger.biases[name]:
            reasons[name] = BIASES
    version = importlib.metadata.version("ptflops")
    return SecondOpinion(f"ptflops {version} (aten)", sum(theirs.values()), operators, reasons)
