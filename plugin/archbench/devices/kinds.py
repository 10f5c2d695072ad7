"""All kinds of devices: archbench's own, then those of other distributions, then whatever else
torch has an accelerator of. Imports torch."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from archbench.devices import cpu, cuda, mps, xpu
from archbench.devices.accelerator import Accelerator
from archbench.devices.registry import GROUP, backend_of, is_fatal, register
from archbench.devices.registry import kinds as _registered

if TYPE_CHECKING:
    from archbench.devices.backend import Backend

__all__ = ["backend_of", "cpu", "cuda", "is_fatal", "kinds", "mps", "register", "xpu"]

for _found in entry_points(group=GROUP):
    _found.load()


def kinds() -> list[type[Backend]]:
    """All kinds, accelerators first, the host at the end; one that nobody has registered and torch
    knows has what every accelerator has."""
    found = Accelerator.of_torch()
    if found is not None and found not in {kind.kind for kind in _registered()}:
        register(type(found.upper(), (Accelerator,), {"kind": found}))
    return _registered()
