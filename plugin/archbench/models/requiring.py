"""Packages that measuring needs, asked for once and in a sentence."""

from __future__ import annotations

import importlib

from archbench.core.errors import UsageError, first_line


def require_torch() -> None:
    """Import torch.

    Raises:
        UsageError: it is not installed, or does not fit this machine; has torch's own reason.
    """
    try:
        importlib.import_module("torch")
    except (ImportError, OSError) as error:
        raise UsageError(
            "torch",
            f"it cannot be imported: {first_line(error)}",
            "Install one that fits this machine: python -m pip install torch torchvision",
        ) from None
