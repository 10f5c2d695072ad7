"""How many channels the layers of a network write."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from archbench.measure.operators import stripped
from archbench.models.storages import storage_number


class _Written(NamedTuple):
    """What an operator with parameters wrote: its shape, that of what it read of the image,
    channels, and where."""

    shape: tuple[int, ...]
    read: tuple[int, ...]
    channels: int
    place: int


class Channels:
    """What operators with parameters wrote in a pass."""

    def __init__(self) -> None:
        self._noted: list[_Written] = []

    def note(self, written: Tensor, image: Tensor, channels: int) -> None:
        """An operator has made a tensor of so many channels from what it read of the image."""
        shapes = stripped(written.shape), stripped(image.shape)
        self._noted.append(_Written(*shapes, channels, storage_number(written)))

    def forget(self, place: int | None) -> None:
        """A tensor, by its memory, was a weight that the network computes from the image."""
        self._noted = [one for one in self._noted if one.place != place]

    def most(self, scores: tuple[int, ...]) -> int:
        """The most channels written, where the class scores themselves do not count.

        The last layers that write as many are classifiers, of which there may be several side by
        side; one that reads as many is fed by a layer that is none.

        Args:
            scores: shape of the class scores.
        """
        last = len(self._noted)
        while last and self._noted[last - 1].shape == scores:
            last -= 1
            if self._noted[last].read == scores:
                break
        return max((one.channels for one in self._noted[:last]), default=0)
