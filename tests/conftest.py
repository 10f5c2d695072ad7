"""What the tests of the plugin share."""

from __future__ import annotations

import pytest

# Inner runs in this process forget the modules that they import, and torch can be imported once
# only: what a run imports has to be there before.
import torch._dynamo
import torch.utils.flop_counter

import archbench.measure.cells
import archbench.pytest_plugin.benchmark_bridge
import archbench.pytest_plugin.ci
import archbench.store.results  # noqa: F401

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Threads that wait for each other on a busy machine make a test take minutes."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _not_on_github(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inner runs must not write into the summary of the run that they are part of."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


SMALL_MODEL = """
    import torch
    from torch import nn
    from archbench import ModelSpec

    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.fc = nn.Linear(4, 10)

        def forward(self, x):
            return self.fc(torch.relu(self.conv(x)).mean((2, 3)))

    def small():
        return Small()
"""

SUITE = """
    def test_complexity(bench, model_spec):
        bench.complexity(model_spec)

    def test_latency(bench, loaded_model):
        bench.latency(loaded_model)
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with the two benchmarks and one small architecture of its own."""
    pytester.makepyfile(small_net=SMALL_MODEL, test_bench=SUITE)
    return pytester
