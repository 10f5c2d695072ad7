"""The memory behind the tensors that an operator takes and gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import is_traceable_wrapper_subclass


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


def parts_of(tensor: Tensor) -> Iterator[Tensor]:
    """The tensors that hold what is in one: indices and values of a sparse one, those inside a
    wrapper, and itself otherwise."""
    if tensor.layout is torch.sparse_coo:
        yield from (tensor._indices(), tensor._values())
    elif tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        yield from (tensor.crow_indices(), tensor.col_indices(), tensor.values())
    elif tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        yield from (tensor.ccol_indices(), tensor.row_indices(), tensor.values())
    elif is_traceable_wrapper_subclass(tensor):
        for name in tensor.__tensor_flatten__()[0]:
            yield from parts_of(getattr(tensor, name))
    else:
        yield tensor


def memory_of(tensor: Tensor) -> tuple[int, int]:
    """Address and bytes of the memory behind a tensor; of its elements where it keeps them in a
    form of its own; none where it has a shape only."""
    if tensor.is_meta:
        return 0, 0
    if has_memory(tensor):
        return tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes()
    return id(tensor), tensor.numel() * tensor.element_size()


def has_memory(tensor: Tensor) -> bool:
    """Whether a tensor is a view of one piece of memory that is there."""
    if tensor.is_meta or not has_storage(tensor):
        return False
    try:
        tensor.untyped_storage().data_ptr()
    except RuntimeError:  # a wrapper has a storage without memory
        return False
    return True


def without_repetitions(tensor: Tensor, of: Tensor) -> Tensor:
    """The part of a tensor in which another of its shape, which may be expanded, repeats nothing:
    torch refuses to write to one memory several times."""
    for dim, stride in enumerate(of.stride() if has_storage(of) else ()):
        if stride == 0 and of.shape[dim] > 1:
            tensor = tensor.narrow(dim, 0, 1)
    return tensor


def write(tensor: Tensor, values: Tensor) -> None:
    """Write values of its shape to a tensor, to an expanded one as well."""
    without_repetitions(tensor, tensor).copy_(without_repetitions(values, tensor))


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
