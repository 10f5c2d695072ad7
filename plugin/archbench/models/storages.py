"""The memory behind the tensors that an operator takes and gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor


def written_by(func: Any, args: Any, kwargs: Mapping[str, Any]) -> set[int]:
    """The memory that an operator writes to and need not have read."""
    given = zip(func._schema.arguments, args, strict=False)
    named = ((one, kwargs[one.name]) for one in func._schema.arguments if one.name in kwargs)
    return {
        storage_number(tensor)
        for argument, value in (*given, *named)
        if argument.alias_info is not None and argument.alias_info.is_write
        for tensor in tensors_in([value])
    }


def has_storage(tensor: Tensor) -> bool:
    """Whether a tensor is a view of one piece of memory."""
    return tensor.layout is torch.strided and not tensor.is_nested


def is_sparse(tensor: Tensor) -> bool:
    """Whether it holds some of its elements only."""
    return tensor.layout not in (torch.strided, torch._mkldnn)  # type: ignore[attr-defined]


def storage_number(tensor: Tensor) -> int:
    """Tells its memory from that of all others that are alive."""
    held: Any = tensor.untyped_storage() if has_storage(tensor) else tensor
    return int(held._cdata)


def tensors_in(values: Any) -> Iterator[Tensor]:
    """All tensors among nested arguments."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from tensors_in(value)
