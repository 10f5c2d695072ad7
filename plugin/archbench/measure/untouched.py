"""Memory that no operator has written to since it was made: what is in it all the same, a kernel of
one's own has written without torch's knowing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from archbench.measure.operators import fills, is_free, makes_bare_memory
from archbench.models.storages import has_storage, storage_number, tensors_in, written_by


class Untouched:
    """Memory of a forward pass that is bare, or full of one number."""

    def __init__(self) -> None:
        self._bare: set[int] = set()
        self._full: dict[int, Tensor] = {}

    def is_written(self, func: Any, read: Iterable[Tensor]) -> bool:
        """Whether anything was written to memory that was full of one number, before an operator
        reads it for the first time."""
        if not self._full or is_free(func) or fills(func):
            return False
        return any(self.holds_more(tensor) for tensor in read)

    def holds_more(self, tensor: Tensor) -> bool:
        """Whether there is anything in a tensor but the number that it was filled with. It is asked
        once: operators may write to what they do not declare."""
        number = self._full.pop(storage_number(tensor), None)
        # What is not a number differs from itself.
        return number is not None and bool(((tensor != number) & (number == number)).any())

    def after(
        self, func: Any, args: Any, kwargs: Mapping[str, Any], read: Iterable[Tensor], output: Any
    ) -> bool:
        """Take in an operator that has run.

        Returns:
            Whether it has read memory that was bare.
        """
        made = {storage_number(tensor): tensor for tensor in tensors_in([output])}
        if makes_bare_memory(func):
            self._bare |= made.keys()
        if is_free(func):
            if self._full and not func.is_view:  # it may be larger now, as by resize_
                for number in written_by(func, args, kwargs):
                    self._full.pop(number, None)
            return False
        if not (self._bare or self._full or fills(func)):
            return False
        written = written_by(func, args, kwargs)
        bare = {storage_number(tensor) for tensor in read if tensor.numel()} & self._bare - written
        self._bare -= bare | made.keys()
        for number in written | made.keys():
            self._full.pop(number, None)
        if fills(func):
            full = (one for one in made.items() if _is_all_of_its_memory(one[1]))
            self._full.update((number, tensor.reshape(-1)[:1].clone()) for number, tensor in full)
        return bool(bare)


def _is_all_of_its_memory(tensor: Tensor) -> bool:
    if not has_storage(tensor) or not tensor.numel() or not tensor.is_floating_point():
        return False
    width = tensor.element_size()
    return width > 1 and tensor.numel() * width == tensor.untyped_storage().nbytes()
