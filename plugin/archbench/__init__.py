"""Benchmark image-classification architectures as pytest tests."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archbench.core.spec import ModelSpec, Preprocessing, Target

__version__ = "0.1.0"
__all__ = ["ModelSpec", "Preprocessing", "Target", "__version__"]


def __getattr__(name: str) -> Any:
    # The package is imported at each start of pytest, wherever it is installed.
    if name in ("ModelSpec", "Preprocessing", "Target"):
        from archbench.core import spec

        return getattr(spec, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
