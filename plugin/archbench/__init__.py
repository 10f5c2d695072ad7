"""Benchmark image-classification architectures as pytest tests."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archbench.core.spec import ModelSpec, Preprocessing, Target

# A wheel has the suite inside the package; a checkout has it beside the package's directory.
_checkout = Path(__file__).parents[2]
if (_checkout / "benchmarks" / "test_latency.py").is_file():
    __path__.append(str(_checkout))

__version__ = "0.1.0"
__all__ = ["ModelSpec", "Preprocessing", "Target", "__version__"]


def __getattr__(name: str) -> Any:
    # The package is imported at each start of pytest, wherever it is installed.
    if name in ("ModelSpec", "Preprocessing", "Target"):
        from archbench.core import spec

        return getattr(spec, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
