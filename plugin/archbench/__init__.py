"""Benchmark image-classification architectures as pytest tests."""

from archbench.core.spec import ModelSpec, Preprocessing, Target

__version__ = "0.1.0"
__all__ = ["ModelSpec", "Preprocessing", "Target", "__version__"]
