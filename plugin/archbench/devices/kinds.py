"""All kinds of devices: archbench's own, then those of other distributions. Imports torch."""

from __future__ import annotations

from importlib.metadata import entry_points

from archbench.devices import cpu, cuda, mps, xpu
from archbench.devices.registry import GROUP, backend_of, is_fatal, kinds, register

__all__ = ["backend_of", "cpu", "cuda", "is_fatal", "kinds", "mps", "register", "xpu"]

for _found in entry_points(group=GROUP):
    _found.load()
