"""Operators on the meta device, each shape worked out once.

On meta most operators are Python programs of 0.1 to 0.3 ms that work out the shape of what they
would write. A network calls the same operator on the same shapes in every block, and a second
counter calls them all again.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from archbench.models.dispatching import spared_compiler


@spared_compiler
class RememberedShapes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Answers an operator on meta tensors that was called before on tensors like these.

    What an operator writes on meta depends on the shapes, strides and types that it reads and on
    its other arguments, all of which make the key. Views always run, and so does what writes into
    its arguments, unless it is element-wise or fills them, and what reads no tensor: that depends
    on defaults.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        how = _how_it_answers(func)
        if how is None:
            return func(*args, **kwargs)
        try:
            key = (func, _key(args), _key(tuple(kwargs.items())))
        except _NoKeyError:
            return func(*args, **kwargs)
        answer = _ANSWERS.get(key)
        if answer is not None:
            if how == "in-place":
                return args[0]
            is_single, metas = answer
            made = [
                torch.empty_strided(size, stride, dtype=dtype, device="meta")
                for size, stride, dtype in metas
            ]
            return made[0] if is_single else tuple(made)
        output = func(*args, **kwargs)
        if how == "in-place":
            _remember(key, ())
            return output
        is_single = isinstance(output, Tensor)
        outputs = [output] if is_single else output
        if type(outputs) in (list, tuple) and all(
            isinstance(item, Tensor) and item.is_meta for item in outputs
        ):
            metas = [(item.size(), item.stride(), item.dtype) for item in outputs]
            _remember(key, (is_single, metas))
        return output


_ANSWERS: dict[Hashable, tuple[Any, ...]] = {}
_MOST_ANSWERS = 50_000
"""About 100 MB. Networks of a family share most of their shapes."""


def _remember(key: Hashable, answer: tuple[Any, ...]) -> None:
    if len(_ANSWERS) >= _MOST_ANSWERS:
        _ANSWERS.clear()
    _ANSWERS[key] = answer


class _NoKeyError(Exception):
    pass


def _key(value: Any) -> Hashable:
    if isinstance(value, Tensor):
        if not value.is_meta or value.layout != torch.strided:
            raise _NoKeyError
        return value.size(), value.stride(), value.dtype
    if isinstance(value, (list, tuple)):
        return tuple(map(_key, value))
    if value is None or isinstance(
        value,
        (bool, int, float, str, torch.dtype, torch.device, torch.memory_format, torch.layout),
    ):
        # 1, 1.0 and True are equal, and an operator may treat them differently.
        return type(value), value
    raise _NoKeyError


@cache
def _how_it_answers(func: Any) -> str | None:
    """``fresh`` for an operator that writes tensors of its own only, ``in-place`` for one
    that is element-wise or draws numbers and writes into its first argument, None for others."""
    schema = func._schema
    if any(a.alias_info is not None for a in (*schema.arguments, *schema.returns)):
        is_in_place = (
            (torch.Tag.pointwise in func.tags or torch.Tag.nondeterministic_seeded in func.tags)
            and len(schema.returns) == 1
            and schema.arguments[0].alias_info is not None
            and schema.arguments[0].alias_info.is_write
            and all(a.alias_info is None for a in schema.arguments[1:])
        )
        return "in-place" if is_in_place else None
    reads = any("Tensor" in str(value.type) for value in schema.arguments)
    returns = {str(value.type) for value in schema.returns}
    return "fresh" if reads and returns and returns <= {"Tensor", "List[Tensor]"} else None
