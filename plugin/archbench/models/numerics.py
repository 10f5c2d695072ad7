"""The switches of torch that decide in which precision is computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from archbench.models.switches import (
    read_fp32,
    read_older_fp32,
    write_fp32,
    write_older_fp32,
)

AUTOCAST = {"amp-fp16": torch.float16, "amp-bf16": torch.bfloat16}
"""What autocast is asked for, by precision."""

_EXACT = ("none", "ieee")
"""Values of torch's newer switches that compute fp32 in fp32."""


@contextmanager
def numerics(dtype: str, place: str) -> Iterator[None]:
    """Make torch compute in a precision, and nothing else, inside.

    ``tf32`` lets matrix products and convolutions use TF32; every other precision turns it off in
    both, where torch's own default leaves it on in convolutions. Since 2.9 torch has newer switches
    beside the older ones, and its compiler and its own checks refuse a mix of the two. So inside
    both say the same, whatever a project or a network has set. Afterwards both are as they were.

    Args:
        dtype: one of :data:`archbench.core.spec.DTYPES`.
        place: torch's name of where tensors lie: ``cuda:0``.
    """
    wanted = dtype == "tf32"
    newer, older = read_fp32(), read_older_fp32()
    write_older_fp32(("high" if wanted else "highest", wanted))
    write_fp32({place: "none" for place in newer if place[1] == "all"})
    # What the older switches do not reach, as oneDNN's convolutions.
    write_fp32(
        {
            place: "ieee"
            for place, value in read_fp32().items()
            if place[0] == "mkldnn" and place[1] != "all" and value not in _EXACT and not wanted
        }
    )
    try:
        if dtype in AUTOCAST:
            # Without its cache: a graph that is captured must not hold on to copies of weights.
            with torch.autocast(
                torch.device(place).type, dtype=AUTOCAST[dtype], cache_enabled=False
            ):
                yield
        else:
            yield
    finally:
        write_older_fp32(older or ("highest", True))
        write_fp32(newer)
