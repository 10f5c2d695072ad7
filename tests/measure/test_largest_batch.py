"""The largest batch that fits, on devices of a known size."""

from __future__ import annotations

import weakref

import pytest
from torch import Tensor, nn

from archbench import ModelSpec, Target
from archbench.core.errors import NotMeasuredError, is_out_of_memory, is_too_large
from archbench.devices.kinds import is_fatal
from archbench.measure.cells import largest_batch
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

    def seconds_of(size: int) -> float | str:
        tried.append(size)
        return 0.1 if size <= fits else "memory"

    assert search_largest(seconds_of) == LargestBatch(fits, "memory")
    assert len(tried) == len(set(tried)) <= 26


def test_a_device_that_takes_everything() -> None:
    assert search_largest(lambda size: 0.1, most=100) == LargestBatch(100, "limit")


def test_a_pass_that_takes_too_long_ends_the_search() -> None:
    assert search_largest(lambda size: size * 1.0, patience=20.0) == LargestBatch(32, "time")


def test_not_even_one_fits() -> None:
    with pytest.raises(NotMeasuredError, match="not even a batch of one image fits into memory"):
        search_largest(lambda size: "memory")


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


def test_each_try_and_what_follows_find_the_memory_in_one_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # On an H200 images were put into a block of 53 GB that an earlier try had left, so that the
    # largest batch ran out of memory when it was measured.
    done: list[str] = []
    monkeypatch.setattr(
        "archbench.measure.largest_batch.free_cached", lambda device: done.append("freed")
    )

    def run(tried: LoadedModel) -> float:
        done.append("pass")
        if tried.target.images > 2:
            raise RuntimeError("CUDA out of memory")
        return 0.1

    with_largest_batch(LOADED, run)
    # 1, 2, 4 and 3 images.
    assert done == [*["freed", "pass"] * 4, "freed"]


@pytest.mark.parametrize(
    "text",
    [
        "integer out of range",
        "upsample_nearest2d only supports output tensors with less than INT_MAX elements",
        "Expected canUse32BitIndexMath(input) && canUse32BitIndexMath(output) to be true",
        "value cannot be converted to type int without overflow",
        "CUDA error: invalid configuration argument",
    ],
)
def test_what_says_that_a_tensor_has_too_many_elements(text: str) -> None:
    assert is_too_large(RuntimeError(text))
    assert not is_out_of_memory(RuntimeError(text))


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "GET was unable to find an engine to execute this computation",
        "HIP error: hipErrorOutOfMemory",
        "level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)",
        "MPS backend out of memory (MPS allocated: 8.97 GB)",
        "Invalid buffer size: 12.00 GiB",
    ],
)
def test_what_libraries_and_drivers_say_where_memory_ran_out(text: str) -> None:
    assert is_out_of_memory(RuntimeError(text))
    assert not is_fatal(RuntimeError(text))


def test_more_elements_than_an_operator_numbers_are_a_limit() -> None:
    def run(tried: LoadedModel) -> float:
        if tried.target.images > 1:
            raise RuntimeError("integer out of range")
        return 0.1

    assert with_largest_batch(LOADED, run)[1] == LargestBatch(1, "indexing")


def test_the_output_of_a_pass_may_lie_beside_the_next_one() -> None:
    """Memory for one output and the next is what a series of passes takes."""

    class Filling(nn.Module):
        kept = 0

        def forward(self, images: Tensor) -> Tensor:
            held = images.new_zeros(len(images), 10)
            Filling.kept += len(images)
            weakref.finalize(held, self.let_go, len(images))
            if Filling.kept > 4:
                raise RuntimeError("CUDA out of memory")
            return held

        @staticmethod
        def let_go(images: int) -> None:
            Filling.kept -= images

    loaded = LoadedModel(SPEC, TARGET, Filling(), 0.0)
    assert largest_batch(loaded)[1] == LargestBatch(2, "memory")


def test_another_error_is_none_of_memory() -> None:
    def run(tried: LoadedModel) -> float:
        raise ValueError("width must be positive")

    with pytest.raises(ValueError, match="width"):
        with_largest_batch(LOADED, run)
