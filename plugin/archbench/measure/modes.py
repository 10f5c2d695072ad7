"""Showing a ledger what torch runs in one thread: operators, and functions before they are taken
apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from archbench.measure.operators import COMPLEX_CONVOLUTIONS, complex_convolution_flops
from archbench.models.dispatching import spared_compiler
from archbench.models.storages import tensors_in


class NoModules:
    """Stands where the counter keeps track of modules, and knows the whole only."""

    parents = ("Global",)

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


def take_branch_of_cond(counter: Any) -> None:
    """Let torch's counter run the branch of a ``torch.cond`` that its predicate says. By itself it
    runs both, and goes on with what the first one returned.

    Args:
        counter: a ``FlopCounterMode`` that has been entered.
    """

    # Of its class: one that is bound would keep its network for the garbage collector.
    usual = getattr(type(counter.mode), "_handle_higher_order_ops", None)
    if usual is None:
        return  # it takes no operators of that kind

    def handled(func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func is not torch.ops.higher_order.cond:
            return usual(counter.mode, func, types, args, kwargs)
        predicate, if_true, if_false, operands = args
        with counter.mode:
            return (if_true if predicate else if_false)(*operands)

    counter.mode._handle_higher_order_ops = handled


@spared_compiler
class Noting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Shows a ledger every operator that runs in one thread."""

    def __init__(self, ledger: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._ledger = ledger

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, ledger = kwargs or {}, self._ledger
        if not ledger.is_real:
            output = func(*args, **kwargs)
            ledger.seen_on_meta(func, args, kwargs, output)
            return output
        _noted(ledger, ledger.about_to_read, func, args, kwargs)
        output = func(*args, **kwargs)
        if not any(tensor.is_meta for tensor in tensors_in([output])):
            _noted(ledger, ledger.seen, func, args, kwargs, output)
        return output


def _noted(ledger: Any, note: Callable[..., None], func: Any, *given: Any) -> None:
    """Note an operator; what goes wrong meanwhile is no error of the network's."""
    try:
        note(func, *given)
    except Exception as error:
        ledger.failed(func, error)


_TAKE_OUT = frozenset(
    {Tensor.numpy, Tensor.__array__, Tensor.__dlpack__, Tensor.data_ptr, Tensor.apply_, Tensor.map_}
)
"""Functions that let others than operators read and write the memory of a tensor."""


class Functions(TorchFunctionMode):
    """Notes a convolution of complex numbers as one, before torch makes three real ones of it, and
    what takes tensors out of torch."""

    def __init__(self, ledger: Any) -> None:
        super().__init__()
        self._ledger = ledger

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _TAKE_OUT:
            self._ledger.take_out(func, args[0])
        read = [*tensors_in(args[:2]), *tensors_in((kwargs.get("input"), kwargs.get("weight")))]
        if func not in COMPLEX_CONVOLUTIONS or not any(map(torch.is_complex, read)):
            return func(*args, **kwargs)
        with self._ledger.paused():
            output = func(*args, **kwargs)
        flops = complex_convolution_flops(func, read[0], read[1], output)
        self._ledger.calls["convolution"] += 1
        self._ledger.note("convolution", flops, read, output)
        return output
