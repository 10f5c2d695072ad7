"""What a network may have put in the place of torch's own functions and methods."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import torch


@cache
def _torch_namespaces() -> tuple[Any, ...]:
    modules = (torch, torch.nn, torch.nn.functional, torch.nn.init, torch.utils.checkpoint)
    classes = {
        value
        for name, module in list(sys.modules.items())
        if name.startswith("torch.nn.modules")
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__.startswith("torch.nn.modules")
    }
    return (*modules, torch.Tensor, *sorted(classes, key=lambda cls: cls.__qualname__))


def torch_code() -> dict[int, dict[str, object]]:
    """What can be called, by namespace and name."""
    return {
        place: {name: value for name, value in vars(space).items() if callable(value)}
        for place, space in enumerate(_torch_namespaces())
    }


def is_same_code(one: dict[int, dict[str, object]], other: dict[int, dict[str, object]]) -> bool:
    """Whether nothing was replaced but by torch itself."""
    return not any(_replaced(one, other)) and not any(_replaced(other, one))


def _replaced(
    before: dict[int, dict[str, object]], now: dict[int, dict[str, object]]
) -> Iterator[tuple[Any, str, Any]]:
    """Namespace, name and value of what is another now; of what was added to a class, no value."""
    for place, space in enumerate(_torch_namespaces()):
        old, new = before[place], now[place]
        for name, value in old.items():
            if new.get(name) is value:
                continue
            # torch puts other functions of its own in the place of some when it needs them.
            if not (name in new and _is_torchs(value) and _is_torchs(new[name])):
                yield space, name, value
        if isinstance(space, type):
            for name in new.keys() - old.keys():
                if isinstance(new[name], FunctionType) and not _is_torchs(new[name]):
                    yield space, name, None


_TORCH = f"{Path(torch.__file__).parent}{os.sep}"


def _is_torchs(value: Any) -> bool:
    code = getattr(value, "__code__", None)
    if code is not None:
        return str(code.co_filename).startswith(_TORCH)
    return str(getattr(value, "__module__", None) or "torch").startswith("torch")


def set_torch_code(values: dict[int, dict[str, object]]) -> None:
    """Undo what was replaced."""
    for space, name, value in list(_replaced(values, torch_code())):
        if value is None:
            delattr(space, name)
        else:
            setattr(space, name, value)
