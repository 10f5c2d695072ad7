"""The reference workload: how often it is timed, and that it is the same work for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from archbench.measure.reference_workload import LEAST, SIDE, ReferenceWorkload, workload_name


def ticking(nanoseconds: int) -> Callable[[], int]:
    """A clock that is so much further at every second reading."""

    def readings() -> Iterator[int]:
        now = 0
        while True:
            yield now
            now += nanoseconds
            yield now

    return readings().__next__


def test_a_seventh_of_the_samples_time_goes_to_it_in_bursts() -> None:
    workload = ReferenceWorkload(ticking(1_000_000))
    for _ in range(3):
        workload.after(5_000_000)  # owes 0.75 ms each: less than a burst
    assert workload.seconds == []
    workload.after(5_000_000)  # 3 ms: three of a millisecond
    assert workload.seconds == [0.001] * 3
    workload.after(100_000_000)  # 15 ms
    assert len(workload.seconds) == 18


def test_few_samples_leave_enough() -> None:
    workload = ReferenceWorkload(ticking(1_000_000))
    workload.after(1_000_000)
    workload.at_the_end()
    assert len(workload.seconds) == LEAST
    workload.at_the_end()
    assert len(workload.seconds) == LEAST


def test_the_work() -> None:
    workload = ReferenceWorkload()
    workload.at_the_end()
    matrix = (np.arange(SIDE * SIDE) % 7).reshape(SIDE, SIDE)
    # Whole numbers far below 2 ** 24 are exact in fp32.
    assert np.array_equal(workload._product, matrix @ matrix)
    assert all(seconds > 0 for seconds in workload.seconds)
    assert workload_name() == f"sgemm 320 numpy {np.__version__}"


@pytest.mark.parametrize("seed", [1, 2])
def test_a_relocated_model_computes_the_same(seed: int) -> None:
    import torch
    from torch import nn

    from archbench.models.placement import relocate

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(64, 64)
            self.second = nn.Linear(64, 64)
            self.second.weight = self.first.weight
            self.norm = nn.BatchNorm1d(64)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(self.second(self.first(x)))

    model = Tied().eval()
    images = torch.randn(3, 64)
    with torch.no_grad():  # a graph would hold on to the weights, which then stay
        before = model(images)
    places = [tensor.data_ptr() for tensor in model.parameters()]
    relocate(model, seed)
    assert torch.equal(model(images), before)
    now = [tensor.data_ptr() for tensor in model.parameters()]
    assert all(old != new for old, new in zip(places, now, strict=True))
    assert model.second.weight is model.first.weight
