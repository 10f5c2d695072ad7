"""An axis of run configurations that archbench does not have: what becomes of denormal numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from archbench.core.run_config import Axis, register_axis


@contextmanager
def running(value: str) -> Iterator[None]:
    """``--denormals=flushed`` counts them as zero, which processors do faster."""
    torch.set_flush_denormal(value == "flushed")
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


register_axis(
    Axis(
        name="denormals",
        usual="kept",
        values=("kept", "flushed"),
        help="what becomes of denormal numbers: {values}",
        running=running,
    )
)
