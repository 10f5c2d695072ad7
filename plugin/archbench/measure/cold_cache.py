"""Emptying the caches before a pass, so that weights come from memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from archbench.core.spec import Target

__all__ = ["cache_bytes", "flusher"]

_UNKNOWN = 128 * 2**20
"""Bytes of a last-level cache that nobody tells the size of: more than most have."""

_CPU0 = Path("/sys/devices/system/cpu/cpu0/cache")


def cache_bytes(target: Target, cpu: Path = _CPU0) -> int:
    """Size of the largest cache of a device in bytes; a generous guess where it is not told.

    Args:
        target: on the device.
        cpu: where Linux describes the caches of a core.
    """
    if target.kind == "cuda":
        properties = torch.cuda.get_device_properties(target.device)
        return int(getattr(properties, "L2_cache_size", 0)) or _UNKNOWN
    if target.kind != "cpu":
        return _UNKNOWN
    sizes = [_size(path.read_text(encoding="ascii")) for path in cpu.glob("index*/size")]
    return max(sizes, default=0) or _UNKNOWN


def _size(text: str) -> int:
    """Bytes in ``32768K`` or ``32M``."""
    number = text.strip()
    scale = {"K": 2**10, "M": 2**20, "G": 2**30}.get(number[-1:], 1)
    digits = number.rstrip("KMG")
    return int(digits) * scale if digits.isdigit() else 0


def flusher(target: Target, size: int | None = None) -> Callable[[], object]:
    """What writes over twice the largest cache, on the device of a target.

    On an accelerator the write stands in the queue like any other work.

    Args:
        target: on the device.
        size: bytes of the cache; the device's own by default.
    """
    length = 2 * (cache_bytes(target) if size is None else size)
    buffer = torch.empty(length, dtype=torch.uint8, device=target.device)
    values = iter(range(1 << 62))

    def flush() -> object:
        # A new value each time: writing what is there already may be left out.
        return buffer.fill_(next(values) % 251)

    return flush
