"""Whether the values in a network would make its times lie, found by a forward pass.

Denormal numbers slow a CPU down a hundredfold; zeros and constants let an accelerator draw less
power and clock higher; what is not a number says nothing. A network of a person's own keeps the
values that its constructor gave it unless a pass shows one of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from archbench.models.dispatching import spared_compiler
from archbench.models.filling import fill_parameter
from archbench.models.storages import has_storage, tensors_in, without_repetitions

_DENORMAL_SHARE = 0.01
"""Of the numbers that an operator writes, or of a parameter: from here on times are not its own."""

_LEAST = 16
"""Numbers in what is judged to be all zeros: a few are zero by chance behind a rectifier."""

_PRODUCTS = ("conv", "linear", "mm", "attention")
"""Parts of the names of operators that have little to do where an operand is all zeros."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """The first values in a pass that would make its time lie.

    Attributes:
        kind: ``not a number``, ``denormal`` or ``all zeros``.
        place: the module that made them, or the parameter that holds them.
    """

    kind: str
    place: str

    def __str__(self) -> str:
        return f"{self.kind} in {self.place or 'it'}"


@spared_compiler
class Calls(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operators that are called, and the elements that they return."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls = 0
        self.products = 0
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls += 1
        self.products += any(part in str(func) for part in _PRODUCTS)
        output = func(*args, **(kwargs or {}))
        self.elements += sum(one.numel() for one in tensors_in([output]) if has_storage(one))
        return output


@spared_compiler
class _Watch(Calls):
    """Looks at what each operator writes."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.trouble: Trouble | None = None
        self._names = {module: name for name, module in model.named_modules()}
        self._module = ""
        self._hook: Any = None

    def __enter__(self) -> _Watch:
        self._hook = register_module_forward_pre_hook(self._note)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._hook.remove()

    def _note(self, module: nn.Module, _: Any) -> None:
        self._module = self._names.get(module, type(module).__name__)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = super().__torch_dispatch__(func, types, args, kwargs)
        # A view writes nothing, and may be of memory that nothing has been written to.
        if self.trouble is None and not func.is_view:
            name = str(func)
            for tensor in output if isinstance(output, (tuple, list)) else (output,):
                if isinstance(tensor, Tensor) and "empty" not in name:
                    kind = _trouble_with(tensor, name, args)
                    if kind is not None:
                        self.trouble = Trouble(kind, self._module)
        return output


@dataclass(frozen=True, slots=True)
class Seen:
    """What a pass was seen to do.

    Attributes:
        trouble: what is wrong with its values; None where nothing is.
        calls, products: operators that it called, and those of them that multiply and add; None
            where it was not watched, since its parameters say enough.
    """

    trouble: Trouble | None
    calls: int | None = None
    products: int | None = None


def _trouble_with(tensor: Tensor, name: str, read: Any) -> str | None:
    """What is wrong with what an operator wrote, or read as weights."""
    if not _is_watched(tensor) or not tensor.numel():
        return None
    if bool(torch.isnan(tensor).any()):
        return "not a number"
    if _denormal_share(tensor) > _DENORMAL_SHARE:
        return "denormal"
    if any(part in name for part in _PRODUCTS):
        operands = (one for one in read if isinstance(one, Tensor) and one.dim() > 1)
        return "all zeros" if any(map(_is_zero, operands)) else None
    if "norm" in name and _is_zero(tensor):
        first = next((one for one in read if isinstance(one, Tensor)), None)
        return "all zeros" if first is not None and not _is_zero(first) else None
    return None


def _is_zero(tensor: Tensor) -> bool:
    return _is_watched(tensor) and tensor.numel() >= _LEAST and not bool(tensor.any())


def _is_watched(tensor: Tensor) -> bool:
    return (
        type(tensor) in (Tensor, nn.Parameter)
        and has_storage(tensor)
        and not tensor._is_zerotensor()  # reading one, as of forward-mode gradients, is fatal
        and tensor.dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16)
        and not tensor.is_meta
    )


def _denormal_share(tensor: Tensor) -> float:
    # On a CPU fp16 is computed in fp32, where its smallest numbers are normal ones.
    if tensor.dtype is torch.float16 or not tensor.numel():
        return 0.0
    smallest = torch.finfo(tensor.dtype).tiny
    return float(((tensor != 0) & (tensor.abs() < smallest)).float().mean())


@torch.no_grad()
def watch_pass(model: nn.Module, forward: Callable[[], object]) -> tuple[object, Seen]:
    """Run a pass and look at every value in it.

    Args:
        model: that is run.
        forward: runs it, in the way that it is measured.

    Returns:
        What the pass returned, and what was seen.

    Raises:
        Exception: whatever the network raises.
    """
    for name, parameter in model.named_parameters():
        if _is_watched(parameter):
            if bool(torch.isnan(parameter).any()):
                return forward(), Seen(Trouble("not a number", name))
            if _denormal_share(parameter) > _DENORMAL_SHARE:
                return forward(), Seen(Trouble("denormal", name))
    watch = _Watch(model)
    with watch:
        output = forward()
    return output, Seen(watch.trouble, watch.calls, watch.products)


# Filling.


class _Plain:
    """Normal numbers for one tensor, as :class:`archbench.models.filling.TiledNoise` has them."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator(device="cpu").manual_seed(seed)

    def normal_(self, tensor: Tensor, std: float) -> None:
        tensor.copy_(self._draw(tensor) * std)

    def around_(self, tensor: Tensor, value: float) -> None:
        tensor.copy_((value + 0.15 * value * self._draw(tensor)).clamp(0.5 * value, 1.5 * value))

    def _draw(self, tensor: Tensor) -> Tensor:
        noise = torch.randn(tensor.shape, generator=self._generator, device="cpu")
        floor = torch.full_like(noise, 0.02).copysign(noise)
        return torch.where(noise.abs() < 0.02, floor, noise)


@torch.no_grad()
def fill_in_place(
    model: nn.Module, *, everything: bool, seed: int = 0
) -> dict[str, tuple[Tensor, Tensor]]:
    """Fill whole tensors of a network with values that behave like trained ones.

    Shared tensors stay shared, and none moves.

    Args:
        model: the network.
        everything: whether all parameters and running statistics are filled, or those only that
            are not finite, denormal or, where they scale a signal, all zeros.
        seed: of the numbers.

    Returns:
        By the names of what was filled, the tensor and a copy of what it held before.
    """
    noise = _Plain(seed)
    filled: dict[str, tuple[Tensor, Tensor]] = {}
    for module_name, module in model.named_modules():
        tensors = [*_floating(module.named_parameters(recurse=False))]
        tensors += [
            (name, buffer)
            for name, buffer in _floating(module.named_buffers(recurse=False))
            if name in ("running_mean", "running_var")
        ]
        for name, tensor in tensors:
            if everything or _is_bad(name, tensor):
                filled[f"{module_name}.{name}".lstrip(".")] = (
                    tensor.detach(),
                    tensor.detach().clone(),
                )
                data = without_repetitions(tensor.data, tensor)
                fill_parameter(noise, module, name, data, constructed=False)
    return filled


def _floating(named: Iterator[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in named:
        if _is_watched(tensor):
            yield name, tensor


def _is_bad(name: str, tensor: Tensor) -> bool:
    if not bool(torch.isfinite(tensor).all()) or _denormal_share(tensor) > _DENORMAL_SHARE:
        return True
    is_scale = "bias" not in name and name not in ("beta", "running_mean")
    return is_scale and bool(tensor.numel()) and not bool(tensor.any())
