"""The largest batch that fits, on devices of a known size."""

from __future__ import annotations

import pytest
from torch import nn

from archbench import ModelSpec, Target
from archbench.core.errors import NotMeasuredError
from archbench.measure.largest_batch import (
    LargestBatch,
    search_largest,
    with_largest_batch,
)
from archbench.models.loading import LoadedModel

SPEC = ModelSpec.of(nn.Identity, name="net", input_size=8)
TARGET = Target("cpu", "AMD EPYC", "cpu-amd-epyc", largest_batch=True)
LOADED = LoadedModel(SPEC, TARGET, nn.Identity(), 0.0)


@pytest.mark.parametrize("fits", [1, 2, 3, 37, 64, 100, 4095])
def test_the_largest_that_fits(fits: int) -> None:
    tried: list[int] = []

    def seconds_of(size: int) -> float | None:
        tried.append(size)
        return 0.1 if size <= fits else None

    assert search_largest(seconds_of) == LargestBatch(fits, "memory")
    assert len(tried) == len(set(tried)) <= 26


def test_a_device_that_takes_everything() -> None:
    assert search_largest(lambda size: 0.1, most=100) == LargestBatch(100, "limit")


def test_a_pass_that_takes_too_long_ends_the_search() -> None:
    assert search_largest(lambda size: size * 1.0, patience=20.0) == LargestBatch(32, "time")


def test_not_even_one_fits() -> None:
    with pytest.raises(NotMeasuredError, match="not even a batch of one image fits into memory"):
        search_largest(lambda size: None)


def test_a_try_that_fails_leaves_nothing_behind() -> None:
    class Weight:
        alive = 0

        def __init__(self) -> None:
            Weight.alive += 1

        def __del__(self) -> None:
            Weight.alive -= 1

    def run(tried: LoadedModel) -> float:
        held = Weight()
        if tried.target.images > 5:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        del held
        # What an earlier failure held in its frames is gone.
        assert Weight.alive == 0
        return 0.1

    loaded, found = with_largest_batch(LOADED, run)
    assert found == LargestBatch(5, "memory")
    assert loaded.target.batch_size == 5
    assert loaded.target.suffix == "fp32-bmax"
    assert loaded.module is LOADED.module


def test_another_error_is_none_of_memory() -> None:
    def run(tried: LoadedModel) -> float:
        raise ValueError("width must be positive")

    with pytest.raises(ValueError, match="width"):
        with_largest_batch(LOADED, run)
