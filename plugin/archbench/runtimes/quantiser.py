"""A process that quantises a graph: what ranges of activations are taken from, and what it says."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy

from archbench.runtimes.deployed import Order
from archbench.runtimes.fresh import answer

BATCHES = 16
"""Synthetic ones that ranges are taken from."""

Batch = dict[str, "numpy.ndarray[Any, Any]"]
"""Of inputs, by their place."""


def batches(order: Order) -> Iterator[Batch]:
    """What ranges are taken from, by the place of the input."""
    if order.ranges is not None:
        images, size = numpy.load(order.ranges, mmap_mode="r"), order.shapes[0][0]
        for start in range(0, len(images) - size + 1, size):
            yield {"0": numpy.array(images[start : start + size])}
        return
    chance = numpy.random.default_rng(1)
    for _ in range(BATCHES):
        yield {
            str(place): chance.standard_normal(shape).astype(kind)
            for place, (shape, kind) in enumerate(zip(order.shapes, order.types, strict=True))
        }


def serve(by: Callable[[Order, Path], str]) -> None:
    """Do what the command line says and print what it was.

    Args:
        by: writes the files of an order into a directory, and says how: ``static`` or ``dynamic``.
    """
    order, directory = Order.parse(sys.argv[1]), Path(sys.argv[2])
    begin = time.perf_counter()
    how = by(order, directory)
    answer({"quantised": how, "compile_seconds": time.perf_counter() - begin})
