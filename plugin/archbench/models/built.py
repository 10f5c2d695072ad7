"""What a constructor has left of a network, so that what became of it since can be undone.

A network is built once in a process and is then moved, converted, filled and run. Its count is of
what was built, whichever of these came before.
"""

from __future__ import annotations

import contextlib
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from archbench.models.storages import write

_TENSORS = ("_parameters", "_buffers", "_modules")
"""What a module keeps elsewhere than in attributes of its own."""

_CONTAINERS = (dict, OrderedDict, defaultdict, Counter, list, set, deque)

_MOST_VALUES = 1 << 16
"""Elements of buffers whose values are kept, counters and the like: larger ones are tables, which a
pass reads."""


class Place(NamedTuple):
    """Where a module holds a parameter or buffer, which, and of a parameter its memory."""

    owner: dict[str, Any]
    name: str
    held: Tensor
    data: Tensor | None


def places_of(module: nn.Module) -> list[Place]:
    """Every place of a network that holds a parameter or buffer."""
    return [
        Place(owner, name, held, held.data if has_data else None)
        for one in module.modules()
        for owner, has_data in ((one._parameters, True), (one._buffers, False))
        for name, held in owner.items()
        if held is not None
    ]


def hold(places: list[Place]) -> None:
    """Let every place hold what it held, with the same memory."""
    for owner, name, held, data in places:
        if data is not None:
            held.data = data
        owner[name] = held


class Built:
    """A network's attributes and counters as they are now, right after it was built.

    Args:
        module: the network.
    """

    def __init__(self, module: nn.Module) -> None:
        self._attributes = [(vars(one), _picked(vars(one))) for one in module.modules()]
        self._containers: list[tuple[Any, Any]] = []
        seen: set[int] = set()
        for _, attributes in self._attributes:
            self._containers += _containers(attributes, seen)
        buffers = [buffer.detach() for buffer in module.buffers() if _is_small(buffer)]
        self._values = [(buffer, buffer.clone()) for buffer in buffers]
        self._filled: list[tuple[Tensor, Tensor]] = []

    def keep_values(self, replaced: list[tuple[Tensor, Tensor]]) -> None:
        """Take in that tensors have been filled: each, and a copy of what it held before."""
        known = {tensor.data_ptr() for tensor, _ in self._filled}
        self._filled += [one for one in replaced if one[0].data_ptr() not in known]

    def give_back_values(self) -> None:
        """Let filled tensors hold what their constructor gave them."""
        _write(self._filled)
        self._filled.clear()

    @contextlib.contextmanager
    def restored(self) -> Iterator[None]:
        """Inside, all is as it was built; afterwards as it was before."""
        values = [*self._values, *self._filled]
        attributes = [(owner, _picked(owner)) for owner, _ in self._attributes]
        containers = [(one, one.copy()) for one, _ in self._containers]
        now = [(tensor, tensor.clone()) for tensor, _ in values]
        _put(self._attributes, self._containers)
        _write(values)
        try:
            yield
        finally:
            _put(attributes, containers)
            _write(now)


def _is_small(buffer: Tensor) -> bool:
    is_plain = buffer.layout is torch.strided and not (buffer.is_meta or buffer.is_quantized)
    return is_plain and 0 < buffer.numel() <= _MOST_VALUES


def _picked(attributes: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in attributes.items() if name not in _TENSORS}


def _containers(value: Any, seen: set[int]) -> list[tuple[Any, Any]]:
    """The containers in a value, however deep, each once and with a copy of what is in it."""
    found, waiting = [], [value] if not isinstance(value, dict) else [*value.values()]
    while waiting:
        one = waiting.pop()
        if type(one) not in _CONTAINERS or id(one) in seen:
            continue
        seen.add(id(one))
        found.append((one, one.copy()))
        waiting += one.values() if isinstance(one, dict) else one
    return found


def _put(
    attributes: list[tuple[dict[str, object], Any]], containers: list[tuple[Any, Any]]
) -> None:
    for owner, kept in attributes:
        for name in _picked(owner).keys() - kept.keys():
            del owner[name]
        owner.update(kept)
    for container, kept in containers:
        if isinstance(container, list):
            container[:] = kept
            continue
        container.clear()
        if isinstance(container, deque):
            container.extend(kept)
        else:
            container.update(kept)


def _write(values: list[tuple[Tensor, Tensor]]) -> None:
    for tensor, kept in values:
        write(tensor, kept)
