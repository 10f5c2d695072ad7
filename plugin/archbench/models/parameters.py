"""The parameters of a network: each number once, whichever tensors and packed forms hold it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import Buffer

from archbench.models.storages import has_storage, storage_number

_PLAIN = (Tensor, nn.Parameter, Buffer)

_NAMES = ("weight", "bias", "_packed", "_all_weight", "param")
"""How names begin under which a state dict has the weights of quantised layers."""


def hookable(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The modules of a network that take hooks, by name: scripted ones take none."""
    script = torch.jit.ScriptModule
    return [(name, one) for name, one in model.named_modules() if not isinstance(one, script)]


class Elements:
    """Counts the elements of tensors, those that lie in one memory once.

    An exported program has a parameter for each name of a shared weight, over one memory.
    """

    def __init__(self) -> None:
        # By memory, bytes from and to, in their order and without gaps of no bytes; and the
        # tensors themselves, whose memory is not used again meanwhile.
        self._seen: dict[int, list[tuple[int, int]]] = {}
        self._held: dict[int, Tensor] = {}

    def new(self, tensor: Tensor) -> int:
        """How many elements of a tensor were in none before."""
        if id(tensor) in self._held or not tensor.numel():
            return 0
        self._held[id(tensor)] = tensor
        if type(tensor) not in _PLAIN or not has_storage(tensor):
            return tensor.numel()
        size = tensor.element_size()
        extent = 1 + sum(
            (side - 1) * stride for side, stride in zip(tensor.shape, tensor.stride(), strict=True)
        )
        start = int(tensor.storage_offset()) * size
        spans = self._seen.setdefault(storage_number(tensor), [])
        if extent != tensor.numel():  # with gaps or overlaps of its own
            spans.append((start, start + extent * size))
            return tensor.numel() if len(spans) == 1 else 0
        new = _added(spans, start, start + tensor.numel() * size)
        return new // size


def _added(spans: list[tuple[int, int]], start: int, end: int) -> int:
    """Add a span to others, joining them, and say how much of it was in none."""
    inside = [span for span in spans if span[0] <= end and span[1] >= start]
    known = sum(min(end, last) - max(start, first) for first, last in inside)
    for span in inside:
        spans.remove(span)
    first = min((span[0] for span in inside), default=start)
    last = max((span[1] for span in inside), default=end)
    spans.append((min(first, start), max(last, end)))
    return end - start - known


class Weights(NamedTuple):
    """What one module holds by itself that no module before it does.

    Attributes:
        name, module: of the module.
        elements: of its parameters, and of weights and biases that quantised layers hold in a
            packed form.
    """

    name: str
    module: nn.Module
    elements: int


def weights_by_module(model: nn.Module) -> list[Weights]:
    """The weights of a network, module by module, each number once."""
    elements = Elements()
    modules = dict(model.named_modules())
    new = {
        name: sum(elements.new(one) for one in module.parameters(recurse=False))
        for name, module in modules.items()
    }
    for name, tensor in _packed(model):
        new[name] += elements.new(tensor)
    return [Weights(name, module, new[name]) for name, module in modules.items()]


# Of quantised layers, whose weights are no parameters.


def packed_tensors(model: nn.Module) -> list[Tensor]:
    """Weights and biases of quantised layers, which are no parameters."""
    elements = Elements()
    for parameter in model.parameters():
        elements.new(parameter)
    return [tensor for _, tensor in _packed(model) if elements.new(tensor)]


def _packed(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """With the name of the module that holds it: what a state dict has in a packed form or as a
    quantised tensor, with the biases beside it, and what scripted modules have as an attribute."""
    modules = dict(model.named_modules())
    if any(map(_may_pack, modules.values())):
        known = {storage_number(buffer) for buffer in model.buffers() if not _is_packed(buffer)}
        for key, value in model.state_dict().items():
            owner, last = _owner(key, modules)
            if not last.startswith(_NAMES) and not isinstance(value, torch.ScriptObject):
                continue
            for tensor in _within(value):
                if storage_number(tensor) not in known:
                    yield owner, tensor
    for name, module in modules.items():
        if isinstance(module, torch.jit.ScriptModule):
            # A frozen one has no `_concrete_type` of its own.
            kind: Any = torch._C.ConcreteModuleType.from_jit_type(module._c._type())
            for attribute in kind.get_attributes():
                value = module._c.getattr(attribute)
                if isinstance(value, torch.ScriptObject):
                    yield from ((name, tensor) for tensor in _within(value))


def _owner(key: str, modules: dict[str, nn.Module]) -> tuple[str, str]:
    """The module whose entry of a state dict a key is, and the rest of it."""
    parts = key.split(".")
    for count in range(len(parts) - 1, 0, -1):
        if ".".join(parts[:count]) in modules:
            return ".".join(parts[:count]), ".".join(parts[count:])
    return "", key


def _is_packed(tensor: Tensor) -> bool:
    return tensor.is_quantized or tensor.is_mkldnn


def _may_pack(module: nn.Module) -> bool:
    """Whether a module's own entry of a state dict can hold more than plain tensors. A state dict
    of a whole network costs more than this question, which nearly every network denies."""
    of_class = type(module)
    return (
        of_class._save_to_state_dict is not nn.Module._save_to_state_dict
        or of_class.get_extra_state is not nn.Module.get_extra_state
        or bool(module._state_dict_hooks)
        or any(buffer is not None and _is_packed(buffer) for buffer in module._buffers.values())
    )


def _within(value: object) -> list[Tensor]:
    """The tensors in a packed form."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, (tuple, list)):
        return [tensor for item in value for tensor in _within(item)]
    if not isinstance(value, torch.ScriptObject):
        return []
    packed: Any = value
    if packed._has_method("unpack"):
        return _within(packed.unpack())
    # Of recurrent layers: packed matrices, which have the biases that stand beside them as well.
    state = packed.__getstate__() if packed._has_method("__getstate__") else ()
    matrices = [tensor for one in _objects(state) for tensor in _within(one)]
    return matrices or _within(state)


def _objects(value: object) -> Iterator[torch.ScriptObject]:
    if isinstance(value, torch.ScriptObject):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _objects(item)
