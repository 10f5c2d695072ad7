"""The largest batch that fits into a device's memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from archbench.core.errors import NotMeasuredError, is_out_of_memory, is_too_large
from archbench.measure.running import release
from archbench.models.loading import LoadedModel, free_cached

MOST = 65_536
"""Images; a device that takes more is not found out by this search."""

PATIENCE = 20.0
"""Seconds of one pass after which no larger batch is tried."""

CPU_PATIENCE = 2.0
"""The same on a CPU, where time runs out before memory, and a latency takes a dozen passes more."""


@dataclass(frozen=True, slots=True)
class LargestBatch:
    """What a search found.

    Attributes:
        size: images.
        stopped_by: ``memory`` where one image more does not fit, ``indexing`` where an operator
            cannot number the elements of one image more; ``limit`` or ``time`` where the search
            ended before.
    """

    size: int
    stopped_by: str


def search_largest(
    seconds_of: Callable[[int], float | str], most: int = MOST, patience: float = PATIENCE
) -> LargestBatch:
    """The largest batch that fits, by doubling and then by halving the interval.

    Args:
        seconds_of: tries a batch size; the seconds that a pass took, or what it failed by:
            ``memory`` or ``indexing``.
        most: never tried beyond.
        patience: a pass that took longer ends the search.

    Raises:
        NotMeasuredError: not even one image fits.
    """
    good, bad, stopped_by = 0, most + 1, "limit"
    size = 1
    while good < bad - 1:
        seconds = seconds_of(size)
        if isinstance(seconds, str):
            bad, stopped_by = size, seconds
        else:
            good = size
            if seconds > patience:
                return LargestBatch(good, "time")
        if bad > most:
            size = min(2 * size, most)
        else:
            size = (good + bad) // 2
    if not good:
        raise NotMeasuredError("not-one-fits", "not even a batch of one image fits into memory")
    return LargestBatch(good, stopped_by)


def with_largest_batch(
    loaded: LoadedModel,
    run: Callable[[LoadedModel], float],
) -> tuple[LoadedModel, LargestBatch]:
    """The model with the largest batch that it can be run with.

    Each try finds the device's memory in one piece, and so does what measures afterwards: images
    that lie within a large block kept from another try would keep all of it from going back.

    Args:
        loaded: the model; its own batch size does not count.
        run: runs a pass of it and returns its seconds.

    Raises:
        NotMeasuredError: not even one image fits.
    """

    def seconds_of(size: int) -> float | str:
        free_cached(loaded.device)
        tried = loaded.fed(size)
        try:
            return run(tried)
        except Exception as error:
            found = "memory" if is_out_of_memory(error) else "indexing"
            if found == "indexing" and not is_too_large(error):
                raise
            release(error, loaded)
            return found

    found = search_largest(seconds_of, patience=CPU_PATIENCE if loaded.target.is_host else PATIENCE)
    free_cached(loaded.device)
    return loaded.fed(found.size), found
