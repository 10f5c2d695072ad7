"""archbench's own runtimes. Imports torch."""

from __future__ import annotations

from archbench.runtimes import compiled, cudagraph, eager
from archbench.runtimes.registry import runtime_named

__all__ = ["compiled", "cudagraph", "eager", "runtime_named"]
