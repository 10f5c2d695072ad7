"""Emptying the caches before a pass, so that weights come from memory."""

from __future__ import annotations

from collections.abc import Callable

import torch

from archbench.devices.backend import Backend


def flusher(device: Backend, size: int | None = None) -> Callable[[], object]:
    """What writes over twice the largest cache of a device.

    On an accelerator the write stands in the queue like any other work.

    Args:
        device: whose caches.
        size: bytes of the cache; the device's own by default.
    """
    length = 2 * (device.cache_bytes() if size is None else size)
    buffer = torch.empty(length, dtype=torch.uint8, device=device.place)
    values = iter(range(1 << 62))

    def flush() -> object:
        # A new value each time: writing what is there already may be left out.
        return buffer.fill_(next(values) % 251)

    return flush
